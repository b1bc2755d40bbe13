"""How a live table's states become news, and news become states; see `news`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from controlplane.table.breaker import Breaker, BreakerState
from controlplane.table.cooldown import Cooldown
from controlplane.table.measured import Measured
from controlplane.table.news import News, NewsKind
from controlplane.table.schema import BreakerMode, Target
from controlplane.table.states import CredentialState, TargetState, state_name
from controlplane.table.view import Transition, TransitionScope


def of_breaker(key: str, breaker: Breaker) -> News | None:
    """Tell a target's breaker as it is now; of a trial there is nothing to tell."""
    match breaker.state:
        case BreakerState.CLOSED:
            return News(kind=NewsKind.CLOSED, key=key, detail=breaker.reason)
        case BreakerState.OPEN:
            until_s, row = breaker.told()
            return News(
                kind=NewsKind.OPENED, key=key, detail=breaker.reason, until_s=until_s, row=row
            )
        case BreakerState.HALF_OPEN:
            return None
        case _:
            assert_never(breaker.state)


def of_credential(credential: CredentialState) -> News | None:
    """Tell a credential's breaker as it is now; of a trial there is nothing to tell."""
    breaker = credential.breaker
    match breaker.state:
        case BreakerState.CLOSED:
            kind = NewsKind.CREDENTIAL_CLOSED
            return News(kind=kind, key=credential.key, detail=breaker.reason)
        case BreakerState.OPEN:
            until_s, row = breaker.told()
            kind = NewsKind.CREDENTIAL_OPENED
            return News(
                kind=kind, key=credential.key, detail=breaker.reason, until_s=until_s, row=row
            )
        case BreakerState.HALF_OPEN:
            return None
        case _:
            assert_never(breaker.state)


def of_cooldown(key: str, cooldown: Cooldown) -> News:
    """Tell a target's pause as it is now."""
    until_s, detail = cooldown.told()
    return News(kind=NewsKind.PAUSED, key=key, detail=detail, until_s=until_s)


def in_force(measured: Measured, now_s: float) -> Iterator[News]:
    """Tell everything that differs from a live table that knows nothing yet.

    A breaker on trial is told as open until a moment ago: whoever follows sends a trial too.
    """
    for key, target in measured.targets.items():
        if target.breaker.state is not BreakerState.CLOSED:
            until_s, row = target.breaker.told()
            reason = target.breaker.reason
            yield News(kind=NewsKind.OPENED, key=key, detail=reason, until_s=until_s, row=row)
        if target.cooldown.remaining_s(now_s) is not None:
            yield of_cooldown(key, target.cooldown)
    for key, credential in measured.credentials.items():
        if credential.breaker.state is not BreakerState.CLOSED:
            until_s, row = credential.breaker.told()
            reason = credential.breaker.reason
            kind = NewsKind.CREDENTIAL_OPENED
            yield News(kind=kind, key=key, detail=reason, until_s=until_s, row=row)
    for name, provider in measured.providers.items():
        health = provider.health
        if health.healthy is not None:
            yield News(kind=NewsKind.HEALTH, key=name, detail=health.detail, healthy=health.healthy)


def follow(news: News, measured: Measured, now_s: float) -> Transition | None:
    """Take over what another has found out; give the transition if a breaker moved.

    News of what is not in the table is left alone: the table that it belongs to is another.
    """
    match news.kind:
        case NewsKind.OPENED | NewsKind.CLOSED | NewsKind.PAUSED:
            target = measured.target(news.key)
            if target is None:
                return None
            return _follow_target(news, target, measured.layout.places[news.key].target, now_s)
        case NewsKind.CREDENTIAL_OPENED | NewsKind.CREDENTIAL_CLOSED:
            credential = measured.credential(news.key)
            return None if credential is None else _follow_credential(news, credential, now_s)
        case NewsKind.HEALTH:
            provider = measured.layout.table.providers.get(news.key)
            if provider is not None:
                health = measured.provider(provider).health
                health.follow(healthy=news.healthy, detail=news.detail)
            return None
        case _:
            assert_never(news.kind)


def _follow_target(
    news: News, state: TargetState, target: Target, now_s: float
) -> Transition | None:
    if news.kind is NewsKind.PAUSED:
        state.cooldown.follow(until_s=news.until_s, detail=news.detail)
        return None
    breaker = state.breaker
    before = state_name(breaker.state, state.mode)
    if news.kind is NewsKind.OPENED:
        breaker.follow_opening(until_s=news.until_s, row=news.row, reason=news.detail)
    else:
        breaker.follow_closing(news.detail, now_s)
    after = state_name(breaker.state, state.mode)
    if before is after:
        return None
    return Transition(
        key=news.key,
        provider=target.provider,
        model=target.model,
        before=before,
        after=after,
        reason=news.detail,
        at_s=now_s,
        followed=True,
    )


def _follow_credential(news: News, credential: CredentialState, now_s: float) -> Transition | None:
    breaker = credential.breaker
    before = breaker.state
    if news.kind is NewsKind.CREDENTIAL_OPENED:
        breaker.follow_opening(until_s=news.until_s, row=news.row, reason=news.detail)
    else:
        breaker.follow_closing(news.detail)
    if breaker.state is before:
        return None
    return Transition(
        key=news.key,
        provider=credential.provider,
        model="",
        before=state_name(before, BreakerMode.AUTO),
        after=state_name(breaker.state, BreakerMode.AUTO),
        reason=news.detail,
        at_s=now_s,
        scope=TransitionScope.CREDENTIAL,
        followed=True,
    )
