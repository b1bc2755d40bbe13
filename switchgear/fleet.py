"""The workers of one supervisor: started, kept, replaced one by one, and stopped together.

There is one listening socket for each worker, and each worker could take connections from all of
them. Who does is decided here, anew whenever a worker comes or goes: each socket belongs to the worker
of its number, and to another that serves while that one cannot. So no queue is ever without
somebody who takes from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from controlplane.table.live import LiveTable
from controlplane.table.news import News
from dataplane.fleet.messages import Beat, Ending, Measured
from dataplane.request_counts import Counts
from switchgear.member import Member, Offer, Owner

SILENT_BEATS = 30
"""A worker that gives no sign of life for so many seconds is ended by force.

They are counted, not measured: after a pause of the supervisor itself all beats are still unread.
"""

STEADY_S = 60.0
"""A worker that has lived for so long has not failed to start."""

START_S = 60.0
"""How long a worker that is to replace another may take to be ready."""

FINISH_S = 1800.0
"""What requests may still take in a worker that is replaced; longer than any is expected to."""

_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 30.0
_GRACE_S = 5.0
_WATCH_S = 1.0

log = logging.getLogger("switchgear.supervisor")


def pause_s(failures: int) -> float:
    """Seconds to wait before a worker is started again: none after the first failure in a row."""
    if failures < 2:
        return 0.0
    return float(min(_FIRST_PAUSE_S * 2 ** min(failures - 2, 10), _MAX_PAUSE_S))


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """The place of one worker.

    member: who holds it. successor: who is to hold it, while it starts. starts: how often a worker
    was started here. failures: how often in a row one ended soon.
    """

    index: int
    member: Member | None = None
    successor: Member | None = None
    starts: int = 0
    failures: int = 0


class Fleet:
    """See the module. `run` keeps it; `stop` ends it.

    settled: set when a worker serves for the first time, or has said why it cannot; then `failed`
    says it too. launch: starts the worker of a number. listen: called when the first worker can
    serve: opens the port. live: the supervisor's own live table, which follows
    every worker's. departed: called with each worker that is gone. measured: called with what one adds
    to the metrics.
    flush_s: what a worker may need for its spans after its requests.
    """

    def __init__(
        self,
        count: int,
        *,
        launch: Callable[[int, Owner], Awaitable[Member]],
        listen: Callable[[], None],
        live: LiveTable,
        departed: Callable[[Member], None],
        measured: Callable[[Counts], None],
        clock: Callable[[], float],
        drain_s: float,
        flush_s: float,
    ) -> None:
        """Start nothing yet."""
        self.slots = tuple(Slot(index=index) for index in range(count))
        self.settled = asyncio.Event()
        self.failed = ""
        self._launch = launch
        self._listen = listen
        self._live = live
        self._departed = departed
        self._count = measured
        self._clock = clock
        self._drain_s = drain_s
        self._flush_s = flush_s
        self._offer: Offer | None = None
        self._members: set[Member] = set()
        self._wishes: dict[int, None] = {}
        self._wish = asyncio.Event()
        self._listens = False
        self._stopping = False
        self._group = asyncio.TaskGroup()
        live.tell(lambda item: self._tell(item, None))

    @property
    def members(self) -> Sequence[Member]:
        """All workers that there are, by number; one that is replaced comes after its successor."""
        return sorted(self._members, key=lambda member: (member.index, -member.started_s))

    async def run(self) -> None:
        """Keep the workers until cancelled; then none is left."""
        try:
            async with self._group as group:
                for slot in self.slots:
                    group.create_task(self._keep(slot), name=f"worker {slot.index}")
                group.create_task(self._replace_wished(), name="replacements")
                group.create_task(self._watch(), name="signs of life")
        finally:
            for member in self._members:
                member.kill()

    def publish(self, offer: Offer) -> None:
        """Give a table to all workers, and to those that come later."""
        self._offer = offer
        for member in self._members:
            member.publish(offer)

    def roll(self) -> None:
        """Replace all workers, one after the other."""
        if self._stopping:
            return
        log.info("replacing %d workers, one by one", len(self.slots))
        self._wishes.update(dict.fromkeys(slot.index for slot in self.slots))
        self._wish.set()

    async def stop(self, ending: Ending) -> int:
        """End all workers, and wait for it. Returns how many requests were left unfinished."""
        self._stopping = True
        leaving = tuple(self._members)
        for member in leaving:
            member.stop(ending)
        limit_s = ending.drain_s + self._flush_s + _GRACE_S
        await asyncio.gather(*(self._gone(member, limit_s) for member in leaving))
        return sum(member.report.cut_off for member in leaving if member.report is not None)

    def ready(self, member: Member) -> None:
        """Let a worker that has its first table take connections."""
        if not self._listens:
            self._listens = True
            self._listen()
        self.settled.set()
        self._assign()

    def heard(self, member: Member, item: News) -> None:
        """Follow a worker's news, and pass it on to the others."""
        self._live.follow(item, self._clock())
        self._tell(item, member)

    def beaten(self, member: Member, beat: Beat) -> None:
        """Take note of the providers that a worker has called."""
        for provider, used_s in beat.used.items():
            self._live.used_elsewhere(provider, used_s, served=provider in beat.served)

    def measured(self, member: Member, news: Measured) -> None:
        """Take what a worker adds to the metrics."""
        self._count(news.counts)

    def wished(self, member: Member) -> None:
        """Replace a worker that was asked to end by a signal of its own."""
        if not self._stopping and not member.ending:
            log.info("replacing worker %d, which was asked to end", member.index)
            self._wishes[member.index] = None
            self._wish.set()

    def _tell(self, item: News, source: Member | None) -> None:
        for member in self._members:
            if member is not source:
                member.tell((item,))

    def _assign(self) -> None:
        """Decide anew who takes connections from which socket."""
        if self._stopping:
            return
        able = [slot.member for slot in self.slots if slot.member and slot.member.serving]
        if not able:
            return
        taken: dict[Member, list[int]] = {member: [] for member in able}
        for slot in self.slots:
            own = slot.member
            owner = own if own in taken else able[slot.index % len(able)]
            taken[owner].append(slot.index)
        for member, listeners in taken.items():
            member.accept(tuple(listeners))

    async def _start(self, slot: Slot) -> Member:
        member = await self._launch(slot.index, self)
        slot.starts += 1
        self._members.add(member)
        self._group.create_task(self._attend(member), name=f"process {member.pid}")
        if self._offer is not None:
            member.publish(self._offer)
        return member

    async def _attend(self, member: Member) -> None:
        try:
            await member.attend()
        finally:
            self._members.discard(member)
            self._departed(member)

    async def _keep(self, slot: Slot) -> None:
        """Keep a worker in a slot; whoever is in it was started here, or has taken over."""
        while not self._stopping:
            if slot.member is None:
                slot.member = slot.successor or await self._start_somehow(slot)
                self._assign()
            member = slot.member
            await member.ended.wait()
            if slot.member is not member:
                continue
            slot.member = None
            self._assign()
            if not self._stopping:
                await self._mourn(slot, member)

    async def _start_somehow(self, slot: Slot) -> Member:
        """Start a worker, however often the system refuses."""
        while True:
            try:
                return await self._start(slot)
            except OSError as error:
                slot.failures += 1
                log.error("worker %d cannot be started: %s", slot.index, error)  # noqa: TRY400 - the system's refusal
                await asyncio.sleep(max(pause_s(slot.failures), _FIRST_PAUSE_S))

    async def _mourn(self, slot: Slot, member: Member) -> None:
        """Say that a worker has ended unasked, and wait as long as that happens again and again."""
        steady = member.generation > 0 and self._clock() - member.started_s >= STEADY_S
        slot.failures = 1 if steady else slot.failures + 1
        why = member.failed or f"exit code {member.code}"
        if member.failed and not self._listens:
            self.failed = member.failed
            self.settled.set()
        wait_s = pause_s(slot.failures)
        log.error(
            "worker %d (process %d) has ended: %s; starting it again%s",
            slot.index,
            member.pid,
            why,
            f" in {wait_s:g} s" if wait_s else "",
        )
        await asyncio.sleep(wait_s)

    async def _replace_wished(self) -> None:
        while True:
            await self._wish.wait()
            while self._wishes and not self._stopping:
                index = next(iter(self._wishes))
                del self._wishes[index]
                if not await self._replace(self.slots[index]):
                    # What fails once would fail again, and those that serve now are good enough.
                    self._wishes.clear()
            self._wish.clear()

    async def _replace(self, slot: Slot) -> bool:
        """Start another worker for a slot, and let the one that holds it end; False if it failed."""
        try:
            new = slot.successor = await self._start(slot)
        except OSError as error:
            log.error("worker %d is not replaced: %s", slot.index, error)  # noqa: TRY400 - the system's refusal
            return False
        try:
            async with asyncio.timeout(START_S):
                await new.settled.wait()
        except TimeoutError:
            new.kill()
        finally:
            slot.successor = None
        if not new.serving:
            log.error(
                "worker %d is not replaced: the new one did not start: %s",
                slot.index,
                new.failed or f"exit code {new.code}",
            )
            return False
        old, slot.member = slot.member, new
        self._assign()
        if old is not None and old is not new:
            log.info("worker %d: process %d takes over from %d", slot.index, new.pid, old.pid)
            old.retire(Ending(drain_s=self._drain_s, finish_s=FINISH_S))
            await self._gone(old, self._drain_s + FINISH_S + self._flush_s + _GRACE_S)
        return True

    async def _gone(self, member: Member, limit_s: float) -> None:
        """Wait for the end of a worker, and force it at the end of its time."""
        try:
            async with asyncio.timeout(limit_s):
                await member.ended.wait()
        except TimeoutError:
            log.error(  # noqa: TRY400 - the time is over, the place does not matter
                "worker %d (process %d) does not end: killing it", member.index, member.pid
            )
            member.kill()
            await member.ended.wait()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            self.look()

    def look(self) -> None:
        """Count a second; end workers that have given no sign of life, to be started again."""
        for member in tuple(self._members):
            member.silence += 1
            if member.silence > SILENT_BEATS and not member.ending:
                log.error(
                    "worker %d (process %d) gives no sign of life: killing it",
                    member.index,
                    member.pid,
                )
                member.kill()
