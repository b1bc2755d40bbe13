"""What is taken from a request on the wire: its body, within bounds, and from whom."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest

from dataplane.errors import RequestRejected

BODY_IDLE_S = 30.0
"""The longest silence within a request's body."""

# `curl -d` without a header says it sends a form; SDKs for other languages say text/plain.
_TAKEN_TYPES = frozenset(
    {
        "",
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/octet-stream",
    }
)


async def read_body(http: BaseRequest, limit: int) -> bytes:
    """Read the body whole.

    Raises RequestRejected: 413 beyond `limit` bytes (decompressed, if it came compressed), 408 if
    the caller stops sending, 400 for a content type that cannot be JSON.
    """
    given = http.headers.get("Content-Type", "")
    if given != "application/json":
        kind = given.split(";", 1)[0].strip().lower()
        if kind not in _TAKEN_TYPES and not kind.endswith("+json"):
            raise RequestRejected("the content type must be application/json", param=None)
    length = http.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    if http.content.is_eof() and http.content.exception() is None:
        # It came with the head, as small ones do: nothing is waited for.
        body = http.content.read_nowait()
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts: list[bytes] = []
    size = 0
    content = http.content
    while not content.at_eof():
        try:
            async with asyncio.timeout(BODY_IDLE_S):
                data = await content.readany()
        except TimeoutError as error:
            raise RequestRejected(
                f"the rest of the body did not come within {BODY_IDLE_S:g} s", status=408
            ) from error
        except RequestPayloadError as error:
            raise RequestRejected("the body cannot be decoded, or broke off") from error
        size += len(data)
        if size > limit:
            raise _too_large(limit)
        parts.append(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check_origin(headers: Mapping[str, str], *, loopback: bool) -> None:
    """Refuse pages of other sites that a browser on this machine shows.

    A browser names the page's origin; SDKs and curl send none. On a loopback port only pages of
    this machine pass, so that a name which resolves to 127.0.0.1 is no way in. Raises
    RequestRejected (403).
    """
    origin = headers.get("Origin")
    if origin is None:
        return
    host = urlsplit(origin).hostname or ""
    if loopback:
        allowed = _is_loopback(host)
    else:
        allowed = host == urlsplit(f"//{headers.get('Host', '')}").hostname
    if not allowed:
        raise RequestRejected("pages of other sites may not call this endpoint", status=403)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _too_large(limit: int) -> RequestRejected:
    return RequestRejected(f"the body is larger than {limit} bytes", status=413)
