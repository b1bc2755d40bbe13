from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.codec import decode, encode
from dataplane.record import replace
from dataplane.wire import side_data
from dataplane.wire.side_data import Origin, SideData

ORIGIN = Origin(type="Anthropic", model="claude-sonnet-4-6")
BLOCK = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
FULL = SideData(
    origin=ORIGIN,
    reasoning=(BLOCK,),
    layout=(3, "reasoning", "tool"),
    citations=({"type": "char_location", "cited_text": "x"},),
    finish_reason="pause_turn",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def attached(side: SideData) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    side_data.attach(message, side)
    return message


def test_side_data_survives_a_round_trip_through_json() -> None:
    assert FULL == side_data.extract(decode(encode(attached(FULL))))


def test_the_key_holds_what_is_documented() -> None:
    assert {
        "role": "assistant",
        "switchgear": {
            "origin": {"type": "Anthropic", "model": "claude-sonnet-4-6"},
            "reasoning": [BLOCK],
            "layout": [3, "reasoning", "tool"],
            "citations": [{"type": "char_location", "cited_text": "x"}],
            "finish_reason": "pause_turn",
        },
    } == attached(FULL)


def test_an_origin_alone_is_not_attached() -> None:
    assert {"role": "assistant"} == attached(SideData(origin=ORIGIN))
    assert {"role": "assistant"} == attached(SideData(origin=ORIGIN, layout=("reasoning",)))


def test_having_thought_nothing_is_said_and_understood() -> None:
    nothing = SideData(origin=ORIGIN, thought_nothing=True)

    assert [] == attached(nothing)["switchgear"]["reasoning"]
    assert nothing == side_data.extract(attached(nothing))


def test_too_much_shrinks_to_what_can_be_used_whole() -> None:
    long = {"type": "x", "cited_text": "x" * side_data.MAX_BYTES}
    without = replace(FULL, citations=())

    assert attached(without) == attached(replace(FULL, citations=(long,)))
    bare = SideData(origin=ORIGIN, finish_reason="pause_turn")
    assert attached(bare) == attached(replace(FULL, reasoning=(long,), citations=()))
    assert {"role": "assistant"} == attached(SideData(origin=ORIGIN, reasoning=(long,)))
    endless = "x" * side_data.MAX_BYTES
    assert {"role": "assistant"} == attached(SideData(origin=ORIGIN, finish_reason=endless))


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [],
        {},
        {"origin": {"type": "Anthropic"}},
        {"origin": {"type": "Anthropic", "model": 3}},
        {"origin": {"type": "x" * 300, "model": "m"}},
        {"origin": {"type": "x", "model": "m" * 300}},
        {"origin": {"type": "x", "model": "m"}, "reasoning": "text"},
        {"origin": {"type": "x", "model": "m"}, "reasoning": ["text"]},
        {"origin": {"type": "x", "model": "m"}, "reasoning": [{}] * 5000},
        {"origin": {"type": "x", "model": "m"}, "citations": [3]},
        {"origin": {"type": "x", "model": "m"}, "more": "x" * side_data.MAX_BYTES},
    ],
)
def test_what_is_not_in_shape_counts_as_absent(value: Any) -> None:
    assert side_data.extract({"switchgear": value}) is None


def test_only_the_broken_optional_members_are_left_out() -> None:
    origin = {"type": "Anthropic", "model": "claude-sonnet-4-6"}
    for layout in ("text", ["elsewhere"], [True], [1.5], [0] * 9000):
        value = {"origin": origin, "layout": layout, "finish_reason": 3}

        assert SideData(origin=ORIGIN) == side_data.extract({"switchgear": value})


@settings(max_examples=100)
@given(value=JSON, reasoning=JSON, layout=JSON)
def test_no_value_breaks_reading(value: Any, reasoning: Any, layout: Any) -> None:
    origin = {"type": "a", "model": "b"}
    for each in (value, {"origin": origin, "reasoning": reasoning, "layout": layout}):
        found = side_data.extract({"switchgear": each})

        assert found is None or isinstance(found, SideData)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("us-gov.anthropic.claude-opus-5-v1", "claude-opus-5"),
        (
            "arn:aws:bedrock:eu-west-3:1:inference-profile/eu.anthropic.claude-opus-5-v1:0",
            "claude-opus-5",
        ),
        ("amazon.nova-2-lite-v1:0", "nova-2-lite"),
        ("gpt-4.1", "gpt-4.1"),
        ("llama3.1", "llama3.1"),
    ],
)
def test_a_family_is_a_name_without_place_and_date(model: str, expected: str) -> None:
    assert expected == side_data.family(model)


@pytest.mark.parametrize(
    ("kind", "model", "expected"),
    [
        ("Anthropic", "claude-sonnet-4-6", True),
        ("Anthropic", "claude-sonnet-4-6-20260101", True),
        ("Anthropic", "claude-opus-4-6", False),
        ("AWSBedrock", "anthropic.claude-sonnet-4-6", False),
    ],
)
def test_blocks_go_back_to_their_own_provider_and_family_only(
    kind: str, model: str, *, expected: bool
) -> None:
    assert expected is side_data.restorable(ORIGIN, kind, model)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], ()),
        ([5, "tool"], ()),
        ([5, "tool", 3], ()),
        (["reasoning", "reasoning", 5, "tool", "tool"], ()),
        (["reasoning", 5, "reasoning", "tool"], ("reasoning", 5, "reasoning", "tool")),
        (["tool", "reasoning"], ("tool", "reasoning")),
    ],
)
def test_a_layout_is_kept_where_the_usual_order_would_be_wrong(
    kinds: list[str | int], expected: tuple[str | int, ...]
) -> None:
    assert expected == tuple(side_data.layout_of(kinds))
