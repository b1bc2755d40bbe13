"""Which target is tried next: the budget of one request, without I/O.

The rules, in order:

1. Targets are tried in the order that the route's strategy gave; one that is still ramping up
   may put a request off until the others are used up.
2. Nothing waits while a target is left that was not tried: a retry on the same target comes
   after all others, and after its back-off.
3. The upstream's own wish to wait is honoured up to the route's `maxBackoff`; longer wishes end
   the request, since the caller can wait better than we can.
4. A failure that would be the same everywhere ends it. A prompt that is too long goes on only to
   models with a larger window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controlplane.table.schema import RetryPolicy, Target
from dataplane.errors import ErrorClass, UpstreamFailed


class Step:
    """The target to try next, after waiting `delay_s` seconds (0 in most cases).

    asked: whether the upstream asked for that delay; else it is our back-off.
    last_resort: the target had put the request off for a better one, and none is left.
    """

    __slots__ = ("asked", "delay_s", "last_resort", "target")

    def __init__(
        self,
        target: Target,
        *,
        delay_s: float = 0.0,
        asked: bool = False,
        last_resort: bool = False,
    ) -> None:
        self.target = target
        self.delay_s = delay_s
        self.asked = asked
        self.last_resort = last_resort


@dataclass(slots=True)
class _Retry:
    target: Target
    not_before_s: float
    asked: bool


class Plan:
    """The tries that one request has left.

    targets: in the order to try. window: tokens that a target's model can read, None if unknown.
    random: a number in [0, 1), for the jitter of back-offs.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        policy: RetryPolicy,
        *,
        deadline_s: float,
        window: Callable[[Target], int | None],
        random: Callable[[], float],
    ) -> None:
        """Start with every target untried."""
        self._fresh = deque(targets)
        self._deferred: deque[Target] = deque()
        self._retries: list[_Retry] = []
        self._tries: dict[str, int] = {}
        self._policy = policy
        self._deadline_s = deadline_s
        self._window = window
        self._random = random
        self.attempts = 0

    def next(self, now_s: float) -> Step | None:
        """Take the next step, or None if there is none within the budget."""
        step = self.peek(now_s)
        if step is None:
            return None
        if self._fresh:
            self._fresh.popleft()
        elif self._deferred:
            self._deferred.popleft()
        else:
            self._retries.remove(self._soonest())
        return step

    def peek(self, now_s: float) -> Step | None:
        """Return what `next` would, without taking it."""
        if self.attempts >= self._policy.attempts or now_s >= self._deadline_s:
            return None
        if self._fresh:
            return Step(target=self._fresh[0])
        if self._deferred:
            return Step(target=self._deferred[0], last_resort=True)
        if not self._retries:
            return None
        retry = self._soonest()
        delay_s = max(0.0, retry.not_before_s - now_s)
        if now_s + delay_s >= self._deadline_s:
            return None
        return Step(target=retry.target, delay_s=delay_s, asked=retry.asked)

    def began(self, target: Target) -> None:
        """Count an attempt; a target that was skipped, or rejected the request, is none."""
        self.attempts += 1
        self._tries[target.key] = self._tries.get(target.key, 0) + 1

    def defer(self, target: Target) -> None:
        """Put a target off that is ramping up: it takes the request if no other is left."""
        self._deferred.append(target)

    def failed(self, target: Target, failure: UpstreamFailed, now_s: float) -> None:
        """Take note of a failed attempt, and of what may follow it."""
        if not failure.policy.try_next:
            self._fresh.clear()
            self._deferred.clear()
            self._retries.clear()
        elif failure.error is ErrorClass.CONTEXT_LENGTH:
            self._keep_larger(target)
        tries = self._tries.get(target.key, 0)
        allowed = min(failure.policy.retries_here + 1, self._policy.attempts_per_target)
        if tries >= allowed or failure.should_retry is False:
            return
        asked_s = failure.retry_after_s
        if asked_s is not None and asked_s > self._policy.max_backoff_s:
            return
        # Full jitter: many callers that failed together do not come back together.
        ceiling = min(self._policy.max_backoff_s, self._policy.backoff_s * 2 ** (tries - 1))
        delay_s = asked_s if asked_s is not None else ceiling * self._random()
        self._retries.append(_Retry(target, now_s + delay_s, asked_s is not None))

    def only_like(self, first: Target) -> None:
        """Leave only targets of the same model: vectors of different models cannot be compared."""
        self._fresh = deque(target for target in self._fresh if target.model == first.model)

    def only(self, first: Target) -> None:
        """Leave only one target: the request names what no other has."""
        self._fresh = deque([first])

    def _soonest(self) -> _Retry:
        return min(self._retries, key=lambda entry: entry.not_before_s)

    def _keep_larger(self, target: Target) -> None:
        size = self._window(target)
        self._retries.clear()
        for waiting in (self._fresh, self._deferred):
            kept = [
                other for other in waiting if size is not None and (self._window(other) or 0) > size
            ]
            waiting.clear()
            waiting.extend(kept)
