"""Staying away from what works but will not take us now: rate limits, and refused credentials.

Neither says that a target is ill, so neither moves its breaker. A *cooldown* belongs to one target
and ends by itself. A *credential breaker* belongs to one credential at one host, stops all of its
targets at once, and lets a single trial through when its time is over.

Both count by epochs, as the breaker does: of many calls in flight that are all refused, the first
doubles the pause and the others do not.
"""

from __future__ import annotations

from typing import Final

from controlplane.table.breaker import BreakerState
from controlplane.table.outcome import Refusal, SkipReason

MAX_COOLDOWN_S: Final = 3600.0
RATE_LIMIT_FIRST_S: Final = 1.0
RATE_LIMIT_MAX_S: Final = 60.0
NOT_READY_S: Final = 2.0

REFUSED_FIRST_S: Final = 60.0
REFUSED_MAX_S: Final = 600.0
EXHAUSTED_S: Final = 600.0
CREDENTIAL_TRIAL_PATIENCE_S: Final = 60.0

_MAX_DOUBLINGS: Final = 32


class Cooldown:
    """How long one target wants to be left alone.

    epoch: counts the pauses; a call belongs to the one in which it was admitted.
    until_s: when the latest pause is over, monotonic seconds.
    """

    __slots__ = ("_detail", "_row", "epoch", "until_s")

    def __init__(self) -> None:
        self.epoch = 0
        self._row = 0
        self.until_s = 0.0
        self._detail = ""

    def remaining_s(self, now_s: float) -> float | None:
        """Seconds left, None if it is over."""
        return self.until_s - now_s if self.until_s > now_s else None

    def refusal(self, now_s: float) -> Refusal | None:
        """Tell whether a call would be refused now, and for how long."""
        remaining_s = self.remaining_s(now_s)
        if remaining_s is None:
            return None
        return Refusal(reason=SkipReason.COOLDOWN, reopen_in_s=remaining_s, detail=self._detail)

    def rate_limited(
        self, *, epoch: int, retry_after_s: float | None, error: str, now_s: float
    ) -> None:
        """Pause as long as the upstream asks; if it does not say, 1 s and twice as long each time.

        epoch: that of the refused call. The row ends with a success. At most an hour.
        """
        if epoch == self.epoch:
            self._row += 1
        doublings = min(max(self._row - 1, 0), _MAX_DOUBLINGS)
        own_s = min(RATE_LIMIT_FIRST_S * 2**doublings, RATE_LIMIT_MAX_S)
        self._pause(epoch, _usable(retry_after_s) or own_s, error or "rate limited", now_s)

    def not_ready(
        self, *, epoch: int, retry_after_s: float | None, error: str, now_s: float
    ) -> None:
        """Pause as long as the upstream asks, else 2 s: it is loading."""
        self._pause(epoch, _usable(retry_after_s) or NOT_READY_S, error or "not ready", now_s)

    def succeeded(self, epoch: int) -> None:
        """End the row, if the call was admitted after the latest pause began."""
        if epoch == self.epoch:
            self._row = 0

    def told(self) -> tuple[float, str]:
        """Return what others need to pause as this one does: until when, and why."""
        return self.until_s, self._detail

    def follow(self, *, until_s: float, detail: str) -> None:
        """Pause as another's cooldown of the same target does; never shorter than now."""
        if until_s > self.until_s:
            self.epoch += 1
            self.until_s = until_s
            self._detail = detail

    def _pause(self, epoch: int, pause_s: float, detail: str, now_s: float) -> None:
        if epoch == self.epoch:
            self.epoch += 1
        until_s = now_s + min(pause_s, MAX_COOLDOWN_S)
        if until_s >= self.until_s:
            self.until_s = until_s
            self._detail = detail


