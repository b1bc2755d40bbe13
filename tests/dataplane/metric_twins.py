"""Measurements made by the SDK and by us: for tests that hold the two equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from dataplane.metric_difference import Difference
from dataplane.metric_points import (
    Histogram,
    Instrument,
    Kind,
    Labels,
    Metric,
    Point,
    Reading,
    Spread,
)
from tests.dataplane.telemetry_twins import RESOURCE, SCOPE

HISTOGRAM = Instrument(
    name="a.histogram",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="größe",
    bounds=(0.0, 0.01, 1.0, 64.0),
)
COUNTER = Instrument(name="a.counter", kind=Kind.COUNTER, unit="{call}", description="calls")
UP_DOWN = Instrument(name="an.updown", kind=Kind.UP_DOWN, unit="1", description="")
GAUGE = Instrument(name="a.gauge", kind=Kind.GAUGE, unit="1", description="a state")

_labels = st.dictionaries(
    st.sampled_from(["a", "gen_ai.request.model", "port"]),
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.integers(0, 2**40)
    ),
    max_size=3,
)
# Sums of these are exact, in whatever order they are added.
_numbers = st.one_of(st.integers(0, 2**20), st.integers(0, 2**20).map(lambda number: number / 64))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured between two readings, by series."""

    labels: Labels
    durations: Sequence[float]
    calls: int
    difference: int
    state: float


rounds = st.lists(
    st.lists(
        st.builds(
            Measured,
            labels=_labels,
            durations=st.lists(_numbers, min_size=1, max_size=5),
            calls=st.integers(0, 2**30),
            difference=st.integers(-(2**30), 2**30),
            state=st.one_of(st.integers(-(2**40), 2**40), st.floats(-1e9, 1e9)),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda one: tuple(sorted(map(repr, one.labels.items()))),
    ),
    min_size=1,
    max_size=3,
)


def official(
    measured: Sequence[Sequence[Measured]], *, delta: bool
) -> Sequence[service.ExportMetricsServiceRequest]:
    """Measure by the SDK, and encode each reading by the official exporter's encoder."""
    chosen = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
    reader = InMemoryMetricReader(preferred_temporality={SdkHistogram: chosen, SdkCounter: chosen})
    view = View(
        instrument_name=HISTOGRAM.name,
        aggregation=ExplicitBucketHistogramAggregation(HISTOGRAM.bounds, record_min_max=False),
    )
    provider = MeterProvider(
        [reader],
        Resource(dict(RESOURCE)),
        exemplar_filter=AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
        views=[view],
    )
    meter = provider.get_meter(*SCOPE)
    histogram = meter.create_histogram(HISTOGRAM.name, HISTOGRAM.unit, HISTOGRAM.description)
    counter = meter.create_counter(COUNTER.name, COUNTER.unit, COUNTER.description)
    up_down = meter.create_up_down_counter(UP_DOWN.name, UP_DOWN.unit, UP_DOWN.description)
    gauge = meter.create_gauge(GAUGE.name, GAUGE.unit, GAUGE.description)
    encoded = []
    for series in measured:
        for one in series:
            for duration in one.durations:
                histogram.record(duration, one.labels)
            counter.add(one.calls, one.labels)
            up_down.add(one.difference, one.labels)
            gauge.set(one.state, one.labels)
        data = reader.get_metrics_data()
        assert data is not None
        encoded.append(encode_metrics(data))
    provider.shutdown()
    return encoded


def own(measured: Sequence[Sequence[Measured]], *, delta: bool) -> Sequence[Reading]:
    """Measure by our own means. A series is told of if it was measured since the last reading."""
    known: dict[str, Labels] = {}
    durations: dict[str, Histogram] = {}
    calls: dict[str, int] = {}
    levels: dict[str, int] = {}
    states: dict[str, float] = {}
    difference = Difference()
    readings = []
    for at_ns, series in enumerate(measured, 1):
        for one in series:
            key = repr(sorted(map(repr, one.labels.items())))
            known.setdefault(key, one.labels)
            histogram = durations.setdefault(key, Histogram(HISTOGRAM.bounds))
            for duration in one.durations:
                histogram.add(duration)
            calls[key] = calls.get(key, 0) + one.calls
            levels[key] = levels.get(key, 0) + one.difference
            states[key] = one.state
        spreads = {key: Spread(tuple(one.counts), one.total) for key, one in durations.items()}
        reading = Reading(
            since_ns=0,
            at_ns=at_ns,
            metrics=[
                Metric(HISTOGRAM, [Point(known[key], value) for key, value in spreads.items()]),
                Metric(COUNTER, [Point(known[key], value) for key, value in calls.items()]),
                Metric(UP_DOWN, [Point(known[key], value) for key, value in levels.items()]),
                Metric(GAUGE, [Point(known[key], value) for key, value in states.items()]),
            ],
        )
        readings.append(difference.of(reading) if delta else reading)
    return readings


def timeless(message: service.ExportMetricsServiceRequest) -> Mapping[str, object]:
    """What a message says but for times and extremes, with series in an order of their own."""
    [resource] = message.resource_metrics
    [scope] = resource.scope_metrics
    found: dict[str, object] = {}
    for metric in scope.metrics:
        kind = metric.WhichOneof("data")
        measured = getattr(metric, str(kind))
        points = []
        for point in measured.data_points:
            point.ClearField("start_time_unix_nano")
            point.ClearField("time_unix_nano")
            if kind == "histogram":
                # Infinities, where the SDK was told not to record them.
                point.ClearField("min")
                point.ClearField("max")
            pairs = sorted(point.attributes, key=lambda pair: pair.key)
            del point.attributes[:]
            point.attributes.extend(pairs)
            points.append(point.SerializeToString(deterministic=True))
        found[metric.name] = (
            *(metric.description, metric.unit, kind),
            getattr(measured, "aggregation_temporality", None),
            getattr(measured, "is_monotonic", None),
            sorted(points),
        )
    return {"resource": resource.resource, "scope": scope.scope, **found}
