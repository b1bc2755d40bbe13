"""Sections 9 to 11 of the rules: reasoning, ends and usage of whole answers."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Request, Usage
from tests.dataplane.wire.anthropic_kit import (
    ADAPTIVE,
    BUDGET,
    HIDDEN,
    OLDEST,
    answered,
    message,
    sent,
    text,
    thinking,
    tool_use,
)
from tests.dataplane.wire.openai_kit import TOOL, chat
from tests.dataplane.wire.test_anthropic_request import HISTORY, json_schema

ORIGIN = {"type": "Anthropic", "model": BUDGET}
PAGE = {
    "type": "web_search_result_location",
    "url": "https://example.com/a",
    "title": "A page",
    "cited_text": "x",
    "encrypted_index": "b3BhcXVl",
}
PLACE = {"type": "char_location", "cited_text": "x", "document_index": 0}


def choice(native: Any, request: Request | None = None, model: str = BUDGET) -> dict[str, Any]:
    body, _ = answered(request or chat(tools=[TOOL]), native, model)
    [found] = body["choices"]
    assert isinstance(found, dict)
    return found


def said(native: Any, request: Request | None = None, model: str = BUDGET) -> dict[str, Any]:
    found: dict[str, Any] = choice(native, request, model)["message"]
    return found


def test_an_answer_has_the_callers_shape() -> None:
    body, facts = answered(chat(), message(text("Hello"), text("!")))

    assert {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 0,
        "model": "route",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello!", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    } == body
    assert ("msg_1", "claude-native") == (facts.response_id, facts.response_model)
    assert ({0: "stop"}, "end_turn") == (facts.finish_reasons, facts.native_finish_reason)
    assert [] == facts.warnings


def test_calls_are_calls() -> None:
    native = message(
        text("So."), tool_use("toolu_1", tz="UTC", n=[1]), tool_use("toolu_2"), stop="tool_use"
    )

    assert {
        "role": "assistant",
        "content": "So.",
        "refusal": None,
        "tool_calls": [
            {
                "id": "toolu_1",
                "type": "function",
                "function": {"name": "get_time", "arguments": '{"tz":"UTC","n":[1]}'},
            },
            {
                "id": "toolu_2",
                "type": "function",
                "function": {"name": "get_time", "arguments": "{}"},
            },
        ],
    } == said(native)
    assert said(message(tool_use("a"), stop="tool_use"))["content"] is None


def test_arguments_that_are_missing_are_none() -> None:
    block = {"type": "tool_use", "id": "a", "name": "get_time"}

    [call] = said(message(block, stop="tool_use"))["tool_calls"]
    assert "{}" == call["function"]["arguments"]


def test_missing_and_repeated_ids_of_calls_are_made_up_alike_each_time() -> None:
    blocks = [tool_use("a"), tool_use("a"), {**tool_use("b"), "id": None}]
    native = message(*blocks, stop="tool_use")
    ids = [call["id"] for call in said(native)["tool_calls"]]

    assert "a" == ids[0]
    assert 3 == len(set(ids))
    assert ids == [call["id"] for call in said(native)["tool_calls"]]


def test_an_answer_without_blocks_has_empty_content() -> None:
    assert "" == said(message())["content"]


def test_a_name_that_had_to_change_is_the_callers_again() -> None:
    request = chat(messages=HISTORY)
    ours = sent(request)[0]["messages"][1]["content"][1]["name"]
    [call] = said(message(tool_use("a", ours), stop="tool_use"), request)["tool_calls"]

    assert "funcs.get time" == call["function"]["name"]


def test_legacy_callers_get_one_function_call() -> None:
    request = chat(functions=[{"name": "get_time"}])
    native = message(tool_use("a", tz="UTC"), tool_use("b"), stop="tool_use")
    body, facts = answered(request, native)

    assert {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "function_call": {"name": "get_time", "arguments": '{"tz":"UTC"}'},
    } == body["choices"][0]["message"]
    assert "function_call" == body["choices"][0]["finish_reason"]
    assert ["dropped:tool_calls"] == facts.warnings
    assert {0: "tool_calls"} == facts.finish_reasons


@pytest.mark.parametrize(
    ("native", "called", "expected", "warnings"),
    [
        ("end_turn", False, "stop", []),
        ("end_turn", True, "tool_calls", []),
        ("stop_sequence", False, "stop", []),
        ("max_tokens", False, "length", []),
        ("max_tokens", True, "length", []),
        ("model_context_window_exceeded", False, "length", []),
        ("tool_use", True, "tool_calls", []),
        ("tool_use", False, "stop", ["mapped:finish_reason"]),
        ("refusal", False, "content_filter", []),
        ("refusal", True, "content_filter", []),
        ("pause_turn", False, "length", []),
        ("never_heard_of", False, "stop", ["mapped:finish_reason"]),
        ("never_heard_of", True, "tool_calls", ["mapped:finish_reason"]),
        (None, False, "stop", ["mapped:finish_reason"]),
    ],
)
def test_ends_have_their_canonical_words(
    native: str | None, *, called: bool, expected: str, warnings: list[str]
) -> None:
    blocks = [tool_use("a")] if called else [text("x")]
    body, facts = answered(chat(tools=[TOOL]), message(*blocks, stop=native))

    assert expected == body["choices"][0]["finish_reason"]
    assert ({0: expected}, native or "") == (facts.finish_reasons, facts.native_finish_reason)
    assert warnings == facts.warnings


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"stop_details": {"type": "refusal", "explanation": "Harm."}}, "Harm."),
        ({"stop_details": {"type": "refusal", "explanation": None}}, "The provider's safeguards"),
        ({"stop_details": None}, "The provider's safeguards"),
        ({}, "The provider's safeguards"),
    ],
)
def test_a_refusal_says_why(details: dict[str, Any], expected: str) -> None:
    found = said(message(text("I"), stop="refusal", **details))

    assert found["refusal"].startswith(expected)
    assert "I" == found["content"]


# Usage.


@pytest.mark.parametrize(
    ("native", "expected", "facts"),
    [
        (
            {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3,
             "cache_creation_input_tokens": 2, "output_tokens_details": {"thinking_tokens": 4}},
            {"prompt_tokens": 15, "completion_tokens": 5, "total_tokens": 20,
             "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
             "completion_tokens_details": {"reasoning_tokens": 4}},
            Usage(input_tokens=15, output_tokens=5, cache_read_tokens=3, cache_write_tokens=2,
                  reasoning_tokens=4),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 0,
             "cache_creation_input_tokens": None, "output_tokens_details": None},
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
             "prompt_tokens_details": {"cached_tokens": 0}},
            Usage(input_tokens=10, output_tokens=5, cache_read_tokens=0),
        ),
        (
            {"output_tokens": 5},
            {"prompt_tokens": 0, "completion_tokens": 5, "total_tokens": 5},
            Usage(input_tokens=0, output_tokens=5),
        ),
        ({"input_tokens": "x", "output_tokens": True}, None, None),
        ({"cache_read_input_tokens": 3}, None, None),
        (None, None, None),
    ],
)  # fmt: skip
def test_usage_includes_its_parts(native: Any, expected: Any, facts: Usage | None) -> None:
    body, found = answered(chat(), message(text("x"), usage=native))

    assert expected == body["usage"]
    assert facts == found.usage


# Reasoning and other side data.


def test_reasoning_is_text_for_people_and_blocks_for_the_upstream() -> None:
    native = message(thinking("hm. "), HIDDEN, thinking("so."), text("Yes."))

    assert {
        "role": "assistant",
        "content": "Yes.",
        "refusal": None,
        "reasoning_content": "hm. so.",
        "switchgear": {
            "origin": ORIGIN,
            "reasoning": [thinking("hm. "), HIDDEN, thinking("so.")],
        },
    } == said(native)


def test_reasoning_in_between_leaves_its_layout() -> None:
    native = message(thinking("1"), text("So."), HIDDEN, text(""), tool_use("a"), stop="tool_use")

    side = said(native)["switchgear"]
    assert ["reasoning", 3, "reasoning", "tool"] == side["layout"]
    assert [thinking("1"), HIDDEN] == side["reasoning"]


def test_hidden_reasoning_has_no_text() -> None:
    found = said(message(thinking(""), HIDDEN, text("Yes.")))

    assert "reasoning_content" not in found
    assert [thinking(""), HIDDEN] == found["switchgear"]["reasoning"]


def test_unsigned_reasoning_is_text_only() -> None:
    """Other servers of the format sign nothing, and do not want it back."""
    found = said(message({"type": "thinking", "thinking": "hm"}, text("Yes.")))

    assert "hm" == found["reasoning_content"]
    assert "switchgear" not in found


@pytest.mark.parametrize(
    ("fields", "model", "noted"),
    [({"reasoning_effort": "low"}, ADAPTIVE, True), ({}, ADAPTIVE, False), ({}, BUDGET, False)],
)
def test_a_call_without_a_thought_is_noted_if_the_model_was_free_to_think(
    fields: dict[str, Any], model: str, *, noted: bool
) -> None:
    request = chat(tools=[TOOL], **fields)
    found = said(message(tool_use("a"), stop="tool_use"), request, model)

    expected = {"origin": {"type": "Anthropic", "model": model}, "reasoning": []}
    assert (expected if noted else None) == found.get("switchgear")
    assert "switchgear" not in said(message(text("x")), request, model)


def test_citations_become_annotations_where_there_is_a_word_for_them() -> None:
    native = message(
        text("Naïve. ", citations=None), text("See.", citations=[PAGE, PLACE, "x"]), text("End.")
    )
    found = said(native)

    assert [
        {
            "type": "url_citation",
            "url_citation": {
                "url": "https://example.com/a",
                "title": "A page",
                "start_index": 7,
                "end_index": 11,
            },
        }
    ] == found["annotations"]
    assert {"origin": ORIGIN, "citations": [PAGE, PLACE]} == found["switchgear"]


def test_a_page_without_a_title_is_cited_all_the_same() -> None:
    found = said(message(text("x", citations=[{**PAGE, "title": None}])))

    assert "" == found["annotations"][0]["url_citation"]["title"]


@pytest.mark.parametrize(
    ("native", "told"),
    [
        ("stop_sequence", True),
        ("pause_turn", True),
        ("model_context_window_exceeded", True),
        ("odd", True),
        ("max_tokens", False),
    ],
)
def test_an_end_that_says_more_than_the_canonical_word_is_told(native: str, *, told: bool) -> None:
    found = said(message(text("x"), stop=native))

    expected = {"origin": ORIGIN, "finish_reason": native} if told else None
    assert expected == found.get("switchgear")


def test_blocks_of_the_servers_own_tools_are_left_out() -> None:
    native = message(
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        text("Found."),
    )
    body, facts = answered(chat(), native)

    assert "Found." == body["choices"][0]["message"]["content"]
    assert ["dropped:content"] == facts.warnings


# A schema that is emulated by a forced tool.


EMULATED = chat(response_format=json_schema())


def test_the_arguments_of_the_emulated_tool_are_the_answer() -> None:
    native = message(text("Here."), tool_use("a", "place", city="Paris"), stop="tool_use")
    body, facts = answered(EMULATED, native, OLDEST)

    assert {
        "index": 0,
        "message": {"role": "assistant", "content": '{"city":"Paris"}', "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    } == body["choices"][0]
    assert [] == facts.warnings


def test_a_text_stands_where_the_emulated_tool_was_not_called() -> None:
    found = choice(message(text("No."), stop="max_tokens"), EMULATED, OLDEST)

    assert ("No.", "length") == (found["message"]["content"], found["finish_reason"])


# What is no answer.


@pytest.mark.parametrize(
    "native",
    [
        b"",
        b"<html>",
        b"[]",
        {},
        {**message(), "content": None},
        {**message(), "content": "text"},
        message("text"),  # type: ignore[arg-type]
        message({"type": "text", "text": 3}),
        message({"type": "thinking", "thinking": []}),
        message({"type": "tool_use", "id": "a"}),
        message({"type": "tool_use", "id": "a", "name": ""}),
    ],
)
def test_what_is_no_message_is_a_bad_response(native: Any) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        answered(chat(), native)

    assert ErrorClass.BAD_RESPONSE is caught.value.error


def test_an_error_inside_a_whole_answer_has_its_class() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with pytest.raises(UpstreamFailed) as caught:
        answered(chat(), error)

    assert ErrorClass.OVERLOADED is caught.value.error


def test_an_answer_without_an_id_gets_one_that_is_always_the_same() -> None:
    native = {**message(text("x")), "id": "", "model": None}
    first, facts = answered(chat(), native)
    second, _ = answered(chat(), native)

    assert first == second
    assert first["id"].startswith("msg_")
    assert "" == facts.response_model
