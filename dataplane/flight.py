"""The record of one request's way through the targets, kept whether telemetry is on or off.

The log line, the list of recent requests and the server span all tell the same story; this is
where it is put together. Nothing here knows of OpenTelemetry, and no clock is read but the one
that is passed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controlplane.table.outcome import SkipReason

MAX_STEPS: Final = 16
"""Steps of a path that are kept; the last of them is always the latest."""

MAX_MODEL_CHARS: Final = 256
"""Characters kept of the model name that the caller sent."""


class Decision(StrEnum):
    """What followed from one attempt.

    FAIL: it must not be tried elsewhere. EXHAUSTED: nothing was left to try. TOO_LATE: it broke
    when bytes had already gone to the caller. CANCELLED: the caller left.
    """

    SERVED = "served"
    RETRY_SAME = "retry_same"
    NEXT_TARGET = "next_target"
    FAIL = "fail"
    EXHAUSTED = "exhausted"
    TOO_LATE = "too_late"
    CANCELLED = "cancelled"


class RequestOutcome(StrEnum):
    """How a request ended. REJECTED: no attempt was made. DRAINED: we stopped before its end."""

    SERVED = "served"
    FAILED = "failed"
    REJECTED = "rejected"
    CLIENT_CANCELLED = "client_cancelled"
    DRAINED = "drained"


# Members by a name of their own: looking one up in its class costs more than comparing it.
_SERVED: Final = Decision.SERVED
_CANCELLED: Final = Decision.CANCELLED
_TOO_LATE: Final = Decision.TOO_LATE
_CLIENT_CANCELLED: Final = RequestOutcome.CLIENT_CANCELLED


class DelaySource(StrEnum):
    """Who chose a pause before a retry: our own back-off, or the upstream's Retry-After."""

    BACKOFF = "backoff"
    RETRY_AFTER = "retry_after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The two clocks of a request.

    now_s: monotonic seconds, for durations. wall_ns: nanoseconds since the epoch, read once a
    request, so that a clock that is set back cannot give a span that ends before it starts.
    """

    now_s: Callable[[], float]
    wall_ns: Callable[[], int]


SYSTEM_CLOCK = Clock(now_s=time.monotonic, wall_ns=time.time_ns)


class FlightLeg:
    """One attempt of a flight; whoever started it ends it, once."""

    __slots__ = ("_flight", "ended_s", "model", "provider", "started_s")

    def __init__(self, flight: FlightRecord, provider: str, model: str, started_s: float) -> None:
        """Start at `started_s` (monotonic)."""
        self._flight = flight
        self.provider = provider
        self.model = model
        self.started_s = started_s
        self.ended_s: float | None = None

    def end(self, decision: Decision, error_type: str = "") -> bool:
        """End the attempt. The first call wins; later ones change nothing and give False.

        error_type: from the closed list of `error.type`; empty for a served attempt.
        """
        if self.ended_s is not None:
            return False
        self.ended_s = self._flight.clock.now_s()
        self._flight.leg_ended(self, decision, error_type)
        return True


class FlightRecord:
    """Where a request went, step by step, and where its time went.

    started_ns: wall clock at the start. model: the caller's name for it, cut to 256 characters.
    provider, upstream_model: of the attempt that served, else of the last one; empty if none was.
    attempts: attempts begun. targets_skipped: targets passed over, repeats counted.
    wasted_s: seconds inside attempts that failed. outcome: None until the end.
    status: the status line sent, None if none was. error_type: empty unless the request failed.
    """

    __slots__ = (
        "_busy_from_s",
        "_busy_s",
        "_ended_s",
        "_first",
        "_first_byte_s",
        "_flying",
        "_served",
        "_sleeping",
        "_slept_s",
        "_steps",
        "attempts",
        "clock",
        "error_type",
        "generation",
        "last_error_type",
        "model",
        "outcome",
        "provider",
        "route",
        "started_ns",
        "started_s",
        "status",
        "stream",
        "targets_skipped",
        "upstream_model",
        "wasted_s",
    )

    def __init__(self, clock: Clock) -> None:
        """Start the flight now."""
        self.clock = clock
        self.started_s = clock.now_s()
        self.started_ns = clock.wall_ns()
        self.route = ""
        self.model = ""
        self.generation = 0
        self.stream = False
        self.provider = ""
        self.upstream_model = ""
        self.attempts = 0
        self.targets_skipped = 0
        self.wasted_s = 0.0
        self.outcome: RequestOutcome | None = None
        self.status: int | None = None
        self.error_type = ""
        self.last_error_type = ""
        self._steps: list[str] = []
        self._first: tuple[str, str] | None = None
        # Not the leg, which holds on to the flight: that would be left to the cycle collector.
        self._served: tuple[str, str] | None = None
        self._flying: set[FlightLeg] = set()
        self._busy_from_s = 0.0
        self._busy_s = 0.0
        self._slept_s = 0.0
        self._sleeping: tuple[float, float] | None = None
        self._first_byte_s: float | None = None
        self._ended_s: float | None = None

    def matched(self, route: str, model: str, generation: int, *, stream: bool) -> None:
        """Note which route of which table generation the caller's model name led to."""
        self.route = route
        self.model = model[:MAX_MODEL_CHARS]
        self.generation = generation
        self.stream = stream

    def skipped(self, provider: str, reason: SkipReason) -> None:
        """Note a target that was not tried."""
        self.targets_skipped += 1
        if self._first is None:
            self._first = (provider, "")
        self._step(provider, reason)

    def retrying(self, delay_s: float) -> None:
        """Note a pause that begins now and lasts at most `delay_s` seconds."""
        now_s = self.clock.now_s()
        self._wake(now_s)
        self._sleeping = (now_s, now_s + delay_s)

    def attempt(self, provider: str, model: str) -> FlightLeg:
        """Begin an attempt; `model` is the upstream's name for it."""
        now_s = self.clock.now_s()
        self._wake(now_s)
        self.attempts += 1
        self.provider = provider
        self.upstream_model = model
        if self._first is None:
            self._first = (provider, model)
        if not self._flying:
            self._busy_from_s = now_s
        leg = FlightLeg(self, provider, model, now_s)
        self._flying.add(leg)
        return leg

    def leg_ended(self, leg: FlightLeg, decision: Decision, error_type: str) -> None:
        """Take back a leg; called by the leg itself."""
        ended_s = leg.ended_s if leg.ended_s is not None else leg.started_s
        self._flying.discard(leg)
        if not self._flying:
            self._busy_s += ended_s - self._busy_from_s
        if decision is _SERVED:
            self._served = (leg.provider, leg.model)
            self.provider, self.upstream_model = leg.provider, leg.model
            self._step(leg.provider, decision)
        elif decision is _CANCELLED:
            self._step(leg.provider, decision)
        else:
            self.wasted_s += ended_s - leg.started_s
            self.last_error_type = error_type or "_OTHER"
            if decision is _TOO_LATE:
                self.error_type = self.last_error_type
            self._step(leg.provider, self.last_error_type)

    def first_byte(self) -> None:
        """Note that the first byte of the answer goes out; later calls change nothing."""
        if self._first_byte_s is None:
            self._first_byte_s = self.clock.now_s()

    def end(self, outcome: RequestOutcome, status: int | None, error_type: str = "") -> bool:
        """End the flight. The first call wins; later ones change nothing and give False.

        Attempts still open are cancelled. The error type is the one given, else that of an
        attempt that broke too late, else a status of 500 and above; a caller who left is no error.
        """
        if self._ended_s is not None:
            return False
        if self._flying:
            for leg in tuple(self._flying):
                leg.end(_CANCELLED)
        self._ended_s = self.clock.now_s()
        self._wake(self._ended_s)
        self.outcome = outcome
        self.status = status
        if outcome is _CLIENT_CANCELLED:
            self.error_type = ""
        elif error_type:
            self.error_type = error_type
        elif not self.error_type and status is not None and status >= 500:
            self.error_type = str(status)
        return True

    @property
    def path(self) -> Sequence[str]:
        """The steps in order, like `("eu:circuit_open", "fr:429", "local:served")`."""
        return tuple(self._steps)

    @property
    def served_by(self) -> str:
        """The provider that served, or empty."""
        return self._served[0] if self._served is not None else ""

    @property
    def failover(self) -> bool:
        """Whether another target served than the first one that was wished for."""
        if self._served is None or self._first is None:
            return False
        provider, model = self._first
        served_by, served_model = self._served
        return provider != served_by or model not in {"", served_model}

    @property
    def duration_s(self) -> float:
        """Seconds from the start to the end, or until now."""
        ended_s = self._ended_s if self._ended_s is not None else self.clock.now_s()
        return ended_s - self.started_s

    @property
    def overhead_s(self) -> float:
        """Our own share of the duration: without the attempts (overlaps once) and the pauses."""
        return max(0.0, self.duration_s - self._busy_s - self._slept_s)

    @property
    def time_to_first_chunk_s(self) -> float | None:
        """Seconds from the start to the first byte out, None if none went out."""
        return None if self._first_byte_s is None else self._first_byte_s - self.started_s

    def _wake(self, now_s: float) -> None:
        # A pause may be cut short by the caller leaving, or end late on a busy loop: the plan
        # bounds what counts as pause, the rest is ours.
        if self._sleeping is not None:
            from_s, until_s = self._sleeping
            self._slept_s += max(0.0, min(now_s, until_s) - from_s)
            self._sleeping = None

    def _step(self, provider: str, what: str) -> None:
        step = f"{provider}:{what}"
        if len(self._steps) < MAX_STEPS:
            self._steps.append(step)
        else:
            self._steps[-1] = step
