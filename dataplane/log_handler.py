"""A handler of logging's that never waits for whoever reads its lines; see `log_writer`.

Not to be compiled, as nothing that derives from a class of logging's: logging keeps weak
references to handlers, which a compiled class that derives from one that is not leaves dangling.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from dataplane.log_writer import Later, LineWriter


class LineHandler(logging.Handler):
    """Writes each record as a line.

    writer: of the lines, for those who make them without a record.
    """

    def __init__(self, descriptor: int, lost_line: Callable[[int], str]) -> None:
        """Write to `descriptor`, which stays the caller's; `lost_line` words a count of lines."""
        super().__init__()
        lock = threading.RLock()
        self.lock = lock
        self.writer = LineWriter(descriptor, lost_line, lock)

    @property
    def lost(self) -> int:
        """Lines dropped since the last one that told of them."""
        return self.writer.lost

    def emit(self, record: logging.LogRecord) -> None:
        """Format a record and write it."""
        try:
            self.writer.write_now(self.format(record).encode("utf-8", "replace") + b"\n")
        except Exception:  # noqa: BLE001 - as logging's own handlers do
            self.handleError(record)

    def batch(self, later: Later, clock: Callable[[], float]) -> None:
        """Let lines that are made here go out together from now on.

        later: calls a function after some seconds, in the thread that calls `write`.
        clock: monotonic seconds.
        """
        self.writer.batch(later, clock)

    def write(self, make: Callable[[], bytes]) -> None:
        """Write the line that `make` makes, now or with the next batch; it is made as late."""
        self.writer.write(make)

    def flush(self) -> None:
        """Write what waits, and what is left of a line, if there is room for it now."""
        self.writer.flush()
