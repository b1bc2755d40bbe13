"""Times until which an answer is waited for: one timer a connection, which looks what is waited for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from controlplane.table.schema import Timeouts
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.http.connect import Names
from dataplane.http.connection import Connection
from dataplane.http.failures import ExpiredError
from dataplane.http.head import Origin
from dataplane.limits import Limits
from dataplane.provider import Call
from tests.dataplane.http.opened import opened, post, whole
from tests.raw import head, raw_server

CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Upstream:
    """Says one thing to each request when it may, and stays."""

    def __init__(self, says: bytes = b"") -> None:
        self.says = says
        self.go = asyncio.Event()
        self.go.set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await head(reader):
            await self.go.wait()
            writer.write(self.says)


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.02


async def test_a_head_that_does_not_come_in_time_closes_the_connection() -> None:
    async with raw_server(Upstream().talk) as url, opened() as client:
        with pytest.raises(ExpiredError):
            await client.send(post(url), 5, soon())
        async with asyncio.timeout(5):
            while client.pool.open:
                await asyncio.sleep(0)


async def test_a_silence_in_a_body_is_no_end_of_it() -> None:
    async with raw_server(Upstream(CHUNK).talk) as url, opened() as client:
        answer = await client.send(post(url), 5)
        assert b"{}" == await answer.chunk(soon())
        with pytest.raises(ExpiredError):
            await answer.chunk(soon())
        answer.release()


async def test_a_time_of_an_earlier_wait_does_not_end_a_later_one() -> None:
    upstream = Upstream(WHOLE)
    async with raw_server(upstream.talk) as url, opened() as client:
        first_by_s = soon()
        assert b"{}" == await whole(await client.send(post(url), 5, first_by_s))
        upstream.go.clear()
        sending = asyncio.create_task(client.send(post(url), 5, first_by_s + 60))
        while asyncio.get_running_loop().time() < first_by_s + 0.01:
            await asyncio.sleep(0.005)
        upstream.go.set()
        assert b"{}" == await whole(await sending)


async def test_a_connection_that_is_being_made_ends_at_the_time_too() -> None:
    go = asyncio.Event()
    loop = asyncio.get_running_loop()

    def lookup(_host: str, _port: int) -> list[object]:
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(5)
        return []

    names = Names(lookup, time.monotonic)  # type: ignore[arg-type]  # never gives an address
    async with opened(names=names) as client:
        with pytest.raises(ExpiredError):
            await client.send(post("http://a"), 5, soon())
        go.set()


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time stands still, and that counts the timers that are set."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.set = 0

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, *how: Any, **more: Any) -> asyncio.TimerHandle:
        self.set += 1
        return super().call_at(when, *how, **more)


class Wire(asyncio.Transport):
    """Takes everything."""

    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return False


class Watched:
    def opened(self, connection: Connection) -> None:
        pass

    def lost(self, connection: Connection) -> None:
        pass


def test_many_exchanges_set_one_timer() -> None:
    loop = Clock()

    async def exchanges() -> None:
        connection = Connection(Origin(False, "a", 80), loop, Watched())
        connection.connection_made(Wire())
        for number in range(50):
            loop.now_s = float(number)
            connection.start("POST", b"", b"")
            waiting = loop.create_task(connection.head(number + 60.0))
            await asyncio.sleep(0)
            connection.data_received(WHOLE)
            assert 200 == (await waiting)[0]
            assert connection.end()
        connection.connection_lost(None)

    loop.run_until_complete(exchanges())
    loop.close()
    assert 1 == loop.set


@pytest.mark.parametrize(
    ("head_s", "deadline_s", "total_s", "error", "words"),
    [
        (1, 109, 9, ErrorClass.TIMEOUT_FIRST_BYTE, "no answer within 1 s"),
        (9, 101, 9, ErrorClass.TIMEOUT_TOTAL, "the request's deadline has passed"),
        (9, 109, 1, ErrorClass.TIMEOUT_TOTAL, "the attempt took over 1 s"),
    ],
)
def test_the_earliest_limit_of_a_head_names_itself(
    head_s: float, deadline_s: float, total_s: float, error: ErrorClass, words: str
) -> None:
    limits = _limits(head_s=head_s, deadline_s=deadline_s, total_s=total_s)
    assert 101.0 == limits.head_by_s
    assert (error, words) == _told(limits.no_head("answer"))


def test_a_silence_is_told_from_the_end_of_the_attempt() -> None:
    limits = _limits(head_s=1, deadline_s=200, total_s=10)
    assert 107.0 == limits.idle_by_s(102.0)
    assert (ErrorClass.TIMEOUT_IDLE, "the answer stood still for 5 s") == _told(
        limits.stood_still(107.0, "answer")
    )
    assert 110.0 == limits.idle_by_s(108.0)
    assert (ErrorClass.TIMEOUT_TOTAL, "the attempt took over 10 s") == _told(
        limits.stood_still(110.0, "answer")
    )


def _limits(*, head_s: float, deadline_s: float, total_s: float) -> Limits:
    timeouts = Timeouts(connect_s=2, first_event_s=3, answer_s=4, idle_s=5, total_s=total_s)
    call = Call(model="m", timeouts=timeouts, deadline_s=deadline_s, begin=dict)
    return Limits(call, 100.0, head_s)


def _told(failure: UpstreamFailed) -> tuple[ErrorClass, str]:
    return failure.error, failure.message
