from __future__ import annotations

from collections.abc import Mapping

import pytest

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import ProviderType
from dataplane import metric_instruments as instruments
from dataplane import telemetry_names as names
from dataplane.events import AttemptEnded, RequestCompleted, RequestFailed, RequestStarted
from dataplane.flight import Decision, RequestOutcome
from dataplane.metric_points import Instrument, Kind, Point, Spread
from dataplane.provider import Operation, Usage
from dataplane.request_metrics import MAX_RESPONSE_MODELS, MAX_SERIES, OVERFLOW, RequestMetrics
from dataplane.telemetry import NoTelemetry, RequestSpan
from tests.dataplane.telemetry_cases import ManualClock, begin, provider

AZURE = provider(ProviderType.AZURE_OPENAI, "azure-eu")
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.provider.name": "azure.ai.openai",
    "server.address": "example.openai.azure.com",
    "server.port": 443,
    "gen_ai.response.model": "gpt-5-mini-2026",
}


def metrics() -> RequestMetrics:
    return RequestMetrics({"azure-eu": AZURE}.get)


def ended(
    decision: Decision = Decision.SERVED,
    *,
    model: str = "gpt-5-mini",
    response_model: str = "gpt-5-mini-2026",
    usage: Usage | None = None,
    error_type: str = "",
    stream: bool = False,
    trace: tuple[str, str] | None = None,
) -> AttemptEnded:
    return AttemptEnded(
        at_s=7.0,
        provider="azure-eu",
        model=model,
        decision=decision,
        duration_s=0.5,
        first_event_s=0.02,
        usage=usage,
        error_type=error_type,
        operation=Operation.CHAT,
        stream=stream,
        response_model=response_model,
        trace=trace,
    )


def points(of: RequestMetrics, instrument: Instrument, *, exemplars: bool = False) -> list[Point]:
    [found] = [metric for metric in of.read(exemplars=exemplars) if metric.instrument is instrument]
    return list(found.points)


def spread(point: Point) -> Spread:
    assert isinstance(point.value, Spread)
    return point.value


def count(point: Point) -> int:
    return sum(spread(point).counts)


def completed(span: RequestSpan) -> RequestCompleted:
    return RequestCompleted(
        at_s=0.0, request_id="r", operation=Operation.CHAT, span=span, usage=None, cost=None
    )


def test_a_served_call_gives_duration_first_chunk_and_tokens() -> None:
    """T19: names, units and labels as the conventions have them; two kinds of tokens, no parts."""
    of = metrics()
    usage = Usage(input_tokens=100, output_tokens=5, cache_read_tokens=80, reasoning_tokens=3)
    of.listen(ended(usage=usage, stream=True))

    [duration] = points(of, instruments.OPERATION_DURATION)
    [first] = points(of, instruments.FIRST_CHUNK)
    tokens = points(of, instruments.TOKEN_USAGE)
    assert CALL == duration.labels == first.labels
    assert (0.5, 0.02) == (spread(duration).total, spread(first).total)
    assert [
        ({**CALL, "gen_ai.token.type": "input"}, 100),
        ({**CALL, "gen_ai.token.type": "output"}, 5),
    ] == [(point.labels, spread(point).total) for point in tokens]


def test_a_whole_answer_has_no_first_chunk() -> None:
    of = metrics()
    of.listen(ended())

    assert [] == points(of, instruments.FIRST_CHUNK)


def test_a_failed_call_gives_its_error_and_no_tokens() -> None:
    of = metrics()
    of.listen(ended(Decision.NEXT_TARGET, error_type="503", response_model=""))
    of.listen(ended(Decision.NEXT_TARGET, error_type="what the user said", response_model=""))

    durations = points(of, instruments.OPERATION_DURATION)
    assert ["503", "_OTHER"] == [point.labels["error.type"] for point in durations]
    assert [] == points(of, instruments.TOKEN_USAGE)
    assert [
        (
            {
                "switchgear.endpoint": "azure-eu",
                "switchgear.decision": "next_target",
                "error.type": error,
            },
            1,
        )
        for error in ("503", "_OTHER")
    ] == points(of, instruments.ATTEMPTS)
    assert [({"switchgear.endpoint": "azure-eu"}, 1.0)] == points(of, instruments.WASTED)


def test_a_call_whose_caller_left_is_not_wasted() -> None:
    of = metrics()
    of.listen(ended(Decision.CANCELLED))

    assert [] == points(of, instruments.WASTED)
    assert 1 == len(points(of, instruments.ATTEMPTS))


def test_an_upper_bound_belongs_to_its_bucket() -> None:
    of = metrics()
    for tokens in (1, 2, 4, 5):
        of.listen(ended(usage=Usage(input_tokens=tokens)))

    [point] = points(of, instruments.TOKEN_USAGE)
    assert [1, 2, 1] == list(spread(point).counts[:3])


def test_an_exemplar_is_the_latest_of_its_bucket_and_told_once() -> None:
    """T19: it names the trace and the span of the attempt."""
    of = metrics()
    for digit in "12":
        of.listen(ended(trace=(digit * 32, digit * 16)))

    scraped = points(of, instruments.OPERATION_DURATION)
    [told] = points(of, instruments.OPERATION_DURATION, exemplars=True)
    [again] = points(of, instruments.OPERATION_DURATION, exemplars=True)
    assert () == spread(scraped[0]).exemplars == spread(again).exemplars
    assert [(0.5, 7.0, "2" * 32, "2" * 16)] == list(spread(told).exemplars)


