from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.latency import DECAY_S, FAILURE_COST_S, Latency

seconds = st.floats(0.0, 600.0)


def test_nothing_is_known_before_the_first_sample() -> None:
    latency = Latency()

    assert latency.mean_s is None
    assert latency.cost_s(0.0) is None


def test_the_first_sample_is_the_mean_and_the_cost() -> None:
    latency = Latency()

    latency.observe(2.0, 10.0)

    assert (2.0, 2.0) == (latency.mean_s, latency.cost_s(10.0))


def test_a_peak_costs_at_once_and_moves_the_mean_slowly() -> None:
    latency = Latency()
    latency.observe(1.0, 0.0)

    latency.observe(20.0, 1.0)

    assert 20.0 == latency.cost_s(1.0)
    assert latency.mean_s is not None
    assert 1.0 < latency.mean_s < 2.0


def test_quick_answers_win_the_traffic_back() -> None:
    latency = Latency()
    latency.observe(20.0, 0.0)

    latency.observe(1.0, DECAY_S)

    assert pytest.approx(1.0 + 19.0 / math.e) == latency.cost_s(DECAY_S)


def test_the_cost_fades_while_the_target_is_left_alone() -> None:
    latency = Latency()
    latency.observe(10.0, 0.0)

    assert pytest.approx(10.0 / math.e) == latency.cost_s(DECAY_S)
    assert 10.0 == latency.mean_s


def test_a_quick_failure_does_not_look_quick() -> None:
    latency = Latency()

    latency.observe_failure(0.01, 0.0)

    assert FAILURE_COST_S == latency.cost_s(0.0)
    assert latency.mean_s is None


def test_a_slow_failure_costs_what_it_took() -> None:
    latency = Latency()
    latency.observe(1.0, 0.0)

    latency.observe_failure(30.0, 1.0)

    assert 30.0 == latency.cost_s(1.0)
    assert 1.0 == latency.mean_s


def test_a_failure_never_lowers_the_cost() -> None:
    latency = Latency()
    latency.observe(50.0, 0.0)

    latency.observe_failure(1.0, 0.0)

    assert 50.0 == latency.cost_s(0.0)


@pytest.mark.parametrize("sample_s", [-1.0, math.nan, math.inf])
def test_senseless_samples_are_dropped(sample_s: float) -> None:
    latency = Latency()

    latency.observe(sample_s, 0.0)

    assert latency.cost_s(0.0) is None


@given(samples=st.lists(st.tuples(seconds, seconds), min_size=1, max_size=30))
def test_mean_and_cost_stay_within_the_samples(samples: list[tuple[float, float]]) -> None:
    latency = Latency()
    now_s = 0.0
    for sample_s, passed_s in samples:
        now_s += passed_s
        latency.observe(sample_s, now_s)

    low, high = min(s for s, _ in samples), max(s for s, _ in samples)
    assert latency.mean_s is not None
    assert low - 1e-6 <= latency.mean_s <= high + 1e-6
    assert low - 1e-6 <= (latency.cost_s(now_s) or 0.0) <= high + 1e-6
