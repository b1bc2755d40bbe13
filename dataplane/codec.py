"""The one door to JSON.

Decoding is strict: UTF-8, no NaN, no duplicate-byte-order tricks, bounded nesting; what it
refuses is one exception, so that bad input has one path. Encoding is compact and keeps key order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

_decoder: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder()
_QUOTE: Final = ord('"')


T = TypeVar("T")


class DecodeError(ValueError):
    """The bytes are not JSON that we take; the message says where, never what."""


def decode(data: bytes | str) -> Any:
    """Decode JSON of any shape. Raises DecodeError, also for nesting beyond some hundred levels."""
    try:
        return _decoder.decode(data)
    except RecursionError as error:
        raise DecodeError("JSON is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise DecodeError("not valid UTF-8") from error
    except msgspec.MsgspecError as error:
        raise DecodeError(str(error)) from error


def decode_object(data: bytes) -> dict[str, Any]:
    """Decode a JSON object. Raises DecodeError if it is anything else."""
    value = decode(data)
    if not isinstance(value, dict):
        raise DecodeError("the JSON is not an object")
    return value


def matcher(kind: type[T]) -> Callable[[bytes], T | None]:
    """Make a function that decodes JSON of one type, and gives None for JSON of any other.

    What the type leaves raw is valid JSON too. msgspec checks its syntax, escapes and surrogates
    included, and leaves out only whether it is UTF-8.
    """
    decoder = msgspec.json.Decoder(kind)

    def match(data: bytes) -> T | None:
        try:
            value = decoder.decode(data)
            if not data.isascii():
                data.decode()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return value

    return match


def is_text(literal: msgspec.Raw) -> bool:
    """Tell whether JSON that was left raw is a string."""
    return memoryview(literal)[0] == _QUOTE


def encode(value: Any) -> bytes:
    """Encode to compact UTF-8 JSON. Non-finite floats become null."""
    return _encoder.encode(value)


def encode_pretty(value: Any) -> bytes:
    """Encode to indented JSON, for people."""
    return msgspec.json.format(_encoder.encode(value), indent=2)
