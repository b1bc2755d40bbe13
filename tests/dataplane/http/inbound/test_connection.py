"""Connections of callers over real sockets, on both loops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.answer import Answer, StreamAnswer
from dataplane.body import read_body
from dataplane.errors import RequestRejected
from dataplane.http.inbound.connection import MAX_BUFFERED_BYTES
from dataplane.http.inbound.request import SMALL_REST_BYTES, Request
from dataplane.server import Handler, Listener

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CLOSE = b"Connection: close\r\n\r\n"
LIMIT = 1_000_000


def error_body(status: int, message: str) -> bytes:
    return json.dumps({"status": status, "message": message}).encode()


async def echo(request: Request) -> Answer:
    """Say what came: target, version, body."""
    try:
        body = await read_body(request, LIMIT)
    except RequestRejected as rejection:
        return Answer(rejection.status, {}, str(rejection).encode())
    return Answer(200, {"x-target": request.target}, body)


async def ignore(_request: Request) -> Answer:
    """Answer without a look at the body."""
    return Answer(404, {}, b"no")


@asynccontextmanager
async def serving(
    handler: Handler = echo, *, max_connections: int = 100
) -> AsyncIterator[Listener]:
    listener = Listener(handler, error_body, max_connections=max_connections)
    listener.address = await listener.start("127.0.0.1", 0)  # type: ignore[attr-defined]
    try:
        yield listener
    finally:
        async with asyncio.timeout(10):
            await listener.close()
    assert not listener._connections


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer with a length."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            line, *lines = head.strip().split("\r\n")
            headers = dict(each.split(": ", 1) for each in lines)
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(line.split()[1]), headers, body

    async def rest(self) -> bytes:
        """Read until the end."""
        async with asyncio.timeout(10):
            return await self.reader.read()


@asynccontextmanager
async def calling(listener: Listener) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection(*listener.address)  # type: ignore[attr-defined]
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def sized(body: bytes, more: bytes = b"") -> bytes:
    return POST + more + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_a_body_comes_whole_however_it_is_sent() -> None:
    body = bytes(range(256)) * 2000
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + 777]), body[at : at + 777])
        for at in range(0, len(body), 777)
    )
    async with serving() as listener, calling(listener) as caller:
        bodies = []
        for raw in (
            sized(body),
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n",
        ):
            caller.say(raw)
            bodies.append((await caller.answer())[2])
        for at in range(0, len(sized(b"hello")), 7):
            caller.say(sized(b"hello")[at : at + 7])
            await caller.writer.drain()
            await asyncio.sleep(0)
        bodies.append((await caller.answer())[2])

    assert [body, body, b"hello"] == bodies


async def test_a_body_that_was_read_at_once_stays_in_one_piece() -> None:
    body = b"x" * 200_000

    async def pieces(request: Request) -> Answer:
        return Answer(200, {}, b",".join(b"%d" % len(piece) for piece in request.chunks))

    async with serving(pieces) as listener, calling(listener) as caller:
        await until(lambda: bool(listener._connections))
        [connection] = listener._connections
        connection.data_received(sized(body) + sized(b"second") + sized(body))
        said = [(await caller.answer())[2] for _ in range(3)]

    assert [b"200000", b"6", b"200000"] == said


async def test_requests_sent_at_once_are_answered_in_order_one_at_a_time() -> None:
    running = most = 0

    async def slow(request: Request) -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        body = await read_body(request, LIMIT)
        running -= 1
        return Answer(200, {}, body)

    count = 2000
    async with serving(slow) as listener, calling(listener) as caller:
        caller.say(*(sized(b"%d" % number) for number in range(count)))
        bodies = [(await caller.answer())[2] for _ in range(count)]

    assert [b"%d" % number for number in range(count)] == bodies
    assert 1 == most


async def test_what_waits_behind_an_answer_is_bounded() -> None:
    gate = asyncio.Event()

    async def waiting(request: Request) -> Answer:
        await gate.wait()
        return await echo(request)

    async with serving(waiting) as listener, calling(listener) as caller:
        caller.say(sized(b"a") + sized(b"b" * (LIMIT - 1)) * 8)
        (connection,) = await _connections(listener, 1)
        await until(lambda: connection._reading_paused)
        held = sum(each.buffered for each in connection._parser.requests)
        gate.set()
        bodies = [(await caller.answer())[2] for _ in range(9)]

    assert [1] + [LIMIT - 1] * 8 == [len(body) for body in bodies]
    assert held < 3 * MAX_BUFFERED_BYTES


async def test_a_flood_of_small_requests_is_not_parsed_ahead() -> None:
    gate = asyncio.Event()

    async def waiting(request: Request) -> Answer:
        await gate.wait()
        return await ignore(request)

    async with serving(waiting) as listener, calling(listener) as caller:
        caller.say((GET + b"\r\n") * 20_000)
        (connection,) = await _connections(listener, 1)
        await until(lambda: connection._reading_paused)
        held = len(connection._parser.requests)
        gate.set()
        statuses = [(await caller.answer())[0] for _ in range(20_000)]

    assert {404} == set(statuses)
    assert held < 1500


async def test_a_body_that_nobody_takes_stops_the_reading() -> None:
    gate = asyncio.Event()

    async def waiting(request: Request) -> Answer:
        await gate.wait()
        return Answer(200, {}, b"%d" % len(await read_body(request, 2**25)))

    async with serving(waiting) as listener, calling(listener) as caller:
        caller.say(sized(b"a" * 2**24))
        (connection,) = await _connections(listener, 1)
        await until(lambda: connection._reading_paused)
        held = connection._current.buffered
        gate.set()
        _, _, body = await caller.answer()

    assert b"%d" % 2**24 == body
    assert MAX_BUFFERED_BYTES < held < 3 * MAX_BUFFERED_BYTES


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
)
async def test_too_large_a_body_is_answered_before_it_is_sent(framing: bytes) -> None:
    async with serving() as listener, calling(listener) as caller:
        caller.say(POST + framing)
        if b"chunked" in framing:
            caller.say(b"10000000\r\n", b"a" * (LIMIT + 1))
        status, headers, _ = await caller.answer()
        # Sending on does no harm: nothing is reset before the answer is read.
        caller.say(b"a" * 10_000)
        rest = await caller.rest()

    assert (413, "close", b"") == (status, headers["connection"], rest)


async def test_a_small_body_that_nobody_wants_is_read_and_the_connection_kept() -> None:
    async with serving(ignore) as listener, calling(listener) as caller:
        caller.say(POST + b"Content-Length: 5\r\n\r\n")
        first = await caller.answer()
        caller.say(b"hello" + GET + b"\r\n")
        second = await caller.answer()

    assert (404, 404) == (first[0], second[0])
    assert "connection" not in first[1]


async def test_a_large_body_that_nobody_wants_ends_the_connection() -> None:
    async with serving(ignore) as listener, calling(listener) as caller:
        caller.say(POST + b"Content-Length: %d\r\n\r\n" % (SMALL_REST_BYTES + 1))
        status, headers, _ = await caller.answer()
        rest = await caller.rest()

    assert (404, "close", b"") == (status, headers["connection"], rest)


async def test_a_body_is_asked_for_when_it_is_wanted() -> None:
    async with serving() as listener, calling(listener) as caller:
        caller.say(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        interim = await caller.reader.readuntil(b"\r\n\r\n")
        caller.say(b"hel")
        caller.say(b"lo")
        status, _, body = await caller.answer()

    assert b"HTTP/1.1 100 Continue\r\n\r\n" == interim
    assert (200, b"hello") == (status, body)


@pytest.mark.parametrize("length", [5, 100_000_000])
async def test_a_body_that_is_not_wanted_is_not_asked_for(length: int) -> None:
    handler = echo if length > LIMIT else ignore
    async with serving(handler) as listener, calling(listener) as caller:
        caller.say(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
        status, headers, _ = await caller.answer()

    assert (413 if length > LIMIT else 404, "close") == (status, headers["connection"])


async def test_a_body_that_was_not_waited_for_needs_no_word() -> None:
    async with serving() as listener, calling(listener) as caller:
        caller.say(sized(b"hello", b"Expect: 100-continue\r\n"))
        status, _, body = await caller.answer()

    assert (200, b"hello") == (status, body)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (GET + b"Host: secret\r\n\r\n", 400),
        (POST + b"Expect: secret\r\n\r\n", 417),
        (GET + b"X: " + b"secret" * 10_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"secret" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ],
)
async def test_what_is_no_request_is_answered_without_its_words(raw: bytes, status: int) -> None:
    async with serving() as listener, calling(listener) as caller:
        caller.say(raw)
        got, headers, body = await caller.answer()
        rest = await caller.rest()

    assert (status, status, b"") == (got, json.loads(body)["status"], rest)
    assert ("application/json", "close") == (headers["content-type"], headers["connection"])
    assert b"secret" not in body


async def test_requests_before_what_is_none_are_answered_first() -> None:
    async with serving() as listener, calling(listener) as caller:
        caller.say(sized(b"one"), sized(b"two"), b"nonsense\r\n\r\n")
        answers = [await caller.answer() for _ in range(3)]

    assert [200, 200, 400] == [status for status, _, _ in answers]


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"2\r\n{}\r\nzz\r\n"])
async def test_a_body_that_breaks_is_told_to_its_handler(chunks: bytes) -> None:
    async with serving() as listener, calling(listener) as caller:
        caller.say(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        at_once = await caller.answer()
    async with serving() as listener, calling(listener) as caller:
        caller.say(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        (connection,) = await _connections(listener, 1)
        await until(lambda: connection._news is not None)
        caller.say(chunks)
        later = await caller.answer()

    assert (400, 400) == (at_once[0], later[0])
    assert "close" == at_once[1]["connection"] == later[1]["connection"]


@pytest.mark.parametrize(
    "upgrade",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    ],
)
async def test_another_protocol_is_not_taken_up(upgrade: bytes) -> None:
    async with serving() as listener, calling(listener) as caller:
        caller.say(sized(b"one", upgrade))
        first = await caller.answer()
        caller.say(sized(b"two"))
        second = await caller.answer()

    assert (200, b"one", b"two") == (first[0], first[2], second[2])


@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_a_caller_that_leaves_cancels_its_handler(how: str) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def forever(_request: Request) -> Answer:
        started.set()
        try:
            return await asyncio.Future()
        finally:
            cancelled.set()

    async with serving(forever) as listener, calling(listener) as caller:
        caller.say(GET + b"\r\n")
        await started.wait()
        if how == "close":
            caller.writer.close()
        elif how == "reset":
            caller.writer.transport.abort()
        else:
            caller.writer.write_eof()
        async with asyncio.timeout(10):
            await cancelled.wait()
            await until(lambda: not listener._connections)


@pytest.mark.parametrize("how", ["leaves", "is told to"])
async def test_what_a_handler_does_to_clean_up_is_not_cancelled(how: str) -> None:
    started, tidy = asyncio.Event(), asyncio.Event()

    async def careful(_request: Request) -> Answer:
        started.set()
        try:
            return await asyncio.Future()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            tidy.set()

    async with serving(careful) as listener, calling(listener) as caller:
        caller.say(GET + b"\r\n")
        await started.wait()
        if how == "leaves":
            caller.writer.close()
        else:
            await listener.close()
        async with asyncio.timeout(10):
            await tidy.wait()


async def test_a_body_behind_a_flood_is_read_when_its_turn_comes() -> None:
    flood = (GET + b"\r\n") * 5000
    async with serving() as listener, calling(listener) as caller:
        caller.say(flood + POST + b"Content-Length: 5\r\n\r\n")
        for _ in range(5000):
            await caller.answer()
        caller.say(b"hello")
        status, _, body = await caller.answer()

    assert (200, b"hello") == (status, body)


async def test_a_caller_that_leaves_in_the_middle_of_its_body_cancels_its_handler() -> None:
    cancelled = asyncio.Event()

    async def reading(request: Request) -> Answer:
        try:
            return await echo(request)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(reading) as listener, calling(listener) as caller:
        caller.say(POST + b"Content-Length: 5\r\n\r\nhe")
        (connection,) = await _connections(listener, 1)
        await until(lambda: connection._news is not None)
        task = connection._task
        caller.writer.close()
        await until(lambda: not listener._connections)
        await until(task.done)

    assert cancelled.is_set()


async def test_a_caller_that_does_not_read_holds_its_writer_only() -> None:
    async def large(_request: Request) -> Answer:
        return Answer(200, {}, b"a" * 2**24)

    async with serving(large) as listener, calling(listener) as idle, calling(listener) as caller:
        idle.say(GET + b"\r\n")
        await until(lambda: any(each._drained for each in listener._connections))
        caller.say(GET + b"\r\n")
        _, _, quick = await caller.answer()
        _, _, late = await idle.answer()

    assert 2**24 == len(quick) == len(late)


async def test_stopping_closes_what_is_idle_and_lets_the_rest_finish() -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    async def gated(request: Request) -> Answer:
        started.set()
        await gate.wait()
        return await echo(request)

    async with serving(gated) as listener, calling(listener) as idle, calling(listener) as busy:
        busy.say(sized(b"one"), sized(b"two"))
        await started.wait()
        await _connections(listener, 2)
        listener.stop_accepting()
        nothing = await idle.rest()
        gate.set()
        status, headers, body = await busy.answer()
        rest = await busy.rest()
        with pytest.raises(OSError, match=r"refused|reset|Connect"):
            await asyncio.open_connection(*listener.address)  # type: ignore[attr-defined]

    assert (b"", b"") == (nothing, rest)
    assert (200, "close", b"one") == (status, headers["connection"], body)


async def test_closing_cancels_what_runs_and_leaves_nobody_waiting() -> None:
    cancelled = asyncio.Event()
    started = asyncio.Event()

    async def endless(request: Request) -> StreamAnswer:
        answer = StreamAnswer({})
        await answer.prepare(request)
        started.set()
        try:
            while True:
                await answer.write(b"a" * 65536)
        finally:
            cancelled.set()

    async with serving(endless) as listener, calling(listener) as caller:
        caller.say(GET + b"\r\n")
        await started.wait()
        await listener.close()

    assert cancelled.is_set()


async def test_one_connection_too_many_is_closed_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(max_connections=1) as listener, calling(listener) as first:
        await _connections(listener, 1)
        async with calling(listener) as second:
            nothing = await second.rest()
        first.say(sized(b"one"))
        status, _, _ = await first.answer()

    assert (b"", 200) == (nothing, status)
    assert "more than 1 connections" in caplog.text


async def test_what_nobody_expected_is_a_500_without_a_word_of_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(_request: Request) -> Answer:
        raise ValueError("boom")

    async with serving(broken) as listener, calling(listener) as caller:
        caller.say(sized(b"secret"))
        status, headers, body = await caller.answer()
        rest = await caller.rest()

    assert (500, "close", b"") == (status, headers["connection"], rest)
    assert "unexpected error in the sidecar" == json.loads(body)["message"]
    assert [logging.ERROR] == [
        each.levelno for each in caplog.records if each.name == "switchgear.server"
    ]
    assert "secret" not in caplog.text


async def test_what_nobody_expected_in_a_stream_breaks_it_off() -> None:
    async def broken(request: Request) -> StreamAnswer:
        answer = StreamAnswer({})
        await answer.prepare(request)
        await answer.write(b"one")
        raise ValueError("boom")

    async with serving(broken) as listener, calling(listener) as caller:
        caller.say(GET + b"\r\n")
        with contextlib.suppress(ConnectionError):
            raw = await caller.rest()
            assert not raw.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "encoding", [b"br", b"zstd", b"gzip, gzip", b"compress"], ids=lambda name: name.decode()
)
async def test_a_coding_that_we_do_not_know_is_a_415(encoding: bytes) -> None:
    async with serving() as listener, calling(listener) as caller:
        caller.say(sized(b"{}", b"Content-Encoding: %b\r\n" % encoding))
        status, _, _ = await caller.answer()

    assert 415 == status


async def _connections(listener: Listener, count: int) -> list:
    await until(lambda: len(listener._connections) == count)
    return list(listener._connections)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    parts=st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from(
                [
                    GET,
                    POST,
                    b"\r\n",
                    sized(b"{}"),
                    b"Content-Length: 3\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"2\r\n{}\r\n",
                    b"0\r\n\r\n",
                    b"Connection: close\r\n",
                    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
                    b"Expect: 100-continue\r\n",
                    b"a" * 20_000,
                ]
            ),
        ),
        max_size=8,
    ),
    quietly=st.booleans(),
)
async def test_any_bytes_end_in_an_answer_or_a_close(parts: list[bytes], *, quietly: bool) -> None:
    """Whatever was said, after the end of the caller's half nothing is left."""
    handler: Callable[[Request], Awaitable[Answer]] = ignore if quietly else echo
    async with serving(handler) as listener, calling(listener) as caller:
        for part in parts:
            caller.say(part)
            await asyncio.sleep(0)
        with contextlib.suppress(OSError):
            caller.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            raw = await caller.rest()
            assert raw == b"" or raw.startswith(b"HTTP/1.1 ")
        await until(lambda: not listener._connections)
