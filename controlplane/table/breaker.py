"""The circuit breaker of one target: a state machine over outcomes and the time it is told.

    CLOSED ----- too many failures, or the target is broken ----> OPEN
    OPEN ------- its time is over and a call asks --------------> HALF_OPEN
    HALF_OPEN -- enough trials succeeded -----------------------> CLOSED, ramping up
    HALF_OPEN -- a trial failed --------------------------------> OPEN, for twice as long

Two rules open a closed breaker: failures in a row catch a dead target within a few calls, the
ratio over a window catches one that fails every other call. Each looks at failures only: a success
never opens.

Every change of state begins a new *epoch*. A call belongs to the epoch it was admitted in, and what
it proves counts in that epoch alone. So the many calls that were in flight when a target died
open its breaker once, and cannot close or lengthen what was decided after they left.

A trial that does not come back would hold its slot for ever. After `trial_patience_s` its slot is
given to another call; if it does come back later, and the breaker is still waiting, it still counts.

The modes of a manifest (ForceOpen, ForceClosed), cooldowns and credentials are not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, assert_never

from controlplane.table.outcome import Refusal, SkipReason
from controlplane.table.schema import BreakerPolicy
from controlplane.table.window import OutcomeWindow

JITTER: Final = 0.1
MIN_TRIAL_PATIENCE_S: Final = 60.0
RAMP_STEPS_PER_OPEN: Final = 4
_MAX_DOUBLINGS: Final = 62


class BreakerState(Enum):
    """Whether traffic flows."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Verdict(Enum):
    """What the end of a call says about the target's health.

    SILENT: nothing, a trial is given back. BROKEN: there is no point in asking again soon.
    """

    GOOD = auto()
    BAD = auto()
    SILENT = auto()
    BROKEN = auto()


# Members by names of their own: looking one up in its class costs more than comparing it.
_GOOD: Final = Verdict.GOOD
_CLOSED: Final = BreakerState.CLOSED


