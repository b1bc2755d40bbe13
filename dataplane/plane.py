"""The data plane without its listeners: what turns a request into an answer, tied together.

It is given the live table, and knows nothing of who fills it, nor of who listens.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from controlplane.table.live import LiveTable
from controlplane.table.schema import Provider, Table
from dataplane import capabilities, registry, status
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
from dataplane.metrics import ProviderMetrics
from dataplane.pool import ProviderPool
from dataplane.provider import Feature
from dataplane.recent import RecentRequests
from dataplane.request_log import log_request
from dataplane.request_metrics import RequestMetrics
from dataplane.telemetry import Telemetry
from dataplane.transport import HttpTransport
from dataplane.wire import reply


class DataPlane:
    """The parts that serve requests. Open it with `async with`, for calls to providers.

    data: answers the requests of the data port. recent: the last of them, and counts.
    metrics: numbers by provider. request_metrics: what is exported of requests and attempts. pool: the providers. events: what happens to requests.
    clock: monotonic seconds.
    adapters: the types of providers there are.
    """

    def __init__(
        self,
        *,
        live: LiveTable,
        credentials: Credentials,
        telemetry: Telemetry,
        limits: Limits,
        clock: Callable[[], float],
        adapters: registry.Adapters = registry.ADAPTERS,
    ) -> None:
        """Tie the parts together; nothing is opened."""
        self._live = live
        self._clock = clock
        self._transport = HttpTransport()
        self.recent = RecentRequests()
        self.pool = ProviderPool(self._transport, credentials, clock, adapters)
        self.metrics = ProviderMetrics(clock, time.time)
        self.judge = status.Judge(
            credential=lambda provider: credential_state(credentials, provider),
            capabilities=self._capabilities_of,
        )
        self.request_metrics = RequestMetrics(self._provider)
        live.subscribe(self.metrics.moved)
        self.events = events = Events()
        events.subscribe(self.recent.listen, RequestStarted, RequestCompleted, RequestFailed)
        events.subscribe(self.metrics.listen, AttemptEnded)
        events.subscribe(self.request_metrics.listen, AttemptEnded, RequestCompleted, RequestFailed)
        events.subscribe(_log, RequestCompleted, RequestFailed)
        forwarder = Forwarder(
            live=live,
            provider_of=self.pool.get,
            credentials=credentials,
            events=events,
            clock=clock,
            random=random.random,
        )
        self.data = DataPort(
            live=live,
            forwarder=forwarder,
            telemetry=telemetry,
            events=events,
            recent=self.recent,
            capabilities=self.capabilities,
            limits=limits,
            clock=clock,
        )

    async def __aenter__(self) -> Self:
        """Open the client, and get ready for the table that is in force."""
        self.pool.follow(self._live.table)
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self._transport.__aexit__(kind, error, traceback)

    def installed(self, table: Table) -> None:
        """Take note of a new table."""
        self.pool.follow(table)
        self.metrics.keep_only(table.providers)
        self.request_metrics.keep_only(table.providers)

    def capabilities(self) -> Mapping[str, Any]:
        """Tell what each model name can do."""
        return capabilities.document(self._live.table, self._capabilities_of)

    def capability_rows(self) -> Mapping[str, Any]:
        """Tell the same, for `rows.encode`."""
        return capabilities.in_rows(self._live.table, self._capabilities_of)

    def explain(self, model: str, needs: frozenset[Feature]) -> Mapping[str, Any] | None:
        """Tell where a request would go now; see `status.explain`."""
        return status.explain(self._live, model, needs, self._clock(), self.judge)

    def _provider(self, name: str) -> Provider | None:
        return self._live.table.providers.get(name)

    def _capabilities_of(self, provider: Provider, model: str) -> frozenset[Feature]:
        return self.pool.get(provider).capabilities(model)


def credential_state(credentials: Credentials, provider: Provider) -> str:
    """Tell `present`, `missing` or `none`."""
    return status.credential_word(provider, lambda ref: credentials.value(ref) is not None)


def error_body(code: int, message: str) -> bytes:
    """Make the body of an error that the server answers by itself."""
    return reply.error_body(RequestRejected(message, status=code))[2]


def _log(event: Event) -> None:
    if isinstance(event, RequestCompleted | RequestFailed):
        log_request(event.span, event.request_id)
