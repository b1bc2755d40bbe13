"""Cut a stream of newline-delimited JSON into lines, however its bytes arrive.

Lines stay bytes: a character may be cut between two reads, a whole line holds whole characters.
Reading them as JSON is left to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dataplane.errors import ErrorClass, UpstreamFailed

MAX_LINE_BYTES: Final = 16 * 1024 * 1024


class LineSplitter:
    """Collects bytes and gives whole lines; holds at most one unfinished line.

    Lines come without their end, be it LF or CR LF; blank ones are skipped. A line longer than
    `max_line_bytes` ends the stream: UpstreamFailed (bad_response), after the lines before it.

    Source: the streams of Ollama 0.33.0, seen 2026-11-22.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._parts: list[bytes] = []
        self._held_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes and give the lines that they complete, one by one.

        The iterator must be run to its end before the next call, unless the stream is given up.
        """
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._hold(data[start:end])
            start = end + 1
            line = self._take()
            if line and not line.isspace():
                yield line
        if start < len(data):
            self._hold(data[start:] if start else data)

    def finish(self) -> bytes:
        """Take the end of the body: the last line if it lacks its newline, else nothing."""
        line = self._take()
        return b"" if line.isspace() else line

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > self._max_line_bytes:
            raise UpstreamFailed(
                ErrorClass.BAD_RESPONSE,
                f"a line of the stream is longer than {self._max_line_bytes} bytes",
            )
        self._parts.append(part)

    def _take(self) -> bytes:
        line = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._held_bytes = 0
        return line.removesuffix(b"\r")
