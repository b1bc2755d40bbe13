"""The one door to OpenTelemetry: what the rest of the data plane sees of it.

One SERVER span a request, one CLIENT span a provider call. With nothing configured nothing of
OpenTelemetry is imported and `NoTelemetry` keeps the flight records that the log line needs.
Telemetry parses nothing: facts come from what the providers have read anyway. No call here raises
into a request or waits for a collector.

The files beside it, by what they do:

- told: `telemetry_names` (constants), `telemetry_attributes` (facts to attributes, pure);
- asked for: `telemetry_settings` (the environment), `telemetry_start` (what is built of it);
- on the request path: `telemetry_traces`, `telemetry_spans`, `telemetry_attempts`,
  `telemetry_tracer`, `telemetry_sampling`, `telemetry_w3c` (contexts in headers),
  `telemetry_guard` (strangers' mistakes);
- in the thread that exports: `telemetry_export` (queue), `telemetry_log` (what it says),
  `telemetry_records` (spans),
  `telemetry_shared` (what they have in common), `telemetry_limits`, `telemetry_protobuf` and
  `telemetry_json` (encoders), `telemetry_http` and `telemetry_post` (sender);
- metrics over OTLP: `telemetry_metric_settings`, `telemetry_metrics`,
  `telemetry_metrics_protobuf`; what is measured is in `metric_*` and `request_metrics`;
- OpenTelemetry's own, loaded if something else is asked for: `telemetry_door` (its API),
  `telemetry_sdk`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import Provider, Target
from dataplane.errors import UpstreamFailed
from dataplane.flight import (
    SYSTEM_CLOCK,
    Clock,
    Decision,
    DelaySource,
    FlightLeg,
    FlightRecord,
    RequestOutcome,
)
from dataplane.provider import Request, ResponseFacts
from dataplane.telemetry_metric_settings import metrics_plan
from dataplane.telemetry_settings import Inbound, SettingsError, TelemetrySettings, plan

if TYPE_CHECKING:
    from dataplane.metric_points import Reading
    from dataplane.telemetry_attempts import TracedAttempt
    from dataplane.telemetry_spans import TracedRequest

__all__ = [
    "NO_TELEMETRY",
    "SYSTEM_CLOCK",
    "AttemptSpan",
    "Clock",
    "Decision",
    "DelaySource",
    "FlightRecord",
    "Inbound",
    "MetricsSink",
    "NoTelemetry",
    "RequestOutcome",
    "RequestSpan",
    "SettingsError",
    "Telemetry",
    "TelemetrySettings",
    "build",
    "build_metrics",
]

logger = logging.getLogger(__name__)

_NO_HEADERS: Final[Mapping[str, str]] = {}


class AttemptSpan:
    """One provider call. Whoever got it ends it; if nobody does, the request's end does.

    trace: the ids of trace and span, if they are exported: 32 and 16 hex digits.
    """

    __slots__ = ("_leg", "_traced", "trace")

    def __init__(self, leg: FlightLeg, traced: TracedAttempt | None = None) -> None:
        """Keep the leg of the flight, and tell `traced` everything, if telemetry is on."""
        self._leg = leg
        self._traced = traced
        self.trace = None if traced is None else traced.trace

    def headers(self) -> Mapping[str, str]:
        """Give the tracing headers to send to this provider; empty where none are wanted."""
        return _NO_HEADERS if self._traced is None else self._traced.headers()

    def chunk(self, count: int = 1) -> None:
        """Note that `count` events that carried anything came in one read. The hot one."""
        if self._traced is not None:
            self._traced.chunk(count)

    def response(self, facts: ResponseFacts, status: int | None, request_id: str) -> None:
        """Note the answer: its facts (read at the end, they may still grow), status and id."""
        if self._traced is not None:
            self._traced.response(facts, status, request_id)

    def end(self, decision: Decision, failure: UpstreamFailed | None = None) -> None:
        """End the attempt. The first call wins."""
        if self._traced is not None:
            self._traced.end(decision, failure)
        else:
            self._leg.end(decision, failure.error_type if failure is not None else "")


class RequestSpan:
    """One client request, from handler entry to its last byte.

    flight: its way so far; for the log line and the list of requests.
    trace_id, span_id: 32 and 16 hex digits, or empty without telemetry.
    recording: whether the span will be exported: only then is its trace worth telling the caller.
    """

    __slots__ = ("_traced", "flight", "recording", "span_id", "trace_id")

    def __init__(self, flight: FlightRecord, traced: TracedRequest | None = None) -> None:
        """Keep the flight record, and tell `traced` everything, if telemetry is on."""
        self.flight = flight
        self._traced = traced
        if traced is None:
            self.trace_id = self.span_id = ""
            self.recording = False
        else:
            self.trace_id, self.span_id = traced.trace_id, traced.span_id
            self.recording = traced.recording

    def matched(self, route: str, model: str, generation: int, *, stream: bool) -> None:
        """Note the route that the caller's model name led to."""
        self.flight.matched(route, model, generation, stream=stream)

    def skipped(self, provider: str, reason: SkipReason, reopen_in_s: float | None = None) -> None:
        """Note a target that was not tried: an event, never a span."""
        self.flight.skipped(provider, reason)
        if self._traced is not None:
            self._traced.skipped(provider, reason, reopen_in_s)

    def retrying(self, provider: str, delay_s: float, source: DelaySource) -> None:
        """Note a pause of `delay_s` seconds that begins now."""
        self.flight.retrying(delay_s)
        if self._traced is not None:
            self._traced.retrying(provider, delay_s, source)

    def attempt(
        self, provider: Provider, target: Target, request: Request, number: int
    ) -> AttemptSpan:
        """Begin a provider call; `number` counts from 1 over the whole request."""
        leg = self.flight.attempt(provider.name, target.model)
        traced = self._traced
        if traced is None:
            return AttemptSpan(leg)
        return AttemptSpan(leg, traced.attempt(leg, provider, request, number))

    def first_byte(self) -> None:
        """Note that the first byte of the answer goes out."""
        self.flight.first_byte()

    def end(self, outcome: RequestOutcome, status: int | None, error_type: str = "") -> None:
        """End the request, and with it whatever attempt is still open. The first call wins.

        status: of the status line sent, None if none was. error_type: only where it cannot be
        seen from the attempts and the status.
        """
        if self._traced is not None:
            self._traced.end(outcome, status, error_type)
        else:
            self.flight.end(outcome, status, error_type)


