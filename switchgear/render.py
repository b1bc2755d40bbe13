"""Text for people and for programs: tables in columns, durations, JSON and YAML."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from dataplane import codec

ABSENT = "-"


class Output(StrEnum):
    """How a command shows what it got."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows below a head, each column as wide as its longest cell, three spaces apart.

    Empty cells show as a dash. The text ends without a newline.
    """
    cells = [list(head), *([cell or ABSENT for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def span(seconds: float | None) -> str:
    """Write a duration in its two largest units: `850ms`, `12s`, `3m05s`, `2h10m`, `4d02h`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    for size, unit, small, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // small:02d}{small_unit}"
    return f"{whole}s"


def milliseconds(value: float | None) -> str:
    """Write a latency: `0.8ms`, `42ms`, `1.3s`."""
    if value is None:
        return ""
    if value >= 1000:
        return f"{value / 1000:.1f}s"
    return f"{value:.1f}ms" if value < 10 else f"{value:.0f}ms"


def document(value: Any, output: Output) -> str:
    """Write decoded JSON as JSON or YAML, without a newline at the end."""
    if output is Output.YAML:
        import yaml

        text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
        return text.rstrip("\n")
    return codec.encode_pretty(value).decode()
