"""Requests and lines of /api/chat and /api/generate for the tests, after Ollama 0.33.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from dataplane.codec import decode, encode
from dataplane.errors import UpstreamFailed
from dataplane.provider import Batch, HttpResponse, Operation, Request, ResponseFacts
from dataplane.wire.ollama_stream import OllamaDecoder

STAMP = "2026-11-22T19:42:21.910215629Z"
CREATED = 1795376541
USER = {"role": "user", "content": "hi"}


def chat_request(**fields: Any) -> Request:
    body = {"model": "route", "messages": [USER]}
    return Request(operation=Operation.CHAT, model="route", body=body, **fields)


def text_request(**fields: Any) -> Request:
    body = {"model": "route", "prompt": "hi"}
    return Request(operation=Operation.COMPLETION, model="route", body=body, **fields)


def embeddings_request(texts: Any, **fields: Any) -> Request:
    body = {"model": "route", "input": texts}
    return Request(operation=Operation.EMBEDDINGS, model="route", body=body, **fields)


def native(message: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """One object of /api/chat, not done unless `fields` say so."""
    whole = {"role": "assistant", "content": "", **(message or {})}
    return {"model": "tiny", "created_at": STAMP, "message": whole, "done": False, **fields}


def native_text(response: str = "", **fields: Any) -> dict[str, Any]:
    """One object of /api/generate, not done unless `fields` say so."""
    return {"model": "tiny", "created_at": STAMP, "response": response, "done": False, **fields}


def done(reason: str = "stop", **fields: Any) -> dict[str, Any]:
    """The fields of an object that ends an answer."""
    return {
        "done": True,
        "done_reason": reason,
        "total_duration": 22573357,
        "load_duration": 807853,
        "prompt_eval_count": 10,
        "prompt_eval_duration": 17863000,
        "eval_count": 16,
        "eval_duration": 2157000,
        **fields,
    }


def call(name: str, arguments: Any = None, call_id: str | None = None) -> dict[str, Any]:
    """A tool call as Ollama writes it; old servers give no id and index 0 for all."""
    function = {"index": 0, "name": name, "arguments": arguments}
    return {"function": function} if call_id is None else {"id": call_id, "function": function}


def lines(*objects: Mapping[str, Any]) -> bytes:
    return b"".join(encode(item) + b"\n" for item in objects)


def response(item: Mapping[str, Any]) -> HttpResponse:
    return HttpResponse(status=200, headers={"content-type": "application/json"}, body=encode(item))


class Read:
    """A stream that was read to its end: the caller's bytes and what the batches said."""

    def __init__(self, decoder: OllamaDecoder, pieces: Sequence[bytes]) -> None:
        self.facts: ResponseFacts = decoder.facts
        self.data = b""
        self.batches: list[Batch] = []
        for piece in pieces:
            self._take(decoder.feed(piece))
            if self.ended:
                return
        self._take(decoder.finish())

    def _take(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.data += batch.data

    @property
    def ended(self) -> bool:
        return self.batches[-1].done or self.batches[-1].failure is not None

    @property
    def failure(self) -> UpstreamFailed | None:
        return self.batches[-1].failure

    @property
    def chunks(self) -> int:
        return sum(batch.chunks for batch in self.batches)

    @property
    def events(self) -> list[dict[str, Any]]:
        return events_of(self.data)


def read(
    request: Request, stream: bytes, *cuts: int, num_ctx: int | None = None, limit: int = 10_000
) -> Read:
    """Read a stream that is cut at the given places."""
    bounds = [0, *sorted(cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(bounds)]
    return Read(OllamaDecoder(request, num_ctx, limit), pieces)


def events_of(data: bytes) -> list[dict[str, Any]]:
    """Decode the caller's bytes: whole events of one data line, nothing else."""
    assert data == b"" or data.endswith(b"\n\n")
    events = data.split(b"\n\n")[:-1]
    assert all(event.startswith(b"data: {") and b"\n" not in event for event in events)
    return [decode(event.removeprefix(b"data: ")) for event in events]


def fold(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put chunks together the way a concatenating client does, into the unary form."""
    first = events[0]
    chat = first["object"] == "chat.completion.chunk"
    usage = None
    finish_reason = None
    logprobs: dict[str, Any] | None = None
    message: dict[str, Any] = {}
    text = ""
    reasoning = ""
    for event in events:
        for key in ("id", "object", "created", "model"):
            assert first[key] == event[key]
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            assert finish_reason is None
            finish_reason = choice["finish_reason"]
            if choice["logprobs"] is not None:
                logprobs = _joined(logprobs, choice["logprobs"])
            text += choice.get("text", "")
            reasoning += choice.get("reasoning_content", "")
            for key, value in choice.get("delta", {}).items():
                _fold_delta(message, key, value)
    if chat:
        if not message["content"] and ("tool_calls" in message or "function_call" in message):
            message["content"] = None
        whole: dict[str, Any] = {"message": {"refusal": None, **message}}
    else:
        whole = {"text": text, **({"reasoning_content": reasoning} if reasoning else {})}
    return {
        "id": first["id"],
        "object": "chat.completion" if chat else "text_completion",
        "created": first["created"],
        "model": first["model"],
        "system_fingerprint": None,
        "choices": [{"index": 0, **whole, "logprobs": logprobs, "finish_reason": finish_reason}],
        "usage": usage,
    }


def _fold_delta(message: dict[str, Any], key: str, value: Any) -> None:
    if key == "tool_calls":
        calls = message.setdefault("tool_calls", [])
        for part in value:
            assert len(calls) == part["index"]
            calls.append({name: part[name] for name in ("id", "type", "function")})
    elif key == "function_call":
        assert key not in message
        message[key] = value
    else:
        message[key] = message.get(key, "") + value


def _joined(before: dict[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    if before is None:
        return dict(more)
    return {
        key: before[key] + value if isinstance(value, list) else value
        for key, value in more.items()
    }
