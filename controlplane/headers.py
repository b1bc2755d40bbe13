"""Which headers a manifest may add to the requests of a provider."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_SECRETS = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie", "set-cookie"}
)
_SECRET_ENDS = ("-api-key", "-apikey", "-token", "-secret", "-authorization", "-subscription-key")
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OWN = frozenset(
    {
        "accept",
        "accept-encoding",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
    }
)
_TRACING = frozenset({"traceparent", "tracestate", "baggage"})


def header_fault(name: str) -> str | None:
    """Say why a header may not be set, or None if it may.

    Refused are carriers of secrets, hop-by-hop headers (RFC 9110, section 7.6.1), and those that
    the request itself decides.
    """
    lower = name.lower()
    if _TOKEN.fullmatch(name) is None:
        return "is not a header's name"
    if lower in _SECRETS or lower.endswith(_SECRET_ENDS):
        return "must not be set here: it carries a secret; use credentials"
    if lower in _HOP_BY_HOP:
        return "must not be set: it belongs to one connection, not to the request"
    if lower in _OWN:
        return "must not be set: each request has its own"
    if lower in _TRACING:
        return "must not be set here; use propagation"
    return None


def is_header_value(text: str) -> bool:
    """Tell whether it may be a header's value: printable ASCII, no spaces around it."""
    return len(text) <= 4096 and text.isascii() and text == text.strip() and not _has_control(text)


def _has_control(text: str) -> bool:
    return any(character < " " or character == "\x7f" for character in text)
