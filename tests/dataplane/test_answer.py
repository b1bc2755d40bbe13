"""Answers on the wire, to callers of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from dataplane.answer import Answer, StreamAnswer
from dataplane.http.inbound.request import Request
from dataplane.server import Listener

Handler = Callable[[Request], Awaitable[Answer | StreamAnswer]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[str, int]]:
    listener = Listener(handler, lambda _status, _message: b"{}", max_connections=100)
    address = await listener.start("127.0.0.1", 0)
    try:
        yield address
    finally:
        await listener.close()


async def talk(address: tuple[str, int], *requests: bytes) -> bytes:
    """Send requests on one connection, and read until it ends."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"".join(requests))
    writer.write_eof() if not requests[-1].endswith(b"\r\n\r\n") else None
    raw = b""
    async with asyncio.timeout(5):
        while data := await reader.read(65536):
            raw += data
    writer.close()
    return raw


def get(version: str = "1.1", method: str = "GET", connection: str = "close") -> bytes:
    line = f"{method} / HTTP/{version}\r\nHost: a\r\n"
    return (line + (f"Connection: {connection}\r\n" if connection else "") + "\r\n").encode()


async def whole(_request: Request) -> Answer:
    return Answer(200, {"content-type": "text/plain"}, b"hello")


async def streamed(request: Request) -> StreamAnswer:
    answer = StreamAnswer({"content-type": "text/plain"})
    await answer.prepare(request)
    for piece in (b"one", b"two"):
        await answer.write(piece)
    return answer


async def test_a_whole_answer() -> None:
    async with serving(whole) as address:
        raw = await talk(address, get())

    head, body = raw.split(b"\r\n\r\n")
    assert b"hello" == body
    assert [
        b"HTTP/1.1 200 OK",
        b"content-type: text/plain",
        b"connection: close",
        b"content-length: 5",
    ] == head.split(b"\r\n")


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with serving(whole) as address:
        raw = await talk(address, get(connection=""), get(connection=""), get())

    assert 3 == raw.count(b"hello")
    assert 1 == raw.count(b"connection: close")


async def test_head_gets_the_length_and_no_body() -> None:
    async with serving(whole) as address:
        raw = await talk(address, get(method="HEAD"))

    assert raw.endswith(b"content-length: 5\r\n\r\n")


@pytest.mark.parametrize(
    ("connection", "kept"), [("close", False), ("", False), ("keep-alive", True)]
)
async def test_http_1_0_keeps_a_connection_only_if_it_asks(connection: str, *, kept: bool) -> None:
    requests = [get("1.0", connection=connection)] + ([get("1.0")] if kept else [])
    async with serving(whole) as address:
        raw = await talk(address, *requests)

    assert len(requests) == raw.count(b"hello")
    assert kept == (b"connection: keep-alive" in raw)


async def test_a_stream_is_chunked() -> None:
    async with serving(streamed) as address:
        raw = await talk(address, get())

    head, body = raw.split(b"\r\n\r\n", 1)
    assert b"transfer-encoding: chunked" in head
    assert b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n" == body


async def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    async with serving(streamed) as address:
        raw = await talk(address, get("1.0", connection="keep-alive"))

    head, body = raw.split(b"\r\n\r\n", 1)
    assert (b"onetwo", False) == (body, b"chunked" in head)
    assert b"connection: close" in head


async def test_after_a_stream_the_connection_serves_on() -> None:
    async with serving(streamed) as address:
        raw = await talk(address, get(connection=""), get())

    assert 2 == raw.count(b"0\r\n\r\n")


async def test_a_large_body_comes_whole() -> None:
    body = bytes(range(256)) * 4096

    async def large(_request: Request) -> Answer:
        return Answer(200, {}, body)

    async with serving(large) as address:
        raw = await talk(address, get())

    assert body == raw.split(b"\r\n\r\n", 1)[1]


async def test_a_slow_reader_holds_the_writer_back() -> None:
    written = 0

    async def endless(request: Request) -> StreamAnswer:
        nonlocal written
        answer = StreamAnswer({})
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65536)
            written += 1

    async with serving(endless) as address:
        reader, writer = await asyncio.open_connection(*address, limit=1024)
        writer.write(get())
        await reader.read(1)
        before = -1
        async with asyncio.timeout(10):
            while written != before:
                before = written
                await asyncio.sleep(0.05)
        writer.transport.abort()

    assert written < 1000


async def test_writing_to_a_caller_who_left_is_a_connection_error() -> None:
    failed = asyncio.Event()
    gone = asyncio.Event()

    async def late(request: Request) -> StreamAnswer:
        answer = StreamAnswer({})
        await answer.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        gone.set()
        with pytest.raises(ConnectionError):
            await answer.write(b"x")
        failed.set()
        return answer

    async with serving(late) as address:
        _, writer = await asyncio.open_connection(*address)
        writer.write(get())
        async with asyncio.timeout(5):
            await failed.wait()
        writer.close()

    assert gone.is_set()
