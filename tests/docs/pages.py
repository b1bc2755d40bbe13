"""The pages of the documentation, and the sections in them that are made from the code.

A section stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`. What is between them is
written by `make golden`; everything else is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES: Sequence[str] = (
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/conformance.md",
    "docs/deployment.md",
    "docs/errors.md",
    "docs/manifests.md",
    "docs/operations.md",
    "docs/wire.md",
    "helm/switchgear/README.md",
    "manifests/README.md",
)

_SECTION = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- end: \2 -->\n)", re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$")
_ROW = re.compile(r"^\|.*\|$")


def read(page: str) -> str:
    """Return a page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


def sections(text: str) -> Mapping[str, str]:
    """Return the generated sections of a page by name."""
    return {found[2]: found[3] for found in _SECTION.finditer(text)}


def with_sections(text: str, made: Mapping[str, Callable[[], str]]) -> str:
    """Return the page with each generated section made anew."""

    def anew(found: re.Match[str]) -> str:
        return f"{found[1]}{made[found[2]]()}{found[4]}"

    return _SECTION.sub(anew, text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; `|` in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def part(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of any level. Fails without it."""
    lines = text.splitlines()
    starts = [
        at for at, line in enumerate(lines) if (m := _HEADING.match(line)) and m[1] == heading
    ]
    assert len(starts) == 1, f"{heading!r} stands {len(starts)} times"
    body = lines[starts[0] + 1 :]
    end = next((at for at, line in enumerate(body) if _HEADING.match(line)), len(body))
    return "\n".join(body[:end]) + "\n"


def first_words(text: str) -> Sequence[str]:
    """Return the first cell of each row of the tables in a text, heads left out, without ticks."""
    cells = []
    previous = ""
    for line in text.splitlines():
        if _ROW.match(line) and not line.startswith("| ---") and _ROW.match(previous):
            cells.append(line.split("|")[1].strip().strip("`"))
        previous = line
    return cells


def fences(text: str, language: str) -> Iterator[str]:
    """Give the fenced blocks of a language."""
    for found in re.finditer(rf"^ *```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
        yield found[1]
