"""Exchanges over real sockets: what is kept, what is sent again, what ends a connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.http.client import Client
from dataplane.http.connection import MAX_BUFFERED_BYTES
from dataplane.http.idle import IdlePool
from tests.dataplane.http.opened import ask, opened, post, whole
from tests.raw import Conversation, head, raw_server

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"


class Upstream:
    """Says one answer to each request, and keeps its connections; counts both."""

    def __init__(self, answer: bytes = LENGTH) -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.requests.append(await head(reader))
                writer.write(self.answer)
                await writer.drain()


def says(answer: bytes) -> Conversation:
    """One answer, and the end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(answer)
        await writer.drain()

    return talk


async def failure(call: Awaitable[object]) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await call
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_connection_is_used_again_after_a_whole_answer() -> None:
    upstream = Upstream()
    async with raw_server(upstream.talk) as url, opened() as client:
        bodies = [await ask(client, post(url)) for _ in range(3)]
        open_now, idle_now = client.pool.open, client.pool.idle

    assert ([b"{}"] * 3, 1, 1, 1) == (bodies, upstream.connections, open_now, idle_now)
    assert 3 == len(upstream.requests)


@pytest.mark.parametrize(
    "answer",
    [
        LENGTH + b"x",
        LENGTH + LENGTH,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_a_connection_is_not_used_again_after_an_answer_with_more_or_a_close(
    answer: bytes,
) -> None:
    upstream = Upstream(answer)
    async with raw_server(upstream.talk) as url, opened() as client:
        bodies = [await ask(client, post(url)) for _ in range(2)]

    assert ([b"{}", b"{}"], 2) == (bodies, upstream.connections)


async def test_bytes_that_nobody_asked_for_end_an_idle_connection() -> None:
    more = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(LENGTH)
        await more.wait()
        writer.write(LENGTH)
        await reader.read()

    async with raw_server(talk) as url, opened() as client:
        await ask(client, post(url))
        assert 1 == client.pool.idle
        more.set()
        await until(lambda: client.pool.open == 0)

        assert 0 == client.pool.idle


async def test_an_idle_connection_that_the_server_closes_is_forgotten() -> None:
    async with raw_server(says(LENGTH)) as url, opened() as client:
        await ask(client, post(url))
        await until(lambda: client.pool.open == 0)

        assert 0 == client.pool.idle


async def test_a_dead_connection_is_replaced_once_by_a_fresh_one() -> None:
    """Even if the pool has more of its kind, which may be as dead."""
    connections = 0
    begun, go = asyncio.Semaphore(0), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        fresh = connections > 3
        await head(reader)
        begun.release()
        if not fresh:
            await go.wait()
        writer.write(LENGTH)
        # A second request is read, and the connection then closed without a word.
        await head(reader)

    async with raw_server(talk) as url, opened() as client:
        calls = [asyncio.create_task(ask(client, post(url))) for _ in range(3)]
        for _ in calls:
            await begun.acquire()
        go.set()
        await asyncio.gather(*calls)
        assert 3 == client.pool.idle

        assert b"{}" == await ask(client, post(url))
        assert 4 == connections


async def test_a_dead_connection_is_not_replaced_if_anything_of_an_answer_came() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await head(reader)
        writer.write(LENGTH)
        await head(reader)
        writer.write(b"HTTP/1.1 100 Go\r\n\r\n")

    async with raw_server(talk) as url, opened() as client:
        await ask(client, post(url))
        caught = await failure(ask(client, post(url)))

    assert (ErrorClass.CONNECTION, "connection.reset", 1) == (
        caught.error,
        caught.error_type,
        connections,
    )


async def test_a_fresh_connection_that_dies_after_a_replay_is_a_failure() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await head(reader)
        if connections == 1:
            writer.write(LENGTH)
            await head(reader)

    async with raw_server(talk) as url, opened() as client:
        await ask(client, post(url))
        caught = await failure(ask(client, post(url)))

    assert (ErrorClass.CONNECTION, 2) == (caught.error, connections)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (CHUNKED + b"1\r\na\r\n1\r\nb\r\n0\r\nX: y\r\n\r\n", b"ab"),
        (UNTIL_CLOSE + b"ab", b"ab"),
        (b"HTTP/1.1 204 No\r\n\r\n", b""),
        (b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Go\r\nLink: a\r\n\r\n" + LENGTH, b"{}"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
            b"\x1f\x8b",
        ),
    ],
)
async def test_bodies_of_all_kinds_byte_by_byte(answer: bytes, body: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        for at in range(len(answer)):
            writer.write(answer[at : at + 1])
            await asyncio.sleep(0)

    async with raw_server(talk) as url, opened() as client:
        got = await ask(client, post(url))

    assert body == got


async def test_an_answer_to_head_has_no_body() -> None:
    upstream = Upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    async with raw_server(upstream.talk) as url, opened() as client:
        bodies = [await ask(client, post(url, b"", "HEAD")) for _ in range(2)]

    assert ([b"", b""], 2) == (bodies, upstream.connections)


@pytest.mark.parametrize(
    ("rest", "error", "before"),
    [
        (b"", ErrorClass.CONNECTION, b""),
        (b"2\r\n{}\r\n", ErrorClass.CONNECTION, b"{}"),
        (b"2\r\n{}\r\nzz\r\n", ErrorClass.BAD_RESPONSE, b"{}"),
    ],
)
async def test_what_came_before_a_failure_is_given_first(
    rest: bytes, error: ErrorClass, before: bytes
) -> None:
    async with raw_server(says(CHUNKED + rest)) as url, opened() as client:
        answer = await client.send(post(url), 5)
        got = []

        async def read_on() -> None:
            while True:
                got.append(await answer.chunk())

        caught = await failure(read_on())
        answer.release()

    assert (error, before) == (caught.error, b"".join(got))


async def test_a_reset_in_a_body_that_ends_with_the_connection_is_a_failure() -> None:
    go = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(UNTIL_CLOSE + b"ab")
        await go.wait()
        writer.transport.abort()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with raw_server(talk) as url, opened() as client:
        answer = await client.send(post(url), 5)
        first = await answer.chunk()
        go.set()
        caught = await failure(answer.chunk())
        answer.release()

    assert (b"ab", ErrorClass.CONNECTION) == (first, caught.error)


async def test_closing_the_client_does_not_look_like_the_end_of_such_a_body() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(UNTIL_CLOSE + b"ab")
        await reader.read()

    async with raw_server(talk) as url, opened() as client:
        answer = await client.send(post(url), 5)
        await answer.chunk()
        reading = asyncio.create_task(answer.chunk())
        await asyncio.sleep(0)
        await client.aclose()

        assert ErrorClass.CONNECTION is (await failure(reading)).error


async def test_a_released_answer_gives_nothing_and_touches_no_later_one() -> None:
    upstream = Upstream()
    async with raw_server(upstream.talk) as url, opened() as client:
        first = await client.send(post(url), 5)
        await whole(first)
        second = await client.send(post(url), 5)
        first.release()

        assert first.whole() is None
        assert ErrorClass.CONNECTION is (await failure(first.chunk())).error
        assert b"{}" == await whole(second)
    assert 1 == upstream.connections


async def test_an_unread_answer_that_is_whole_leaves_nothing_for_the_next() -> None:
    upstream = Upstream()
    async with raw_server(upstream.talk) as url, opened() as client:
        (await client.send(post(url), 5)).release()

        assert b"{}" == await ask(client, post(url))
    assert 1 == upstream.connections


@pytest.mark.parametrize("when", ["head", "body"])
async def test_a_caller_that_leaves_closes_the_connection_at_once(when: str) -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        if when == "body":
            writer.write(CHUNKED)
        arrived.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        left.set()

    async with raw_server(talk) as url, opened() as client:
        head_came = asyncio.Event()

        async def call() -> None:
            answer = await client.send(post(url), 5)
            head_came.set()
            await whole(answer)

        asking = asyncio.create_task(call())
        await (head_came if when == "body" else arrived).wait()
        asking.cancel()
        await asyncio.wait([asking])
        async with asyncio.timeout(5):
            await left.wait()

        assert asking.cancelled()
        await until(lambda: client.pool.open == 0)


async def test_a_caller_that_leaves_while_its_body_is_written_ends_the_writing() -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await go.wait()
        with contextlib.suppress(ConnectionError):
            while await reader.read(2**20):
                pass
        left.set()

    go = asyncio.Event()
    async with raw_server(talk) as url, opened() as client:
        asking = asyncio.create_task(ask(client, post(url, bytes(30_000_000))))
        await arrived.wait()
        asking.cancel()
        await asyncio.wait([asking])
        await until(lambda: client.pool.open == 0)
        go.set()
        async with asyncio.timeout(5):
            await left.wait()


async def test_a_body_of_30_mb_arrives_whole_and_the_loop_stays_free() -> None:
    upstream = Upstream()
    body = bytes(range(256)) * 120_000
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with raw_server(upstream.talk) as url, opened() as client:
        watching = asyncio.create_task(watch())
        bodies = [await ask(client, post(url, body)) for _ in range(2)]
        watching.cancel()

    assert ([b"{}", b"{}"], 1) == (bodies, upstream.connections)
    assert all(request.endswith(b"\r\n\r\n" + body) for request in upstream.requests)
    # A turn of the loop writes at most 1 MiB.
    assert turns >= 2 * len(body) // 2**20


async def test_an_answer_may_come_before_the_body_was_taken() -> None:
    """A refusal need not wait, and the connection is not used again."""
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\n{}")
        await done.wait()

    done = asyncio.Event()
    async with raw_server(talk) as url, opened() as client:
        for _ in range(2):
            answer = await client.send(post(url, bytes(30_000_000)), 5)

            assert (413, b"{}") == (answer.status, await whole(answer))
        await until(lambda: client.pool.open == 0)
        done.set()
    assert 2 == connections


async def test_a_body_is_written_on_after_an_early_head() -> None:
    size = 30_000_000

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        got = await reader.readexactly(size)
        writer.write(b"%08d" % len(got))
        await reader.read()

    async with raw_server(talk) as url, opened() as client:
        got = await ask(client, post(url, bytes(size)))

        assert (b"%08d" % size, 1) == (got, client.pool.idle)


async def test_an_answer_is_read_as_fast_as_it_is_taken() -> None:
    size = 30_000_000
    written = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            writer.write(bytes(100_000))
            await writer.drain()
            written += 100_000
        await reader.read()

    async with raw_server(talk) as url, opened() as client:
        answer = await client.send(post(url), 5)
        connection = answer._connection
        assert connection is not None
        await until(lambda: connection._reading_paused)
        # What is under way is in the kernel's buffers; of ours, there is one read above the limit.
        held = len(await answer.chunk())

        assert written < size
        assert MAX_BUFFERED_BYTES < held <= 2 * MAX_BUFFERED_BYTES
        assert size - held == len(await whole(answer))
        assert 1 == client.pool.idle


async def test_500_calls_at_once_each_get_their_own_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                body = (await head(reader)).partition(b"\r\n\r\n")[2]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with raw_server(talk) as url, opened() as client:

        async def call(number: int) -> bool:
            body = b"%d" % number * 50
            return await ask(client, post(url, body), 30) == body

        for _ in range(2):
            good = await asyncio.gather(*(call(number) for number in range(500)))

            assert 500 == sum(good)
        assert client.pool.open <= 500
        await until(lambda: client.pool.open == client.pool.idle)


async def test_no_more_connections_wait_than_are_allowed() -> None:
    upstream = Upstream()
    pool = IdlePool(asyncio.get_running_loop(), max_idle=3)
    async with raw_server(upstream.talk) as url, opened(pool=pool) as client:
        answers = [await client.send(post(url), 5) for _ in range(10)]
        assert (10, 0) == (pool.open, pool.idle)
        for answer in answers:
            await whole(answer)

        assert 3 == pool.idle
        await until(lambda: pool.open == 3)


async def test_an_ipv6_address_is_connected_to() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head(reader))
        writer.write(LENGTH)
        writer.close()

    try:
        server = await asyncio.start_server(talk, "::1", 0)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    port = server.sockets[0].getsockname()[1]
    async with opened() as client:
        body = await ask(client, post(f"http://[::1]:{port}"))
    server.close()

    assert b"{}" == body
    assert b"host: [::1]:%d\r\n" % port in seen[0]


