"""Whatever comes in gets a 4xx that names the field, reaches no provider, and harms nobody."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable

import pytest

from tests.e2e.rig import Rig, running, until
from tests.fakes import provider, table

HELLO = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


class Untouched:
    """An upstream that must never be called; it counts connections."""

    def __init__(self) -> None:
        self.connections = 0

    async def talk(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A sidecar whose only upstream must stay untouched."""
    upstream = Untouched()
    server = await asyncio.start_server(upstream.talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = table([provider("a", base_url=f"http://127.0.0.1:{port}/v1")])
    async with running(config, max_body_bytes=64 * 1024) as rig:
        yield rig
        async with rig.http.get(f"{rig.admin_url}/livez") as alive:
            assert 200 == alive.status
    server.close()
    await server.wait_closed()
    assert 0 == upstream.connections


async def post(rig: Rig, body: bytes, path: str = "/v1/chat/completions") -> tuple[int, dict]:
    headers = {"content-type": "application/json"}
    async with rig.http.post(rig.url + path, data=body, headers=headers) as response:
        assert "application/json" == response.content_type
        assert response.headers["x-request-id"] == response.headers["request-id"]
        document = json.loads(await response.read())
    assert {"message", "type", "param", "code"} <= document["error"].keys()
    return response.status, document["error"]


def chat(**changes: object) -> bytes:
    return json.dumps({**HELLO, **changes}).encode()


BAD_JSON = {
    "empty": b"",
    "not json": b"hello",
    "cut off": b'{"model": "chat"',
    "an array": b"[]",
    "a number": b"1",
    "null": b"null",
    "latin-1": b'{"model": "caf\xe9"}',
    "overlong": b'{"model": "\xc0\xaf"}',
    "lone surrogate": b'{"model": "\\ud800"}',
    "nan": b'{"model": "chat", "temperature": NaN}',
    "huge exponent": b'{"model": "chat", "temperature": 1e999}',
    "trailing": b"{} {}",
    "bom": b"\xef\xbb\xbf{}",
    "nested arrays": b"[" * 20_000 + b"]" * 20_000,
    "nested objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "gzip bytes": gzip.compress(b"{}"),
}


@pytest.mark.parametrize("name", BAD_JSON)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
async def test_what_is_no_json_object(rig: Rig, path: str, name: str) -> None:
    status, error = await post(rig, BAD_JSON[name], path)

    assert (400, "invalid_request_error") == (status, error["type"])


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (chat(model=None), 400, "model"),
        (chat(model=""), 400, "model"),
        (chat(model=7), 400, "model"),
        (chat(model="nope"), 404, "model"),
        (chat(messages=None), 400, "messages"),
        (chat(messages=[]), 400, "messages"),
        (chat(messages="hi"), 400, "messages"),
        (chat(messages=[7]), 400, "messages[0]"),
        (chat(messages=[{"role": "king", "content": "x"}]), 400, "messages[0].role"),
        (chat(messages=[{"role": "user", "content": 7}]), 400, "messages[0].content"),
        (chat(temperature="hot"), 400, "temperature"),
        (chat(temperature=3), 400, "temperature"),
        (chat(n=0), 400, "n"),
        (chat(n=True), 400, "n"),
        (chat(max_tokens=10**30), 400, "max_tokens"),
        (chat(seed=2**64), 400, "seed"),
        (chat(stream="yes"), 400, "stream"),
        (chat(stream_options={"include_usage": True}), 400, "stream_options"),
        (chat(tools="all"), 400, "tools"),
        (chat(response_format={"type": "xml"}), 400, "response_format.type"),
    ],
)
async def test_fields_of_the_wrong_shape_are_named(
    rig: Rig, body: bytes, status: int, param: str
) -> None:
    got, error = await post(rig, body)

    assert (status, param) == (got, error["param"])


async def test_a_body_beyond_the_limit_is_refused_with_and_without_a_length(rig: Rig) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b" " * 1024

    status, _ = await post(rig, b" " * (64 * 1024 + 1))
    headers = {"content-type": "application/json"}
    async with rig.http.post(
        f"{rig.base_url}/chat/completions", data=pieces(), headers=headers
    ) as chunked:
        pass

    assert (413, 413) == (status, chunked.status)


async def test_a_compressed_body_counts_by_its_full_size(rig: Rig) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    assert len(bomb) < 64 * 1024
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    async with rig.http.post(
        f"{rig.base_url}/chat/completions", data=bomb, headers=headers
    ) as response:
        assert 413 == response.status


