"""An attempt under way, and the answers that the forwarder hands out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from controlplane.table import schema
from controlplane.table.live import LiveTable, Permit
from controlplane.table.outcome import Outcome, OutcomeKind
from controlplane.table.schema import Target
from dataplane.errors import UpstreamFailed
from dataplane.events import AttemptEnded, Events, cost_of
from dataplane.plan import Plan
from dataplane.provider import Batch, ChatStream, Provider, Request, ResponseFacts, Usage
from dataplane.telemetry import AttemptSpan, Decision, RequestSpan

ResultT = TypeVar("ResultT")

_SERVED: Final = Outcome(kind=OutcomeKind.SUCCESS)
_IGNORED: Final = Outcome(kind=OutcomeKind.IGNORED)


class Attempt:
    """A target that was admitted. It is ended once; the first end wins.

    Until `begin`, it is a place taken and nothing more: ending it then gives the place back and
    tells nobody. With `begin` it becomes a provider call, with a span.
    """

    __slots__ = (
        "_clock",
        "_ended",
        "_events",
        "_first_event_s",
        "_live",
        "_permit",
        "_plan",
        "_request",
        "_request_span",
        "_span",
        "_started_s",
        "config",
        "cost",
        "provider",
        "target",
        "usage",
    )

    def __init__(
        self,
        *,
        permit: Permit,
        target: Target,
        config: schema.Provider,
        provider: Provider,
        request: Request,
        span: RequestSpan,
        plan: Plan,
        live: LiveTable,
        events: Events,
        clock: Callable[[], float],
    ) -> None:
        """Take over the permit."""
        self._request = request
        self._request_span = span
        self._plan = plan
        self.target = target
        self.config = config
        self.provider = provider
        self.usage: Usage | None = None
        self.cost: float | None = None
        self._permit = permit
        self._live = live
        self._events = events
        self._clock = clock
        self._started_s = permit.admitted_s
        self._first_event_s: float | None = None
        self._span: AttemptSpan | None = None
        self._ended = False

    @property
    def begun(self) -> bool:
        """Whether the call has begun."""
        return self._span is not None

    def begin(self) -> Mapping[str, str]:
        """Start the call, which counts from now on; return the tracing headers to send."""
        plan = self._plan
        plan.began(self.target)
        self._started_s = self._clock()
        self._span = self._request_span.attempt(
            self.config, self.target, self._request, plan.attempts
        )
        return self._span.headers()

    def first_event(self) -> None:
        """Note that the answer has begun to say something."""
        now_s = self._clock()
        self._first_event_s = now_s - self._started_s
        self._live.first_event(self._permit, self._first_event_s, now_s)

    def chunks(self, count: int) -> None:
        """Count events of a stream that carried anything."""
        if count and self._span is not None:
            self._span.chunk(count)

    def served(self, facts: ResponseFacts, request_id: str) -> None:
        """End it well."""
        self._end(Decision.SERVED, _SERVED, facts, status=200, request_id=request_id)

    def failed(self, decision: Decision, failure: UpstreamFailed, facts: ResponseFacts) -> None:
        """End it with a failure, which decides what is said of the target."""
        error = failure.error.value + (f" {failure.status}" if failure.status else "")
        first_s = self._first_event_s
        outcome = Outcome(
            kind=failure.policy.effect,
            latency_s=self._clock() - self._started_s if first_s is None else None,
            retry_after_s=failure.retry_after_s,
            error=error,
        )
        status = failure.status if first_s is None else 200
        self._end(
            decision,
            outcome,
            facts,
            status=status,
            request_id=failure.request_id,
            failure=failure,
        )

    def cancelled(self, facts: ResponseFacts | None = None, request_id: str = "") -> None:
        """End it because the caller left, or because it never was a call."""
        self._end(
            Decision.CANCELLED,
            _IGNORED,
            facts or ResponseFacts(),
            status=None if facts is None else 200,
            request_id=request_id,
        )

    def _end(
        self,
        decision: Decision,
        outcome: Outcome,
        facts: ResponseFacts,
        *,
        status: int | None,
        request_id: str,
        failure: UpstreamFailed | None = None,
    ) -> None:
        if self._ended:
            return
        self._ended = True
        now_s = self._clock()
        self._live.record(self._permit, outcome, now_s)
        if self._span is None:
            return
        self._span.response(facts, status, request_id)
        self._span.end(decision, failure)
        model = self.config.models.get(self.target.model)
        self.usage = facts.usage
        self.cost = cost_of(facts.usage, model.price if model is not None else None)
        self._events.publish(
            AttemptEnded(
                at_s=now_s,
                provider=self.target.provider,
                model=self.target.model,
                decision=decision,
                duration_s=now_s - self._started_s,
                first_event_s=self._first_event_s,
                usage=self.usage,
                cost=self.cost,
                error_type=failure.error_type if failure is not None else "",
                operation=self._request.operation,
                stream=self._request.stream,
                response_model=facts.response_model,
                trace=self._span.trace,
            )
        )


class Served(Generic[ResultT]):
    """A target that answered.

    attempt: the one that did; its usage and cost are known once it has ended.
    attempts: provider calls made, this one included. fallback_reason: why the first target of
    the order did not serve, like `circuit_open` or `503`; empty if it did.
    """

    __slots__ = ("attempt", "attempts", "fallback_reason", "result")

    def __init__(
        self, *, result: ResultT, attempt: Attempt, attempts: int, fallback_reason: str
    ) -> None:
        self.result = result
        self.attempt = attempt
        self.attempts = attempts
        self.fallback_reason = fallback_reason

    @property
    def target(self) -> Target:
        """The target that answered."""
        return self.attempt.target


class ServedStream:
    """A stream that has begun to answer; it ends its attempt once."""

    def __init__(self, stream: ChatStream, attempt: Attempt) -> None:
        """Take over the stream and its attempt."""
        self.head = stream.head
        self.warnings = stream.warnings
        self._stream = stream
        self._attempt = attempt
        attempt.first_event()
        self._note(stream.head)

    @property
    def facts(self) -> ResponseFacts:
        """What the stream has said of itself so far."""
        return self._stream.facts

    async def next(self) -> Batch:
        """Wait for more; see ChatStream."""
        batch = await self._stream.next()
        if batch.done or batch.failure is not None:
            self._note(batch)
        elif batch.chunks:
            self._attempt.chunks(batch.chunks)
        return batch

    async def aclose(self) -> None:
        """End the call, wherever it stands. A stream that did not end by itself was cancelled."""
        self._attempt.cancelled(self._stream.facts, self._stream.request_id)
        await self._stream.aclose()

    def _note(self, batch: Batch) -> None:
        self._attempt.chunks(batch.chunks)
        if batch.failure is not None:
            self._attempt.failed(Decision.TOO_LATE, batch.failure, self._stream.facts)
        elif batch.done:
            self._attempt.served(self._stream.facts, self._stream.request_id)
