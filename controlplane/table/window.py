"""A sliding window of successes and failures, in a fixed number of time buckets.

The memory of a window does not depend on traffic. Its price is precision: the oldest bucket leaves
as a whole, so between nine tenths and all of the window's seconds are looked back on.
"""

from __future__ import annotations

from typing import Final

BUCKETS: Final = 10
MIN_WINDOW_S: Final = 0.01


class OutcomeWindow:
    """Counts of the last `window_s` seconds.

    Make one with the window's length in seconds; less than MIN_WINDOW_S is taken for that. Time
    that runs backwards is taken for the latest time seen.
    """

    __slots__ = ("_bad", "_bucket", "_good", "_width_s", "failures", "successes", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.successes = 0
        self.failures = 0
        self._width_s = max(window_s, MIN_WINDOW_S) / BUCKETS
        self._good = [0] * BUCKETS
        self._bad = [0] * BUCKETS
        self._bucket = 0

    def add(self, *, success: bool, now_s: float) -> None:
        """Count one outcome, and forget those that have left the window."""
        self.advance(now_s)
        if success:
            self.successes += 1
            self._good[self._bucket % BUCKETS] += 1
        else:
            self.failures += 1
            self._bad[self._bucket % BUCKETS] += 1

    def advance(self, now_s: float) -> None:
        """Forget what has left the window."""
        bucket = int(now_s // self._width_s)
        steps = min(bucket - self._bucket, BUCKETS)
        if steps <= 0:
            return
        for index in range(bucket - steps + 1, bucket + 1):
            place = index % BUCKETS
            self.successes -= self._good[place]
            self.failures -= self._bad[place]
            self._good[place] = self._bad[place] = 0
        self._bucket = bucket

    def is_failing(self, *, ratio: float, min_requests: int) -> bool:
        """Tell whether enough outcomes are in the window, and that share of them failed."""
        total = self.successes + self.failures
        return total >= max(min_requests, 1) and self.failures >= ratio * total
