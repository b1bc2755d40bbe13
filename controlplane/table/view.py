"""What the live table shows of itself: records for status, explain, telemetry and people.

They are copies: nothing in them changes after they were made, and nothing can be changed through
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from controlplane.table.schema import ProviderType


class StateName(StrEnum):
    """The state of a breaker as people see it; the forced ones are held by a manifest."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


class TransitionScope(StrEnum):
    """Whose breaker moved: that of one target, or that of a credential and all of its targets."""

    TARGET = "target"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of a breaker's state.

    key: the target's key, or the credential's if that is the scope.
    provider, model: those of the call that moved it; model is empty for a credential.
    reason: for people, like `3 failures in a row, last: upstream_error 500`.
    at_s: monotonic seconds. followed: another process found it out, and this one was told.
    """

    key: str
    provider: str
    model: str
    before: StateName
    after: StateName
    reason: str
    at_s: float
    scope: TransitionScope = TransitionScope.TARGET
    followed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """One target in short. used: it has been called. closed: nothing but capacity refuses a call."""

    used: bool
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """One target as it is now.

    reopen_in_s: seconds until an open breaker lets a trial through, None if it is not open.
    cooldown_in_s: seconds of rate-limit cooldown left, None if there is none.
    latency_s: decaying mean of the time to the first event, None before the first sample.
    consecutive_failures: failures in a row. trips: openings in a row.
    last_error: the latest failure in words, empty if there was none; its age in seconds or None.
    ramp_percent: share of traffic admitted after closing, 100 outside of a ramp-up.
    successes, failures: totals since the target is known.
    refusal: the SkipReason that a call would get now, empty if it would be admitted.
    """

    provider: str
    model: str
    key: str
    state: StateName
    reopen_in_s: float | None
    cooldown_in_s: float | None
    in_flight: int
    latency_s: float | None
    consecutive_failures: int
    trips: int
    last_error: str
    last_error_age_s: float | None
    ramp_percent: int
    successes: int
    failures: int
    refusal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderView:
    """One provider as it is now.

    healthy: the verdict of active probes, None before there is one.
    health_detail: the latest probe in words, empty before the first.
    credential_open_in_s: seconds until an open credential breaker lets a trial through, 0 if that
        time is over and the trial is still to come or under way, None if it is closed.
    targets: in the order of their first mention by a route.
    """

    name: str
    type: ProviderType
    base_url: str
    suspended: bool
    healthy: bool | None
    health_detail: str
    in_flight: int
    max_in_flight: int
    credential_open_in_s: float | None
    targets: Sequence[TargetView]
