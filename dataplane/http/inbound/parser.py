"""Parses requests, over llhttp, and refuses what breaks the protocol.

llhttp itself is strict: it takes no second length, no length beside chunks, no folded header, no
bare CR or LF, no chunk size that is more than digits. What it lets pass and we do not is here:
codings other than chunks, versions other than 1.0 and 1.1, heads without an end, no host or two.

What comes out does not depend on how the bytes were cut.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NoReturn

import httptools  # noqa: TID251 - this is the door

from dataplane.http.inbound.request import HTTP_1_0, HTTP_1_1, Request
from dataplane.http.names import name_of

MAX_LINE_BYTES: Final = 16 * 1024
"""Of one header, and of a request's target."""

MAX_HEADERS: Final = 128

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of the target and all headers together."""

MAX_QUIET_BYTES: Final = 128 * 1024
"""What may come without a byte of a body or the end of a request: a head, trailers, extensions."""

SLICE_BYTES: Final = 16 * 1024
"""So much is parsed at once where nobody knows what is in it."""

_HEAD_END: Final = b"\r\n\r\n"

BAD_REQUEST: Final = 400
TARGET_TOO_LONG: Final = 414
EXPECTATION_FAILED: Final = 417
HEAD_TOO_LARGE: Final = 431

_VERSIONS: Final[dict[str, tuple[int, int]]] = {"1.1": HTTP_1_1, "1.0": HTTP_1_0}


class RequestParser:
    """Reads the requests of one connection, one after the other.

    requests: those whose head is there, the first come first, for the taking; the bodies of all but
    the last are whole. partial: whether a request has begun that is not whole. refused: the status
    that says why no more is read; 0 as long as all is well.
    """

    __slots__ = (
        "_head_bytes",
        "_header_count",
        "_headers",
        "_last",
        "_parser",
        "_quiet",
        "_replaying",
        "_request",
        "_target",
        "_upgrading",
        "_why",
        "partial",
        "refused",
        "requests",
    )

    def __init__(self) -> None:
        """Be ready for the first request."""
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self.requests: deque[Request] = deque()
        self.refused = 0
        self.partial = False
        self._request: Request | None = None
        # None outside a head.
        self._headers: dict[str, str] | None = None
        self._target = b""
        self._head_bytes = self._header_count = self._quiet = 0
        self._last = self._upgrading = self._replaying = False
        self._why = BAD_REQUEST

    def feed(self, data: bytes | memoryview) -> None:
        """Read on, as far as nothing is refused and another request may follow."""
        if self.refused or self._last:
            return
        self._quiet += len(data)
        try:
            if self._parser is not None:
                self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._stop()
        else:
            if self._quiet > MAX_QUIET_BYTES:
                self._why = HEAD_TOO_LARGE
                self._stop()

    def buffered(self) -> int:
        """Give how many bytes of the body that is being read wait to be taken."""
        return 0 if self._request is None else self._request.buffered

    def portion(self, data: memoryview) -> int:
        """Give how much to feed before it is seen whether too many requests wait.

        That is as far as a head, or as the rest of a body whose length is known: in one piece it
        need not be put together. Else it is SLICE_BYTES.
        """
        request = self._request
        if request is not None and request.content_length is not None:
            return request.content_length - request.received
        end = bytes(data[:SLICE_BYTES]).find(_HEAD_END)
        return SLICE_BYTES if end < 0 else end + len(_HEAD_END)

    def close(self) -> None:
        """Let go of llhttp, which holds on to this object."""
        self._last = True
        self.requests.clear()
        self._parser = None

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._replaying:
            return
        self.partial = True
        self._headers = {}
        self._target = b""
        self._head_bytes = self._header_count = 0

    def on_url(self, piece: bytes) -> None:
        """Take a piece of the target."""
        if self._replaying:
            return
        self._target += piece
        if len(self._target) > MAX_LINE_BYTES:
            self._refuse(TARGET_TOO_LONG)

    def on_header(self, raw_name: bytes, raw_value: bytes) -> None:
        """Take a header; those after the body are trailers, and dropped."""
        size = len(raw_name) + len(raw_value)
        self._header_count = count = self._header_count + 1
        self._head_bytes = total = self._head_bytes + size
        if size > MAX_LINE_BYTES or count > MAX_HEADERS or total > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        headers = self._headers
        if headers is None:
            return
        name = name_of(raw_name)
        try:
            value = raw_value.decode().rstrip(" \t")
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1").rstrip(" \t")
        if name in headers:
            if name == "host":
                self._refuse(BAD_REQUEST)
            value = f"{headers[name]}, {value}"
        headers[name] = value

    def on_headers_complete(self) -> None:
        """Judge the head."""
        if self._replaying:
            return
        parser = self._parser
        assert parser is not None
        headers = self._headers
        assert headers is not None
        self._headers = None
        version = _VERSIONS.get(parser.get_http_version())
        method = parser.get_method().decode()
        if version is None or method == "CONNECT":
            self._refuse(BAD_REQUEST)
        if self._head_bytes + len(self._target) > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        length = headers.get("content-length")
        coding = headers.get("transfer-encoding")
        if coding is not None and (coding.lower() != "chunked" or version == HTTP_1_0):
            self._refuse(BAD_REQUEST)
        if "host" not in headers and version == HTTP_1_1:
            self._refuse(BAD_REQUEST)
        expects = False
        if "expect" in headers and version == HTTP_1_1:
            expects = headers["expect"].lower() == "100-continue"
            if not expects:
                self._refuse(EXPECTATION_FAILED)
        self._upgrading = parser.should_upgrade()
        self._request = Request(
            method,
            self._target.decode("ascii"),
            version,
            headers,
            int(length) if length is not None else None if coding is not None else 0,
            keep_alive=parser.should_keep_alive(),
            expects=expects,
        )
        self.requests.append(self._request)

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._quiet = 0
        request = self._request
        assert request is not None
        request.received += len(data)
        if not request.unwanted:
            request.chunks.append(data)
            request.buffered += len(data)

    def on_message_complete(self) -> None:
        """End the request."""
        if self._upgrading:
            return
        request = self._request
        assert request is not None
        request.done = True
        self._last = not request.keep_alive
        self._request = None
        self.partial = False
        self._quiet = 0

    # Inside.

    def _refuse(self, status: int) -> NoReturn:
        """Stop llhttp, and say why."""
        self._why = status
        raise _RefusedError

    def _stop(self) -> None:
        """Read no further. That is no failure if nothing was to follow."""
        if self._last:
            return
        self.refused = self._why
        if self._request is not None:
            self._request.broken = True

    def _stay(self, rest: bytes | memoryview) -> None:
        """Go on in HTTP/1.1 after a head that asks for another protocol, as servers may.

        llhttp takes what follows such a head for the other protocol. A new parser is brought to
        where the old one was by a head with the same length. Source: RFC 9110, section 7.8.
        """
        assert self._request is not None
        length = self._request.content_length
        framing = (
            b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        )
        self._upgrading = False
        self._head_bytes = self._header_count = 0
        self._parser = parser = httptools.HttpRequestParser(self)
        self._replaying = True
        parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
        self._replaying = False
        if rest:
            self.feed(rest)


class _RefusedError(Exception):
    """A callback has said why it refuses."""
