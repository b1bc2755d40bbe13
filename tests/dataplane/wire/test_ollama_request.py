from collections.abc import Mapping
from typing import Any

import pytest

from dataplane.codec import decode
from dataplane.errors import RequestRejected
from dataplane.provider import Operation, Request
from dataplane.wire.ollama_request import PATHS, Serialized, serialize

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
WRITTEN_TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def chat(
    fields: Mapping[str, Any],
    *,
    context_window: int | None = None,
    max_output_tokens: int | None = None,
) -> Serialized:
    body = {"model": "route", "messages": HI, **fields}
    request = Request(
        operation=Operation.CHAT, model="route", body=body, stream=fields.get("stream") is True
    )
    return serialize(
        request, "llama3.1", context_window=context_window, max_output_tokens=max_output_tokens
    )


def complete(fields: Mapping[str, Any]) -> Serialized:
    body = {"model": "route", **fields}
    request = Request(operation=Operation.COMPLETION, model="route", body=body)
    return serialize(request, "llama3.1")


def embed(fields: Mapping[str, Any], *, context_window: int | None = None) -> Serialized:
    body = {"model": "route", **fields}
    request = Request(operation=Operation.EMBEDDINGS, model="route", body=body)
    return serialize(request, "nomic", context_window=context_window)


CHAT_CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"max_tokens": 5}, {"options": {"num_predict": 5}}),
    ({"max_completion_tokens": 6}, {"options": {"num_predict": 6}}),
    ({"max_completion_tokens": 6, "max_tokens": 5}, {"options": {"num_predict": 6}}),
    ({"temperature": 0}, {"options": {"temperature": 0}}),
    ({"temperature": 1.9, "top_p": 0.5}, {"options": {"temperature": 1.9, "top_p": 0.5}}),
    ({"seed": 7, "stop": ["a", "b"]}, {"options": {"seed": 7, "stop": ["a", "b"]}}),
    (
        {"presence_penalty": 0.5, "frequency_penalty": -1},
        {"options": {"presence_penalty": 0.5, "frequency_penalty": -1}},
    ),
    (
        {"top_k": 4, "min_p": 0.1, "typical_p": 0.9, "repeat_last_n": 8},
        {"options": {"top_k": 4, "min_p": 0.1, "typical_p": 0.9, "repeat_last_n": 8}},
    ),
    ({"repetition_penalty": 1.1}, {"options": {"repeat_penalty": 1.1}}),
    ({"repeat_penalty": 1.2}, {"options": {"repeat_penalty": 1.2}}),
    ({"logprobs": True}, {"logprobs": True}),
    ({"logprobs": True, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
    ({"logprobs": False}, {}),
    ({"response_format": {"type": "text"}}, {}),
    ({"response_format": {"type": "json_object"}}, {"format": "json"}),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "strict": True, "schema": SCHEMA},
            }
        },
        {"format": SCHEMA},
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
        {"format": "json"},
    ),
    ({"reasoning_effort": "none"}, {"think": False}),
    ({"reasoning_effort": "low"}, {"think": "low"}),
    ({"reasoning_effort": "medium"}, {"think": "medium"}),
    ({"reasoning_effort": "high"}, {"think": "high"}),
    ({"reasoning_effort": "max"}, {"think": "max"}),
    ({"tools": [TOOL]}, {"tools": [WRITTEN_TOOL]}),
    ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [WRITTEN_TOOL]}),
    ({"tools": [TOOL], "tool_choice": "none"}, {}),
    ({"tools": []}, {}),
    ({"n": 1}, {}),
    ({"modalities": ["text"]}, {}),
    ({"parallel_tool_calls": True, "store": False, "logit_bias": {}}, {}),
    ({"stream_options": {"include_usage": True}, "stream": True}, {"stream": True}),
    ({"user": None}, {}),
]


