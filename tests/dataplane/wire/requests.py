"""Bodies of requests for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.provider import Request
from dataplane.wire.request import parse_chat, parse_completion, parse_embeddings

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
CUSTOM = {"type": "custom", "custom": {"name": "shell"}}


def chat(**fields: Any) -> Request:
    """Parse a chat request that is good but for what the fields say."""
    return parse_chat(encode({"model": "m", "messages": [USER]} | fields))


def conversation(*messages: Any, **fields: Any) -> Request:
    return chat(messages=list(messages), **fields)


def completion(**fields: Any) -> Request:
    return parse_completion(encode({"model": "m", "prompt": "once"} | fields))


def embeddings(**fields: Any) -> Request:
    return parse_embeddings(encode({"model": "m", "input": "text"} | fields))


def rejection(make: Callable[..., Request], *args: Any, **fields: Any) -> RequestRejected:
    """Make a request that must be rejected, and return why."""
    with pytest.raises(RequestRejected) as caught:
        make(*args, **fields)
    assert 400 == caught.value.status
    assert "invalid_request_error" == caught.value.type
    return caught.value


def call(call_id: str, name: str = "clock", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [call(call_id) for call_id in ids]}


def result(call_id: str, content: Any = "noon") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}
