"""As much of HTTP/1.1 as a benchmark needs: where a message ends, and what it says."""

from __future__ import annotations

import re

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


def chat_request(body_bytes: int) -> bytes:
    """Build a unary chat request for the model `bench` with a body of `body_bytes` bytes."""
    before = b'{"model":"bench","temperature":0.2,"messages":[{"role":"user","content":"'
    after = b'"}]}'
    words = b"what carries current and breaks it when it must " * (body_bytes // 40 + 1)
    body = before + words[: body_bytes - len(before) - len(after)] + after
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    return head + body
