from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from dataplane.telemetry import RequestOutcome, Telemetry
from dataplane.telemetry_export import ExportQueue
from dataplane.telemetry_log import ExportLog
from dataplane.telemetry_records import Kind, SpanContext, SpanRecord
from dataplane.telemetry_settings import QueueLimits
from switchgear.demo.ports import HeldPort
from tests.dataplane.telemetry_cases import Heard, ManualClock, begin, listening, telemetry
from tests.sink import Answer, Sink, running

OTEL = logging.getLogger("opentelemetry")
EXPORTER = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")


class FakeExporter:
    """Exports into a list; waits for `gate` first, then does as `result` says."""

    def __init__(self, result: Callable[[], bool] | None = None) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.closed = False
        self._result = result or (lambda: True)

    def export(self, batch: Sequence[SpanRecord]) -> bool:
        self.entered.set()
        self.gate.wait(20.0)
        self.batches.append(len(batch))
        return self._result()

    def shutdown(self) -> None:
        self.closed = True
        self.gate.set()


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running() as started:
        yield started


@pytest.fixture
def log() -> Iterator[ExportLog]:
    """A log whose clock stands still, attached."""
    time = ManualClock()
    made = ExportLog(lambda: time.now_s, "http://collector/v1/traces")
    made.time = time  # type: ignore[attr-defined]  # for the test to move
    made.attach()
    yield made
    made.detach(mute=False)


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as listener:
        yield listener


def lines(heard: Heard) -> list[str]:
    return heard.lines("dataplane.telemetry_export")


def attached() -> list[logging.Handler]:
    return [handler for handler in OTEL.handlers if isinstance(handler, ExportLog)]


@dataclass
class Ended:
    """A span whose record is known, or cannot be had."""

    known: SpanRecord | None

    def record(self) -> SpanRecord:
        assert self.known is not None
        return self.known


def end_spans(queue: ExportQueue, count: int) -> None:
    context = SpanContext("1" * 32, "1" * 16, 1, "", remote=False)
    for _ in range(count):
        queue.put(
            Ended(SpanRecord("s", Kind.SERVER, context, parent=None, attributes={}, start_ns=1))
        )


def end_requests(built: Telemetry, count: int) -> None:
    for _ in range(count):
        begin(built).end(RequestOutcome.SERVED, 200)


async def test_span_that_cannot_be_put_together_costs_itself_only(
    log: ExportLog, heard: Heard
) -> None:
    exporter = FakeExporter()
    exporter.gate.set()
    queue = ExportQueue(exporter, QueueLimits(max_queue=8, batch=4, delay_s=3600.0), log)
    end_spans(queue, 2)
    queue.put(Ended(None))
    end_spans(queue, 1)

    assert await queue.close(20.0)
    assert {"ended": 4, "exported": 3, "failed": 1, "dropped": 0, "queued": 0} == queue.counts()
    assert "raised AssertionError" in heard.text


async def test_full_queue_drops_the_oldest_and_counts_it(log: ExportLog) -> None:
    exporter = FakeExporter()
    queue = ExportQueue(exporter, QueueLimits(max_queue=8, batch=4, delay_s=0.001), log)
    end_spans(queue, 4)
    await asyncio.to_thread(exporter.entered.wait, 20.0)

    end_spans(queue, 20)

    counts = queue.counts()
    assert 24 == counts["ended"]
    assert 12 == counts["queued"] + counts["exported"]
    assert 12 == counts["dropped"]
    exporter.gate.set()
    assert await queue.close(20.0)
    assert {"ended": 24, "exported": 12, "failed": 0, "dropped": 12, "queued": 0} == queue.counts()


async def test_full_batches_do_not_wait_for_the_delay(log: ExportLog) -> None:
    exporter = FakeExporter()
    queue = ExportQueue(exporter, QueueLimits(max_queue=100, batch=4, delay_s=3600.0), log)

    end_spans(queue, 4)

    assert await asyncio.to_thread(exporter.entered.wait, 20.0)
    exporter.gate.set()
    await queue.close(20.0)


