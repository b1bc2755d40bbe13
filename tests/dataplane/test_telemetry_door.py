from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from controlplane.table.schema import ProviderType
from dataplane.telemetry import RequestOutcome, SettingsError, TelemetrySettings, build
from dataplane.telemetry_attributes import Attributes
from dataplane.telemetry_door import (
    NO_CONTEXT,
    ApiPropagation,
    ApiSpan,
    ApiTracer,
    propagator,
)
from dataplane.telemetry_guard import Guard
from dataplane.telemetry_records import (
    NOTHING_SHARED,
    Kind,
    Shared,
    SpanContext,
    SpanEvent,
    SpanRecord,
)
from dataplane.telemetry_w3c import Inbound
from tests.dataplane.telemetry_cases import (
    CALLER_SPAN_ID,
    TRACE_ID,
    TRACEPARENT,
    Heard,
    begin,
    listening,
    provider,
    request,
    target,
    telemetry,
)
from tests.sink import running

CALLER = SpanContext(TRACE_ID, CALLER_SPAN_ID, 1, "", remote=True)
NOBODY = Inbound(None)


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
def guard() -> Guard:
    return Guard()


def started(tracer: ApiTracer, inbound: Inbound = NOBODY, **attributes: str) -> ApiSpan:
    return tracer.start("s", inbound, first=Shared(attributes), start_ns=5, links=())


def ours(
    name: str, attributes: Attributes | None = None, first: Shared = NOTHING_SHARED
) -> SpanRecord:
    """Our record of a span, whose context is somebody else's to know."""
    return SpanRecord(
        name,
        Kind.CLIENT,
        CALLER,
        parent=None,
        attributes=attributes or {},
        start_ns=6,
        first=first,
    )


def test_strangers_that_raise_are_counted_and_told_once(guard: Guard, heard: Heard) -> None:
    tracer, propagation = ApiTracer(HostileTracer(), guard), ApiPropagation(Hostile(), guard)
    server = started(tracer)
    client = tracer.child(server, ours("c"))

    nowhere = SpanContext("", "", 0, "", remote=False)
    assert nowhere == server.context == client.context
    assert {} == propagation.inject(server.context, None)
    inbound = propagation.extract({"traceparent": "x"})
    assert (None, NO_CONTEXT) == (inbound.parent, inbound.baggage)
    assert {} == propagation.inject(CALLER, None)
    assert 4 == guard.errors
    assert 1 == len(heard.records)
    assert "RuntimeError" in heard.text
    assert "canary" not in heard.text


@pytest.mark.parametrize("event", [False, True])
def test_span_ends_even_if_its_attributes_cannot_be_set(guard: Guard, event: bool) -> None:
    span = HostileSpan()
    record = ours("s")
    if event:
        record.events = (SpanEvent("e", 1, {}),)

    ApiTracer(HostileTracer(), guard).end(ApiSpan(span), record)

    assert span.ended
    assert 1 == guard.errors


def test_span_that_cannot_end_costs_nothing(guard: Guard) -> None:
    span = ApiSpan(HostileSpan(fails_at_end=True))

    ApiTracer(HostileTracer(), guard).end(span, ours("s"))

    assert 2 == guard.errors


