"""Fields of protobuf's wire format, and OTLP's attributes made of them; pure.

Source: protobuf's "Encoding" page; opentelemetry-proto 1.9, common.proto; read 2026-11-25.
"""

from __future__ import annotations

import struct
from typing import Final

from dataplane.telemetry_attributes import Attribute

_DOUBLE: Final = struct.Struct("<d").pack


def pair(key: str, value: Attribute) -> bytes:
    """Give a KeyValue."""
    return text(b"\x0a", key) + field(b"\x12", any_value(value))


def any_value(value: Attribute) -> bytes:
    """Give an AnyValue. The order matters: True is an int, and a text a sequence."""
    if isinstance(value, str):
        return text(b"\x0a", value)
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        # Negative ones are sent as 64 bits in two's complement.
        return b"\x18" + varint(value & 0xFFFFFFFFFFFFFFFF)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE(value)
    return field(b"\x2a", b"".join(field(b"\x0a", any_value(item)) for item in value))


def text(tag: bytes, words: str) -> bytes:
    """Give a field of text. What is no UTF-8 becomes a mark: it would fail the whole batch."""
    return field(tag, words.encode("utf-8", "replace"))


def field(tag: bytes, content: bytes) -> bytes:
    """Give a field with a length."""
    return tag + varint(len(content)) + content


def count_field(tag: bytes, count: int) -> bytes:
    """Give a field of a number, nothing for 0."""
    return tag + varint(count) if count else b""


def varint(number: int) -> bytes:
    """Give a number of at least 0."""
    if number < 0x80:
        return _BYTES[number]
    if number < 0x4000:
        return _MORE[number & 0x7F] + _BYTES[number >> 7]
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


_BYTES: Final = tuple([bytes((number,)) for number in range(0x80)])
_MORE: Final = tuple([bytes((number | 0x80,)) for number in range(0x80)])
