"""What the double of Ollama can be told to do wrong.

Source of the shapes: the handlers of Ollama's server at 0.33.0, read 2026-11-22.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

BUSY = "server busy, please try again.  maximum pending requests exceeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one request.

    status, error: answered at once. Without a status, `after_lines` lines of the stream are written
    first (0: nothing, not even the head), then `gate` is awaited, and then: `error` goes out as a
    line, or the connection is dropped, or, with neither, the rest follows.
    """

    status: int | None = None
    error: str = ""
    after_lines: int = 0
    gate: asyncio.Event | None = None
    drop: bool = False


NO_FAULT = Fault()


def busy() -> Fault:
    """Make the queue full."""
    return Fault(status=503, error=BUSY)


def failing(status: int, error: str) -> Fault:
    """Answer with an error status."""
    return Fault(status=status, error=error)


def error_after(lines: int, error: str = "unexpectedly stopped") -> Fault:
    """Break the model down after some lines; the status is 200 by then, unless it is none."""
    return Fault(after_lines=lines, error=error)


def held(gate: asyncio.Event, *, after_lines: int = 0) -> Fault:
    """Be slow: go on when `gate` is set. Hang for ever if nobody sets it."""
    return Fault(after_lines=after_lines, gate=gate)


def dropped_after(lines: int) -> Fault:
    """Close the connection in the middle of the stream."""
    return Fault(after_lines=lines, drop=True)
