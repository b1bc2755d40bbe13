"""Random hex digits for the ids of requests, traces and spans; not for secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

DRAWN_BYTES: Final = 512


class RandomHex:
    """Hands out hex digits that are drawn many at a time, which costs a tenth of one by one."""

    __slots__ = ("_at", "_digits", "_random_bytes")

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        """Draw from `random_bytes`, which gives so many bytes."""
        self._random_bytes = random_bytes
        self._digits = ""
        self._at = 0

    def draw(self, count: int) -> str:
        """Give `count` digits, at most twice DRAWN_BYTES; none is given twice."""
        start = self._at
        end = start + count
        if end > len(self._digits):
            self._digits = self._random_bytes(DRAWN_BYTES).hex()
            start, end = 0, count
        self._at = end
        return self._digits[start:end]
