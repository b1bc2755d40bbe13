"""Durations as manifests write them: `250ms`, `30s`, `1m30s`, `1.5h`.

The notation is that of Go's time.ParseDuration, which Kubernetes users know, without signs and
without units below a microsecond. In code a duration is float seconds.

Source: https://pkg.go.dev/time#ParseDuration, read 2026-11-24.
"""

from __future__ import annotations

import re
from decimal import Decimal

PATTERN = r"^(0|([0-9]+(\.[0-9]+)?(h|ms|m|s|us|µs))+)$"
"""What a duration looks like, for JSON Schema; order of units is free, as in Go."""

MAX_S = 365 * 24 * 3600.0
"""The longest duration that is taken, a year of seconds: longer ones are slips."""

_UNIT_S = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
    "us": Decimal("0.000001"),
    "µs": Decimal("0.000001"),
    "μs": Decimal("0.000001"),
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|us|µs|μs|m|s)", re.ASCII)
_MAX_LENGTH = 64


class DurationError(ValueError):
    """The text is no duration; the message says why, and how one looks."""


def parse(text: str) -> float:
    """Return the seconds that `text` means, in [0, MAX_S]. Raises DurationError.

    `0` needs no unit, all else does. Exact to the microsecond.
    """
    if text == "0":
        return 0.0
    if len(text) > _MAX_LENGTH:
        raise DurationError("is too long for a duration; write it like 30s")
    total = Decimal(0)
    position = 0
    while match := _PART.match(text, position):
        total += Decimal(match[1]) * _UNIT_S[match[2]]
        position = match.end()
    if position == 0 or position != len(text):
        raise DurationError(f'"{text}" is not a duration; write it like 250ms, 30s or 1m30s')
    if total > Decimal(MAX_S):
        raise DurationError(f'"{text}" is longer than a year')
    return float(total)


def format_s(seconds: float) -> str:
    """Write seconds the shortest way that `parse` reads back, to the microsecond: `1m30s`.

    Raises ValueError outside of [0, MAX_S].
    """
    if not 0 <= seconds <= MAX_S:
        raise ValueError(f"{seconds!r} seconds are outside of 0 to {MAX_S:.0f}")
    micros = round(seconds * 1_000_000)
    if micros == 0:
        return "0s"
    if micros < 1000:
        return f"{micros}us"
    if micros < 1_000_000:
        return f"{_plain(Decimal(micros) / 1000)}ms"
    whole_minutes, rest = divmod(micros, 60_000_000)
    hours, minutes = divmod(whole_minutes, 60)
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
    return text + (f"{_plain(Decimal(rest) / 1_000_000)}s" if rest else "")


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
