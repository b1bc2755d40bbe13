"""Ended spans as OTLP in protobuf's wire format, put together from bytes; pure.

Each field is its tag, its length where it has one, and its content. Attributes that spans share
are encoded once (see `Shared`), and of the others all that comes before the value is looked up:
a span takes two microseconds, where the generated classes and the official encoder take forty. A
test holds both encodings equal on generated spans.

Source: opentelemetry-proto 1.9, common.proto, resource.proto, trace.proto and
trace_service.proto; protobuf's "Encoding" page; read 2026-11-25.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from dataplane.telemetry_attributes import Attribute
from dataplane.telemetry_fields import count_field, field, pair, text, varint
from dataplane.telemetry_records import (
    NOTHING_DROPPED,
    NOTHING_SHARED,
    Kind,
    Shared,
    SpanContext,
    SpanEvent,
    SpanRecord,
)

CONTENT_TYPE = "application/x-protobuf"

# Tags: the field's number times 8, plus 0 for a varint, 1 for 8 bytes, 2 for a length, 5 for 4.
_SPAN_ATTRIBUTES: Final = b"\x4a"
_EVENT_ATTRIBUTES: Final = b"\x1a"
_RESOURCE_ATTRIBUTES: Final = b"\x0a"

_TEXT: Final = 0x0A
_INT: Final = 0x18
_DOUBLE_TAG: Final = 0x21
_MAX_HEADS: Final = 2048
_MAX_NAMES: Final = 256
_NAMES: Final[dict[str, bytes]] = {}
_KINDS: Final[dict[Kind, bytes]] = {kind: b"\x30" + varint(kind) for kind in Kind}
_HEADS: Final[dict[tuple[str, int, int], bytes]] = {}

_TIMES: Final = struct.Struct("<BQBQ").pack
_DOUBLE: Final = struct.Struct("<d").pack
_FLAGS: Final = struct.Struct("<I").pack
_EVENT_TIME: Final = struct.Struct("<BQ").pack

_UNSET: Final = b"\x7a\x00"
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200


class ProtobufEncoder:
    """Encodes batches of one resource and one scope; used by one thread at a time."""

    content_type = CONTENT_TYPE

    def __init__(self, resource: Mapping[str, str], scope: str, version: str) -> None:
        """Encode what is the same in each batch."""
        attributes = b"".join(
            field(_RESOURCE_ATTRIBUTES, pair(key, value)) for key, value in resource.items()
        )
        self._resource = field(b"\x0a", attributes)
        self._scope = field(b"\x0a", text(b"\x0a", scope) + text(b"\x12", version))

    def encode(self, batch: Sequence[SpanRecord]) -> bytes:
        """Give an ExportTraceServiceRequest with these spans, which are within their limits.

        Holds the interpreter lock for some 2 microseconds a span.
        """
        parts = [self._scope]
        for record in batch:
            span = _span(record)
            parts.append(b"\x12")
            parts.append(varint(len(span)))
            parts.append(span)
        spans = b"".join(parts)
        head = self._resource + b"\x12" + varint(len(spans))
        return b"".join((b"\x0a", varint(len(head) + len(spans)), head, spans))


def _span(record: SpanRecord) -> bytes:
    context = record.context
    parent = record.parent
    # Fields 1 and 2, the ids; 4, the parent's.
    ids = f"0a10{context.trace_id}1208{context.span_id}"
    if parent is not None:
        ids += f"2208{parent.span_id}"
    parts = [
        bytes.fromhex(ids),
        _NAMES.get(record.name) or _name(record.name),
        _KINDS[record.kind],
        _TIMES(0x39, record.start_ns, 0x41, record.end_ns),
        record.first.protobuf or _shared(record.first),
    ]
    for key, value in record.attributes.items():
        if isinstance(value, str):
            content = value.encode("utf-8", "replace")
            parts.append(_head(key, _TEXT, len(content)))
            parts.append(content)
        elif isinstance(value, float):
            parts.append(_head(key, _DOUBLE_TAG, 8))
            parts.append(_DOUBLE(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            content = varint(value if value >= 0 else value & 0xFFFFFFFFFFFFFFFF)
            parts.append(_head(key, _INT, len(content)))
            parts.append(content)
        else:
            parts.append(_attribute((key, value)))
    if record.last is not NOTHING_SHARED:
        parts.append(record.last.protobuf or _shared(record.last))
    if context.state:
        parts.append(text(b"\x1a", context.state))
    if record.events:
        parts.extend(_events(record))
    if record.links:
        parts.extend(field(b"\x6a", _link(link)) for link in record.links)
    if record.dropped is not NOTHING_DROPPED:
        parts.append(_dropped(record))
    parts.append(_status(record.description) if record.failed else _UNSET)
    parts.append(_REMOTE_CHILD if parent is not None and parent.remote else _LOCAL_CHILD)
    return b"".join(parts)


def _shared(shared: Shared) -> bytes:
    """Encode what spans have in common, and keep it with it."""
    shared.protobuf = b"".join(map(_attribute, shared.attributes.items()))
    return shared.protobuf


def _events(record: SpanRecord) -> Sequence[bytes]:
    lost = record.dropped.event_attributes or (0,) * len(record.events)
    return [
        field(b"\x5a", _event(event, count))
        for event, count in zip(record.events, lost, strict=True)
    ]


def _event(event: SpanEvent, dropped_attributes: int) -> bytes:
    parts = [_EVENT_TIME(0x09, event.at_ns), text(b"\x12", event.name)]
    parts.extend(
        field(_EVENT_ATTRIBUTES, pair(key, value)) for key, value in event.attributes.items()
    )
    parts.append(count_field(b"\x20", dropped_attributes))
    return b"".join(parts)


def _link(link: SpanContext) -> bytes:
    flags = _HAS_IS_REMOTE | (_IS_REMOTE if link.remote else 0)
    return bytes.fromhex(f"0a10{link.trace_id}1208{link.span_id}") + b"\x35" + _FLAGS(flags)


def _dropped(record: SpanRecord) -> bytes:
    lost = record.dropped
    return (
        count_field(b"\x50", lost.attributes)
        + count_field(b"\x60", lost.events)
        + count_field(b"\x70", lost.links)
    )


def _name(name: str) -> bytes:
    """Encode the name of a span, and keep it."""
    if len(_NAMES) >= _MAX_NAMES:
        _NAMES.clear()
    _NAMES[name] = text(b"\x2a", name)
    return _NAMES[name]


@lru_cache(maxsize=64)
def _status(description: str) -> bytes:
    return field(b"\x7a", text(b"\x12", description) + b"\x18\x02")


def _attribute(item: tuple[str, Attribute]) -> bytes:
    return field(_SPAN_ATTRIBUTES, pair(*item))


def _head(key: str, kind: int, length: int) -> bytes:
    """Give all of a span's attribute but the value itself: that depends on few things.

    kind: the value's tag. length: of the value, in bytes.
    """
    shape = (key, kind, length)
    head = _HEADS.get(shape)
    if head is None:
        tag = varint(kind) + (varint(length) if kind == _TEXT else b"")
        pair = text(b"\x0a", key) + b"\x12" + varint(len(tag) + length) + tag
        head = _SPAN_ATTRIBUTES + varint(len(pair) + length) + pair
        if len(_HEADS) >= _MAX_HEADS:
            _HEADS.clear()
        _HEADS[shape] = head
    return head


_LOCAL_CHILD: Final = b"\x85\x01" + _FLAGS(_HAS_IS_REMOTE)
_REMOTE_CHILD: Final = b"\x85\x01" + _FLAGS(_HAS_IS_REMOTE | _IS_REMOTE)
