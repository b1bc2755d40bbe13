"""Metrics on their way out over OTLP: read on the loop at an interval, sent by a thread.

A collector that is away or slow costs a reading, not a request, and no memory: one reading waits
at most, and the next takes its place.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dataplane import telemetry_names as names
from dataplane.metric_difference import Difference
from dataplane.metric_points import Reading
from dataplane.telemetry_export import ExportQueue
from dataplane.telemetry_http import HttpSender, World
from dataplane.telemetry_log import ExportLog
from dataplane.telemetry_metric_settings import MetricsPlan
from dataplane.telemetry_metrics_protobuf import CONTENT_TYPE, MetricsEncoder
from dataplane.telemetry_settings import SettingsError
from dataplane.telemetry_start import resource

_WORLD = World(now_s=time.monotonic, now=lambda: datetime.now(UTC), random=random.random)

Read = Callable[[bool], Reading]
"""Reads all metrics; with exemplars if so told."""

Refresh = Callable[[], Awaitable[object]]
"""Gets what the next reading is to tell."""


class MetricsExport:
    """Exports what `follow` is given to read."""

    def __init__(self, plan: MetricsPlan, queue: ExportQueue[Reading]) -> None:
        """Hand readings to `queue`."""
        self._plan = plan
        self._queue = queue
        self._read: Read | None = None

    async def follow(self, read: Read, refresh: Refresh | None = None) -> None:
        """Read and export for ever, once in an interval; runs until it is cancelled.

        refresh: awaited before each reading but that of `shutdown`, which waits for nobody.
        """
        self._read = read
        while True:
            await asyncio.sleep(self._plan.interval_s)
            if refresh is not None:
                await refresh()
            self._put()

    def status(self) -> Mapping[str, Any]:
        """Tell where readings go, and what became of them."""
        return {
            "endpoint": self._plan.export.shown_endpoint,
            "intervalSeconds": self._plan.interval_s,
            "temporality": "delta" if self._plan.delta else "cumulative",
            "readings": dict(self._queue.counts()),
        }

    async def shutdown(self, flush_s: float) -> bool:
        """Export a last reading, for at most `flush_s` seconds; whether it arrived."""
        if self._read is not None:
            self._put()
        return await self._queue.close(flush_s)

    def _put(self) -> None:
        if self._read is not None:
            self._queue.put(_Waiting(self._read(self._plan.exemplars)))


class _Waiting:
    """A reading that waits for its export."""

    __slots__ = ("_reading",)

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def record(self) -> Reading:
        return self._reading


class _Sending:
    """Encodes readings, and sends them one by one."""

    def __init__(self, sender: HttpSender, encoder: MetricsEncoder, *, delta: bool) -> None:
        self._sender = sender
        self._encoder = encoder
        self._difference = Difference() if delta else None

    def export(self, batch: Sequence[Reading]) -> bool:
        arrived = True
        for reading in batch:
            told = reading if self._difference is None else self._difference.of(reading)
            arrived = self._sender.send(self._encoder.encode(told)) and arrived
        return arrived

    def shutdown(self) -> None:
        self._sender.shutdown()


def start(
    plan: MetricsPlan,
    environ: Mapping[str, str],
    *,
    version: str,
    world: World = _WORLD,
    wall_ns: Callable[[], int] = time.time_ns,
) -> MetricsExport:
    """Build the export for a plan. Raises SettingsError for what cannot be built."""
    log = ExportLog(world.now_s, plan.export.shown_endpoint, "metrics")
    encoder = MetricsEncoder(
        resource(plan.export, environ, version),
        names.NS,
        version,
        delta=plan.delta,
        offset_ns=wall_ns() - round(world.now_s() * 1e9),
    )
    try:
        sender = HttpSender(
            plan.export, CONTENT_TYPE, log, user_agent=f"{names.NS}/{version}", world=world
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"the OTLP exporter of metrics cannot be built: {error}") from error
    exporter = _Sending(sender, encoder, delta=plan.delta)
    return MetricsExport(plan, ExportQueue(exporter, plan.export.queue, log))
