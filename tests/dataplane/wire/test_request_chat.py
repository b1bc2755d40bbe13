"""Chat requests: what is taken, what is changed, what is refused, and with which path."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.provider import Feature, Operation
from dataplane.wire.request import parse_chat
from tests.dataplane.wire.requests import CUSTOM, TOOL, USER, chat, rejection

F = Feature
BIG = 2**63


def test_a_plain_request_goes_through_as_it_is() -> None:
    fields = {"model": "m", "messages": [USER], "temperature": 0.5, "future_field": {"a": [None]}}

    request = parse_chat(encode(fields))

    assert Operation.CHAT is request.operation
    assert "m" == request.model
    assert fields == request.body
    assert frozenset({F.CHAT}) == request.features
    assert (False, False, False, False, "") == (
        request.stream,
        request.include_usage,
        request.base64,
        request.legacy_functions,
        request.forced_tool,
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not valid JSON: "),
        (b"{", "the body is not valid JSON: "),
        (b"\xff", "the body is not valid JSON: "),
        (b"[" * 3000, "the body is not valid JSON: "),
        (b"[]", "the body must be a JSON object"),
        (b"null", "the body must be a JSON object"),
        (b'"sk-secret"', "the body must be a JSON object"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        parse_chat(body)

    assert caught.value.message.startswith(message)
    assert caught.value.param is None
    assert 400 == caught.value.status


def test_nulls_mean_absent() -> None:
    request = chat(
        temperature=None,
        tools=None,
        tool_choice=None,
        stream=None,
        stream_options=None,
        stop=None,
        response_format=None,
        functions=None,
        future_field=None,
    )

    assert {"model": "m", "messages": [USER]} == request.body


def test_nulls_inside_known_objects_mean_absent_too() -> None:
    function = {"name": "clock", "description": None, "strict": None, "parameters": {"d": None}}
    schema = {"name": "s", "strict": None, "schema": {"default": None}}

    request = chat(
        tools=[{"type": "function", "function": function, "cache": None}],
        response_format={"type": "json_schema", "json_schema": schema, "x": None},
        stream=True,
        stream_options={"include_usage": None},
    )

    assert [
        {"type": "function", "function": {"name": "clock", "parameters": {"d": None}}}
    ] == request.body["tools"]
    assert {
        "type": "json_schema",
        "json_schema": {"name": "s", "schema": {"default": None}},
    } == request.body["response_format"]
    assert {} == request.body["stream_options"]


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0},
        {"temperature": 2},
        {"temperature": 1.99},
        {"top_p": 0},
        {"top_p": 1},
        {"presence_penalty": -2},
        {"frequency_penalty": 2.0},
        {"n": 1},
        {"max_tokens": 1},
        {"max_completion_tokens": BIG - 1},
        {"seed": -BIG},
        {"seed": BIG - 1},
        {"logit_bias": {"50256": -100, "1": 0.5}},
        {"logit_bias": {}},
        {"user": "u" * 1024},
        {"verbosity": "low"},
        {"modalities": ["text"]},
        {"metadata": {"a": "b"}},
        {"prediction": {"type": "content", "content": "x"}},
        {"web_search_options": {}},
        {"store": True},
        {"service_tier": "flex"},
        {"safety_identifier": "s"},
        {"prompt_cache_key": "k"},
        {"logprobs": False},
        {"top_logprobs": 0},
        {"reasoning_effort": "none"},
        {"response_format": {"type": "text"}},
        {"stream": False},
    ],
)
def test_legal_values_go_through_and_need_nothing(fields: dict[str, Any]) -> None:
    request = chat(**fields)

    assert {"model": "m", "messages": [USER]} | fields == request.body
    assert frozenset({F.CHAT}) == request.features


BAD_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "missing_required_parameter"),
    ({"model": 7}, "model", "invalid_type"),
    ({"model": ""}, "model", "invalid_value"),
    ({"model": "m" * 257}, "model", "invalid_value"),
    ({"model": "a\nb"}, "model", "invalid_value"),
    ({"model": "a\x7f"}, "model", "invalid_value"),
    ({"model": "a\u2028"}, "model", "invalid_value"),
    ({"messages": None}, "messages", "missing_required_parameter"),
    ({"messages": "hi"}, "messages", "invalid_type"),
    ({"messages": {}}, "messages", "invalid_type"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"temperature": "hot"}, "temperature", "invalid_type"),
    ({"temperature": True}, "temperature", "invalid_type"),
    ({"temperature": -0.1}, "temperature", "invalid_value"),
    ({"temperature": 2.1}, "temperature", "invalid_value"),
    ({"top_p": 1.01}, "top_p", "invalid_value"),
    ({"top_p": []}, "top_p", "invalid_type"),
    ({"presence_penalty": 3}, "presence_penalty", "invalid_value"),
    ({"frequency_penalty": -2.5}, "frequency_penalty", "invalid_value"),
    ({"n": 0}, "n", "invalid_value"),
    ({"n": 129}, "n", "invalid_value"),
    ({"n": True}, "n", "invalid_type"),
    ({"n": 1.0}, "n", "invalid_type"),
    ({"n": "1"}, "n", "invalid_type"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_tokens": BIG}, "max_tokens", "invalid_value"),
    ({"max_completion_tokens": -1}, "max_completion_tokens", "invalid_value"),
    ({"seed": BIG}, "seed", "invalid_value"),
    ({"seed": 10**30}, "seed", "invalid_value"),
    ({"seed": 0.5}, "seed", "invalid_type"),
    ({"logit_bias": []}, "logit_bias", "invalid_type"),
    ({"logit_bias": {"1": 101}}, "logit_bias", "invalid_value"),
    ({"logit_bias": {"1": None}}, "logit_bias", "invalid_type"),
    ({"logit_bias": {str(i): 0 for i in range(10_001)}}, "logit_bias", "invalid_value"),
    ({"user": ""}, "user", "invalid_value"),
    ({"user": "u" * 1025}, "user", "invalid_value"),
    ({"user": 5}, "user", "invalid_type"),
    ({"logprobs": 1}, "logprobs", "invalid_type"),
    ({"top_logprobs": 21}, "top_logprobs", "invalid_value"),
    ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
    ({"reasoning_effort": 3}, "reasoning_effort", "invalid_type"),
    ({"verbosity": ""}, "verbosity", "invalid_value"),
    ({"modalities": "text"}, "modalities", "invalid_type"),
    ({"modalities": []}, "modalities", "invalid_value"),
    ({"modalities": ["smell"]}, "modalities[0]", "invalid_value"),
    ({"audio": "alloy"}, "audio", "invalid_type"),
    ({"metadata": []}, "metadata", "invalid_type"),
    ({"store": "yes"}, "store", "invalid_type"),
    ({"service_tier": {}}, "service_tier", "invalid_type"),
    ({"stream": "true"}, "stream", "invalid_type"),
    ({"stream": 1}, "stream", "invalid_type"),
    ({"stream_options": {}}, "stream_options", "invalid_value"),
    ({"stream": False, "stream_options": {}}, "stream_options", "invalid_value"),
    ({"stream": True, "stream_options": []}, "stream_options", "invalid_type"),
    (
        {"stream": True, "stream_options": {"include_usage": 1}},
        "stream_options.include_usage",
        "invalid_type",
    ),
    ({"stop": 5}, "stop", "invalid_type"),
    ({"stop": ""}, "stop[0]", "invalid_value"),
    ({"stop": ["a", ""]}, "stop[1]", "invalid_value"),
    ({"stop": ["a", None]}, "stop[1]", "invalid_type"),
    ({"stop": ["a"] * 65}, "stop", "invalid_value"),
    ({"response_format": "json"}, "response_format", "invalid_type"),
    ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
    ({"response_format": {"type": 1}}, "response_format.type", "invalid_type"),
    (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
        "missing_required_parameter",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": []}},
        "response_format.json_schema",
        "invalid_type",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        "response_format.json_schema.name",
        "missing_required_parameter",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
        "response_format.json_schema.name",
        "invalid_value",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 1}}},
        "response_format.json_schema.schema",
        "invalid_type",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": 1}}},
        "response_format.json_schema.strict",
        "invalid_type",
    ),
]


@pytest.mark.parametrize(("fields", "param", "code"), BAD_FIELDS)
def test_bad_fields_are_refused_by_name(fields: dict[str, Any], param: str, code: str) -> None:
    error = rejection(chat, **fields)

    assert (param, code) == (error.param, error.code)
    assert error.message.startswith(param)


def test_messages_echo_little_of_the_input() -> None:
    for fields in (
        {"reasoning_effort": "x" * 5000},
        {"model": "\n" + "x" * 200},
        {"tools": [{"type": "function", "function": {"name": "x" * 5000}}]},
        {"messages": [{"role": "x" * 5000}]},
    ):
        message = rejection(chat, **fields).message

        assert 80 >= message.count("x")
        assert message.isprintable()


@pytest.mark.parametrize(
    ("stop", "expected"), [("END", ["END"]), (["a", "b"], ["a", "b"]), (["a"] * 64, ["a"] * 64)]
)
def test_stop_becomes_a_list(stop: Any, expected: list[str]) -> None:
    assert expected == chat(stop=stop).body["stop"]


def test_an_empty_stop_list_is_absent() -> None:
    assert "stop" not in chat(stop=[]).body


def test_streams_tell_whether_usage_is_wanted() -> None:
    assert (True, False) == _stream(stream=True)
    assert (True, False) == _stream(stream=True, stream_options={"include_usage": False})
    assert (True, True) == _stream(stream=True, stream_options={"include_usage": True})


def _stream(**fields: Any) -> tuple[bool, bool]:
    request = chat(**fields)
    return request.stream, request.include_usage


def test_of_two_token_limits_the_newer_one_wins() -> None:
    request = chat(max_tokens=5, max_completion_tokens=9)

    assert 9 == request.body["max_completion_tokens"]
    assert "max_tokens" not in request.body
    assert 5 == chat(max_tokens=5).body["max_tokens"]


@pytest.mark.parametrize(
    ("fields", "features"),
    [
        ({"logprobs": True}, {F.LOGPROBS}),
        ({"top_logprobs": 3}, {F.LOGPROBS}),
        ({"n": 2}, {F.MULTIPLE_CHOICES}),
        ({"modalities": ["text", "audio"]}, {F.AUDIO_OUTPUT}),
        ({"audio": {"voice": "v", "format": "wav"}}, {F.AUDIO_OUTPUT}),
        ({"reasoning_effort": "low"}, {F.REASONING}),
        ({"response_format": {"type": "json_object"}}, {F.JSON_OBJECT}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "s"}}},
            {F.JSON_SCHEMA},
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "s", "schema": {}, "strict": True},
                }
            },
            {F.JSON_SCHEMA},
        ),
        ({"tools": [TOOL]}, {F.TOOLS}),
        ({"tools": [TOOL], "tool_choice": "none"}, {F.TOOLS}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {F.TOOLS}),
        ({"tools": [TOOL], "tool_choice": "required"}, {F.TOOLS, F.TOOL_CHOICE_REQUIRED}),
        ({"tools": [CUSTOM]}, {F.TOOLS, F.CUSTOM_TOOLS}),
    ],
)
def test_what_a_request_needs_is_told(fields: dict[str, Any], features: set[Feature]) -> None:
    assert frozenset({F.CHAT} | features) == chat(**fields).features


@pytest.mark.parametrize(
    ("file", "pinned"),
    [
        ({"file_id": "file-1"}, True),
        ({"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}, False),
    ],
)
def test_only_an_uploaded_file_pins_a_request(file: dict[str, str], *, pinned: bool) -> None:
    content = [{"type": "text", "text": "read"}, {"type": "file", "file": file}]
    body = encode({"model": "m", "messages": [{"role": "user", "content": content}]})

    assert pinned == parse_chat(body).pinned
