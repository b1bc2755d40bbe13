from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.live import (
    LiveTable,
    Permit,
    ProviderView,
    StateName,
    TargetView,
    Transition,
    TransitionScope,
)
from controlplane.table.outcome import Outcome, OutcomeKind, Refusal, SkipReason
from controlplane.table.schema import (
    EMPTY_TABLE,
    BreakerMode,
    Provider,
    StrategyName,
    Table,
    Target,
)
from tests.controlplane.table.tables import (
    FAILURE,
    HEALTH_CHECK,
    IGNORED,
    POLICY,
    SUCCESS,
    permitted,
    provider,
    refused,
    route,
    table,
    target,
    with_mode,
    zero,
)

RATE_LIMITED = Outcome(kind=OutcomeKind.RATE_LIMITED, retry_after_s=9.0, error="rate_limit 429")
NOT_READY = Outcome(kind=OutcomeKind.NOT_READY, error="not_ready 503")
REFUSED = Outcome(kind=OutcomeKind.CREDENTIAL_REFUSED, error="auth 401")
EXHAUSTED = Outcome(kind=OutcomeKind.QUOTA_EXHAUSTED, error="quota 429")
BROKEN = Outcome(kind=OutcomeKind.TARGET_BROKEN, error="model_not_found 404")

A, B = provider("a"), provider("b")


