"""Makes foreign text fit to be shown: one line, bounded, and without what looks like a secret.

Upstreams quote keys, host names and request bodies in their errors. Text goes through here once
before it gets into an exception, and again before it goes out.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_SHOWN_BYTES: Final = 1024
"""The longest text that is shown, in bytes of UTF-8."""

MASK: Final = "***"

_MAX_READ: Final = 8 * MAX_SHOWN_BYTES
"""Characters that are looked at; what follows could not be shown anyway."""

# What is a secret by its form, wherever it stands.
_SECRETS: Final = re.compile(
    r"""
      bearer\s+[^\s"',;]+
    | basic\s+[a-z0-9+/=]{16,}
    | (?:api[-_\ ]?key|authorization|secret|password)["']?\s*[:=]\s*["']?
      (?:(?:bearer|basic)\s+)?[^\s"',;]+
    | (?<![a-z0-9])(?:sk|pk|rk)(?:-|_live_|_test_)[\w.*/+=-]+
    | (?<![a-z0-9])(?:gsk|hf|ghp)_[a-z0-9]{8,}
    | (?<![a-z0-9])(?:akia|asia)[a-z0-9]{12,}
    | (?<![a-z0-9])eyj[\w.-]{10,}
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
# What may be one: UUIDs (Scaleway's keys are such), long runs of hexadecimal or base64 digits.
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_RUN: Final = re.compile(r"[A-Za-z0-9+/]{32,}={0,2}|[A-Za-z0-9_-]{32,}={0,2}")
_WORDS: Final = re.compile(r"[a-z]{1,20}(?:[_-][a-z]{1,20})+")


def shown(text: str) -> str:
    """Return the text as it may be shown: masked, on one line, at most MAX_SHOWN_BYTES long."""
    if len(text) > _MAX_READ:
        # The last word may be the first half of a key, which no pattern would know.
        text = text[:_MAX_READ].rpartition(" ")[0]
    return cut(mask(one_line(text)), MAX_SHOWN_BYTES)


def one_line(text: str) -> str:
    """Replace runs of white space and control characters by one blank; drop invisible ones."""
    return " ".join("".join(map(_visible, text)).split())


def mask(text: str) -> str:
    """Replace all that is, or may be, a secret by MASK. Identifiers in lower case stay."""
    text = _UUID.sub(MASK, mask_secrets(text))
    return _RUN.sub(lambda run: run[0] if _WORDS.fullmatch(run[0]) else MASK, text)


def mask_secrets(text: str) -> str:
    """Replace what is a secret by its form, and leave ids alone: for the caller's own text."""
    return _SECRETS.sub(MASK, text)


def holds_secret(text: str) -> bool:
    """Tell whether there is something in the text that is a secret by its form."""
    return _SECRETS.search(text) is not None


def cut(text: str, limit_bytes: int) -> str:
    """Shorten to `limit_bytes` of UTF-8, never in the middle of a character."""
    return text.encode("utf-8", "replace")[:limit_bytes].decode("utf-8", "ignore")


def _visible(character: str) -> str:
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp":
            return " "
        case "Cf" | "Cs" | "Co" | "Cn":
            return ""
        case _:
            return character
