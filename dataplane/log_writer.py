"""Lines to a file descriptor that never make the writer wait.

Standard error is a pipe that somebody reads, mostly at once. If they stop, a plain write would
block the event loop, and with it every request. So the descriptor is asked first whether it takes
a line; if it does not the line is dropped and counted, and the next one that gets through says
how many are missing. Making the descriptor non-blocking instead would do so for every process
that shares it, a terminal's shell included.

A system call costs several times what a line does. So lines that follow each other closely go out
together, if there is a loop that brings the last of them out: at most BATCH_S later.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

_PIECE_BYTES: Final = 4096
"""A pipe that is ready takes this much at once (POSIX's PIPE_BUF on Linux)."""


BATCH_S: Final = 0.01
"""The longest that a line waits for others; after a quiet time as long as this it does not wait."""

_BATCH_LINES: Final = 128


Later: TypeAlias = Callable[[float, Callable[[], None]], object]


class LineWriter:
    """Writes lines, now or a little later; of one thread at a time, which holds `lock`.

    lost: lines dropped since the last one that told of them.
    """

    def __init__(
        self, descriptor: int, lost_line: Callable[[int], str], lock: threading.RLock
    ) -> None:
        """Write to `descriptor`, which stays the caller's; `lost_line` words a count of lines."""
        self._descriptor = descriptor
        self._lost_line = lost_line
        self._lock = lock
        self._rest = b""
        self.lost = 0
        self._later: Later | None = None
        self._clock: Callable[[], float] = lambda: 0.0
        self._batch: list[Callable[[], bytes]] = []
        self._written_s = 0.0
        self._called = False
        self._poll: select.poll | None = None
        # A plain file never makes one wait.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLOUT)

    @property
    def waiting(self) -> bool:
        """Whether there are lines that wait for others."""
        return len(self._batch) > 0

    def batch(self, later: Later, clock: Callable[[], float]) -> None:
        """Let lines wait for others from now on; see the module.

        later: calls a function after some seconds, in the thread that calls `write`.
        clock: monotonic seconds.
        """
        self._later, self._clock = later, clock

    def write(self, make: Callable[[], bytes]) -> None:
        """Write the line that `make` makes, now or with the next batch; it is made as late."""
        self._lock.acquire()
        try:
            later = self._later
            if later is None:
                self._write(make())
                return
            if not self._called:
                now_s = self._clock()
                if now_s - self._written_s >= BATCH_S:
                    self._written_s = now_s
                    self._write(make())
                    return
            self._batch.append(make)
            if len(self._batch) >= _BATCH_LINES:
                self._write_batch()
            if not self._called:
                self._called = True
                later(BATCH_S, self._time_is_up)
        finally:
            self._lock.release()

    def write_now(self, line: bytes) -> None:
        """Write what waits, and this line."""
        self._write_batch()
        self._write(line)

    def flush(self) -> None:
        """Write what waits, and what is left of a line, if there is room for it now."""
        self._lock.acquire()
        try:
            self._write_batch()
            self._rest = self._put(self._rest)
        finally:
            self._lock.release()

    def _time_is_up(self) -> None:
        self._called = False
        self.flush()

    def _write_batch(self) -> None:
        if self._batch:
            batch, self._batch = self._batch, []
            self._written_s = self._clock()
            self._write(b"".join([self._made(make) for make in batch]), len(batch))

    def _made(self, make: Callable[[], bytes]) -> bytes:
        """Make a line of a batch; one that cannot be made is no reason to lose the others."""
        try:
            return make()
        except Exception:  # noqa: BLE001 - as logging's own handlers do
            self.lost += 1
            return b""

    def _write(self, data: bytes, lines: int = 1) -> None:
        if self._rest:
            # Half a line went out: nothing else before its other half.
            self._rest = self._put(self._rest)
            if self._rest:
                self.lost += lines
                return
        lost = self.lost
        if lost:
            data = f"{self._lost_line(lost)}\n".encode() + data
        rest = self._put(data)
        if len(rest) == len(data):
            self.lost += lines
            return
        self._rest = rest
        self.lost = 0

    def _put(self, data: bytes) -> bytes:
        """Write as much as goes without waiting, and give what is left.

        A piece ends with a line where it can: other processes write to the same pipe.
        """
        while data and self._is_ready():
            end = data.rfind(b"\n", 0, _PIECE_BYTES) + 1 or _PIECE_BYTES
            try:
                written = os.write(self._descriptor, data[:end])
            except OSError:
                # Nobody reads any more, or somebody made it non-blocking and it is full.
                return data
            data = data[written:]
        return data

    def _is_ready(self) -> bool:
        return self._poll is None or bool(self._poll.poll(0))
