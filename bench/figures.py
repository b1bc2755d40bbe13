"""Medians, spreads and ratios of rounds; pure.

A round that gave no figure is None, so that rounds of two candidates stay side by side.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SMALL = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What rounds came to: their median, the lowest, the highest, and how many gave a figure."""

    median: float
    low: float
    high: float
    rounds: int


def spread(rounds: Sequence[float | None]) -> Spread | None:
    """Sum up rounds; None if none gave a figure."""
    values = [value for value in rounds if value is not None]
    if not values:
        return None
    return Spread(
        median=statistics.median(values), low=min(values), high=max(values), rounds=len(values)
    )


def ratios(over: Sequence[float | None], under: Sequence[float | None]) -> Sequence[float | None]:
    """Divide round by round; None where either has no figure, or `under` is not above 0.

    Two figures of one round were taken within seconds of each other, so what troubled the machine
    troubled both: ratios stay where the figures themselves wander.
    """
    return [
        one / other if one is not None and other is not None and other > 0 else None
        for one, other in _paired(over, under)
    ]


def differences(
    left: Sequence[float | None], right: Sequence[float | None]
) -> Sequence[float | None]:
    """Subtract `right` from `left`, round by round; None where either has no figure."""
    return [
        one - other if one is not None and other is not None else None
        for one, other in _paired(left, right)
    ]


def _paired(
    left: Sequence[float | None], right: Sequence[float | None]
) -> Iterable[tuple[float | None, float | None]]:
    """Put rounds side by side; none if one of both was not measured at all."""
    return zip(left, right, strict=True) if left and right else ()


def shown(value: float) -> str:
    """Write a figure with three digits that count, and no more behind the point than that takes."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 or value == 0 else f"{value:.3f}"


def shown_spread(rounds: Sequence[float | None]) -> str:
    """Write `median (lowest-highest)`, or a dash where there is no figure."""
    found = spread(rounds)
    if found is None:
        return "-"
    if found.rounds == 1:
        return shown(found.median)
    return f"{shown(found.median)} ({shown(found.low)} to {shown(found.high)})"


def shown_share(value: float, *, like: float | None = None) -> str:
    """Write a ratio: small ones as one part of many, `1/72`; like: decides for all of a row."""
    small = 0 < (value if like is None else like) < _SMALL and value > 0
    return f"1/{1 / value:.3g}" if small else shown(value)