async def test_the_path_is_sent_byte_for_byte() -> None:
    upstream = Upstream()
    path = "/model/eu.x%3A0/invoke%2fy//../a:b?q=%7E+z"
    async with raw_server(upstream.talk) as url, opened() as client:
        await ask(client, post(f"{url}{path}&"))

    assert upstream.requests[0].startswith(b"POST %b&/v1/x HTTP/1.1\r\n" % path.encode())


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([LENGTH, CHUNKED, UNTIL_CLOSE, b"2\r\n{}\r\n", b"0\r\n\r\n"]),
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_whatever_an_upstream_says_ends_in_an_answer_or_a_failure(
    parts: list[bytes], reuse: bool
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reuse:
            await head(reader)
            writer.write(LENGTH)
        await head(reader)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)

    async def main() -> None:
        async with asyncio.timeout(20), raw_server(talk) as url, opened() as client:
            for _ in range(3):
                with contextlib.suppress(UpstreamFailed):
                    await ask(client, post(url))
            await until(lambda: client.pool.open == client.pool.idle)

    asyncio.run(main())


async def test_a_closed_client_opens_no_connection_that_stays() -> None:
    upstream = Upstream()
    async with raw_server(upstream.talk) as url:
        client = Client()
        await client.aclose()
        caught = await failure(ask(client, post(url)))
        await until(lambda: client.pool.open == 0)

    assert ErrorClass.CONNECTION is caught.error
