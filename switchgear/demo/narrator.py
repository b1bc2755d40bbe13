"""What the demo prints: plain text, with a little colour on a terminal."""

from __future__ import annotations

import textwrap
from enum import StrEnum
from typing import IO, Final

_WIDTH: Final = 96


class Tone(StrEnum):
    """How a line looks; the value is the terminal's code for it."""

    PLAIN = ""
    TITLE = "1;36"
    GOOD = "32"
    BAD = "31"
    QUIET = "2"


class Narrator:
    """Writes to `out`. colour: whether to use it; see `wants_colour`."""

    def __init__(self, out: IO[str], *, colour: bool) -> None:
        """Keep where to write, and begin with the first step."""
        self._out = out
        self._colour = colour
        self._step = 0

    def step(self, title: str) -> None:
        """Begin the next numbered step."""
        self._step += 1
        self.say("")
        self.say(f"{self._step}. {title}", Tone.TITLE)

    def tell(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Write a paragraph of a step, wrapped and indented."""
        indent = "   "
        for line in textwrap.wrap(
            text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        ):
            self.say(line, tone)

    def say(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Write a line as it is."""
        self.piece((f"\x1b[{tone}m{text}\x1b[0m" if self._colour and tone else text) + "\n")

    def piece(self, text: str) -> None:
        """Write a piece of a line, at once."""
        self._out.write(text)
        self._out.flush()


def wants_colour(out: IO[str], no_color: str | None) -> bool:
    """Tell whether to use colour: on a terminal, unless NO_COLOR is set to anything.

    Source: no-color.org, read 2026-11-25: "when present and not an empty string".
    """
    return out.isatty() and not no_color
