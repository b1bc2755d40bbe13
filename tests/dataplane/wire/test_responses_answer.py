"""Whole responses read as chat completions; case 17.6 of the rulings, reported as chat."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.codec import encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Usage
from tests.dataplane.wire.openai_kit import TOOL
from tests.dataplane.wire.responses_kit import (
    AZ,
    OAI,
    call,
    custom,
    message,
    read,
    reasoning,
    refusal,
    response,
)

NAMED = {"type": "function", "function": {"name": "get_time"}}
CUSTOM = {"type": "custom", "custom": {"name": "shell"}}


def failed(body: Any) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        read(body)
    return caught.value


@pytest.mark.parametrize("kind", [OAI, AZ])
def test_a_response_is_a_chat_completion(kind: Any) -> None:
    completion, facts = read(response(message("Hi"), service_tier="default"), kind)

    assert {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "route",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 40,
            "completion_tokens": 12,
            "total_tokens": 52,
            "prompt_tokens_details": {"cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        "service_tier": "default",
    } == completion
    assert ("resp_1", "gpt-5.6-2026-09-01") == (facts.response_id, facts.response_model)
    assert ({0: "stop"}, "", []) == (
        facts.finish_reasons,
        facts.native_finish_reason,
        facts.warnings,
    )
    assert facts.usage == Usage(
        input_tokens=40, output_tokens=12, cache_read_tokens=8, reasoning_tokens=5
    )


@pytest.mark.parametrize(
    ("output", "expected", "finish"),
    [
        ([message("a", "b")], {"content": "ab"}, "stop"),
        ([message("a"), message("b", item_id="msg_2")], {"content": "a\n\nb"}, "stop"),
        ([], {"content": ""}, "stop"),
        ([refusal("no")], {"content": None, "refusal": "no"}, "stop"),
        ([message(), call()], {"content": None, "tool_calls": ["call_1"]}, "tool_calls"),
        (
            [message("a"), call(), custom()],
            {"content": "a", "tool_calls": ["call_1", "call_c"]},
            "tool_calls",
        ),
        ([{"type": "web_search_call", "id": "ws_1"}, message("a")], {"content": "a"}, "stop"),
    ],
)
def test_items_become_the_message(output: list[Any], expected: dict[str, Any], finish: str) -> None:
    choice = read(response(*output), tools=[TOOL, CUSTOM])[0]["choices"][0]

    said = dict(choice["message"])
    if "tool_calls" in said:
        said["tool_calls"] = [each["id"] for each in said["tool_calls"]]
    assert {"role": "assistant", "refusal": None, **expected} == said
    assert finish == choice["finish_reason"]


def test_calls_have_openais_shape() -> None:
    calls = read(response(call(arguments='{"tz":"UTC"}'), custom()), tools=[TOOL, CUSTOM])[0][
        "choices"
    ][0]["message"]["tool_calls"]

    assert [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_time", "arguments": '{"tz":"UTC"}'},
        },
        {"id": "call_c", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
    ] == calls


def test_summaries_and_open_reasoning_become_reasoning_content() -> None:
    opened = {**reasoning("rs_2"), "content": [{"type": "reasoning_text", "text": "c"}]}

    said = read(response(reasoning("rs_1", "a", "b"), opened, message("Hi")))[0]

    assert "a\n\nb\n\nc" == said["choices"][0]["message"]["reasoning_content"]


def test_a_forced_function_ends_with_stop_as_in_chat() -> None:
    completion, facts = read(response(call()), tool_choice=NAMED)

    assert "stop" == completion["choices"][0]["finish_reason"]
    assert "" == facts.native_finish_reason


def test_the_old_form_of_calls_is_given_back() -> None:
    functions = [{"name": "get_time"}]

    choice = read(response(call()), tools=None, functions=functions)[0]["choices"][0]

    assert {"name": "get_time", "arguments": "{}"} == choice["message"]["function_call"]
    assert "function_call" == choice["finish_reason"]


@pytest.mark.parametrize(
    ("details", "finish", "native", "warnings"),
    [
        ({"reason": "max_output_tokens"}, "length", "max_output_tokens", []),
        ({"reason": "content_filter"}, "content_filter", "content_filter", []),
        ({"reason": "sunset"}, "stop", "sunset", ["mapped:finish_reason"]),
        (None, "length", "incomplete", []),
    ],
)
def test_incomplete_answers_say_why(
    details: Any, finish: str, native: str, warnings: list[str]
) -> None:
    completion, facts = read(
        response(message("a"), status="incomplete", incomplete_details=details)
    )

    assert finish == completion["choices"][0]["finish_reason"]
    assert (native, warnings) == (facts.native_finish_reason, facts.warnings)


def test_a_cut_call_stays_cut() -> None:
    details = {"reason": "max_output_tokens"}
    cut = call(arguments='{"tz":')

    choice = read(response(cut, status="incomplete", incomplete_details=details))[0]["choices"][0]

    assert "length" == choice["finish_reason"]
    assert '{"tz":' == choice["message"]["tool_calls"][0]["function"]["arguments"]


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": "many", "output_tokens": 1}])
def test_no_usage_is_not_made_up(usage: Any) -> None:
    completion, facts = read(response(message("a"), usage=usage))

    assert completion["usage"] is None
    assert facts.usage is None


def test_details_of_usage_that_are_absent_stay_absent() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2}

    assert {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3} == (
        read(response(message("a"), usage=usage))[0]["usage"]
    )


@pytest.mark.parametrize("changes", [{"id": None}, {"id": ""}, {"created_at": None}, {"model": 1}])
def test_what_is_missing_around_the_output_is_made_up(changes: dict[str, Any]) -> None:
    completion, _facts = read(response(message("a"), **changes))

    assert completion["id"].startswith("chatcmpl-")
    assert len("chatcmpl-") < len(completion["id"])
    assert isinstance(completion["created"], int)
    assert "route" == completion["model"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", ErrorClass.BAD_RESPONSE),
        (b"<html>", ErrorClass.BAD_RESPONSE),
        (b"{}", ErrorClass.BAD_RESPONSE),
        (response(output=None), ErrorClass.BAD_RESPONSE),
        (response(output=["a"]), ErrorClass.BAD_RESPONSE),
        (response(status="in_progress"), ErrorClass.BAD_RESPONSE),
        (response(status="cancelled"), ErrorClass.BAD_RESPONSE),
        (response(call(name="get_time") | {"name": None}), ErrorClass.BAD_RESPONSE),
        (response(status="failed"), ErrorClass.UPSTREAM_ERROR),
        (
            response(status="failed", error={"code": "rate_limit_exceeded", "message": "x"}),
            ErrorClass.RATE_LIMIT,
        ),
        (
            response(status="failed", error={"code": "server_error", "message": "x"}),
            ErrorClass.UPSTREAM_ERROR,
        ),
        ({"error": {"code": "context_length_exceeded"}}, ErrorClass.CONTEXT_LENGTH),
    ],
)
def test_what_is_no_answer_is_a_failure(body: Any, error: ErrorClass) -> None:
    assert error is failed(body).error


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"type": None},
        {"type": "message"},
        {"type": "message", "content": "a"},
        {"type": "message", "content": [1, {"type": "output_text"}, {"type": "refusal"}]},
        {"type": "reasoning", "summary": 1, "content": [1, {"text": 2}]},
        {"type": "reasoning", "encrypted_content": "a", "id": 1},
    ],
)
def test_items_out_of_shape_say_nothing(item: dict[str, Any]) -> None:
    said = read(response(item, message("a")))[0]["choices"][0]["message"]

    assert "a" == said["content"]
    assert "reasoning_content" not in said


def test_an_unnamed_custom_call_without_input_is_still_a_call() -> None:
    item = {"type": "custom_tool_call", "call_id": "c"}

    said = read(encode(response(item)), tools=[TOOL, CUSTOM])[0]["choices"][0]["message"]

    assert [{"id": "c", "type": "custom", "custom": {"name": None, "input": ""}}] == (
        said["tool_calls"]
    )
