"""The client's door: what the network does becomes one exception, with the right class."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpRequest
from dataplane.transport import HttpTransport, read_all
from tests.raw import head, raw_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def post(url: str, body: bytes = b"{}") -> HttpRequest:
    return HttpRequest(
        method="POST",
        url=f"{url}/v1/chat/completions",
        headers={"content-type": "application/json", "accept-encoding": "identity"},
        body=body,
    )


async def failure_of(request: HttpRequest, connect_s: float = 2.0) -> UpstreamFailed:
    async def exchange(transport: HttpTransport) -> None:
        response = await transport.send(request, connect_s=connect_s)
        try:
            await read_all(response)
        finally:
            response.release()

    async with HttpTransport() as transport:
        with pytest.raises(UpstreamFailed) as caught:
            await exchange(transport)
    return caught.value


async def test_an_answer_comes_with_status_headers_and_body() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 429 No\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\n{}")

    async with raw_server(talk) as url, HttpTransport() as transport:
        response = await transport.send(post(url), connect_s=2)
        body = await read_all(response)
        response.release()

    assert (429, "1, 2", b"{}") == (response.status, response.headers["x-a"], body)


async def test_only_the_headers_given_are_sent() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head(reader))
        writer.write(OK)

    async with raw_server(talk) as url, HttpTransport() as transport:
        response = await transport.send(post(url), connect_s=2)
        await read_all(response)
        response.release()

    names = {
        line.split(b":")[0].lower() for line in seen[0].split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    }
    assert {b"host", b"content-type", b"accept-encoding", b"content-length"} == names


async def test_a_refused_connection() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        failure = await failure_of(post(f"http://127.0.0.1:{closed.getsockname()[1]}"))

    assert (ErrorClass.CONNECTION, "connection.refused") == (failure.error, failure.error_type)


async def test_a_name_that_does_not_exist() -> None:
    failure = await failure_of(post("http://no-such-host.invalid"))

    assert (ErrorClass.UNREACHABLE, "connection.dns") == (failure.error, failure.error_type)


async def test_a_server_that_speaks_no_tls() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"HTTP/1.1 400 No\r\n\r\n")

    async with raw_server(talk) as url:
        failure = await failure_of(post(url.replace("http:", "https:")))

    assert (ErrorClass.UNREACHABLE, "connection.tls") == (failure.error, failure.error_type)


async def test_a_connection_that_cannot_be_made_in_time() -> None:
    # A listener whose queue is full neither accepts nor refuses: its SYNs get no answer.
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        failure = await failure_of(post(f"http://127.0.0.1:{port}"), connect_s=0.2)

    assert ErrorClass.TIMEOUT_CONNECT is failure.error


@pytest.mark.parametrize(
    ("answer", "error", "error_type"),
    [
        (b"", ErrorClass.CONNECTION, "connection.reset"),
        (b"HTTP/1.1 200", ErrorClass.CONNECTION, "connection.reset"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ErrorClass.BAD_RESPONSE, "response.malformed"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            ErrorClass.CONNECTION,
            "connection.reset",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            ErrorClass.CONNECTION,
            "connection.reset",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
            ErrorClass.BAD_RESPONSE,
            "response.malformed",
        ),
        (
            b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
            ErrorClass.BAD_RESPONSE,
            "response.malformed",
        ),
    ],
)
async def test_servers_that_break_the_protocol(
    answer: bytes, error: ErrorClass, error_type: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(answer)
        await writer.drain()

    async with raw_server(talk) as url:
        failure = await failure_of(post(url))

    assert (error, error_type) == (failure.error, failure.error_type)


async def test_redirects_are_not_followed() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head(reader))
        writer.write(b"HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(talk) as url, HttpTransport() as transport:
        response = await transport.send(post(url), connect_s=2)
        await read_all(response)
        response.release()

    assert (307, 1) == (response.status, len(seen))


async def test_a_pooled_connection_that_has_died_is_replaced_without_a_failure() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await head(reader)
        writer.write(OK)
        if connections == 1:
            # The second request on this connection is read, and the connection then closed.
            await head(reader)

    async with raw_server(talk) as url, HttpTransport() as transport:
        for _ in range(2):
            response = await transport.send(post(url), connect_s=2)
            assert b"{}" == await read_all(response)
            response.release()

    assert 2 == connections


async def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await head(reader)

    async with raw_server(talk) as url:
        failure = await failure_of(post(url))

    assert (ErrorClass.CONNECTION, 1) == (failure.error, connections)


async def test_a_connection_is_kept_only_after_the_whole_answer() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await head(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
                await writer.drain()

    async with raw_server(talk) as url, HttpTransport() as transport:
        for _ in range(2):
            response = await transport.send(post(url), connect_s=2)
            await response.chunk()
            response.release()

    assert 2 == connections


async def test_cancelling_a_request_closes_its_connection() -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await head(reader)
        arrived.set()
        await reader.read()
        left.set()

    async with raw_server(talk) as url, HttpTransport() as transport:
        sending = asyncio.create_task(transport.send(post(url), connect_s=2))
        await arrived.wait()
        sending.cancel()
        await asyncio.wait_for(left.wait(), timeout=5)
        await asyncio.gather(sending, return_exceptions=True)


async def test_only_an_answer_that_is_whole_is_taken_as_one() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await reader.read(1)
        writer.write(b"0\r\n\r\n")

    async with raw_server(talk) as url, HttpTransport() as transport:
        response = await transport.send(post(url), connect_s=2)
        whole = response.whole()
        first = await response.chunk()
        response.release()

    assert (None, b"a") == (whole, first)


async def test_a_small_answer_that_came_with_its_head_is_taken_as_one() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read(1)

    async with raw_server(talk) as url, HttpTransport() as transport:
        response = await transport.send(post(url), connect_s=2)
        whole = response.whole()
        after = await response.chunk()
        response.release()

    assert (b"{}", b"") == (whole, after)


async def test_an_answer_beyond_the_limit_is_refused() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde")

    async with raw_server(talk) as url, HttpTransport() as transport:
        response = await transport.send(post(url), connect_s=2)
        with pytest.raises(UpstreamFailed) as caught:
            await read_all(response, limit=4)
        response.release()

    assert ErrorClass.BAD_RESPONSE is caught.value.error


@pytest.mark.parametrize("url", ["http://", "nonsense", "http://host:99999/"])
async def test_a_url_that_is_none_is_a_configuration_error(url: str) -> None:
    failure = await failure_of(HttpRequest(method="GET", url=url, headers={}))

    assert ErrorClass.CONFIG is failure.error


async def test_a_header_that_cannot_be_sent_is_a_configuration_error() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read())

    async with raw_server(talk) as url:
        failure = await failure_of(HttpRequest(method="GET", url=url, headers={"x": "a\r\nb: c"}))

    assert not any(seen)
    assert ErrorClass.CONFIG is failure.error


def test_messages_name_neither_host_nor_user() -> None:
    async def main() -> str:
        return (await failure_of(post("http://user:secret@no-such-host.invalid"))).message

    assert "the name of the provider's host cannot be resolved" == asyncio.run(main())
