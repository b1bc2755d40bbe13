"""What request metrics have counted, as plain records: for another process to add up.

They travel in the plain form of `controlplane.table.plain`. Series are told by what they are found
by, not by their labels, so whoever adds them up bounds and forgets them as it does its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.table.outcome import SkipReason
from dataplane.flight import Decision, RequestOutcome
from dataplane.metric_points import Exemplar, Histogram
from dataplane.provider import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """An Exemplar."""

    value: float
    at_s: float
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """A Histogram. counts: of its buckets, up to the last that is not empty."""

    counts: Sequence[int] = ()
    total: float = 0.0
    exemplars: Sequence[Traced] = ()


EMPTY = Tally()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSums:
    """What attempts of one kind came to."""

    duration: Tally = EMPTY
    first_chunk: Tally = EMPTY
    input: Tally = EMPTY
    output: Tally = EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCounts:
    """Attempts of one kind. error: empty if they served."""

    provider: str
    model: str
    operation: Operation
    response_model: str
    error: str
    sums: AttemptSums


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCounts:
    """Requests of one kind. route, error: empty if there is none."""

    operation: Operation
    route: str
    outcome: RequestOutcome | None
    status: int | None
    error: str
    duration: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteCounts:
    """All requests of a route."""

    first_chunk: Tally
    overhead: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCount:
    """How many attempts ended in one way."""

    provider: str
    decision: Decision
    error: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedCount:
    """How often a provider's targets were passed over for one reason."""

    provider: str
    reason: SkipReason
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """All of it. lost_attempts, lost_requests: of the series for too many."""

    attempts: Sequence[AttemptCounts] = ()
    lost_attempts: AttemptSums = AttemptSums()
    requests: Sequence[RequestCounts] = ()
    lost_requests: Tally = EMPTY
    routes: Mapping[str, RouteCounts] = field(default_factory=dict)
    ended: Sequence[EndedCount] = ()
    skipped: Sequence[SkippedCount] = ()
    wasted: Mapping[str, float] = field(default_factory=dict)


def tally(histogram: Histogram) -> Tally:
    """Tell what a histogram has counted."""
    counts = list(histogram.counts)
    while counts and not counts[-1]:
        del counts[-1]
    return Tally(
        counts=tuple(counts),
        total=histogram.total,
        exemplars=tuple(Traced(**one._asdict()) for one in histogram.exemplars.values()),
    )


def add(histogram: Histogram, told: Tally) -> None:
    """Count what another histogram of the same bounds has counted."""
    exemplars = (Exemplar(one.value, one.at_s, one.trace_id, one.span_id) for one in told.exemplars)
    histogram.merge(told.counts, told.total, exemplars)
