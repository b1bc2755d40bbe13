"""The right to make one call, and what the end of that call teaches."""

from __future__ import annotations

from typing import Final, assert_never

from controlplane.table.breaker import Verdict
from controlplane.table.outcome import Outcome, OutcomeKind
from controlplane.table.schema import Target
from controlplane.table.states import ProviderState, TargetState

# The epoch of calls that a forced breaker let through: it never comes, so they move nothing.
NO_EPOCH: Final = -1

VERDICTS: Final = {
    OutcomeKind.SUCCESS: Verdict.GOOD,
    OutcomeKind.FAILURE: Verdict.BAD,
    OutcomeKind.TARGET_BROKEN: Verdict.BROKEN,
    OutcomeKind.IGNORED: Verdict.SILENT,
    OutcomeKind.RATE_LIMITED: Verdict.SILENT,
    OutcomeKind.NOT_READY: Verdict.SILENT,
    OutcomeKind.CREDENTIAL_REFUSED: Verdict.SILENT,
    OutcomeKind.QUOTA_EXHAUSTED: Verdict.SILENT,
}


class Permit:
    """The right to make one call: given by `admit`, given back once by `record`.

    key, provider, model: the target. epoch: of its breaker, see `breaker`. admitted_s: monotonic
    seconds. trial: whether this call decides about a half-open breaker or an open credential.
    The rest is the live table's own.
    """

    __slots__ = (
        "admitted_s",
        "breaker_trial",
        "cooldown_epoch",
        "credential_epoch",
        "credential_trial",
        "epoch",
        "key",
        "model",
        "provider",
        "provider_state",
        "recorded",
        "sampled",
        "target_state",
        "trial",
    )

    def __init__(
        self,
        target: Target,
        admitted_s: float,
        *,
        epoch: int,
        breaker_trial: int,
        credential_trial: int,
        target_state: TargetState,
        provider_state: ProviderState,
    ) -> None:
        """Note what the call is admitted with."""
        self.key = target.key
        self.provider = target.provider
        self.model = target.model
        self.admitted_s = admitted_s
        self.epoch = epoch
        self.trial = breaker_trial > 0 or credential_trial > 0
        self.breaker_trial = breaker_trial
        self.credential_epoch = target_state.credential.breaker.epoch
        self.credential_trial = credential_trial
        self.cooldown_epoch = target_state.cooldown.epoch
        self.target_state = target_state
        self.provider_state = provider_state
        self.sampled = False
        self.recorded = False


def learn(permit: Permit, outcome: Outcome, now_s: float) -> None:
    """Move everything but the target's breaker: cooldown, credential, latency, counts, health."""
    state, credential = permit.target_state, permit.target_state.credential.breaker
    match outcome.kind:
        case OutcomeKind.SUCCESS:
            state.successes += 1
            state.cooldown.succeeded(permit.cooldown_epoch)
            credential.succeeded(permit.credential_epoch)
            permit.provider_state.health.answered()
            if outcome.latency_s is not None and not permit.sampled:
                state.latency.observe(outcome.latency_s, now_s)
            return
        case OutcomeKind.IGNORED:
            return
        case OutcomeKind.FAILURE | OutcomeKind.TARGET_BROKEN:
            state.failures += 1
            if not permit.sampled:
                state.latency.observe_failure(now_s - permit.admitted_s, now_s)
        case OutcomeKind.RATE_LIMITED:
            state.cooldown.rate_limited(
                epoch=permit.cooldown_epoch,
                retry_after_s=outcome.retry_after_s,
                error=outcome.error,
                now_s=now_s,
            )
        case OutcomeKind.NOT_READY:
            state.cooldown.not_ready(
                epoch=permit.cooldown_epoch,
                retry_after_s=outcome.retry_after_s,
                error=outcome.error,
                now_s=now_s,
            )
        case OutcomeKind.CREDENTIAL_REFUSED:
            credential.refused(epoch=permit.credential_epoch, error=outcome.error, now_s=now_s)
        case OutcomeKind.QUOTA_EXHAUSTED:
            credential.exhausted(
                epoch=permit.credential_epoch,
                retry_after_s=outcome.retry_after_s,
                error=outcome.error,
                now_s=now_s,
            )
        case _:
            assert_never(outcome.kind)
    state.last_error = outcome.error or outcome.kind.value
    state.last_error_s = now_s