class Breaker:
    """The breaker of one target.

    policy may be replaced at any time: times that run keep running, everything else follows at
    the next call. state, epoch, failures_in_row and reason (why it is in its state, for people) are
    for reading; state is the stored one, see `state_at`.
    """

    __slots__ = (
        "_last_trial",
        "_open_until_s",
        "_ramp_since_s",
        "_trials",
        "_trials_won",
        "_trips",
        "_window",
        "epoch",
        "failures_in_row",
        "policy",
        "reason",
        "state",
    )

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.state = BreakerState.CLOSED
        self.epoch = 0
        self.failures_in_row = 0
        self.reason = ""
        self._window: OutcomeWindow | None = None
        self._open_until_s = 0.0
        self._ramp_since_s: float | None = None
        self._trials: dict[int, float] = {}
        self._trials_won = 0
        self._last_trial = 0
        self._trips = 0

    @property
    def trial_patience_s(self) -> float:
        """Seconds after which the slot of a trial that has not come back is given away."""
        return max(self.policy.open_s, MIN_TRIAL_PATIENCE_S)

    def state_at(self, now_s: float) -> BreakerState:
        """Return the state that a call would meet: an opening whose time is over is half-open."""
        if self.state is BreakerState.OPEN and now_s >= self._open_until_s:
            return BreakerState.HALF_OPEN
        return self.state

    def reopen_in_s(self, now_s: float) -> float | None:
        """Seconds until a trial may be made, None if it is not open."""
        if self.state_at(now_s) is BreakerState.OPEN:
            return self._open_until_s - now_s
        return None

    def trips_at(self, now_s: float) -> int:
        """Count the openings in a row; the row ends when a ramp-up is through."""
        if self.state is BreakerState.CLOSED and self._ramp_step(now_s) is None:
            return 0
        return self._trips

    def ramp_percent(self, now_s: float) -> int:
        """Per cent of traffic that is let through while ramping up, 100 at all other times."""
        step = self._ramp_step(now_s)
        return 100 if step is None else self.policy.ramp_up[step]

    def refusal(self, now_s: float) -> Refusal | None:
        """Tell whether a call would be refused for the breaker's state; ramp-up is no state."""
        state = self.state_at(now_s)
        match state:
            case BreakerState.CLOSED:
                return None
            case BreakerState.OPEN:
                return Refusal(
                    reason=SkipReason.CIRCUIT_OPEN,
                    reopen_in_s=self._open_until_s - now_s,
                    detail=self.reason,
                )
            case BreakerState.HALF_OPEN:
                if self._running_trials(now_s) < max(self.policy.half_open_requests, 1):
                    return None
                return Refusal(reason=SkipReason.CIRCUIT_OPEN, detail="a trial call is under way")
            case _:
                assert_never(state)

    def draw_lot(self, now_s: float, random: Callable[[], float]) -> Refusal | None:
        """Decide by chance whether a call is part of the share that a ramp-up lets through."""
        step = self._ramp_step(now_s)
        if step is None:
            return None
        percent = self.policy.ramp_up[step]
        if percent >= 100 or random() * 100 < percent:
            return None
        assert self._ramp_since_s is not None
        return Refusal(
            reason=SkipReason.RAMPING_UP,
            reopen_in_s=max(self._ramp_since_s + (step + 1) * self._ramp_step_s() - now_s, 0.0),
            detail=f"{percent} % of traffic after closing",
        )

    def take(self, now_s: float) -> int:
        """Admit a call that is not refused: return the number of its trial, 0 if it is none."""
        if self.state is BreakerState.CLOSED:
            return 0
        if self.state is BreakerState.OPEN:
            self._enter(BreakerState.HALF_OPEN, "the open time is over")
        self._forget_late_trials(now_s)
        self._last_trial += 1
        self._trials[self._last_trial] = now_s + self.trial_patience_s
        return self._last_trial

    def give_back(
        self,
        *,
        epoch: int,
        trial: int,
        verdict: Verdict,
        error: str,
        now_s: float,
        random: Callable[[], float],
    ) -> None:
        """Take the end of a call; epoch and trial are those it was admitted with.

        error: the failure in words, for the reason of an opening.
        """
        if trial:
            self._trials.pop(trial, None)
        if epoch != self.epoch:
            return
        if verdict is _GOOD and self.state is _CLOSED:
            self._succeeded(now_s)
            return
        match verdict:
            case Verdict.GOOD if self.state is BreakerState.HALF_OPEN:
                self._trials_won += 1
                if self._trials_won >= self.policy.half_open_requests:
                    won = self._trials_won
                    self._close(f"{won} trial call{'s'[: won > 1]} succeeded", now_s)
            case Verdict.GOOD:
                self._succeeded(now_s)
            case Verdict.BAD:
                self.failures_in_row += 1
                reason = self._reason_to_open(error, now_s)
                if reason:
                    self._trip(self.policy.open_s, reason, now_s, random)
            case Verdict.BROKEN:
                self.failures_in_row += 1
                self._trip(self.policy.max_open_s, error or "target broken", now_s, random)
            case Verdict.SILENT:
                pass
            case _:
                assert_never(verdict)

    def _succeeded(self, now_s: float) -> None:
        self.failures_in_row = 0
        self._windowed().add(success=True, now_s=now_s)

    def told(self) -> tuple[float, int]:
        """Return what others need to open as this one has: until when, and the openings in a row."""
        return self._open_until_s, self._trips

    def follow_opening(self, *, until_s: float, row: int, reason: str) -> None:
        """Open as another's breaker of the same target has; never for a shorter time than now."""
        is_open = self.state is BreakerState.OPEN
        if is_open and until_s <= self._open_until_s:
            return
        self._open_until_s = until_s
        self._trips = row
        if not is_open:
            self._enter(BreakerState.OPEN, reason)

    def follow_closing(self, reason: str, now_s: float) -> None:
        """Close as another's has, and ramp up from now."""
        if self.state is not BreakerState.CLOSED:
            self._close(reason, now_s)

    def _reason_to_open(self, error: str, now_s: float) -> str:
        policy = self.policy
        last = f", last: {error}" if error else ""
        if self.state is BreakerState.HALF_OPEN:
            return f"a trial call failed{last}"
        window = self._windowed()
        window.add(success=False, now_s=now_s)
        if self.failures_in_row >= policy.consecutive_failures:
            return f"{self.failures_in_row} failures in a row{last}"
        if window.is_failing(ratio=policy.failure_ratio, min_requests=policy.min_requests):
            total = window.successes + window.failures
            return f"{window.failures} of {total} calls failed in {policy.window_s:g} s{last}"
        return ""

    def _trip(self, first_s: float, reason: str, now_s: float, random: Callable[[], float]) -> None:
        trips = self.trips_at(now_s)
        open_s = min(first_s * 2 ** min(trips, _MAX_DOUBLINGS), self.policy.max_open_s)
        # The jitter comes after the cap: the pods of a cluster must not try again in step.
        self._open_until_s = now_s + open_s * (1 + JITTER * random())
        self._trips = trips + 1
        self._enter(BreakerState.OPEN, reason)

    def _close(self, reason: str, now_s: float) -> None:
        self.failures_in_row = 0
        self._enter(BreakerState.CLOSED, reason)
        self._ramp_since_s = now_s

    def _enter(self, state: BreakerState, reason: str) -> None:
        self.state = state
        self.epoch += 1
        self.reason = reason
        self._ramp_since_s = None
        self._trials.clear()
        self._trials_won = 0
        self._window = None

    def _windowed(self) -> OutcomeWindow:
        if self._window is None or self._window.window_s != self.policy.window_s:
            self._window = OutcomeWindow(self.policy.window_s)
        return self._window

    def _ramp_step(self, now_s: float) -> int | None:
        if self._ramp_since_s is None:
            return None
        steps = len(self.policy.ramp_up)
        elapsed_s = max(now_s - self._ramp_since_s, 0.0)
        step_s = self._ramp_step_s()
        if elapsed_s >= steps * step_s:
            return None
        return min(int(elapsed_s / step_s), steps - 1)

    def _ramp_step_s(self) -> float:
        return self.policy.open_s / RAMP_STEPS_PER_OPEN

    def _running_trials(self, now_s: float) -> int:
        return sum(1 for until_s in self._trials.values() if until_s > now_s)

    def _forget_late_trials(self, now_s: float) -> None:
        for trial in [number for number, until_s in self._trials.items() if until_s <= now_s]:
            del self._trials[trial]
