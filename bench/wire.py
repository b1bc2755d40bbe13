"""As much of HTTP/1.1 as a benchmark needs: where a message ends, and what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


def message_end(buffer: bytearray) -> int:
    """Return the length of the first message, 0 while it is not whole. Knows Content-Length only."""
    head = buffer.find(_HEAD_END)
    if head < 0:
        return 0
    found = _LENGTH.search(buffer, 0, head + 2)
    end = head + len(_HEAD_END) + (int(found[1]) if found else 0)
    return end if len(buffer) >= end else 0


def is_ok(buffer: bytearray) -> bool:
    """Tell whether the message that begins here is an answer of status 200."""
    return buffer.startswith(b"HTTP/1.1 200 ")


def chat_request(
    body_bytes: int,
    *,
    model: str = "bench",
    stream: bool = False,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Build a chat request with a body of `body_bytes` bytes, or of the least that it takes.

    A stream is asked to tell its usage at the end. headers: lines beside the usual ones.
    """
    options = b',"stream":true,"stream_options":{"include_usage":true}' if stream else b""
    before = b'{"model":"%s","temperature":0.2%s,"messages":[{"role":"user","content":"' % (
        model.encode(),
        options,
    )
    after = b'"}]}'
    words = b"what carries current and breaks it when it must " * (body_bytes // 40 + 1)
    body = before + words[: max(1, body_bytes - len(before) - len(after))] + after
    lines = {
        "host": "127.0.0.1",
        "user-agent": "bench",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return b"POST /v1/chat/completions HTTP/1.1\r\n" + head.encode() + b"\r\n" + body
