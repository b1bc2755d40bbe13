from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from dataplane.metric_points import Metric, Point, Reading
from dataplane.telemetry import MetricsSink, SettingsError, build_metrics
from tests.dataplane.metric_twins import COUNTER
from tests.sink import Answer, Sink, running


@dataclass
class Source:
    """A counter that grows by one with each reading."""

    readings: int = 0

    def read(self, exemplars: bool) -> Reading:
        self.readings += 1
        metric = Metric(COUNTER, [Point({}, self.readings)])
        return Reading(since_ns=1, at_ns=1 + self.readings, metrics=[metric])


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running() as started:
        yield started


def built(url: str, **environ: str) -> MetricsSink:
    sink = build_metrics(
        {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url, **environ},
        version="1.2.3",
    )
    assert sink is not None
    return sink


@asynccontextmanager
async def following(export: MetricsSink, source: Source) -> AsyncIterator[None]:
    task = asyncio.create_task(export.follow(source.read))
    try:
        # One step of the loop is what it takes to begin.
        await asyncio.sleep(0)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def counts(sink: Sink) -> list[int]:
    return [
        message.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].as_int
        for message in sink.readings
    ]


async def test_readings_arrive_at_an_interval_and_once_more_at_the_end(sink: Sink) -> None:
    export, source = built(sink.url, OTEL_METRIC_EXPORT_INTERVAL="10"), Source()
    async with following(export, source):
        await sink.wait(lambda: len(sink.readings) >= 2)
    assert await export.shutdown(20.0)

    told = counts(sink)
    assert source.readings == told[-1]
    assert sorted(told) == told
    assert {"/v1/metrics"} == {received.path for received in sink.received}
    [pair] = [
        pair
        for pair in sink.readings[0].resource_metrics[0].resource.attributes
        if pair.key == "service.version"
    ]
    assert "1.2.3" == pair.value.string_value


async def test_differences_are_told_where_they_are_preferred(sink: Sink) -> None:
    export = built(
        sink.url,
        OTEL_METRIC_EXPORT_INTERVAL="10",
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
    )
    source = Source()
    async with following(export, source):
        await sink.wait(lambda: len(sink.readings) >= 3)
    assert await export.shutdown(20.0)

    # A reading that was replaced by the next while it waited is in that one.
    assert source.readings == sum(counts(sink))


async def test_what_is_read_is_got_before_each_reading_and_not_for_the_last(sink: Sink) -> None:
    export, source = built(sink.url, OTEL_METRIC_EXPORT_INTERVAL="10"), Source()
    got: list[int] = []

    async def refresh() -> None:
        await asyncio.sleep(0)
        got.append(source.readings)

    task = asyncio.create_task(export.follow(source.read, refresh))
    await sink.wait(lambda: len(sink.readings) >= 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    asked = len(got)
    assert await export.shutdown(20.0)

    assert list(range(asked)) == got
    assert source.readings in {asked, asked + 1}
    assert source.readings == counts(sink)[-1]


async def test_end_without_a_start_sends_nothing(sink: Sink) -> None:
    assert await built(sink.url).shutdown(20.0)

    assert 0 == sink.seen


async def test_collector_that_hangs_keeps_one_reading_and_the_end_is_bounded(sink: Sink) -> None:
    """T13, T14: the loop goes on, memory is bounded, the wait at the end is, too."""
    sink.forever = Answer(hang=True)
    export, source = built(sink.url, OTEL_METRIC_EXPORT_INTERVAL="1"), Source()
    async with following(export, source):
        await sink.wait(lambda: sink.seen >= 1)
        async with asyncio.timeout(20.0):
            while source.readings < 20:
                await asyncio.sleep(0.001)
        told = export.status()["readings"]
    assert not await export.shutdown(0.01)

    sink.released.set()
    assert told["queued"] <= 2
    assert told["dropped"] >= 17


@pytest.mark.parametrize("answer", [Answer(status=400), Answer(status=500), Answer(close=True)])
async def test_collector_that_refuses_is_counted_and_asked_again(
    sink: Sink, answer: Answer
) -> None:
    """T13, T15: a failed reading is lost, the next arrives."""
    sink.script.extend([answer, answer])
    export, source = (
        built(
            sink.url,
            OTEL_METRIC_EXPORT_INTERVAL="10",
            OTEL_EXPORTER_OTLP_TIMEOUT="0.2",
        ),
        Source(),
    )
    async with following(export, source):
        await sink.wait(lambda: len(sink.readings) >= 1)
    await export.shutdown(20.0)

    assert export.status()["readings"]["failed"] >= 1


def test_status_shows_no_secret_of_the_endpoint() -> None:
    shown = built("http://user:canary@127.0.0.1:1", OTEL_METRIC_EXPORT_INTERVAL="500").status()

    assert "http://127.0.0.1:1/v1/metrics" == shown["endpoint"]
    assert "canary" not in str(shown)


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_HEADERS": "x-a=%E2%82%AC"},
        {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem"},
    ],
)
def test_what_cannot_be_built_stops_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        built("https://127.0.0.1:1", **environ)


def test_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    built("http://127.0.0.1:1", OTEL_METRIC_EXPORT_INTERVAL="soon")

    assert "OTEL_METRIC_EXPORT_INTERVAL" in caplog.text