async def test_batches_are_bounded(log: ExportLog) -> None:
    exporter = FakeExporter()
    queue = ExportQueue(exporter, QueueLimits(max_queue=100, batch=4, delay_s=3600.0), log)
    end_spans(queue, 4)
    await asyncio.to_thread(exporter.entered.wait, 20.0)
    end_spans(queue, 9)
    exporter.gate.set()

    assert await queue.close(20.0)
    assert 13 == sum(exporter.batches)
    assert 4 == max(exporter.batches)


async def test_close_gives_up_in_time_and_tells_what_is_left(log: ExportLog, heard: Heard) -> None:
    """A stuck exporter: the wait is bounded, the queued spans count as dropped."""
    exporter = FakeExporter()
    queue = ExportQueue(exporter, QueueLimits(max_queue=100, batch=4, delay_s=3600.0), log)
    end_spans(queue, 4)
    await asyncio.to_thread(exporter.entered.wait, 20.0)
    end_spans(queue, 3)

    assert not await queue.close(0.01)
    assert exporter.closed
    assert 3 == queue.counts()["dropped"]
    assert ["telemetry: 7 spans were not sent within 0.01 s"] == lines(heard)


async def test_span_that_ends_after_the_close_is_dropped(log: ExportLog) -> None:
    exporter = FakeExporter()
    exporter.gate.set()
    queue = ExportQueue(exporter, QueueLimits(), log)
    await queue.close(20.0)

    end_spans(queue, 2)

    assert {"ended": 2, "exported": 0, "failed": 0, "dropped": 2, "queued": 0} == queue.counts()


@pytest.mark.parametrize("failure", ["raises", "fails"])
async def test_failing_exporter_is_counted_and_the_thread_lives_on(
    log: ExportLog, heard: Heard, failure: str
) -> None:
    answers = iter([False, True])

    def result() -> bool:
        answer = next(answers)
        if not answer and failure == "raises":
            raise RuntimeError("canary")
        return answer

    exporter = FakeExporter(result)
    exporter.gate.set()
    queue = ExportQueue(exporter, QueueLimits(max_queue=8, batch=2, delay_s=3600.0), log)
    end_spans(queue, 4)

    assert await queue.close(20.0)
    assert {"ended": 4, "exported": 2, "failed": 2, "dropped": 0, "queued": 0} == queue.counts()
    first, recovered = lines(heard)
    assert first.startswith("telemetry: ")
    assert "canary" not in first
    assert "telemetry: spans reach the collector again [http://collector/v1/traces]" == recovered


def test_trouble_is_told_once_a_minute(log: ExportLog, heard: Heard) -> None:
    time: ManualClock = log.time  # type: ignore[attr-defined]  # see the fixture
    for _ in range(10):
        EXPORTER.error("Failed to export %s batch code: %s, reason: %s", "spans", 503, "Busy")
        time.advance(10.0)

    first, second = lines(heard)
    assert (
        "telemetry: Failed to export spans batch code: 503, reason: Busy"
        " [http://collector/v1/traces]"
    ) == first
    assert second.endswith(" (5 more since the last line)")


def test_own_exporters_trouble_is_told_like_that_of_others(log: ExportLog, heard: Heard) -> None:
    time: ManualClock = log.time  # type: ignore[attr-defined]  # see the fixture
    for _ in range(10):
        log.trouble("the collector answered 503 Busy")
        log.failed("spans could not be exported")
        time.advance(10.0)

    first, second = lines(heard)
    where = "[http://collector/v1/traces]"
    assert f"telemetry: the collector answered 503 Busy {where}" == first
    assert f"telemetry: the collector answered 503 Busy {where} (5 more since the last line)" == (
        second
    )


def test_recovery_is_told_once_and_starts_anew(log: ExportLog, heard: Heard) -> None:
    log.succeeded()
    EXPORTER.error("one")
    log.failed("two")
    log.succeeded()
    log.succeeded()
    EXPORTER.error("three")

    shown = [line.removesuffix(" [http://collector/v1/traces]") for line in lines(heard)]
    assert ["telemetry: one", "telemetry: spans reach the collector again", "telemetry: three"] == (
        shown
    )