def test_a_thousand_names_of_an_upstream_make_a_bounded_number_of_series() -> None:
    """T19: beyond 64 names of answering models, all are one."""
    of = metrics()
    for number in range(1000):
        of.listen(ended(response_model=f"model-{number}"))

    found = points(of, instruments.OPERATION_DURATION)
    assert MAX_RESPONSE_MODELS + 1 == len(found)
    assert 1000 - MAX_RESPONSE_MODELS == count(found[-1])
    assert "_other" == found[-1].labels["gen_ai.response.model"]


def test_a_thousand_unknown_models_of_callers_make_one_series() -> None:
    """T19: a model that no route takes is not a label at all."""
    of = metrics()
    telemetry = NoTelemetry(ManualClock().clock)
    for number in range(1000):
        span = begin(telemetry, match=False)
        span.matched("", f"unknown-{number}", 7, stream=False)
        span.end(RequestOutcome.REJECTED, 404)
        of.listen(
            RequestFailed(
                at_s=0.0,
                request_id="r",
                operation=Operation.CHAT,
                span=span,
                outcome=RequestOutcome.REJECTED,
            )
        )

    [point] = points(of, instruments.REQUEST_DURATION)
    assert 1000 == count(point)
    assert not [value for value in point.labels.values() if "unknown" in str(value)]


def test_too_many_series_become_one_that_says_so() -> None:
    of = metrics()
    for number in range(MAX_SERIES + 10):
        of.listen(ended(model=f"deployment-{number}", response_model=""))

    found = points(of, instruments.OPERATION_DURATION)
    assert MAX_SERIES + 1 == len(found)
    assert (OVERFLOW, 10) == (found[-1].labels, count(found[-1]))


def test_a_request_gives_its_duration_overhead_and_first_chunk() -> None:
    of = metrics()
    time = ManualClock()
    span = begin(NoTelemetry(time.clock), stream=True)
    span.skipped("ollama", SkipReason.CIRCUIT_OPEN)
    time.advance(0.25)
    span.first_byte()
    span.end(RequestOutcome.SERVED, 200)
    of.listen(completed(span))

    [duration] = points(of, instruments.REQUEST_DURATION)
    [overhead] = points(of, instruments.OVERHEAD)
    [first] = points(of, instruments.REQUEST_FIRST_CHUNK)
    assert {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "switchgear.route": "chat",
        "switchgear.outcome": "served",
    } == duration.labels
    assert {"switchgear.route": "chat"} == overhead.labels == first.labels
    assert (0.25, 0.25, 0.25) == (
        spread(duration).total,
        spread(overhead).total,
        spread(first).total,
    )
    assert [({"switchgear.endpoint": "ollama", "switchgear.reason": "circuit_open"}, 1)] == points(
        of, instruments.SKIPPED
    )


def test_providers_that_a_new_table_lacks_are_forgotten() -> None:
    of = metrics()
    of.listen(ended(Decision.FAIL, error_type="400"))

    of.keep_only({"another": AZURE})

    assert {0} == {len(metric.points) for metric in of.read()}


def test_a_call_that_outlives_its_provider_is_counted_without_its_place() -> None:
    of = RequestMetrics(lambda _: None)
    of.listen(ended())

    [point] = points(of, instruments.OPERATION_DURATION)
    assert "server.address" not in point.labels


@pytest.mark.parametrize("instrument", instruments.INSTRUMENTS, ids=lambda one: one.name)
def test_every_instrument_is_well_formed(instrument: Instrument) -> None:
    """T19: boundaries rise, only histograms have them, and a name is of the conventions or ours."""
    assert sorted(set(instrument.bounds)) == list(instrument.bounds)
    assert (instrument.kind is Kind.HISTOGRAM) == bool(instrument.bounds)
    assert instrument.name.startswith(("gen_ai.client.", "http.server.", f"{names.NS}."))
    assert len(set(instrument.labels)) == len(instrument.labels)


def test_boundaries_are_those_of_the_conventions() -> None:
    """T19."""
    expected: Mapping[Instrument, tuple[float, float, int]] = {
        instruments.OPERATION_DURATION: (0.01, 81.92, 14),
        instruments.FIRST_CHUNK: (0.01, 81.92, 14),
        instruments.TOKEN_USAGE: (1, 67108864, 14),
        instruments.REQUEST_DURATION: (0.005, 10, 14),
        instruments.OVERHEAD: (0.0002, 0.5, 10),
    }

    assert list(expected.values()) == [
        (one.bounds[0], one.bounds[-1], len(one.bounds)) for one in expected
    ]


def test_labels_are_those_that_the_instrument_names() -> None:
    of = metrics()
    of.listen(ended(usage=Usage(input_tokens=1, output_tokens=1), stream=True))
    of.listen(ended(Decision.FAIL, error_type="400"))
    span = begin(NoTelemetry(ManualClock().clock), stream=True)
    span.end(RequestOutcome.FAILED, 500)
    of.listen(completed(span))

    for metric in of.read():
        for point in metric.points:
            assert set(point.labels) <= set(metric.instrument.labels), metric.instrument.name


def test_an_event_of_a_start_changes_nothing() -> None:
    of = metrics()
    of.listen(RequestStarted(at_s=0.0, request_id="r", operation=Operation.CHAT))

    assert {0} == {len(metric.points) for metric in of.read()}
