"""Domain events: what happened to requests, as records that others subscribe to.

The request path publishes and knows none of the listeners; logs, counts and metrics listen. A
listener is called at once, in the order of subscription, must be quick, and cannot harm a
request: what it raises is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from controlplane.table.schema import Price
from dataplane.flight import Decision, RequestOutcome
from dataplane.provider import Operation, Usage
from dataplane.telemetry import RequestSpan

_MOST_KEPT: Final = 64
_CHAT: Final = Operation.CHAT

log = logging.getLogger("switchgear.events")


class RequestStarted:
    """A call of a model has arrived; nothing of it is known yet. at_s: monotonic seconds."""

    __slots__ = ("at_s", "operation", "request_id")

    def __init__(self, *, at_s: float, request_id: str, operation: Operation) -> None:
        self.at_s = at_s
        self.request_id = request_id
        self.operation = operation


class AttemptEnded:
    """One provider call is over.

    first_event_s: seconds to the first semantic event or the unary answer, None if none came.
    duration_s: of the whole call. usage, cost: None where the upstream or the manifest is silent;
    cost is in US dollars. error_type: from the closed list of `error.type`, empty if it served.
    response_model: the upstream's name of what answered, empty if it did not say.
    trace: the ids of the trace and the attempt's span, None if they are not exported.
    """

    __slots__ = (
        "at_s",
        "cost",
        "decision",
        "duration_s",
        "error_type",
        "first_event_s",
        "model",
        "operation",
        "provider",
        "response_model",
        "stream",
        "trace",
        "usage",
    )

    def __init__(
        self,
        *,
        at_s: float,
        provider: str,
        model: str,
        decision: Decision,
        duration_s: float,
        first_event_s: float | None = None,
        usage: Usage | None = None,
        cost: float | None = None,
        error_type: str = "",
        operation: Operation = _CHAT,
        stream: bool = False,
        response_model: str = "",
        trace: tuple[str, str] | None = None,
    ) -> None:
        self.at_s = at_s
        self.provider = provider
        self.model = model
        self.decision = decision
        self.duration_s = duration_s
        self.first_event_s = first_event_s
        self.usage = usage
        self.cost = cost
        self.error_type = error_type
        self.operation = operation
        self.stream = stream
        self.response_model = response_model
        self.trace = trace


class RequestCompleted:
    """A request was answered in full by the last target of `span.flight`."""

    __slots__ = ("at_s", "cost", "operation", "request_id", "span", "usage")

    def __init__(
        self,
        *,
        at_s: float,
        request_id: str,
        operation: Operation,
        span: RequestSpan,
        usage: Usage | None,
        cost: float | None,
    ) -> None:
        self.at_s = at_s
        self.request_id = request_id
        self.operation = operation
        self.span = span
        self.usage = usage
        self.cost = cost


class RequestFailed:
    """A request was not answered in full: rejected, failed, cut off, or its caller left.

    usage, cost: of an answer that broke off, as far as the upstream had told; else None.
    """

    __slots__ = ("at_s", "cost", "operation", "outcome", "request_id", "span", "usage")

    def __init__(
        self,
        *,
        at_s: float,
        request_id: str,
        operation: Operation,
        span: RequestSpan,
        outcome: RequestOutcome,
        usage: Usage | None = None,
        cost: float | None = None,
    ) -> None:
        self.at_s = at_s
        self.request_id = request_id
        self.operation = operation
        self.span = span
        self.outcome = outcome
        self.usage = usage
        self.cost = cost


Event: TypeAlias = RequestStarted | AttemptEnded | RequestCompleted | RequestFailed
Listener: TypeAlias = Callable[[Event], None]

KINDS: Sequence[type[Event]] = (RequestStarted, AttemptEnded, RequestCompleted, RequestFailed)


class Events:
    """Hands each event to every listener."""

    def __init__(self) -> None:
        """Start without listeners."""
        self._listeners: dict[type[Event], list[Listener]] = {kind: [] for kind in KINDS}

    def subscribe(self, listener: Listener, *kinds: type[Event]) -> None:
        """Call `listener` with each event of these kinds from now on; without any, with all."""
        for kind in kinds or KINDS:
            self._listeners[kind].append(listener)

    def publish(self, event: Event) -> None:
        """Tell all listeners. Never raises for what they do."""
        for listener in self._listeners[type(event)]:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed at %s", type(event).__name__)


class Later:
    """Keeps events for a listener that only counts, and hands on many at once.

    Much code that runs once in a while costs twice what it does in a row. Whoever reads what the
    listener has counted calls `settle` first.
    """

    def __init__(self, listener: Listener) -> None:
        """Keep none yet."""
        self._listener = listener
        self._kept: list[Event] = []

    def take(self, event: Event) -> None:
        """Keep an event; the listener of `Events` that stands for another one."""
        kept = self._kept
        kept.append(event)
        if len(kept) >= _MOST_KEPT:
            self.settle()

    def settle(self) -> None:
        """Hand on what is kept. Never raises for what the listener does."""
        kept, self._kept = self._kept, []
        for event in kept:
            _tell(self._listener, event)


def _tell(listener: Listener, event: Event) -> None:
    try:
        listener(event)
    except Exception:
        log.exception("a listener failed at %s", type(event).__name__)


def cost_of(usage: Usage | None, price: Price | None) -> float | None:
    """US dollars for the tokens of a call, or None if a price or a count is not known."""
    if usage is None or price is None or usage.input_tokens is None:
        return None
    output_tokens = usage.output_tokens or 0
    return (usage.input_tokens * price.input + output_tokens * price.output) / 1_000_000
