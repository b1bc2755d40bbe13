"""Numbers per provider: success rate, latency percentiles, tokens, cost, breaker history.

Kept in bounded memory: counters, a histogram of fixed buckets, and the last transitions. All
numbers are since the process started, but for the rate, which is over the last minutes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from controlplane.table.view import Transition
from dataplane.events import AttemptEnded, Event, Later
from dataplane.flight import Decision
from dataplane.provider_numbers import Numbers

RATE_WINDOW_S: Final = 300.0
"""The window of the success rate."""

HISTORY: Final = 32
"""Breaker transitions kept of each provider."""

_RATE_BUCKETS: Final = 10
_SUB_BUCKETS: Final = 8
_SMALLEST_S: Final = 0.0001
_BUCKETS: Final = 8 * 24
# Members by a name of their own: looking one up in its class costs more than comparing it.
_SERVED: Final = Decision.SERVED
_CANCELLED: Final = Decision.CANCELLED


class Histogram:
    """Counts of durations in buckets whose bounds grow by a twelfth each; 0.1 ms to 28 minutes.

    A percentile is the upper bound of its bucket, so it is at most 9.1 % too high.
    """

    __slots__ = ("_counts", "count")

    def __init__(self) -> None:
        """Start empty."""
        self._counts = [0] * _BUCKETS
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        steps = math.log2(max(seconds, _SMALLEST_S) / _SMALLEST_S) * _SUB_BUCKETS
        self._counts[min(_BUCKETS - 1, math.ceil(steps))] += 1
        self.count += 1

    def counts(self) -> Sequence[int]:
        """Return the counts of all buckets, up to the last that is not empty."""
        used = max((number for number, count in enumerate(self._counts) if count), default=-1) + 1
        return self._counts[:used]

    def merge(self, counts: Sequence[int]) -> None:
        """Add what another's `counts` gave."""
        for number, count in enumerate(counts):
            self._counts[number] += count
            self.count += count

    def percentile(self, share: float) -> float | None:
        """Return the duration that `share` of all stay below, None if there are none."""
        if not self.count:
            return None
        wanted = math.ceil(share * self.count)
        for number, count in enumerate(self._counts):
            wanted -= count
            if wanted <= 0:
                return float(_SMALLEST_S * 2 ** (number / _SUB_BUCKETS))
        return None


class Rate:
    """The share of successes over a sliding window, in buckets of time."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        """Start empty."""
        self._buckets: deque[tuple[int, int, int]] = deque(maxlen=_RATE_BUCKETS)

    def add(self, now_s: float, *, success: bool) -> None:
        """Count one outcome."""
        slot = int(now_s / (RATE_WINDOW_S / _RATE_BUCKETS))
        good, bad = int(success), int(not success)
        if self._buckets and self._buckets[-1][0] == slot:
            _, old_good, old_bad = self._buckets.pop()
            good, bad = good + old_good, bad + old_bad
        self._buckets.append((slot, good, bad))

    def slots(self) -> Sequence[Sequence[int]]:
        """Return slot of time, successes and failures of each bucket, the oldest first."""
        return [list(bucket) for bucket in self._buckets]

    def merge(self, slots: Sequence[Sequence[int]]) -> None:
        """Add what another's `slots` gave; both have the same clock."""
        sums = {slot: (good, bad) for slot, good, bad in self._buckets}
        for slot, good, bad in slots:
            old_good, old_bad = sums.get(slot, (0, 0))
            sums[slot] = (old_good + good, old_bad + bad)
        self._buckets = deque(
            ((slot, *sums[slot]) for slot in sorted(sums)), maxlen=self._buckets.maxlen
        )

    def value(self, now_s: float) -> float | None:
        """Return the share in [0, 1], None if the window holds no outcome."""
        oldest = int(now_s / (RATE_WINDOW_S / _RATE_BUCKETS)) - _RATE_BUCKETS + 1
        good = sum(item[1] for item in self._buckets if item[0] >= oldest)
        bad = sum(item[2] for item in self._buckets if item[0] >= oldest)
        return good / (good + bad) if good + bad else None


class _Numbers:
    __slots__ = (
        "attempts",
        "cancelled",
        "cost",
        "duration",
        "errors",
        "failed",
        "first_event",
        "history",
        "input_tokens",
        "output_tokens",
        "rate",
        "served",
    )

    def __init__(self) -> None:
        self.attempts = 0
        self.served = 0
        self.failed = 0
        self.cancelled = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0
        self.first_event = Histogram()
        self.duration = Histogram()
        self.rate = Rate()
        self.errors: dict[str, int] = {}
        self.history: deque[tuple[float, Transition]] = deque(maxlen=HISTORY)