@pytest.mark.parametrize(("fields", "expected"), CHAT_CASES)
def test_a_chat_field_is_written_without_loss(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    serialized = chat(fields)

    whole = {"model": "llama3.1", "messages": HI, "stream": False, **expected}
    assert whole == decode(serialized.body)
    assert () == serialized.warnings


@pytest.mark.parametrize(
    ("fields", "expected", "warnings"),
    [
        ({"reasoning_effort": "minimal"}, {"think": "low"}, ("mapped:reasoning_effort",)),
        ({"reasoning_effort": "xhigh"}, {"think": "max"}, ("mapped:reasoning_effort",)),
        (
            {"tools": [TOOL], "response_format": {"type": "json_object"}},
            {"tools": [WRITTEN_TOOL], "format": "json"},
            ("mapped:response_format",),
        ),
        ({"parallel_tool_calls": False}, {}, ("dropped:parallel_tool_calls",)),
        ({"top_logprobs": 2}, {}, ("dropped:top_logprobs",)),
        *(
            ({field: value}, {}, (f"dropped:{field}",))
            for field, value in {
                "logit_bias": {"5": 1},
                "user": "u",
                "safety_identifier": "s",
                "metadata": {"a": "b"},
                "service_tier": "auto",
                "store": True,
                "verbosity": "low",
                "prediction": {"type": "content", "content": "x"},
                "prompt_cache_key": "k",
                "num_ctx": 9,
                "keep_alive": "5m",
                "brand_new_field": 1,
            }.items()
        ),
        ({"user": "u", "store": True}, {}, ("dropped:user", "dropped:store")),
        ({"a,b\r\nx": 1, "ü": 2}, {}, ("dropped:unknown",)),
    ],
)
def test_what_is_lost_is_told(
    fields: dict[str, Any], expected: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    serialized = chat(fields)

    whole = {"model": "llama3.1", "messages": HI, "stream": False, **expected}
    assert whole == decode(serialized.body)
    assert warnings == serialized.warnings


def test_references_of_a_schema_are_written_out() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
    fields = {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}

    assert {"properties": {"a": {"type": "integer"}}} == decode(chat(fields).body)["format"]


def test_warnings_of_messages_come_first_and_each_once() -> None:
    named = [{"role": "user", "content": "x", "name": "bob"}] * 2
    serialized = chat({"messages": named, "user": "u", "tools": [TOOL]})

    assert ("dropped:messages.name", "dropped:user") == serialized.warnings


def test_the_context_window_is_sent_beside_other_options() -> None:
    alone = decode(chat({}, context_window=8192).body)
    beside = decode(chat({"seed": 1}, context_window=8192).body)

    assert {"num_ctx": 8192} == alone["options"]
    assert {"seed": 1, "num_ctx": 8192} == beside["options"]


@pytest.mark.parametrize(
    ("limit", "most", "sent", "warnings"),
    [
        (100, 50, 50, ("clamped:max_tokens",)),
        (50, 50, 50, ()),
        (100, None, 100, ()),
        ("many", 50, "many", ()),
    ],
)
def test_a_limit_beyond_the_models_is_clamped(
    limit: object, most: int | None, sent: object, warnings: tuple[str, ...]
) -> None:
    serialized = chat({"max_tokens": limit}, max_output_tokens=most)

    assert {"num_predict": sent} == decode(serialized.body)["options"]
    assert warnings == serialized.warnings


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"tool_choice": "required", "tools": [TOOL]}, "tool_choice", "unsupported_parameter"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
        ({"audio": {"voice": "x"}}, "modalities", "unsupported_parameter"),
        ({"response_format": {"type": "grammar"}}, "response_format", "unsupported_parameter"),
        ({"reasoning_effort": "heroic"}, "reasoning_effort", "unsupported_value"),
        ({"reasoning_effort": ["low"]}, "reasoning_effort", "unsupported_value"),
        ({"messages": []}, "messages", None),
        ({"messages": "hi"}, "messages", None),
        ({"messages": None}, "messages", None),
    ],
)
def test_what_changes_the_answer_is_rejected_and_not_dropped(
    fields: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(RequestRejected) as rejected:
        chat(fields)

    assert (400, param, code) == (rejected.value.status, rejected.value.param, rejected.value.code)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prompt": "once"}, {"prompt": "once"}),
        ({"prompt": ["once"]}, {"prompt": "once"}),
        ({"prompt": "x", "suffix": ""}, {"prompt": "x"}),
        ({"prompt": "def f(", "suffix": ")"}, {"prompt": "def f(", "suffix": ")"}),
        (
            {"prompt": "x", "max_tokens": 3, "stop": ["."], "temperature": 0.2},
            {"prompt": "x", "options": {"num_predict": 3, "temperature": 0.2, "stop": ["."]}},
        ),
        ({"prompt": "x", "logprobs": 2}, {"prompt": "x", "logprobs": True, "top_logprobs": 2}),
        ({"prompt": "x", "logprobs": 0}, {"prompt": "x", "logprobs": True, "top_logprobs": 0}),
        ({"prompt": "x", "logprobs": False}, {"prompt": "x"}),
        ({"prompt": "x", "echo": False, "best_of": 1, "n": 1}, {"prompt": "x"}),
        ({"prompt": "x", "reasoning_effort": "none"}, {"prompt": "x", "think": False}),
    ],
)
def test_a_completion_is_written_for_generate(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    serialized = complete(fields)

    assert {"model": "llama3.1", "stream": False, **expected} == decode(serialized.body)
    assert () == serialized.warnings


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": ["a", "b"]}, "prompt", "unsupported_parameter"),
        ({"prompt": [1, 2]}, "prompt", "unsupported_parameter"),
        ({"prompt": [[1, 2]]}, "prompt", "unsupported_parameter"),
        ({"prompt": []}, "prompt", None),
        ({"prompt": ""}, "prompt", None),
        ({"prompt": 7}, "prompt", None),
        ({}, "prompt", None),
        ({"prompt": "x", "n": 2}, "n", "unsupported_parameter"),
        ({"prompt": "x", "best_of": 2}, "best_of", "unsupported_parameter"),
        ({"prompt": "x", "echo": True}, "echo", "unsupported_parameter"),
    ],
)
def test_a_completion_that_generate_cannot_do_is_rejected(
    fields: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(RequestRejected) as rejected:
        complete(fields)

    assert (param, code) == (rejected.value.param, rejected.value.code)


@pytest.mark.parametrize(
    ("fields", "expected", "warnings"),
    [
        ({"input": "a"}, {"input": "a"}, ()),
        ({"input": ["a", "b"]}, {"input": ["a", "b"]}, ()),
        ({"input": "a", "dimensions": 64}, {"input": "a", "dimensions": 64}, ()),
        ({"input": "a", "encoding_format": "base64"}, {"input": "a"}, ()),
        ({"input": "a", "user": "u"}, {"input": "a"}, ("dropped:user",)),
        ({"input": "a", "temperature": 0.5}, {"input": "a"}, ("dropped:temperature",)),
    ],
)
def test_embeddings_never_cut_their_input(
    fields: dict[str, Any], expected: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    serialized = embed(fields)

    assert {"model": "nomic", "truncate": False, **expected} == decode(serialized.body)
    assert warnings == serialized.warnings


def test_embeddings_get_the_context_window_too() -> None:
    assert {"num_ctx": 512} == decode(embed({"input": "a"}, context_window=512).body)["options"]


@pytest.mark.parametrize("tokens", [[1, 2], [[1], [2]], ["a", 1], 7, None])
def test_embeddings_of_anything_but_texts_are_rejected(tokens: object) -> None:
    with pytest.raises(RequestRejected) as rejected:
        embed({"input": tokens})

    assert ("input", "unsupported_parameter") == (rejected.value.param, rejected.value.code)


def test_each_operation_has_its_path() -> None:
    assert {
        Operation.CHAT: "/api/chat",
        Operation.COMPLETION: "/api/generate",
        Operation.EMBEDDINGS: "/api/embed",
    } == PATHS


@pytest.mark.parametrize("strict", [False, True])
def test_a_strict_conversation_is_never_cut(strict: bool) -> None:
    request = Request(
        operation=Operation.CHAT,
        model="route",
        body={"messages": [{"role": "user", "content": "x"}]},
        strict=strict,
    )

    body = decode(serialize(request, "m").body)

    assert (False if strict else None) == body.get("truncate")
