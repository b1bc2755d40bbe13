"""Both planes in one process: the wiring, and the life of the process.

With more than one worker this is `supervise`'s; what follows is for one.

Start: the table from disk if there is one, then the manifests; listen; serve. End, on SIGTERM or
SIGINT: not ready, stop accepting, let running requests finish, flush telemetry, exit. A second
signal ends it at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable

from controlplane.reconcile import Reconciler
from controlplane.sources.files import FileSource
from controlplane.store import TableStore
from controlplane.table.live import LiveTable
from controlplane.table.schema import Table
from dataplane import logs
from dataplane import telemetry as telemetry_door
from dataplane.credentials import Credentials
from dataplane.garbage import freeze
from dataplane.handlers import Limits
from dataplane.log_handler import LineHandler
from dataplane.sidecar import Ports, Sidecar
from dataplane.transitions import credential_changed, log_transition
from switchgear import __version__
from switchgear.control_status import control_status
from switchgear.loops import loop_factory
from switchgear.settings import Settings

FIRST_TABLE_S = 1.0
"""How long the ports wait for a first table; then they open without one, and /readyz says so."""

_SWITCH_S = 0.001
"""How soon a thread that compiles manifests hands the interpreter back to the loop."""

log = logging.getLogger("switchgear")


def run(settings: Settings, *, on_ready: Callable[[Ports], None] | None = None) -> int:
    """Serve until a signal comes; return the exit code. Blocks."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(serve(settings, on_ready=on_ready))


async def serve(settings: Settings, *, on_ready: Callable[[Ports], None] | None = None) -> int:
    """Serve until a signal comes; return 0, or 1 if an address or a setting cannot be used.

    on_ready: called once with the addresses, when the ports are open.
    """
    handler = logs.configure(
        logs.LogFormat(settings.log_format.value),
        sys.stderr,
        logging.getLevelNamesMapping()[settings.log_level.value.upper()],
    )
    if isinstance(handler, LineHandler):
        handler.batch(asyncio.get_running_loop().call_later, time.monotonic)
    sys.setswitchinterval(_SWITCH_S)
    try:
        if settings.workers > 1:
            # Only those who have workers pay for what keeps them.
            from switchgear.supervise import supervise

            return await supervise(settings, on_ready)
        return await _serve(settings, on_ready)
    finally:
        logs.unconfigure(handler)


async def _serve(settings: Settings, on_ready: Callable[[Ports], None] | None) -> int:
    clock = time.monotonic
    environ = os.environ  # noqa: TID251 - the command reads the environment
    live = LiveTable(random=random.random)
    live.subscribe(log_transition)
    try:
        telemetry = telemetry_door.build(environ, version=__version__, settings=settings.telemetry)
        metrics = telemetry_door.build_metrics(environ, version=__version__)
    except telemetry_door.SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - the reader's mistake needs no traceback
        return 1
    credentials = Credentials(
        environ=environ,
        secrets_root=settings.secrets_root,
        clock=clock,
        on_change=lambda ref: credential_changed(live, ref, clock()),
    )
    assert settings.manifests is not None, "the command demands a directory"
    reconciler = Reconciler(
        FileSource(settings.manifests),
        live,
        TableStore(settings.table_dir),
        clock=clock,
        resync_s=settings.resync_s,
        on_install=lambda table: _installed(sidecar, table),
    )
    sidecar = Sidecar(
        live=live,
        credentials=credentials,
        telemetry=telemetry,
        ports=_ports(settings),
        limits=Limits(
            max_body_bytes=settings.max_body_bytes,
            max_in_flight=settings.max_in_flight,
            loopback=settings.listen.is_loopback,
        ),
        max_connections=settings.max_connections,
        problems=lambda: len(reconciler.status().problems),
        more_status=lambda: control_status(reconciler.status(), reconciler.objects()),
        clock=clock,
        metrics_sink=metrics,
    )
    try:
        async with asyncio.TaskGroup() as group:
            loop_task = group.create_task(reconciler.run(), name="reconciler")
            try:
                return await _until_stopped(settings, reconciler, sidecar, on_ready)
            finally:
                loop_task.cancel()
    finally:
        flush_s = settings.telemetry.flush_s
        # Side by side: both together get the time of one.
        ending = [telemetry.shutdown(flush_s)]
        if metrics is not None:
            ending.append(metrics.shutdown(flush_s))
        await asyncio.gather(*ending)


async def _until_stopped(
    settings: Settings,
    reconciler: Reconciler,
    sidecar: Sidecar,
    on_ready: Callable[[Ports], None] | None,
) -> int:
    """Open the ports once there is a table, serve, and drain."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stop)
    await _first_table(reconciler, stop)
    try:
        await sidecar.open()
    except OSError as error:
        log.error("cannot listen: %s", error)  # noqa: TRY400 - needs no traceback
        return 1
    async with sidecar:
        log.info("listening on %s:%d, admin on %s:%d", *sidecar.ports.data, *sidecar.ports.admin)
        if on_ready is not None:
            on_ready(sidecar.ports)
        freeze()
        await stop.wait()
        log.info("stopping: running requests get %g s", settings.drain_s)
        left = await sidecar.drain(lame_duck_s=settings.lame_duck_s, drain_s=settings.drain_s)
        if left:
            log.warning("%d requests were cut off at the end of the drain", left)
    return 0


async def _first_table(reconciler: Reconciler, stop: asyncio.Event) -> None:
    """Wait for a table; without one the ports open all the same, and /readyz says why."""
    waits = {
        asyncio.create_task(reconciler.ready.wait()),
        asyncio.create_task(stop.wait()),
    }
    await asyncio.wait(waits, timeout=FIRST_TABLE_S, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if not reconciler.ready.is_set() and not stop.is_set():
        log.warning("no table after %g s; serving none until manifests come", FIRST_TABLE_S)


def _ports(settings: Settings) -> Ports:
    probe = settings.probe
    return Ports(
        data=(settings.listen.host, settings.listen.port),
        admin=(settings.admin.host, settings.admin.port),
        probe=None if probe is None else (probe.host, probe.port),
    )


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(130)
    stop.set()


def _installed(sidecar: Sidecar, table: Table) -> None:
    sidecar.installed(table)
