"""One description of a span, made by the SDK and made by us: for tests that hold the two equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    TracerProvider,
    sampling,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, SpanKind, StatusCode

from dataplane.telemetry_attributes import Attribute
from dataplane.telemetry_door import api_context
from dataplane.telemetry_limits import bounded, bounds
from dataplane.telemetry_records import Kind, Shared, SpanContext, SpanEvent, SpanRecord
from dataplane.telemetry_sampling import sampler
from dataplane.telemetry_tracer import RecordTracer
from dataplane.telemetry_w3c import Inbound

RESOURCE: Mapping[str, str] = {"service.name": "switchgear", "k8s.pod.name": "pöd-1", "a": ""}
SCOPE = ("switchgear", "1.2.3")

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_times = st.integers(0, 2**63 - 1)
_values: st.SearchStrategy[Attribute] = st.one_of(
    _texts,
    st.text("ab", min_size=100, max_size=400),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(_texts, max_size=4).map(tuple),
)
_attributes = st.dictionaries(_names, _values, max_size=8)
_states = st.sampled_from(["", "a=1", "vendor=x y,a@b=2", "a=1,b=2,c=3"])


def _ids(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


contexts = st.builds(
    SpanContext,
    trace_id=_ids(32),
    span_id=_ids(16),
    flags=st.integers(0, 255),
    state=_states,
    remote=st.just(value=True),
)


@dataclass(frozen=True, kw_only=True)
class Described:
    """A span. late, last: attributes set before its end, none of which were set before."""

    name: str
    parent: SpanContext | None
    trace_id: str
    span_id: str
    child_id: str
    attributes: dict[str, Attribute]
    late: dict[str, Attribute]
    last: dict[str, Attribute]
    events: Sequence[SpanEvent]
    links: Sequence[SpanContext]
    start_ns: int
    end_ns: int
    failed: bool
    description: str
    limits: Mapping[str, int] = field(default_factory=dict)


descriptions = st.builds(
    Described,
    name=_texts,
    parent=st.none() | contexts,
    trace_id=_ids(32),
    span_id=_ids(16),
    child_id=_ids(16),
    attributes=_attributes,
    late=st.dictionaries(_names.map("late.{}".format), _values, max_size=8),
    last=st.dictionaries(_names.map("last.{}".format), _values, max_size=4),
    events=st.lists(
        st.builds(SpanEvent, name=_texts, at_ns=_times, attributes=_attributes), max_size=4
    ),
    links=st.lists(contexts, max_size=3),
    start_ns=_times,
    end_ns=_times,
    failed=st.booleans(),
    description=_texts,
)
limits = st.dictionaries(
    st.sampled_from(
        [
            "max_attributes",
            "max_attribute_length",
            "max_span_attributes",
            "max_span_attribute_length",
            "max_events",
            "max_links",
            "max_event_attributes",
        ]
    ),
    st.integers(-1, 6),
    max_size=4,
)


def own(described: Described) -> Sequence[SpanRecord]:
    """Make the span and an empty child of it by our tracer, unbounded."""
    ids = iter(
        [described.span_id, described.child_id]
        if described.parent is not None
        else [described.trace_id, described.span_id, described.child_id]
    )
    tracer = RecordTracer(sampler("always_on", 1.0), lambda _: None, lambda _: next(ids))
    context = tracer.decide(Inbound(described.parent))
    record = SpanRecord(
        described.name,
        Kind.SERVER,
        context,
        parent=described.parent,
        attributes={},
        first=Shared(described.attributes),
        start_ns=described.start_ns,
        links=tuple(described.links),
    )
    child = SpanRecord(
        "child",
        Kind.CLIENT,
        context.child(tracer.new_span_id()),
        parent=context,
        attributes={},
        start_ns=described.start_ns,
    )
    child.end_ns = described.end_ns
    record.events = tuple(described.events)
    record.attributes.update(described.late)
    record.last = Shared(described.last)
    record.failed = described.failed
    record.description = described.description if described.failed else ""
    record.end_ns = described.end_ns
    return [child, record]


def own_bounded(described: Described) -> Sequence[SpanRecord]:
    """The same, within the limits."""
    return [bounded(record, bounds(described.limits)) for record in own(described)]


def official(described: Described) -> service.ExportTraceServiceRequest:
    """Make the same by the SDK, and encode it by the official exporter's encoder."""
    kept = _Kept()
    provider = TracerProvider(
        sampler=sampling.ALWAYS_ON,
        resource=Resource(dict(RESOURCE)),
        shutdown_on_exit=False,
        id_generator=_Ids(described),
        span_limits=SpanLimits(**described.limits),
    )
    provider.add_span_processor(kept)
    tracer = provider.get_tracer(*SCOPE)
    context = Context()
    if described.parent is not None:
        parent = trace.NonRecordingSpan(api_context(described.parent))
        context = trace.set_span_in_context(parent, context)
    span = tracer.start_span(
        described.name,
        context,
        SpanKind.SERVER,
        described.attributes,
        [Link(api_context(link)) for link in described.links],
        start_time=described.start_ns,
    )
    child = tracer.start_span(
        "child",
        trace.set_span_in_context(span),
        SpanKind.CLIENT,
        start_time=described.start_ns,
    )
    child.end(described.end_ns)
    for event in described.events:
        span.add_event(event.name, event.attributes, event.at_ns)
    span.set_attributes(described.late)
    span.set_attributes(described.last)
    if described.failed:
        span.set_status(StatusCode.ERROR, described.description)
    span.end(described.end_ns)
    return encode_spans(kept.spans)


class _Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class _Ids(IdGenerator):
    def __init__(self, described: Described) -> None:
        self._trace_id = int(described.trace_id, 16)
        self._span_ids = iter([int(described.span_id, 16), int(described.child_id, 16)])

    def generate_trace_id(self) -> int:
        return self._trace_id

    def generate_span_id(self) -> int:
        return next(self._span_ids)

    def is_trace_id_random(self) -> bool:
        return True
