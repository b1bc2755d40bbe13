"""Connections that wait to be used again.

Connections in use are not limited here: the sidecar bounds the requests in flight, for all and for
each provider, and a second queue would only hide from the breakers what they look for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from dataplane.http.connection import Connection
from dataplane.http.head import Origin

KEEPALIVE_S: Final = 30.0
"""Idle connections are closed after this; below the 60 s that most servers allow."""

MAX_IDLE: Final = 256
"""Of one origin; the one that has waited longest is closed for one more."""

_END_S: Final = 5.0
"""An aborted connection ends within a turn or two of the loop; nothing hangs if one does not."""


class _Clock(Protocol):
    """As much of a loop as is needed here."""

    def time(self) -> float: ...

    def call_later(
        self, delay: float, callback: Callable[[], None], /
    ) -> asyncio.TimerHandle | None: ...


class IdlePool:
    """Keeps connections by origin, and knows all that are open.

    The last one that was used is used next, so that those beyond the need come to their end.
    closed: whether no more are to be used.
    """

    def __init__(
        self, clock: _Clock, *, keepalive_s: float = KEEPALIVE_S, max_idle: int = MAX_IDLE
    ) -> None:
        """Be empty. clock: a loop, or what stands for its time and timers."""
        self._clock = clock
        self._keepalive_s = keepalive_s
        self._max_idle = max_idle
        # By origin, the time since when each waits; the one that waits longest is the first.
        self._idle: dict[Origin, dict[Connection, float]] = {}
        self._open: set[Connection] = set()
        self._sweeping = False
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False
        self._all_lost = asyncio.Event()

    @property
    def open(self) -> int:
        """How many connections are open, used or idle."""
        return len(self._open)

    @property
    def idle(self) -> int:
        """How many of them wait."""
        return sum(len(waiting) for waiting in self._idle.values())

    def take(self, origin: Origin) -> Connection | None:
        """Take a connection to an origin, if one waits."""
        waiting = self._idle.get(origin)
        while waiting:
            connection, since_s = waiting.popitem()
            if connection.is_open and self._clock.time() - since_s < self._keepalive_s:
                return connection
            connection.close()
        return None

    def opened(self, connection: Connection) -> None:
        """Count a connection that is open, and in use."""
        self._open.add(connection)

    def give_back(self, connection: Connection) -> None:
        """Let a connection wait for its next use."""
        if self.closed:
            connection.abort()
            return
        waiting = self._idle.setdefault(connection.origin, {})
        waiting[connection] = self._clock.time()
        if len(waiting) > self._max_idle:
            oldest = next(iter(waiting))
            del waiting[oldest]
            oldest.close()
        self._sweep_in(self._keepalive_s)

    def lost(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._open.discard(connection)
        waiting = self._idle.get(connection.origin)
        if waiting is not None:
            waiting.pop(connection, None)
        if not self._open:
            self._all_lost.set()

    async def aclose(self) -> None:
        """End all connections, those in use too."""
        self.closed = True
        self._idle.clear()
        if self._timer is not None:
            self._timer.cancel()
        for connection in tuple(self._open):
            connection.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                while self._open:
                    self._all_lost.clear()
                    await self._all_lost.wait()

    def _sweep_in(self, delay_s: float) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._timer = self._clock.call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        """Close what has waited too long, and come back when the next one will have."""
        self._sweeping = False
        now_s = self._clock.time()
        first_s = now_s
        for origin, waiting in tuple(self._idle.items()):
            while waiting:
                connection, since_s = next(iter(waiting.items()))
                if now_s - since_s < self._keepalive_s:
                    first_s = min(first_s, since_s)
                    break
                del waiting[connection]
                connection.close()
            if not waiting:
                del self._idle[origin]
        if self._idle:
            self._sweep_in(first_s + self._keepalive_s - now_s)
