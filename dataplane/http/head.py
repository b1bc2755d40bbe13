"""Writes the heads of requests.

A provider's requests differ in their bodies and little else. So a head is kept as long as it would
be the same, but for its length and its tracing; and what it is made of is worked out once for each
method, URL and set of header names, so that another one only fills in its values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dataplane.http.failures import not_valid
from dataplane.provider import HttpRequest

_MAX_SHAPES: Final = 1024
"""Providers, models and operations make up to some hundred; beyond, all are worked out anew."""

_URL: Final = re.compile(r"(?i:(https?))://([^/?#\\]*)((?:[/?][^#]*)?)(?:#.*)?", re.DOTALL)
_AUTHORITY: Final = re.compile(
    r"(?:[^@]*@)?(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@]+))(?::([0-9]{1,5}))?"
)
_TARGET: Final = re.compile(r"[\x21-\x7e]*")
_HOST: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]+")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

_OURS: Final = frozenset(
    {
        # The connection's own, never passed on. RFC 9110, section 7.6.1.
        "connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # An interim answer would have to be waited for.
        "expect",
        # Written from the body.
        "content-length",
    }
)
_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go to; those to equal origins are interchangeable.

    host: a name in its ASCII form, or an address without brackets.
    """

    tls: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class _Shape:
    """What all heads of one method, URL and sequence of header names have in common.

    template: %-format of the head for the values of `kept`; of all headers if that is None.
    with_length: whether a length is written even for an empty body.
    """

    origin: Origin
    template: str
    lines: int
    kept: tuple[str, ...] | None
    with_length: bool


class _Block:
    """A head that was written, without what differs with each request.

    headers: what it was written for. The URL is what it is found by.
    """

    __slots__ = ("data", "headers", "method", "origin", "with_length")

    def __init__(
        self,
        method: str,
        headers: Mapping[str, str],
        *,
        origin: Origin,
        with_length: bool,
        data: bytes,
    ) -> None:
        self.method = method
        self.headers = headers
        self.origin = origin
        self.with_length = with_length
        self.data = data


class Heads:
    """Writes heads, and remembers the last one of each URL, and their shapes."""

    def __init__(self) -> None:
        """Know none yet."""
        self._blocks: dict[str, _Block] = {}
        self._shapes: dict[tuple[str, str, tuple[str, ...]], _Shape] = {}

    def write(self, request: HttpRequest) -> tuple[Origin, bytes]:
        """Give where a request goes and its head, with the empty line. Raises UpstreamFailed.

        The URL's path and query are sent byte for byte: a signature may hold for them.
        """
        url, method, headers = request.url, request.method, request.headers
        tracing = request.tracing
        if tracing and any(name in headers for name in tracing):
            headers, tracing = request.all_headers(), None
        block = self._blocks.get(url)
        if block is None or block.headers is not headers or block.method != method:
            block = self._written(method, url, headers)
        data = block.data + _lines(tracing) if tracing else block.data
        length = len(request.body)
        if length or block.with_length:
            return block.origin, data + b"content-length: %d\r\n\r\n" % length
        return block.origin, data + b"\r\n"

    def _written(self, method: str, url: str, headers: Mapping[str, str]) -> _Block:
        key = (method, url, tuple(headers))
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._remember(key)
        if shape.kept is None:
            text = shape.template % (*headers.values(),)
        else:
            text = shape.template % tuple([headers[name] for name in shape.kept])
        block = _Block(
            method,
            headers,
            origin=shape.origin,
            with_length=shape.with_length,
            data=_encoded(text, shape.lines),
        )
        if len(self._blocks) >= _MAX_SHAPES:
            self._blocks.clear()
        self._blocks[url] = block
        return block

    def _remember(self, key: tuple[str, str, tuple[str, ...]]) -> _Shape:
        shape = _shape(*key)
        if len(self._shapes) >= _MAX_SHAPES:
            self._shapes.clear()
        self._shapes[key] = shape
        return shape


def _lines(headers: Mapping[str, str]) -> bytes:
    """Write headers whose names are ours."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return _encoded(text, len(headers))


def _encoded(text: str, lines: int) -> bytes:
    """Encode so many lines. A value may neither end its line nor its header."""
    if text.count("\r") != lines or text.count("\n") != lines or "\0" in text:
        raise not_valid()
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise not_valid() from error


def origin_of(url: str) -> Origin:
    """Give the origin of a URL. Raises UpstreamFailed (config)."""
    return _parts(url)[0]


def _parts(url: str) -> tuple[Origin, str, str]:
    """Take a URL apart: origin, value of `host`, and target as it is sent."""
    whole = _URL.fullmatch(url)
    authority = _AUTHORITY.fullmatch(whole[2]) if whole else None
    if whole is None or authority is None or _TARGET.fullmatch(whole[3]) is None:
        raise not_valid()
    tls = whole[1].lower() == "https"
    usual = 443 if tls else 80
    port = int(authority[3] or usual)
    host = authority[1] or _ascii(authority[2])
    if not 0 < port < 65536:
        raise not_valid()
    named = f"[{host}]" if authority[1] else host
    target = whole[3] if whole[3].startswith("/") else f"/{whole[3]}"
    return (
        Origin(tls, host.lower(), port),
        named if port == usual else f"{named}:{port}",
        target,
    )


def _ascii(host: str) -> str:
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise not_valid() from error
    if _HOST.fullmatch(name) is None:
        raise not_valid()
    return name


def _shape(method: str, url: str, names: tuple[str, ...]) -> _Shape:
    origin, host, target = _parts(url)
    if not all(_TOKEN.fullmatch(name) for name in (method, *names)):
        raise not_valid()
    kept = tuple(name for name in names if name.lower() not in _OURS)
    named = () if any(name.lower() == "host" for name in kept) else (f"host: {host}",)
    fixed = [line.replace("%", "%%") for line in (f"{method} {target} HTTP/1.1", *named)]
    lines = [*fixed, *(f"{name.replace('%', '%%')}: %s" for name in kept)]
    return _Shape(
        origin=origin,
        template="".join(f"{line}\r\n" for line in lines),
        lines=len(lines),
        kept=None if kept == names else kept,
        with_length=method in _WITH_LENGTH,
    )
