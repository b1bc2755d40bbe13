"""Several workers: the control plane in this process, a data plane in each of the others.

The control loop, the last good table, probes of providers and the admin port are here, once. The
workers get tables and each other's news, and take connections from sockets that are held here; see
`fleet` and `dataplane.fleet.worker`.

SIGTERM and SIGINT end all, as with one process. SIGUSR1 replaces the workers one by one. If this
process dies the workers end by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from controlplane.reconcile import Reconciler
from controlplane.sources.files import FileSource
from controlplane.store import TableStore
from controlplane.table import snapshot
from controlplane.table.live import LiveTable
from controlplane.table.schema import Provider, Table
from dataplane import logs, status
from dataplane.admin import ProbePort
from dataplane.credentials import Credentials
from dataplane.fleet.messages import Ending, Setup
from dataplane.garbage import freeze
from dataplane.plane import credential_state, error_body
from dataplane.pool import ProviderPool
from dataplane.probe import Prober
from dataplane.provider import Feature
from dataplane.server import BACKLOG, Listener
from dataplane.sidecar import MAX_ADMIN_CONNECTIONS, Ports
from dataplane.telemetry import MetricsSink, SettingsError, build_metrics
from dataplane.telemetry_settings import plan
from dataplane.transitions import credential_changed
from dataplane.transport import HttpTransport
from switchgear import __version__, sockets
from switchgear.control_status import control_status
from switchgear.fleet import Fleet
from switchgear.fleet_admin import Departed, FleetAdmin
from switchgear.fleet_metrics import FleetMetrics
from switchgear.member import Member, Offer, Owner
from switchgear.settings import Settings
from switchgear.shares import share, shared_out, too_small

FIRST_TABLE_S = 1.0
"""How long the admin port waits for a first table; then it opens without one, and says so."""

FIRST_WORKER_S = 15.0
"""How long it waits for a first worker; then it opens without one, and says so."""

log = logging.getLogger("switchgear.supervisor")


class Supervisor:
    """The process that has the workers.

    settings: with `workers` above one. listening: the bound sockets of the data port, one a worker.
    sink: where metrics go beside the admin port.
    """

    def __init__(
        self,
        settings: Settings,
        listening: Sequence[socket.socket],
        sink: MetricsSink | None = None,
    ) -> None:
        """Tie the parts together; nothing is started."""
        self._settings = settings
        self._listening = listening
        self._clock = clock = time.monotonic
        self._live = live = LiveTable(random=random.random)
        environ = os.environ  # noqa: TID251 - the command reads the environment
        credentials = Credentials(
            environ=environ,
            secrets_root=settings.secrets_root,
            clock=clock,
            on_change=lambda ref: credential_changed(live, ref, clock()),
        )
        self._transport = HttpTransport()
        self._pool = ProviderPool(self._transport, credentials, clock)
        self._departed = Departed(clock)
        live.subscribe(self._departed.metrics.moved)
        assert settings.manifests is not None, "the command demands a directory"
        self.reconciler = Reconciler(
            FileSource(settings.manifests),
            live,
            TableStore(settings.table_dir),
            clock=clock,
            resync_s=settings.resync_s,
            on_install=self._installed,
        )
        self.metrics = FleetMetrics(
            live=live,
            members=lambda: self.fleet.members,
            problems=lambda: len(self.reconciler.status().problems),
            clock=clock,
            wall_ns=time.time_ns,
            sink=sink,
        )
        self.fleet = Fleet(
            settings.workers,
            launch=self._launch,
            listen=self._listen,
            live=live,
            departed=self._departed.add,
            measured=self.metrics.add,
            clock=clock,
            drain_s=settings.drain_s,
            flush_s=settings.telemetry.flush_s,
        )
        self.draining = False
        self.admin = FleetAdmin(
            fleet=self.fleet,
            live=live,
            departed=self._departed,
            metrics=self.metrics,
            judge=status.Judge(
                credential=lambda provider: credential_state(credentials, provider),
                capabilities=self._capabilities,
            ),
            more_status=lambda: control_status(self.reconciler.status(), self.reconciler.objects()),
            draining=lambda: self.draining,
            clock=clock,
        )

    async def run(self, on_ready: Callable[[Ports], None] | None) -> int:
        """Serve until a signal comes; return the exit code."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, stop)
        loop.add_signal_handler(signal.SIGUSR1, self.fleet.roll)
        prober = Prober(live=self._live, pool=self._pool, clock=self._clock, random=random.random)
        try:
            async with self._transport, asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.reconciler.run(), name="reconciler"),
                    group.create_task(self.fleet.run(), name="workers"),
                    group.create_task(prober.run(), name="prober"),
                ]
                try:
                    return await self._until_stopped(stop, on_ready)
                finally:
                    for task in tasks:
                        task.cancel()
        finally:
            # Also if no worker could start, and there is nothing to export.
            await self.metrics.end(self._settings.telemetry.flush_s)

    async def _until_stopped(
        self, stop: asyncio.Event, on_ready: Callable[[Ports], None] | None
    ) -> int:
        await self._first_worker(stop)
        if self.fleet.failed:
            log.error("%s", self.fleet.failed)
            return 1
        async with AsyncExitStack() as stack:
            try:
                ports = await self._open(stack)
            except OSError as error:
                log.error("cannot listen: %s", error)  # noqa: TRY400 - needs no traceback
                return 1
            log.info(
                "listening on %s:%d, admin on %s:%d, with %d workers",
                *ports.data,
                *ports.admin,
                self._settings.workers,
            )
            await stack.enter_async_context(self.metrics)
            if on_ready is not None:
                on_ready(ports)
            freeze()
            await stop.wait()
            await self._drain()
        return 0

    async def _first_worker(self, stop: asyncio.Event) -> None:
        """Wait for a worker that serves; without a table none does, and /readyz says why."""
        stopped = asyncio.create_task(stop.wait())
        table = asyncio.create_task(self.reconciler.ready.wait())
        worker = asyncio.create_task(self.fleet.settled.wait())
        try:
            await asyncio.wait(
                {stopped, table, worker},
                timeout=FIRST_TABLE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self.reconciler.ready.is_set():
                await asyncio.wait(
                    {stopped, worker},
                    timeout=FIRST_WORKER_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            elif not stop.is_set():
                log.warning("no table after %g s; serving none until manifests come", FIRST_TABLE_S)
        finally:
            for task in (stopped, table, worker):
                task.cancel()

    async def _open(self, stack: AsyncExitStack) -> Ports:
        """Open the admin port and the probe port. Raises OSError if an address is taken."""
        settings = self._settings
        admin = Listener(self.admin.handle, error_body, max_connections=MAX_ADMIN_CONNECTIONS)
        stack.push_async_callback(admin.close)
        address = await admin.start(settings.admin.host, settings.admin.port)
        probed = None
        if settings.probe is not None:
            probe = Listener(
                ProbePort(self.admin.port).handle,
                error_body,
                max_connections=MAX_ADMIN_CONNECTIONS,
            )
            stack.push_async_callback(probe.close)
            probed = await probe.start(settings.probe.host, settings.probe.port)
        return Ports(data=self._listening[0].getsockname()[:2], admin=address, probe=probed)

    async def _drain(self) -> None:
        settings = self._settings
        log.info("stopping: running requests get %g s", settings.drain_s)
        self.draining = True
        # The workers have their own copies, and close them when their time to accept is over.
        for listening in self._listening:
            listening.close()
        ending = Ending(drain_s=settings.drain_s, lame_duck_s=settings.lame_duck_s)
        left, _ = await asyncio.gather(
            self.fleet.stop(ending), self.metrics.end(settings.telemetry.flush_s)
        )
        if left:
            log.warning("%d requests were cut off at the end of the drain", left)

    def _installed(self, table: Table) -> None:
        """Give a new table to the workers."""
        workers = self._settings.workers
        if names := too_small(table, workers):
            log.warning(
                "maxInFlight of %s is below one call for each of %d workers, and is taken as that",
                ", ".join(names),
                workers,
            )
        self._pool.follow(table)
        self._departed.installed(table)
        self.metrics.installed(table)
        self.fleet.publish(
            Offer(
                table.generation,
                snapshot.encode(shared_out(table, workers)),
                lambda: self._live.news(self._clock()),
            )
        )

    def _listen(self) -> None:
        """Let the port take connections: all sockets at once, and none is closed before the end."""
        for listening in self._listening:
            listening.listen(BACKLOG)

    async def _launch(self, index: int, owner: Owner) -> Member:
        settings, workers = self._settings, self._settings.workers
        host, port = self._listening[0].getsockname()[:2]
        setup = Setup(
            worker=index,
            version=__version__,
            listeners=tuple(listening.fileno() for listening in self._listening),
            host=host,
            port=port,
            max_body_bytes=settings.max_body_bytes,
            max_in_flight=share(settings.max_in_flight, workers, index),
            max_connections=share(settings.max_connections, workers, index),
            loopback=settings.listen.is_loopback,
            secrets_root=str(settings.secrets_root),
            log_format=logs.LogFormat(settings.log_format.value),
            log_level=logging.getLevelNamesMapping()[settings.log_level.value.upper()],
            telemetry=settings.telemetry,
        )
        return await Member.launch(setup, owner, self._clock)

    def _capabilities(self, provider: Provider, model: str) -> frozenset[Feature]:
        return self._pool.get(provider).capabilities(model)


async def supervise(settings: Settings, on_ready: Callable[[Ports], None] | None = None) -> int:
    """Serve until a signal comes; return 0, or 1 if an address or a setting cannot be used."""
    environ = os.environ  # noqa: TID251 - the command reads the environment
    try:
        # What is wrong is said once, here, and not by each worker.
        plan(environ, settings.telemetry)
        sink = build_metrics(environ, version=__version__)
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - the reader's mistake needs no traceback
        return 1
    try:
        listening = sockets.bind(settings.listen, settings.workers)
    except OSError as error:
        log.error("cannot listen: %s", error)  # noqa: TRY400 - needs no traceback
        if sink is not None:
            await sink.shutdown(0.0)
        return 1
    try:
        return await Supervisor(settings, listening, sink).run(on_ready)
    finally:
        for each in listening:
            each.close()


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(130)
    stop.set()
