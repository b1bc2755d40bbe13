from __future__ import annotations

from inspect import getmembers, isdatadescriptor

from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.window import BUCKETS, MIN_WINDOW_S, OutcomeWindow

events = st.lists(st.tuples(st.floats(0.0, 40.0), st.booleans()), max_size=60)


def test_outcomes_are_counted_by_kind() -> None:
    window = OutcomeWindow(10.0)

    window.add(success=True, now_s=100.0)
    window.add(success=False, now_s=100.5)
    window.add(success=False, now_s=104.0)

    assert (1, 2) == (window.successes, window.failures)


def test_outcomes_leave_after_the_window() -> None:
    window = OutcomeWindow(10.0)
    window.add(success=False, now_s=100.0)

    window.advance(108.9)
    within = window.failures
    window.advance(110.0)

    assert (1, 0) == (within, window.failures)


def test_a_long_silence_costs_no_time() -> None:
    window = OutcomeWindow(10.0)
    window.add(success=True, now_s=0.0)

    window.add(success=True, now_s=1e12)

    assert 1 == window.successes


def test_time_that_runs_backwards_counts_as_the_latest() -> None:
    window = OutcomeWindow(10.0)
    window.add(success=True, now_s=100.0)

    window.add(success=True, now_s=3.0)

    assert 2 == window.successes


def test_a_window_without_length_is_a_very_short_one() -> None:
    window = OutcomeWindow(0.0)
    window.add(success=True, now_s=1.0)

    window.advance(1.0 + MIN_WINDOW_S)

    assert 0 == window.successes


def test_the_ratio_is_judged_from_the_minimum_on() -> None:
    window = OutcomeWindow(10.0)
    window.add(success=True, now_s=0.0)
    window.add(success=False, now_s=0.0)

    assert window.is_failing(ratio=0.5, min_requests=2)
    assert not window.is_failing(ratio=0.5, min_requests=3)
    assert not window.is_failing(ratio=0.51, min_requests=2)


def test_an_empty_window_never_fails() -> None:
    assert not OutcomeWindow(10.0).is_failing(ratio=0.5, min_requests=0)


@given(steps=events)
def test_counts_lie_between_nine_tenths_and_all_of_the_window(
    steps: list[tuple[float, bool]],
) -> None:
    window = OutcomeWindow(10.0)
    seen: list[tuple[float, bool]] = []
    now_s = 0.0
    for passed_s, success in steps:
        now_s += passed_s / 10
        window.add(success=success, now_s=now_s)
        seen.append((now_s, success))

        for kind, count in ((True, window.successes), (False, window.failures)):
            surely = sum(1 for at_s, ok in seen if ok is kind and at_s > now_s - 9.0 + 1e-6)
            perhaps = sum(1 for at_s, ok in seen if ok is kind and at_s >= now_s - 10.0 - 1e-6)
            assert surely <= count <= perhaps


@given(steps=events)
def test_memory_does_not_grow_with_traffic(steps: list[tuple[float, bool]]) -> None:
    window = OutcomeWindow(10.0)
    now_s = 0.0
    for passed_s, success in steps:
        now_s += passed_s
        for _ in range(10):
            window.add(success=success, now_s=now_s)

    fields = [name for name, _ in getmembers(OutcomeWindow, isdatadescriptor)]
    held = [getattr(window, name) for name in fields if not name.startswith("__")]
    assert [BUCKETS, BUCKETS] == [len(value) for value in held if isinstance(value, list)]
    assert all(isinstance(value, int | float | list) for value in held)
