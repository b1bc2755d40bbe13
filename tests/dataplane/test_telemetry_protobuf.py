from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

from dataplane.telemetry_limits import bounds
from dataplane.telemetry_protobuf import ProtobufEncoder
from dataplane.telemetry_records import Kind, SpanContext, SpanRecord
from dataplane.telemetry_sdk import SdkExporter
from tests.dataplane.telemetry_twins import (
    RESOURCE,
    SCOPE,
    Described,
    descriptions,
    limits,
    official,
    own,
    own_bounded,
)

ENCODER = ProtobufEncoder(RESOURCE, *SCOPE)


def decoded(body: bytes) -> service.ExportTraceServiceRequest:
    return service.ExportTraceServiceRequest.FromString(body)


def record(**attributes: object) -> SpanRecord:
    context = SpanContext("1" * 32, "2" * 16, 3, "", remote=False)
    return SpanRecord(
        "s",
        Kind.SERVER,
        context,
        parent=None,
        attributes=attributes,  # type: ignore[arg-type]  # what no attribute should be, too
        start_ns=1,
    )


def one_attribute(value: object) -> object:
    message = decoded(ENCODER.encode([record(a=value)]))
    [pair] = message.resource_spans[0].scope_spans[0].spans[0].attributes
    return pair.value


@settings(max_examples=200, deadline=None)
@given(descriptions)
def test_ours_is_what_the_sdk_and_its_encoder_make(described: Described) -> None:
    """Resource, scope, ids, flags, state, kinds, times, types, events, links and status."""
    assert official(described) == decoded(ENCODER.encode(own_bounded(described)))


@settings(max_examples=200, deadline=None)
@given(descriptions, limits)
def test_limits_cut_what_the_sdk_cuts_and_count_the_same(
    described: Described, chosen: dict[str, int]
) -> None:
    limited = replace(described, limits=chosen)

    assert official(limited) == decoded(ENCODER.encode(own_bounded(limited)))


@settings(max_examples=100, deadline=None)
@given(descriptions, limits)
def test_records_for_other_exporters_are_the_spans_of_the_sdk(
    described: Described, chosen: dict[str, int]
) -> None:
    limited = replace(described, limits=chosen)
    exporter = SdkExporter(
        None,  # type: ignore[arg-type]  # nothing is exported here
        RESOURCE,
        bounds(chosen),
        scope=SCOPE[0],
        version=SCOPE[1],
    )

    converted = [exporter.readable(record) for record in own(limited)]

    assert official(limited) == encode_spans(converted)


@settings(max_examples=50, deadline=None)
@given(st.lists(descriptions, max_size=5))
def test_batch_is_all_its_spans_in_order(described: list[Described]) -> None:
    records = [record for each in described for record in own_bounded(each)]

    message = decoded(ENCODER.encode(records))

    spans = message.resource_spans[0].scope_spans[0].spans
    assert [record.context.span_id for record in records] == [span.span_id.hex() for span in spans]


def test_values_that_are_equal_and_of_different_types_are_kept_apart() -> None:
    encoder = ProtobufEncoder(RESOURCE, *SCOPE)
    values = (1, True, 1.0, "1", 0, False, 0.0, -0.0) * 2
    message = decoded(encoder.encode([record(a=value) for value in values]))

    spans = message.resource_spans[0].scope_spans[0].spans
    kinds = [span.attributes[0].value.WhichOneof("value") for span in spans]
    assert ["int_value", "bool_value", "double_value", "string_value"] == kinds[:4] == kinds[8:12]
    assert ["int_value", "bool_value", "double_value", "double_value"] == kinds[4:8] == kinds[12:]


@pytest.mark.parametrize(
    ("number", "length"), [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (-1, 10)]
)
def test_numbers_take_as_many_bytes_as_they_need(number: int, length: int) -> None:
    value = one_attribute(number)

    assert number == value.int_value  # type: ignore[attr-defined]  # of AnyValue
    assert 1 + length == value.ByteSize()  # type: ignore[attr-defined]  # as above


def test_text_that_is_no_utf8_costs_a_mark_and_not_the_batch() -> None:
    assert "caf?" == one_attribute("caf\udce9").string_value  # type: ignore[attr-defined]


def test_list_is_as_good_as_a_tuple() -> None:
    values = one_attribute(["a", "b"]).array_value.values  # type: ignore[attr-defined]

    assert ["a", "b"] == [value.string_value for value in values]
