"""Requests through a proxy of the environment, over aiohttp's client session.

The slow path: it costs several times what `dataplane.http` does, and a thread for each request,
which looks at the environment. CONNECT, authorisation to the proxy and its failures are aiohttp's.
"""

from __future__ import annotations

import asyncio
import io
import math
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
from yarl import URL

from dataplane.errors import UpstreamFailed
from dataplane.http.answer import MAX_HEADERS, MAX_LINE_BYTES
from dataplane.http.failures import (
    ExpiredError,
    closed_before_answer,
    closed_in_answer,
    malformed,
    not_connected,
    not_connected_in,
    not_valid,
)
from dataplane.http.idle import KEEPALIVE_S
from dataplane.provider import HttpRequest

_LARGE_BODY_BYTES = 2**20
_MAX_STALE = 10


class ProxiedClient:
    """Sends requests as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say. Make it inside its loop."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        """Open nothing yet. tls: for https; None trusts what the system trusts."""
        reuse = aiohttp.TraceConfig()
        reuse.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(  # noqa: TID251 - the door's slow path
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=KEEPALIVE_S,
                ttl_dns_cache=30,
                enable_cleanup_closed=False,
                ssl=True if tls is None else tls,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=True,
            trace_configs=[reuse],
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
        )
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(
        self, request: HttpRequest, connect_s: float, until_s: float = math.inf
    ) -> ProxiedAnswer:
        """Send a request and wait for the answer's head until a time of the loop.

        Raises UpstreamFailed, or ExpiredError when that time has come.
        """
        async with _until(until_s):
            return await self._send_on(request, connect_s)

    async def _send_on(self, request: HttpRequest, connect_s: float) -> ProxiedAnswer:
        """Send until it has gone out on a live connection.

        A pooled connection may have been closed by the other side at the moment of its use. The
        request is then sent again, if nothing of an answer had come: on a fresh connection, unless
        the pool has another one, which may be as dead.
        """
        for _ in range(_MAX_STALE):
            pooled = SimpleNamespace(reused=False)
            try:
                return await self._send(request, connect_s, pooled)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if not pooled.reused or isinstance(error, aiohttp.ClientConnectorError):
                    raise _failure(error, connect_s) from error
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                raise _failure(error, connect_s) from error
        raise closed_before_answer()

    async def _send(
        self, request: HttpRequest, connect_s: float, context: SimpleNamespace
    ) -> ProxiedAnswer:
        timeout = self._timeouts.get(connect_s)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=connect_s, sock_connect=connect_s)
            self._timeouts[connect_s] = timeout
        response = await self._session.request(
            request.method,
            # As it is: a signature over the path holds for its bytes, and yarl would write `%3A` as `:`.
            URL(request.url, encoded=True),
            data=_payload(request.body),
            headers=request.all_headers(),
            allow_redirects=False,
            timeout=timeout,
            trace_request_ctx=context,
        )
        return ProxiedAnswer(response)


class ProxiedAnswer:
    """An answer whose head has come; see `dataplane.transport.UpstreamResponse`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Take the response over until `release`."""
        self._response = response
        self.status = response.status
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        self.headers = headers

    async def chunk(self, until_s: float = math.inf) -> bytes:
        """Wait for the next bytes of the body; empty at its end. Raises as `send` does."""
        try:
            async with _until(until_s):
                return await self._response.content.readany()
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise closed_in_answer() from error

    def whole(self) -> bytes | None:
        """Give None: that all has come is not told here."""
        return None

    def release(self) -> None:
        """Give the connection back if the answer is whole, else close it."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


@asynccontextmanager
async def _until(until_s: float) -> AsyncIterator[None]:
    limit = asyncio.timeout_at(None if until_s == math.inf else until_s)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if limit.expired():
            raise ExpiredError from error
        raise


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """Give a large body in a form that is written piece by piece, so that the loop runs between."""
    if len(body) > _LARGE_BODY_BYTES:
        return io.BytesIO(body)
    return body or None


async def _note_reuse(_session: object, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.reused = True


def _failure(error: Exception, connect_s: float) -> UpstreamFailed:
    """Map what aiohttp raises, the most specific first."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return not_connected_in(connect_s)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return not_connected(ssl.SSLError())
        case aiohttp.ClientConnectorDNSError():
            return not_connected(socket.gaierror())
        case aiohttp.ClientConnectorError():
            return not_connected(error.os_error)
        case aiohttp.InvalidURL() | ValueError():
            return not_valid()
        case aiohttp.ClientResponseError():
            return malformed()
        case _:
            return closed_before_answer()
