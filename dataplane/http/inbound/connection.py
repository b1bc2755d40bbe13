"""One connection of a caller: its requests are read, and answered one after the other.

One task answers them; it is there from the first request on. Time limits are a number that one
timer looks at when it fires: most requests touch no timer at all.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

from dataplane.http.inbound.parser import SLICE_BYTES, RequestParser
from dataplane.http.inbound.request import Answering, Request

KEEPALIVE_S: Final = 75.0
"""The longest silence between two requests, and before the first."""

HEAD_S: Final = 30.0
"""From the first byte of a request until its head must be whole."""

LINGER_S: Final = 2.0
"""How long the rest of a body that nobody wants is read, so that its sender sees the answer."""

MAX_BUFFERED_BYTES: Final = 256 * 1024
"""Of a body that nobody takes; reading stops above it. One read may come on top."""

MAX_WAITING: Final = 1
"""Requests that may wait behind the one that is answered; reading stops above it."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

log = logging.getLogger("switchgear.server")


class Owner(Protocol):
    """Whose connections they are."""

    @property
    def handler(self) -> Callable[[Request], Awaitable[Answering]]:
        """What answers a request."""
        ...

    def refusal(self, status: int) -> Answering:
        """Make the answer to what is no request, or has none."""
        ...

    def opened(self, connection: Connection) -> None:
        """Count one."""
        ...

    def lost(self, connection: Connection) -> None:
        """Forget one that has ended, for whatever reason."""
        ...


