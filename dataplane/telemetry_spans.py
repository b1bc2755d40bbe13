"""Spans of requests: one for the request itself, one for each attempt.

A span that is not exported has ids and nothing else: no attribute of it is ever put together.
Span times are taken from one reading of the wall clock and the monotonic clock after it. No span
is ever current: parents are passed explicitly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import Provider, ProviderType, Target
from dataplane import telemetry_names as names
from dataplane.errors import UpstreamFailed
from dataplane.flight import Decision, DelaySource, FlightLeg, FlightRecord, RequestOutcome
from dataplane.provider import Request, ResponseFacts
from dataplane.telemetry import AttemptSpan
from dataplane.telemetry_attributes import (
    Attributes,
    as_double,
    attempt_end,
    error_type,
    finish_reasons,
    request_end,
    request_parameters,
    request_times,
)
from dataplane.telemetry_records import (
    NOTHING_SHARED,
    SAMPLED,
    SpanContext,
    SpanEvent,
    SpanRecord,
)
from dataplane.telemetry_settings import TelemetrySettings
from dataplane.telemetry_shared import SharedAttributes
from dataplane.telemetry_tracer import Tracer
from dataplane.telemetry_w3c import Propagation

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all spans are made with."""

    tracer: Tracer
    shared: SharedAttributes
    propagation: Propagation
    settings: TelemetrySettings


