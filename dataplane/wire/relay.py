"""Changes single values in JSON text and leaves all other bytes alone.

Decoding and encoding again is right too, but costs more and respells numbers and escapes. A
pattern that is not found exactly once changes nothing: the caller then encodes the whole value.
"""

from __future__ import annotations

from typing import Final

from dataplane.codec import encode

_MODEL: Final = b'"model"'
_MODEL_KEYS: Final = (b'"model":', b'"model": ')


def with_model(text: bytes, native: str, model: str) -> bytes | None:
    """Replace the value of the only `model` key. None if it cannot be told apart for sure."""
    if native == model:
        return text
    at = text.find(_MODEL)
    if at < 0 or text.find(_MODEL, at + len(_MODEL)) >= 0:
        return None
    literal = encode(native)
    for key in _MODEL_KEYS:
        start = at + len(key)
        if text.startswith(key, at) and text.startswith(literal, start):
            return b"%b%b%b" % (text[:start], encode(model), text[start + len(literal) :])
    return None


def without_null_usage(text: bytes) -> bytes | None:
    """Cut out a `usage` key whose value is null. None if it is not there exactly once."""
    for member in (b',"usage":null', b', "usage": null'):
        if text.count(member) == 1:
            return text.replace(member, b"")
    return None
