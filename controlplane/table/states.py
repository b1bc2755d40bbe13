"""What the live table remembers of a target, a credential and a provider.

They hold what was measured; what was configured stays in the table that a request came with, but
for the breaker's policy, which is that of the latest install.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, assert_never

from controlplane.table.breaker import Breaker, BreakerState
from controlplane.table.cooldown import Cooldown, CredentialBreaker
from controlplane.table.health import ProbeHealth
from controlplane.table.latency import Latency
from controlplane.table.outcome import Refusal, SkipReason
from controlplane.table.schema import BreakerMode, Target
from controlplane.table.view import StateName, TargetView

# Members by names of their own: looking one up in its class costs more than comparing it.
_AUTO: Final = BreakerMode.AUTO
_CLOSED: Final = BreakerState.CLOSED

_STATE_NAMES: Final = {
    BreakerState.CLOSED: StateName.CLOSED,
    BreakerState.OPEN: StateName.OPEN,
    BreakerState.HALF_OPEN: StateName.HALF_OPEN,
}


@dataclass(slots=True, kw_only=True, eq=False)
class CredentialState:
    """A credential at one host. provider: the first that uses it, for reports."""

    key: str
    provider: str
    breaker: CredentialBreaker = field(default_factory=CredentialBreaker)


@dataclass(slots=True, kw_only=True, eq=False)
class TargetState:
    """One target, whichever routes and providers lead to it.

    mode: that of the latest install, for telling what changed. last_error_s: when it was, monotonic seconds.
    """

    breaker: Breaker
    mode: BreakerMode
    credential: CredentialState
    cooldown: Cooldown = field(default_factory=Cooldown)
    latency: Latency = field(default_factory=Latency)
    in_flight: int = 0
    successes: int = 0
    failures: int = 0
    last_error: str = ""
    last_error_s: float = 0.0

    def refusal(self, mode: BreakerMode, now_s: float) -> Refusal | None:
        """Tell whether breaker, credential or cooldown refuse a call; mode is the manifest's.

        A breaker that is forced closed lets all calls through; credential and cooldown are no part
        of it and still refuse.
        """
        if (
            mode is _AUTO
            and self.breaker.state is _CLOSED
            and self.credential.breaker.state is _CLOSED
            and self.cooldown.until_s <= now_s
        ):
            # As nearly all calls find it.
            return None
        if mode is BreakerMode.FORCE_OPEN:
            return Refusal(reason=SkipReason.CIRCUIT_OPEN, detail="held open by its manifest")
        return (
            self.credential.breaker.refusal(now_s)
            or (self.breaker.refusal(now_s) if mode is BreakerMode.AUTO else None)
            or self.cooldown.refusal(now_s)
        )

    def view(
        self, target: Target, mode: BreakerMode, refusal: Refusal | None, now_s: float
    ) -> TargetView:
        """Copy what people want to see; mode is the manifest's."""
        breaker = self.breaker
        automatic = mode is BreakerMode.AUTO
        return TargetView(
            provider=target.provider,
            model=target.model,
            key=target.key,
            state=state_name(breaker.state_at(now_s), mode),
            reopen_in_s=breaker.reopen_in_s(now_s) if automatic else None,
            cooldown_in_s=self.cooldown.remaining_s(now_s),
            in_flight=self.in_flight,
            latency_s=self.latency.mean_s,
            consecutive_failures=breaker.failures_in_row,
            trips=breaker.trips_at(now_s),
            last_error=self.last_error,
            last_error_age_s=now_s - self.last_error_s if self.last_error else None,
            ramp_percent=breaker.ramp_percent(now_s) if automatic else 100,
            successes=self.successes,
            failures=self.failures,
            refusal="" if refusal is None else refusal.reason.value,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class ProviderState:
    """One provider, by its name.

    credential_key: the identity that its health belongs to.
    """

    credential_key: str
    health: ProbeHealth = field(default_factory=ProbeHealth)
    in_flight: int = 0
    last_used_s: float | None = None


def state_name(state: BreakerState, mode: BreakerMode) -> StateName:
    """Name a breaker's state as people see it; a forced mode hides it."""
    match mode:
        case BreakerMode.FORCE_OPEN:
            return StateName.FORCED_OPEN
        case BreakerMode.FORCE_CLOSED:
            return StateName.FORCED_CLOSED
        case BreakerMode.AUTO:
            return _STATE_NAMES[state]
        case _:
            assert_never(mode)
