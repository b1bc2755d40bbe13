"""Whatever a caller sends: a canonical request or a clean refusal, never a crash."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.provider import Request
from dataplane.wire.request import parse_chat, parse_completion, parse_embeddings

PATH = re.compile(r"[a-z_]+(\.[a-z_]+|\[\d+\])*")
PARSERS = [parse_chat, parse_completion, parse_embeddings]

FULL: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_data": "data:a/b;base64,AAAA", "filename": "f"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {}}},
        {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "auto",
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
    },
    "stream": True,
    "stream_options": {"include_usage": True},
    "stop": ["a"],
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
    "n": 1,
    "temperature": 1,
    "logit_bias": {"1": 1},
    "modalities": ["text"],
    "reasoning_effort": "low",
    "best_of": 2,
    "prompt": ["p"],
    "input": [[1]],
    "dimensions": 2,
    "encoding_format": "base64",
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=100)
    | st.sampled_from(["function", "auto", "text", "tool", "c1", "f"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "function", "name", "role", "content", "id", "text", "url"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    entries: Any = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for key, entry in entries:
        found += paths(entry, (*path, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def assert_sound(parse: Callable[[bytes], Request], body: bytes) -> None:
    try:
        request = parse(body)
    except RequestRejected as error:
        assert_clear(error)
        return
    assert None not in request.body.values()
    again = parse(encode(request.body))
    # What is canonical stays as it is.
    assert request.body == again.body
    assert request.features == again.features


def assert_clear(error: RequestRejected) -> None:
    assert 400 == error.status
    assert error.param is None or PATH.fullmatch(error.param)
    assert error.message.isprintable()
    assert 300 > len(error.message)


@pytest.mark.parametrize("parse", PARSERS)
def test_the_full_request_is_good(parse: Callable[[bytes], Request]) -> None:
    assert "m" == parse(encode(FULL)).model


@pytest.mark.parametrize("parse", PARSERS)
@settings(max_examples=200)
@given(path=st.sampled_from(paths(FULL)), value=json_values)
def test_any_value_in_any_field_is_taken_or_refused(
    parse: Callable[[bytes], Request], path: tuple[Any, ...], value: Any
) -> None:
    assert_sound(parse, encode(replaced(FULL, path, value)))


@pytest.mark.parametrize("parse", PARSERS)
@settings(max_examples=100)
@given(
    extra=st.dictionaries(
        st.sampled_from([*FULL, "functions", "function_call", "audio", "metadata", "echo"]),
        json_values,
        max_size=5,
    )
)
def test_any_fields_are_taken_or_refused(
    parse: Callable[[bytes], Request], extra: dict[str, Any]
) -> None:
    assert_sound(parse, encode({"model": "m", "messages": FULL["messages"][:1]} | extra))


@pytest.mark.parametrize("parse", PARSERS)
@settings(max_examples=50)
@given(body=st.binary(max_size=50))
def test_any_bytes_are_taken_or_refused(parse: Callable[[bytes], Request], body: bytes) -> None:
    assert_sound(parse, body)


def test_a_body_is_not_changed_by_parsing_it_twice() -> None:
    body = encode(FULL)

    assert parse_chat(body).body == parse_chat(body).body
    assert "functions" not in parse_chat(body).body