@pytest.mark.usefixtures("log")
def test_exceptions_are_told_by_their_type_only(heard: Heard) -> None:
    EXPORTER.warning("Transient error %s, retrying", ConnectionError("http://x/?key=canary"))

    assert "telemetry: Transient error ConnectionError, retrying" in lines(heard)[0]
    assert "canary" not in heard.text


@pytest.mark.usefixtures("log")
def test_what_callers_sent_is_not_told(heard: Heard) -> None:
    logging.getLogger("opentelemetry.baggage").warning("Baggage entry `%s` is bad", "canary")

    assert "telemetry: Baggage entry `%s` is bad" in lines(heard)[0]
    assert "canary" not in heard.text


@pytest.mark.usefixtures("log")
def test_library_has_no_other_way_to_the_log(heard: Heard) -> None:
    EXPORTER.info("chatter")
    EXPORTER.error("trouble")
    EXPORTER.error("more trouble")

    assert ["dataplane.telemetry_export"] == heard.names


def test_later_log_takes_the_place_of_an_earlier_one(log: ExportLog) -> None:
    later = ExportLog(lambda: 0.0)
    later.attach()
    later.detach(mute=True)

    assert [later] == attached()
    log.attach()
    assert [log] == attached()


def test_muted_log_is_silent(log: ExportLog, heard: Heard) -> None:
    EXPORTER.error("heard")
    log.detach(mute=True)
    EXPORTER.error("unheard")
    log.succeeded()

    assert 1 == len(lines(heard))
    assert not OTEL.propagate


_TROUBLES = {
    "refuses": Answer(close=True),
    "busy": Answer(status=503, headers={"retry-after": "3600"}),
    "garbage": Answer(status=400, body=b"\x00garbage"),
    "redirects": Answer(status=404),
}


@pytest.mark.parametrize("trouble", list(_TROUBLES))
async def test_troubled_collector_costs_spans_and_a_line(
    sink: Sink, heard: Heard, trouble: str
) -> None:
    """T13: every request is served, memory is bounded, what was lost is counted, one line."""
    sink.forever = _TROUBLES[trouble]
    async with telemetry(
        sink,
        OTEL_BSP_MAX_QUEUE_SIZE="32",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.5",
    ) as built:
        end_requests(built, 500)
        spans = built.status()["spans"]
        assert 500 == spans["ended"]
        assert spans["queued"] <= 32 + 8
        assert spans["dropped"] >= 500 - 3 * (32 + 8)
        await sink.wait(lambda: sink.seen >= 1)

    spans = built.status()["spans"]
    assert 0 == spans["exported"]
    assert 500 == spans["failed"] + spans["dropped"] + spans["queued"]
    assert len([line for line in lines(heard) if "were not sent" not in line]) == 1
    assert [] == sink.spans


async def test_hanging_collector_does_not_hold_the_end(sink: Sink) -> None:
    """T14 at the level of the queue: the flush is given up, the loop is not blocked meanwhile."""
    sink.forever = Answer(hang=True)
    async with telemetry(sink) as built:
        end_requests(built, 64)
        await sink.wait(lambda: sink.seen >= 1)

        async with asyncio.timeout(5.0):
            assert not await built.shutdown(0.2)
        assert await built.shutdown(0.2)
        sink.released.set()


async def test_spans_arrive_again_when_the_collector_is_back(
    heard: Heard,
) -> None:
    """T15: away, then at the same place again, without a restart of ours."""
    with HeldPort() as port:
        async with running(port.number) as first:
            pass
        async with telemetry(
            first, OTEL_BSP_SCHEDULE_DELAY="5", OTEL_EXPORTER_OTLP_TIMEOUT="0.5"
        ) as built:
            end_requests(built, 1)
            await heard.wait_for("dataplane.telemetry_export")
            async with running(port.number) as second:
                end_requests(built, 1)
                await second.wait_for_spans(1)
                await built.shutdown(5.0)

    assert {"ended": 2, "exported": 1, "failed": 1, "dropped": 0, "queued": 0} == (
        built.status()["spans"]
    )
    lost, back = lines(heard)
    assert "telemetry: " in lost
    assert "spans reach the collector again" in back
