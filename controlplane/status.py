"""What the control loop tells of itself, for the admin port and the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controlplane.conditions import NO_CIRCUITS, Circuits, Condition, evaluate, transition
from controlplane.problems import Problem
from controlplane.sources.source import SourceState
from controlplane.table.live import LiveTable
from controlplane.verdict import InForce, ObjectKey, Verdict


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
    last_success_age_s: float | None


def circuits_of(verdict: Verdict, live: LiveTable, now_s: float) -> Circuits:
    """Count the circuits behind an object: those of a provider's targets, or of a route's."""
    if verdict.in_force is InForce.NONE:
        return NO_CIRCUITS
    name = verdict.key.name
    if verdict.key.kind == "LLMProvider":
        targets = live.layout.targets.get(name, ())
    else:
        route = live.table.routes.get(name)
        pairs = (
            {(target.provider, target.model): target for target in route.targets} if route else {}
        )
        targets = tuple(pairs.values())
    circuits = [circuit for target in targets if (circuit := live.circuit(target, now_s))]
    return Circuits(
        known=len(circuits),
        used=sum(circuit.used for circuit in circuits),
        closed=sum(circuit.closed for circuit in circuits),
    )


class Conditions:
    """The conditions of all objects, each with the time of its latest transition.

    What did not change is not made again: it is the same sequence as the time before.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[str, int, ObjectKey], _Told] = {}

    def of(
        self, verdicts: Sequence[Verdict], live: LiveTable, *, braked: str, now_s: float
    ) -> Iterator[ObjectStatus]:
        """Tell of objects, one by one; those that are not among them are forgotten at the end.

        braked: why objects that no document names are still in force, or empty.
        """
        for verdict in verdicts:
            circuits = circuits_of(verdict, live, now_s)
            pending = "" if verdict.document else braked
            yield ObjectStatus(
                key=verdict.key,
                origin=verdict.origin,
                line=verdict.line,
                generation=verdict.generation,
                conditions=self._conditions(verdict, circuits, pending, now_s),
            )
        if len(self._told) > len(verdicts):
            places = {_place(verdict) for verdict in verdicts}
            for place in self._told.keys() - places:
                del self._told[place]

    def _conditions(
        self, verdict: Verdict, circuits: Circuits, pending: str, now_s: float
    ) -> Sequence[Condition]:
        place = _place(verdict)
        told = self._told.get(place)
        if (
            told is not None
            and told.verdict is verdict
            and told.circuits == circuits
            and told.pending == pending
        ):
            return told.conditions
        fresh = evaluate(verdict, circuits=circuits, pending=pending)
        conditions = transition(told.conditions if told else (), fresh, now_s)
        self._told[place] = _Told(
            verdict=verdict, circuits=circuits, pending=pending, conditions=conditions
        )
        return conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What an object's conditions were made from, and they."""

    verdict: Verdict
    circuits: Circuits
    pending: str
    conditions: Sequence[Condition]


def _place(verdict: Verdict) -> tuple[str, int, ObjectKey]:
    return verdict.origin, verdict.document, verdict.key
