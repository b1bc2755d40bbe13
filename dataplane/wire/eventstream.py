"""Splits AWS' binary event stream into frames, and checks each of them.

A frame is a prelude of 12 bytes (total length, length of the headers, CRC-32 of those eight bytes,
all big-endian), the headers, the payload, and a CRC-32 of everything before it. A frame that does
not hold together breaks the stream: nothing after it can be trusted to be where it seems.

Source: Amazon Transcribe developer guide, "Event stream encoding", read 2026-11-22.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final
from zlib import crc32

from msgspec import Struct

from dataplane.errors import ErrorClass, UpstreamFailed

MAX_FRAME_BYTES: Final = 16 * 2**20
"""The longest frame that is taken, as in AWS' own clients."""

MESSAGE_TYPE: Final = ":message-type"
EVENT_TYPE: Final = ":event-type"
EXCEPTION_TYPE: Final = ":exception-type"
ERROR_CODE: Final = ":error-code"
ERROR_MESSAGE: Final = ":error-message"

_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
_PRELUDE_SIZE: Final = 12
_CHECKED: Final = 8
"""Bytes of the prelude before its checksum."""
_CRC_SIZE: Final = 4
_SMALLEST: Final = 16
_STRING: Final = 7
# Type of a header's value -> bytes that it takes; None for those with a length before them.
_SIZES: Final[Mapping[int, int | None]] = {
    0: 0,  # true
    1: 0,  # false
    2: 1,  # byte
    3: 2,  # short
    4: 4,  # integer
    5: 8,  # long
    6: None,  # bytes
    _STRING: None,
    8: 8,  # timestamp
    9: 16,  # UUID
}


_KNOWN_BYTES: Final = 512
"""Of headers that are worth to be remembered."""


class Frame(Struct, frozen=True):
    """One frame that has come whole and unharmed. headers: those whose values are strings."""

    headers: Mapping[str, str]
    payload: bytes


class FrameSplitter:
    """Splits one stream; it does not care how the bytes were cut.

    max_frame_bytes: bounds what is kept of a frame that has not come whole.
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max = max_frame_bytes
        self._buffer = bytearray()  # of a frame that has begun, and is not whole
        # Of the frame that has begun, and of its headers; 0 until its prelude was checked.
        self._wanted = self._headers_length = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take the next bytes, and give the frames that are whole with them.

        Raises UpstreamFailed (bad_response) at the frame that is broken; those before it have been
        given. The iterator must be used up before more is fed.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        # Most often one frame comes by itself, and is kept nowhere.
        at = 0
        while True:
            left = len(data) - at
            if not self._wanted:
                if left < _PRELUDE_SIZE:
                    break
                self._check_lengths(data, at)
            if left < self._wanted:
                break
            end = at + self._wanted
            self._wanted = 0
            yield _read(data, at, end, self._headers_length)
            at = end
        if left:
            self._buffer += data[at:]

    @property
    def within_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)

    def _check_lengths(self, data: bytes, at: int) -> None:
        total, headers, crc = _PRELUDE.unpack_from(data, at)
        if crc32(data[at : at + _CHECKED]) != crc:
            raise _broken("a frame's prelude does not match its checksum")
        if not _SMALLEST <= total <= self._max or headers > total - _SMALLEST:
            raise _broken("a frame's lengths are impossible")
        self._wanted, self._headers_length = int(total), int(headers)


def _read(data: bytes, start: int, end: int, length: int) -> Frame:
    """Read the frame of data[start:end], whose headers have so many bytes."""
    end -= _CRC_SIZE
    (crc,) = _CRC.unpack_from(data, end)
    if crc32(data[start:end]) != crc:
        raise _broken("a frame does not match its checksum")
    begin = start + _PRELUDE_SIZE
    body = begin + length
    raw = data[begin:body]
    headers = _known_headers(raw) if length <= _KNOWN_BYTES else _headers(raw)
    return Frame(headers, data[body:end])


@lru_cache(maxsize=64)
def _known_headers(raw: bytes) -> Mapping[str, str]:
    """Read headers that all frames of a kind have in common."""
    return _headers(raw)


def _headers(raw: bytes) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(raw):
            name, at = _piece(raw, at + 1, raw[at])
            kind = raw[at]
            size = _SIZES[kind]
            at += 1
            if size is None:
                (size,) = _LENGTH.unpack_from(raw, at)
                at += _LENGTH.size
            value, at = _piece(raw, at, size)
            if kind == _STRING:
                headers[name.decode()] = value.decode()
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise _broken("a frame's headers cannot be read") from error
    return headers


def _piece(raw: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(raw):
        raise IndexError(end)
    return raw[at:end], end


def _broken(what: str) -> UpstreamFailed:
    return UpstreamFailed(ErrorClass.BAD_RESPONSE, f"bad event stream: {what}", status=200)
