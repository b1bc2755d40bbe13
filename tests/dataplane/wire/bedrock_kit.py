"""What the tests of Bedrock's formats share: models, requests, answers and streams."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from dataplane.codec import decode
from dataplane.errors import UpstreamFailed
from dataplane.provider import Batch, HttpResponse, Request, ResponseFacts
from dataplane.wire.bedrock_answer import Reading
from dataplane.wire.bedrock_models import model_of
from dataplane.wire.bedrock_request import Serialized, Settings, serialize
from dataplane.wire.bedrock_stream import BedrockDecoder
from tests.dataplane.wire.openai_kit import chat
from tests.doubles.bedrock_frames import events_of, stream_of
from tests.doubles.bedrock_rules import check_converse

OLD_CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ADAPTIVE = "eu.anthropic.claude-sonnet-4-6-v1:0"
NEW_CLAUDE = "anthropic.claude-opus-4-7-v1:0"
ALWAYS_THINKS = "anthropic.claude-sonnet-5-5-v1:0"
NOVA = "amazon.nova-pro-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
GPT_OSS = "openai.gpt-oss-120b-1:0"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
TITAN = "amazon.titan-text-express-v1"
VOXTRAL = "mistral.voxtral-small-24b-2507"
MODELS = (
    OLD_CLAUDE,
    CLAUDE,
    ADAPTIVE,
    NEW_CLAUDE,
    ALWAYS_THINKS,
    NOVA,
    NOVA_2,
    GPT_OSS,
    LLAMA,
    TITAN,
    "mistral.mistral-large-2407-v1:0",
    "deepseek.r1-v1:0",
    "qwen.qwen3-32b-v1:0",
    "cohere.command-r-plus-v1:0",
    "arn:aws:bedrock:eu-west-3:123456789012:imported-model/abcdefghijkl",
)
PNG = "data:image/png;base64,iVBORw0KGgo="
JPEG = "data:image/jpeg;base64,/9j/4AAQ"
PDF = "data:application/pdf;base64,JVBERi0="
USAGE = {"inputTokens": 12, "outputTokens": 5, "totalTokens": 17}
HEADERS = {"x-amzn-requestid": "req-1", "date": "Sun, 22 Nov 2026 10:20:30 GMT"}
ID = "chatcmpl-req-1"
CREATED = 1795342830


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any = None, *calls: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    calling = {"tool_calls": list(calls)} if calls else {}
    return {"role": "assistant", "content": content, **calling, **more}


def call(call_id: str = "call_1", name: str = "get_time", arguments: str = "{}") -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def result(content: Any = "12:00", call_id: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def tool(name: str = "get_time", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def written(
    model: str = CLAUDE, settings: Settings | None = None, base_model: str = "", **fields: Any
) -> tuple[dict[str, Any], Sequence[str]]:
    """Write a request; give its body, which Bedrock would take, and the warnings."""
    serialized = serialized_for(model, settings, base_model, **fields)
    body = decode(serialized.body)
    check_converse(base_model or model, body)
    return body, serialized.warnings


def serialized_for(
    model: str = CLAUDE, settings: Settings | None = None, base_model: str = "", **fields: Any
) -> Serialized:
    return serialize(chat(**fields).body, model_of(model, base_model), settings or Settings())


def turns(model: str = CLAUDE, *messages: Mapping[str, Any], **fields: Any) -> Any:
    """The messages of the body that is written for these."""
    return written(model, messages=list(messages), **fields)[0]["messages"]


def reading(model: str = CLAUDE, request: Request | None = None, **more: Any) -> Reading:
    return Reading(request=request or chat(), model=model_of(model), **more)


def response(body: Any, **changes: Any) -> HttpResponse:
    fields = {"status": 200, "headers": HEADERS, "body": json.dumps(body).encode(), **changes}
    return HttpResponse(**fields)


def converse(
    blocks: Sequence[Mapping[str, Any]], stop: str = "end_turn", usage: Any = USAGE
) -> HttpResponse:
    """An answer of Converse."""
    return response(
        {
            "output": {"message": {"role": "assistant", "content": list(blocks)}},
            "stopReason": stop,
            "usage": usage,
            "metrics": {"latencyMs": 3},
        }
    )


def frames(
    blocks: Sequence[Mapping[str, Any]], stop: str = "end_turn", usage: Any = USAGE
) -> bytes:
    """The same answer as ConverseStream sends it."""
    return stream_of(events_of(blocks, stop=stop, usage=usage))


class Result:
    """What a decoder made of a stream."""

    def __init__(self, batches: Sequence[Batch], facts: ResponseFacts) -> None:
        self.data = b"".join(batch.data for batch in batches)
        self.chunks = sum(batch.chunks for batch in batches)
        self.semantic = any(batch.semantic for batch in batches)
        self.done = batches[-1].done
        self.failure: UpstreamFailed | None = batches[-1].failure
        self.facts = facts

    @property
    def events(self) -> list[Any]:
        assert self.data.endswith(b"\n\n") or not self.data
        return [decode(part.removeprefix(b"data: ")) for part in self.data.split(b"\n\n")[:-1]]

    @property
    def deltas(self) -> list[Any]:
        return [event["choices"][0]["delta"] for event in self.events if event["choices"]]


def read(stream: bytes, reading_: Reading, *cuts: int) -> Result:
    """Feed a stream in pieces, and its end."""
    decoder = BedrockDecoder(reading_, HEADERS)
    marks = sorted({0, len(stream), *cuts})
    batches: list[Batch] = [Batch()]
    for start, end in pairwise(marks):
        batches.append(decoder.feed(stream[start:end]))
        if batches[-1].done or batches[-1].failure is not None:
            return Result(batches, decoder.facts)
    batches.append(decoder.finish())
    return Result(batches, decoder.facts)


def folded(result_: Result) -> dict[str, Any]:
    """Put a stream together the way clients do."""
    message: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    finish = None
    for event in result_.events:
        for choice in event["choices"]:
            for key, value in choice["delta"].items():
                if key == "tool_calls":
                    _fold_calls(calls, value)
                elif key == "function_call":
                    known = message.setdefault(key, {"name": "", "arguments": ""})
                    for name, text in value.items():
                        known[name] += text
                elif isinstance(value, str):
                    message[key] = message.get(key, "") + value
                else:
                    message[key] = value
            finish = choice["finish_reason"] or finish
    if calls:
        message["tool_calls"] = calls
    return {"message": message, "finish_reason": finish}


def _fold_calls(calls: list[dict[str, Any]], pieces: Sequence[Mapping[str, Any]]) -> None:
    for piece in pieces:
        if piece["index"] == len(calls):
            calls.append(
                {"id": piece["id"], "type": piece["type"], "function": dict(piece["function"])}
            )
            continue
        assert "id" not in piece
        calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
