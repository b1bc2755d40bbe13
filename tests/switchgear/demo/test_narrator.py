"""What the demo prints: plain where nobody looks, coloured on a terminal that wants it."""

from __future__ import annotations

import io

import pytest

from switchgear.demo.narrator import Narrator, Tone, wants_colour


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "no_color", "wanted"),
    [
        (Terminal(), None, True),
        (Terminal(), "", True),
        (Terminal(), "1", False),
        (io.StringIO(), None, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    out: io.StringIO, no_color: str | None, wanted: bool
) -> None:
    assert wanted == wants_colour(out, no_color)


def test_steps_are_numbered_and_paragraphs_wrapped() -> None:
    out = io.StringIO()
    say = Narrator(out, colour=False)
    say.step("First")
    say.tell("word " * 40, Tone.BAD)
    say.step("Second")

    lines = out.getvalue().splitlines()
    assert ["", "1. First"] == lines[:2]
    assert ["", "2. Second"] == lines[-2:]
    assert {True} == {line.startswith("   word") and len(line) <= 96 for line in lines[2:-2]}


def test_colour_is_undone_at_the_end_of_each_line() -> None:
    out = io.StringIO()
    Narrator(out, colour=True).say("bad", Tone.BAD)

    assert "\x1b[31mbad\x1b[0m\n" == out.getvalue()
