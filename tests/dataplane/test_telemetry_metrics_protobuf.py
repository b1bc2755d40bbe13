from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service

from dataplane.metric_points import Exemplar, Metric, Point, Reading, Spread
from dataplane.telemetry_metrics_protobuf import MetricsEncoder
from tests.dataplane.metric_twins import (
    COUNTER,
    GAUGE,
    HISTOGRAM,
    Measured,
    official,
    own,
    rounds,
    timeless,
)
from tests.dataplane.telemetry_twins import RESOURCE, SCOPE


def encoded(
    reading: Reading, *, delta: bool = False, offset_ns: int = 0
) -> service.ExportMetricsServiceRequest:
    encoder = MetricsEncoder(RESOURCE, *SCOPE, delta=delta, offset_ns=offset_ns)
    return service.ExportMetricsServiceRequest.FromString(encoder.encode(reading))


@settings(max_examples=80, deadline=None)
@given(rounds)
def test_ours_is_what_the_sdk_and_its_encoder_make(
    measured: Sequence[Sequence[Measured]],
) -> None:
    """Resource, scope, names, units, kinds, buckets, sums, labels: since the start."""
    ours = [encoded(reading) for reading in own(measured, delta=False)]

    assert list(map(timeless, official(measured, delta=False))) == list(map(timeless, ours))


@settings(max_examples=80, deadline=None)
@given(rounds)
def test_differences_are_those_of_the_sdk(measured: Sequence[Sequence[Measured]]) -> None:
    """Since the last reading; what has not changed is told of as nothing."""
    series = [[one] for round_ in measured for one in round_[:1]]
    same = [[Measured(labels={}, **_of(one))] for [one] in series]
    ours = [encoded(reading, delta=True) for reading in own(same, delta=True)]

    assert list(map(timeless, official(same, delta=True))) == list(map(timeless, ours))


def _of(one: Measured) -> dict[str, object]:
    return {
        "durations": one.durations,
        "calls": one.calls,
        "difference": one.difference,
        "state": one.state,
    }


def test_times_are_those_of_the_reading_and_states_have_no_start() -> None:
    spread = Spread((1, 0, 0, 0, 0), 0.0)
    reading = Reading(
        since_ns=5,
        at_ns=7,
        metrics=[
            Metric(HISTOGRAM, [Point({}, spread)]),
            Metric(COUNTER, [Point({}, 1)]),
            Metric(GAUGE, [Point({}, 1)]),
        ],
    )

    metrics = encoded(reading).resource_metrics[0].scope_metrics[0].metrics
    points = [
        metrics[0].histogram.data_points[0],
        metrics[1].sum.data_points[0],
        metrics[2].gauge.data_points[0],
    ]
    assert [(5, 7), (5, 7), (0, 7)] == [
        (point.start_time_unix_nano, point.time_unix_nano) for point in points
    ]


def test_exemplar_names_its_trace_and_its_time() -> None:
    exemplar = Exemplar(0.5, 2.0, "1" * 32, "2" * 16)
    spread = Spread((0, 0, 1, 0, 0), 0.5, (exemplar,))
    reading = Reading(since_ns=0, at_ns=1, metrics=[Metric(HISTOGRAM, [Point({}, spread)])])

    [metric] = encoded(reading, offset_ns=100).resource_metrics[0].scope_metrics[0].metrics
    [told] = metric.histogram.data_points[0].exemplars

    assert ("1" * 32, "2" * 16) == (told.trace_id.hex(), told.span_id.hex())
    assert (0.5, 2_000_000_100) == (told.as_double, told.time_unix_nano)


def test_instruments_without_a_series_are_left_out() -> None:
    reading = Reading(since_ns=0, at_ns=1, metrics=[Metric(COUNTER, [])])

    assert [] == list(encoded(reading).resource_metrics[0].scope_metrics[0].metrics)