class CredentialBreaker:
    """Whether a credential is of any use.

    Closed until a call is refused for it. Then all of its targets are refused for a while, and
    after that one call at a time is let through on trial: its success closes, another refusal
    opens for twice as long, anything else gives the slot to the next. A trial that does not come
    back loses its slot after CREDENTIAL_TRIAL_PATIENCE_S.

    state, epoch and reason are for reading; state is the stored one, see `state_at`.
    """

    __slots__ = (
        "_last_trial",
        "_row",
        "_trial",
        "_trialuntil_s",
        "epoch",
        "reason",
        "state",
        "until_s",
    )

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self.epoch = 0
        self.reason = ""
        self._row = 0
        self.until_s = 0.0
        self._trial = 0
        self._trialuntil_s = 0.0
        self._last_trial = 0

    def open_in_s(self, now_s: float) -> float | None:
        """Seconds until a trial may be made, 0 if it may be made or is under way, None if closed."""
        if self.state is BreakerState.CLOSED:
            return None
        return max(self.until_s - now_s, 0.0)

    def refusal(self, now_s: float) -> Refusal | None:
        """Tell whether a call would be refused now."""
        if self.state is BreakerState.CLOSED:
            return None
        if self.until_s > now_s:
            return Refusal(
                reason=SkipReason.CREDENTIAL_OPEN,
                reopen_in_s=self.until_s - now_s,
                detail=self.reason,
            )
        if self._trial and self._trialuntil_s > now_s:
            return Refusal(reason=SkipReason.CREDENTIAL_OPEN, detail="a trial call is under way")
        return None

    def take(self, now_s: float) -> int:
        """Admit a call that is not refused: return the number of its trial, 0 if it is none."""
        if self.state is BreakerState.CLOSED:
            return 0
        self.state = BreakerState.HALF_OPEN
        self._last_trial += 1
        self._trial = self._last_trial
        self._trialuntil_s = now_s + CREDENTIAL_TRIAL_PATIENCE_S
        return self._trial

    def give_back(self, trial: int) -> None:
        """Take back a trial's slot, whatever the call proved; 0 is no trial."""
        if trial == self._trial:
            self._trial = 0

    def refused(self, *, epoch: int, error: str, now_s: float) -> None:
        """Open for a minute, and twice as long with each refusal in a row, up to ten minutes."""
        first_s = REFUSED_FIRST_S * 2 ** min(self._row, _MAX_DOUBLINGS)
        self._trip(epoch, min(first_s, REFUSED_MAX_S), error or "credential refused", now_s)

    def exhausted(
        self, *, epoch: int, retry_after_s: float | None, error: str, now_s: float
    ) -> None:
        """Open for ten minutes, or longer if the upstream asks for it, up to an hour."""
        asked_s = min(_usable(retry_after_s) or 0.0, MAX_COOLDOWN_S)
        self._trip(epoch, max(asked_s, EXHAUSTED_S), error or "quota exhausted", now_s)

    def succeeded(self, epoch: int) -> None:
        """Close, if the call was admitted after the latest change."""
        if epoch == self.epoch:
            self._close("a call was accepted")

    def changed(self) -> None:
        """Close at once: the secret is another. Calls that were sent with the old one are void."""
        self._close("the credential was changed")
        self.epoch += 1

    def told(self) -> tuple[float, int]:
        """Return what others need to open as this one has: until when, and the openings in a row."""
        return self.until_s, self._row

    def follow_opening(self, *, until_s: float, row: int, reason: str) -> None:
        """Open as another's breaker of the same credential has; never for a shorter time."""
        is_open = self.state is BreakerState.OPEN
        if is_open and until_s <= self.until_s:
            return
        self.until_s = until_s
        self._row = row
        if not is_open:
            self.state = BreakerState.OPEN
            self.epoch += 1
            self.reason = reason
            self._trial = 0

    def follow_closing(self, reason: str) -> None:
        """Close as another's has."""
        self._close(reason)

    def _trip(self, epoch: int, open_s: float, reason: str, now_s: float) -> None:
        if epoch != self.epoch:
            return
        self.state = BreakerState.OPEN
        self.epoch += 1
        self.reason = reason
        self._row += 1
        self._trial = 0
        self.until_s = now_s + open_s

    def _close(self, reason: str) -> None:
        self._row = 0
        if self.state is not BreakerState.CLOSED:
            self.state = BreakerState.CLOSED
            self.epoch += 1
            self.reason = reason
            self._trial = 0


def _usable(retry_after_s: float | None) -> float | None:
    """Return a hint that can be waited for: vendors also send zero, negative and NaN."""
    return retry_after_s if retry_after_s is not None and retry_after_s > 0 else None
