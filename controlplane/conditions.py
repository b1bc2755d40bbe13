"""Conditions of an object, as Kubernetes users read them; pure.

Accepted, ResolvedRefs, Programmed, Ready (the three before) and Healthy are always there; Stalled
and Reconciling only while they are true, as kstatus expects. A provider's outage moves Healthy and
never Ready, so that it does not stop anybody's roll-out.

Source: https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus, read 2026-11-24.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from controlplane.verdict import InForce, Judgement, Verdict


class ConditionType(StrEnum):
    """What a condition is about."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    READY = "Ready"
    HEALTHY = "Healthy"
    STALLED = "Stalled"
    RECONCILING = "Reconciling"


class ConditionStatus(StrEnum):
    """Kubernetes' three truth values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition.

    reason: in CamelCase. message: for people, without counters and times.
    observed_generation: of the version in force.
    since_s: monotonic time at which the status became what it is.
    """

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int
    since_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuits:
    """How many of an object's targets are known, used at all, and let traffic through."""

    known: int
    used: int
    closed: int


NO_CIRCUITS = Circuits(known=0, used=0, closed=0)


def evaluate(verdict: Verdict, *, circuits: Circuits, pending: str = "") -> Sequence[Condition]:
    """Derive the conditions of an object of the table in force.

    pending: why what is in force is not what was asked for yet (the brake), or empty.
    """
    accepted = _plain(ConditionType.ACCEPTED, verdict.accepted, verdict)
    resolved = _plain(ConditionType.RESOLVED_REFS, verdict.resolved, verdict)
    programmed = _programmed(verdict)
    ready = _ready((accepted, resolved, programmed))
    conditions = [accepted, resolved, programmed, ready, _healthy(verdict, circuits)]
    if not (verdict.accepted.holds and verdict.resolved.holds):
        failed = verdict.resolved if verdict.accepted.holds else verdict.accepted
        conditions.append(
            _condition(
                ConditionType.STALLED, ConditionStatus.TRUE, failed.reason, failed.message, verdict
            )
        )
    elif pending:
        conditions.append(
            _condition(ConditionType.RECONCILING, ConditionStatus.TRUE, "Braked", pending, verdict)
        )
    return conditions


def transition(
    before: Sequence[Condition], after: Sequence[Condition], now_s: float
) -> Sequence[Condition]:
    """Return `after` with times: a status that did not change keeps its own, others get `now_s`."""
    known = {condition.type: condition for condition in before}
    result = []
    for condition in after:
        earlier = known.get(condition.type)
        same = earlier is not None and earlier.status is condition.status
        since_s = earlier.since_s if earlier is not None and same else now_s
        result.append(replace(condition, since_s=since_s))
    return result


def _programmed(verdict: Verdict) -> Condition:
    kind = ConditionType.PROGRAMMED
    match verdict.in_force:
        case InForce.CURRENT:
            return _condition(kind, ConditionStatus.TRUE, "Programmed", "", verdict)
        case InForce.LAST_GOOD:
            return _condition(
                kind, ConditionStatus.FALSE, "Stale", "its last good version is in force", verdict
            )
        case InForce.NONE:
            return _condition(
                kind, ConditionStatus.FALSE, "NotInForce", "no version is in force", verdict
            )
        case _:
            assert_never(verdict.in_force)


def _ready(parts: Sequence[Condition]) -> Condition:
    """All three, or the first that is not true."""
    for part in parts:
        if part.status is not ConditionStatus.TRUE:
            return replace(part, type=ConditionType.READY)
    return replace(parts[0], type=ConditionType.READY, reason="Ready", message="")


def _healthy(verdict: Verdict, circuits: Circuits) -> Condition:
    kind = ConditionType.HEALTHY
    if circuits.known > circuits.closed:
        reason = "Degraded" if circuits.closed else "CircuitOpen"
        message = "some circuits are open" if circuits.closed else "all circuits are open"
        return _condition(kind, ConditionStatus.FALSE, reason, message, verdict)
    if not circuits.used:
        return _condition(kind, ConditionStatus.UNKNOWN, "NoTraffic", "", verdict)
    return _condition(kind, ConditionStatus.TRUE, "CircuitsClosed", "", verdict)


def _plain(kind: ConditionType, judgement: Judgement, verdict: Verdict) -> Condition:
    status = ConditionStatus.TRUE if judgement.holds else ConditionStatus.FALSE
    return _condition(kind, status, judgement.reason, judgement.message, verdict)


def _condition(
    kind: ConditionType, status: ConditionStatus, reason: str, message: str, verdict: Verdict
) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=verdict.generation,
    )
