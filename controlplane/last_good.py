"""The last good version of each object: what a bad document falls back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from controlplane.accept import Checked
from controlplane.table.schema import Provider, Route, Table
from controlplane.table.snapshot import NO_FINGERPRINTS, Fingerprints
from controlplane.verdict import Verdict

ValueT = TypeVar("ValueT", Provider, Route)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Generic[ValueT]):
    """The last good version of one object.

    value: as its manifest had it; a route's targets and names are not cut down.
    origin: the file it came from, empty if it came from a table.
    namespace: its own, empty if it came from a table, which knows none.
    """

    value: ValueT
    origin: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Generic[ValueT]):
    """An object without a flaw as a compilation left it, and all that decided it.

    As long as nothing of that is another, the next compilation may take the result as it is.

    checked: its document. needs: the providers of a route's targets. value: as the table has it.
    """

    checked: Checked
    needs: tuple[Kept[Provider], ...] = ()
    kept: Kept[ValueT]
    value: ValueT
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What spares the next compilation work, and never changes its result.

    checked: documents already looked at, by origin and index. prints: hashes of the table's content.
    """

    checked: Mapping[tuple[str, int], Checked] = field(default_factory=dict)
    providers: Mapping[str, Settled[Provider]] = field(default_factory=dict)
    routes: Mapping[str, Settled[Route]] = field(default_factory=dict)
    prints: Fingerprints = NO_FINGERPRINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGood:
    """What the next compilation falls back to, by name, and what it need not do again."""

    providers: Mapping[str, Kept[Provider]] = field(default_factory=dict)
    routes: Mapping[str, Kept[Route]] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    @classmethod
    def of_table(cls, table: Table) -> LastGood:
        """Take a table, like one from the disk, as the last good version of all that it holds."""
        return cls(
            providers={name: Kept(value=value) for name, value in table.providers.items()},
            routes={name: Kept(value=_draft(value)) for name, value in table.routes.items()},
        )


NOTHING_GOOD = LastGood()


def counted(fresh: ValueT, earlier: Kept[ValueT] | None) -> ValueT:
    """Give a fresh value its generation: one more than the earlier if it differs, from 1."""
    if earlier is None:
        return fresh
    generation = earlier.value.generation
    if replace(fresh, generation=generation) == earlier.value:
        return earlier.value
    return replace(fresh, generation=generation + 1)


def _draft(route: Route) -> Route:
    return replace(route, targets=tuple(replace(target, key="") for target in route.targets))