@dataclass
class Bench:
    """A live table with its clock, its random number and what it announced."""

    table: Table
    now_s: float = 1000.0
    draw: float = 0.0
    seen: list[Transition] = field(default_factory=list)
    live: LiveTable = field(init=False)

    def __post_init__(self) -> None:
        self.live = LiveTable(random=lambda: self.draw)
        self.live.subscribe(self.seen.append)
        self.live.install(self.table, self.now_s)

    def install(self, made: Table) -> None:
        self.table = made
        self.live.install(made, self.now_s)

    def admit(self, place: Target, *, last_resort: bool = False) -> Permit | Refusal:
        return self.live.admit(place, self.table, self.now_s, last_resort=last_resort)

    def take(self, place: Target) -> Permit:
        return permitted(self.admit(place))

    def end(self, permit: Permit, outcome: Outcome) -> None:
        self.live.record(permit, outcome, self.now_s)

    def call(self, place: Target, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self.end(self.take(place), outcome)

    def refusal(self, place: Target) -> Refusal | None:
        return self.live.refusal(place, self.table, self.now_s)

    def provider(self, name: str = "a") -> ProviderView:
        return next(view for view in self.live.view(self.now_s) if view.name == name)

    def view(self, name: str = "a") -> TargetView:
        return self.provider(name).targets[0]

    def moves(self) -> list[tuple[str, str, str]]:
        return [(seen.provider, seen.before.value, seen.after.value) for seen in self.seen]


def bench(*owners: Provider) -> Bench:
    return Bench(table=table(owners or (A, B)))


def test_a_new_live_table_is_empty() -> None:
    live = LiveTable(random=zero)

    assert EMPTY_TABLE is live.table
    assert [] == live.view(0.0)
    assert live.last_used_s("a") is None


def test_installing_makes_the_table_current() -> None:
    made = bench()

    assert made.table is made.live.table


def test_a_permit_tells_what_was_admitted() -> None:
    made = bench()

    permit = made.take(target(A))

    assert ("a", "m", target(A).key) == (permit.provider, permit.model, permit.key)
    assert (1000.0, False) == (permit.admitted_s, permit.trial)
    assert 1 == made.view().in_flight == made.provider().in_flight
    assert 1000.0 == made.live.last_used_s("a")


@pytest.mark.parametrize("outcome", [Outcome(kind=kind) for kind in OutcomeKind])
def test_any_outcome_gives_the_place_back_once(outcome: Outcome) -> None:
    made = bench()
    other = made.take(target(A))
    permit = made.take(target(A))

    made.end(permit, outcome)
    once = made.live.view(made.now_s)
    made.end(permit, outcome)
    made.end(permit, BROKEN)

    assert once == made.live.view(made.now_s)
    assert 1 == made.view().in_flight == made.provider().in_flight
    assert not other.recorded


def test_failures_open_one_target_and_leave_the_other() -> None:
    made = bench()

    made.call(target(A), FAILURE, FAILURE, FAILURE)

    refusal = refused(made.admit(target(A)))
    assert (SkipReason.CIRCUIT_OPEN, 16.0) == (refusal.reason, refusal.reopen_in_s)
    assert "3 failures in a row, last: upstream_error 500" == refusal.detail
    assert made.refusal(target(B)) is None


def test_a_breaker_announces_its_whole_round() -> None:
    made = bench()

    made.call(target(A), FAILURE, FAILURE, FAILURE)
    made.now_s += 16.0
    made.call(target(A), SUCCESS)

    assert [
        ("a", "closed", "open"),
        ("a", "open", "half_open"),
        ("a", "half_open", "closed"),
    ] == made.moves()
    first = made.seen[0]
    assert (target(A).key, "m", 1000.0) == (first.key, first.model, first.at_s)
    assert TransitionScope.TARGET is first.scope
    assert "3 failures in a row, last: upstream_error 500" == first.reason


def test_a_trial_is_marked_on_its_permit() -> None:
    made = bench()
    made.call(target(A), FAILURE, FAILURE, FAILURE)
    made.now_s += 16.0

    permit = made.take(target(A))

    assert permit.trial
    assert SkipReason.CIRCUIT_OPEN is refused(made.admit(target(A))).reason


def test_asking_takes_nothing() -> None:
    made = bench()
    made.call(target(A), FAILURE, FAILURE, FAILURE)
    made.now_s += 16.0
    before = made.live.view(made.now_s)

    assert made.refusal(target(A)) is None
    assert before == made.live.view(made.now_s)


def test_a_rate_limit_is_no_failure_but_a_pause() -> None:
    made = bench()

    made.call(target(A), RATE_LIMITED)

    refusal = refused(made.admit(target(A)))
    assert (SkipReason.COOLDOWN, 9.0) == (refusal.reason, refusal.reopen_in_s)
    assert (9.0, 0, 0) == (
        made.view().cooldown_in_s,
        made.view().consecutive_failures,
        made.view().failures,
    )
    assert [] == made.moves()


def test_a_loading_target_is_left_alone_for_two_seconds() -> None:
    made = bench()

    made.call(target(A), NOT_READY)

    assert 2.0 == refused(made.admit(target(A))).reopen_in_s


def test_a_success_ends_the_row_of_rate_limits() -> None:
    made = bench()
    silent = Outcome(kind=OutcomeKind.RATE_LIMITED)
    made.call(target(A), silent)
    made.now_s += 1.0
    made.call(target(A), SUCCESS, silent)

    assert 1.0 == made.view().cooldown_in_s


def test_a_refused_credential_closes_the_way_to_all_of_its_targets() -> None:
    one, two = target(A, "one"), target(A, "two")
    made = Bench(table=table([A, B], [route([one, two, target(B)])]))

    made.call(one, REFUSED)

    refusal = refused(made.admit(two))
    assert (SkipReason.CREDENTIAL_OPEN, 60.0) == (refusal.reason, refusal.reopen_in_s)
    assert "auth 401" == refusal.detail
    assert 60.0 == made.provider().credential_open_in_s
    assert made.refusal(target(B)) is None
    assert StateName.CLOSED is made.view().state


def test_an_exhausted_quota_closes_the_way_for_ten_minutes() -> None:
    made = bench()

    made.call(target(A), EXHAUSTED)

    assert 600.0 == refused(made.admit(target(A))).reopen_in_s


def test_one_call_tries_an_open_credential_again() -> None:
    one, two = target(A, "one"), target(A, "two")
    made = Bench(table=table([A], [route([one, two])]))
    made.call(one, REFUSED)
    made.now_s += 60.0

    trial = made.take(two)
    refusal = refused(made.admit(one))
    made.end(trial, SUCCESS)

    assert trial.trial
    assert SkipReason.CREDENTIAL_OPEN is refusal.reason
    assert made.refusal(one) is None
    assert [
        ("a", "closed", "open"),
        ("a", "open", "half_open"),
        ("a", "half_open", "closed"),
    ] == made.moves()
    assert {TransitionScope.CREDENTIAL} == {seen.scope for seen in made.seen}
    assert {(A.credential_key, "")} == {(seen.key, seen.model) for seen in made.seen}


@pytest.mark.parametrize("outcome", [FAILURE, IGNORED, RATE_LIMITED, NOT_READY, BROKEN])
def test_a_credential_trial_that_proves_nothing_frees_its_slot(outcome: Outcome) -> None:
    one, two = target(A, "one"), target(A, "two")
    made = Bench(table=table([A], [route([one, two])]))
    made.call(one, REFUSED)
    made.now_s += 60.0

    made.call(one, outcome)

    assert made.take(two).trial


def test_a_rotated_secret_closes_its_breaker() -> None:
    made = bench()
    old = made.take(target(A))
    made.call(target(A), REFUSED)

    made.live.credential_changed(A.credential_key, made.now_s)
    made.end(old, REFUSED)

    assert made.refusal(target(A)) is None
    assert [("a", "closed", "open"), ("a", "open", "closed")] == made.moves()
    assert "the credential was changed" == made.seen[-1].reason


def test_the_rotation_of_an_unknown_secret_is_nothing() -> None:
    made = bench()

    made.live.credential_changed("unknown", made.now_s)

    assert [] == made.moves()


def test_a_broken_target_is_left_alone_for_long() -> None:
    made = bench()

    made.call(target(A), BROKEN)

    assert 300.0 == refused(made.admit(target(A))).reopen_in_s
    assert 1 == made.view().failures


def test_calls_in_flight_are_counted_by_provider() -> None:
    made = bench(A, B)
    first, _ = made.take(target(A)), made.take(target(A))
    ended = made.take(target(B))
    before = dict(made.live.calls())
    made.end(first, SUCCESS)
    made.end(ended, FAILURE)

    assert {"a": 2, "b": 1} == before
    assert {"a": 1} == made.live.calls()


def test_the_limit_of_calls_in_flight_is_the_providers() -> None:
    owner = provider("a", max_in_flight=2)
    one, two = target(owner, "one"), target(owner, "two")
    made = Bench(table=table([owner], [route([one, two])]))
    first = made.take(one)
    made.take(two)

    refusal = refused(made.admit(one))
    made.end(first, IGNORED)

    assert SkipReason.MAX_IN_FLIGHT is refusal.reason
    assert "2 calls in flight" == refusal.detail
    assert made.refusal(two) is None


def test_the_limit_holds_while_a_removed_provider_drains() -> None:
    owner = provider("a", max_in_flight=1)
    made = bench(owner)
    permit = made.take(target(owner))

    made.install(table([B]))
    made.install(table([owner], generation=2))
    while_draining = refused(made.admit(target(owner)))
    made.end(permit, SUCCESS)

    assert SkipReason.MAX_IN_FLIGHT is while_draining.reason
    assert made.refusal(target(owner)) is None


def test_a_drained_provider_is_forgotten() -> None:
    made = bench()
    permit = made.take(target(A))
    made.install(table([B]))
    draining = made.live.last_used_s("a")

    made.end(permit, SUCCESS)

    assert 1000.0 == draining
    assert made.live.last_used_s("a") is None


def test_the_health_of_a_removed_provider_is_forgotten_while_it_drains() -> None:
    made = bench()
    made.take(target(A))
    made.live.record_probe("a", True, "ok", made.now_s)

    made.install(table([B]))
    made.install(table([A]))

    assert (None, "") == (made.provider().healthy, made.provider().health_detail)


def test_a_suspended_provider_is_refused() -> None:
    made = bench(provider("a", suspend=True))

    assert SkipReason.SUSPENDED is refused(made.admit(target(A))).reason
    assert made.provider().suspended
    assert "suspended" == made.view().refusal


def test_a_target_outside_of_the_table_is_not_available() -> None:
    made = bench(A)

    reasons = [
        refused(answer).reason
        for place in (target(B), target(A, "other"))
        for answer in (made.admit(place), made.refusal(place))
    ]

    assert [SkipReason.NOT_AVAILABLE] * 4 == reasons


def test_a_request_keeps_the_table_it_started_with() -> None:
    made = bench()
    old = made.table
    made.live.install(table([B], generation=2), made.now_s)

    permit = permitted(made.live.admit(target(A), old, made.now_s))
    made.end(permit, SUCCESS)

    assert made.live.refusal(target(A), old, made.now_s) is None
    assert made.live.last_used_s("a") is None


def test_an_older_table_shares_what_is_measured() -> None:
    made = bench()
    old = made.table
    made.install(table([A], generation=2))
    made.call(target(A), FAILURE, FAILURE, FAILURE)

    refusal = refused(made.live.admit(target(A), old, made.now_s))

    assert SkipReason.CIRCUIT_OPEN is refusal.reason


def test_an_older_table_knows_only_its_own_targets() -> None:
    made = bench(A)
    old = made.table
    moved = provider("a", base_url="https://other.example")
    made.install(table([moved, B], generation=2))

    reasons = [
        refused(made.live.admit(place, old, made.now_s)).reason
        for place in (target(moved), target(B))
    ]

    assert [SkipReason.NOT_AVAILABLE] * 2 == reasons


@pytest.mark.parametrize("outcome", [Outcome(kind=kind) for kind in OutcomeKind])
def test_outcomes_of_forgotten_targets_are_harmless(outcome: Outcome) -> None:
    made = bench()
    old, permits = made.table, [made.take(target(A)) for _ in range(3)]
    made.install(table([B], generation=2))
    permits += [permitted(made.live.admit(target(A), old, made.now_s)) for _ in range(3)]
    before = made.live.view(made.now_s)

    for permit in permits:
        made.live.first_event(permit, 1.0, made.now_s)
        made.end(permit, outcome)

    assert before == made.live.view(made.now_s)
    assert [] == made.moves()


def test_outcomes_from_before_a_removal_do_not_touch_the_target_that_came_back() -> None:
    made = bench(A)
    permits = [made.take(target(A)) for _ in range(3)]
    made.install(table([B]))
    made.install(table([A]))

    for permit in permits:
        made.end(permit, FAILURE)

    assert StateName.CLOSED is made.view().state
    assert (0, 0, 0) == (
        made.view().failures,
        made.view().in_flight,
        made.provider().in_flight,
    )
    assert [] == made.moves()


def test_state_follows_the_identity_through_other_changes() -> None:
    made = bench()
    made.call(target(A), SUCCESS, FAILURE, FAILURE, FAILURE)
    made.call(target(B), RATE_LIMITED)
    before = [made.view("a"), made.view("b")]
    changed = replace(
        A, max_in_flight=1, labels={"x": "y"}, breaker=replace(POLICY, consecutive_failures=9)
    )
    places = [target(changed, priority=7, weight=3), target(B, priority=1)]

    made.install(table([changed, B], [route(places, name="other")], generation=2))

    assert before == [made.view("a"), made.view("b")]


def test_state_follows_the_identity_to_another_name() -> None:
    made = bench(A)
    made.call(target(A), FAILURE, FAILURE, FAILURE)
    renamed = replace(A, name="renamed")

    made.install(table([renamed], generation=2))

    assert StateName.OPEN is made.view("renamed").state


@pytest.mark.parametrize(
    "changed",
    [provider("a", base_url="https://other.example"), provider("a", credential="OTHER")],
)
def test_another_identity_begins_anew(changed: Provider) -> None:
    made = bench(A)
    made.call(target(A), FAILURE, FAILURE, FAILURE)
    made.live.record_probe("a", True, "ok", made.now_s)

    made.install(table([changed], generation=2))

    assert StateName.CLOSED is made.view().state
    assert made.provider().healthy is None


def test_a_new_policy_rules_from_the_next_call_on() -> None:
    made = bench(A)
    made.call(target(A), FAILURE, FAILURE)

    made.install(table([replace(A, breaker=replace(POLICY, consecutive_failures=9))]))
    made.call(target(A), FAILURE)

    assert StateName.CLOSED is made.view().state


def test_a_breaker_that_is_held_open_refuses_everything() -> None:
    made = bench(replace(A, breaker=with_mode(POLICY, BreakerMode.FORCE_OPEN)))

    refusal = refused(made.admit(target(A)))

    assert (SkipReason.CIRCUIT_OPEN, None) == (refusal.reason, refusal.reopen_in_s)
    assert "held open by its manifest" == refusal.detail
    assert StateName.FORCED_OPEN is made.view().state


def test_a_breaker_that_is_held_closed_lets_everything_through() -> None:
    made = bench(replace(A, breaker=with_mode(POLICY, BreakerMode.FORCE_CLOSED)))

    made.call(target(A), *[FAILURE] * 9, BROKEN)

    assert made.refusal(target(A)) is None
    assert (StateName.FORCED_CLOSED, 10) == (made.view().state, made.view().failures)
    assert [] == made.moves()


def test_holding_an_open_breaker_closed_lets_calls_through_at_once() -> None:
    made = bench(A)
    made.call(target(A), FAILURE, FAILURE, FAILURE)

    made.install(table([replace(A, breaker=with_mode(POLICY, BreakerMode.FORCE_CLOSED))]))

    assert made.refusal(target(A)) is None
    assert not made.take(target(A)).trial
    assert made.view().reopen_in_s is None


def test_holding_a_breaker_closed_does_not_override_cooldown_and_credential() -> None:
    held = with_mode(POLICY, BreakerMode.FORCE_CLOSED)
    made = bench(replace(A, breaker=held), replace(B, breaker=held))

    made.call(target(A), RATE_LIMITED)
    made.call(target(B), REFUSED)

    reasons = [refused(made.refusal(target(owner))).reason for owner in (A, B)]
    assert [SkipReason.COOLDOWN, SkipReason.CREDENTIAL_OPEN] == reasons


def test_holding_and_letting_go_is_announced() -> None:
    made = bench(A)
    for mode in (BreakerMode.FORCE_OPEN, BreakerMode.FORCE_CLOSED, BreakerMode.AUTO):
        made.install(table([replace(A, breaker=with_mode(POLICY, mode))]))

    assert [
        ("a", "closed", "forced_open"),
        ("a", "forced_open", "forced_closed"),
        ("a", "forced_closed", "closed"),
    ] == made.moves()
    assert "its manifest was changed" == made.seen[0].reason


def test_what_happens_behind_a_held_breaker_is_not_announced() -> None:
    made = bench(A)
    permits = [made.take(target(A)) for _ in range(3)]
    made.install(table([replace(A, breaker=with_mode(POLICY, BreakerMode.FORCE_CLOSED))]))
    made.seen.clear()

    for permit in permits:
        made.end(permit, FAILURE)
    made.install(table([A]))

    assert [("a", "forced_closed", "open")] == made.moves()


RAMPING = replace(A, breaker=replace(POLICY, ramp_up=(10, 50, 100)))


def ramping() -> Bench:
    made = bench(RAMPING)
    made.call(target(A), FAILURE, FAILURE, FAILURE)
    made.now_s += 16.0
    made.call(target(A), SUCCESS)
    made.draw = 0.5
    return made


def test_a_ramp_up_refuses_by_lot() -> None:
    made = ramping()

    loser = made.admit(target(A))
    made.draw = 0.05
    winner = made.admit(target(A))

    assert SkipReason.RAMPING_UP is refused(loser).reason
    assert isinstance(winner, Permit)
    assert 10 == made.view().ramp_percent


def test_a_ramp_up_lets_the_last_resort_through() -> None:
    made = ramping()

    assert isinstance(made.admit(target(A), last_resort=True), Permit)


def test_asking_does_not_draw_lots() -> None:
    made = ramping()

    assert made.refusal(target(A)) is None


def test_a_breaker_held_closed_does_not_ramp_up() -> None:
    made = ramping()

    made.install(table([replace(A, breaker=with_mode(RAMPING.breaker, BreakerMode.FORCE_CLOSED))]))

    assert isinstance(made.admit(target(A)), Permit)
    assert 100 == made.view().ramp_percent


def test_the_last_resort_is_no_way_around_a_refusal() -> None:
    made = bench()
    made.call(target(A), FAILURE, FAILURE, FAILURE)

    assert SkipReason.CIRCUIT_OPEN is refused(made.admit(target(A), last_resort=True)).reason


def probe(made: Bench, *results: bool) -> None:
    for reachable in results:
        detail = "ok" if reachable else "connection refused"
        made.live.record_probe("a", reachable, detail, made.now_s)


def test_failed_probes_take_all_targets_of_a_provider_out() -> None:
    made = bench()

    probe(made, False, False, False)

    refusal = refused(made.admit(target(A)))
    assert (SkipReason.UNHEALTHY, "connection refused") == (refusal.reason, refusal.detail)
    assert made.provider().healthy is False
    assert made.refusal(target(B)) is None


def test_a_good_probe_brings_the_provider_back() -> None:
    made = bench()
    probe(made, False, False, False)

    probe(made, True)

    assert made.refusal(target(A)) is None
    assert (True, "ok") == (made.provider().healthy, made.provider().health_detail)


def test_a_served_call_ends_the_row_of_failed_probes() -> None:
    made = bench()
    probe(made, False, False)

    made.call(target(A), SUCCESS)
    probe(made, False)

    assert made.provider().healthy is None


def test_probes_of_unknown_providers_are_nothing() -> None:
    made = bench(B)

    probe(made, False, False, False)

    assert made.provider("b").healthy is None


def test_without_probes_nothing_stays_unhealthy() -> None:
    made = bench()
    probe(made, False, False, False)

    made.install(table([replace(A, health_check=replace(HEALTH_CHECK, interval_s=0.0)), B]))

    assert made.refusal(target(A)) is None


def test_latency_is_taken_at_the_first_event_and_once() -> None:
    made = bench()
    permit = made.take(target(A))

    made.live.first_event(permit, 2.0, made.now_s)
    made.live.first_event(permit, 90.0, made.now_s + 60.0)
    made.end(permit, replace(SUCCESS, latency_s=90.0))

    assert 2.0 == made.view().latency_s


def test_latency_of_a_unary_answer_comes_with_its_outcome() -> None:
    made = bench()

    made.call(target(A), replace(SUCCESS, latency_s=3.0), replace(SUCCESS, latency_s=None))

    assert 3.0 == made.view().latency_s


def test_a_first_event_after_the_record_is_nothing() -> None:
    made = bench()
    permit = made.take(target(A))
    made.end(permit, IGNORED)

    made.live.first_event(permit, 2.0, made.now_s)

    assert made.view().latency_s is None


def test_a_stream_that_fails_after_its_first_event_is_a_failure() -> None:
    made = bench()
    for _ in range(3):
        permit = made.take(target(A))
        made.live.first_event(permit, 1.0, made.now_s)
        made.end(permit, FAILURE)

    assert StateName.OPEN is made.view().state


def test_a_trial_stream_closes_at_its_end_not_at_its_first_event() -> None:
    made = bench()
    made.call(target(A), FAILURE, FAILURE, FAILURE)
    made.now_s += 16.0
    permit = made.take(target(A))

    made.live.first_event(permit, 1.0, made.now_s)
    begun = made.view().state
    made.end(permit, SUCCESS)

    assert (StateName.HALF_OPEN, StateName.CLOSED) == (begun, made.view().state)


def test_quick_failures_do_not_win_traffic() -> None:
    places = [target(A), target(B)]
    made = Bench(table=table([A, B], [route(places, strategy=StrategyName.LOWEST_LATENCY)]))
    made.call(target(A), FAILURE)
    made.call(target(B), replace(SUCCESS, latency_s=2.0))

    ordered = made.live.order(made.table.routes["chat"], made.table, made.now_s)

    assert ["b", "a"] == [item.provider for item in ordered]


def test_a_stream_that_fails_late_was_not_slow_to_begin() -> None:
    places = [target(A), target(B)]
    made = Bench(table=table([A, B], [route(places, strategy=StrategyName.LOWEST_LATENCY)]))
    made.call(target(B), replace(SUCCESS, latency_s=3.0))
    permit = made.take(target(A))
    made.live.first_event(permit, 1.0, made.now_s)

    made.end(permit, FAILURE)

    ordered = made.live.order(made.table.routes["chat"], made.table, made.now_s)
    assert ["a", "b"] == [item.provider for item in ordered]


def test_round_robin_goes_on_across_installs() -> None:
    places = [target(A), target(B)]
    routes = [route(places, strategy=StrategyName.ROUND_ROBIN)]
    made = Bench(table=table([A, B], routes))
    firsts = []
    for generation in range(4):
        ordered = made.live.order(made.table.routes["chat"], made.table, made.now_s)
        firsts.append(ordered[0].provider)
        made.install(table([A, B], routes, generation=generation + 2))

    assert ["a", "b", "a", "b"] == firsts


def test_the_turn_of_a_vanished_route_is_forgotten() -> None:
    places = [target(A), target(B)]
    made = Bench(table=table([A, B], [route(places, strategy=StrategyName.ROUND_ROBIN)]))
    made.live.order(made.table.routes["chat"], made.table, made.now_s)

    round_robin = made.table
    made.install(table([A, B], []))
    made.install(round_robin)
    ordered = made.live.order(made.table.routes["chat"], made.table, made.now_s)

    assert "a" == ordered[0].provider


def test_other_strategies_keep_no_turn() -> None:
    made = bench()

    orders = {tuple(made.live.order(made.table.routes["chat"], made.table, 0.0)) for _ in range(4)}

    assert 1 == len(orders)


def test_a_view_shows_everything_of_a_target() -> None:
    made = bench(A)
    made.call(target(A), SUCCESS, SUCCESS, FAILURE, FAILURE, FAILURE)
    made.now_s += 4.0

    assert (
        TargetView(
            provider="a",
            model="m",
            key=target(A).key,
            state=StateName.OPEN,
            reopen_in_s=12.0,
            cooldown_in_s=None,
            in_flight=0,
            latency_s=1.0,
            consecutive_failures=3,
            trips=1,
            last_error="upstream_error 500",
            last_error_age_s=4.0,
            ramp_percent=100,
            successes=2,
            failures=3,
            refusal="circuit_open",
        )
        == made.view()
    )


def test_a_view_shows_everything_of_a_provider() -> None:
    made = bench(A)

    assert (
        ProviderView(
            name="a",
            type=A.type,
            base_url="https://a.example/v1",
            suspended=False,
            healthy=None,
            health_detail="",
            in_flight=0,
            max_in_flight=100,
            credential_open_in_s=None,
            targets=[made.view()],
        )
        == made.provider()
    )
    assert ("", None) == (made.view().last_error, made.view().last_error_age_s)


def test_a_failure_without_words_shows_its_kind() -> None:
    made = bench(A)

    made.call(target(A), Outcome(kind=OutcomeKind.FAILURE))

    assert "failure" == made.view().last_error


def test_a_target_of_many_routes_is_shown_once() -> None:
    routes = [route([target(A), target(B)], name=name) for name in ("x", "y")]
    made = Bench(table=table([A, B, provider("unused")], routes))

    assert {"a": 1, "b": 1, "unused": 0} == {
        view.name: len(view.targets) for view in made.live.view(made.now_s)
    }


def test_two_providers_of_one_identity_share_what_is_measured() -> None:
    twin = replace(A, name="twin", breaker=with_mode(POLICY, BreakerMode.FORCE_OPEN))
    made = bench(A, twin)

    made.call(target(A), FAILURE)

    assert 1 == made.view("twin").consecutive_failures
    assert (StateName.CLOSED, StateName.FORCED_OPEN) == (made.view().state, made.view("twin").state)
    assert [None, SkipReason.CIRCUIT_OPEN] == [
        answer and answer.reason for answer in (made.refusal(target(A)), made.refusal(target(twin)))
    ]


def test_a_target_without_its_provider_is_not_available() -> None:
    made = Bench(table=table([A], [route([target(A), target(B)])]))

    assert SkipReason.NOT_AVAILABLE is refused(made.admit(target(B))).reason
    assert ["a"] == [view.name for view in made.live.view(made.now_s)]


tables = st.lists(
    st.sampled_from([A, B, provider("c"), replace(A, name="d"), provider("a", credential=None)]),
    max_size=4,
    unique_by=lambda owner: owner.name,
).map(table)
outcomes = st.sampled_from(OutcomeKind).map(lambda kind: Outcome(kind=kind, latency_s=1.0))


@given(
    made=tables,
    calls=st.lists(st.tuples(st.integers(0, 3), outcomes, st.floats(0.0, 30.0)), max_size=30),
)
def test_installing_the_same_again_changes_nothing(
    made: Table, calls: list[tuple[int, Outcome, float]]
) -> None:
    live = LiveTable(random=random.Random(1).random)
    now_s = 0.0
    live.install(made, now_s)
    targets = [item for found in made.routes.values() for item in found.targets]
    for index, outcome, passed_s in calls:
        now_s += passed_s
        if targets:
            answer = live.admit(targets[index % len(targets)], made, now_s)
            if isinstance(answer, Permit):
                live.record(answer, outcome, now_s)
    seen: list[Transition] = []
    live.subscribe(seen.append)
    before = live.view(now_s)

    live.install(made, now_s)
    live.install(replace(made, generation=2), now_s)

    assert before == live.view(now_s)
    assert [] == seen


def count_calls(function: Callable[[], object]) -> int:
    """Count the Python function calls that `function` makes: a measure that no machine disturbs."""
    calls = 0

    def trace(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    # The collector calls whoever wants to know of it, whenever it is its time.
    gc.disable()
    sys.setprofile(trace)
    try:
        function()
    finally:
        sys.setprofile(before)
        gc.enable()
    return calls


@pytest.mark.parametrize("strategy", list(StrategyName))
def test_the_work_of_a_request_does_not_grow_with_the_table(strategy: StrategyName) -> None:
    def work(size: int) -> int:
        routes = [
            route([target(A, f"{n}-{i}") for i in range(3)], name=f"r{n}", strategy=strategy)
            for n in range(size)
        ]
        made = table([A], routes)
        live = LiveTable(random=zero)
        live.install(made, 0.0)

        def request() -> None:
            ordered = live.order(routes[0], made, 1.0)
            live.record(permitted(live.admit(ordered[0], made, 1.0)), SUCCESS, 1.0)

        return count_calls(request)

    assert work(1) == work(500)
