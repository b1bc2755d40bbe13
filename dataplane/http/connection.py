"""One connection to an upstream: a request is written, its answer is read, and so on.

Both directions are independent, since an upstream may answer before it has read everything. A body
is written as fast as the upstream takes it; an answer is read as fast as the caller takes it.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol, cast

from dataplane.errors import UpstreamFailed
from dataplane.http.answer import AnswerParser, MalformedError, TruncatedError
from dataplane.http.failures import (
    ExpiredError,
    closed_before_answer,
    closed_in_answer,
    malformed,
)
from dataplane.http.head import Origin

MAX_BUFFERED_BYTES: Final = 256 * 1024
"""Of an answer that nobody takes; reading stops above it. One read may come on top."""

PIECE_BYTES: Final = 256 * 1024
"""A body is written in pieces of this size, the next when the last has mostly left."""

_COPY_BYTES: Final = 32 * 1024
"""Up to this, head and body are made one piece: that costs less than what writing two does."""

_PIECES_PER_TURN: Final = 4
"""Then the loop has its turn, even if the network takes it all at once."""


class Watcher(Protocol):
    """Who counts connections."""

    def opened(self, connection: Connection) -> None:
        """Count one."""
        ...

    def lost(self, connection: Connection) -> None:
        """Forget one that has ended, for whatever reason."""
        ...


class Connection(asyncio.Protocol):
    """A connection. Whoever takes it has it alone until it is given back or aborted."""

    __slots__ = (
        "_busy",
        "_failure",
        "_loop",
        "_parser",
        "_reading_paused",
        "_rest",
        "_timer",
        "_timer_s",
        "_transport",
        "_until_s",
        "_waiter",
        "_watcher",
        "_writing_paused",
        "origin",
    )

    def __init__(self, origin: Origin, loop: asyncio.AbstractEventLoop, watcher: Watcher) -> None:
        """Wait to be connected."""
        self.origin = origin
        self._loop = loop
        self._watcher = watcher
        self._transport: asyncio.Transport | None = None
        self._parser = AnswerParser()
        self._busy = False
        self._failure: UpstreamFailed | None = None
        self._waiter: asyncio.Future[None] | None = None
        # One timer for all waits. It is set when it must fire sooner than it would, and looks by
        # itself what is waited for when it fires: most waits touch no timer at all.
        self._until_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._rest: memoryview | None = None
        self._writing_paused = False
        self._reading_paused = False

    # What its user does.

    @property
    def untouched(self) -> bool:
        """Whether no byte of an answer to the last request has come."""
        return not self._parser.touched

    @property
    def is_open(self) -> bool:
        """Whether it can be written to, as far as one knows."""
        return self._transport is not None and not self._transport.is_closing()

    def start(self, method: str, head: bytes, body: bytes) -> None:
        """Begin an exchange. The body goes out while the answer is waited for."""
        self._busy = True
        self._failure = None
        self._parser.begin(method)
        if self._transport is None or self._transport.is_closing():
            self._failure = closed_before_answer()
        elif len(body) <= _COPY_BYTES:
            self._transport.write(head + body if body else head)
        elif len(body) <= PIECE_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head)
            self._rest = memoryview(body)
            self._write_on()

    async def head(self, until_s: float = math.inf) -> tuple[int, dict[str, str]]:
        """Wait for status and headers until a time of the loop.

        Raises UpstreamFailed, or ExpiredError when the time has come.
        """
        parser = self._parser
        while not parser.head_done:
            if self._failure is not None:
                raise self._failure
            await self._news(until_s)
        return parser.status, parser.headers

    def whole(self) -> bytes | None:
        """Take the body if all of it has come and it is small, else None."""
        parser = self._parser
        if not parser.done or len(parser.chunks) != 1 or self._reading_paused:
            return None
        chunks, parser.chunks, parser.buffered = parser.chunks, [], 0
        return chunks[0]

    async def chunk(self, until_s: float = math.inf) -> bytes:
        """Wait for the next bytes of the body; empty at its end. Raises as `head` does."""
        parser = self._parser
        while not parser.chunks:
            if parser.done:
                return b""
            if self._failure is not None:
                raise self._failure
            await self._news(until_s)
        data = parser.take()
        if self._reading_paused:
            self._resume_reading()
        return data

    def end(self) -> bool:
        """End the exchange. Tell whether another may follow; if not, the connection is closed."""
        parser = self._parser
        if parser.done and parser.reusable and self._rest is None and self.is_open:
            self._busy = False
            parser.take()
            if self._reading_paused:
                self._resume_reading()
            return True
        self.abort()
        return False

    def abort(self) -> None:
        """Close it at once, and forget what was not sent."""
        self._rest = None
        if self._busy and not self._parser.done and self._failure is None:
            # An end that we make is not that of a body that lasts until the end.
            self._failure = self._closed()
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        if self._transport is not None:
            self._transport.close()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the upstream."""
        self._transport = cast("asyncio.Transport", transport)
        self._watcher.opened(self)

    def data_received(self, data: bytes) -> None:
        """Read on; bytes that nobody has asked for end the connection."""
        if not self._busy:
            self.abort()
            return
        parser = self._parser
        try:
            parser.feed(data)
        except MalformedError as error:
            self._fail(malformed(), error)
            self.abort()
            return
        if parser.buffered > MAX_BUFFERED_BYTES and not self._reading_paused and not parser.done:
            assert self._transport is not None
            self._transport.pause_reading()
            self._reading_paused = True
        if parser.head_done:
            self._tell()

    def eof_received(self) -> None:
        """Read the end; the loop closes the connection after it."""
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so to who waits."""
        self._transport = None
        self._rest = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_s = math.inf
        if exc is None:
            self._ended()
        elif not self._parser.done:
            self._fail(self._closed(), exc)
        self._parser.close()
        self._watcher.lost(self)

    def pause_writing(self) -> None:
        """Stop until the upstream has taken something."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Write on."""
        self._writing_paused = False
        self._write_on()

    # Inside.

    def _write_on(self) -> None:
        for _ in range(_PIECES_PER_TURN):
            rest = self._rest
            if rest is None or self._writing_paused or self._transport is None:
                return
            # Before the write, which may pause or even end the connection.
            self._rest = rest[PIECE_BYTES:] if len(rest) > PIECE_BYTES else None
            self._transport.write(rest[:PIECE_BYTES])
        self._loop.call_soon(self._write_on)

    def _resume_reading(self) -> None:
        self._reading_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _ended(self) -> None:
        if not self._busy or self._failure is not None:
            self._tell()
            return
        try:
            self._parser.end()
        except TruncatedError as error:
            self._fail(self._closed(), error)
        else:
            self._tell()

    def _closed(self) -> UpstreamFailed:
        return closed_in_answer() if self._parser.head_done else closed_before_answer()

    def _fail(self, failure: UpstreamFailed, cause: Exception) -> None:
        """Keep the first failure, for who reads up to it."""
        if self._failure is None:
            failure.__cause__ = cause
            self._failure = failure
        self._tell()

    def _news(self, until_s: float) -> asyncio.Future[None]:
        """Give what is done when something has come, or has failed; with ExpiredError if late."""
        assert self._waiter is None or self._waiter.done(), "a connection is read by one caller"
        self._until_s = until_s
        if until_s < self._timer_s:
            self._set_timer(until_s)
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _set_timer(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = at_s
        self._timer = self._loop.call_at(at_s, self._expire)

    def _expire(self) -> None:
        """End a wait whose time has come; else come back when it will have."""
        self._timer = None
        self._timer_s = math.inf
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._loop.time() < self._until_s:
            self._set_timer(self._until_s)
        else:
            waiter.set_exception(ExpiredError())

    def _tell(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