class TracedRequest:
    """A request span; see `dataplane.telemetry.RequestSpan`."""

    __slots__ = ("_baggage", "_common", "_context", "_given", "_open", "_record", "flight")

    def __init__(
        self,
        common: Common,
        flight: FlightRecord,
        context: SpanContext,
        *,
        record: SpanRecord | None,
        baggage: object,
        given: Mapping[str, str],
    ) -> None:
        """Take over a started span.

        record: None if it is not exported. baggage: the caller's, as the propagation keeps it.
        given: attributes from mapped headers.
        """
        self._common = common
        self._context = context
        self._record = record
        self._baggage = baggage
        self._given = given
        self._open: list[TracedAttempt] = []
        self.flight = flight

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return self._context.trace_id

    @property
    def span_id(self) -> str:
        """16 hex digits."""
        return self._context.span_id

    @property
    def recording(self) -> bool:
        """Whether the span will be exported."""
        return self._context.flags & SAMPLED != 0

    def matched(self, route: str, model: str, generation: int, *, stream: bool) -> None:
        """Note the route."""
        self.flight.matched(route, model, generation, stream=stream)

    def skipped(self, provider: str, reason: SkipReason, reopen_in_s: float | None = None) -> None:
        """Note a target that was not tried."""
        self.flight.skipped(provider, reason)
        if self._record is None:
            return
        attributes: Attributes = {names.ENDPOINT: provider, names.REASON: reason.value}
        reopen = as_double(reopen_in_s)
        if reopen is not None:
            attributes[names.REOPEN_IN] = reopen
        self._event(self._record, names.EVENT_SKIPPED, attributes)

    def retrying(self, provider: str, delay_s: float, source: DelaySource) -> None:
        """Note a pause."""
        self.flight.retrying(delay_s)
        if self._record is None:
            return
        attributes: Attributes = {names.ENDPOINT: provider, names.SOURCE: source.value}
        delay = as_double(delay_s)
        if delay is not None:
            attributes[names.DELAY] = delay
        self._event(self._record, names.EVENT_RETRY, attributes)

    def attempt(
        self, provider: Provider, target: Target, request: Request, number: int
    ) -> AttemptSpan:
        """Begin a provider call as a child of this span."""
        leg = self.flight.attempt(provider.name, target.model)
        record = None
        if self._record is not None:
            common = self._common
            _, name, first = common.shared.attempt_start(
                provider, target, request, self.flight.route, number
            )
            attributes = request_parameters(provider, request)
            if self._given:
                self._put_conversation(attributes)
            record = common.tracer.child(
                name,
                self._record,
                first=first,
                attributes=attributes,
                start_ns=self.at_ns(leg.started_s),
            )
        attempt = TracedAttempt(self, record, leg, provider, request)
        self._open.append(attempt)
        return attempt

    def first_byte(self) -> None:
        """Note the first byte out."""
        self.flight.first_byte()

    def end(self, outcome: RequestOutcome, status: int | None, error_type: str = "") -> None:
        """End the span, and what is open below it."""
        if self._open:
            for attempt in tuple(self._open):
                attempt.end(Decision.CANCELLED)
        flight = self.flight
        record = self._record
        if not flight.end(outcome, status, error_type) or record is None:
            return
        last = self._common.shared.request_end(flight)
        if last is not None:
            record.last = last
        else:
            record.attributes.update(request_end(flight))
        record.attributes.update(request_times(flight))
        if self._given:
            self._put_given(record)
        record.failed = bool(flight.error_type)
        record.end_ns = self.at_ns(flight.started_s + flight.duration_s)
        self._common.tracer.end(record)

    def at_ns(self, now_s: float) -> int:
        """Wall-clock nanoseconds of a monotonic moment of this request."""
        flight = self.flight
        return flight.started_ns + round((now_s - flight.started_s) * 1e9)

    def headers_for(self, record: SpanRecord | None, provider: Provider) -> Mapping[str, str]:
        """Give what a provider may learn of our trace, from an attempt's context."""
        choice = provider.options.get("propagation")
        if choice is None:
            choice = "trace" if provider.type in _JOINS_TRACES else "none"
        match choice:
            case "trace":
                baggage = None
            case "traceAndBaggage":
                baggage = self._baggage
            case _:
                return {}
        if record is not None:
            context = record.context
        else:
            context = self._context._replace(span_id=self._common.tracer.new_span_id())
        return self._common.propagation.inject(context, baggage)

    def attempt_ended(self, attempt: TracedAttempt, record: SpanRecord | None) -> None:
        """Take back an attempt, and end its span; called by the attempt itself."""
        self._open.remove(attempt)
        if record is not None:
            self._common.tracer.end(record)

    @property
    def shared(self) -> SharedAttributes:
        """What spans have in common."""
        return self._common.shared

    @property
    def compat(self) -> bool:
        """Whether older names are written beside the current ones."""
        return self._common.settings.compat

    def _put_conversation(self, attributes: Attributes) -> None:
        conversation = self._given.get(names.CONVERSATION_ID)
        if conversation is not None:
            attributes[names.CONVERSATION_ID] = conversation
            if self._common.settings.compat:
                attributes[names.SESSION_ID] = conversation

    def _put_given(self, record: SpanRecord) -> None:
        """Set what mapped headers said, over anything of the same name."""
        attributes = record.all_attributes()
        for name in self._given:
            # What is set again counts as set last, which matters to a limit.
            attributes.pop(name, None)
        attributes.update(self._given)
        self._put_conversation(attributes)
        record.first = record.last = NOTHING_SHARED
        record.attributes = attributes

    def _event(self, record: SpanRecord, name: str, attributes: Attributes) -> None:
        if len(record.events) < MAX_EVENTS:
            at_ns = self.at_ns(self.flight.clock.now_s())
            record.events = (*record.events, SpanEvent(name, at_ns, attributes))


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
        "_record",
        "_request",
        "_request_id",
        "_stall_s",
        "_status",
    )

    # Set by the first chunk.
    _first_s: float
    _last_s: float
    _stall_s: float

    def __init__(
        self,
        owner: TracedRequest,
        record: SpanRecord | None,
        leg: FlightLeg,
        provider: Provider,
        request: Request,
    ) -> None:
        """Take over a started span, None if it is not exported, and its leg of the flight."""
        self._owner = owner
        self._record = record
        self._leg = leg
        self._provider = provider
        self._request = request
        self._now_s = owner.flight.clock.now_s
        self._chunks = 0
        self._facts: ResponseFacts | None = None
        self._status: int | None = None
        self._request_id = ""

    def headers(self) -> Mapping[str, str]:
        """Give the tracing headers of this attempt."""
        return self._owner.headers_for(self._record, self._provider)

    def chunk(self, count: int = 1) -> None:
        """Count chunks and the silence before them."""
        now_s = self._now_s()
        if not self._chunks:
            self._first_s = now_s
            self._stall_s = 0.0
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
        error = error_type(blamed) if blamed is not None else ""
        if not self._leg.end(decision, error):
            return
        record = self._record
        if record is not None:
            facts = self._facts
            record.last = self._owner.shared.attempt_end(
                decision,
                self._upstream_status(blamed),
                error or ("_OTHER" if failed else ""),
                facts.response_model if facts is not None else "",
                finish_reasons(self._request, decision, facts),
            )
            attributes = record.attributes
            attributes |= attempt_end(
                self._provider,
                facts=facts,
                request_id=self._request_id or (blamed.request_id if blamed is not None else ""),
                failure=blamed,
                compat=self._owner.compat,
            )
            if self._chunks and self._request.stream:
                attributes[names.RESPONSE_TTFC] = self._first_s - self._leg.started_s
                attributes[names.STREAM_CHUNKS] = self._chunks
                attributes[names.STREAM_STALL] = self._stall_s
            ended_s = self._leg.ended_s
            record.end_ns = self._owner.at_ns(ended_s) if ended_s is not None else record.start_ns
            record.failed = failed
            if blamed is not None:
                record.description = names.DESCRIPTIONS.get(blamed.error, "")
        self._owner.attempt_ended(self, record)

    def _upstream_status(self, failure: UpstreamFailed | None) -> int | None:
        if self._status is not None:
            return self._status
        return failure.status if failure is not None else None
