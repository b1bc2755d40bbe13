"""What an attempt says about a target: the words that the data plane reports in.

The data plane maps its errors to these; breakers, cooldowns and latencies know nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OutcomeKind(StrEnum):
    """What an attempt proved.

    SUCCESS: the target works. FAILURE: it counts towards the breaker.
    IGNORED: it says nothing of the target (the caller's mistake, the caller left).
    RATE_LIMITED, NOT_READY: capacity, not ill health: a cooldown, never a failure count.
    CREDENTIAL_REFUSED, QUOTA_EXHAUSTED: the credential is of no use, for all of its targets.
    TARGET_BROKEN: this model is not to be had there (unknown, forbidden, wrong path).
    """

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    RATE_LIMITED = "rate_limited"
    NOT_READY = "not_ready"
    CREDENTIAL_REFUSED = "credential_refused"
    QUOTA_EXHAUSTED = "quota_exhausted"
    TARGET_BROKEN = "target_broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one attempt.

    latency_s: seconds to the first semantic event, or to a unary answer; None where there was none.
    retry_after_s: how long the upstream asks us to stay away, None if it does not say.
    error: the error class and, if any, the status, for people: `upstream_error 500`; else empty.
    """

    kind: OutcomeKind
    latency_s: float | None = None
    retry_after_s: float | None = None
    error: str = ""


class SkipReason(StrEnum):
    """Why a target was not tried."""

    CIRCUIT_OPEN = "circuit_open"
    RAMPING_UP = "ramping_up"
    COOLDOWN = "cooldown"
    CREDENTIAL_OPEN = "credential_open"
    CREDENTIAL_MISSING = "credential_missing"
    MAX_IN_FLIGHT = "max_in_flight"
    UNHEALTHY = "unhealthy"
    SUSPENDED = "suspended"
    CAPABILITY = "capability"
    DEADLINE = "deadline"
    NOT_AVAILABLE = "not_available"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A target that cannot be tried now, and why.

    reopen_in_s: seconds until it may be tried, None if nobody can say.
    detail: for people, like `3 failures in a row, last: upstream_error 500`; may be empty.
    """

    reason: SkipReason
    reopen_in_s: float | None = None
    detail: str = ""