@pytest.mark.parametrize(
    ("coding", "deflate"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress)],
)
async def test_a_compressed_body_is_read(
    rig: Rig, coding: str, deflate: Callable[[bytes], bytes]
) -> None:
    """404 is the unknown model: the body was understood."""
    headers = {"content-type": "application/json", "content-encoding": coding}
    async with rig.http.post(
        f"{rig.base_url}/chat/completions", data=deflate(chat(model="nope")), headers=headers
    ) as response:
        assert 404 == response.status


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("DELETE", "/v1/embeddings", 405, "POST"),
        ("POST", "/v1/models", 405, "GET"),
        ("GET", "/", 404, None),
        ("GET", "/status", 404, None),
        ("GET", "/table", 404, None),
        ("POST", "/v1/responses", 404, None),
        ("GET", "/v1/models/nope", 404, None),
        ("GET", "/v1/models/%00%0d%0a", 404, None),
        ("OPTIONS", "/v1/chat/completions", 405, "POST"),
        ("GET", "/v1/../status", 404, None),
    ],
)
async def test_paths_and_methods(
    rig: Rig, method: str, path: str, status: int, allow: str | None
) -> None:
    async with rig.http.request(method, rig.url + path) as response:
        document = json.loads(await response.read())

    assert (status, allow) == (response.status, response.headers.get("allow"))
    assert document["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "multipart/form-data; boundary=x"}, 400),
        ({"content-type": "application/x-www-form-urlencoded"}, 404),
        ({"content-type": "application/json; charset=utf-8"}, 404),
        ({"content-type": "application/vnd.api+json"}, 404),
        ({"content-encoding": "identity"}, 404),
        ({"content-encoding": "br"}, 415),
        ({"content-encoding": "zstd"}, 415),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:3000"}, 404),
        ({"origin": "http://127.0.0.1"}, 404),
    ],
)
async def test_content_types_and_origins(rig: Rig, headers: dict[str, str], status: int) -> None:
    """404 is the unknown model: the request was read."""
    async with rig.http.post(
        f"{rig.base_url}/chat/completions", data=chat(model="nope"), headers=headers
    ) as response:
        assert status == response.status


LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"
HTTP_ATTACKS = {
    "no http": b"hello\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 64 + b"\r\n\r\n",
    "long path": b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "long header": LINE + b"Host: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
    "many headers": LINE + b"Host: a\r\n" + b"X-A: 1\r\n" * 500 + b"\r\n",
    "no host": LINE + b"Content-Length: 2\r\n\r\n{}",
    "two hosts": LINE + b"Host: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}",
    "bare line feeds": LINE[:-2] + b"\nHost: a\n\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "expectation": LINE + b"Host: a\r\nExpect: more\r\n\r\n",
    "bad header name": LINE + b"Host: a\r\nX Y: 1\r\n\r\n",
    "nul in value": LINE + b"Host: a\r\nX: a\x00b\r\n\r\n",
    "folded": LINE + b"Host: a\r\nX: 1\r\n 2\r\n\r\n",
    "two lengths": LINE + b"Host: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "negative length": LINE + b"Host: a\r\nContent-Length: -1\r\n\r\n",
    "both": LINE + b"Host: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": LINE + b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "unknown coding": LINE + b"Host: a\r\nTransfer-Encoding: magic\r\n\r\n",
    "bad gzip": LINE + b"Host: a\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", HTTP_ATTACKS)
async def test_what_is_no_http_gets_a_4xx_in_json(rig: Rig, name: str) -> None:
    host, port = rig.sidecar.ports.data
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(HTTP_ATTACKS[name])
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    document = json.loads(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()

    assert head.split()[1].startswith(b"4")
    assert b"application/json" in head
    assert document["error"]["type"] == "invalid_request_error"


async def test_hundreds_of_bad_requests_on_one_connection_leave_it_usable(rig: Rig) -> None:
    for _ in range(200):
        await post(rig, b"{")

    async with rig.http.get(f"{rig.base_url}/models") as response:
        assert ["chat"] == [model["id"] for model in (await response.json())["data"]]


async def test_too_many_requests_at_once_get_a_503() -> None:
    hung = await asyncio.start_server(_hang, "127.0.0.1", 0)
    port = hung.sockets[0].getsockname()[1]
    config = table([provider("a", base_url=f"http://127.0.0.1:{port}/v1")])
    async with running(config, max_in_flight=1) as small:
        first = asyncio.create_task(post(small, chat()))
        await until(lambda: small.live.view(0)[0].in_flight)
        status, error = await post(small, chat())
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    hung.close()

    assert (503, "overloaded") == (status, error["code"])


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()
