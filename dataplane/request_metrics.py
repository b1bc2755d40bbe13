"""Metrics of requests and attempts, from the events that the request path publishes.

A series is found by what tells it apart, in one look-up, and holds everything that one attempt or
one request adds to. Only values of the table and of closed lists become labels: what callers and
upstreams say is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import Provider
from dataplane import metric_instruments as instruments
from dataplane import telemetry_names as names
from dataplane.events import AttemptEnded, Event, RequestCompleted, RequestFailed
from dataplane.flight import Decision, FlightRecord, RequestOutcome
from dataplane.metric_points import Exemplar, Histogram, Label, Labels, Metric, Point, Spread
from dataplane.provider import Operation
from dataplane.telemetry_attributes import MAX_TEXT_CHARS, clean_text, server_of

MAX_RESPONSE_MODELS = 64
"""Names of answering models that are kept apart for each provider; others are `_other`."""

MAX_SERIES = 4096
"""Series of attempts, and of requests. Beyond that new ones go into one that says so."""

OVERFLOW: Labels = {"otel.metric.overflow": "true"}

ROUTES: Mapping[Operation, str] = {
    Operation.CHAT: "/v1/chat/completions",
    Operation.COMPLETION: "/v1/completions",
    Operation.EMBEDDINGS: "/v1/embeddings",
}

_AttemptKey: TypeAlias = tuple[str, str, Operation, str, str]
_RequestKey: TypeAlias = tuple[Operation, str, RequestOutcome | None, int | None, str]

_SERVED = Decision.SERVED
_CANCELLED = Decision.CANCELLED
_REASONS = frozenset(SkipReason)


class _Attempts:
    """What attempts of one kind add to."""

    __slots__ = ("duration", "first_chunk", "input", "labels", "output")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.duration = Histogram(instruments.OPERATION_DURATION.bounds)
        self.first_chunk = Histogram(instruments.FIRST_CHUNK.bounds)
        self.input = Histogram(instruments.TOKEN_USAGE.bounds)
        self.output = Histogram(instruments.TOKEN_USAGE.bounds)


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
    """Listens to events, and can be read. provider: finds a provider of the table by its name."""

    def __init__(self, provider: Callable[[str], Provider | None]) -> None:
        """Start with no series."""
        self._provider = provider
        self._attempts: dict[_AttemptKey, _Attempts] = {}
        self._models: dict[str, set[str]] = {}
        self._requests: dict[_RequestKey, _Requests] = {}
        self._routes: dict[str, _Route] = {}
        self._ended: dict[tuple[str, Decision, str], int] = {}
        self._skipped: dict[tuple[str, str], int] = {}
        self._wasted: dict[str, float] = {}
        self._lost_attempts = _Attempts(OVERFLOW)
        self._lost_requests = _Requests(OVERFLOW)

    def listen(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, AttemptEnded):
            self._attempt(event)
        elif isinstance(event, RequestCompleted | RequestFailed):
            self._request(event.operation, event.span.flight)

    def keep_only(self, providers: Mapping[str, object]) -> None:
        """Forget what is told of the providers that a new table no longer has."""
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
                [Point(_ended(key), count) for key, count in self._ended.items()],
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
            if usage.input_tokens is not None:
                series.input.add(usage.input_tokens)
            if usage.output_tokens is not None:
                series.output.add(usage.output_tokens)
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

    def _attempts_of(self, key: _AttemptKey) -> _Attempts:
        """Begin a series, or find the one that is meant, or the one for too many."""
        provider, model, operation, response_model, error = key
        known = self._models.setdefault(provider, set())
        if response_model and response_model not in known:
            if len(known) < MAX_RESPONSE_MODELS:
                known.add(response_model)
            else:
                response_model = instruments.OTHER
        bounded = (provider, model, operation, response_model, error)
        series = self._attempts.get(bounded)
        if series is None:
            if len(self._attempts) >= MAX_SERIES:
                return self._lost_attempts
            labels = _call_labels(self._provider(provider), bounded)
            series = self._attempts[bounded] = _Attempts(labels)
        return series

    def _requests_of(self, key: _RequestKey) -> _Requests:
        if len(self._requests) >= MAX_SERIES:
            return self._lost_requests
        series = self._requests[key] = _Requests(_request_labels(key))
        return series

    def _route_of(self, name: str) -> _Route:
        if len(self._routes) >= MAX_SERIES:
            self._routes.clear()
        route = self._routes[name] = _Route()
        return route


def _call_labels(provider: Provider | None, key: _AttemptKey) -> Labels:
    _, model, operation, response_model, error = key
    labels: dict[str, Label] = {
        names.OPERATION: operation.value,
        names.REQUEST_MODEL: clean_text(model),
    }
    if provider is not None:
        labels[names.PROVIDER] = names.PROVIDER_NAMES[provider.type]
        labels[names.SERVER_ADDRESS], labels[names.SERVER_PORT] = server_of(provider.base_url)
    if response_model:
        labels[names.RESPONSE_MODEL] = clean_text(response_model, MAX_TEXT_CHARS)
    if error:
        labels[names.ERROR_TYPE] = error
    return labels


def _request_labels(key: _RequestKey) -> Labels:
    operation, route, outcome, status, error = key
    labels: dict[str, Label] = {
        instruments.METHOD: "POST",
        names.URL_SCHEME: "http",
        names.HTTP_ROUTE: ROUTES[operation],
        names.OUTCOME: outcome.value if outcome is not None else "",
    }
    if status is not None:
        labels[names.HTTP_STATUS] = status
    if error:
        labels[names.ERROR_TYPE] = error
    if route:
        labels[names.ROUTE] = route
    return labels


def _ended(key: tuple[str, Decision, str]) -> Labels:
    provider, decision, error = key
    labels = {names.ENDPOINT: provider, names.DECISION: decision.value}
    return {**labels, names.ERROR_TYPE: error} if error else labels


def _points(
    series: Iterable[tuple[Labels, Histogram]], *, exemplars: bool = False
) -> Sequence[Point]:
    points = []
    for labels, histogram in series:
        counts = tuple(histogram.counts)
        if not any(counts):
            continue
        told: Sequence[Exemplar] = ()
        if exemplars:
            told = tuple(histogram.exemplars.values())
            histogram.exemplars = {}
        points.append(Point(labels, Spread(counts, histogram.total, told)))
    return points


def _typed(series: Iterable[tuple[Labels, Histogram]], kind: str) -> Iterator[Point]:
    for labels, spread in _points(series):
        yield Point({**labels, instruments.TOKEN_TYPE: kind}, spread)
