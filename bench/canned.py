"""What the fake model servers say: one answer and one stream for each vendor's format.

The shapes, and the order of fields, are those of the golden files in tests/golden; texts are our own. A stream is written as
pieces for `native/upstream.c`: pieces before the text, pieces of text that are sent in turn,
pieces after it. The model that answers is never the one that was asked for, since that is how hosted
models answer: `gpt-4o` answers as `gpt-4o-2024-08-06`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

_MODEL = "bench-2026-11-22"
_TEXT = "Electricity is routed, not made, by switchgear: it carries, it breaks, it isolates. " * 8
# Of about the same length. LiteLLM takes a text that repeats itself for a model gone wrong.
_WORDS = (
    " switchgear",
    " carries",
    " current",
    " between",
    " feeders",
    " breakers",
    " isolate",
    " faults",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canned:
    """One format. Each of before, texts and after is a write of the upstream, and a chunk of HTTP."""

    answer: bytes
    content_type: str
    before: Sequence[bytes]
    texts: Sequence[bytes]
    after: Sequence[bytes]


def write_all(folder: Path) -> None:
    """Write the files that `native/upstream.c` reads."""
    for name, canned in FORMATS.items():
        head = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(canned.answer)
        (folder / f"{name}.answer").write_bytes(_head(head) + canned.answer)
        (folder / f"{name}.stream").write_bytes(_pieces(canned))


def events_around(name: str) -> int:
    """Return how many events a stream of this format has beside those of its text."""
    return len(FORMATS[name].before) + len(FORMATS[name].after)


def _head(headers: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n"


def _pieces(canned: Canned) -> bytes:
    head = _head(
        b"content-type: %s\r\ntransfer-encoding: chunked\r\n" % canned.content_type.encode()
    )
    once = [*canned.before], [*canned.after]
    pieces = [
        (0, head),
        *((0, _chunk(event)) for event in once[0]),
        *((1, _chunk(text)) for text in canned.texts),
        *((0, _chunk(event)) for event in once[1]),
        (0, b"0\r\n\r\n"),
    ]
    return b"".join(struct.pack("<IB", len(piece), kind) + piece for kind, piece in pieces)


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _sse(value: Mapping[str, Any]) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _openai() -> Canned:
    usage = {"prompt_tokens": 420, "completion_tokens": 200, "total_tokens": 620}

    def said(kind: str, choices: Sequence[Mapping[str, Any]], used: object) -> Mapping[str, Any]:
        return {
            "id": "chatcmpl-0123456789abcdefghijklmnopqrs",
            "object": kind,
            "created": 1767225600,
            "model": _MODEL,
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
            "choices": choices,
            "usage": used,
        }

    def chunk(choices: Sequence[Mapping[str, Any]], used: Mapping[str, int] | None) -> bytes:
        return _sse(said("chat.completion.chunk", choices, used))

    def choice(delta: Mapping[str, str], finish: str | None) -> Sequence[Mapping[str, Any]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    message = {"role": "assistant", "content": _TEXT, "refusal": None}
    whole = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    return Canned(
        answer=_json(said("chat.completion", whole, usage)),
        content_type="text/event-stream",
        before=(chunk(choice({"role": "assistant", "content": ""}, None), None),),
        texts=[chunk(choice({"content": word}, None), None) for word in _WORDS],
        after=(chunk(choice({}, "stop"), None), chunk([], usage), b"data: [DONE]\n\n"),
    )


def _ollama() -> Canned:
    known = {"model": _MODEL, "created_at": "2026-11-22T19:42:21.910000629Z"}
    end = {
        "done": True,
        "done_reason": "stop",
        "total_duration": 22573357,
        "load_duration": 807853,
        "prompt_eval_count": 420,
        "prompt_eval_duration": 17863000,
        "eval_count": 200,
        "eval_duration": 2157000,
    }

    def line(content: str, more: Mapping[str, Any]) -> bytes:
        message = {"role": "assistant", "content": content}
        return _json({**known, "message": message, **more})

    return Canned(
        answer=line(_TEXT, end),
        content_type="application/x-ndjson",
        before=(),
        texts=[line(word, {"done": False}) + b"\n" for word in _WORDS],
        after=(line("", end) + b"\n",),
    )


def _anthropic() -> Canned:
    counts = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    usage = {"input_tokens": 420, **counts, "output_tokens": 200}
    message: Mapping[str, Any] = {
        "id": "msg_0123456789",
        "type": "message",
        "role": "assistant",
        "model": _MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    ended = {"stop_reason": "end_turn", "stop_sequence": None}

    def event(kind: str, more: Mapping[str, Any]) -> bytes:
        return b"event: " + kind.encode() + b"\n" + _sse({"type": kind, **more})

    part = {"type": "text", "text": ""}
    return Canned(
        answer=_json(
            {**message, **ended, "content": [{"type": "text", "text": _TEXT}], "usage": usage}
        ),
        content_type="text/event-stream",
        before=(
            event("message_start", {"message": message}),
            event("content_block_start", {"index": 0, "content_block": part}),
        ),
        texts=[
            event(
                "content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}}
            )
            for word in _WORDS
        ],
        after=(
            event("content_block_stop", {"index": 0}),
            event("message_delta", {"delta": ended, "usage": usage}),
            event("message_stop", {}),
        ),
    )


def _bedrock() -> Canned:
    usage = {"inputTokens": 420, "outputTokens": 200, "totalTokens": 620}
    numbers = {"usage": usage, "metrics": {"latencyMs": 1841}}
    message = {"role": "assistant", "content": [{"text": _TEXT}]}
    return Canned(
        answer=_json({"output": {"message": message}, "stopReason": "end_turn", **numbers}),
        content_type="application/vnd.amazon.eventstream",
        before=(_frame("messageStart", {"role": "assistant"}),),
        texts=[
            _frame(
                "contentBlockDelta",
                {"contentBlockIndex": 0, "delta": {"text": word}, "p": "abcdefghijklmnop"},
            )
            for word in _WORDS
        ],
        after=(
            _frame("contentBlockStop", {"contentBlockIndex": 0}),
            _frame("messageStop", {"stopReason": "end_turn"}),
            _frame("metadata", numbers),
        ),
    )


def _frame(kind: str, payload: Mapping[str, Any]) -> bytes:
    """Write one frame of AWS' event stream."""
    names = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack(">B", len(name))
        + name.encode()
        + struct.pack(">BH", 7, len(value))
        + value.encode()
        for name, value in names.items()
    )
    body = _json(payload)
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    frame = prelude + struct.pack(">I", crc32(prelude)) + headers + body
    return frame + struct.pack(">I", crc32(frame))


FORMATS: Mapping[str, Canned] = {
    "openai": _openai(),
    "ollama": _ollama(),
    "anthropic": _anthropic(),
    "bedrock": _bedrock(),
}
