"""What the control loop tells of itself, for the admin port and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.conditions import NO_CIRCUITS, Circuits, Condition
from controlplane.problems import Problem
from controlplane.sources.source import SourceState
from controlplane.table.schema import Table
from controlplane.table.view import ProviderView, StateName, TargetView
from controlplane.verdict import InForce, ObjectKey, Verdict

_PASSING = frozenset({StateName.CLOSED, StateName.FORCED_CLOSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """The source at its latest reading; detail is empty when all is well."""

    kind: str
    path: str
    state: SourceState
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStatus:
    """One object: where it stands, which generation is in force (0: none), its conditions."""

    key: ObjectKey
    origin: str
    line: int
    generation: int
    conditions: Sequence[Condition]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileStatus:
    """The loop as it is now.

    generation, version: of the table in force; 0 and empty before the first.
    started_from_disk: the table is that of the disk, and the source has not confirmed or replaced
        it yet.
    braked: why objects that the source lost are still in force, or empty.
    store_detail: what is wrong with the copy on disk, or empty.
    rounds: how often the loop has gone round, a sign that it is alive.
    last_success_age_s: seconds since the source was last read in full, None before the first time.
    """

    generation: int
    version: str
    source: SourceStatus
    started_from_disk: bool
    braked: str
    store_detail: str
    rounds: int
    problems: Sequence[Problem]
    objects: Sequence[ObjectStatus]
    last_success_age_s: float | None


def circuits_of(verdict: Verdict, table: Table, providers: Mapping[str, ProviderView]) -> Circuits:
    """Count the circuits behind an object: those of a provider's targets, or of a route's."""
    if verdict.in_force is InForce.NONE:
        return NO_CIRCUITS
    name = verdict.key.name
    if verdict.key.kind == "LLMProvider":
        provider = providers.get(name)
        pairs = [(provider, target) for target in provider.targets] if provider else []
    else:
        route = table.routes.get(name)
        wanted = {(target.provider, target.model) for target in route.targets} if route else set()
        pairs = [
            (provider, target)
            for provider in providers.values()
            for target in provider.targets
            if (target.provider, target.model) in wanted
        ]
    return Circuits(
        known=len(pairs),
        used=sum(1 for _, target in pairs if target.successes or target.failures),
        closed=sum(1 for provider, target in pairs if _lets_through(provider, target)),
    )


def _lets_through(provider: ProviderView, target: TargetView) -> bool:
    return (
        target.state in _PASSING
        and provider.credential_open_in_s is None
        and provider.healthy is not False
    )
