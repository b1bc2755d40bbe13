"""Through a proxy of the environment: the slow path, with the same failures as the other."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpRequest
from dataplane.transport import HttpTransport, read_all
from tests.raw import Conversation, head, raw_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FAR = "http://model.test/a%3Ab"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Proxy:
    """Says one answer to each request, and keeps its connections."""

    def __init__(self, answer: bytes = OK) -> None:
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


def request(url: str = FAR, body: bytes = b"{}", **headers: str) -> HttpRequest:
    return HttpRequest(method="POST", url=url, headers=headers, body=body)


async def ask(transport: HttpTransport, http: HttpRequest, connect_s: float = 5) -> bytes:
    response = await transport.send(http, connect_s=connect_s)
    try:
        return await read_all(response)
    finally:
        response.release()


async def failure_of(transport: HttpTransport, http: HttpRequest) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await ask(transport, http)
    return caught.value


async def test_a_proxy_of_the_environment_is_used_and_its_connection_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = Proxy()
    async with raw_server(proxy.talk) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with HttpTransport() as transport:
            bodies = [await ask(transport, request(x="y")) for _ in range(3)]

    assert ([b"{}"] * 3, 1) == (bodies, proxy.connections)
    assert proxy.requests[0].startswith(b"POST http://model.test/a%3Ab HTTP/1.1\r\n")
    assert {b"host", b"x", b"content-length"} == {
        line.split(b":")[0].lower()
        for line in proxy.requests[0].split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    }


async def test_https_asks_the_proxy_for_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head(reader))
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with raw_server(talk) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        async with HttpTransport() as transport:
            failure = await failure_of(transport, request("https://model.test/"))

    assert seen[0].startswith(b"CONNECT model.test:443 HTTP/1.1\r\n")
    assert ErrorClass.BAD_RESPONSE is failure.error


@pytest.mark.parametrize("way", ["no_proxy", "other scheme", "switched off"])
async def test_who_needs_no_proxy_is_reached_without(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    upstream = Proxy()
    monkeypatch.setenv("HTTPS_PROXY" if way == "other scheme" else "HTTP_PROXY", "http://127.0.0.9")
    if way == "no_proxy":
        monkeypatch.setenv("NO_PROXY", "model.test,127.0.0.1")
    async with (
        raw_server(upstream.talk) as url,
        HttpTransport(proxies=way != "switched off") as transport,
    ):
        assert b"{}" == await ask(transport, request(f"{url}/x"))

    assert upstream.requests[0].startswith(b"POST /x HTTP/1.1\r\n")


async def test_a_proxy_that_refuses_is_a_refused_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
        async with HttpTransport() as transport:
            failure = await failure_of(transport, request())

    assert (ErrorClass.CONNECTION, "connection.refused") == (failure.error, failure.error_type)


async def test_a_proxy_whose_name_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://no-such-proxy.invalid:3128")
    async with HttpTransport() as transport:
        failure = await failure_of(transport, request())

    assert (ErrorClass.UNREACHABLE, "connection.dns") == (failure.error, failure.error_type)


async def test_a_tunnel_to_a_server_that_speaks_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read(64)
        writer.write(b"HTTP/1.1 400 No\r\n\r\n")
        await writer.drain()

    async with raw_server(talk) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        async with HttpTransport() as transport:
            failure = await failure_of(transport, request("https://model.test/"))

    assert (ErrorClass.UNREACHABLE, "connection.tls") == (failure.error, failure.error_type)


async def test_a_proxy_that_is_not_reached_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        async with HttpTransport() as transport:
            with pytest.raises(UpstreamFailed) as caught:
                await ask(transport, request(), 0.2)

    assert ErrorClass.TIMEOUT_CONNECT is caught.value.error


@pytest.mark.parametrize(
    ("http", "error"),
    [
        (request("nonsense"), ErrorClass.CONFIG),
        (request(x="a\r\nb: c"), ErrorClass.CONFIG),
    ],
)
async def test_requests_that_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, http: HttpRequest, error: ErrorClass
) -> None:
    proxy = Proxy()
    async with raw_server(proxy.talk) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with HttpTransport() as transport:
            failure = await failure_of(transport, http)

    assert (error, []) == (failure.error, proxy.requests)


def says(answer: bytes) -> Conversation:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(answer)
        await writer.drain()

    return talk


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ErrorClass.CONNECTION),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ErrorClass.BAD_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", ErrorClass.CONNECTION),
        (CHUNKED + b"5\r\nab", ErrorClass.CONNECTION),
    ],
)
async def test_proxies_that_break_the_protocol(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, error: ErrorClass
) -> None:
    async with raw_server(says(answer)) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with HttpTransport() as transport:
            assert error is (await failure_of(transport, request())).error


async def test_a_connection_that_has_died_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await head(reader)
        writer.write(OK)
        if connections == 1:
            await head(reader)

    async with raw_server(talk) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with HttpTransport() as transport:
            bodies = [await ask(transport, request()) for _ in range(2)]

    assert ([b"{}", b"{}"], 2) == (bodies, connections)


async def test_a_proxy_that_closes_every_connection_it_kept_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go = asyncio.Semaphore(0), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        begun.release()
        await go.wait()
        writer.write(OK)
        await head(reader)

    async with raw_server(talk) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with HttpTransport() as transport:
            calls = [asyncio.create_task(ask(transport, request())) for _ in range(12)]
            for _ in calls:
                await begun.acquire()
            go.set()
            await asyncio.gather(*calls)

            assert ErrorClass.CONNECTION is (await failure_of(transport, request())).error


async def test_an_answer_that_breaks_off_is_a_failure_and_repeated_headers_are_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX: 1\r\nx: 2\r\nContent-Length: 4\r\n\r\n{}"
    async with raw_server(says(answer)) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with HttpTransport() as transport:
            response = await transport.send(request(), connect_s=5)
            first = await response.chunk()
            whole = response.whole()
            with pytest.raises(UpstreamFailed):
                await response.chunk()
            response.release()

    assert (b"{}", None, "1, 2") == (first, whole, response.headers["x"])


async def test_a_large_body_arrives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    body = bytes(range(256)) * 20_000
    async with raw_server(proxy.talk) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with HttpTransport() as transport:
            assert b"{}" == await ask(transport, request(body=body))

    assert proxy.requests[0].endswith(b"\r\n\r\n" + body)
