from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider

from dataplane.telemetry_door import api_context
from dataplane.telemetry_records import SpanContext
from dataplane.telemetry_sampling import sampler
from dataplane.telemetry_settings import TelemetrySettings, plan
from dataplane.telemetry_tracer import RecordTracer
from dataplane.telemetry_w3c import Inbound
from tests.dataplane.telemetry_twins import contexts

RATIO = "OTEL_TRACES_SAMPLER_ARG"
NAME = "OTEL_TRACES_SAMPLER"
SAMPLERS = (
    {},
    {NAME: "always_on"},
    {NAME: "ALWAYS_OFF"},
    {NAME: "parentbased_always_on"},
    {NAME: "parentbased_always_off"},
    {NAME: "traceidratio", RATIO: "0"},
    {NAME: "traceidratio", RATIO: "0.5"},
    {NAME: "traceidratio", RATIO: "1"},
    {NAME: "parentbased_traceidratio", RATIO: "0.25"},
    {NAME: "traceidratio", RATIO: "many"},
    {NAME: "unknown"},
)


@pytest.mark.parametrize("environ", SAMPLERS, ids=str)
def test_decisions_and_flags_are_those_of_the_sdk(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a request and of its attempts, for any parent; ours by a mapping, theirs by os.environ."""
    made = plan({"OTEL_TRACES_EXPORTER": "otlp", **environ}, TelemetrySettings())
    assert made is not None
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("t")
    ours = sampler(made.sampler, made.sampler_ratio)

    @settings(max_examples=60, deadline=None)
    @given(st.none() | contexts, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))
    def equal(parent: SpanContext | None, trace_id: int, span_id: int) -> None:
        own = RecordTracer(
            ours, [].append, lambda digits: f"{trace_id if digits == 32 else span_id:0{digits}x}"
        )
        provider.id_generator.generate_trace_id = lambda: trace_id  # type: ignore[method-assign]
        context = Context()
        if parent is not None:
            caller = trace.NonRecordingSpan(api_context(parent))
            context = trace.set_span_in_context(caller, context)
        span = tracer.start_span("s", context)
        child = tracer.start_span("c", trace.set_span_in_context(span, Context()))
        theirs = span.get_span_context()

        decided = own.decide(Inbound(parent))

        assert theirs.trace_id == int(decided.trace_id, 16)
        assert theirs.trace_flags == decided.flags
        assert theirs.trace_state.to_header() == decided.state
        assert theirs.trace_flags == child.get_span_context().trace_flags

    equal()


def test_id_of_zero_is_never_given() -> None:
    tracer = RecordTracer(sampler("always_on", 1.0), [].append, lambda digits: "0" * digits)

    decided = tracer.decide(Inbound(None))

    assert ("0" * 31 + "1", "0" * 15 + "1") == (decided.trace_id, decided.span_id)


def test_unknown_sampler_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match='sampler "sometimes" is unknown'):
        sampler("sometimes", 1.0)
