"""Changes single values in JSON text and leaves all other bytes alone.

Decoding and encoding again is right too, but costs more and respells numbers and escapes. A
pattern that is not found exactly once changes nothing: the caller then encodes the whole value.
"""

from __future__ import annotations

from dataplane.codec import encode


def with_model(text: bytes, native: str, model: str) -> bytes | None:
    """Replace the value of the only `model` key. None if it cannot be told apart for sure."""
    if native == model:
        return text
    if text.count(b'"model"') != 1:
        return None
    literal = encode(native)
    for key in (b'"model":', b'"model": '):
        if text.count(key + literal) == 1:
            return text.replace(key + literal, key + encode(model))
    return None


def without_null_usage(text: bytes) -> bytes | None:
    """Cut out a `usage` key whose value is null. None if it is not there exactly once."""
    for member in (b',"usage":null', b', "usage": null'):
        if text.count(member) == 1:
            return text.replace(member, b"")
    return None
