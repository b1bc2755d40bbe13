from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

from google.protobuf import json_format
from hypothesis import given, settings
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

from dataplane import codec
from dataplane.telemetry_json import JsonEncoder
from dataplane.telemetry_records import Kind, SpanContext, SpanRecord
from tests.dataplane.telemetry_twins import (
    RESOURCE,
    SCOPE,
    Described,
    descriptions,
    limits,
    official,
    own_bounded,
)

ENCODER = JsonEncoder(RESOURCE, *SCOPE)
IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def decoded(body: bytes) -> service.ExportTraceServiceRequest:
    return json_format.ParseDict(
        _in_base64(codec.decode(body)), service.ExportTraceServiceRequest()
    )


def _in_base64(value: Any) -> Any:
    """Ids are hex in OTLP's JSON, and base64 in that of protobuf, which the parser reads."""
    if isinstance(value, list):
        return [_in_base64(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: b64encode(bytes.fromhex(inner)).decode() if key in IDS else _in_base64(inner)
        for key, inner in value.items()
    }


@settings(max_examples=200, deadline=None)
@given(descriptions, limits)
def test_json_says_what_protobuf_says(described: Described, chosen: dict[str, int]) -> None:
    limited = replace(described, limits=chosen)

    assert official(limited) == decoded(ENCODER.encode(own_bounded(limited)))


def test_text_that_is_no_utf8_costs_a_mark_and_not_the_batch() -> None:
    context = SpanContext("1" * 32, "2" * 16, 3, "", remote=False)
    record = SpanRecord(
        "s", Kind.CLIENT, context, parent=None, attributes={"a": "caf\udce9"}, start_ns=1
    )

    [group] = codec.decode_object(ENCODER.encode([record]))["resourceSpans"]

    [pair] = group["scopeSpans"][0]["spans"][0]["attributes"]
    assert {"key": "a", "value": {"stringValue": "caf?"}} == pair