class Connection(asyncio.Protocol):
    """A connection. It ends when the caller leaves, at a silence, and when `stop` or `end` say so."""

    __slots__ = (
        "_cancelled",
        "_current",
        "_drained",
        "_in_head",
        "_loop",
        "_news",
        "_owner",
        "_parser",
        "_reading_paused",
        "_rest",
        "_stopping",
        "_task",
        "_timer",
        "_timer_s",
        "_until_s",
        "_waiter",
        "transport",
        "writing_paused",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        """Wait to be connected."""
        self._owner = owner
        self._loop = loop
        self._parser = RequestParser()
        self.transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._current: Request | None = None
        # What the task waits for: a request, or the end of a body that nobody wants; more of the
        # body; room to write.
        self._waiter: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._rest: memoryview | None = None
        self._reading_paused = False
        self.writing_paused = False
        self._stopping = False
        self._in_head = False
        self._until_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf

    # What its owner does.

    def leave(self) -> None:
        """Close it after its next answer, which says so; if it is idle, that one is waited for."""
        self._stopping = True
        if self._current is not None:
            self._current.keep_alive = False

    def stop(self) -> None:
        """Close it, at once if it is idle, else after the answer that is under way."""
        self.leave()
        if self._current is None and not self._parser.requests and self.transport is not None:
            self.transport.close()

    def end(self) -> asyncio.Task[None] | None:
        """Close it, and cancel what answers its request, which is returned."""
        if self.transport is not None:
            self.transport.close()
        if self._task is not None and self._task.cancelling():
            self._cancelled = True
        self._cancel()
        return self._task

    def abort(self) -> None:
        """Close it, and forget what was not sent."""
        if self.transport is not None:
            self.transport.abort()

    # What a request does.

    async def news(self, request: Request) -> None:
        """Wait until more of the request's body has come, or none will."""
        if request.expects and not request.received:
            request.expects = False
            if self.transport is not None:
                self.transport.write(_CONTINUE)
        self._news = self._loop.create_future()
        try:
            await self._news
        finally:
            self._news = None

    def taken(self) -> None:
        """Take note that what had come of a body was taken."""
        if self._reading_paused:
            self._resume_reading()

    async def drain(self) -> None:
        """Wait until the caller has read enough of what was written."""
        if not self.writing_paused or self.transport is None:
            return
        self._drained = self._loop.create_future()
        try:
            await self._drained
        finally:
            self._drained = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the caller."""
        self.transport = cast("asyncio.Transport", transport)
        self._limit(KEEPALIVE_S)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        parser = self._parser
        if self._rest is not None:
            self._rest = memoryview(bytes(self._rest) + data)
        elif len(data) > SLICE_BYTES:
            self._rest = memoryview(data)
            self._parse_rest()
        else:
            parser.feed(data)
        current = self._current
        if current is None:
            if parser.requests or parser.refused:
                self._wake()
            elif parser.partial and not self._in_head:
                self._in_head = True
                self._limit(HEAD_S)
            return
        if self._news is not None:
            _tell(self._news)
        if current.unwanted and current.done:
            self._wake()
        if not self._reading_paused and (
            len(parser.requests) > MAX_WAITING or parser.buffered() > MAX_BUFFERED_BYTES
        ):
            self._pause_reading()

    def eof_received(self) -> None:
        """Take it that the caller has left; the loop closes the connection after it.

        One who has only shut down its half cannot be told from one who has closed both.
        """
        self._cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what answers; nobody is there to hear it."""
        self.transport = None
        self._rest = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._cancel()
        # Whatever is waited for while cleaning up will not come.
        if self._current is not None and not self._current.done:
            self._current.broken = True
        for waiter in (self._news, self._drained):
            if waiter is not None:
                _tell(waiter)
        self._parser.close()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """Stop until the caller has read something."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Write on."""
        self.writing_paused = False
        if self._drained is not None:
            _tell(self._drained)

    # Inside.

    def _cancel(self) -> None:
        """Cancel the task, once: what it does to clean up is not to be cancelled too."""
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def _wake(self) -> None:
        self._until_s = math.inf
        if self._task is None:
            self._task = self._loop.create_task(self._serve())
        elif self._waiter is not None:
            _tell(self._waiter)

    async def _serve(self) -> None:
        """Answer requests until the connection has come to its end."""
        parser = self._parser
        task = self._task
        assert task is not None
        try:
            while True:
                if parser.requests:
                    if not await self._answer(parser.requests.popleft(), task):
                        break
                elif parser.refused:
                    await self._refuse()
                    break
                else:
                    self._in_head = parser.partial
                    self._limit(HEAD_S if self._in_head else KEEPALIVE_S)
                    self._waiter = self._loop.create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
        except ConnectionError:
            # The caller has left before its answer was out.
            self.abort()
        except asyncio.CancelledError:
            # Only `_cancel` does so, and there is no more to do. An exception would be kept by the
            # task, and with it this connection, until the cycle collector comes by.
            pass
        finally:
            if self.transport is not None:
                self.transport.close()

    async def _answer(self, request: Request, task: asyncio.Task[None]) -> bool:
        """Answer a request. Tell whether another may follow."""
        request.attach(self, task)
        if self._stopping:
            request.keep_alive = False
        self._current = request
        if self._reading_paused:
            self._resume_reading()
        try:
            answer = await self._owner.handler(request)
            if not answer.sent:
                await answer.prepare(request)
            answer.end()
        except ConnectionError:
            raise
        except Exception:
            log.exception("unexpected error while answering")
            if request.answered:
                self.abort()
                return False
            answer = self._owner.refusal(500)
            await answer.prepare(request)
        if not request.done:
            keep = answer.keep_alive
            if not await self._skip(request, half_close=not keep) or not keep:
                return False
        self._current = None
        if self._reading_paused:
            self._resume_reading()
        return answer.keep_alive and not self._stopping

    async def _refuse(self) -> None:
        """Answer what is no request."""
        request = Request.refused()
        assert self._task is not None
        request.attach(self, self._task)
        self._current = request
        await self._owner.refusal(self._parser.refused).prepare(request)
        await self._skip(request, half_close=True)

    async def _skip(self, request: Request, *, half_close: bool) -> bool:
        """Read what comes of a body that nobody wants. Tell whether it came to its end.

        A connection that is closed with bytes unread takes with it what its other side has not
        read. So first our half is closed, if this is the end, and some time is given.
        """
        request.unwanted = True
        request.take()
        if self._reading_paused:
            self._resume_reading()
        if self.transport is None:
            return False
        if half_close and self.transport.can_write_eof():
            self.transport.write_eof()
        self._waiter = self._loop.create_future()
        self._limit(LINGER_S)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._until_s = math.inf
        return request.done

    def _parse_rest(self) -> None:
        """Parse what was read, until too many requests wait; then no more is read."""
        parser = self._parser
        rest = self._rest
        while rest and len(parser.requests) <= MAX_WAITING:
            size = parser.portion(rest)
            parser.feed(rest[:size])
            rest = rest[size:]
        self._rest = rest or None
        if rest and not self._reading_paused:
            self._pause_reading()

    def _pause_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
            self._reading_paused = True

    def _resume_reading(self) -> None:
        """Read on, unless there is too much to parse or to answer first."""
        if self._rest is not None:
            self._parse_rest()
        if self._rest is not None or len(self._parser.requests) > MAX_WAITING:
            return
        self._reading_paused = False
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _limit(self, seconds: float) -> None:
        """Set the end of a wait that has just begun."""
        self._until_s = self._loop.time() + seconds
        if self._until_s < self._timer_s:
            self._set_timer(self._until_s)

    def _set_timer(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = at_s
        self._timer = self._loop.call_at(at_s, self._expire)

    def _expire(self) -> None:
        """End a wait whose time has come; else come back when it will have."""
        self._timer = None
        self._timer_s = math.inf
        if self._until_s == math.inf or self.transport is None:
            return
        if self._loop.time() < self._until_s:
            self._set_timer(self._until_s)
        elif self._current is None:
            self.transport.close()
        elif self._waiter is not None:
            _tell(self._waiter)


def _tell(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
