"""Metrics in memory: instruments, and the numbers that are added to; pure.

An instrument is named once. A series is looked up once for each request, or attempt, and then
added to; nothing is put together for a single measurement. Series are bounded, and read as a
whole when somebody asks.

Source: OpenTelemetry specification, "Metrics Data Model" and "Metrics SDK", explicit bucket
histogram aggregation: an upper bound belongs to its bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

Label: TypeAlias = str | int
Labels: TypeAlias = Mapping[str, Label]


class Kind(StrEnum):
    """What is measured. UP_DOWN: a sum that also falls; GAUGE: a state that cannot be summed."""

    HISTOGRAM = "histogram"
    COUNTER = "counter"
    UP_DOWN = "up-down counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One metric. unit: of UCUM. bounds: of a histogram's buckets. labels: all it may have."""

    name: str
    kind: Kind
    unit: str
    description: str
    labels: Sequence[str] = ()
    bounds: Sequence[float] = ()


class Exemplar(NamedTuple):
    """A measurement that names its trace. at_s: monotonic seconds. ids: lower-case hex."""

    value: float
    at_s: float
    trace_id: str
    span_id: str


class Histogram:
    """A series of a histogram. exemplars: by bucket, the latest of each since they were taken."""

    __slots__ = ("_bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Start empty."""
        self._bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def add(self, value: float) -> None:
        """Count one measurement."""
        self.counts[self._bucket(value)] += 1
        self.total += value

    def add_traced(self, value: float, at_s: float, ids: tuple[str, str]) -> None:
        """Count one measurement, and keep it as the exemplar of its bucket."""
        bucket = self._bucket(value)
        self.counts[bucket] += 1
        self.total += value
        self.exemplars[bucket] = Exemplar(value, at_s, *ids)

    def merge(self, counts: Sequence[int], total: float, exemplars: Iterable[Exemplar]) -> None:
        """Count what another of the same bounds has; its last buckets may be missing if empty."""
        for bucket, count in enumerate(counts):
            self.counts[bucket] += count
        self.total += total
        for exemplar in exemplars:
            bucket = self._bucket(exemplar.value)
            known = self.exemplars.get(bucket)
            if known is None or known.at_s <= exemplar.at_s:
                self.exemplars[bucket] = exemplar

    def _bucket(self, value: float) -> int:
        """Find the bucket, as `bisect_left` does; compiled, it takes a tenth of its time."""
        bounds = self._bounds
        low, high = 0, len(bounds)
        while low < high:
            middle = (low + high) >> 1
            if bounds[middle] < value:
                low = middle + 1
            else:
                high = middle
        return low


class Spread(NamedTuple):
    """What a histogram's series came to."""

    counts: Sequence[int]
    total: float
    exemplars: Sequence[Exemplar] = ()


class Point(NamedTuple):
    """One series, as it is read."""

    labels: Labels
    value: float | Spread


class Metric(NamedTuple):
    """One instrument, as it is read."""

    instrument: Instrument
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All metrics at one moment. since_ns, at_ns: what sums count from, and until."""

    since_ns: int
    at_ns: int
    metrics: Sequence[Metric]


Collect: TypeAlias = Callable[[], Sequence[Metric]]
"""Reads what is known elsewhere, when somebody asks."""