class ProviderMetrics:
    """Listens to events and breaker transitions; tells numbers by provider.

    listen: takes an event; only ended attempts matter here.
    clock: monotonic seconds. wall_s: seconds since the epoch, for the history.
    """

    def __init__(self, clock: Callable[[], float], wall_s: Callable[[], float]) -> None:
        """Start with no provider known."""
        self._clock = clock
        self._wall_s = wall_s
        self._told: dict[str, _Numbers] = {}
        self._later = Later(self._count)
        self.listen = self._later.take

    @property
    def _numbers(self) -> dict[str, _Numbers]:
        """What is known by now."""
        self._later.settle()
        return self._told

    def _count(self, event: Event) -> None:
        if not isinstance(event, AttemptEnded):
            return
        numbers = self._of(event.provider)
        numbers.attempts += 1
        if event.decision is _CANCELLED:
            numbers.cancelled += 1
        else:
            served = event.decision is _SERVED
            numbers.rate.add(event.at_s, success=served)
            if served:
                numbers.served += 1
                numbers.duration.add(event.duration_s)
            else:
                numbers.failed += 1
                error = event.error_type or "_OTHER"
                numbers.errors[error] = numbers.errors.get(error, 0) + 1
        if event.first_event_s is not None:
            numbers.first_event.add(event.first_event_s)
        usage = event.usage
        if usage is not None:
            numbers.input_tokens += usage.input_tokens or 0
            numbers.output_tokens += usage.output_tokens or 0
        numbers.cost += event.cost or 0.0

    def moved(self, transition: Transition) -> None:
        """Take a breaker's transition."""
        self._of(transition.provider).history.append((self._wall_s(), transition))

    def numbers(self) -> Mapping[str, Numbers]:
        """Give the numbers of each provider, for `add` of another process."""
        return {
            name: Numbers(
                attempts=item.attempts,
                served=item.served,
                failed=item.failed,
                cancelled=item.cancelled,
                input_tokens=item.input_tokens,
                output_tokens=item.output_tokens,
                cost=float(item.cost),
                first_event=item.first_event.counts(),
                duration=item.duration.counts(),
                rate=item.rate.slots(),
                errors=dict(item.errors),
            )
            for name, item in self._numbers.items()
        }

    def add(self, numbers: Mapping[str, Numbers]) -> None:
        """Add what another's `numbers` gave."""
        for name, item in numbers.items():
            own = self._of(name)
            own.attempts += item.attempts
            own.served += item.served
            own.failed += item.failed
            own.cancelled += item.cancelled
            own.input_tokens += item.input_tokens
            own.output_tokens += item.output_tokens
            own.cost += item.cost
            own.first_event.merge(item.first_event)
            own.duration.merge(item.duration)
            own.rate.merge(item.rate)
            for error, count in item.errors.items():
                own.errors[error] = own.errors.get(error, 0) + count

    def take_history(self, other: ProviderMetrics) -> None:
        """Show the breakers' history of another in place of one's own."""
        for name, item in other._numbers.items():
            self._of(name).history = item.history

    def keep_only(self, providers: Mapping[str, object]) -> None:
        """Forget the providers that a new table no longer has."""
        for name in self._numbers.keys() - providers.keys():
            del self._numbers[name]

    def view(self, provider: str) -> Mapping[str, Any]:
        """Describe one provider's numbers, as JSON has it; of an unknown one, zeros."""
        numbers = self._numbers.get(provider) or _Numbers()
        return {
            "attempts": numbers.attempts,
            "served": numbers.served,
            "failed": numbers.failed,
            "cancelled": numbers.cancelled,
            "successRate": _rounded(numbers.rate.value(self._clock()), 4),
            "firstEventMs": _percentiles(numbers.first_event),
            "durationMs": _percentiles(numbers.duration),
            "inputTokens": numbers.input_tokens,
            "outputTokens": numbers.output_tokens,
            "costUsd": round(numbers.cost, 6),
            "errors": dict(sorted(numbers.errors.items())),
            "breakerHistory": [_told(at_s, item) for at_s, item in numbers.history],
        }

    def _of(self, provider: str) -> _Numbers:
        numbers = self._told.get(provider)
        if numbers is None:
            numbers = self._told[provider] = _Numbers()
        return numbers


def _told(at_s: float, transition: Transition) -> Mapping[str, Any]:
    return {
        "at": round(at_s, 3),
        "scope": transition.scope.value,
        "model": transition.model,
        "from": transition.before.value,
        "to": transition.after.value,
        "reason": transition.reason,
    }


def _percentiles(histogram: Histogram) -> Mapping[str, float | None]:
    shares: Sequence[tuple[str, float]] = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    return {name: _ms(histogram.percentile(share)) for name, share in shares}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
