"""How long one target takes to begin its answer: one mean for people, one cost for choosing.

The *mean* decays with time, so that a burst of samples does not weigh more than a slow hour.

The *cost* is aware of peaks: a sample above it replaces it at once, one below pulls it down slowly.
So a target that stalls loses traffic with the first slow answer, and wins it back by answering. Left
alone, the cost fades towards nothing, so a target that was slow once is tried again. A failure
costs too, or a target that fails fast would look like the fastest.
"""

from __future__ import annotations

import math
from typing import Final

DECAY_S: Final = 30.0
FAILURE_COST_S: Final = 5.0


class Latency:
    """The latency of one target.

    mean_s: decaying mean in seconds, None before the first sample.
    """

    __slots__ = ("_cost_at_s", "_cost_s", "_mean_at_s", "mean_s")

    def __init__(self) -> None:
        self.mean_s: float | None = None
        self._mean_at_s = 0.0
        self._cost_s: float | None = None
        self._cost_at_s = 0.0

    def observe(self, latency_s: float, now_s: float) -> None:
        """Take one sample, in seconds. Samples below 0 or not finite are dropped."""
        if not 0.0 <= latency_s < math.inf:
            return
        if self.mean_s is None:
            self.mean_s = latency_s
        else:
            kept = _kept(now_s - self._mean_at_s)
            self.mean_s = self.mean_s * kept + latency_s * (1 - kept)
        self._mean_at_s = now_s
        if self._cost_s is None or latency_s > self._cost_s:
            self._cost_s = latency_s
        else:
            kept = _kept(now_s - self._cost_at_s)
            self._cost_s = self._cost_s * kept + latency_s * (1 - kept)
        self._cost_at_s = now_s

    def observe_failure(self, elapsed_s: float, now_s: float) -> None:
        """Take a call that failed before it began to answer, after so many seconds.

        It costs what it took, but never less than FAILURE_COST_S, nor than the cost up to now.
        """
        self._cost_s = max(elapsed_s, FAILURE_COST_S, self._cost_s or 0.0)
        self._cost_at_s = now_s

    def cost_s(self, now_s: float) -> float | None:
        """Seconds that a call is likely to wait, None if nothing is known."""
        if self._cost_s is None:
            return None
        return self._cost_s * _kept(now_s - self._cost_at_s)


def _kept(passed_s: float) -> float:
    return math.exp(-max(passed_s, 0.0) / DECAY_S)
