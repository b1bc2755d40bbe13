"""Live tables of several processes: what one finds out, the others follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.breaker import Breaker, BreakerState
from controlplane.table.cooldown import Cooldown, CredentialBreaker
from controlplane.table.live import LiveTable, StateName, Transition, TransitionScope
from controlplane.table.news import News, NewsKind, from_plain, to_plain
from controlplane.table.outcome import Outcome, OutcomeKind, SkipReason
from controlplane.table.permit import Permit
from controlplane.table.plain import ShapeError
from controlplane.table.schema import BreakerMode, Target
from tests.controlplane.table.tables import (
    FAILURE,
    HEALTH_CHECK,
    POLICY,
    SUCCESS,
    provider,
    route,
    table,
    target,
    zero,
)

LIMITED = Outcome(kind=OutcomeKind.RATE_LIMITED, retry_after_s=9.0, error="rate_limit 429")
REFUSED = Outcome(kind=OutcomeKind.CREDENTIAL_REFUSED, error="auth 401")
A = provider("a", breaker=replace(POLICY, consecutive_failures=1, ramp_up=(10,)))
B = provider("b", health_check=replace(HEALTH_CHECK, unhealthy_threshold=1))
TABLE = table([A, B], [route([target(A), target(B)])])


@dataclass
class Twins:
    """Two processes with one table: each follows the other."""

    now_s: float = 1000.0
    lives: Sequence[LiveTable] = ()
    told: list[News] = field(default_factory=list)
    seen: list[Transition] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lives = [LiveTable(random=zero), LiveTable(random=zero)]
        for number, live in enumerate(self.lives):
            live.install(TABLE, self.now_s)
            live.tell(lambda item, number=number: self._pass_on(item, number))  # type: ignore[misc]
        self.lives[1].subscribe(self.seen.append)

    def _pass_on(self, item: News, source: int) -> None:
        self.told.append(item)
        self.lives[1 - source].follow(item, self.now_s)

    def call(self, who: int, place: Target, outcome: Outcome) -> None:
        permit = self.lives[who].admit(place, TABLE, self.now_s, last_resort=True)
        assert isinstance(permit, Permit), permit
        self.lives[who].record(permit, outcome, self.now_s)

    def reasons(self, place: Target) -> list[SkipReason | None]:
        refusals = [live.refusal(place, TABLE, self.now_s) for live in self.lives]
        return [refusal and refusal.reason for refusal in refusals]


def test_a_breaker_that_opens_in_one_opens_in_the_other_for_as_long() -> None:
    twins = Twins()
    twins.call(0, target(A), FAILURE)

    refusals = [live.refusal(target(A), TABLE, 1001.0) for live in twins.lives]

    assert refusals[0] is not None
    assert refusals[0] == refusals[1]
    (moved,) = twins.seen
    assert (StateName.CLOSED, StateName.OPEN, True) == (moved.before, moved.after, moved.followed)
    assert ("a", TransitionScope.TARGET) == (moved.provider, moved.scope)
    assert [NewsKind.OPENED] == [item.kind for item in twins.told]


def test_a_trial_that_succeeds_in_one_closes_both_and_both_ramp_up() -> None:
    twins = Twins()
    twins.call(0, target(A), FAILURE)
    twins.now_s += 16.0
    twins.call(1, target(A), SUCCESS)

    views = [live.view(twins.now_s)[0].targets[0] for live in twins.lives]

    assert [StateName.CLOSED] * 2 == [view.state for view in views]
    assert [10] * 2 == [view.ramp_percent for view in views]
    assert [NewsKind.OPENED, NewsKind.CLOSED] == [item.kind for item in twins.told]


def test_a_trial_that_fails_in_one_opens_both_for_twice_as_long() -> None:
    twins = Twins()
    twins.call(0, target(A), FAILURE)
    twins.now_s += 16.0
    twins.call(1, target(A), FAILURE)

    views = [live.view(twins.now_s)[0].targets[0] for live in twins.lives]

    assert [32.0] * 2 == [view.reopen_in_s for view in views]
    assert [2] * 2 == [view.trips for view in views]


def test_the_first_verdict_of_two_trials_is_everybodys() -> None:
    twins = Twins()
    twins.call(0, target(A), FAILURE)
    twins.now_s += 16.0
    slow = twins.lives[0].admit(target(A), TABLE, twins.now_s)
    assert isinstance(slow, Permit)
    twins.call(1, target(A), SUCCESS)
    twins.lives[0].record(slow, FAILURE, twins.now_s)

    assert [None, None] == twins.reasons(target(A))


def test_a_pause_that_one_was_asked_for_is_kept_by_both() -> None:
    twins = Twins()
    twins.call(0, target(A), LIMITED)

    views = [live.view(twins.now_s)[0].targets[0] for live in twins.lives]

    assert [9.0] * 2 == [view.cooldown_in_s for view in views]
    assert [SkipReason.COOLDOWN] * 2 == twins.reasons(target(A))


def test_a_credential_that_one_finds_refused_is_refused_by_both_until_it_changes() -> None:
    twins = Twins()
    twins.call(0, target(A), REFUSED)
    refused = twins.reasons(target(A))
    twins.lives[1].credential_changed(A.credential_key, twins.now_s)

    assert [SkipReason.CREDENTIAL_OPEN] * 2 == refused
    assert [None, None] == twins.reasons(target(A))
    assert [(StateName.OPEN, True), (StateName.CLOSED, False)] == [
        (item.after, item.followed) for item in twins.seen
    ]
    assert {TransitionScope.CREDENTIAL} == {item.scope for item in twins.seen}


def test_a_credentials_trial_is_not_told_but_its_verdict_is() -> None:
    twins = Twins()
    twins.call(0, target(A), REFUSED)
    twins.now_s += 60.0
    twins.call(1, target(A), SUCCESS)

    assert [NewsKind.CREDENTIAL_OPENED, NewsKind.CREDENTIAL_CLOSED] == [
        item.kind for item in twins.told
    ]
    assert [None, None] == twins.reasons(target(A))


def test_a_verdict_of_probes_is_told_when_it_changes() -> None:
    twins = Twins()
    for reachable in (False, False, True):
        twins.lives[0].record_probe("b", reachable, f"said {reachable}", twins.now_s)

    assert [False, True] == [item.healthy for item in twins.told]
    views = [live.view(twins.now_s)[1] for live in twins.lives]
    assert [(True, "said True")] * 2 == [(view.healthy, view.health_detail) for view in views]


def test_one_that_comes_later_learns_all_that_is_in_force() -> None:
    twins = Twins()
    twins.call(0, target(A), FAILURE)
    twins.call(0, target(B), LIMITED)
    twins.lives[0].record_probe("b", False, "unreachable", twins.now_s)
    late = LiveTable(random=zero)
    late.install(TABLE, twins.now_s)
    for item in twins.lives[0].news(twins.now_s):
        late.follow(item, twins.now_s)

    for place in (target(A), target(B)):
        assert twins.lives[0].refusal(place, TABLE, twins.now_s) == late.refusal(
            place, TABLE, twins.now_s
        )


def test_one_that_comes_while_a_trial_is_under_way_sends_its_own() -> None:
    twins = Twins()
    twins.call(0, target(A), FAILURE)
    twins.call(0, target(B), REFUSED)
    twins.now_s += 60.0
    for place in (target(A), target(B)):
        assert isinstance(twins.lives[0].admit(place, TABLE, twins.now_s), Permit)
    late = LiveTable(random=zero)
    late.install(TABLE, twins.now_s)
    for item in twins.lives[0].news(twins.now_s):
        late.follow(item, twins.now_s)
    permits = [late.admit(place, TABLE, twins.now_s) for place in (target(A), target(B))]

    assert [True, True] == [isinstance(each, Permit) and each.trial for each in permits]


def test_nothing_is_in_force_at_first() -> None:
    assert () == Twins().lives[0].news(1000.0)


@pytest.mark.parametrize("kind", NewsKind)
def test_news_of_what_is_not_in_the_table_is_left_alone(kind: NewsKind) -> None:
    twins = Twins()
    twins.lives[1].follow(News(kind=kind, key="elsewhere", until_s=9e9, row=1), 1000.0)

    assert () == twins.lives[1].news(1000.0)
    assert [] == twins.seen


def test_a_forced_breaker_follows_in_silence() -> None:
    forced = provider("a", breaker=replace(POLICY, mode=BreakerMode.FORCE_CLOSED))
    live = LiveTable(random=zero)
    live.install(table([forced], [route([target(forced)])]), 1000.0)
    seen: list[Transition] = []
    live.subscribe(seen.append)
    live.follow(News(kind=NewsKind.OPENED, key=target(A).key, until_s=1016.0, row=1), 1000.0)

    assert [] == seen


@pytest.mark.parametrize("until_s", [1009.0, 1016.0])
def test_what_was_decided_for_longer_stays(until_s: float) -> None:
    """News may cross: the longest opening counts, whichever comes last."""
    twins = Twins()
    twins.call(0, target(A), FAILURE)
    twins.call(0, target(B), REFUSED)
    for kind, key in (
        (NewsKind.OPENED, target(A).key),
        (NewsKind.CREDENTIAL_OPENED, B.credential_key),
        (NewsKind.PAUSED, target(A).key),
    ):
        twins.lives[1].follow(News(kind=kind, key=key, until_s=until_s, row=9), twins.now_s)
    twins.lives[1].follow(
        News(kind=NewsKind.PAUSED, key=target(A).key, until_s=1001.0), twins.now_s
    )
    view = twins.lives[1].view(twins.now_s)[0].targets[0]

    assert (16.0, 1, until_s - 1000.0) == (view.reopen_in_s, view.trips, view.cooldown_in_s)


def test_a_longer_opening_is_taken_over_without_another_transition() -> None:
    breaker, credential, cooldown = Breaker(POLICY), CredentialBreaker(), Cooldown()
    for until_s, row in ((10.0, 1), (20.0, 2)):
        breaker.follow_opening(until_s=until_s, row=row, reason="told")
        credential.follow_opening(until_s=until_s, row=row, reason="told")
        cooldown.follow(until_s=until_s, detail="told")

    assert [(20.0, 2), (20.0, 2), (20.0, "told")] == [
        breaker.told(),
        credential.told(),
        cooldown.told(),
    ]
    assert [BreakerState.OPEN] * 2 == [breaker.state, credential.state]
    assert (1, 1) == (breaker.epoch, credential.epoch)


def test_closing_what_is_closed_changes_nothing() -> None:
    breaker, credential = Breaker(POLICY), CredentialBreaker()
    breaker.follow_closing("told", 1.0)
    credential.follow_closing("told")

    assert (0, 0, "", "") == (breaker.epoch, credential.epoch, breaker.reason, credential.reason)


def test_calls_of_another_process_keep_a_provider_from_being_probed() -> None:
    live = Twins().lives[0]
    live.used_elsewhere("a", 900.0, served=False)
    live.used_elsewhere("a", 800.0, served=False)
    live.used_elsewhere("nobody", 900.0, served=True)

    assert 900.0 == live.last_used_s("a")
    assert live.last_used_s("nobody") is None


def test_an_answer_to_another_process_ends_a_row_of_failed_probes() -> None:
    live = Twins().lives[0]
    for number in range(3):
        live.record_probe("a", False, "unreachable", 1000.0 + number)
        if number == 1:
            live.used_elsewhere("a", 1001.5, served=True)

    assert live.view(1003.0)[0].healthy is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from([target(A), target(B)]),
            st.sampled_from([SUCCESS, FAILURE, LIMITED, REFUSED]),
            st.floats(0.0, 40.0),
        ),
        max_size=20,
    )
)
def test_whatever_happens_both_refuse_the_same(
    steps: list[tuple[int, Target, Outcome, float]],
) -> None:
    """With every call ended before the next, nothing is known to one alone but counts."""
    twins = Twins()
    for who, place, outcome, pause_s in steps:
        if twins.lives[who].refusal(place, TABLE, twins.now_s) is None:
            twins.call(who, place, outcome)
        twins.now_s += pause_s

        first, second = twins.reasons(target(A))
        assert first is second
        # B opens after three failures in a row, and each counts its own.
        first, second = twins.reasons(target(B))
        assert first is second


@given(
    st.builds(
        News,
        kind=st.sampled_from(NewsKind),
        key=st.text(),
        detail=st.text(),
        until_s=st.floats(allow_nan=False, allow_infinity=False),
        row=st.integers(),
        healthy=st.none() | st.booleans(),
    )
)
def test_news_survives_the_way_to_another_process(item: News) -> None:
    assert (item,) == from_plain(to_plain((item,)))


def test_what_is_no_news_is_refused() -> None:
    with pytest.raises(ShapeError):
        from_plain([{"kind": "gossip", "key": "a"}])


def test_only_what_was_measured_is_shown_where_that_is_asked_for() -> None:
    twins = Twins()
    nothing = twins.lives[0].measured_view(twins.now_s)
    twins.call(0, target(A), SUCCESS)
    (view,) = twins.lives[0].measured_view(twins.now_s)

    assert [] == nothing
    assert twins.lives[0].view(twins.now_s)[0] == view
