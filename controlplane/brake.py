"""The brake on mass deletion: losing most providers at once is a slip until proven otherwise."""

from __future__ import annotations

from collections.abc import Collection


class Brake:
    """Holds when more than half of the providers in force would go at once; pure but for its memory.

    hold_s: seconds for which the source must keep saying the same before it is believed. A source
        that leaves no provider at all is never believed: to stop, suspend them.
    """

    def __init__(self, hold_s: float = 30.0) -> None:
        self._hold_s = hold_s
        self._lost: frozenset[str] = frozenset()
        self._total = 0
        self._since_s = 0.0

    def holds(self, before: Collection[str], after: Collection[str], now_s: float) -> str:
        """Say why what is missing in `after` must stay, or return nothing if it may go."""
        lost = frozenset(before) - frozenset(after)
        # What is held stays in `before`, and so may new ones: they do not make the loss smaller.
        if not lost & self._lost:
            self._total = len(before)
        if len(lost) * 2 <= self._total:
            self._lost = frozenset()
            return ""
        if lost != self._lost:
            self._lost = lost
            self._since_s = now_s
        gone = f"{len(lost)} of {self._total} providers are gone from the source"
        if not after:
            return f"{gone}: the table is never emptied; suspend providers to stop them"
        if now_s - self._since_s < self._hold_s:
            return f"{gone}: they stay in force until that has been so for {self._hold_s:g} s"
        return ""

    def remaining_s(self, now_s: float) -> float | None:
        """Seconds until a held loss may be believed, None if nothing is held."""
        return max(0.0, self._since_s + self._hold_s - now_s) if self._lost else None
