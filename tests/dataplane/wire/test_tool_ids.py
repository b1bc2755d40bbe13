from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.wire.tool_ids import (
    ANY_UP_TO_64,
    FUNCTION_NAME,
    NINE_ALPHANUMERIC,
    IdRule,
    digest62,
    fit_ids,
    fit_names,
)

RULES = [ANY_UP_TO_64, NINE_ALPHANUMERIC]


def test_the_hash_of_an_id_never_changes() -> None:
    # A history that was rewritten yesterday must be rewritten alike tomorrow.
    assert "XYhVF1sFJ" == digest62("call_abc123", 9)


def test_valid_ids_stay() -> None:
    assert {} == fit_ids(["g6fVbXS8K", "D681PevKs"], NINE_ALPHANUMERIC)
    assert {} == fit_ids(["call_1", "x" * 64], ANY_UP_TO_64)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=100)
@given(ids=st.lists(st.text(max_size=80), max_size=8))
def test_ids_come_out_valid_and_distinct(rule: IdRule, ids: list[str]) -> None:
    fitted = fit_ids(ids, rule)

    results = [fitted.get(text, text) for text in dict.fromkeys(ids)]
    assert len(results) == len(set(results))
    assert all(rule.pattern.fullmatch(text) for text in results)


def test_an_id_is_mapped_alike_alone_and_among_others() -> None:
    among = fit_ids(["call_a", "call_b", "abcdefghi"], NINE_ALPHANUMERIC)

    assert fit_ids(["call_b"], NINE_ALPHANUMERIC)["call_b"] == among["call_b"]


def test_colliding_ids_are_told_apart_in_the_same_way_each_time() -> None:
    tiny = IdRule(pattern=re.compile("[a-z]{0}"), length=1)
    ids = [f"call_{n}" for n in range(40)]

    fitted = fit_ids(ids, tiny)

    assert 40 == len(set(fitted.values()))
    assert fitted == fit_ids(ids, tiny)


def test_an_id_that_hashes_to_a_valid_one_of_the_request_gives_way() -> None:
    taken = digest62("call_a", 9)

    assert taken != fit_ids(["call_a", taken], NINE_ALPHANUMERIC)["call_a"]


@settings(max_examples=100)
@given(names=st.lists(st.text(max_size=90), max_size=6))
def test_names_come_out_valid_and_distinct(names: list[str]) -> None:
    fitted = fit_names(names, FUNCTION_NAME)

    results = [fitted.get(name, name) for name in dict.fromkeys(names)]
    assert len(results) == len(set(results))
    assert all(FUNCTION_NAME.pattern.fullmatch(name) for name in results)


def test_names_that_differ_only_in_what_does_not_fit_stay_apart() -> None:
    fitted = fit_names(["a.b", "a:b"], FUNCTION_NAME)

    assert 2 == len(set(fitted.values()))
    assert all(name.startswith("a_b_") for name in fitted.values())


def test_a_name_begins_with_a_letter() -> None:
    assert fit_names(["1.x"], FUNCTION_NAME)["1.x"].startswith("t1_x_")


def test_a_name_whose_replacement_is_taken_gets_another() -> None:
    first = fit_names(["a.b"], FUNCTION_NAME)["a.b"]

    assert first != fit_names(["a.b", first], FUNCTION_NAME)["a.b"]
