"""Spans of requests: one for the request itself, and below it one for each attempt.

While a request runs its spans only keep what they are told. What is exported of them is put
together by whoever exports, many spans at a time: that costs half of what it would between two
steps of a request, where nothing of it is in the processor's caches. A span that is not exported
has ids and nothing else.

Span times are taken from one reading of the wall clock and the monotonic clock after it. No span
is ever current: parents are passed explicitly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import Provider
from dataplane import telemetry_names as names
from dataplane.flight import Decision, DelaySource, FlightLeg, FlightRecord, RequestOutcome
from dataplane.provider import Request
from dataplane.telemetry_attempts import TracedAttempt
from dataplane.telemetry_attributes import Attributes, as_double, request_end, request_times
from dataplane.telemetry_records import (
    NOTHING_SHARED,
    Kind,
    Recorded,
    SpanContext,
    SpanEvent,
    SpanRecord,
)
from dataplane.telemetry_settings import TelemetrySettings
from dataplane.telemetry_shared import RequestKey, SharedAttributes
from dataplane.telemetry_tracer import Followed, Follower, RecordTracer
from dataplane.telemetry_w3c import Inbound, Propagation

MAX_EVENTS: Final = 16
"""Events on a server span; what goes beyond is in its counts."""

_SERVER: Final = Kind.SERVER
_NO_EVENTS: Final[Sequence[SpanEvent]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all spans are made with. tracer: ours, or that of a stranger's provider."""

    tracer: RecordTracer | Follower
    shared: SharedAttributes
    propagation: Propagation
    settings: TelemetrySettings


