from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.breaker import BreakerState
from controlplane.table.cooldown import MAX_COOLDOWN_S, Cooldown, CredentialBreaker
from controlplane.table.outcome import SkipReason
from tests.controlplane.table.tables import refused


def limit(cooldown: Cooldown, now_s: float, hint_s: float | None = None) -> float | None:
    """Refuse a call of the current epoch; return the pause."""
    cooldown.rate_limited(
        epoch=cooldown.epoch, retry_after_s=hint_s, error="rate_limit 429", now_s=now_s
    )
    return cooldown.remaining_s(now_s)


def test_a_fresh_target_is_not_cooling_down() -> None:
    cooldown = Cooldown()

    assert cooldown.remaining_s(0.0) is None
    assert cooldown.refusal(0.0) is None


def test_the_upstreams_wish_is_kept() -> None:
    cooldown = Cooldown()
    limit(cooldown, 100.0, 7.5)

    refusal = refused(cooldown.refusal(101.0))

    assert SkipReason.COOLDOWN is refusal.reason
    assert 6.5 == refusal.reopen_in_s
    assert "rate_limit 429" == refusal.detail
    assert cooldown.refusal(107.5) is None


def test_pauses_without_a_wish_double_up_to_a_minute() -> None:
    cooldown = Cooldown()
    now_s, pauses = 0.0, []
    for _ in range(8):
        pause_s = limit(cooldown, now_s)
        pauses.append(pause_s)
        now_s += pause_s or 0.0

    assert [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] == pauses


def test_very_many_refusals_do_not_overflow() -> None:
    cooldown = Cooldown()
    for _ in range(2000):
        limit(cooldown, 0.0)

    assert 60.0 == cooldown.remaining_s(0.0)


def test_a_success_ends_the_row() -> None:
    cooldown = Cooldown()
    limit(cooldown, 0.0)
    limit(cooldown, 1.0)

    cooldown.succeeded(cooldown.epoch)

    assert 1.0 == limit(cooldown, 10.0)


def test_a_success_from_before_the_pause_does_not_end_the_row() -> None:
    cooldown = Cooldown()
    limit(cooldown, 0.0)

    cooldown.succeeded(0)

    assert 2.0 == limit(cooldown, 1.0)


def test_many_refusals_of_calls_in_flight_count_once() -> None:
    cooldown = Cooldown()
    for _ in range(10):
        cooldown.rate_limited(epoch=0, retry_after_s=None, error="", now_s=0.0)

    assert 1.0 == cooldown.remaining_s(0.0)
    assert 2.0 == limit(cooldown, 1.0)


def test_a_late_refusal_pauses_again_without_doubling() -> None:
    cooldown = Cooldown()
    limit(cooldown, 0.0)

    cooldown.rate_limited(epoch=0, retry_after_s=None, error="", now_s=30.0)

    assert 1.0 == cooldown.remaining_s(30.0)


def test_a_late_refusal_does_not_void_what_a_newer_call_says() -> None:
    cooldown = Cooldown()
    limit(cooldown, 0.0)
    newer = cooldown.epoch
    cooldown.rate_limited(epoch=0, retry_after_s=None, error="", now_s=2.0)

    cooldown.rate_limited(epoch=newer, retry_after_s=None, error="", now_s=3.0)

    assert 2.0 == cooldown.remaining_s(3.0)


def test_a_late_refusal_of_an_epoch_that_never_began_pauses_a_second() -> None:
    cooldown = Cooldown()

    cooldown.rate_limited(epoch=-1, retry_after_s=None, error="", now_s=0.0)

    assert 1.0 == cooldown.remaining_s(0.0)


def test_a_shorter_pause_does_not_cut_a_longer_one() -> None:
    cooldown = Cooldown()
    limit(cooldown, 0.0, 30.0)

    cooldown.not_ready(epoch=0, retry_after_s=None, error="not_ready 503", now_s=1.0)

    assert 29.0 == cooldown.remaining_s(1.0)
    assert "rate_limit 429" == refused(cooldown.refusal(1.0)).detail


@pytest.mark.parametrize(("hint_s", "pause_s"), [(None, 2.0), (0.5, 0.5), (9.0, 9.0)])
def test_a_target_that_loads_is_left_alone_shortly(hint_s: float | None, pause_s: float) -> None:
    cooldown = Cooldown()

    cooldown.not_ready(epoch=0, retry_after_s=hint_s, error="", now_s=0.0)

    assert pause_s == cooldown.remaining_s(0.0)
    assert "not ready" == refused(cooldown.refusal(0.0)).detail


def test_a_rate_limit_without_words_is_named_as_such() -> None:
    cooldown = Cooldown()

    cooldown.rate_limited(epoch=0, retry_after_s=None, error="", now_s=0.0)

    assert "rate limited" == refused(cooldown.refusal(0.0)).detail


@pytest.mark.parametrize("hint_s", [0.0, -5.0, math.nan, -math.inf])
def test_wishes_that_cannot_be_waited_for_are_taken_for_none(hint_s: float) -> None:
    assert 1.0 == limit(Cooldown(), 0.0, hint_s)


