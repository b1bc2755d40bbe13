"""What became of each object: the words that compiling reports in, and conditions are made from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKey:
    """What an object is known by. An absent namespace is `default`."""

    kind: str
    name: str
    namespace: str = DEFAULT_NAMESPACE

    def __str__(self) -> str:
        """Read like `LLMProvider/openai-primary`."""
        return f"{self.kind}/{self.name}"


class InForce(StrEnum):
    """Which version of an object the table holds."""

    CURRENT = "current"
    LAST_GOOD = "last_good"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One answer about an object, with a reason in CamelCase and words for people."""

    holds: bool
    reason: str
    message: str = ""


ACCEPTED = Judgement(holds=True, reason="Accepted")
RESOLVED = Judgement(holds=True, reason="ResolvedRefs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one object.

    origin, document, line: where it stands; document and line are 0 if it is only remembered.
    generation: of the version in force, 0 if none is.
    """

    key: ObjectKey
    origin: str
    document: int
    line: int
    generation: int
    accepted: Judgement
    resolved: Judgement
    in_force: InForce