class Telemetry(Protocol):
    """What makes request spans, and tells how it fares."""

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
        """Begin a request. `route` is the template, `path` the raw path without its query.

        headers: the caller's, by lower-case or case-insensitive names; only tracing headers and
        those mapped by the settings are looked at. user_agent: empty if none was sent.
        """
        ...

    def status(self) -> Mapping[str, Any]:
        """Tell, JSON-ready, whether spans are exported, where to, and how many were lost."""
        ...

    async def shutdown(self, flush_s: float) -> bool:
        """Flush for at most `flush_s` seconds; False if spans were left. Later calls are no-ops."""
        ...


def build(
    environ: Mapping[str, str],
    *,
    version: str,
    settings: TelemetrySettings,
    clock: Clock = SYSTEM_CLOCK,
) -> Telemetry:
    """Build telemetry as the OTEL_* variables ask for it.

    Call it in the process that serves, after any fork. Raises SettingsError for a value that
    cannot be meant. Nothing of OpenTelemetry is imported without an exporter or an endpoint, nor
    for OTLP over HTTP with the common settings.
    """
    export = plan(environ, settings)
    if export is None:
        return NoTelemetry(clock)
    for warning in export.warnings:
        logger.warning("telemetry: %s", warning)
    if export.exporter is None and "opentelemetry.sdk.trace" not in sys.modules:
        return NoTelemetry(clock)
    # Only those who export pay for what does it.
    from dataplane.telemetry_start import start  # noqa: PLC0415

    return start(export, environ, version=version, settings=settings, clock=clock)


class MetricsSink(Protocol):
    """Where metrics go beside the admin port."""

    async def follow(
        self,
        read: Callable[[bool], Reading],
        refresh: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Read metrics at an interval and export them, until cancelled; True asks for exemplars.

        refresh: awaited before each reading but that of the shutdown.
        """
        ...

    def status(self) -> Mapping[str, Any]:
        """Tell where they go; no secrets."""
        ...

    async def shutdown(self, flush_s: float) -> bool:
        """Export a last reading, for at most `flush_s` seconds; False if it did not arrive."""
        ...


def build_metrics(environ: Mapping[str, str], *, version: str) -> MetricsSink | None:
    """Build the export of metrics as the OTEL_* variables ask for it; None if they do not.

    Raises SettingsError for a value that cannot be meant.
    """
    chosen = metrics_plan(environ)
    if chosen is None:
        return None
    for warning in chosen.export.warnings:
        logger.warning("telemetry: %s", warning)
    # Only those who export pay for what does it.
    from dataplane.telemetry_metrics import start  # noqa: PLC0415

    return start(chosen, environ, version=version)


class NoTelemetry:
    """Telemetry switched off: no spans, no ids, only the flight records."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        """Keep the clock for the flights."""
        self._clock = clock

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
        """Begin a request that leaves no trace."""
        return RequestSpan(FlightRecord(self._clock))

    def status(self) -> Mapping[str, Any]:
        """Tell that nothing is exported."""
        return {"enabled": False}

    async def shutdown(self, flush_s: float) -> bool:
        """Do nothing: there is nothing to flush."""
        return True


NO_TELEMETRY = NoTelemetry()
