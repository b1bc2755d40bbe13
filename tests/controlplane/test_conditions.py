from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.conditions import (
    NO_CIRCUITS,
    Circuits,
    ConditionStatus,
    ConditionType,
    evaluate,
    transition,
)
from controlplane.verdict import ACCEPTED, RESOLVED, InForce, Judgement, ObjectKey, Verdict

GOOD = Verdict(
    key=ObjectKey(kind="LLMProvider", name="a"),
    origin="a.yaml",
    document=1,
    line=1,
    generation=3,
    accepted=ACCEPTED,
    resolved=RESOLVED,
    in_force=InForce.CURRENT,
)
INVALID = Judgement(holds=False, reason="InvalidSpec", message="spec.type: is required")
MISSING = Judgement(holds=False, reason="ProviderNotFound", message="there is no provider")


def told(verdict: Verdict, circuits: Circuits = NO_CIRCUITS, pending: str = "") -> dict[str, str]:
    return {
        condition.type: f"{condition.status}/{condition.reason}"
        for condition in evaluate(verdict, circuits=circuits, pending=pending)
    }


def test_a_good_object_is_ready_and_has_all_five() -> None:
    assert {
        "Accepted": "True/Accepted",
        "ResolvedRefs": "True/ResolvedRefs",
        "Programmed": "True/Programmed",
        "Ready": "True/Ready",
        "Healthy": "Unknown/NoTraffic",
    } == told(GOOD)


@pytest.mark.parametrize(
    ("verdict", "changed"),
    [
        (
            replace(GOOD, accepted=INVALID, in_force=InForce.LAST_GOOD),
            {
                "Accepted": "False/InvalidSpec",
                "Programmed": "False/Stale",
                "Ready": "False/InvalidSpec",
                "Stalled": "True/InvalidSpec",
            },
        ),
        (
            replace(GOOD, accepted=INVALID, in_force=InForce.NONE, generation=0),
            {
                "Accepted": "False/InvalidSpec",
                "Programmed": "False/NotInForce",
                "Ready": "False/InvalidSpec",
                "Stalled": "True/InvalidSpec",
            },
        ),
        (
            replace(GOOD, resolved=MISSING),
            {
                "ResolvedRefs": "False/ProviderNotFound",
                "Ready": "False/ProviderNotFound",
                "Stalled": "True/ProviderNotFound",
            },
        ),
    ],
)
def test_ready_gives_the_first_reason_that_it_is_not(
    verdict: Verdict, changed: dict[str, str]
) -> None:
    assert told(GOOD) | changed == told(verdict)


@pytest.mark.parametrize(
    ("circuits", "healthy"),
    [
        (Circuits(known=2, used=1, closed=2), "True/CircuitsClosed"),
        (Circuits(known=2, used=1, closed=1), "False/Degraded"),
        (Circuits(known=2, used=2, closed=0), "False/CircuitOpen"),
        (Circuits(known=2, used=0, closed=2), "Unknown/NoTraffic"),
    ],
)
def test_an_outage_moves_healthy_and_never_ready(circuits: Circuits, healthy: str) -> None:
    assert told(GOOD) | {"Healthy": healthy} == told(GOOD, circuits)


def test_what_the_brake_holds_is_reconciling() -> None:
    assert told(GOOD) | {"Reconciling": "True/Braked"} == told(GOOD, pending="3 of 4 are gone")


def test_a_time_changes_only_when_the_status_does() -> None:
    first = transition((), evaluate(GOOD, circuits=NO_CIRCUITS), 10.0)
    bad = replace(GOOD, accepted=INVALID)
    second = transition(first, evaluate(bad, circuits=NO_CIRCUITS), 20.0)
    worse = replace(INVALID, message="something else")
    third = transition(second, evaluate(replace(GOOD, accepted=worse), circuits=NO_CIRCUITS), 30.0)

    assert {10.0} == {condition.since_s for condition in first}
    assert {
        ConditionType.ACCEPTED: 20.0,
        ConditionType.RESOLVED_REFS: 10.0,
        ConditionType.PROGRAMMED: 10.0,
        ConditionType.READY: 20.0,
        ConditionType.HEALTHY: 10.0,
        ConditionType.STALLED: 20.0,
    } == {condition.type: condition.since_s for condition in second}
    assert [c.since_s for c in second] == [c.since_s for c in third]


def test_each_condition_carries_the_generation_in_force() -> None:
    conditions = evaluate(GOOD, circuits=NO_CIRCUITS)

    assert {3} == {condition.observed_generation for condition in conditions}
    assert ConditionStatus.TRUE is conditions[0].status
