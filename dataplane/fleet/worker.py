"""A worker: a data plane alone, which gets its tables and orders from a supervisor.

Its life: it is set up, gets a table and says so, takes connections from the sockets that it is told
of, and ends when it is told to. If the supervisor goes, it ends at once, for nobody would restart it,
and a new supervisor wants the port.

The listening sockets outlive it. What waits in the queue of one is served by whoever takes
connections from it next, so a worker that ends, or is killed, loses none that it has not taken.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from controlplane.table import news, snapshot
from controlplane.table.layout import prepare
from controlplane.table.live import LiveTable
from controlplane.table.news import News
from controlplane.table.schema import CredentialRef
from dataplane import codec, logs
from dataplane import telemetry as telemetry_door
from dataplane.credentials import Credentials
from dataplane.drain import drain
from dataplane.events import AttemptEnded, Event
from dataplane.fleet.channel import Channel, ChannelError, Kind
from dataplane.fleet.identity import own_environ
from dataplane.fleet.measuring import measure
from dataplane.fleet.messages import (
    Accept,
    Beat,
    Ending,
    Measured,
    Report,
    Setup,
    pack,
    plain,
    unpack,
)
from dataplane.flight import Decision
from dataplane.garbage import freeze
from dataplane.handlers import Limits
from dataplane.log_handler import LineHandler
from dataplane.plane import DataPlane, error_body
from dataplane.provider import Feature
from dataplane.recent import KEPT
from dataplane.server import Listener
from dataplane.telemetry import Telemetry
from dataplane.transitions import credential_changed, log_transition

BEAT_S = 1.0

_LOOK_S = 0.02
log = logging.getLogger("switchgear.worker")


async def work(channel: Channel, *, environ: Mapping[str, str], clock: Callable[[], float]) -> int:
    """Be the worker at this end of the channel; return the exit code.

    environ: where keys are looked up, and the OTEL_* variables. clock: monotonic seconds, the same
    as the supervisor's.
    """
    try:
        _, payload = await channel.receive()
    except ChannelError:
        return 1
    setup = unpack(Setup, payload)
    handler = logs.configure(
        setup.log_format, sys.stderr, setup.log_level, common={"worker": setup.worker}
    )
    if isinstance(handler, LineHandler):
        handler.batch(asyncio.get_running_loop().call_later, clock)
    try:
        telemetry = telemetry_door.build(
            own_environ(environ, setup.worker), version=setup.version, settings=setup.telemetry
        )
    except telemetry_door.SettingsError as error:
        channel.send(Kind.FAILED, str(error).encode())
        await channel.flush()
        return 1
    else:
        return await Worker(channel, setup, telemetry, environ=environ, clock=clock).run()
    finally:
        channel.close()
        logs.unconfigure(handler)


class Worker:
    """See the module."""

    def __init__(
        self,
        channel: Channel,
        setup: Setup,
        telemetry: Telemetry,
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        """Tie the parts together."""
        self._channel = channel
        self._setup = setup
        self._telemetry = telemetry
        self._clock = clock
        self._live = LiveTable(random=random.random)
        self._live.subscribe(log_transition)
        self._live.tell(self._tell)
        self._plane = DataPlane(
            live=self._live,
            credentials=Credentials(
                environ=environ,
                secrets_root=Path(setup.secrets_root),
                clock=clock,
                on_change=self._credential_changed,
            ),
            telemetry=telemetry,
            limits=Limits(
                max_body_bytes=setup.max_body_bytes,
                max_in_flight=setup.max_in_flight,
                loopback=setup.loopback,
            ),
            clock=clock,
        )
        self._plane.data.address = (setup.host, setup.port)
        self._plane.events.subscribe(self._listen, AttemptEnded)
        self._listening = [socket.socket(fileno=number) for number in setup.listeners]
        self._listener = Listener(
            self._plane.data.handle, error_body, max_connections=setup.max_connections
        )
        loop = asyncio.get_running_loop()
        self._retired: asyncio.Future[Ending] = loop.create_future()
        self._stopped: asyncio.Future[Ending] = loop.create_future()
        self._beaten_s = clock()
        self._served: set[str] = set()
        self._frozen = False

    async def run(self) -> int:
        """Serve until it is told to end, or the supervisor has gone; return the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._channel.send, Kind.WISH)
        async with self._plane:
            beating = asyncio.create_task(self._beat(), name="beat")
            obeying = asyncio.create_task(self._obey(), name="orders")
            ending = asyncio.create_task(self._end(), name="end")
            try:
                await asyncio.wait({obeying, ending}, return_when=asyncio.FIRST_COMPLETED)
                if obeying.done():
                    log.error("ending, as %s", obeying.exception())
                    left = None
                else:
                    left = ending.result()
            finally:
                tasks = (beating, obeying, ending)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                # A new supervisor may want the port while the last spans leave.
                self._close_listening()
                self._plane.data.cut_off()
                await self._listener.close()
                # Before the spans, so that the supervisor can export metrics while they leave.
                counts = self._plane.request_metrics.take().counts()
                self._channel.send(Kind.LAST, pack(Measured(counts=counts)))
                await self._telemetry.shutdown(self._setup.telemetry.flush_s)
        if left is None:
            return 1
        goodbye = {
            "report": plain(self._report(cut_off=left)),
            "recent": self._plane.recent.last(KEPT),
        }
        self._channel.send(Kind.GOODBYE, codec.encode(goodbye))
        await self._channel.flush()
        return 0

    async def _obey(self) -> None:
        """Do what the supervisor says. Raises ChannelError when it has gone."""
        while True:
            kind, payload = await self._channel.receive()
            match kind:
                case Kind.TABLE:
                    await self._install(payload)
                case Kind.NEWS:
                    for item in news.from_plain(codec.decode(payload)):
                        self._live.follow(item, self._clock())
                case Kind.ACCEPT:
                    await self._accept(unpack(Accept, payload))
                case Kind.ASK:
                    await self._answer(codec.decode_object(payload))
                case Kind.RETIRE | Kind.STOP:
                    order = self._retired if kind is Kind.RETIRE else self._stopped
                    if not order.done():
                        order.set_result(unpack(Ending, payload))
                case _:
                    raise ChannelError(f"the supervisor sent {kind.name}")

    async def _install(self, payload: bytes) -> None:
        """Go over to a table; what takes time in its size is done in another thread."""
        table = await asyncio.to_thread(snapshot.decode, payload)
        prepared = await asyncio.to_thread(prepare, table, self._live.layout)
        self._live.install(table, self._clock(), prepared)
        self._plane.installed(table)
        self._channel.send(Kind.INSTALLED, codec.encode({"generation": table.generation}))

    async def _accept(self, order: Accept) -> None:
        await self._listener.accept_only(
            {number: self._listening[number] for number in order.listeners}
        )
        if order.listeners and not self._frozen:
            self._frozen = True
            freeze()

    async def _end(self) -> int:
        """Wait for the order to end, and obey it. Returns how many requests were left unfinished."""
        orders: set[asyncio.Future[Any]] = {self._retired, self._stopped}
        await asyncio.wait(orders, return_when=asyncio.FIRST_COMPLETED)
        if self._retired.done():
            leaving = asyncio.create_task(self._leave(self._retired.result()))
            orders = {leaving, self._stopped}
            await asyncio.wait(orders, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                return leaving.result()
            # Now nobody stays: what is left has no longer than with all the others.
            leaving.cancel()
        ending = self._stopped.result()
        left = asyncio.create_task(
            drain(
                self._plane,
                self._listener,
                lame_duck_s=ending.lame_duck_s,
                drain_s=ending.drain_s,
            )
        )
        await asyncio.sleep(min(ending.lame_duck_s, ending.drain_s))
        # Nobody takes over: with the last copy the port closes, and callers are refused.
        self._close_listening()
        return await left

    async def _leave(self, ending: Ending) -> int:
        """End what another has taken over; there is time for it.

        A connection that is idle now may carry a request at any moment: its caller is told with the
        answer. Only those that stay idle for long are closed without a word.
        """
        await self._listener.accept_only({})
        self._close_listening()
        self._listener.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(ending.drain_s):
                while self._listener.connections:  # noqa: ASYNC110 - the server announces none
                    await asyncio.sleep(_LOOK_S)
        self._listener.stop_accepting()
        if self._plane.recent.in_flight:
            log.info("replaced, but %d requests are still running", self._plane.recent.in_flight)
        with suppress(TimeoutError):
            async with asyncio.timeout(ending.finish_s):
                await self._plane.recent.until_idle()
        return self._plane.recent.in_flight

    def _close_listening(self) -> None:
        for listening in self._listening:
            listening.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            before_s, self._beaten_s = self._beaten_s, self._clock()
            used = {
                name: used_s
                for name in self._live.table.providers
                if (used_s := self._live.last_used_s(name)) is not None and used_s >= before_s
            }
            beat = Beat(
                in_flight=self._plane.recent.in_flight,
                connections=self._listener.connections,
                used=used,
                served=sorted(self._served),
            )
            self._served.clear()
            self._channel.send(Kind.BEAT, pack(beat))

    async def _answer(self, question: Mapping[str, Any]) -> None:
        document: dict[str, Any] = {"id": question["id"]}
        match question["what"]:
            case "report":
                document["report"] = plain(self._report())
                document["telemetry"] = self._telemetry.status()
                document["recent"] = self._plane.recent.last(question["limit"])
            case "metrics":
                # It is told once, for the channel loses nothing.
                document["metrics"] = await measure(
                    self._plane.request_metrics,
                    self._plane.recent.in_flight,
                    self._live.calls(),
                )
            case "explain":
                needs = frozenset(Feature(word) for word in question["needs"])
                document["explain"] = self._plane.explain(question["model"], needs)
        self._channel.send(Kind.ANSWER, codec.encode(document))

    def _report(self, *, cut_off: int = 0) -> Report:
        return Report(
            requests=self._plane.recent.counts(),
            providers=tuple(self._live.measured_view(self._clock())),
            numbers=self._plane.metrics.numbers(),
            spans=self._telemetry.status().get("spans", {}),
            cut_off=cut_off,
        )

    def _tell(self, item: News) -> None:
        self._channel.send(Kind.NEWS, codec.encode(news.to_plain((item,))))

    def _listen(self, event: Event) -> None:
        if isinstance(event, AttemptEnded) and event.decision is Decision.SERVED:
            self._served.add(event.provider)

    def _credential_changed(self, ref: CredentialRef) -> None:
        credential_changed(self._live, ref, self._clock())
