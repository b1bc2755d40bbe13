"""What is wrong with a manifest, as data: where it stands, what it is about, and why.

Bad manifests are never exceptions. Messages name the thing and the value, but never a value that
could be a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """ERROR: what is named is not in force as written. WARNING: it is, but look at it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding.

    origin: the file, as the person who named the directory would write it; empty if none.
    document: which document of the file, from 1; 0 means the file as a whole.
    line: from 1; 0 if no line can be named.
    path: the field, like `spec.timeouts.connect` or `spec.targets[2].provider`; may be empty.
    object: kind and name, like `LLMProvider/openai-primary`; empty if not known.
    """

    origin: str
    message: str
    document: int = 0
    line: int = 0
    path: str = ""
    object: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Read like `chat.yaml:7: LLMRoute/chat: spec.targets[0].provider: no provider "x"`."""
        place = f"{self.origin}:{self.line}" if self.line else self.origin
        mark = "warning" if self.severity is Severity.WARNING else ""
        return ": ".join(
            part for part in (place, mark, self.object, self.path, self.message) if part
        )


def by_place(problems: Iterable[Problem]) -> Sequence[Problem]:
    """Sort for people: by file, line, path and text; equal problems are named once."""
    return sorted(
        dict.fromkeys(problems),
        key=lambda problem: (
            problem.origin,
            problem.line,
            problem.document,
            problem.path,
            problem.message,
        ),
    )


def has_errors(problems: Iterable[Problem]) -> bool:
    """Tell whether any of them is an error."""
    return any(problem.severity is Severity.ERROR for problem in problems)
