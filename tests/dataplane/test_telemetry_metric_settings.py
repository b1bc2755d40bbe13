from __future__ import annotations

import pytest

from dataplane.telemetry_metric_settings import MetricsPlan, metrics_plan
from dataplane.telemetry_settings import SettingsError


def planned(**environ: str) -> MetricsPlan:
    plan = metrics_plan({"OTEL_METRICS_EXPORTER": "otlp", **environ})
    assert plan is not None
    return plan


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
        {"OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_METRICS_EXPORTER": "prometheus"},
        {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_metrics_are_sent_only_if_they_are_asked_for(environ: dict[str, str]) -> None:
    assert metrics_plan(environ) is None


def test_defaults_are_those_of_the_specification() -> None:
    plan = planned()

    assert "http://localhost:4318/v1/metrics" == plan.export.endpoint
    assert (60.0, False, True) == (plan.interval_s, plan.delta, plan.exemplars)
    assert 10.0 == plan.export.timeout_s
    assert "switchgear" == plan.export.resource["service.name"]


def test_settings_of_the_signal_beat_the_general_ones() -> None:
    plan = planned(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://c:4318/",
        OTEL_EXPORTER_OTLP_HEADERS="a=b",
        OTEL_EXPORTER_OTLP_METRICS_HEADERS="c=d",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS="e=f",
        OTEL_EXPORTER_OTLP_METRICS_TIMEOUT="2",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )

    assert "http://c:4318/v1/metrics" == plan.export.endpoint
    assert ("c=d", 2.0, "gzip") == (
        plan.export.headers,
        plan.export.timeout_s,
        plan.export.compression,
    )


def test_endpoint_of_the_signal_is_used_as_written() -> None:
    plan = planned(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="http://c/in")

    assert "http://c/in" == plan.export.endpoint


@pytest.mark.parametrize(
    ("preference", "delta"), [("cumulative", False), ("Delta", True), ("lowmemory", True)]
)
def test_temporality_is_read(preference: str, delta: bool) -> None:
    plan = planned(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=preference)

    assert delta == plan.delta


def test_numbers_and_words_that_cannot_be_read_are_warned_of() -> None:
    plan = planned(
        OTEL_METRIC_EXPORT_INTERVAL="soon",
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="odd",
        OTEL_METRICS_EXEMPLAR_FILTER="some",
    )

    assert (60.0, False, True) == (plan.interval_s, plan.delta, plan.exemplars)
    assert 3 == len(plan.export.warnings)


def test_interval_is_read_in_milliseconds_and_exemplars_can_be_left_out() -> None:
    plan = planned(OTEL_METRIC_EXPORT_INTERVAL="500", OTEL_METRICS_EXEMPLAR_FILTER="always_off")

    assert (0.5, False) == (plan.interval_s, plan.exemplars)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_METRICS_EXPORTER", "otlp,statsd"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "collector:4318"),
    ],
)
def test_what_cannot_be_meant_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError):
        planned(**{name: value})
