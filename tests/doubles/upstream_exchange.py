"""One request to a scripted upstream, and the means to answer it: well, badly or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any

from dataplane.codec import encode


@dataclass(slots=True, kw_only=True)
class Seen:
    """A request that came whole. Header names are lower case; `body` is {} if it is not JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    body: Mapping[str, Any]


class Exchange:
    """One request and the writing of its answer. `keep` tells whether the connection goes on."""

    def __init__(self, request: Seen, transport: asyncio.Transport) -> None:
        self.request = request
        self.keep = True
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._transport.write(data)

    def head(self, code: int, headers: Mapping[str, str]) -> None:
        """Write a head."""
        lines = [f"HTTP/1.1 {code} {responses.get(code, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.write("\r\n".join([*lines, "", ""]).encode())

    def whole(
        self,
        body: bytes,
        *,
        code: int = 200,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Write a whole answer with its length."""
        fixed = {"content-type": kind, "content-length": str(len(body))}
        self.head(code, fixed | dict(headers or {}))
        self.write(body)

    def open_stream(self, headers: Mapping[str, str] | None = None) -> None:
        """Write the head of a stream of events."""
        fixed = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        self.head(200, fixed | dict(headers or {}))

    def event(self, value: Any) -> None:
        """Write one event, and a chunk for it. Text goes out as it is, anything else as JSON."""
        text = value.encode() if isinstance(value, str) else encode(value)
        data = b"data: " + text + b"\n\n"
        self.write(b"%x\r\n%s\r\n" % (len(data), data))

    def close_stream(self) -> None:
        """Write the mark that ends the chunks."""
        self.write(b"0\r\n\r\n")

    def close(self) -> None:
        """Close the connection after what was written."""
        self.keep = False
        self._transport.close()

    def reset(self) -> None:
        """Break the connection at once."""
        self.keep = False
        self._transport.abort()


Behaviour = Callable[[Exchange], Awaitable[None]]
