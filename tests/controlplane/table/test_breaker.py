"""The breaker step by step, on a clock that stands still between the steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.breaker import (
    JITTER,
    MIN_TRIAL_PATIENCE_S,
    Breaker,
    BreakerState,
    Verdict,
)
from controlplane.table.outcome import SkipReason
from controlplane.table.schema import BreakerPolicy
from tests.controlplane.table.tables import POLICY, zero

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
GOOD, BAD, SILENT, BROKEN = Verdict.GOOD, Verdict.BAD, Verdict.SILENT, Verdict.BROKEN


@dataclass
class Driver:
    """A breaker with its clock and its random number."""

    policy: BreakerPolicy = POLICY
    now_s: float = 1000.0
    draw: float = 0.0
    breaker: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.policy)

    def take(self) -> tuple[int, int]:
        refusal = self.breaker.refusal(self.now_s)
        assert refusal is None, refusal
        trial = self.breaker.take(self.now_s)
        return self.breaker.epoch, trial

    def end(self, place: tuple[int, int], verdict: Verdict, error: str = "e 500") -> None:
        self.breaker.give_back(
            epoch=place[0],
            trial=place[1],
            verdict=verdict,
            error=error,
            now_s=self.now_s,
            random=lambda: self.draw,
        )

    def call(self, verdict: Verdict) -> None:
        self.end(self.take(), verdict)

    def calls(self, *verdicts: Verdict) -> None:
        for verdict in verdicts:
            self.call(verdict)

    @property
    def state(self) -> BreakerState:
        return self.breaker.state_at(self.now_s)

    @property
    def trips(self) -> int:
        return self.breaker.trips_at(self.now_s)

    @property
    def reopen_in_s(self) -> float:
        left = self.breaker.reopen_in_s(self.now_s)
        assert left is not None
        return left


def opened(policy: BreakerPolicy = POLICY, *, draw: float = 0.0) -> Driver:
    driver = Driver(policy=policy, draw=draw)
    driver.calls(BAD, BAD, BAD)
    assert OPEN is driver.state
    return driver


def test_failures_in_a_row_open_the_breaker() -> None:
    driver = Driver()

    driver.calls(BAD, BAD)
    before = driver.state
    driver.call(BAD)

    assert (CLOSED, OPEN) == (before, driver.state)
    assert "3 failures in a row, last: e 500" == driver.breaker.reason
    assert 16.0 == driver.reopen_in_s


def test_a_success_between_failures_ends_their_row() -> None:
    driver = Driver()

    driver.calls(BAD, BAD, GOOD, BAD, BAD)

    assert CLOSED is driver.state
    assert 2 == driver.breaker.failures_in_row


def test_calls_that_prove_nothing_count_for_nothing() -> None:
    driver = Driver()

    driver.calls(BAD, BAD, SILENT, SILENT, SILENT)

    assert CLOSED is driver.state
    assert 2 == driver.breaker.failures_in_row


def test_the_share_of_failures_opens_once_enough_calls_were_made() -> None:
    driver = Driver()

    driver.calls(*(GOOD, BAD) * 9, GOOD)
    before = driver.state
    driver.call(BAD)

    assert (CLOSED, OPEN) == (before, driver.state)
    assert "10 of 20 calls failed in 30 s, last: e 500" == driver.breaker.reason


def test_failures_out_of_the_window_are_forgotten() -> None:
    driver = Driver()
    driver.calls(*(GOOD, BAD) * 9)

    driver.now_s += 31.0
    driver.calls(GOOD, BAD)

    assert CLOSED is driver.state


def test_another_window_length_begins_a_new_window() -> None:
    driver = Driver()
    driver.calls(*(GOOD, BAD) * 9)

    driver.breaker.policy = replace(POLICY, window_s=60.0)
    driver.calls(GOOD, BAD)

    assert CLOSED is driver.state


def test_a_success_never_opens() -> None:
    driver = Driver(policy=replace(POLICY, consecutive_failures=100))
    driver.calls(*[BAD] * 19)

    driver.call(GOOD)

    assert CLOSED is driver.state


def test_an_open_breaker_refuses_and_says_for_how_long() -> None:
    driver = opened()
    driver.now_s += 6.0

    refusal = driver.breaker.refusal(driver.now_s)

    assert refusal is not None
    assert SkipReason.CIRCUIT_OPEN is refusal.reason
    assert 10.0 == refusal.reopen_in_s
    assert "3 failures in a row, last: e 500" == refusal.detail


def test_a_failure_without_words_is_told_without_them() -> None:
    driver = Driver()
    for _ in range(3):
        driver.end(driver.take(), BAD, error="")

    assert "3 failures in a row" == driver.breaker.reason


def test_one_trial_at_a_time_follows_the_open_time() -> None:
    driver = opened()
    driver.now_s += 16.0

    _, trial = driver.take()

    refusal = driver.breaker.refusal(driver.now_s)
    assert trial > 0
    assert driver.breaker.state is HALF_OPEN
    assert refusal is not None
    assert (SkipReason.CIRCUIT_OPEN, None) == (refusal.reason, refusal.reopen_in_s)


def test_asking_does_not_move_an_open_breaker() -> None:
    driver = opened()
    driver.now_s += 16.0

    assert driver.breaker.refusal(driver.now_s) is None
    assert driver.breaker.reopen_in_s(driver.now_s) is None
    assert (HALF_OPEN, OPEN) == (driver.state, driver.breaker.state)


def test_a_successful_trial_closes() -> None:
    driver = opened()
    driver.now_s += 16.0

    driver.call(GOOD)

    assert CLOSED is driver.state
    assert "1 trial call succeeded" == driver.breaker.reason
    assert (0, 0) == (driver.trips, driver.breaker.failures_in_row)


def test_as_many_trials_as_run_at_once_must_succeed() -> None:
    driver = opened(replace(POLICY, half_open_requests=2))
    driver.now_s += 16.0
    first, second = driver.take(), driver.take()
    full = driver.breaker.refusal(driver.now_s)

    driver.end(first, GOOD)
    after_one = driver.state
    driver.end(second, GOOD)

    assert full is not None
    assert (HALF_OPEN, CLOSED) == (after_one, driver.state)
    assert "2 trial calls succeeded" == driver.breaker.reason


def test_trials_that_succeeded_before_another_failed_do_not_count() -> None:
    driver = opened(replace(POLICY, half_open_requests=2))
    driver.now_s += 16.0
    driver.calls(GOOD, BAD)
    driver.now_s += 32.0

    driver.call(GOOD)

    assert HALF_OPEN is driver.state


def test_a_failed_trial_opens_for_twice_as_long_up_to_the_limit() -> None:
    driver = opened(replace(POLICY, max_open_s=60.0))
    times = [driver.reopen_in_s]
    for _ in range(3):
        driver.now_s += driver.reopen_in_s
        driver.call(BAD)
        times.append(driver.reopen_in_s)

    assert [16.0, 32.0, 60.0, 60.0] == times
    assert 4 == driver.trips
    assert "a trial call failed, last: e 500" == driver.breaker.reason


def test_very_many_trips_do_not_overflow() -> None:
    driver = opened()
    for _ in range(1200):
        driver.now_s += driver.reopen_in_s
        driver.call(BAD)

    assert 300.0 == driver.reopen_in_s


@given(draw=st.floats(0.0, 1.0, exclude_max=True))
def test_jitter_adds_a_tenth_at_most(draw: float) -> None:
    driver = opened(draw=draw)

    assert 16.0 - 1e-6 <= driver.reopen_in_s <= 16.0 * (1 + JITTER) + 1e-6
    assert pytest.approx(16.0 * (1 + JITTER * draw)) == driver.reopen_in_s


def test_a_trial_that_proves_nothing_frees_its_slot() -> None:
    driver = opened()
    driver.now_s += 16.0

    driver.call(SILENT)

    assert HALF_OPEN is driver.state
    assert driver.take()[1] > 0


def test_a_trial_that_never_returns_loses_its_slot() -> None:
    driver = opened()
    driver.now_s += 16.0
    driver.take()

    driver.now_s += MIN_TRIAL_PATIENCE_S - 0.1
    before = driver.breaker.refusal(driver.now_s)
    driver.now_s += 0.1
    driver.call(GOOD)

    assert before is not None
    assert CLOSED is driver.state


def test_patience_with_trials_grows_with_the_open_time() -> None:
    assert 90.0 == Breaker(replace(POLICY, open_s=90.0)).trial_patience_s


def test_a_late_trial_does_not_free_the_slot_of_another() -> None:
    driver = opened()
    driver.now_s += 16.0
    late = driver.take()
    driver.now_s += 60.0
    driver.take()

    driver.end(late, SILENT)

    assert driver.breaker.refusal(driver.now_s) is not None


def test_a_late_trial_still_counts_while_nothing_was_decided() -> None:
    driver = opened()
    driver.now_s += 16.0
    late = driver.take()
    driver.now_s += 61.0

    driver.end(late, GOOD)

    assert CLOSED is driver.state


def test_a_late_trial_counts_no_more_once_another_has_decided() -> None:
    driver = opened()
    driver.now_s += 16.0
    late = driver.take()
    driver.now_s += 60.0
    driver.call(GOOD)

    for _ in range(3):
        driver.end(late, BAD)

    assert CLOSED is driver.state
    assert 0 == driver.breaker.failures_in_row


@pytest.mark.parametrize("verdict", list(Verdict))
def test_stragglers_of_an_earlier_epoch_move_nothing(verdict: Verdict) -> None:
    driver = Driver()
    stragglers = [driver.take() for _ in range(8)]
    for place in stragglers[:3]:
        driver.end(place, BAD)
    opened_for_s = driver.reopen_in_s

    driver.now_s += 1.0
    driver.end(stragglers[3], verdict)
    while_open = driver.reopen_in_s
    driver.now_s += 15.0
    trial = driver.take()
    driver.end(stragglers[4], verdict)
    in_trial = driver.state
    driver.end(trial, GOOD)
    driver.end(stragglers[5], verdict)

    assert opened_for_s - 1.0 == while_open
    assert HALF_OPEN is in_trial
    assert CLOSED is driver.state
    assert 0 == driver.breaker.failures_in_row


def test_each_change_of_state_begins_an_epoch() -> None:
    driver = Driver()
    epochs = [driver.breaker.epoch]
    driver.calls(BAD, BAD, BAD)
    epochs.append(driver.breaker.epoch)
    driver.now_s += 16.0
    trial = driver.take()
    epochs.append(driver.breaker.epoch)
    driver.end(trial, GOOD)
    epochs.append(driver.breaker.epoch)

    assert [0, 1, 2, 3] == epochs


def test_a_broken_target_opens_at_once_and_long() -> None:
    driver = Driver()

    driver.end(driver.take(), BROKEN, error="model_not_found 404")

    assert 300.0 == driver.reopen_in_s
    assert "model_not_found 404" == driver.breaker.reason
    assert 1 == driver.breaker.failures_in_row


def test_a_broken_target_needs_no_words() -> None:
    driver = Driver()

    driver.end(driver.take(), BROKEN, error="")

    assert "target broken" == driver.breaker.reason


def test_a_trial_that_finds_the_target_broken_opens_long() -> None:
    driver = opened()
    driver.now_s += 16.0

    driver.call(BROKEN)

    assert 300.0 == driver.reopen_in_s
    assert 2 == driver.trips


RAMP = replace(POLICY, ramp_up=(10, 50, 100))


def ramping() -> Driver:
    driver = opened(RAMP)
    driver.now_s += 16.0
    driver.call(GOOD)
    return driver


def test_traffic_ramps_up_in_steps_of_a_quarter_of_the_open_time() -> None:
    driver = ramping()
    percents = []
    for _ in range(4):
        percents.append(driver.breaker.ramp_percent(driver.now_s))
        driver.now_s += 3.9
        percents.append(driver.breaker.ramp_percent(driver.now_s))
        driver.now_s += 0.1

    assert [10, 10, 50, 50, 100, 100, 100, 100] == percents


def test_the_lot_decides_who_is_let_through_while_ramping() -> None:
    driver = ramping()
    driver.now_s += 1.0

    winner = driver.breaker.draw_lot(driver.now_s, lambda: 0.099)
    loser = driver.breaker.draw_lot(driver.now_s, lambda: 0.1)

    assert winner is None
    assert loser is not None
    assert SkipReason.RAMPING_UP is loser.reason
    assert 3.0 == loser.reopen_in_s
    assert "10 % of traffic after closing" == loser.detail


def test_no_lot_is_drawn_outside_of_a_ramp_or_at_its_full_step() -> None:
    driver = ramping()
    never_asked = pytest.fail

    driver.now_s += 9.0
    full_step = driver.breaker.draw_lot(driver.now_s, lambda: never_asked("drawn"))
    driver.now_s += 9.0
    after = driver.breaker.draw_lot(driver.now_s, lambda: never_asked("drawn"))

    assert (None, None) == (full_step, after)


def test_failures_while_ramping_open_again_for_twice_as_long() -> None:
    driver = ramping()

    driver.calls(BAD, BAD, BAD)

    assert 32.0 == driver.reopen_in_s
    assert 2 == driver.trips


def test_the_end_of_the_ramp_ends_the_row_of_trips() -> None:
    driver = ramping()
    during = driver.trips
    driver.now_s += 12.0
    after = driver.trips

    driver.calls(BAD, BAD, BAD)

    assert (1, 0) == (during, after)
    assert 16.0 == driver.reopen_in_s


def test_without_a_ramp_a_successful_trial_ends_the_row_of_trips() -> None:
    driver = opened()
    driver.now_s += 16.0
    driver.call(GOOD)

    driver.calls(BAD, BAD, BAD)

    assert 16.0 == driver.reopen_in_s


def test_an_open_time_of_nothing_means_no_ramp() -> None:
    driver = Driver(policy=replace(RAMP, open_s=0.0))
    driver.calls(BAD, BAD, BAD, GOOD)

    assert CLOSED is driver.state
    assert 100 == driver.breaker.ramp_percent(driver.now_s)


def test_a_clock_that_steps_back_stays_in_the_first_step() -> None:
    driver = ramping()

    assert 10 == driver.breaker.ramp_percent(driver.now_s - 5.0)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(list(Verdict)), st.integers(0, 8), st.floats(0.0, 40.0)),
        max_size=80,
    )
)
def test_the_epoch_grows_exactly_with_the_state(
    steps: list[tuple[Verdict, int, float]],
) -> None:
    """Whatever returns in whatever order, the epoch counts the changes of state."""
    driver = Driver(policy=replace(RAMP, consecutive_failures=2))
    places: list[tuple[int, int]] = []
    for verdict, index, passed_s in steps:
        before = (driver.breaker.state, driver.breaker.epoch)
        if driver.breaker.refusal(driver.now_s) is None:
            places.append((driver.breaker.epoch, 0))
            trial = driver.breaker.take(driver.now_s)
            places[-1] = (driver.breaker.epoch, trial)
            grown = driver.breaker.epoch - before[1]
            assert (driver.breaker.state is not before[0]) == (grown == 1)
            before = (driver.breaker.state, driver.breaker.epoch)
        if places:
            place = places.pop(index % len(places))
            driver.end(place, verdict)
            changed = driver.breaker.state is not before[0]
            assert int(changed) == driver.breaker.epoch - before[1]
            if place[0] != before[1]:
                assert not changed
        driver.now_s += passed_s


def test_random_is_asked_only_to_open() -> None:
    driver = Driver()
    asked = []

    def random() -> float:
        asked.append(1)
        return zero()

    for _ in range(3):
        driver.breaker.give_back(
            epoch=0, trial=0, verdict=BAD, error="", now_s=driver.now_s, random=random
        )

    assert 1 == len(asked)
