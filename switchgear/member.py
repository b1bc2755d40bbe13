"""One worker process, as the supervisor sees it.

It is a fresh interpreter: nothing is inherited but descriptors. When either of the two goes, the
other's end of the channel closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from controlplane.table import news
from controlplane.table.news import News
from dataplane import codec
from dataplane.fleet.channel import Channel, ChannelError, Kind
from dataplane.fleet.messages import (
    Accept,
    Beat,
    Ending,
    Measured,
    Report,
    Setup,
    pack,
    read,
    unpack,
)

ASK_S = 2.0
"""How long a worker may take to answer a question."""

_EXIT_S = 5.0

log = logging.getLogger("switchgear.supervisor")


class Owner(Protocol):
    """Who wants to know what a worker says."""

    def ready(self, member: Member) -> None:
        """Take note of a worker that has its first table."""
        ...

    def heard(self, member: Member, item: News) -> None:
        """Take what a worker has found out."""
        ...

    def beaten(self, member: Member, beat: Beat) -> None:
        """Take a beat."""
        ...

    def measured(self, member: Member, news: Measured) -> None:
        """Take what a worker adds to the metrics."""
        ...

    def wished(self, member: Member) -> None:
        """Take note of a worker that was asked to be replaced."""
        ...


@dataclass(frozen=True, slots=True)
class Offer:
    """A table for workers. news: all that is in force of it, for one that has none yet."""

    generation: int
    snapshot: bytes
    news: Callable[[], Sequence[News]]


class Member:
    """See the module. `launch` makes one; `attend` must run as long as it lives.

    index: the worker's number. pid: of its process. generation: of the table that it has, 0 if none.
    started_s: monotonic time. failed: why it could not start, empty if it could. beat: the last sign
    of life. silence: seconds counted since, by the owner. report: the last one, in the end the
    farewell. recent: its last requests, told with that. active: requests under way, and calls: those
    of providers, as of the last answer about metrics. told: set when nothing more comes for the
    metrics, nor any answer. settled: set when it has a table, or never will. ending: it was told to
    end. ended: set when the process is gone.
    """

    def __init__(
        self,
        index: int,
        process: asyncio.subprocess.Process,
        channel: Channel,
        owner: Owner,
        clock: Callable[[], float],
    ) -> None:
        """Keep a process that has been started; see `launch`."""
        self.index = index
        self.pid = process.pid
        self.generation = 0
        self.failed = ""
        self.started_s = clock()
        self.silence = 0
        self.beat = Beat(in_flight=0, connections=0)
        self.report: Report | None = None
        self.recent: Sequence[Mapping[str, Any]] = ()
        self.active = 0
        self.calls: Mapping[str, int] = {}
        self.told = asyncio.Event()
        self.settled = asyncio.Event()
        self.ended = asyncio.Event()
        self.ending = False
        self.listeners: Sequence[int] = ()
        self._process = process
        self._channel = channel
        self._owner = owner
        self._wanted: Offer | None = None
        self._offered = 0
        self._questions: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._asked = 0

    @classmethod
    async def launch(cls, setup: Setup, owner: Owner, clock: Callable[[], float]) -> Member:
        """Start a worker, and tell it what it is. Raises OSError if that cannot be done."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *_command(),
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *setup.listeners),
            )
        channel = await Channel.over(ours)
        channel.send(Kind.SETUP, pack(setup))
        return cls(setup.worker, process, channel, owner, clock)

    @property
    def serving(self) -> bool:
        """Whether it has a table, and is to stay."""
        return self.generation > 0 and not self.ending and not self.ended.is_set()

    async def attend(self) -> None:
        """Listen to it until it is gone."""
        try:
            while True:
                kind, payload = await self._channel.receive()
                self._hear(kind, payload)
        except ChannelError:
            pass
        except ValueError as error:
            log.error("worker %d: not understood: %s", self.index, error)  # noqa: TRY400 - ours to mend, the place is known
        finally:
            self._channel.close()
            self._answers_no_more()
            with suppress(TimeoutError):
                async with asyncio.timeout(_EXIT_S):
                    await self._process.wait()
            self.kill()
            await self._process.wait()
            self.ended.set()
            self.settled.set()

    def publish(self, offer: Offer) -> None:
        """Give it a table, as soon as it has the one before; of several the newest counts."""
        self._wanted = offer
        if not self._offered:
            self._offer(offer)

    def tell(self, items: Sequence[News]) -> None:
        """Tell it what others have found out; without a table it has no use for that."""
        if self._wanted is not None and items:
            self._channel.send(Kind.NEWS, codec.encode(news.to_plain(items)))

    def accept(self, listeners: Sequence[int]) -> None:
        """Say which sockets it takes connections from, if that is another answer than before."""
        if listeners != self.listeners:
            self.listeners = listeners
            self._channel.send(Kind.ACCEPT, pack(Accept(listeners=listeners)))

    async def ask(self, what: str, **arguments: object) -> Mapping[str, Any] | None:
        """Ask a question; None if there is no answer in time, or none will come."""
        if self.told.is_set():
            return None
        self._asked += 1
        number = self._asked
        answer = self._questions[number] = asyncio.get_running_loop().create_future()
        self._channel.send(Kind.ASK, codec.encode({"id": number, "what": what, **arguments}))
        try:
            async with asyncio.timeout(ASK_S):
                return await asyncio.shield(answer)
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            # It has gone, or whoever asks has.
            if answer.cancelled():
                return None
            raise
        finally:
            answer.cancel()
            del self._questions[number]

    def retire(self, ending: Ending) -> None:
        """Let it end, now that another has taken over."""
        self.ending = True
        self.accept(())
        self._channel.send(Kind.RETIRE, pack(ending))

    def stop(self, ending: Ending) -> None:
        """Let it end, as nobody takes over."""
        self.ending = True
        self._channel.send(Kind.STOP, pack(ending))

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    def _hear(self, kind: Kind, payload: bytes) -> None:
        """Take a frame. Raises ValueError for what cannot be meant."""
        match kind:
            case Kind.INSTALLED:
                self._installed(codec.decode_object(payload)["generation"])
            case Kind.NEWS:
                for item in news.from_plain(codec.decode(payload)):
                    self._owner.heard(self, item)
            case Kind.BEAT:
                self.beat, self.silence = unpack(Beat, payload), 0
                self._owner.beaten(self, self.beat)
            case Kind.ANSWER:
                document = codec.decode_object(payload)
                if "report" in document:
                    self.report = read(Report, document["report"])
                if "metrics" in document:
                    self._measured(read(Measured, document["metrics"]))
                question = self._questions.get(document["id"])
                if question is not None and not question.done():
                    question.set_result(document)
            case Kind.FAILED:
                self.failed = payload.decode()
            case Kind.WISH:
                self._owner.wished(self)
            case Kind.LAST:
                self._measured(unpack(Measured, payload))
                # It only sends its last spans now, which may take seconds.
                self._answers_no_more()
            case Kind.GOODBYE:
                document = codec.decode_object(payload)
                self.report = read(Report, document["report"])
                self.recent = document["recent"]
            case _:
                raise ValueError(f"a worker sent {kind.name}")

    def _answers_no_more(self) -> None:
        self.told.set()
        for question in self._questions.values():
            question.cancel()

    def _measured(self, news: Measured) -> None:
        self.active, self.calls = news.active, news.calls
        self._owner.measured(self, news)

    def _installed(self, generation: int) -> None:
        first = not self.generation
        self.generation, self._offered = generation, 0
        if first:
            self.settled.set()
            self._owner.ready(self)
        if self._wanted is not None and self._wanted.generation != generation:
            self._offer(self._wanted)

    def _offer(self, offer: Offer) -> None:
        first = not self.generation
        self._offered = offer.generation
        self._channel.send(Kind.TABLE, offer.snapshot)
        if first:
            self.tell(offer.news())


async def ask_all(
    members: Iterable[Member], what: str, **arguments: object
) -> Sequence[tuple[Member, Mapping[str, Any]]]:
    """Ask all that have a table; those that do not answer in time, or are gone then, are left out."""
    asked = [member for member in members if member.generation]
    answers = await asyncio.gather(*(member.ask(what, **arguments) for member in asked))
    return [
        (member, answer)
        for member, answer in zip(asked, answers, strict=True)
        if answer is not None and not member.ended.is_set()
    ]


def _command() -> Sequence[str]:
    # The directory that we were started in is searched for modules only if it is for us.
    here = {"", os.getcwd()} & set(sys.path)  # noqa: PTH109 - compared with texts
    return [sys.executable, *(() if here else ("-P",)), "-m", "switchgear.worker"]
