"""The data plane as one object: its listeners, its prober, its end.

It is given the live table, and knows nothing of who fills it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from controlplane.table import snapshot
from controlplane.table.live import LiveTable
from controlplane.table.schema import Provider, Table
from dataplane import capabilities, registry, status
from dataplane.admin import AdminPort, ProbePort, Views
from dataplane.credentials import Credentials
from dataplane.errors import RequestRejected
from dataplane.events import (
    AttemptEnded,
    Event,
    Events,
    RequestCompleted,
    RequestFailed,
    RequestStarted,
)
from dataplane.forward import Forwarder
from dataplane.handlers import DataPort, Limits
from dataplane.logs import log_request
from dataplane.metric_reading import MetricsReader
from dataplane.metric_text import exposition
from dataplane.metrics import ProviderMetrics
from dataplane.pool import ProviderPool
from dataplane.probe import Prober
from dataplane.provider import Feature
from dataplane.recent import RecentRequests
from dataplane.request_metrics import RequestMetrics
from dataplane.server import Listener
from dataplane.telemetry import MetricsSink, Telemetry
from dataplane.transport import HttpTransport
from dataplane.wire import reply

_MAX_ADMIN_CONNECTIONS = 64

log = logging.getLogger("switchgear")

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
        self._credentials = credentials
        self._telemetry = telemetry
        self._wanted = ports
        self.ports = ports
        self._more_status = more_status
        self._clock = clock
        self._recent = RecentRequests()
        self._transport = HttpTransport()
        self._pool = ProviderPool(self._transport, credentials, clock, adapters)
        self._metrics = ProviderMetrics(clock, time.time)
        self._metrics_sink = metrics_sink
        self._request_metrics = RequestMetrics(self._provider)
        self._reader = MetricsReader(
            self._request_metrics,
            view=lambda: live.view(clock()),
            active=lambda: self._recent.in_flight,
            generation=lambda: live.table.generation,
            problems=problems,
            wall_ns=time.time_ns,
        )
        live.subscribe(self._metrics.moved)
        self.events = Events()
        self.events.subscribe(self._recent.listen, RequestStarted, RequestCompleted, RequestFailed)
        self.events.subscribe(self._metrics.listen, AttemptEnded)
        self.events.subscribe(
            self._request_metrics.listen, AttemptEnded, RequestCompleted, RequestFailed
        )
        self.events.subscribe(_log, RequestCompleted, RequestFailed)
        forwarder = Forwarder(
            live=live,
            pool=self._pool,
            credentials=credentials,
            events=self.events,
            clock=clock,
            random=random.random,
        )
        self._data = DataPort(
            live=live,
            forwarder=forwarder,
            telemetry=telemetry,
            events=self.events,
            recent=self._recent,
            capabilities=self._capabilities,
            limits=limits,
            clock=clock,
        )
        judge = status.Judge(credential=self._credential, capabilities=self._capabilities_of)
        admin = AdminPort(
            Views(
                ready=self._not_ready,
                status=self._status,
                table=lambda: snapshot.encode(live.table),
                explain=lambda model, needs: status.explain(live, model, needs, clock(), judge),
                capabilities=lambda: capabilities.in_rows(live.table, self._capabilities_of),
                metrics=lambda: exposition(self._reader.read().metrics),
                recent=self._recent,
            )
        )
        self._listeners = {
            "data": Listener(self._data.handle, _error_body, max_connections=max_connections),
            "admin": Listener(admin.handle, _error_body, max_connections=_MAX_ADMIN_CONNECTIONS),
            "probe": Listener(
                ProbePort(admin).handle, _error_body, max_connections=_MAX_ADMIN_CONNECTIONS
            ),
        }
        self._prober = Prober(live=live, pool=self._pool, clock=clock, random=random.random)
        self._stack = AsyncExitStack()
        self._opened = False

    async def open(self) -> None:
        """Open the client, then the ports. Raises OSError if an address is taken."""
        self._pool.follow(self._live.table)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._transport)
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
        self._pool.follow(table)
        self._metrics.keep_only(table.providers)
        self._request_metrics.keep_only(table.providers)

    async def drain(self, *, lame_duck_s: float, drain_s: float) -> int:
        """Stop: not ready at once, no new connections after `lame_duck_s`, then wait.

        Running requests get `drain_s` seconds in all. Returns how many were left unfinished.
        """
        self._data.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await asyncio.sleep(lame_duck_s)
                self._listeners["data"].stop_accepting()
                await self._recent.idle.wait()
        return self._recent.in_flight

    def _addresses(self) -> Mapping[str, Address]:
        addresses = {"data": self._wanted.data, "admin": self._wanted.admin}
        if self._wanted.probe is not None:
            addresses["probe"] = self._wanted.probe
        return addresses

    def _capabilities(self) -> Mapping[str, Any]:
        return capabilities.document(self._live.table, self._capabilities_of)

    def _capabilities_of(self, provider: Provider, model: str) -> frozenset[Feature]:
        return self._pool.get(provider).capabilities(model)

    def _not_ready(self) -> str:
        if self._data.draining:
            return "draining"
        return "" if self._live.table.generation else "no table yet"

    def _provider(self, name: str) -> Provider | None:
        return self._live.table.providers.get(name)

    def _credential(self, provider: Provider) -> str:
        return status.credential_word(
            provider, lambda ref: self._credentials.value(ref) is not None
        )

    def _status(self) -> Mapping[str, Any]:
        table = self._live.table
        return {
            "ready": not self._not_ready(),
            "draining": self._data.draining,
            "generation": table.generation,
            "tableVersion": table.version,
            **self._more_status(),
            "providers": status.providers(
                self._live, self._clock(), self._credential, self._metrics.view
            ),
            "routes": status.routes(table),
            "requests": self._recent.counts(),
            "telemetry": {**self._telemetry.status(), **self._metrics_status()},
        }

    def _metrics_status(self) -> Mapping[str, Any]:
        return {} if self._metrics_sink is None else {"metrics": self._metrics_sink.status()}


def _log(event: Event) -> None:
    if isinstance(event, RequestCompleted | RequestFailed):
        log_request(event.span, event.request_id)


def _error_body(code: int, message: str) -> bytes:
    return reply.error_body(RequestRejected(message, status=code))[2]


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
