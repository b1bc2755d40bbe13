"""Spans of attempts, below the request's; see `telemetry_spans`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from controlplane.table.schema import Provider, ProviderType
from dataplane import telemetry_names as names
from dataplane.errors import UpstreamFailed
from dataplane.flight import Decision, FlightLeg
from dataplane.provider import Request, ResponseFacts
from dataplane.telemetry_attributes import (
    Attributes,
    attempt_end,
    error_type,
    failure_details,
    finish_reasons,
    request_parameters,
)
from dataplane.telemetry_records import Kind, SpanContext, SpanRecord
from dataplane.telemetry_tracer import Followed

if TYPE_CHECKING:
    from dataplane.telemetry_spans import TracedRequest

_FAILED: Final = frozenset(
    {
        Decision.RETRY_SAME,
        Decision.NEXT_TARGET,
        Decision.FAIL,
        Decision.EXHAUSTED,
        Decision.TOO_LATE,
    }
)
_JOINS_TRACES: Final = frozenset({ProviderType.OLLAMA, ProviderType.VLLM})
_CLIENT: Final = Kind.CLIENT
_NO_HEADERS: Final[Mapping[str, str]] = {}
_NO_DETAILS: Final[Attributes] = {}
"""Shared, never changed."""


class TracedAttempt:
    """What is exported of an attempt; see `dataplane.telemetry.AttemptSpan`, which asks for it."""

    __slots__ = (
        "_chunks",
        "_decision",
        "_description",
        "_details",
        "_error",
        "_facts",
        "_first_s",
        "_followed",
        "_key",
        "_last_s",
        "_leg",
        "_now_s",
        "_owner",
        "_parameters",
        "_provider",
        "_reasons",
        "_request",
        "_request_id",
        "_stall_s",
        "_status",
        "span_id",
    )

    # Set by the first chunk.
    _first_s: float
    _last_s: float
    _stall_s: float

    # Set by the end.
    _decision: Decision
    _error: str
    _reasons: tuple[str, ...]

    def __init__(
        self,
        owner: TracedRequest,
        leg: FlightLeg,
        provider: Provider,
        request: Request,
        number: int,
    ) -> None:
        """Start the span of a leg of the owner's flight."""
        flight = owner.flight
        self._owner = owner
        self._leg = leg
        self._now_s = flight.clock.now_s
        self._provider = provider
        # Let go of at the end: spans wait for their export, and bodies are large.
        self._request: Request | None = request
        self._chunks = 0
        self._facts: ResponseFacts | None = None
        self._status: int | None = None
        self._request_id = ""
        self._followed: Followed | None = None
        if not owner.exported:
            self.span_id = owner.new_span_id()
            return
        route, operation, stream = flight.route, request.operation, request.stream
        self._key = (leg.provider, leg.model, route, number, operation, stream)
        self._parameters = request_parameters(provider, request)
        self._details = _NO_DETAILS
        self._description = ""
        self._followed = owner.follow(self)
        followed = self._followed
        self.span_id = owner.new_span_id() if followed is None else followed.context.span_id

    @property
    def trace(self) -> tuple[str, str] | None:
        """The ids of trace and span, if they are exported."""
        owner = self._owner
        return (owner.trace_id, self.span_id) if owner.recording else None

    def headers(self) -> Mapping[str, str]:
        """Give the tracing headers of this attempt: what its provider may learn of our trace."""
        provider = self._provider
        choice = provider.options.get("propagation")
        if choice is None:
            if provider.type not in _JOINS_TRACES:
                return _NO_HEADERS
        elif choice not in ("trace", "traceAndBaggage"):
            return _NO_HEADERS
        followed = self._followed
        context = self._owner.context_of(self.span_id) if followed is None else followed.context
        return self._owner.inject(context, baggage=choice == "traceAndBaggage")

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
        """Keep what the answer said; its facts are read after the end."""
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
        owner = self._owner
        request = self._request
        if owner.exported and request is not None:
            self._decision = decision
            self._error = error or ("_OTHER" if failed else "")
            self._reasons = finish_reasons(request, decision, self._facts)
            if blamed is not None:
                self._blame(blamed)
        self._request = None
        owner.ended(self, self._followed)

    def start(self, context: SpanContext) -> SpanRecord:
        """Put together what is known at the start."""
        owner = self._owner
        name, first = owner.shared.attempt_start(self._provider, self._key)
        attributes = self._parameters
        if owner.given:
            owner.put_conversation(attributes)
        return SpanRecord(
            name,
            _CLIENT,
            context,
            parent=owner.context,
            attributes=attributes,
            start_ns=owner.at_ns(self._leg.started_s),
            first=first,
        )

    def record(self) -> SpanRecord:
        """Put together what is exported; only asked for once the span has ended."""
        owner, facts, leg = self._owner, self._facts, self._leg
        record = self.start(owner.context_of(self.span_id))
        record.last = owner.shared.attempt_end(
            self._decision,
            self._status,
            self._error,
            facts.response_model if facts is not None else "",
            self._reasons,
        )
        attributes = record.attributes
        attributes |= attempt_end(
            self._provider, facts=facts, request_id=self._request_id, compat=owner.compat
        )
        if self._details:
            attributes |= self._details
        if self._chunks and self._key[5]:
            attributes[names.RESPONSE_TTFC] = self._first_s - leg.started_s
            attributes[names.STREAM_CHUNKS] = self._chunks
            attributes[names.STREAM_STALL] = self._stall_s
        record.end_ns = owner.at_ns(leg.ended_s) if leg.ended_s is not None else record.start_ns
        record.failed = self._error != ""
        record.description = self._description
        return record

    def _blame(self, failure: UpstreamFailed) -> None:
        """Keep what is told of a failure; not itself, as it holds on to much more."""
        self._details = failure_details(failure)
        self._description = names.DESCRIPTIONS.get(failure.error, "")
        self._request_id = self._request_id or failure.request_id
        if self._status is None:
            self._status = failure.status