class TracedRequest:
    """What is exported of a request; see `dataplane.telemetry.RequestSpan`, which asks for it.

    trace_id, span_id: 32 and 16 hex digits. recording: whether the span will be exported, as far
    as we know. exported: whether somebody wants it put together; a stranger's provider always does.
    given: attributes from mapped headers. context: what identifies the span.
    """

    __slots__ = (
        "_baggage",
        "_common",
        "_events",
        "_followed",
        "_key",
        "_links",
        "_open",
        "_parent",
        "context",
        "exported",
        "flight",
        "given",
        "recording",
        "span_id",
        "trace_id",
    )

    def __init__(
        self,
        common: Common,
        flight: FlightRecord,
        key: RequestKey,
        inbound: Inbound,
        *,
        links: Sequence[SpanContext],
        given: Mapping[str, str],
    ) -> None:
        """Start the span. key: what its first attributes depend on."""
        self._common = common
        self._key = key
        self._parent = inbound.parent
        self._baggage = inbound.baggage
        self._links = links
        self._events = _NO_EVENTS
        self._open: list[TracedAttempt] = []
        self._followed: Followed | None = None
        self.flight = flight
        self.given = given
        tracer = common.tracer
        if isinstance(tracer, RecordTracer):
            context = tracer.decide(inbound)
        else:
            name, first = common.shared.request_start(key)
            self._followed = tracer.start(
                name, inbound, first=first, start_ns=flight.started_ns, links=links
            )
            context = self._followed.context
        self.context = context
        self.trace_id = context.trace_id
        self.span_id = context.span_id
        self.recording = context.sampled
        self.exported = self.recording or self._followed is not None

    def skipped(self, provider: str, reason: SkipReason, reopen_in_s: float | None = None) -> None:
        """Note a target that was not tried."""
        if not self.exported:
            return
        attributes: Attributes = {names.ENDPOINT: provider, names.REASON: reason.value}
        reopen = as_double(reopen_in_s)
        if reopen is not None:
            attributes[names.REOPEN_IN] = reopen
        self._event(names.EVENT_SKIPPED, attributes)

    def retrying(self, provider: str, delay_s: float, source: DelaySource) -> None:
        """Note a pause."""
        if not self.exported:
            return
        attributes: Attributes = {names.ENDPOINT: provider, names.SOURCE: source.value}
        delay = as_double(delay_s)
        if delay is not None:
            attributes[names.DELAY] = delay
        self._event(names.EVENT_RETRY, attributes)

    def attempt(
        self, leg: FlightLeg, provider: Provider, request: Request, number: int
    ) -> TracedAttempt:
        """Begin a provider call as a child of this span."""
        attempt = TracedAttempt(self, leg, provider, request, number)
        self._open.append(attempt)
        return attempt

    def end(self, outcome: RequestOutcome, status: int | None, error_type: str = "") -> None:
        """End the span, and what is open below it."""
        if self._open:
            for attempt in tuple(self._open):
                attempt.end(Decision.CANCELLED)
        if self.flight.end(outcome, status, error_type):
            self._hand_on(self, self._followed)

    def record(self) -> SpanRecord:
        """Put together what is exported; only asked for once the span has ended."""
        flight = self.flight
        shared = self._common.shared
        name, first = shared.request_start(self._key)
        last = shared.request_end(flight)
        times = request_times(flight)
        record = SpanRecord(
            name,
            _SERVER,
            self.context,
            parent=self._parent,
            attributes=times if last is not None else {**request_end(flight), **times},
            start_ns=flight.started_ns,
            first=first,
            links=self._links,
        )
        record.last = last or NOTHING_SHARED
        record.end_ns = self.at_ns(flight.started_s + flight.duration_s)
        record.events = self._events
        record.failed = flight.error_type != ""
        if self.given:
            self._put_given(record)
        return record

    # What its attempts ask of it.

    @property
    def shared(self) -> SharedAttributes:
        """What spans have in common."""
        return self._common.shared

    @property
    def compat(self) -> bool:
        """Whether older names are written beside the current ones."""
        return self._common.settings.compat

    def new_span_id(self) -> str:
        """Give 16 hex digits for an attempt."""
        return self._common.tracer.new_span_id()

    def follow(self, attempt: TracedAttempt) -> Followed | None:
        """Start an attempt's span at the stranger's provider that keeps this one; None if ours."""
        tracer, above = self._common.tracer, self._followed
        if above is None or isinstance(tracer, RecordTracer):
            return None
        start = attempt.start(self.context)
        return tracer.child(above, start)

    def context_of(self, span_id: str) -> SpanContext:
        """Give the context of a span below this one."""
        return self.context.child(span_id)

    def inject(self, context: SpanContext, *, baggage: bool) -> Mapping[str, str]:
        """Give the headers that make a span the parent of what an upstream does."""
        return self._common.propagation.inject(context, self._baggage if baggage else None)

    def at_ns(self, now_s: float) -> int:
        """Wall-clock nanoseconds of a monotonic moment of this request."""
        flight = self.flight
        return flight.started_ns + int((now_s - flight.started_s) * 1e9 + 0.5)

    def put_conversation(self, attributes: Attributes) -> None:
        """Set what is the same on all spans of a request, if a mapped header said so."""
        conversation = self.given.get(names.CONVERSATION_ID)
        if conversation is not None:
            attributes[names.CONVERSATION_ID] = conversation
            if self.compat:
                attributes[names.SESSION_ID] = conversation

    def ended(self, attempt: TracedAttempt, followed: Followed | None) -> None:
        """Take back an attempt that has ended, and hand on its span."""
        self._open.remove(attempt)
        self._hand_on(attempt, followed)

    def _hand_on(self, span: Recorded[SpanRecord], followed: Followed | None) -> None:
        tracer = self._common.tracer
        if isinstance(tracer, RecordTracer):
            if self.recording:
                tracer.end(span)
        elif followed is not None:
            tracer.end(followed, span.record())

    def _put_given(self, record: SpanRecord) -> None:
        """Set what mapped headers said, over anything of the same name."""
        attributes = record.all_attributes()
        for name in self.given:
            # What is set again counts as set last, which matters to a limit.
            attributes.pop(name, None)
        attributes.update(self.given)
        self.put_conversation(attributes)
        record.first = record.last = NOTHING_SHARED
        record.attributes = attributes

    def _event(self, name: str, attributes: Attributes) -> None:
        if len(self._events) < MAX_EVENTS:
            at_ns = self.at_ns(self.flight.clock.now_s())
            self._events = (*self._events, SpanEvent(name, at_ns, attributes))
