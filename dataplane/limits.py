"""The time limits of one attempt: until when it must have come how far, and what it means if not.

Times are the loop's, in seconds. A limit is a number to those who wait; which of several it was is
worked out only if it has passed.
"""

from __future__ import annotations

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Call


class Limits:
    """The limits of an attempt that started at `started_s`.

    connect_s: seconds in which a connection must be made. head_s: seconds in which the answer, or the first event of a stream, must come.
    head_by_s: when it must have come, whatever the limit. end_s: when the whole attempt must be over.
    """

    __slots__ = ("_call", "_head_s", "_started_s", "connect_s", "end_s", "head_by_s")

    def __init__(self, call: Call, started_s: float, head_s: float) -> None:
        """Work out the times."""
        self._call = call
        self._started_s = started_s
        self._head_s = head_s
        timeouts = call.timeouts
        self.connect_s = timeouts.connect_s
        self.end_s = end_s = started_s + timeouts.total_s
        by_s = min(started_s + head_s, call.deadline_s)
        self.head_by_s = min(by_s, end_s)

    def idle_by_s(self, now_s: float) -> float:
        """Give the time until which a silence that begins now may last."""
        return min(now_s + self._call.timeouts.idle_s, self.end_s)

    def no_head(self, missing: str) -> UpstreamFailed:
        """Say which limit `head_by_s` was. missing: what has not come, like `answer`."""
        if self.head_by_s == self._started_s + self._head_s:
            return UpstreamFailed(
                ErrorClass.TIMEOUT_FIRST_BYTE, f"no {missing} within {self._head_s:g} s"
            )
        if self.head_by_s == self._call.deadline_s:
            return UpstreamFailed(ErrorClass.TIMEOUT_TOTAL, "the request's deadline has passed")
        return self._too_long()

    def stood_still(self, by_s: float, what: str) -> UpstreamFailed:
        """Say what a silence until `by_s` means. what: like `answer`."""
        if by_s < self.end_s:
            idle_s = self._call.timeouts.idle_s
            return UpstreamFailed(
                ErrorClass.TIMEOUT_IDLE, f"the {what} stood still for {idle_s:g} s"
            )
        return self._too_long()

    def _too_long(self) -> UpstreamFailed:
        total_s = self._call.timeouts.total_s
        return UpstreamFailed(ErrorClass.TIMEOUT_TOTAL, f"the attempt took over {total_s:g} s")
