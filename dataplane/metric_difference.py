"""What has happened from one reading of metrics to the next; pure."""

from __future__ import annotations

from collections.abc import Mapping

from dataplane.metric_points import Kind, Label, Metric, Point, Reading, Spread


class Difference:
    """Turns readings into what has happened since the one before, for delta temporality.

    Counters and histograms only: sums that also fall, and states, stay as they are.
    """

    def __init__(self) -> None:
        """Start with nothing read."""
        self._before: dict[tuple[str, tuple[tuple[str, Label], ...]], float | Spread] = {}
        self._at_ns: int | None = None

    def of(self, reading: Reading) -> Reading:
        """Give the difference to the reading before."""
        before, self._before = self._before, {}
        since_ns = reading.since_ns if self._at_ns is None else self._at_ns
        self._at_ns = reading.at_ns
        metrics = [self._metric(metric, before) for metric in reading.metrics]
        return Reading(since_ns=since_ns, at_ns=reading.at_ns, metrics=metrics)

    def _metric(
        self,
        metric: Metric,
        before: Mapping[tuple[str, tuple[tuple[str, Label], ...]], float | Spread],
    ) -> Metric:
        if metric.instrument.kind not in (Kind.COUNTER, Kind.HISTOGRAM):
            return metric
        points = []
        for labels, value in metric.points:
            key = (metric.instrument.name, tuple(labels.items()))
            self._before[key] = value
            points.append(Point(labels, _minus(value, before.get(key))))
        return Metric(metric.instrument, points)


def _minus(value: float | Spread, before: float | Spread | None) -> float | Spread:
    if isinstance(value, Spread):
        if not isinstance(before, Spread):
            return value
        counts = [now - then for now, then in zip(value.counts, before.counts, strict=True)]
        # A series that was forgotten and came back counts from nothing.
        return (
            value
            if min(counts) < 0
            else Spread(counts, value.total - before.total, value.exemplars)
        )
    if before is None or isinstance(before, Spread) or before > value:
        return value
    return value - before
