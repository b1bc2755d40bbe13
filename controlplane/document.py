"""One document as a source read it: decoded content, and the line of each field.

Sources make documents (YAML, JSON, the Kubernetes API); compiling reads them. Nothing here parses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

FieldPath: TypeAlias = tuple[str | int, ...]
"""The way to a field: `("spec", "targets", 2, "provider")`; `()` is the document."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """One manifest, not looked at yet. A document is equal to itself only.

    origin: the file as people know it. index: which document of it, from 1; the items of a
        `kind: List` count one by one.
    content: what was decoded: mappings, lists, text, numbers, booleans, None.
    lines: from 1, in the order of the content: the document itself, then each field name or list
        item, a field before what it holds. One small number a field keeps thousands of
        documents small. Empty if the source knows no lines.
    """

    origin: str
    index: int
    content: Any
    lines: Sequence[int] = ()

    def line_of(self, path: FieldPath) -> int:
        """Return the line of a field, or of the nearest one around it; 0 if there are no lines."""
        if not self.lines:
            return 0
        position = 0
        content = self.content
        for part in path:
            step = _step(content, part)
            if step is None:
                break
            distance, content = step
            position += distance
        return self.lines[position]


def size(content: Any) -> int:
    """Count the fields and items inside of a decoded value, at any depth."""
    return sum(1 + size(child) for _, child in _children(content))


def dotted(path: FieldPath) -> str:
    """Write a path for people: `spec.targets[2].provider`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _step(content: Any, part: str | int) -> tuple[int, Any] | None:
    """Return how many lines on a field stands, and what it holds; None if it is not there."""
    distance = 1
    for name, child in _children(content):
        if name == part:
            return distance, child
        distance += 1 + size(child)
    return None


def _children(content: Any) -> Sequence[tuple[str | int, Any]]:
    match content:
        case dict():
            return tuple(content.items())
        case list():
            return tuple(enumerate(content))
        case _:
            return ()
