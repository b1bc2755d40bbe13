"""How long a caller may be silent, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dataplane.answer import Answer
from dataplane.http.inbound.connection import HEAD_S, KEEPALIVE_S, LINGER_S, Connection
from dataplane.http.inbound.request import Request

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"
SMALL = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


class Loop:
    """The running loop, but for its time and its timers."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now_s = 1000.0
        self.timers: list[Timer] = []
        self.create_future = self._loop.create_future
        self.create_task = self._loop.create_task

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(at_s, callback)
        self.timers.append(timer)
        return timer

    async def sleep(self, seconds: float) -> None:
        """Let time pass, and what waits for it happen."""
        self.now_s += seconds
        for timer in list(self.timers):
            if not timer.cancelled and timer.at_s <= self.now_s:
                self.timers.remove(timer)
                timer.callback()
        await settle()


class Timer:
    def __init__(self, at_s: float, callback: Callable[[], None]) -> None:
        self.at_s = at_s
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.written += b"<eof>"


class Owner:
    """Answers at once, unless a gate is shut."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def handler(self) -> Callable[[Request], Awaitable[Answer]]:
        return self._answer

    async def _answer(self, _request: Request) -> Answer:
        await self.gate.wait()
        return Answer(200, {}, b"ok")

    def refusal(self, status: int) -> Answer:
        return Answer(status, {}, b"no", close=True)

    def opened(self, connection: Connection) -> None:
        pass

    def lost(self, connection: Connection) -> None:
        pass


class Line:
    """A connection with everything around it."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.owner = Owner()
        self.wire = Wire()
        self.connection = Connection(self.owner, self.loop)  # type: ignore[arg-type]
        self.connection.connection_made(self.wire)

    async def say(self, data: bytes) -> None:
        self.connection.data_received(data)
        await settle()


@pytest.fixture
async def line() -> Any:
    made = Line()
    yield made
    made.connection.connection_lost(None)
    await settle()
    assert all(timer.cancelled for timer in made.loop.timers)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_never_says_a_word_is_closed(line: Line) -> None:
    await line.loop.sleep(KEEPALIVE_S - 1)
    before = line.wire.closed
    await line.loop.sleep(1)

    assert (False, True) == (before, line.wire.closed)


async def test_a_head_must_be_whole_in_time_however_it_drips(line: Line) -> None:
    drip = iter(GET[:-4] + b"a" * 100)
    while not line.wire.closed:
        await line.say(bytes([next(drip)]))
        await line.loop.sleep(1)

    assert HEAD_S == line.loop.now_s - 1000.0


async def test_a_head_has_its_whole_time_after_a_silence(line: Line) -> None:
    await line.say(GET)
    await line.loop.sleep(KEEPALIVE_S - 1)
    await line.say(GET[:5])
    await line.loop.sleep(HEAD_S - 1)
    await line.say(GET[5:])

    assert 2 == line.wire.written.count(b"200 OK")
    assert not line.wire.closed


async def test_half_a_head_behind_a_request_has_its_time_too(line: Line) -> None:
    await line.say(GET + GET[:5])
    await line.loop.sleep(HEAD_S - 1)
    before = line.wire.closed
    await line.loop.sleep(1)

    assert (False, True) == (before, line.wire.closed)


async def test_a_silence_after_an_answer_ends_the_connection(line: Line) -> None:
    for _ in range(3):
        await line.say(GET)
        await line.loop.sleep(KEEPALIVE_S - 1)
    before = line.wire.closed
    await line.loop.sleep(1)

    assert (False, True, 3) == (before, line.wire.closed, line.wire.written.count(b"200 OK"))


async def test_an_answer_may_take_as_long_as_it_takes(line: Line) -> None:
    line.owner.gate.clear()
    await line.say(GET)
    await line.loop.sleep(KEEPALIVE_S * 10)
    await line.loop.sleep(KEEPALIVE_S * 10)
    before = line.wire.closed
    line.owner.gate.set()
    await settle()

    assert not before
    assert b"200 OK" in line.wire.written


async def test_requests_after_each_other_share_a_timer(line: Line) -> None:
    for _ in range(100):
        await line.say(GET)

    assert 1 == len(line.loop.timers)


async def test_the_rest_of_a_large_body_is_waited_for_a_moment(line: Line) -> None:
    await line.say(LARGE)
    written = line.wire.written
    await line.say(b"a" * 1000)
    await line.loop.sleep(LINGER_S - 0.5)
    before = line.wire.closed
    await line.loop.sleep(0.5)

    assert written.endswith(b"ok<eof>")
    assert (False, True) == (before, line.wire.closed)


async def test_the_rest_of_a_small_body_is_waited_for_a_moment(line: Line) -> None:
    await line.say(SMALL)
    await line.loop.sleep(LINGER_S - 0.5)
    await line.say(b"hello")
    await line.loop.sleep(LINGER_S)
    kept = not line.wire.closed
    await line.say(SMALL)
    await line.loop.sleep(LINGER_S)

    assert (True, True) == (kept, line.wire.closed)
    assert b"eof" not in line.wire.written


async def test_after_a_refusal_the_rest_is_waited_for_a_moment(line: Line) -> None:
    await line.say(b"nonsense\r\n\r\n")
    await line.say(b"more")
    await line.loop.sleep(LINGER_S - 0.5)
    before = line.wire.closed
    await line.loop.sleep(0.5)

    assert line.wire.written.endswith(b"no<eof>")
    assert (False, True) == (before, line.wire.closed)
