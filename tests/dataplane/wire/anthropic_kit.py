"""Requests, answers and streams of the Messages API for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode, encode
from dataplane.provider import HttpResponse, Prepared, Request
from dataplane.providers.anthropic import AnthropicAdapter
from tests.dataplane.wire.openai_kit import Played, provider

OLDEST = "claude-3-5-haiku-20241022"
BUDGET = "claude-sonnet-4-5-20250929"
ADAPTIVE = "claude-sonnet-4-6"
NEW = "claude-opus-5"
ALWAYS = "claude-fable-5"
NEWEST = "claude-sonnet-5-5"
PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="


def adapter(
    model: Model | None = None, options: Mapping[str, str] | None = None, **changes: Any
) -> AnthropicAdapter:
    """Make an adapter, with one declared model if it is given."""
    return AnthropicAdapter(
        provider(
            ProviderType.ANTHROPIC,
            models={} if model is None else {model.name: model},
            options=options or {},
            **{"base_url": "https://api.anthropic.com", **changes},
        )
    )


def prepared(request: Request, model: str = BUDGET, **changes: Any) -> Prepared:
    return adapter(**changes).prepare(request, model, "key")


def sent(request: Request, model: str = BUDGET, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the body that would be sent, decoded, and the warnings."""
    made = prepared(request, model, **changes)
    return decode(made.http.body), list(made.warnings)


def message(
    *blocks: Mapping[str, Any], stop: str | None = "end_turn", **more: Any
) -> dict[str, Any]:
    """Make a whole answer."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-native",
        "content": list(blocks),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **more,
    }


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def thinking(words: str, signature: str = "c2ln") -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": signature}


def tool_use(call_id: str, name: str = "get_time", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


HIDDEN = {"type": "redacted_thinking", "data": "b3BhcXVl"}


def answered(
    request: Request, native: Any, model: str = BUDGET, **changes: Any
) -> tuple[dict[str, Any], Any]:
    """Return the caller's whole answer, decoded, and its facts."""
    body = native if isinstance(native, bytes) else encode(native)
    made = adapter(**changes)
    answer = made.answer(
        request,
        made.prepare(request, model, "key"),
        HttpResponse(status=200, headers={}, body=body),
    )
    return decode(answer.body), answer.facts


def played(request: Request, *pieces: bytes, model: str = BUDGET, **changes: Any) -> Played:
    """Read a stream to its end."""
    made = adapter(**changes)
    return Played(made.decoder(request, made.prepare(request, model, "key")), pieces)


def stream_of(native: Mapping[str, Any], cut: int = 3) -> bytes:
    """Write a whole answer as the stream that comes to it; texts are cut every `cut` characters."""
    return b"".join(map(event, events_of(native, cut)))


def event(native: Mapping[str, Any]) -> bytes:
    return f"event: {native['type']}\ndata: ".encode() + encode(native) + b"\n\n"


def events_of(native: Mapping[str, Any], cut: int = 3) -> list[dict[str, Any]]:
    usage = native.get("usage")
    first = {
        **native,
        "content": [],
        "stop_reason": None,
        "usage": usage and {**usage, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": first}, {"type": "ping"}]
    for index, block in enumerate(native["content"]):
        begun, deltas = _parts(block, cut)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [
            {"type": "content_block_delta", "index": index, "delta": each} for each in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    names = ("stop_reason", "stop_sequence", "stop_details")
    stop = {name: native[name] for name in names if name in native}
    return [
        *events,
        {"type": "message_delta", "delta": stop, "usage": usage},
        {"type": "message_stop"},
    ]


def _parts(block: Mapping[str, Any], cut: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    def cuts(whole: str) -> list[str]:
        return [whole[at : at + cut] for at in range(0, len(whole), cut)]

    match block["type"]:
        case "text":
            deltas: list[dict[str, Any]] = [
                {"type": "text_delta", "text": each} for each in cuts(block["text"])
            ]
            deltas += [
                {"type": "citations_delta", "citation": each} for each in block.get("citations", ())
            ]
            return {"type": "text", "text": ""}, deltas
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": each} for each in cuts(block["thinking"])
            ]
            deltas += [{"type": "signature_delta", "signature": block["signature"]}]
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use":
            whole = json.dumps(block["input"]) if block["input"] else ""
            return {**block, "input": {}}, [
                {"type": "input_json_delta", "partial_json": each} for each in ["", *cuts(whole)]
            ]
        case _:
            return dict(block), []


def unary_of(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add chunks up, the way a concatenating client does, into the form of a whole answer."""
    first = events[0]
    said: dict[str, Any] = {"role": "", "content": "", "refusal": None}
    finish, usage = None, None
    for each in events:
        usage = each.get("usage") or usage
        for choice in each["choices"]:
            assert finish is None
            finish = choice["finish_reason"]
            for key, value in choice["delta"].items():
                _add(said, key, value)
    if not said["content"] and ("tool_calls" in said or "function_call" in said):
        said["content"] = None
    return {
        "id": first["id"],
        "object": "chat.completion",
        "created": first["created"],
        "model": first["model"],
        "system_fingerprint": None,
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}],
        "usage": usage,
    }


def _add(said: dict[str, Any], key: str, value: Any) -> None:
    if key == "tool_calls":
        calls = said.setdefault(key, [])
        for entry in value:
            if entry["index"] == len(calls):
                calls.append({"id": entry["id"], "type": entry["type"],
                              "function": {"name": entry["function"]["name"], "arguments": ""}})  # fmt: skip
            calls[entry["index"]]["function"]["arguments"] += entry["function"]["arguments"]
    elif key == "function_call":
        call = said.setdefault(key, {"name": "", "arguments": ""})
        for name, piece in value.items():
            call[name] += piece
    elif isinstance(value, str):
        said[key] = (said.get(key) or "") + value
    elif isinstance(value, list):
        said[key] = said.get(key, []) + value
    else:
        assert key not in said
        said[key] = value


def with_parsed_arguments(whole: Any) -> Any:
    """Compare arguments as what they say: a stream keeps the server's blanks in them."""
    if isinstance(whole, dict):
        return {
            key: decode(value)
            if key == "arguments" and isinstance(value, str)
            else with_parsed_arguments(value)
            for key, value in whole.items()
        }
    return [with_parsed_arguments(each) for each in whole] if isinstance(whole, list) else whole
