"""Medians, spreads and ratios."""

from __future__ import annotations

import pytest
from figures import Spread, differences, ratios, shown, shown_share, shown_spread, spread
from hypothesis import given
from hypothesis import strategies as st

ROUNDS = st.lists(st.none() | st.floats(min_value=0.001, max_value=1e6), max_size=9)


def test_a_spread_is_the_median_with_the_lowest_and_the_highest() -> None:
    assert Spread(median=3.0, low=1.0, high=10.0, rounds=3) == spread([10.0, 1.0, 3.0])


def test_an_even_number_of_rounds_takes_the_middle_of_two() -> None:
    found = spread([1.0, 2.0, 4.0, 8.0])

    assert found is not None
    assert 3.0 == found.median


def test_rounds_without_a_figure_are_passed_over() -> None:
    assert Spread(median=2.0, low=2.0, high=2.0, rounds=1) == spread([None, 2.0, None])
    assert spread([None, None]) is None
    assert spread([]) is None


def test_ratios_are_taken_round_by_round() -> None:
    assert [2.0, 0.5] == ratios([4.0, 1.0], [2.0, 2.0])


def test_a_ratio_needs_both_figures_and_something_to_divide_by() -> None:
    assert [None, None, None] == ratios([None, 1.0, 1.0], [1.0, None, 0.0])


def test_rounds_of_two_candidates_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_differences_are_taken_round_by_round() -> None:
    assert [1.0, None, -1.0] == differences([3.0, None, 1.0], [2.0, 1.0, 2.0])


@given(ROUNDS)
def test_the_median_lies_between_the_lowest_and_the_highest(rounds: list[float | None]) -> None:
    found = spread(rounds)

    assert (found is None) == all(value is None for value in rounds)
    assert found is None or found.low <= found.median <= found.high


@given(ROUNDS)
def test_who_is_compared_with_itself_takes_as_much(rounds: list[float | None]) -> None:
    assert {1.0, None} >= set(ratios(rounds, rounds))


@given(ROUNDS, st.floats(min_value=0.5, max_value=2.0))
def test_trouble_that_hits_both_does_not_move_a_ratio(
    rounds: list[float | None], trouble: float
) -> None:
    slower = [None if value is None else value * trouble for value in rounds]

    for before, after in zip(ratios(rounds, rounds), ratios(slower, slower), strict=True):
        assert before == after


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.0123, "0.012"), (0.5, "0.50"), (12.34, "12.3"), (1234.5, "1,234")],
)
def test_three_digits_count(value: float, text: str) -> None:
    assert text == shown(value)


def test_a_spread_is_shown_with_its_bounds_if_there_is_more_than_one_round() -> None:
    assert "2.00 (1.00 to 3.00)" == shown_spread([1.0, 2.0, 3.0])
    assert "2.00" == shown_spread([2.0])
    assert "-" == shown_spread([None])


def test_small_ratios_are_parts_of_one_and_a_row_of_them_looks_alike() -> None:
    assert ("1/80", "0.80", "3.00") == (
        shown_share(1 / 80),
        shown_share(0.8),
        shown_share(3.0),
    )
    assert ("0.10", "1/1.25") == (shown_share(0.1, like=0.8), shown_share(0.8, like=0.1))
