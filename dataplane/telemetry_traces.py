"""Telemetry with traces on: request spans over a tracer, whoever that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dataplane import telemetry_names as names
from dataplane.flight import Clock, FlightRecord
from dataplane.telemetry import RequestSpan
from dataplane.telemetry_attributes import (
    MAX_HEADER_CHARS,
    MAX_PATH_CHARS,
    MAX_USER_AGENT_CHARS,
    clean_text,
)
from dataplane.telemetry_export import ExportQueue
from dataplane.telemetry_guard import Guard
from dataplane.telemetry_records import SpanContext, SpanRecord
from dataplane.telemetry_settings import ExporterKind, ExportPlan, Inbound
from dataplane.telemetry_spans import Common, TracedRequest
from dataplane.telemetry_w3c import NO_INBOUND
from dataplane.telemetry_w3c import Inbound as Caller

_NO_LINKS: Final[tuple[SpanContext, ...]] = ()
_NO_HEADERS: Final[Mapping[str, str]] = {}


class Traces:
    """Telemetry that makes spans; `queue` is None if another's provider keeps them."""

    def __init__(
        self,
        export: ExportPlan,
        common: Common,
        queue: ExportQueue[SpanRecord] | None,
        *,
        guard: Guard,
        clock: Clock,
    ) -> None:
        """Make spans with `common`, and flush `queue` at the end."""
        self._export = export
        self._common = common
        self._propagation = common.propagation
        self._settings = common.settings
        self._queue = queue
        self._guard = guard
        self._clock = clock
        self._given = tuple(common.settings.header_attributes.items())
        self._links = common.settings.inbound is Inbound.LINK
        self._ignores = common.settings.inbound is Inbound.IGNORE
        self._closed = False

    def request(
        self,
        method: str,
        route: str,
        headers: Mapping[str, str],
        *,
        path: str,
        scheme: str,
        server_address: str,
        server_port: int,
        user_agent: str,
    ) -> RequestSpan:
        """Begin a server span, under the caller's context as the settings say."""
        flight = FlightRecord(self._clock)
        if route in names.UNTRACED_ROUTES:
            return RequestSpan(flight)
        caller = self._caller(headers)
        links = _NO_LINKS
        if self._links:
            if caller.parent is not None:
                links = (caller.parent,)
            caller = NO_INBOUND
        if len(path) > MAX_PATH_CHARS or len(user_agent) > MAX_USER_AGENT_CHARS:
            path, user_agent = path[:MAX_PATH_CHARS], user_agent[:MAX_USER_AGENT_CHARS]
        key = (method, route, path, scheme, server_address, server_port, user_agent)
        given = self._mapped(headers) if self._given else _NO_HEADERS
        traced = TracedRequest(self._common, flight, key, caller, links=links, given=given)
        return RequestSpan(flight, traced)

    def status(self) -> Mapping[str, Any]:
        """Tell what is exported, where to, and what became of the spans."""
        kind = self._export.exporter
        status: dict[str, Any] = {
            "enabled": True,
            "exporter": kind.value if kind is not None and self._queue is not None else "global",
            "sampler": self._export.sampler,
            "inbound": self._settings.inbound.value,
            "propagators": list(self._export.propagators),
            "content": "never",
            "errors": self._guard.errors,
        }
        if kind is ExporterKind.OTLP and self._queue is not None:
            status["protocol"] = self._export.protocol
            status["endpoint"] = self._export.shown_endpoint
        if self._queue is not None:
            status["spans"] = dict(self._queue.counts())
        return status

    async def shutdown(self, flush_s: float) -> bool:
        """Flush our own queue; a provider that was global before us is left alone."""
        if self._queue is None or self._closed:
            return True
        self._closed = True
        return await self._queue.close(flush_s)

    def _mapped(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        return {
            attribute: clean_text(value, MAX_HEADER_CHARS)
            for header, attribute in self._given
            if (value := headers.get(header))
        }

    def _caller(self, headers: Mapping[str, str]) -> Caller:
        if self._ignores:
            return NO_INBOUND
        try:
            return self._propagation.extract(headers)
        except Exception as error:  # noqa: BLE001 - see Guard
            self._guard.note(error)
            return NO_INBOUND
