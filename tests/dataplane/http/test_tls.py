"""TLS with certificates made here: trusted, not trusted, for another name, too slow."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.http.connect import Names
from dataplane.http.connection import MAX_BUFFERED_BYTES
from tests.dataplane.http.opened import ask, opened, post, whole
from tests.dataplane.http.test_connect import Zone, row
from tests.raw import head, raw_server

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for `model.test` and 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with: TLS is not tested")
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=model.test"),
            *("-addext", "subjectAltName=DNS:model.test,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(pem)),
        ],
        check=True,
        capture_output=True,
    )
    return pem, key


class Server:
    """A TLS server; keeps what each handshake asked for, and counts requests."""

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.context.sni_callback = self._named
        self.names: list[str | None] = []
        self.alpn: list[str | None] = []
        self.requests: list[bytes] = []
        self.answer = LENGTH
        self.port = 0
        self.talking: set[asyncio.Task[None]] = set()

    def _named(self, _: object, name: str | None, __: object) -> None:
        self.names.append(name)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.talking.add(task)
        self.alpn.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.requests.append(await head(reader))
                writer.write(self.answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def served(certificate: tuple[Path, Path]) -> AsyncIterator[Server]:
    server = Server(certificate)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=server.context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        # Its connections end with the client, which the tests close before.
        await asyncio.gather(*server.talking)


def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.set_alpn_protocols(["http/1.1"])
    return context


def names(port: int) -> Names:
    return Names(Zone(row("127.0.0.1", port)), time.monotonic)


async def test_a_trusted_server_is_talked_to_by_name(certificate: tuple[Path, Path]) -> None:
    async with served(certificate) as server:
        url = f"https://model.test:{server.port}"
        async with opened(tls=trusting(certificate), names=names(server.port)) as client:
            bodies = [await ask(client, post(url)) for _ in range(3)]

    assert ([b"{}"] * 3, 3) == (bodies, len(server.requests))
    assert (["model.test"], ["http/1.1"]) == (server.names, server.alpn)


async def test_a_trusted_address_is_talked_to(certificate: tuple[Path, Path]) -> None:
    async with served(certificate) as server, opened(tls=trusting(certificate)) as client:
        assert b"{}" == await ask(client, post(f"https://127.0.0.1:{server.port}"))


async def test_a_body_of_30_mb_arrives_whole(certificate: tuple[Path, Path]) -> None:
    body = bytes(range(256)) * 120_000
    async with served(certificate) as server, opened(tls=trusting(certificate)) as client:
        assert b"{}" == await ask(client, post(f"https://127.0.0.1:{server.port}", body))

    assert server.requests[0].endswith(b"\r\n\r\n" + body)


async def test_an_answer_of_10_mb_is_read_as_fast_as_it_is_taken(
    certificate: tuple[Path, Path],
) -> None:
    size = 10_000_000
    async with served(certificate) as server, opened(tls=trusting(certificate)) as client:
        server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
        answer = await client.send(post(f"https://127.0.0.1:{server.port}"), 5)
        connection = answer._connection
        assert connection is not None
        async with asyncio.timeout(10):
            while not connection._reading_paused:
                await asyncio.sleep(0.005)
        held = len(await answer.chunk())

        assert MAX_BUFFERED_BYTES < held <= 3 * MAX_BUFFERED_BYTES
        assert size - held == len(await whole(answer))


@pytest.mark.parametrize("host", ["127.0.0.1", "other.test"])
async def test_a_server_that_is_not_trusted_or_another_gets_no_request(
    certificate: tuple[Path, Path], host: str
) -> None:
    tls = None if host == "127.0.0.1" else trusting(certificate)
    async with served(certificate) as server:
        async with opened(tls=tls, names=names(server.port)) as client:
            with pytest.raises(UpstreamFailed) as caught:
                await ask(client, post(f"https://{host}:{server.port}"))

        assert (ErrorClass.UNREACHABLE, "connection.tls") == (
            caught.value.error,
            caught.value.error_type,
        )
        assert [] == server.requests


async def test_a_caller_that_leaves_while_connecting_leaves_nothing_open(
    certificate: tuple[Path, Path],
) -> None:
    async with served(certificate) as server, opened(tls=trusting(certificate)) as client:
        for steps in range(30):
            asking = asyncio.create_task(ask(client, post(f"https://127.0.0.1:{server.port}")))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
        async with asyncio.timeout(10):
            while client.pool.open != client.pool.idle:
                await asyncio.sleep(0.005)


async def test_a_handshake_counts_as_connecting() -> None:
    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(listen) as url, opened() as client:
        with pytest.raises(UpstreamFailed) as caught:
            await ask(client, post(url.replace("http:", "https:")), 0.2)

    assert ErrorClass.TIMEOUT_CONNECT is caught.value.error


async def test_a_server_that_hangs_up_in_the_handshake_is_no_connection() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with raw_server(listen) as url, opened() as client:
        with pytest.raises(UpstreamFailed) as caught:
            await ask(client, post(url.replace("http:", "https:")))

    assert ErrorClass.CONNECTION is caught.value.error
