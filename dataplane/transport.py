"""The one door to HTTP upstreams.

One client session for all providers: pooled keep-alive connections per origin, happy eyeballs,
TLS with the system's trust store, proxies from the environment. It follows no redirects, keeps
no cookies, decompresses nothing, and maps every failure of the network to an UpstreamFailed.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from types import SimpleNamespace, TracebackType
from typing import Protocol, Self
from urllib.request import getproxies_environment

import aiohttp
from yarl import URL

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpRequest

KEEPALIVE_S = 30.0
"""Idle pooled connections are closed after this; below the 60 s that most servers allow."""

MAX_ANSWER_BYTES = 64 * 2**20
"""A unary answer beyond this is refused; a batch of 2,048 embeddings of 3,072 floats fits."""

_LARGE_BODY_BYTES = 2**20
_MAX_STALE = 10


class UpstreamResponse(Protocol):
    """An answer whose head has come. Header names are lower case; repeated ones are joined."""

    status: int
    headers: dict[str, str]

    async def chunk(self) -> bytes:
        """Wait for the next bytes of the body, as they come; empty at its end."""
        ...

    def waiting(self) -> bytes:
        """Take what has come already, without waiting; may be empty."""
        ...

    def release(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        ...


class Transport(Protocol):
    """What sends requests. Raises UpstreamFailed for everything that the network does."""

    async def send(self, request: HttpRequest, *, connect_s: float) -> UpstreamResponse:
        """Send a request and wait for the answer's head; the caller sets the time limit."""
        ...


class HttpTransport:
    """Transport over aiohttp's client. Open it with `async with`.

    proxies: whether HTTPS_PROXY, HTTP_PROXY and NO_PROXY are looked at, which costs each request
        a thread; None looks at them if one of the first two is set.
    """

    def __init__(self, *, proxies: bool | None = None) -> None:
        """Make a closed transport; sockets are opened by use."""
        named = getproxies_environment().keys() & {"http", "https", "all"}
        self._proxies = bool(named) if proxies is None else proxies
        self._session: aiohttp.ClientSession | None = None  # noqa: TID251 - this is the door
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def __aenter__(self) -> Self:
        """Open the session."""
        reuse = aiohttp.TraceConfig()
        reuse.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(  # noqa: TID251 - this is the door
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=KEEPALIVE_S,
                ttl_dns_cache=30,
                enable_cleanup_closed=False,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=self._proxies,
            trace_configs=[reuse],
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            max_line_size=32 * 1024,
            max_field_size=32 * 1024,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: HttpRequest, *, connect_s: float) -> UpstreamResponse:
        """Send a request; see Transport.

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
        raise UpstreamFailed(
            ErrorClass.CONNECTION,
            "the provider closed the connection before it answered",
            error_type="connection.reset",
        )

    async def _send(
        self, request: HttpRequest, connect_s: float, context: SimpleNamespace
    ) -> UpstreamResponse:
        assert self._session is not None, "the transport is not open"
        timeout = self._timeouts.get(connect_s)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=connect_s, sock_connect=connect_s)
            self._timeouts[connect_s] = timeout
        response = await self._session.request(
            request.method,
            # As it is: a signature over the path holds for its bytes, and yarl would write `%3A` as `:`.
            URL(request.url, encoded=True),
            data=_payload(request.body),
            headers=request.headers,
            allow_redirects=False,
            timeout=timeout,
            trace_request_ctx=context,
        )
        return _Response(response)


class _Response:
    """UpstreamResponse over aiohttp's."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        self.headers = headers

    async def chunk(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise UpstreamFailed(
                ErrorClass.CONNECTION,
                "the upstream closed the connection in the middle of its answer",
                error_type="connection.reset",
            ) from error

    def waiting(self) -> bytes:
        content = self._response.content
        # An exception or the end of the body is left to `chunk`, which reports it.
        if content.exception() is not None:
            return b""
        return content.read_nowait()

    def release(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


async def read_all(response: UpstreamResponse, limit: int = MAX_ANSWER_BYTES) -> bytes:
    """Read a body to its end. Raises UpstreamFailed (bad_response) beyond `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    while data := await response.chunk():
        size += len(data)
        if size > limit:
            raise UpstreamFailed(
                ErrorClass.BAD_RESPONSE, f"the upstream's answer is larger than {limit} bytes"
            )
        parts.append(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """Give a large body in a form that is written piece by piece, so that the loop runs between."""
    if len(body) > _LARGE_BODY_BYTES:
        return io.BytesIO(body)
    return body or None


async def _note_reuse(_session: object, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.reused = True


def _failure(error: Exception, connect_s: float) -> UpstreamFailed:
    """Map what aiohttp raises, the most specific first.

    Messages name no host: callers see them, and who they are served by is not theirs to know.
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            return UpstreamFailed(
                ErrorClass.TIMEOUT_CONNECT,
                f"connecting to the provider timed out after {connect_s:g} s",
            )
        case aiohttp.ClientConnectorDNSError():
            return UpstreamFailed(
                ErrorClass.UNREACHABLE,
                "the name of the provider's host cannot be resolved",
                error_type="connection.dns",
            )
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return UpstreamFailed(
                ErrorClass.UNREACHABLE,
                "no trusted TLS connection to the provider",
                error_type="connection.tls",
            )
        case aiohttp.ClientConnectorError():
            refused = isinstance(error.os_error, ConnectionRefusedError)
            return UpstreamFailed(
                ErrorClass.CONNECTION,
                "the provider refused the connection"
                if refused
                else "no connection to the provider",
                error_type="connection.refused" if refused else "connection.reset",
            )
        case aiohttp.InvalidURL() | ValueError():
            return UpstreamFailed(
                ErrorClass.CONFIG, "the URL or a header of the provider is not valid"
            )
        case aiohttp.ClientResponseError():
            return UpstreamFailed(
                ErrorClass.BAD_RESPONSE, "the provider answered something that is not HTTP"
            )
        case _:
            return UpstreamFailed(
                ErrorClass.CONNECTION,
                "the provider closed the connection before it answered",
                error_type="connection.reset",
            )
