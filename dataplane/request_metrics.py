"""Metrics of requests and attempts, from the events that the request path publishes.

A series is found by what tells it apart, in one look-up, and holds everything that one attempt or
one request adds to. Only values of the table and of closed lists become labels: what callers and
upstreams say is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import Provider
from dataplane import metric_instruments as instruments
from dataplane import request_counts as counting
from dataplane import telemetry_names as names
from dataplane.events import AttemptEnded, Event, Later, RequestCompleted, RequestFailed
from dataplane.flight import Decision, FlightRecord
from dataplane.metric_points import Exemplar, Histogram, Label, Labels, Metric, Point, Spread
from dataplane.provider import Operation
from dataplane.request_counts import (
    AttemptCounts,
    AttemptSums,
    Counts,
    EndedCount,
    RequestCounts,
    RouteCounts,
    SkippedCount,
    tally,
)
from dataplane.request_labels import (
    OVERFLOW,
    AttemptKey,
    EndedKey,
    RequestKey,
    call_labels,
    ended_labels,
    request_labels,
)
from dataplane.telemetry_attributes import clean_text

MAX_RESPONSE_MODELS: Final = 64
"""Names of answering models that are kept apart for each provider; others are `_other`."""

MAX_SERIES: Final = 4096
"""Series of attempts, and of requests. Beyond that new ones go into one that says so."""

_SERVED: Final = Decision.SERVED
_CANCELLED: Final = Decision.CANCELLED
_REASONS: Final = frozenset(SkipReason)
_UNCOUNTED: Final = frozenset({"", instruments.OTHER})


class _Attempts:
    """What attempts of one kind add to."""

    __slots__ = ("duration", "first_chunk", "input", "labels", "output")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.duration = Histogram(instruments.OPERATION_DURATION.bounds)
        self.first_chunk = Histogram(instruments.FIRST_CHUNK.bounds)
        self.input = Histogram(instruments.TOKEN_USAGE.bounds)
        self.output = Histogram(instruments.TOKEN_USAGE.bounds)

    def sums(self) -> AttemptSums:
        return AttemptSums(
            duration=tally(self.duration),
            first_chunk=tally(self.first_chunk),
            input=tally(self.input),
            output=tally(self.output),
        )

    def add(self, sums: AttemptSums) -> None:
        counting.add(self.duration, sums.duration)
        counting.add(self.first_chunk, sums.first_chunk)
        counting.add(self.input, sums.input)
        counting.add(self.output, sums.output)


class _Requests:
    """What requests of one kind add to."""

    __slots__ = ("duration", "labels")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.duration = Histogram(instruments.REQUEST_DURATION.bounds)


class _Route:
    """What all requests of a route add to."""

    __slots__ = ("first_chunk", "overhead")

    def __init__(self) -> None:
        self.first_chunk = Histogram(instruments.REQUEST_FIRST_CHUNK.bounds)
        self.overhead = Histogram(instruments.OVERHEAD.bounds)


class RequestMetrics:
    """Listens to events, and can be read.

    listen: takes an event. provider: finds a provider of the table by its name.
    """

    _attempts: dict[AttemptKey, _Attempts]
    _models: dict[str, set[str]]
    _requests: dict[RequestKey, _Requests]
    _routes: dict[str, _Route]
    _ended: dict[EndedKey, int]
    _skipped: dict[tuple[str, str], int]
    _wasted: dict[str, float]

    def __init__(self, provider: Callable[[str], Provider | None]) -> None:
        """Start with no series."""
        self._provider = provider
        self._later = Later(self._count)
        self.listen = self._later.take
        self._begin()

    def _count(self, event: Event) -> None:
        if isinstance(event, AttemptEnded):
            self._attempt(event)
        elif isinstance(event, RequestCompleted | RequestFailed):
            self._request(event.operation, event.span.flight)

    def keep_only(self, providers: Mapping[str, object]) -> None:
        """Forget what is told of the providers that a new table no longer has."""
        self._later.settle()
        self._attempts = {
            key: series for key, series in self._attempts.items() if key[0] in providers
        }
        self._ended = {key: count for key, count in self._ended.items() if key[0] in providers}
        self._skipped = {key: count for key, count in self._skipped.items() if key[0] in providers}
        self._wasted = {name: total for name, total in self._wasted.items() if name in providers}
        for name in self._models.keys() - providers.keys():
            del self._models[name]

    def read(self, *, exemplars: bool = False) -> Sequence[Metric]:
        """Give all series. exemplars: with those since they were last asked for."""
        self._later.settle()
        attempts = [*self._attempts.values(), self._lost_attempts]
        requests = [*self._requests.values(), self._lost_requests]
        routes = [({names.ROUTE: name}, route) for name, route in self._routes.items()]
        tokens = [
            *_typed(((one.labels, one.input) for one in attempts), "input"),
            *_typed(((one.labels, one.output) for one in attempts), "output"),
        ]
        return (
            Metric(
                instruments.OPERATION_DURATION,
                _points(((one.labels, one.duration) for one in attempts), exemplars=exemplars),
            ),
            Metric(
                instruments.FIRST_CHUNK,
                _points((one.labels, one.first_chunk) for one in attempts),
            ),
            Metric(instruments.TOKEN_USAGE, tokens),
            Metric(
                instruments.REQUEST_DURATION,
                _points((one.labels, one.duration) for one in requests),
            ),
            Metric(
                instruments.REQUEST_FIRST_CHUNK,
                _points((labels, route.first_chunk) for labels, route in routes),
            ),
            Metric(
                instruments.OVERHEAD, _points((labels, route.overhead) for labels, route in routes)
            ),
            Metric(
                instruments.ATTEMPTS,
                [Point(ended_labels(key), count) for key, count in self._ended.items()],
            ),
            Metric(
                instruments.SKIPPED,
                [
                    Point({names.ENDPOINT: provider, names.REASON: reason}, count)
                    for (provider, reason), count in self._skipped.items()
                ],
            ),
            Metric(
                instruments.WASTED,
                [Point({names.ENDPOINT: name}, total) for name, total in self._wasted.items()],
            ),
        )

    def take(self) -> RequestMetrics:
        """Hand over all that was counted, exemplars included, and begin anew; takes no time."""
        self._later.settle()
        taken = RequestMetrics(self._provider)
        taken._attempts, taken._models = self._attempts, self._models
        taken._requests, taken._routes = self._requests, self._routes
        taken._ended, taken._skipped = self._ended, self._skipped
        taken._wasted = self._wasted
        taken._lost_attempts, taken._lost_requests = self._lost_attempts, self._lost_requests
        self._begin()
        return taken

    def counts(self) -> Counts:
        """Tell all that was counted, for `add` of another process."""
        self._later.settle()
        return Counts(
            attempts=[_attempt_counts(key, one) for key, one in self._attempts.items()],
            lost_attempts=self._lost_attempts.sums(),
            requests=[_request_counts(key, one) for key, one in self._requests.items()],
            lost_requests=tally(self._lost_requests.duration),
            routes={
                name: RouteCounts(first_chunk=tally(one.first_chunk), overhead=tally(one.overhead))
                for name, one in self._routes.items()
            },
            ended=[
                EndedCount(provider=provider, decision=decision, error=error, count=count)
                for (provider, decision, error), count in self._ended.items()
            ],
            skipped=[
                SkippedCount(provider=provider, reason=SkipReason(reason), count=count)
                for (provider, reason), count in self._skipped.items()
            ],
            wasted=self._wasted,
        )

    def add(self, counts: Counts) -> None:
        """Count what another has counted; both have the same clock."""
        self._later.settle()
        for one in counts.attempts:
            call = (one.provider, one.model, one.operation, one.response_model, one.error)
            (self._attempts.get(call) or self._attempts_of(call)).add(one.sums)
        self._lost_attempts.add(counts.lost_attempts)
        for told in counts.requests:
            key = (told.operation, told.route, told.outcome, told.status, told.error)
            series = self._requests.get(key) or self._requests_of(key)
            counting.add(series.duration, told.duration)
        counting.add(self._lost_requests.duration, counts.lost_requests)
        for name, sums in counts.routes.items():
            route = self._routes.get(name) or self._route_of(name)
            counting.add(route.first_chunk, sums.first_chunk)
            counting.add(route.overhead, sums.overhead)
        for way in counts.ended:
            ended = (way.provider, way.decision, way.error)
            self._ended[ended] = self._ended.get(ended, 0) + way.count
        for passed in counts.skipped:
            skipped = (passed.provider, passed.reason.value)
            self._skipped[skipped] = self._skipped.get(skipped, 0) + passed.count
        for name, wasted_s in counts.wasted.items():
            self._wasted[name] = self._wasted.get(name, 0.0) + wasted_s

    def _begin(self) -> None:
        self._attempts = {}
        self._models = {}
        self._requests = {}
        self._routes = {}
        self._ended = {}
        self._skipped = {}
        self._wasted = {}
        self._lost_attempts = _Attempts(OVERFLOW)
        self._lost_requests = _Requests(OVERFLOW)

    def _attempt(self, event: AttemptEnded) -> None:
        provider, error = event.provider, event.error_type
        if error and error not in names.ERROR_TYPES:
            error = "_OTHER"
        key = (provider, event.model, event.operation, event.response_model, error)
        series = self._attempts.get(key) or self._attempts_of(key)
        if event.trace is None:
            series.duration.add(event.duration_s)
        else:
            series.duration.add_traced(event.duration_s, event.at_s, event.trace)
        if event.stream and event.first_event_s is not None:
            series.first_chunk.add(event.first_event_s)
        usage = event.usage
        if usage is not None:
            input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
            if input_tokens is not None:
                series.input.add(input_tokens)
            if output_tokens is not None:
                series.output.add(output_tokens)
        decision = event.decision
        ended = (provider, decision, error)
        self._ended[ended] = self._ended.get(ended, 0) + 1
        if decision is not _SERVED and decision is not _CANCELLED:
            self._wasted[provider] = self._wasted.get(provider, 0.0) + event.duration_s

    def _request(self, operation: Operation, flight: FlightRecord) -> None:
        key = (operation, flight.route, flight.outcome, flight.status, flight.error_type)
        series = self._requests.get(key) or self._requests_of(key)
        series.duration.add(flight.duration_s)
        name = flight.route
        if name:
            route = self._routes.get(name) or self._route_of(name)
            route.overhead.add(flight.overhead_s)
            if flight.stream:
                first_s = flight.time_to_first_chunk_s
                if first_s is not None:
                    route.first_chunk.add(first_s)
        if flight.targets_skipped:
            for step in flight.path:
                provider, _, what = step.rpartition(":")
                if what in _REASONS:
                    skipped = (provider, what)
                    self._skipped[skipped] = self._skipped.get(skipped, 0) + 1

    def _attempts_of(self, key: AttemptKey) -> _Attempts:
        """Begin a series, or find the one that is meant, or the one for too many."""
        provider, model, operation, response_model, error = key
        known = self._models.setdefault(provider, set())
        if response_model not in known and response_model not in _UNCOUNTED:
            if len(known) < MAX_RESPONSE_MODELS:
                known.add(response_model)
            else:
                response_model = instruments.OTHER
        bounded = (provider, model, operation, response_model, error)
        series = self._attempts.get(bounded)
        if series is None:
            if len(self._attempts) >= MAX_SERIES:
                return self._lost_attempts
            labels = call_labels(self._provider(provider), bounded)
            series = self._attempts[bounded] = _Attempts(labels)
        return series

    def _requests_of(self, key: RequestKey) -> _Requests:
        if len(self._requests) >= MAX_SERIES:
            return self._lost_requests
        series = self._requests[key] = _Requests(request_labels(key))
        return series

    def _route_of(self, name: str) -> _Route:
        if len(self._routes) >= MAX_SERIES:
            self._routes.clear()
        route = self._routes[name] = _Route()
        return route


def _attempt_counts(key: AttemptKey, series: _Attempts) -> AttemptCounts:
    provider, model, operation, response_model, error = key
    return AttemptCounts(
        provider=provider,
        model=model,
        operation=operation,
        # What an upstream says may be of any length; a label is not.
        response_model=clean_text(response_model),
        error=error,
        sums=series.sums(),
    )


def _request_counts(key: RequestKey, series: _Requests) -> RequestCounts:
    operation, route, outcome, status, error = key
    return RequestCounts(
        operation=operation,
        route=route,
        outcome=outcome,
        status=status,
        error=error,
        duration=tally(series.duration),
    )


def _points(
    series: Iterable[tuple[Labels, Histogram]], *, exemplars: bool = False
) -> Sequence[Point]:
    """Read series. Those with the same labels are one: of two keys for one server, for example."""
    sums: dict[tuple[tuple[str, Label], ...], Spread] = {}
    for labels, histogram in series:
        counts = tuple(histogram.counts)
        if not any(counts):
            continue
        told: Sequence[Exemplar] = ()
        if exemplars:
            told = tuple(histogram.exemplars.values())
            histogram.exemplars = {}
        spread = Spread(counts, histogram.total, told)
        key = tuple(labels.items())
        before = sums.get(key)
        sums[key] = spread if before is None else _sum(before, spread)
    return [Point(dict(key), spread) for key, spread in sums.items()]


def _sum(one: Spread, other: Spread) -> Spread:
    counts = [first + second for first, second in zip(one.counts, other.counts, strict=True)]
    return Spread(counts, one.total + other.total, (*one.exemplars, *other.exemplars))


def _typed(series: Iterable[tuple[Labels, Histogram]], kind: str) -> Iterator[Point]:
    for labels, spread in _points(series):
        yield Point({**labels, instruments.TOKEN_TYPE: kind}, spread)
