from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from dataplane.telemetry import SettingsError, TelemetrySettings, build
from dataplane.telemetry_door import NO_CONTEXT, Door
from tests.dataplane.telemetry_cases import Heard, listening


class Hostile(TextMapPropagator):
    """A stranger's propagator that raises on everything."""

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
        raise RuntimeError("canary")

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        raise RuntimeError("canary")

    @property
    def fields(self) -> set[str]:
        return set()


class HostileTracer(trace.NoOpTracer):
    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        raise RuntimeError("canary")


class HostileSpan(trace.NonRecordingSpan):
    """Fails in everything but its end, or in its end."""

    def __init__(self, *, fails_at_end: bool = False) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.ended = False
        self._fails_at_end = fails_at_end

    def add_event(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("canary")

    def set_attributes(self, attributes: Any) -> None:
        raise RuntimeError("canary")

    def end(self, end_time: int | None = None) -> None:
        if self._fails_at_end:
            raise RuntimeError("canary")
        self.ended = True


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as listener:
        yield listener


@pytest.fixture
def door() -> Door:
    return Door(HostileTracer(), Hostile())


def test_strangers_that_raise_are_counted_and_told_once(door: Door, heard: Heard) -> None:
    started = door.start("s", SpanKind.SERVER, NO_CONTEXT, {}, start_ns=0)
    door.event(HostileSpan(), "e", {}, 0)

    assert trace.INVALID_SPAN is started
    assert NO_CONTEXT is door.extract({"traceparent": "x"})
    assert {} == door.inject(NO_CONTEXT)
    assert 4 == door.errors
    assert 1 == len(heard.records)
    assert "RuntimeError" in heard.text
    assert "canary" not in heard.text


def test_span_ends_even_if_its_attributes_cannot_be_set(door: Door) -> None:
    span = HostileSpan()

    door.finish(span, {}, 1, failed=True, description=None)

    assert span.ended
    assert 1 == door.errors


def test_span_that_cannot_end_costs_nothing(door: Door) -> None:
    door.finish(HostileSpan(fails_at_end=True), {}, 1, failed=False, description=None)

    assert 2 == door.errors


def test_status_is_set_only_for_failures() -> None:
    """`OK` is never set."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    quiet = Door(tracer, Hostile())
    good = quiet.start("s", SpanKind.CLIENT, NO_CONTEXT, {"a": 1}, start_ns=5)
    bad = quiet.start("s", SpanKind.CLIENT, NO_CONTEXT, {}, start_ns=5)

    quiet.finish(good, {"b": 2}, 7, failed=False, description="unused")
    quiet.finish(bad, {}, 7, failed=True, description="rate limited")

    assert StatusCode.UNSET is good.status.status_code
    assert {"a": 1, "b": 2} == dict(good.attributes)
    assert (5, 7) == (good.start_time, good.end_time)
    assert (StatusCode.ERROR, "rate limited") == (bad.status.status_code, bad.status.description)
    assert 0 == quiet.errors


def test_propagator_that_cannot_be_loaded_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[opentelemetry_propagator]\nbroken = no_such:Thing\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(SettingsError, match='OTEL_PROPAGATORS: "broken" cannot be loaded'):
        build(
            {"OTEL_TRACES_EXPORTER": "console", "OTEL_PROPAGATORS": "tracecontext,broken"},
            version="1",
            settings=TelemetrySettings(),
        )


def test_exporter_that_cannot_be_built_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one variable that the exporter reads itself: a plug-in for credentials."""
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "no-such-thing")

    with pytest.raises(SettingsError, match="no-such-thing"):
        build({"OTEL_TRACES_EXPORTER": "otlp"}, version="1", settings=TelemetrySettings())
