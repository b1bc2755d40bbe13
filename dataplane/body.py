"""What is taken from a request on the wire: its body, within bounds, and from whom."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from dataplane.errors import RequestRejected
from dataplane.http.inbound.request import BrokenBodyError, Request
from dataplane.inflate import CODINGS, PIECE_BYTES, CorruptError, inflate

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


async def read_body(http: Request, limit: int) -> bytes:
    """Read the body whole, and inflate it if it came compressed.

    Raises RequestRejected: 413 beyond `limit` bytes, on the wire or inflated, 408 if the caller
    stops sending, 415 for a content coding that we do not know, 400 for a content type that cannot
    be JSON and for a body that cannot be decoded.
    """
    headers = http.headers
    given = headers.get("content-type", "")
    if given != "application/json":
        kind = given.split(";", 1)[0].strip().lower()
        if kind not in _TAKEN_TYPES and not kind.endswith("+json"):
            raise RequestRejected("the content type must be application/json", param=None)
    coding = headers["content-encoding"].lower() if "content-encoding" in headers else "identity"
    if coding not in CODINGS and coding != "identity":
        raise RequestRejected("the content encoding must be gzip, deflate or none", status=415)
    length = http.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    if http.done:
        # It came with the head, as small ones do: nothing is waited for.
        body = http.take()
        if len(body) > limit:
            raise _too_large(limit)
    else:
        body = await _arriving(http, limit)
    return body if coding == "identity" else await _inflated(coding, body, limit)


async def _arriving(http: Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        try:
            async with asyncio.timeout(BODY_IDLE_S):
                data = await http.piece()
        except TimeoutError as error:
            raise RequestRejected(
                f"the rest of the body did not come within {BODY_IDLE_S:g} s", status=408
            ) from error
        except BrokenBodyError as error:
            raise RequestRejected("the body cannot be decoded, or broke off") from error
        if not data:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        size += len(data)
        if size > limit:
            raise _too_large(limit)
        parts.append(data)


async def _inflated(coding: str, body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        for piece in inflate(coding, body):
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            parts.append(piece)
            if len(piece) == PIECE_BYTES:
                # A large one takes its time; others have their turn.
                await asyncio.sleep(0)
    except CorruptError as error:
        raise RequestRejected("the body cannot be decoded, or broke off") from error
    return b"".join(parts)


def check_origin(headers: Mapping[str, str], *, loopback: bool) -> None:
    """Refuse pages of other sites that a browser on this machine shows.

    A browser names the page's origin; SDKs and curl send none. On a loopback port only pages of
    this machine pass, so that a name which resolves to 127.0.0.1 is no way in. Names of headers are
    lower case. Raises RequestRejected (403).
    """
    origin = headers.get("origin")
    if origin is None:
        return
    host = urlsplit(origin).hostname or ""
    if loopback:
        allowed = _is_loopback(host)
    else:
        allowed = host == urlsplit(f"//{headers.get('host', '')}").hostname
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
