"""Lines to a file descriptor, one system call each, that never make the writer wait.

Standard error is a pipe that somebody reads, mostly at once. If they stop, a plain write would
block the event loop, and with it every request. So the descriptor is asked first whether it takes
a line; if it does not the line is dropped and counted, and the next one that gets through says
how many are missing. Making the descriptor non-blocking instead would do so for every process
that shares it, a terminal's shell included.
"""

from __future__ import annotations

import logging
import os
import select
import stat
from collections.abc import Callable

_PIECE_BYTES = 4096
"""A pipe that is ready takes this much at once (POSIX's PIPE_BUF on Linux)."""


class LineHandler(logging.Handler):
    """Writes each record as a line.

    lost: lines dropped since the last one that told of them.
    """

    def __init__(self, descriptor: int, lost_line: Callable[[int], str]) -> None:
        """Write to `descriptor`, which stays the caller's; `lost_line` words a count of lines."""
        super().__init__()
        self._descriptor = descriptor
        self._lost_line = lost_line
        self._rest = b""
        self.lost = 0
        self._poll: select.poll | None = None
        # A plain file never makes one wait.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Format a record and write it."""
        try:
            self._write(self.format(record).encode("utf-8", "replace") + b"\n")
        except Exception:  # noqa: BLE001 - as logging's own handlers do
            self.handleError(record)

    def write(self, line: bytes) -> None:
        """Write a line that is already made; the same as `emit` otherwise."""
        self.acquire()
        try:
            self._write(line)
        finally:
            self.release()

    def flush(self) -> None:
        """Write what is left of a line, if there is room for it now."""
        self.acquire()
        try:
            self._rest = self._put(self._rest)
        finally:
            self.release()

    def _write(self, line: bytes) -> None:
        if self._rest:
            # Half a line went out: nothing else before its other half.
            self._rest = self._put(self._rest)
            if self._rest:
                self.lost += 1
                return
        lost = self.lost
        if lost:
            line = f"{self._lost_line(lost)}\n".encode() + line
        rest = self._put(line)
        if len(rest) == len(line):
            self.lost += 1
            return
        self._rest = rest
        self.lost = 0

    def _put(self, data: bytes) -> bytes:
        """Write as much as goes without waiting, and give what is left."""
        while data and self._is_ready():
            try:
                written = os.write(self._descriptor, data[:_PIECE_BYTES])
            except OSError:
                # Nobody reads any more, or somebody made it non-blocking and it is full.
                return data
            data = data[written:]
        return data

    def _is_ready(self) -> bool:
        return self._poll is None or bool(self._poll.poll(0))
