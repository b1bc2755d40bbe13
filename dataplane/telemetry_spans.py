"""Spans over OpenTelemetry's tracer: one for the request, one for each attempt.

Attributes go in as one dict at the start and one before the end, since each single call to the
SDK costs as much as five attributes in a dict. Span times are taken from one reading of the wall
clock and the monotonic clock after it. No span is ever current: parents are passed explicitly.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace  # noqa: TID251 - part of the door
from opentelemetry.context import Context  # noqa: TID251 - as above
from opentelemetry.trace import Span, SpanKind  # noqa: TID251 - as above

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import Provider, ProviderType, Target
from dataplane import telemetry_names as names
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.flight import Decision, DelaySource, FlightLeg, FlightRecord, RequestOutcome
from dataplane.provider import Operation, Request, ResponseFacts
from dataplane.telemetry import AttemptSpan
from dataplane.telemetry_attributes import (
    Attributes,
    as_double,
    attempt_end,
    attempt_start,
    error_type,
    request_end,
)
from dataplane.telemetry_door import NO_CONTEXT, Door
from dataplane.telemetry_settings import TelemetrySettings

MAX_EVENTS = 16
"""Events on a server span; what goes beyond is in its counts."""

_FAILED = frozenset(
    {
        Decision.RETRY_SAME,
        Decision.NEXT_TARGET,
        Decision.FAIL,
        Decision.EXHAUSTED,
        Decision.TOO_LATE,
    }
)
_JOINS_TRACES = frozenset({ProviderType.OLLAMA, ProviderType.VLLM})


class TracedRequest:
    """A request span; see `dataplane.telemetry.RequestSpan`."""

    __slots__ = ("_door", "_events", "_given", "_inbound", "_open", "_settings", "_span", "flight")

    def __init__(
        self,
        door: Door,
        settings: TelemetrySettings,
        flight: FlightRecord,
        span: Span,
        *,
        inbound: Context,
        given: Mapping[str, str],
    ) -> None:
        """Take over a started span.

        inbound: the caller's context, for its baggage. given: attributes from mapped headers.
        """
        self._door = door
        self._settings = settings
        self._span = span
        self._inbound = inbound
        self._given = given
        self._events = 0
        self._open: list[TracedAttempt] = []
        self.flight = flight

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        context = self._span.get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else ""

    @property
    def span_id(self) -> str:
        """16 hex digits."""
        context = self._span.get_span_context()
        return trace.format_span_id(context.span_id) if context.is_valid else ""

    @property
    def recording(self) -> bool:
        """Whether the span will be exported."""
        return self._span.get_span_context().trace_flags.sampled

    def matched(self, route: str, model: str, generation: int, *, stream: bool) -> None:
        """Note the route."""
        self.flight.matched(route, model, generation, stream=stream)

    def skipped(self, provider: str, reason: SkipReason, reopen_in_s: float | None = None) -> None:
        """Note a target that was not tried."""
        self.flight.skipped(provider, reason)
        attributes: Attributes = {names.ENDPOINT: provider, names.REASON: reason.value}
        reopen = as_double(reopen_in_s)
        if reopen is not None:
            attributes[names.REOPEN_IN] = reopen
        self._event(names.EVENT_SKIPPED, attributes)

    def retrying(self, provider: str, delay_s: float, source: DelaySource) -> None:
        """Note a pause."""
        self.flight.retrying(delay_s)
        attributes: Attributes = {names.ENDPOINT: provider, names.SOURCE: source.value}
        delay = as_double(delay_s)
        if delay is not None:
            attributes[names.DELAY] = delay
        self._event(names.EVENT_RETRY, attributes)

    def attempt(
        self, provider: Provider, target: Target, request: Request, number: int
    ) -> AttemptSpan:
        """Begin a provider call as a child of this span."""
        leg = self.flight.attempt(provider.name, target.model)
        attributes = attempt_start(
            provider, target, request, route=self.flight.route, number=number
        )
        conversation = self._given.get(names.CONVERSATION_ID)
        if conversation is not None:
            attributes[names.CONVERSATION_ID] = conversation
            if self._settings.compat:
                attributes[names.SESSION_ID] = conversation
        if self._settings.openinference:
            embeds = request.operation is Operation.EMBEDDINGS
            attributes[names.OPENINFERENCE_KIND] = "EMBEDDING" if embeds else "LLM"
        span = self._door.start(
            f"{request.operation.value} {target.model}".rstrip(),
            SpanKind.CLIENT,
            trace.set_span_in_context(self._span, NO_CONTEXT),
            attributes,
            start_ns=self.at_ns(leg.started_s),
        )
        attempt = TracedAttempt(self, span, leg, provider, request)
        self._open.append(attempt)
        return attempt

    def first_byte(self) -> None:
        """Note the first byte out."""
        self.flight.first_byte()

    def end(self, outcome: RequestOutcome, status: int | None, error_type: str = "") -> None:
        """End the span, and what is open below it."""
        for attempt in tuple(self._open):
            attempt.end(Decision.CANCELLED)
        if not self.flight.end(outcome, status, error_type):
            return
        attributes: Attributes = {}
        if self._span.is_recording():
            attributes = request_end(self.flight)
            attributes.update(self._given)
            if self._settings.compat and names.CONVERSATION_ID in self._given:
                attributes[names.SESSION_ID] = self._given[names.CONVERSATION_ID]
        self._door.finish(
            self._span,
            attributes,
            self.at_ns(self.flight.started_s + self.flight.duration_s),
            failed=bool(self.flight.error_type),
            description=None,
        )

    def at_ns(self, now_s: float) -> int:
        """Wall-clock nanoseconds of a monotonic moment of this request."""
        return self.flight.started_ns + round((now_s - self.flight.started_s) * 1e9)

    def headers_for(self, span: Span, provider: Provider) -> Mapping[str, str]:
        """Give what a provider may learn of our trace, from an attempt's context."""
        default = "trace" if provider.type in _JOINS_TRACES else "none"
        match provider.options.get("propagation", default):
            case "trace":
                context = NO_CONTEXT
            case "traceAndBaggage":
                context = self._inbound
            case _:
                return {}
        return self._door.inject(trace.set_span_in_context(span, context))

    def attempt_ended(
        self,
        attempt: TracedAttempt,
        span: Span,
        attributes: Attributes,
        ended_s: float,
        *,
        failed: bool,
        failure: ErrorClass | None,
    ) -> None:
        """End the span of an attempt; called by the attempt itself."""
        self._open.remove(attempt)
        self._door.finish(
            span,
            attributes,
            self.at_ns(ended_s),
            failed=failed,
            description=names.DESCRIPTIONS.get(failure) if failure is not None else None,
        )

    @property
    def compat(self) -> bool:
        """Whether older names are written beside the current ones."""
        return self._settings.compat

    def _event(self, name: str, attributes: Attributes) -> None:
        if self._events < MAX_EVENTS and self._span.is_recording():
            self._events += 1
            self._door.event(self._span, name, attributes, self.at_ns(self.flight.clock.now_s()))


