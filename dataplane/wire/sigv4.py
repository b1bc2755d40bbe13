"""AWS Signature Version 4, as a pure function of the request, the keys and the time.

Signed are the host, the content type and all `x-amz-*` headers. Others may be changed by proxies
and meshes on the way (tracing headers are), which would break a signature over them.

The path is signed as AWS' services other than S3 see it: percent-encoded once more on top of the
encoding that is sent, `%3A` as `%253A`. Whoever sends the request must leave the path's bytes alone.

Source: IAM user guide, "Create a signed AWS API request", read 2026-11-22.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_TERMINATOR: Final = "aws4_request"
_COVERED: Final = frozenset({"host", "content-type"})
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKeys:
    """One set of credentials. session_token: empty for keys that do not expire."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a signature is good for. service: its signing name, `bedrock` for both its hosts."""

    region: str
    service: str


def signed(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: AwsKeys,
    scope: Scope,
    now: datetime,
) -> dict[str, str]:
    """Return the headers with those that sign the request. Header names are lower case.

    url: as it will be sent, byte for byte. now: with a time zone; the signature is good for some
    minutes around it.
    """
    at = now.astimezone(UTC)
    day = f"{at.year:04}{at.month:02}{at.day:02}"
    stamp = f"{day}T{at.hour:02}{at.minute:02}{at.second:02}Z"
    host, path, query = _target(url)
    sent = {**headers, "host": host, "x-amz-date": stamp}
    if keys.session_token:
        sent["x-amz-security-token"] = keys.session_token
    covered = {
        name: " ".join(value.split())
        for name, value in sent.items()
        if name in _COVERED or name.startswith("x-amz-")
    }
    order = sorted(covered)
    names = ";".join(order)
    canonical = "\n".join(
        (
            method,
            path,
            query,
            *[f"{name}:{covered[name]}" for name in order],
            "",
            names,
            sha256(body).hexdigest(),
        )
    )
    region, service = scope.region, scope.service
    granted = f"{day}/{region}/{service}/{_TERMINATOR}"
    text = f"{_ALGORITHM}\n{stamp}\n{granted}\n{sha256(canonical.encode()).hexdigest()}"
    key = _day_key(keys.secret_access_key, day, region, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key_id}/{granted}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return sent


def canonical_path(path: str) -> str:
    """Return a URL's path as it is signed: without dot segments, and encoded once more."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    plain = "/" + "/".join(kept)
    if kept and path.endswith("/"):
        plain += "/"
    return quote(plain, safe="/~")


@lru_cache(maxsize=256)
def _target(url: str) -> tuple[str, str, str]:
    """Give host, path and query as they are signed; there are few URLs, and they come again."""
    parts = urlsplit(url)
    host = _host(parts.scheme, parts.netloc)
    return host, canonical_path(parts.path), _canonical_query(parts.query)


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&"))
    return "&".join(f"{name}={value}" for name, value in pairs)


def _host(scheme: str, netloc: str) -> str:
    host = netloc.rpartition("@")[2]
    default = _DEFAULT_PORTS.get(scheme)
    return host.removesuffix(f":{default}").lower()


@lru_cache(maxsize=32)
def _day_key(secret: str, day: str, region: str, service: str) -> bytes:
    """Derive the key that signs for one day, region and service; four hashes saved per request."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
