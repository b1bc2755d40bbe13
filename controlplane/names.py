"""Kubernetes' rules for names and labels, and the nearest name to a mistyped one.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names and
…/labels, read 2026-11-24.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


_MANY = 100
"""Known names beyond which the nearest is not sought: comparing with all takes too long."""


def is_object_name(text: str) -> bool:
    """Tell whether it may name an object: lower case, digits, `-` and `.`, at most 253 long."""
    return len(text) <= 253 and _DNS_SUBDOMAIN.fullmatch(text) is not None


def is_namespace(text: str) -> bool:
    """Tell whether it may name a namespace: lower case, digits and `-`, at most 63 long."""
    return _DNS_LABEL.fullmatch(text) is not None


def is_label_key(text: str) -> bool:
    """Tell whether it may be the key of a label or annotation: `name` or `prefix.domain/name`."""
    prefix, slash, name = text.rpartition("/")
    return _QUALIFIED.fullmatch(name) is not None and (not slash or is_object_name(prefix))


def is_label_value(text: str) -> bool:
    """Tell whether it may be the value of a label: at most 63 long, may be empty."""
    return not text or _QUALIFIED.fullmatch(text) is not None


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that was most likely meant, or None if none is near.

    Differences of case, `-` and `_` do not count. Among many names none is sought.
    """
    if len(known) > _MANY:
        return None
    folded: dict[str, str] = {}
    for candidate in sorted(known):
        folded.setdefault(_folded(candidate), candidate)
    matches = difflib.get_close_matches(_folded(name)[:100], folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return `; did you mean "x"?` for the nearest known name, or nothing."""
    match = nearest(name, known)
    return f'; did you mean "{match}"?' if match else ""


def _folded(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")
