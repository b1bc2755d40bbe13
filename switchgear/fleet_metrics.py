"""Metrics of requests of a supervisor: what all its workers have counted, those that are gone included.

A worker tells each count once, when it is asked and when it ends, and it is added here. So sums
never fall, and whoever reads them, Prometheus or a collector, gets the same ones. Only what a worker
that is killed had not told yet is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from controlplane.table.live import LiveTable
from controlplane.table.schema import Provider, Table
from controlplane.table.view import ProviderView
from dataplane import metric_text
from dataplane.metric_points import Reading
from dataplane.metric_reading import MetricsReader
from dataplane.request_counts import Counts
from dataplane.request_metrics import RequestMetrics
from dataplane.telemetry import MetricsSink
from switchgear.member import Member, ask_all


class FleetMetrics:
    """See the module. Exports to the sink in `async with`; then `end` it.

    live: the supervisor's own live table, for circuits and the generation. members: the workers
    that there are. problems: how many the manifests have. sink: where metrics go beside the admin
    port. clock: monotonic seconds. wall_ns: nanoseconds since the epoch.
    """

    def __init__(
        self,
        *,
        live: LiveTable,
        members: Callable[[], Sequence[Member]],
        problems: Callable[[], int],
        clock: Callable[[], float],
        wall_ns: Callable[[], int],
        sink: MetricsSink | None = None,
    ) -> None:
        """Start with nothing counted."""
        self._live = live
        self._members = members
        self._clock = clock
        self._sink = sink
        self._ended = False
        self._following: asyncio.Task[None] | None = None
        self._counted = RequestMetrics(self._provider)
        self._reader = MetricsReader(
            self._counted,
            view=self._view,
            active=lambda: sum(member.active for member in members()),
            generation=lambda: live.table.generation,
            problems=problems,
            wall_ns=wall_ns,
        )

    async def __aenter__(self) -> Self:
        """Begin to export, if there is a sink."""
        if self._sink is not None:
            follow = self._sink.follow(self.read, self.refresh)
            self._following = asyncio.create_task(follow, name="metrics")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Export no more at an interval."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def add(self, counts: Counts) -> None:
        """Add what a worker has counted since it told before."""
        self._counted.add(counts)

    def installed(self, table: Table) -> None:
        """Forget what a new table no longer has."""
        self._counted.keep_only(table.providers)

    async def refresh(self) -> None:
        """Ask the workers for what is new; one that does not answer in time keeps it for later."""
        await ask_all(self._members(), "metrics")

    def read(self, exemplars: bool = False) -> Reading:  # noqa: FBT001, FBT002 - as MetricsReader has it
        """Read what is known now. exemplars: with those since they were last asked for."""
        return self._reader.read(exemplars)

    def exposition(self) -> bytes:
        """Give the body of a scrape, of what is known now."""
        return metric_text.exposition(self.read().metrics)

    def status(self) -> Mapping[str, Any]:
        """Tell where metrics go, as a part of the status document; empty if nowhere."""
        return {} if self._sink is None else {"metrics": self._sink.status()}

    async def end(self, flush_s: float) -> None:
        """Export the last reading, once all workers have told, for at most `flush_s` seconds.

        The workers must have been told to end. Later calls do nothing.
        """
        if self._sink is None or self._ended:
            return
        self._ended = True
        for member in self._members():
            await member.told.wait()
        await self._sink.shutdown(flush_s)

    def _provider(self, name: str) -> Provider | None:
        return self._live.table.providers.get(name)

    def _view(self) -> Sequence[ProviderView]:
        """Show providers as the live table has them, which admits no calls, with those of the workers."""
        calls: dict[str, int] = {}
        for member in self._members():
            for name, count in member.calls.items():
                calls[name] = calls.get(name, 0) + count
        return [
            replace(provider, in_flight=calls.get(provider.name, 0))
            for provider in self._live.view(self._clock())
        ]
