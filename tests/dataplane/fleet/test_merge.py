"""Several workers as one: what is added up, and what is taken from the state they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from controlplane.table.schema import Provider, ProviderType
from controlplane.table.view import ProviderView, StateName, TargetView
from dataplane.fleet import merge
from tests.controlplane.table.tables import provider as make_provider
from tests.controlplane.table.tables import table

A = make_provider("a")
TARGET = TargetView(
    provider="a",
    model="m",
    key="a/m",
    state=StateName.CLOSED,
    reopen_in_s=None,
    cooldown_in_s=None,
    in_flight=0,
    latency_s=None,
    consecutive_failures=0,
    trips=0,
    last_error="",
    last_error_age_s=None,
    ramp_percent=100,
    successes=0,
    failures=0,
    refusal="",
)
PROVIDER = ProviderView(
    name="a",
    type=ProviderType.VLLM,
    base_url="http://a/v1",
    suspended=False,
    healthy=True,
    health_detail="ok",
    in_flight=0,
    max_in_flight=10,
    credential_open_in_s=None,
    targets=[TARGET],
)


def seen(in_flight: int = 0, **target: object) -> list[ProviderView]:
    """What one worker sees; its own limit is a share."""
    view = replace(TARGET, in_flight=in_flight, **target)  # type: ignore[arg-type]
    return [replace(PROVIDER, in_flight=in_flight, max_in_flight=5, targets=[view])]


class Shared:
    """The supervisor's own view."""

    def __init__(self, target: TargetView) -> None:
        self.table = table([A])
        self.target = target

    def provider_view(self, _provider: Provider, _now_s: float) -> ProviderView:
        return replace(PROVIDER, targets=())

    def target_views(self, _provider: str, _now_s: float) -> Iterator[TargetView]:
        return iter([self.target])


def merged(
    *each: list[ProviderView], departed: tuple[int, int] = (0, 0), shared: TargetView = TARGET
) -> TargetView:
    made = merge.Merged(Shared(shared), each, {TARGET.key: departed})
    provider = made.provider_view(A, 1000.0)
    assert sum(view[0].in_flight for view in each if view) == provider.in_flight
    assert 10 == provider.max_in_flight
    assert "a" in made.table.providers
    (target,) = made.target_views("a", 1000.0)
    return target


def test_calls_in_flight_and_counts_are_sums_with_those_of_workers_that_are_gone() -> None:
    target = merged(
        seen(2, successes=3, failures=1), seen(5, successes=4, failures=0), departed=(10, 20)
    )

    assert (7, 17, 21) == (target.in_flight, target.successes, target.failures)


def test_the_latency_is_the_mean_by_successes() -> None:
    target = merged(
        seen(successes=3, latency_s=1.0),
        seen(successes=1, latency_s=5.0),
        seen(successes=9, latency_s=None),
    )

    assert 2.0 == target.latency_s


def test_a_latency_of_failures_alone_counts_once() -> None:
    assert 3.0 == merged(seen(latency_s=2.0), seen(successes=1, latency_s=4.0)).latency_s


def test_the_state_that_is_shared_is_taken_as_it_is() -> None:
    shared = replace(TARGET, state=StateName.OPEN, reopen_in_s=4.0, refusal="circuit_open", trips=2)

    target = merged(seen(), seen(), shared=shared)

    assert shared == target


def test_the_latest_error_and_the_longest_row_of_failures_are_shown() -> None:
    target = merged(
        seen(last_error="old", last_error_age_s=9.0, consecutive_failures=2),
        seen(last_error="new", last_error_age_s=0.0, consecutive_failures=1),
        seen(),
    )

    assert ("new", 0.0, 2) == (
        target.last_error,
        target.last_error_age_s,
        target.consecutive_failures,
    )


def test_a_target_is_full_if_it_is_full_for_all() -> None:
    full = seen(5, refusal="max_in_flight")

    assert "" == merged(full, seen(1)).refusal
    assert "max_in_flight" == merged(full, full).refusal


def test_without_workers_all_is_zero() -> None:
    assert TARGET == merged()


def test_what_a_worker_has_not_measured_or_no_longer_has_is_left_out() -> None:
    other = [replace(PROVIDER, name="b", in_flight=3)]
    made = merge.Merged(Shared(TARGET), [other, [], [replace(PROVIDER, targets=[])]], {})

    assert 0 == made.provider_view(A, 1000.0).in_flight
    assert [TARGET] == list(made.target_views("a", 1000.0))


def test_a_worker_that_has_measured_nothing_has_room() -> None:
    assert "" == merged(seen(5, refusal="max_in_flight"), []).refusal


def test_counts_are_added_by_name() -> None:
    assert {"x": 3, "y": 5} == merge.counts([{"x": 1}, {"x": 2, "y": 5}])
