from __future__ import annotations

from dataclasses import replace

from controlplane.table.layout import EMPTY_LAYOUT, lay_out, prepare
from controlplane.table.live import LiveTable, StateName, Transition
from controlplane.table.schema import BreakerMode
from tests.controlplane.table.tables import (
    POLICY,
    provider,
    route,
    table,
    target,
    zero,
)

A, B = provider("a"), provider("b")
TWIN = replace(A, name="twin", breaker=replace(POLICY, consecutive_failures=7))


def test_the_first_that_a_route_names_decides_over_a_shared_identity() -> None:
    made = lay_out(table([A, TWIN], [route([target(TWIN), target(A)])]))

    (place,) = made.places.values()
    assert (TWIN.breaker, "twin") == (place.policy, place.target.provider)
    assert {A.credential_key: "a"} == made.owners
    assert {"a": (target(A),), "twin": (target(TWIN),)} == made.targets


def test_a_target_without_a_provider_has_no_place() -> None:
    made = lay_out(table([A], [route([target(A), target(B)])]))

    assert [target(A).key] == list(made.places)


def test_what_did_not_change_is_taken_over() -> None:
    routes = [route([target(A), target(B)])]
    before = lay_out(table([A, B], routes))

    after = lay_out(table([A, replace(B, breaker=replace(POLICY, open_s=1.0))], routes), before)

    assert before.places[target(A).key] is after.places[target(A).key]
    assert 1.0 == after.places[target(B).key].policy.open_s


def test_only_targets_of_another_mode_move() -> None:
    forced = replace(B, breaker=replace(POLICY, mode=BreakerMode.FORCE_OPEN))
    before = lay_out(table([A, B]))

    (move,) = prepare(table([A, forced]), before).moves

    assert ("b", BreakerMode.AUTO, BreakerMode.FORCE_OPEN) == (
        move.target.provider,
        move.before,
        move.after,
    )
    assert () == tuple(prepare(table([A, forced]), EMPTY_LAYOUT).moves)


def test_an_install_that_was_prepared_over_another_layout_is_prepared_again() -> None:
    """Else a target that moved meanwhile would not be told of."""
    live = LiveTable(random=zero)
    told: list[Transition] = []
    live.subscribe(told.append)
    forced = table([replace(A, breaker=replace(POLICY, mode=BreakerMode.FORCE_OPEN))])
    stale = prepare(forced, live.layout)
    live.install(table([A]), 0.0)

    live.install(forced, 1.0, stale)

    assert [(StateName.CLOSED, StateName.FORCED_OPEN)] == [(m.before, m.after) for m in told]
    assert forced is live.table
