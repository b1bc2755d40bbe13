"""Answers on the wire: one write for a whole one, one write for each batch of a stream.

A handler may send its answer itself, by `prepare` and `write`, or leave that to the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from dataplane.http.inbound.request import HTTP_1_1, Request

_STATUS_LINES: Final[dict[int, str]] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_GONE: Final = "the caller has left"
_COPY_BYTES: Final = 32 * 1024


class Answer:
    """A whole answer. Header values are text of ours: printable, without line breaks.

    lines: headers that are written out already, each with its end.
    close: whether the connection ends with it, whatever the caller wishes.
    """

    __slots__ = ("_body", "_close", "_headers", "_lines", "keep_alive", "sent", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        lines: str = "",
        close: bool = False,
    ) -> None:
        """Write nothing yet."""
        self._lines = lines
        self.status = status
        self.keep_alive = not close
        self._headers = headers
        self._body = body
        self._close = close
        self.sent = False

    async def prepare(self, request: Request) -> None:
        """Send it, once. Raises ConnectionError if the caller has left."""
        self.send(request)
        if request.writing_paused:
            await request.drain()

    def send(self, request: Request) -> None:
        """Send it as `prepare` does, and do not wait until the caller reads."""
        if self.sent:
            return
        self.sent = request.answered = True
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError(_GONE)
        self.keep_alive = request.can_follow() and not self._close
        head = _head(request, self.status, self._headers, self._lines, keep_alive=self.keep_alive)
        body = self._body
        head += b"content-length: %d\r\n\r\n" % len(body)
        if request.method == "HEAD":
            body = b""
        # A large body is not copied only to save a write.
        if len(body) > _COPY_BYTES:
            transport.writelines((head, body))
        else:
            transport.write(head + body)

    def end(self) -> None:
        """Do nothing: `prepare` has sent it all."""


class StreamAnswer:
    """An answer that is written piece by piece, chunked; to HTTP/1.0 until the connection ends."""

    __slots__ = (
        "_chunked",
        "_close",
        "_ended",
        "_headers",
        "_lines",
        "_request",
        "keep_alive",
        "sent",
        "status",
    )

    def __init__(self, headers: Mapping[str, str], *, lines: str = "", close: bool = False) -> None:
        """Write nothing yet; the status is 200. lines: see Answer."""
        self._lines = lines
        self.status = 200
        self.keep_alive = not close
        self._headers = headers
        self._close = close
        self._chunked = True
        self._ended = False
        self._request: Request | None = None
        self.sent = False

    async def prepare(self, request: Request) -> None:
        """Send the head, once. Raises ConnectionError if the caller has left."""
        if self._request is not None:
            return
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError(_GONE)
        self._request = request
        self.sent = request.answered = True
        self._chunked = request.version >= HTTP_1_1
        self.keep_alive = request.can_follow() and self._chunked and not self._close
        head = _head(request, 200, self._headers, self._lines, keep_alive=self.keep_alive)
        transport.write(
            head + (b"transfer-encoding: chunked\r\n\r\n" if self._chunked else b"\r\n")
        )

    async def write(self, data: bytes) -> None:
        """Send a piece, and wait while the caller reads too slowly. Raises ConnectionError."""
        request = self._request
        transport = request.transport if request is not None else None
        if request is None or transport is None or transport.is_closing():
            raise ConnectionResetError(_GONE)
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        if request.writing_paused:
            await request.drain()

    def end(self) -> None:
        """End it, once. Raises ConnectionError if the caller has left."""
        request = self._request
        if self._ended or request is None:
            return
        self._ended = True
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError(_GONE)
        if self._chunked:
            transport.write(b"0\r\n\r\n")


def _head(
    request: Request, status: int, headers: Mapping[str, str], lines: str, *, keep_alive: bool
) -> bytes:
    for name, value in headers.items():
        lines += f"{name}: {value}\r\n"
    if not keep_alive:
        lines += "connection: close\r\n"
    elif request.version < HTTP_1_1:
        lines += "connection: keep-alive\r\n"
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n"
    return (line + lines).encode("latin-1", "replace")
