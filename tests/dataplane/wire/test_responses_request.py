"""Chat requests as the Responses API takes them; case 17.6 of the rulings, stateless and as chat."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.table.schema import Model
from dataplane.codec import decode
from dataplane.errors import RequestRejected
from tests.dataplane.wire.openai_kit import HELLO, TOOL, adapter, chat
from tests.dataplane.wire.responses_kit import AZ, MODEL, OAI, bridged, sent

FUNCTION = {
    "type": "function",
    "name": "get_time",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}
PLAIN = {
    "model": MODEL,
    "input": [{"type": "message", "role": "user", "content": "Hello"}],
    "tools": [FUNCTION],
    "store": False,
    "include": ["reasoning.encrypted_content"],
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
NAMED = {"type": "function", "function": {"name": "get_time"}}
CUSTOM = {"type": "custom", "custom": {"name": "shell"}}
GRAMMAR = {"syntax": "lark", "definition": "start: /a/"}


@pytest.mark.parametrize("kind", [OAI, AZ])
def test_a_plain_request_is_stateless_and_says_that_it_is_not_strict(kind: Any) -> None:
    assert (PLAIN, []) == sent(kind)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_effort": "max"}, {"reasoning": {"effort": "max"}}),
        ({"reasoning_effort": "xhigh"}, {"reasoning": {"effort": "xhigh"}}),
        ({"reasoning": {"summary": "auto"}}, {"reasoning": {"summary": "auto"}}),
        (
            {"reasoning": {"summary": "concise"}, "reasoning_effort": "low"},
            {"reasoning": {"effort": "low", "summary": "concise"}},
        ),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"max_tokens": 20}, {"max_output_tokens": 20}),
        ({"max_tokens": 20, "max_completion_tokens": 30}, {"max_output_tokens": 30}),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": NAMED}, {"tool_choice": {"type": "function", "name": "get_time"}}),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}},
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "get_time"}],
                }
            },
        ),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
                },
                "verbosity": "high",
            },
            {
                "text": {
                    "format": {"type": "json_schema", "schema": SCHEMA, "name": "n", "strict": True},
                    "verbosity": "high",
                }
            },
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            {"text": {"format": {"type": "json_schema", "schema": {}, "name": "n", "strict": False}}},
        ),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"service_tier": "flex", "user": "u"}, {"service_tier": "flex", "user": "u"}),
        ({"prompt_cache_key": "k", "safety_identifier": "s"}, {"prompt_cache_key": "k", "safety_identifier": "s"}),
        ({"stream": True}, {"stream": True}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        (
            {"stream": True, "stream_options": {"include_obfuscation": False}},
            {"stream": True, "stream_options": {"include_obfuscation": False}},
        ),
        ({"temperature": 1, "n": 1, "store": False, "modalities": ["text"]}, {}),
    ],
)  # fmt: skip
def test_a_field_is_said_without_loss(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert ({**PLAIN, **expected}, []) == sent(**fields)


@pytest.mark.parametrize(
    ("fields", "expected", "warnings"),
    [
        ({"reasoning_effort": "minimal"}, {"reasoning": {"effort": "low"}}, ["mapped:reasoning_effort"]),
        ({"reasoning": {"effort": "low"}}, {}, ["dropped:reasoning"]),
        ({"reasoning": {"summary": "sung"}}, {}, ["dropped:reasoning"]),
        ({"max_tokens": 5}, {"max_output_tokens": 16}, ["clamped:max_tokens"]),
        ({"temperature": 0.5}, {}, ["dropped:temperature"]),
        ({"seed": 1}, {}, ["dropped:seed"]),
        ({"store": True}, {}, ["dropped:store"]),
        ({"brand_new": 1}, {}, ["dropped:brand_new"]),
        (
            {"messages": [{**HELLO[0], "name": "ann"}]},
            {},
            ["dropped:messages.name"],
        ),
    ],
)  # fmt: skip
def test_what_is_lost_is_told(
    fields: dict[str, Any], expected: dict[str, Any], warnings: list[str]
) -> None:
    assert ({**PLAIN, **expected}, warnings) == sent(**fields)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": ["x"]}, "stop"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        (
            {"messages": [{"role": "assistant", "audio": {"id": "a"}}, HELLO[0]]},
            "messages[0].audio",
        ),
    ],
)
def test_what_the_answer_must_be_is_never_dropped(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        bridged(**fields)

    assert (400, param) == (caught.value.status, caught.value.param)


def test_a_model_that_always_reasons_cannot_be_told_not_to() -> None:
    with pytest.raises(RequestRejected) as caught:
        adapter(OAI).prepare(chat(tools=[TOOL], reasoning_effort="none"), "gpt-6-astra", None)

    assert "reasoning_effort" == caught.value.param


def test_a_limit_over_the_models_own_is_clamped() -> None:
    models = {MODEL: Model(name=MODEL, max_output_tokens=100)}

    prepared = adapter(OAI, models=models).prepare(chat(tools=[TOOL], max_tokens=200), MODEL, None)

    assert 100 == decode(prepared.http.body)["max_output_tokens"]
    assert ("mapped:endpoint", "clamped:max_tokens") == tuple(prepared.warnings)


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (
            {"type": "function", "function": {"name": "f", "description": "d", "strict": True}},
            {**FUNCTION, "name": "f", "description": "d", "strict": True},
        ),
        (CUSTOM, {"type": "custom", "name": "shell"}),
        (
            {"type": "custom", "custom": {"name": "a", "description": "d", "format": {"type": "text"}}},
            {"type": "custom", "name": "a", "description": "d", "format": {"type": "text"}},
        ),
        (
            {"type": "custom", "custom": {"name": "a", "format": {"type": "grammar", "grammar": GRAMMAR}}},
            {"type": "custom", "name": "a", "format": {"type": "grammar", **GRAMMAR}},
        ),
    ],
)  # fmt: skip
def test_tools_are_flat(tool: dict[str, Any], expected: dict[str, Any]) -> None:
    body, warnings = sent(tools=[tool, TOOL])

    assert [expected, FUNCTION] == body["tools"]
    assert [] == warnings


# --- the conversation


def items(*messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return sent(messages=list(messages), **fields)[0]["input"]


def test_roles_are_said_and_never_mixed() -> None:
    said = items(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        HELLO[0],
    )

    assert [
        {"type": "message", "role": "developer", "content": "a"},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "b"}]},
        {"type": "message", "role": "user", "content": "Hello"},
    ] == said


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.test/a.png"}},
            {"type": "input_image", "image_url": "https://a.test/a.png"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a"}},
            {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a"},
        ),
        (
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "input_file", "file_id": "file-1"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ),
    ],
)  # fmt: skip
def test_parts_of_the_users_words(part: dict[str, Any], expected: dict[str, Any]) -> None:
    assert [expected] == items({"role": "user", "content": [part]})[0]["content"]


@pytest.mark.parametrize(
    ("turn", "content"),
    [
        ({"content": "a"}, "a"),
        ({"content": [{"type": "text", "text": "a"}]}, [{"type": "output_text", "text": "a"}]),
        (
            {"content": [{"type": "refusal", "refusal": "no"}]},
            [{"type": "refusal", "refusal": "no"}],
        ),
        ({"content": None, "refusal": "no"}, [{"type": "refusal", "refusal": "no"}]),
        (
            {"content": "a", "refusal": "no"},
            [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
        ),
        (
            {"content": [{"type": "text", "text": "a"}], "refusal": "no"},
            [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
        ),
    ],
)
def test_what_an_assistant_said(turn: dict[str, Any], content: Any) -> None:
    said = items(HELLO[0], {"role": "assistant", **turn}, HELLO[0])

    assert {"type": "message", "role": "assistant", "content": content} == said[1]


def test_calls_and_results_become_items_of_their_own() -> None:
    turn = {
        "role": "assistant",
        "content": "Look:",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "get_time", "arguments": ""}},
            {"id": "b", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
        ],
    }
    long_part = [{"type": "text", "text": "12:00"}]
    results = [
        {"role": "tool", "tool_call_id": "a", "content": "12:00"},
        {"role": "tool", "tool_call_id": "b", "content": long_part},
    ]

    said = items(HELLO[0], turn, *results, tools=[TOOL, CUSTOM])

    assert [
        {"type": "message", "role": "assistant", "content": "Look:"},
        {"type": "function_call", "call_id": "a", "name": "get_time", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "shell", "input": "ls"},
        {"type": "function_call_output", "call_id": "a", "output": "12:00"},
        {
            "type": "custom_tool_call_output",
            "call_id": "b",
            "output": [{"type": "input_text", "text": "12:00"}],
        },
    ] == said[1:]


def test_ids_and_names_that_do_not_fit_are_replaced_in_calls_and_results_alike() -> None:
    turn = {
        "role": "assistant",
        "tool_calls": [
            {"id": "x" * 70, "type": "function", "function": {"name": "a.b", "arguments": "{}"}}
        ],
    }

    said = items(HELLO[0], turn, {"role": "tool", "tool_call_id": "x" * 70, "content": ""})

    assert said[1]["call_id"] == said[2]["call_id"]
    assert 32 == len(said[1]["call_id"])
    assert said[1]["name"].startswith("a_b_")


def test_a_turn_that_says_nothing_is_left_out() -> None:
    body, warnings = sent(messages=[HELLO[0], {"role": "assistant", "content": ""}, HELLO[0]])

    assert [PLAIN["input"][0]] * 2 == body["input"]
    assert ["dropped:messages"] == warnings
