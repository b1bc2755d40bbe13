"""All metrics read at once: those of requests, and the state of what else there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from controlplane.table.view import ProviderView, StateName
from dataplane import metric_instruments as instruments
from dataplane import telemetry_names as names
from dataplane.metric_points import Metric, Point, Reading
from dataplane.request_metrics import RequestMetrics

_STATES: Mapping[StateName, int] = {
    StateName.CLOSED: 0,
    StateName.FORCED_CLOSED: 0,
    StateName.HALF_OPEN: 1,
    StateName.OPEN: 2,
    StateName.FORCED_OPEN: 2,
}


class MetricsReader:
    """Reads metrics when somebody asks for them.

    view: the providers now. active: requests under way. generation: of the table. problems: of the
    manifests; None if there are none to be known. wall_ns: nanoseconds since the epoch.
    """

    def __init__(
        self,
        requests: RequestMetrics,
        *,
        view: Callable[[], Sequence[ProviderView]],
        active: Callable[[], int],
        generation: Callable[[], int],
        problems: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        """Count from now on."""
        self._requests = requests
        self._view = view
        self._active = active
        self._generation = generation
        self._problems = problems
        self._wall_ns = wall_ns
        self._since_ns = wall_ns()

    def read(self, exemplars: bool = False) -> Reading:  # noqa: FBT001, FBT002 - one question
        """Read everything. exemplars: with those since they were last asked for."""
        metrics = (*self._requests.read(exemplars=exemplars), *self._states())
        return Reading(since_ns=self._since_ns, at_ns=self._wall_ns(), metrics=metrics)

    def _states(self) -> Iterator[Metric]:
        view = self._view()
        states = [
            Point(
                {names.ENDPOINT: provider.name, names.REQUEST_MODEL: target.model},
                _STATES[target.state],
            )
            for provider in view
            for target in provider.targets
        ]
        calls = [Point({names.ENDPOINT: provider.name}, provider.in_flight) for provider in view]
        yield Metric(instruments.CIRCUIT_STATE, states)
        yield Metric(instruments.REQUESTS_ACTIVE, [Point({}, self._active())])
        yield Metric(instruments.UPSTREAM_ACTIVE, calls)
        yield Metric(instruments.GENERATION, [Point({}, self._generation())])
        yield Metric(instruments.PROBLEMS, [Point({}, self._problems())])
