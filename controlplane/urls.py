"""Base URLs of providers: what is refused, what is worth a warning, and their one normal form.

Nothing here repeats a URL in a message: what was pasted may hold a password or a key.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from controlplane.table.schema import ProviderType

_MAX_LENGTH = 2048
_HOST = re.compile(r"[a-z0-9]([-a-z0-9_.]*[a-z0-9])?\.?", re.IGNORECASE)
_LOCAL_SUFFIXES = (".svc", ".cluster.local", ".local", ".internal", ".localhost")

_AZURE_TAIL = re.compile(r"(?:/openai(?:/v1)?(?:/deployments(?:/[^/]+(?:/.*)?)?)?|/models)?$")
_SURPLUS: Mapping[ProviderType, Sequence[str]] = {
    ProviderType.OLLAMA: ("/v1", "/api"),
    ProviderType.MISTRAL: ("/v1",),
    ProviderType.ANTHROPIC: ("/v1",),
}
"""Ends that people copy from other tools, and that the adapter adds itself."""


def fault(url: str) -> str | None:
    """Say what is wrong with a base URL, completing `must …`-less sentences; None if nothing is.

    Refused are all that is not an absolute http(s) URL with a host, user names and passwords,
    queries, fragments, and link-local addresses, where clouds keep their metadata services.
    """
    if len(url) > _MAX_LENGTH:
        return f"is longer than {_MAX_LENGTH} characters"
    if any(character <= " " or character == "\x7f" for character in url) or not url.isascii():
        return "must be ASCII without spaces and control characters"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL; write it like https://host/v1"
    if parts.scheme not in {"http", "https"}:
        return "must be an absolute URL that begins with https:// or http://"
    if "@" in parts.netloc:
        return "must not hold a user name or password; use credentials"
    if "?" in url:
        return "must not hold a query"
    if "#" in url:
        return "must not hold a fragment"
    if port == 0 or not _is_host(parts):
        return "names no valid host and port"
    address = _address(parts)
    if address is not None and address.is_link_local:
        return "must not be a link-local address"
    return None


def normal(kind: ProviderType, url: str) -> str:
    """Return the one form of a faultless URL: lower-case host, no trailing slash, no surplus end.

    For AzureOpenAI it is the resource's endpoint, whether `/openai`, `/openai/v1` or a whole
    deployment URL was written.
    """
    parts = urlsplit(url)
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    if kind is ProviderType.AZURE_OPENAI:
        path = _AZURE_TAIL.sub("", path)
    for end in _SURPLUS.get(kind, ()):
        path = path.removesuffix(end)
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def bedrock_runtime(region: str) -> str:
    """Return the endpoint of Bedrock's runtime in a region.

    Source: AWS General Reference, Amazon Bedrock endpoints; read 2026-11-22.
    """
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://bedrock-runtime.{region.lower()}.{domain}"


def is_loopback(url: str) -> bool:
    """Tell whether a faultless URL stays on this machine (in this pod)."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    address = _address(parts)
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost")


def is_cluster_local(url: str) -> bool:
    """Tell whether the host's name is one of a cluster, a compose file or a private zone."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if _address(parts) is not None:
        return False
    return "." not in host or host.endswith(_LOCAL_SUFFIXES)


def _is_host(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    return _address(parts) is not None or _HOST.fullmatch(host) is not None


def _address(parts: SplitResult) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return None
