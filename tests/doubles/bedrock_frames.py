"""Writes AWS' event stream frames, for the double and for tests of the reader.

Source: AWS' event stream encoding, as botocore.eventstream reads it, which is its judge.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

Event = tuple[str, Mapping[str, Any]]


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame, all of whose headers are strings."""
    written = b"".join(
        bytes([len(name.encode())])
        + name.encode()
        + b"\x07"
        + struct.pack(">H", len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(written) + len(payload), len(written))
    body = prelude + struct.pack(">I", crc32(prelude)) + written + payload
    return body + struct.pack(">I", crc32(body))


def event(kind: str, body: Mapping[str, Any]) -> bytes:
    return frame(
        {
            ":event-type": kind,
            ":content-type": "application/json",
            ":message-type": "event",
        },
        json.dumps(body).encode(),
    )


def exception(kind: str, message: str, **more: Any) -> bytes:
    return frame(
        {
            ":exception-type": kind,
            ":content-type": "application/json",
            ":message-type": "exception",
        },
        json.dumps({"message": message, **more}).encode(),
    )


def error(code: str, message: str) -> bytes:
    return frame({":message-type": "error", ":error-code": code, ":error-message": message}, b"")


def corrupted(whole: bytes, at: int = -1) -> bytes:
    """The frame with one byte changed."""
    changed = bytearray(whole)
    changed[at] ^= 0x01
    return bytes(changed)


def events_of(
    blocks: Sequence[Mapping[str, Any]],
    *,
    stop: str,
    usage: Mapping[str, int] | None,
    latency_ms: int = 7,
) -> list[Event]:
    """What ConverseStream sends for an answer of these blocks; texts come in words."""
    events: list[Event] = [("messageStart", {"role": "assistant", "p": "abcdef"})]
    for index, block in enumerate(blocks):
        at = {"contentBlockIndex": index}

        def delta(piece: Mapping[str, Any], at: Mapping[str, int] = at) -> Event:
            return "contentBlockDelta", {**at, "delta": piece, "p": "abc"}

        match block:
            case {"text": str(text)}:
                events += [delta({"text": piece}) for piece in _pieces(text)]
            case {"reasoningContent": {"reasoningText": {"text": str(text), **rest}}}:
                events += [delta({"reasoningContent": {"text": piece}}) for piece in _pieces(text)]
                if "signature" in rest:
                    events.append(delta({"reasoningContent": {"signature": rest["signature"]}}))
            case {"reasoningContent": {"redactedContent": data}}:
                events.append(delta({"reasoningContent": {"redactedContent": data}}))
            case {"toolUse": {"input": given, **use}}:
                events.append(("contentBlockStart", {**at, "start": {"toolUse": use}}))
                events.append(delta({"toolUse": {"input": ""}}))
                if given:
                    events += [
                        delta({"toolUse": {"input": piece}}) for piece in _halves(json.dumps(given))
                    ]
            case _:
                raise AssertionError(block)
        events.append(("contentBlockStop", dict(at)))
    events.append(("messageStop", {"stopReason": stop}))
    if usage is not None:
        events.append(("metadata", {"usage": usage, "metrics": {"latencyMs": latency_ms}}))
    return events


def stream_of(events: Sequence[Event]) -> bytes:
    return b"".join(event(kind, body) for kind, body in events)


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [text[:middle], text[middle:]]
