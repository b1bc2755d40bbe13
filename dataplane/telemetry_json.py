"""Ended spans as OTLP in JSON, for collectors behind what only lets JSON pass; pure.

Source: OTLP 1.9, "JSON Protobuf Encoding": ids as hex, 64-bit numbers as decimal strings,
enumerations as numbers, names in lowerCamelCase; read 2026-11-25.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataplane import codec
from dataplane.telemetry_attributes import Attribute, Attributes, clean_text
from dataplane.telemetry_records import SpanContext, SpanRecord

CONTENT_TYPE = "application/json"

_HAS_IS_REMOTE = 0x100
_IS_REMOTE = 0x200
_ERROR = 2


class JsonEncoder:
    """Encodes batches of one resource and one scope."""

    content_type = CONTENT_TYPE

    def __init__(self, resource: Mapping[str, str], scope: str, version: str) -> None:
        """Prepare what is the same in each batch."""
        self._resource = {"attributes": [_pair(key, value) for key, value in resource.items()]}
        self._scope = {"name": scope, "version": version}

    def encode(self, batch: Sequence[SpanRecord]) -> bytes:
        """Give an ExportTraceServiceRequest with these spans, which are within their limits."""
        spans = [_span(record) for record in batch]
        scoped = {"scope": self._scope, "spans": spans}
        return codec.encode(
            {"resourceSpans": [{"resource": self._resource, "scopeSpans": [scoped]}]}
        )


def _span(record: SpanRecord) -> Mapping[str, Any]:
    context, parent = record.context, record.parent
    span: dict[str, Any] = {
        "traceId": context.trace_id,
        "spanId": context.span_id,
        "flags": _flags(parent),
        "name": record.name,
        "kind": int(record.kind),
        "startTimeUnixNano": str(record.start_ns),
        "endTimeUnixNano": str(record.end_ns),
        "attributes": _pairs(record.all_attributes()),
        "status": {},
    }
    if parent is not None:
        span["parentSpanId"] = parent.span_id
    if context.state:
        span["traceState"] = context.state
    if record.failed:
        span["status"] = {"code": _ERROR, "message": record.description}
    lost = record.dropped
    if record.events:
        counts = lost.event_attributes or (0,) * len(record.events)
        span["events"] = [
            {
                "timeUnixNano": str(event.at_ns),
                "name": event.name,
                "attributes": _pairs(event.attributes),
                "droppedAttributesCount": count,
            }
            for event, count in zip(record.events, counts, strict=True)
        ]
    if record.links:
        span["links"] = [
            {"traceId": link.trace_id, "spanId": link.span_id, "flags": _flags(link)}
            for link in record.links
        ]
    if any((lost.attributes, lost.events, lost.links)):
        span["droppedAttributesCount"] = lost.attributes
        span["droppedEventsCount"] = lost.events
        span["droppedLinksCount"] = lost.links
    return span


def _flags(context: SpanContext | None) -> int:
    """Say that we know whether a context is remote, and whether it is."""
    remote = context is not None and context.remote
    return _HAS_IS_REMOTE | _IS_REMOTE if remote else _HAS_IS_REMOTE


def _pairs(attributes: Attributes) -> Sequence[Mapping[str, Any]]:
    return [_pair(key, value) for key, value in attributes.items()]


def _pair(key: str, value: Attribute) -> Mapping[str, Any]:
    return {"key": key, "value": _any(value)}


def _any(value: Attribute) -> Mapping[str, Any]:
    """Give an AnyValue. The order matters: True is an int, and a text a sequence."""
    if isinstance(value, str):
        return {"stringValue": clean_text(value, len(value))}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [_any(item) for item in value]}}
