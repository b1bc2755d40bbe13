"""Parses answers, over llhttp, and refuses what breaks the protocol.

llhttp itself is strict: it takes no second length, no length beside chunks, no folded header, no
bare CR or LF, no chunk size that is more than digits. What it lets pass and we do not is here:
codings other than chunks, versions other than 1.0 and 1.1, heads without an end.

What comes out does not depend on how the bytes were cut.
"""

from __future__ import annotations

from typing import Final

import httptools  # noqa: TID251 - this is the door

from dataplane.http.names import name_of

MAX_LINE_BYTES: Final = 32 * 1024
"""Of one header, and of a status line's reason."""

MAX_HEADERS: Final = 128

MAX_HEAD_BYTES: Final = 128 * 1024
"""Of all headers together."""

MAX_QUIET_BYTES: Final = 256 * 1024
"""What may come without a byte of a body in it: interim answers, a head, trailers, extensions."""

_NO_BODY: Final = frozenset({204, 304})


class MalformedError(Exception):
    """The bytes are no answer of HTTP/1.1."""


class TruncatedError(Exception):
    """The bytes ended before the answer did."""


class _AfterEndError(Exception):
    """More came after the answer."""


class AnswerParser:
    """Reads the answers of one connection, one after the other.

    touched: whether a byte has come. head_done: whether status and headers are there. done: whether
    the answer is whole. reusable: whether another may follow it; holds once it is done.
    headers: names in lower case, repeated ones joined. chunks: of the body, for the taking.
    """

    __slots__ = (
        "_bodyless",
        "_head_bytes",
        "_header_count",
        "_is_1_1",
        "_parser",
        "_quiet",
        "_reason",
        "_until_close",
        "buffered",
        "chunks",
        "done",
        "head_done",
        "headers",
        "reusable",
        "status",
        "touched",
    )

    def __init__(self) -> None:
        """Be ready for the first answer."""
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self.begin("")

    def begin(self, method: str) -> None:
        """Be ready for the answer to a request."""
        self._bodyless = method == "HEAD"
        self._until_close = False
        self._quiet = 0
        self._head_bytes = self._header_count = self._reason = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.buffered = 0
        self.touched = self.head_done = self.done = self.reusable = False
        self._is_1_1 = False

    def feed(self, data: bytes) -> None:
        """Read on. Raises MalformedError; what was read before that holds."""
        if not self.touched:
            self.touched = True
            # llhttp makes a text of two numbers of it, which takes longer than looking.
            self._is_1_1 = data.startswith(b"HTTP/1.1 ")
        if self.done:
            self.reusable = False
            return
        self._quiet += len(data)
        try:
            if self._parser is not None:
                self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._stop(error)
        if self._quiet > MAX_QUIET_BYTES:
            self._stop(None)

    def end(self) -> None:
        """Read the end of the connection. Raises TruncatedError if the answer needs more."""
        self.reusable = False
        if self._until_close and not self.done:
            self.done = True
        if not self.done:
            raise TruncatedError

    def close(self) -> None:
        """Let go of llhttp, which holds on to this object; what has come can still be taken."""
        self._parser = None

    def take(self) -> bytes:
        """Take what has come of the body."""
        chunks = self.chunks
        self.chunks = []
        self.buffered = 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """Begin an interim or the final answer."""
        if self.done:
            raise _AfterEndError

    def on_status(self, reason: bytes) -> None:
        """Note a piece of the reason."""
        self._reason += len(reason)
        if self._reason > MAX_LINE_BYTES:
            raise MalformedError

    def on_header(self, raw_name: bytes, raw_value: bytes) -> None:
        """Take a header; those after the body are trailers, and dropped."""
        size = len(raw_name) + len(raw_value)
        self._header_count += 1
        self._head_bytes += size
        if (
            size > MAX_LINE_BYTES
            or self._header_count > MAX_HEADERS
            or self._head_bytes > MAX_HEAD_BYTES
        ):
            raise MalformedError
        if self.head_done:
            return
        name = name_of(raw_name)
        value = raw_value.decode("latin-1").rstrip(" \t")
        headers = self.headers
        headers[name] = f"{headers[name]}, {value}" if name in headers else value

    def on_headers_complete(self) -> None:
        """Judge the head."""
        parser = self._parser
        assert parser is not None
        headers = self.headers
        version = "1.1" if self._is_1_1 else parser.get_http_version()
        # Another head may follow, which was not looked at.
        self._is_1_1 = False
        status = parser.get_status_code()
        if (version not in ("1.1", "1.0")) or status < 100 or status == 101:
            raise MalformedError
        if status < 200:
            return
        coding = headers.get("transfer-encoding")
        if coding is not None and (coding.lower() != "chunked" or version == "1.0"):
            raise MalformedError
        self.status = status
        self.head_done = True
        self._until_close = (
            coding is None and "content-length" not in headers and status not in _NO_BODY
        )
        self.reusable = not self._until_close and parser.should_keep_alive()
        if self._bodyless:
            # llhttp would take what follows for the body, if anything is said of a length.
            self.done = True
            self.reusable = False
            raise _AfterEndError

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._quiet = 0
        self.chunks.append(data)
        self.buffered += len(data)

    def on_message_complete(self) -> None:
        """End the answer; an interim one is forgotten."""
        if self.head_done:
            self.done = True
        else:
            self.headers = {}
            self._head_bytes = self._header_count = self._reason = 0

    def _stop(self, error: Exception | None) -> None:
        """Read no further. That is a failure unless the answer was whole by then."""
        if not self.done:
            raise MalformedError from error
        self.reusable = False