def test_records_are_followed_by_the_spans_of_the_provider(guard: Guard) -> None:
    """Parent, kind, link, events, late attributes, status, times; `OK` is never set."""
    tracer = ApiTracer(TracerProvider(shutdown_on_exit=False).get_tracer("t"), guard)
    propagation = ApiPropagation(propagator(["tracecontext", "baggage"]), guard)
    inbound = propagation.extract({"traceparent": TRACEPARENT, "tracestate": "a=1"})
    server_span = tracer.start("s", inbound, first=Shared({"a": 1}), start_ns=5, links=[CALLER])
    good = ours("s", {"b": 2})
    bad = ours("c", {"e": 4}, first=Shared({"d": 3}))
    client_span = tracer.child(server_span, bad)
    good.last = Shared({"f": 5})
    good.events = (SpanEvent("e", 6, {"c": "d"}),)
    bad.failed, bad.description = True, "rate limited"
    good.end_ns = bad.end_ns = 7
    tracer.end(client_span, bad)
    tracer.end(server_span, good)

    server: Any = server_span.span
    client: Any = client_span.span
    assert SpanContext(TRACE_ID, CALLER_SPAN_ID, 1, "a=1", remote=True) == inbound.parent
    assert CALLER.trace_id == server_span.context.trace_id == client_span.context.trace_id
    assert (True, "a=1", False) == (
        server_span.context.sampled,
        client_span.context.state,
        client_span.context.remote,
    )
    assert int(CALLER.span_id, 16) == server.parent.span_id
    assert int(server_span.context.span_id, 16) == client.parent.span_id
    assert [int(CALLER.span_id, 16)] == [link.context.span_id for link in server.links]
    assert (SpanKind.SERVER, SpanKind.CLIENT) == (server.kind, client.kind)
    assert {"a": 1, "b": 2, "f": 5} == dict(server.attributes)
    assert {"d": 3, "e": 4} == dict(client.attributes)
    assert [("e", 6, {"c": "d"})] == [
        (event.name, event.timestamp, dict(event.attributes)) for event in server.events
    ]
    assert (StatusCode.UNSET, 5, 7) == (
        server.status.status_code,
        server.start_time,
        server.end_time,
    )
    assert (StatusCode.ERROR, "rate limited") == (
        client.status.status_code,
        client.status.description,
    )
    assert 0 == guard.errors


def test_context_goes_on_with_the_callers_baggage_only_if_it_may(guard: Guard) -> None:
    propagation = ApiPropagation(propagator(["tracecontext", "baggage"]), guard)
    inbound = propagation.extract({"traceparent": TRACEPARENT, "baggage": "tenant=acme"})

    quiet = propagation.inject(CALLER, None)
    open_minded = propagation.inject(CALLER, inbound.baggage)

    assert {"traceparent": TRACEPARENT} == quiet
    assert {"traceparent": TRACEPARENT, "baggage": "tenant=acme"} == open_minded


@pytest.mark.usefixtures("foreign")
async def test_propagator_of_anothers_is_used_both_ways() -> None:
    """Sampling, ids and spans stay ours; only the headers are the stranger's."""
    async with running() as sink, telemetry(sink, OTEL_PROPAGATORS="foreign") as built:
        span = begin(built, {"x-foreign": "0" * 31 + "7"})
        of = provider(ProviderType.VLLM)
        sent = span.attempt(of, target(of), request(), 1).headers()
        span.end(RequestOutcome.SERVED, 200)

    assert {"x-foreign": sink.attempts[0].span_id} == sent
    assert ("0" * 31 + "7", "0" * 15 + "1") == (span.trace_id, sink.servers[0].parent_id)


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A propagator that is installed as a package."""
    info = tmp_path / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_propagator]\nforeign = foreign_propagator:Foreign\n"
    )
    (tmp_path / "foreign_propagator.py").write_text(_FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)


_FOREIGN = """
from opentelemetry import trace
from opentelemetry.propagators.textmap import TextMapPropagator

class Foreign(TextMapPropagator):
    fields = {"x-foreign"}

    def extract(self, carrier, context=None, getter=None):
        trace_id = int(getter.get(carrier, "x-foreign")[0], 16)
        found = trace.SpanContext(trace_id, 1, True, trace.TraceFlags(1))
        return trace.set_span_in_context(trace.NonRecordingSpan(found), context)

    def inject(self, carrier, context=None, setter=None):
        span = trace.get_current_span(context).get_span_context()
        carrier["X-Foreign"] = trace.format_span_id(span.span_id)
"""


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
    """A plug-in for credentials is for the official exporter, which reads the variable itself."""
    variable = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER"
    monkeypatch.setenv(variable, "no-such-thing")

    with pytest.raises(SettingsError, match="no-such-thing"):
        build(
            {"OTEL_TRACES_EXPORTER": "otlp", variable: "no-such-thing"},
            version="1",
            settings=TelemetrySettings(),
        )
