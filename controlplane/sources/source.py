"""What the control loop needs of a source of manifests.

A source yields the whole set each time it is read, never what changed. Its watch only says that
reading may be worth while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from controlplane.document import Document
from controlplane.problems import Problem


class SourceState(StrEnum):
    """How a reading went.

    SYNCED: the documents are all there is. DEGRADED: part of it could not be read.
    MISSING: there is nothing to read from, which is not the same as an empty set.
    """

    SYNCED = "synced"
    DEGRADED = "degraded"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResult:
    """One reading, consistent in itself.

    documents: in order of origin and index; those that did not change are the same objects as in
        the reading before.
    problems: with what could not be read.
    unreadable: files, and directories, of which nothing is known now. What was in force from them
        stays.
    detail: why the state is what it is, for people; empty when synced.
    """

    documents: Sequence[Document]
    problems: Sequence[Problem] = ()
    state: SourceState = SourceState.SYNCED
    unreadable: frozenset[str] = frozenset()
    detail: str = ""


class Source(Protocol):
    """Where manifests come from.

    kind: `files` or `kubernetes`. path: what it reads, for people.
    """

    @property
    def kind(self) -> str:
        """The kind of source."""
        ...

    @property
    def path(self) -> str:
        """What it reads."""
        ...

    async def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever reading may give something new, until cancelled.

        May raise anything: the loop starts it again, and reads at its own pace meanwhile.
        """
        ...

    async def read(self) -> SourceResult:
        """Read everything. May raise anything: what is in force then stays."""
        ...