@given(hint_s=st.floats())
def test_a_pause_is_above_nothing_and_an_hour_at_most(hint_s: float) -> None:
    pause_s = limit(Cooldown(), 0.0, hint_s)

    assert pause_s is not None
    assert 0.0 < pause_s <= MAX_COOLDOWN_S


def refuse(breaker: CredentialBreaker, now_s: float) -> float | None:
    """Refuse a call of the current epoch; return how long the breaker is open."""
    breaker.refused(epoch=breaker.epoch, error="auth 401", now_s=now_s)
    return breaker.open_in_s(now_s)


def test_a_credential_is_trusted_at_first() -> None:
    breaker = CredentialBreaker()

    assert breaker.refusal(0.0) is None
    assert breaker.open_in_s(0.0) is None
    assert 0 == breaker.take(0.0)


def test_a_refused_credential_opens_at_once() -> None:
    breaker = CredentialBreaker()
    refuse(breaker, 100.0)

    refusal = refused(breaker.refusal(110.0))

    assert SkipReason.CREDENTIAL_OPEN is refusal.reason
    assert 50.0 == refusal.reopen_in_s
    assert "auth 401" == refusal.detail


def test_refusals_in_a_row_double_up_to_ten_minutes() -> None:
    breaker = CredentialBreaker()
    now_s, times = 0.0, []
    for _ in range(6):
        open_s = refuse(breaker, now_s)
        times.append(open_s)
        now_s += open_s or 0.0
        breaker.take(now_s)

    assert [60.0, 120.0, 240.0, 480.0, 600.0, 600.0] == times


def test_refusals_of_calls_in_flight_open_once() -> None:
    breaker = CredentialBreaker()
    for _ in range(10):
        breaker.refused(epoch=0, error="", now_s=0.0)

    assert 60.0 == breaker.open_in_s(0.0)
    assert "credential refused" == breaker.reason


def test_one_trial_at_a_time_when_the_time_is_over() -> None:
    breaker = CredentialBreaker()
    refuse(breaker, 0.0)

    first = breaker.take(60.0)
    refusal = refused(breaker.refusal(60.0))

    assert first > 0
    assert BreakerState.HALF_OPEN is breaker.state
    assert 0.0 == breaker.open_in_s(60.0)
    assert (SkipReason.CREDENTIAL_OPEN, None) == (refusal.reason, refusal.reopen_in_s)
    assert "a trial call is under way" == refusal.detail


def test_a_trial_that_proved_nothing_gives_its_slot_to_the_next() -> None:
    breaker = CredentialBreaker()
    refuse(breaker, 0.0)
    trial = breaker.take(60.0)

    breaker.give_back(trial)

    assert breaker.refusal(60.0) is None
    assert trial != breaker.take(60.0)


def test_a_late_trial_does_not_free_the_slot_of_another() -> None:
    breaker = CredentialBreaker()
    refuse(breaker, 0.0)
    late = breaker.take(60.0)
    before = breaker.refusal(119.9)
    breaker.take(120.0)

    breaker.give_back(late)

    assert before is not None
    assert breaker.refusal(120.0) is not None


def test_an_accepted_trial_closes_and_ends_the_row() -> None:
    breaker = CredentialBreaker()
    refuse(breaker, 0.0)
    refuse(breaker, 60.0)
    breaker.take(180.0)

    breaker.succeeded(breaker.epoch)

    assert breaker.refusal(180.0) is None
    assert 60.0 == refuse(breaker, 200.0)


def test_a_success_from_before_the_refusal_does_not_close() -> None:
    breaker = CredentialBreaker()
    refuse(breaker, 0.0)

    breaker.succeeded(0)

    assert 60.0 == breaker.open_in_s(0.0)


@pytest.mark.parametrize(
    ("hint_s", "open_s"), [(None, 600.0), (30.0, 600.0), (900.0, 900.0), (86400.0, 3600.0)]
)
def test_an_exhausted_quota_opens_for_ten_minutes_at_least(
    hint_s: float | None, open_s: float
) -> None:
    breaker = CredentialBreaker()

    breaker.exhausted(epoch=0, retry_after_s=hint_s, error="", now_s=0.0)

    assert open_s == breaker.open_in_s(0.0)
    assert "quota exhausted" == breaker.reason


def test_a_changed_secret_closes_at_once() -> None:
    breaker = CredentialBreaker()
    refuse(breaker, 0.0)

    breaker.changed()

    assert breaker.refusal(1.0) is None
    assert "the credential was changed" == breaker.reason
    assert 60.0 == refuse(breaker, 2.0)


@pytest.mark.parametrize("open_first", [False, True])
def test_calls_sent_with_the_old_secret_cannot_refuse_the_new_one(open_first: bool) -> None:
    breaker = CredentialBreaker()
    if open_first:
        refuse(breaker, 0.0)
    old = breaker.epoch

    breaker.changed()
    breaker.refused(epoch=old, error="auth 401", now_s=1.0)

    assert breaker.refusal(1.0) is None
