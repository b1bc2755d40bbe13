"""What several processes have counted, added up, is what one would have counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import ProviderType
from dataplane import metric_instruments as instruments
from dataplane.events import AttemptEnded, Event, RequestCompleted
from dataplane.fleet.messages import Measured, pack, unpack
from dataplane.flight import Decision, RequestOutcome
from dataplane.metric_points import Spread
from dataplane.provider import Operation, Usage
from dataplane.request_metrics import MAX_RESPONSE_MODELS, MAX_SERIES, OVERFLOW, RequestMetrics
from dataplane.telemetry import NoTelemetry
from tests.dataplane.telemetry_cases import ManualClock, begin, provider

PROVIDERS = {
    "eu": provider(ProviderType.OPENAI, "eu"),
    # Another key for the same server: another provider, but the same labels.
    "eu-2": provider(ProviderType.OPENAI, "eu-2"),
    "local": provider(ProviderType.VLLM, "local"),
}
# Sums of these are exact, in whatever order they are added.
_seconds = st.integers(0, 2**14).map(lambda number: number / 64)
_tokens = st.none() | st.integers(0, 2**20)

_attempts = st.builds(
    AttemptEnded,
    at_s=st.just(0.0),
    provider=st.sampled_from(sorted(PROVIDERS)),
    model=st.sampled_from(["large", "small"]),
    decision=st.sampled_from(Decision),
    duration_s=_seconds,
    first_event_s=st.none() | _seconds,
    usage=st.none() | st.builds(Usage, input_tokens=_tokens, output_tokens=_tokens),
    error_type=st.sampled_from(["", "503", "what an upstream said"]),
    operation=st.sampled_from(Operation),
    stream=st.booleans(),
    response_model=st.sampled_from(["", "large-2026", "größe", "x" * 300, "_other"]),
    trace=st.none() | st.sampled_from("123").map(lambda digit: (digit * 32, digit * 16)),
)


@st.composite
def _requests(draw: st.DrawFn) -> RequestCompleted:
    time = ManualClock()
    stream = draw(st.booleans())
    span = begin(NoTelemetry(time.clock), stream=stream, match=draw(st.booleans()))
    for reason in draw(st.lists(st.sampled_from(SkipReason), max_size=2)):
        span.skipped(draw(st.sampled_from(sorted(PROVIDERS))), reason)
    time.advance(draw(_seconds))
    if stream and draw(st.booleans()):
        span.first_byte()
    span.end(draw(st.sampled_from(RequestOutcome)), draw(st.none() | st.sampled_from([200, 503])))
    return RequestCompleted(
        at_s=0.0,
        request_id="r",
        operation=draw(st.sampled_from(Operation)),
        span=span,
        usage=None,
        cost=None,
    )


def metrics() -> RequestMetrics:
    return RequestMetrics(PROVIDERS.get)


def told(by: RequestMetrics, to: RequestMetrics) -> None:
    """Tell what is new, as it travels between processes."""
    to.add(unpack(Measured, pack(Measured(counts=by.take().counts()))).counts)


def ended(number: int = 0, **fields: object) -> AttemptEnded:
    values: dict[str, object] = {
        "at_s": float(number),
        "provider": "eu",
        "model": "large",
        "decision": Decision.SERVED,
        "duration_s": 0.5,
        **fields,
    }
    return AttemptEnded(**values)  # type: ignore[arg-type]


def series(of: RequestMetrics) -> Mapping[object, object]:
    """All that can be read, without an order."""
    found: dict[object, object] = {}
    for metric in of.read(exemplars=True):
        for labels, value in metric.points:
            key = (metric.instrument.name, frozenset(labels.items()))
            assert key not in found, "two series with the same labels"
            if isinstance(value, Spread):
                found[key] = (tuple(value.counts), value.total, sorted(value.exemplars))
            else:
                found[key] = value
    return found


def total(of: RequestMetrics) -> int:
    return sum(sum(counts) for counts in _counts(of))


def _counts(of: RequestMetrics) -> Sequence[Sequence[int]]:
    [metric] = [one for one in of.read() if one.instrument is instruments.OPERATION_DURATION]
    return [point.value.counts for point in metric.points if isinstance(point.value, Spread)]


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.one_of(_attempts, _requests())), max_size=25
    )
)
def test_the_sum_of_split_streams_of_events_is_what_one_would_have_counted(
    events: list[tuple[int, bool, Event]],
) -> None:
    """Whoever takes an event, and whenever each tells: also exemplars are the latest."""
    one, all_of_them = metrics(), metrics()
    workers = [metrics() for _ in range(3)]
    for number, (index, tells, event) in enumerate(events):
        if isinstance(event, AttemptEnded):
            event.at_s = float(number)
        one.listen(event)
        workers[index].listen(event)
        if tells:
            told(workers[index], all_of_them)
    for worker in workers:
        told(worker, all_of_them)

    assert series(one) == series(all_of_them)


def test_what_was_told_is_not_told_again() -> None:
    worker, all_of_them = metrics(), metrics()
    worker.listen(ended())
    told(worker, all_of_them)
    told(worker, all_of_them)

    assert 1 == total(all_of_them)
    assert {0} == {len(metric.points) for metric in worker.read()}


def test_names_of_many_workers_are_bounded_as_those_of_one() -> None:
    all_of_them = metrics()
    for name in "abc":
        worker = metrics()
        for number in range(2 * MAX_RESPONSE_MODELS):
            worker.listen(ended(response_model=f"{name}-{number}"))
        told(worker, all_of_them)

    assert MAX_RESPONSE_MODELS + 1 == len(_counts(all_of_them))
    assert 3 * 2 * MAX_RESPONSE_MODELS == total(all_of_them)


def test_a_series_keeps_its_name_when_others_come() -> None:
    """Sums that are told once never fall: what is beyond the bound joins others, nobody leaves."""
    all_of_them, before = metrics(), metrics()
    before.listen(ended(response_model="first"))
    told(before, all_of_them)
    labels = [set(point.labels.values()) for point in all_of_them.read()[0].points]
    for _ in range(2):
        worker = metrics()
        for number in range(100):
            worker.listen(ended(response_model=f"name-{number}"))
        told(worker, all_of_them)

    assert labels[0] == set(all_of_them.read()[0].points[0].labels.values())
    assert "first" in labels[0]


def test_series_of_many_workers_become_one_where_those_of_one_would() -> None:
    all_of_them = metrics()
    for name in "ab":
        worker = metrics()
        for number in range(MAX_SERIES + 10):
            worker.listen(ended(model=f"{name}-{number}"))
        told(worker, all_of_them)

    points = all_of_them.read()[0].points
    assert MAX_SERIES + 1 == len(points)
    assert OVERFLOW == points[-1].labels
    assert 2 * (MAX_SERIES + 10) == total(all_of_them)


def test_two_providers_of_one_server_are_one_series() -> None:
    """A scrape with the same labels twice is refused as a whole."""
    of = metrics()
    for name in ("eu", "eu-2"):
        of.listen(ended(provider=name, trace=("1" * 32, "2" * 16)))

    [point] = of.read(exemplars=True)[0].points
    assert isinstance(point.value, Spread)
    assert (2, 1.0, 2) == (sum(point.value.counts), point.value.total, len(point.value.exemplars))


def test_providers_that_a_new_table_lacks_are_forgotten_in_the_sum_too() -> None:
    worker, all_of_them = metrics(), metrics()
    worker.listen(ended(decision=Decision.FAIL, error_type="503"))
    told(worker, all_of_them)
    all_of_them.keep_only({"local": PROVIDERS["local"]})

    assert {0} == {len(metric.points) for metric in all_of_them.read()}
