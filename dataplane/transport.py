"""The one door to HTTP upstreams.

Requests go through the lean client of `dataplane.http`: pooled keep-alive connections per origin,
happy eyeballs, TLS with the system's trust store. Where the environment names a proxy for an origin,
they go through aiohttp's session instead (`dataplane.transport_proxied`). Neither follows redirects,
keeps cookies or decompresses, and each failure of the network is an UpstreamFailed.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.request import getproxies_environment, proxy_bypass

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.http.client import Client
from dataplane.http.head import Origin, origin_of
from dataplane.provider import HttpRequest

MAX_ANSWER_BYTES = 64 * 2**20
"""A unary answer beyond this is refused; a batch of 2,048 embeddings of 3,072 floats fits."""


class UpstreamResponse(Protocol):
    """An answer whose head has come. Header names are lower case; repeated ones are joined."""

    status: int
    headers: dict[str, str]

    async def chunk(self, until_s: float = math.inf) -> bytes:
        """Wait for the next bytes of the body, as they come; empty at its end.

        Raises UpstreamFailed, or ExpiredError at `until_s`, a time of the loop.
        """
        ...

    def whole(self) -> bytes | None:
        """Take the body if all of it has come already, else None, and nothing is taken."""
        ...

    def release(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        ...


class Transport(Protocol):
    """What sends requests. Raises UpstreamFailed for everything that the network does."""

    async def send(
        self, request: HttpRequest, *, connect_s: float, until_s: float = math.inf
    ) -> UpstreamResponse:
        """Send a request and wait for the answer's head until a time of the loop.

        Raises ExpiredError when that time has come.
        """
        ...


class _Proxied(Protocol):
    """What sends requests through a proxy."""

    async def send(
        self, request: HttpRequest, connect_s: float, until_s: float = math.inf
    ) -> UpstreamResponse: ...

    async def aclose(self) -> None: ...


class HttpTransport:
    """Transport over the network. Open it with `async with`.

    proxies: whether HTTPS_PROXY, HTTP_PROXY and NO_PROXY are looked at.
    tls: for https; None trusts what the system trusts.
    """

    def __init__(self, *, proxies: bool = True, tls: ssl.SSLContext | None = None) -> None:
        """Make a closed transport; sockets are opened by use."""
        named = getproxies_environment().keys() & {"http", "https"}
        self._schemes = frozenset(named) if proxies else frozenset()
        self._tls = tls
        self._client: Client | None = None
        self._proxied: _Proxied | None = None

    async def __aenter__(self) -> Self:
        """Open the client."""
        self._client = Client(tls=self._tls)
        if self._schemes:
            # aiohttp, at 16 MB, is for those only who need a proxy.
            from dataplane.transport_proxied import ProxiedClient  # noqa: PLC0415

            self._proxied = ProxiedClient(tls=self._tls)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        proxied, self._proxied = self._proxied, None
        if client is not None:
            await client.aclose()
        if proxied is not None:
            await proxied.aclose()

    def send(
        self, request: HttpRequest, *, connect_s: float, until_s: float = math.inf
    ) -> Coroutine[Any, Any, UpstreamResponse]:
        """Send a request; see Transport."""
        assert self._client is not None, "the transport is not open"
        if self._proxied is not None and self._has_proxy(origin_of(request.url)):
            return self._proxied.send(request, connect_s, until_s)
        return self._client.send(request, connect_s, until_s)

    def _has_proxy(self, origin: Origin) -> bool:
        """Tell whether an origin is reached through a proxy, as aiohttp will see it too."""
        scheme = "https" if origin.tls else "http"
        return scheme in self._schemes and not proxy_bypass(origin.host)


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