class TracedAttempt:
    """An attempt span; see `dataplane.telemetry.AttemptSpan`."""

    __slots__ = (
        "_chunks",
        "_facts",
        "_first_s",
        "_last_s",
        "_leg",
        "_now_s",
        "_owner",
        "_provider",
        "_request",
        "_request_id",
        "_span",
        "_stall_s",
        "_status",
    )

    def __init__(
        self,
        owner: TracedRequest,
        span: Span,
        leg: FlightLeg,
        provider: Provider,
        request: Request,
    ) -> None:
        """Take over a started span and its leg of the flight."""
        self._owner = owner
        self._span = span
        self._leg = leg
        self._provider = provider
        self._request = request
        self._now_s = owner.flight.clock.now_s
        self._chunks = 0
        self._first_s = 0.0
        self._last_s = 0.0
        self._stall_s = 0.0
        self._facts: ResponseFacts | None = None
        self._status: int | None = None
        self._request_id = ""

    def headers(self) -> Mapping[str, str]:
        """Give the tracing headers of this attempt."""
        return self._owner.headers_for(self._span, self._provider)

    def chunk(self, count: int = 1) -> None:
        """Count chunks and the silence before them."""
        now_s = self._now_s()
        if not self._chunks:
            self._first_s = now_s
        elif now_s - self._last_s > self._stall_s:
            self._stall_s = now_s - self._last_s
        self._last_s = now_s
        self._chunks += count

    def response(self, facts: ResponseFacts, status: int | None, request_id: str) -> None:
        """Keep what the answer said; its facts are read at the end."""
        self._facts = facts
        self._status = status
        self._request_id = request_id

    def end(self, decision: Decision, failure: UpstreamFailed | None = None) -> None:
        """End the span."""
        failed = decision in _FAILED
        blamed = failure if failed else None
        if not self._leg.end(decision, error_type(blamed) if blamed is not None else ""):
            return
        attributes: Attributes = {}
        if self._span.is_recording():
            attributes = attempt_end(
                self._provider,
                self._request,
                decision,
                facts=self._facts,
                status=self._upstream_status(blamed),
                request_id=self._request_id or (blamed.request_id if blamed is not None else ""),
                failure=blamed,
                compat=self._owner.compat,
            )
            if failed and blamed is None:
                attributes[names.ERROR_TYPE] = "_OTHER"
            if self._chunks and self._request.stream:
                attributes[names.RESPONSE_TTFC] = self._first_s - self._leg.started_s
                attributes[names.STREAM_CHUNKS] = self._chunks
                attributes[names.STREAM_STALL] = self._stall_s
        ended_s = self._leg.ended_s if self._leg.ended_s is not None else self._leg.started_s
        self._owner.attempt_ended(
            self,
            self._span,
            attributes,
            ended_s,
            failed=failed,
            failure=blamed.error if blamed is not None else None,
        )

    def _upstream_status(self, failure: UpstreamFailed | None) -> int | None:
        if self._status is not None:
            return self._status
        return failure.status if failure is not None else None
