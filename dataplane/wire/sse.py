"""Cuts a stream of server-sent events into events.

Only framing is done here: what an event's bytes mean is left to the decoders. Bytes may be cut
anywhere, within a character or between CR and LF too.

Source: WHATWG HTML, "Server-sent events", section 9.2.6 on interpretation, read 2026-11-22.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from dataplane.errors import ErrorClass, UpstreamFailed

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""The longest event that is taken, field names included."""

# The event's name (empty if it has none) and its data. A plain tuple, as one is made per event.
Event: TypeAlias = tuple[bytes, bytes]

_BOM: Final = b"\xef\xbb\xbf"


class SseSplitter:
    """Splits one stream; fresh for each.

    shape: events in order, each with data; comments, `id` and `retry` fields and events without
    data are left out. Lines of data are joined by a line feed. Lines end in LF, CRLF or CR, and
    at nothing else: U+2028 and U+0085 are text.
    """

    __slots__ = ("_after_cr", "_begun", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False
        self._begun = False

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and return the events that they complete.

        Raises UpstreamFailed (bad_response) once an event is longer than MAX_EVENT_BYTES.
        """
        if self._after_cr or b"\r" in data:
            data = self._plain_line_ends(data)
        rest = self._rest
        if rest:
            # The end of an event may lie across the seam, so one old byte is looked at again.
            seam = len(rest) - 1
            rest += data
            if rest.find(b"\n\n", seam) < 0:
                if len(rest) > MAX_EVENT_BYTES:
                    raise _too_long()
                return []
            data = bytes(rest)
            rest.clear()
        frames = data.split(b"\n\n")
        rest += frames.pop()
        if len(data) > MAX_EVENT_BYTES and max(map(len, [*frames, rest])) > MAX_EVENT_BYTES:
            raise _too_long()
        return self._events(frames)

    def finish(self) -> list[Event]:
        """Return the event that the end of the stream left without its blank line, if any.

        Browsers would drop it; several servers leave the last blank line out.
        """
        frames = [bytes(self._rest)]
        self._rest.clear()
        return self._events(frames)

    def _plain_line_ends(self, data: bytes) -> bytes:
        """Turn CRLF and CR into LF, at once: a CR may be the last byte for a long time."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _events(self, frames: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            if not self._begun and frame:
                self._begun = True
                frame = frame.removeprefix(_BOM)  # noqa: PLW2901 - once a stream
            # The one shape that nearly every server sends: a single line of data.
            if frame.startswith(b"data: ") and b"\n" not in frame:
                events.append((b"", frame[6:]))
            elif frame and (event := _parse(frame)) is not None:
                events.append(event)
        return events


def _parse(frame: bytes) -> Event | None:
    """Read the fields of an event; None if it has no data."""
    name = b""
    lines: list[bytes] = []
    for line in frame.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return (name, b"\n".join(lines)) if lines else None


def _too_long() -> UpstreamFailed:
    return UpstreamFailed(
        ErrorClass.BAD_RESPONSE, f"an event of the stream is longer than {MAX_EVENT_BYTES} bytes"
    )
