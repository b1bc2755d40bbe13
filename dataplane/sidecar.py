"""The data plane as one object: its listeners, its prober, its end.

It is given the live table, and knows nothing of who fills it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from controlplane.table import snapshot
from controlplane.table.live import LiveTable
from controlplane.table.schema import Table
from dataplane import registry, status
from dataplane.admin import AdminPort, ProbePort, Views
from dataplane.credentials import Credentials
from dataplane.drain import drain
from dataplane.handlers import Limits
from dataplane.metric_reading import MetricsReader
from dataplane.metric_text import exposition
from dataplane.plane import DataPlane, error_body
from dataplane.probe import Prober
from dataplane.server import Listener
from dataplane.telemetry import MetricsSink, Telemetry

MAX_ADMIN_CONNECTIONS = 64

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the data plane listens; port 0 takes a free one. probe: None for no probe port."""

    data: Address
    admin: Address
    probe: Address | None = None


class Sidecar:
    """The data plane. Open it with `async with`; then `drain` before the end.

    more_status: what others add to the status document, asked at each request for it.
    clock: monotonic seconds. adapters: the types of providers there are.
    problems: how many problems the manifests have. metrics_sink: where metrics go beside the admin port.
    events: what happens to requests; whoever wants to know subscribes before it opens.
    """

    def __init__(
        self,
        *,
        live: LiveTable,
        credentials: Credentials,
        telemetry: Telemetry,
        ports: Ports,
        limits: Limits,
        max_connections: int,
        more_status: Callable[[], Mapping[str, Any]],
        clock: Callable[[], float],
        problems: Callable[[], int] = lambda: 0,
        metrics_sink: MetricsSink | None = None,
        adapters: registry.Adapters = registry.ADAPTERS,
    ) -> None:
        """Tie the parts together; nothing is opened."""
        self._live = live
        self._telemetry = telemetry
        self._wanted = ports
        self.ports = ports
        self._more_status = more_status
        self._clock = clock
        self._metrics_sink = metrics_sink
        self._plane = DataPlane(
            live=live,
            credentials=credentials,
            telemetry=telemetry,
            limits=limits,
            clock=clock,
            adapters=adapters,
        )
        self._data = self._plane.data
        self.events = self._plane.events
        self._reader = MetricsReader(
            self._plane.request_metrics,
            view=lambda: live.view(clock()),
            active=lambda: self._plane.recent.in_flight,
            generation=lambda: live.table.generation,
            problems=problems,
            wall_ns=time.time_ns,
        )
        admin = AdminPort(
            Views(
                ready=self._not_ready,
                status=self._status,
                table=lambda: snapshot.encode(live.table),
                explain=self._plane.explain,
                capabilities=self._plane.capability_rows,
                recent=self._plane.recent,
                metrics=lambda: exposition(self._reader.read().metrics),
            )
        )
        self._listeners = {
            "data": Listener(self._data.handle, error_body, max_connections=max_connections),
            "admin": Listener(admin.handle, error_body, max_connections=MAX_ADMIN_CONNECTIONS),
            "probe": Listener(
                ProbePort(admin).handle, error_body, max_connections=MAX_ADMIN_CONNECTIONS
            ),
        }
        self._prober = Prober(live=live, pool=self._plane.pool, clock=clock, random=random.random)
        self._stack = AsyncExitStack()
        self._opened = False

    async def open(self) -> None:
        """Open the client, then the ports. Raises OSError if an address is taken."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._plane)
            addresses: dict[str, Address] = {}
            for name, address in self._addresses().items():
                stack.push_async_callback(self._listeners[name].close)
                addresses[name] = await self._listeners[name].start(*address)
            self.ports = Ports(
                data=addresses["data"], admin=addresses["admin"], probe=addresses.get("probe")
            )
            self._data.address = self.ports.data
            probing = asyncio.create_task(self._prober.run(), name="prober")
            stack.push_async_callback(_cancelled, probing)
            if self._metrics_sink is not None:
                follow = self._metrics_sink.follow(self._reader.read)
                telling = asyncio.create_task(follow, name="metrics")
                stack.push_async_callback(_cancelled, telling)
            self._stack = stack.pop_all()
            self._opened = True

    async def __aenter__(self) -> Self:
        """Open, unless `open` did."""
        if not self._opened:
            await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close everything, running requests included; `drain` lets them finish first."""
        self._data.cut_off()
        await self._stack.aclose()

    def installed(self, table: Table) -> None:
        """Take note of a new table."""
        self._plane.installed(table)

    async def drain(self, *, lame_duck_s: float, drain_s: float) -> int:
        """Stop: not ready at once, no new connections after `lame_duck_s`, then wait.

        Running requests get `drain_s` seconds in all. Returns how many were left unfinished.
        """
        return await drain(
            self._plane, self._listeners["data"], lame_duck_s=lame_duck_s, drain_s=drain_s
        )

    def _addresses(self) -> Mapping[str, Address]:
        addresses = {"data": self._wanted.data, "admin": self._wanted.admin}
        if self._wanted.probe is not None:
            addresses["probe"] = self._wanted.probe
        return addresses

    def _not_ready(self) -> str:
        if self._data.draining:
            return "draining"
        return "" if self._live.table.generation else "no table yet"

    def _status(self) -> Mapping[str, Any]:
        table = self._live.table
        return {
            "ready": not self._not_ready(),
            "draining": self._data.draining,
            "generation": table.generation,
            "tableVersion": table.version,
            **self._more_status(),
            "providers": status.providers(
                self._live,
                self._clock(),
                self._plane.judge.credential,
                self._plane.metrics.view,
            ),
            "routes": status.routes(table),
            "requests": self._plane.recent.counts(),
            "telemetry": {**self._telemetry.status(), **self._metrics_status()},
            "workers": [],
        }

    def _metrics_status(self) -> Mapping[str, Any]:
        return {} if self._metrics_sink is None else {"metrics": self._metrics_sink.status()}


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
