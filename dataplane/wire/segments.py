"""Joins names to URLs, so that a name can never become more than one segment of a path."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote

_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f/\\?#%]")


def is_safe_segment(name: str) -> bool:
    """Tell whether a name may stand as one segment of a URL's path.

    Refused: empty, `.` and `..`, separators, control characters, spaces, `?`, `#` and `%`.
    """
    return bool(name) and name not in {".", ".."} and _UNSAFE.search(name) is None


@lru_cache(maxsize=256)
def path_segment(name: str) -> str:
    """Percent-encode a name as one segment. Raises ValueError if it is not a safe one."""
    if not is_safe_segment(name):
        raise ValueError(f"{name!r} cannot be a part of a URL's path")
    return quote(name, safe="")
