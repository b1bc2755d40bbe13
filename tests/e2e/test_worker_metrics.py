"""Metrics of `switchgear run --workers`: one set of numbers, whoever served."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp

from tests import sink as receiver
from tests.e2e.process import Process, sidecar, write_manifests
from tests.e2e.test_faults import SSE, chunk
from tests.e2e.workers import (
    CHAT,
    DONE,
    Load,
    ask_anew,
    pids,
    reach_all,
    serving,
    until,
    upstreams,
    workers,
)
from tests.raw import head, raw_server
from tests.sink import Answer, Sink

SERVED = 'switchgear_attempts_total{switchgear_endpoint="a",switchgear_decision="served"}'
DURATION = "http_server_request_duration_seconds_count"
OTLP = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_TRACES_EXPORTER": "none"}


async def scrape(process: Process) -> list[str]:
    async with process.http.get(f"{process.admin_url}/metrics") as response:
        assert 200 == response.status
        return (await response.text()).splitlines()


async def settled(process: Process) -> None:
    """Wait until all is counted: after the last byte was handed on, which a caller may know first."""
    await until(process, lambda status: status["requests"]["inFlight"] == 0)


def value(lines: list[str], start: str) -> int:
    """Add up the series whose line begins so."""
    return sum(int(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


def told(sink: Sink) -> list[int]:
    """How many calls served, by reading, in the order in which they came."""
    sums = []
    for reading in sink.readings:
        [scope] = reading.resource_metrics[0].scope_metrics
        found = [metric.sum for metric in scope.metrics if metric.name == "switchgear.attempts"]
        sums.append(sum(point.as_int for each in found for point in each.data_points))
    return sums


def instances(sink: Sink) -> set[str]:
    return {
        pair.value.string_value
        for reading in sink.readings
        for pair in reading.resource_metrics[0].resource.attributes
        if pair.key == "service.instance.id"
    }


async def test_a_scrape_adds_up_what_all_workers_have_counted(tmp_path: Path) -> None:
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        asked = await reach_all(process)
        await settled(process)
        lines = await scrape(process)
        again = await scrape(process)

    assert asked == value(lines, SERVED) == value(lines, DURATION)
    assert asked == value(lines, "gen_ai_client_operation_duration_seconds_count")
    assert asked * 3 == value(lines, "gen_ai_client_token_usage_sum{") - asked * 2
    assert asked == value(again, SERVED)
    for line in (
        'switchgear_circuit_state{switchgear_endpoint="a",gen_ai_request_model="tiny"} 0',
        "switchgear_requests_active 0",
        'switchgear_upstream_active{switchgear_endpoint="a"} 0',
        "switchgear_generation 1",
        "switchgear_manifests_problems 0",
    ):
        assert line in lines, "\n".join(lines)
    names = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(set(names)) == len(names)


async def test_problems_are_those_of_the_manifests(tmp_path: Path) -> None:
    write_manifests(tmp_path / "manifests", providers={"a": "http://127.0.0.1:1/v1"})
    (tmp_path / "manifests" / "bad.yaml").write_text("kind: LLMProvider\n")
    async with sidecar(tmp_path / "manifests", tmp_path / "state", "--workers=2") as process:
        status = await until(process, lambda status: status["problems"])
        lines = await scrape(process)

    assert len(status["problems"]) == value(lines, "switchgear_manifests_problems")


async def test_counts_do_not_fall_while_workers_are_replaced(tmp_path: Path) -> None:
    seen = []
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        async with Load(process, callers=6) as load:
            await load.more(30)
            before = pids(await process.status())
            process.signal(signal.SIGUSR1)
            async with asyncio.timeout(60):
                while True:
                    seen.append(value(await scrape(process), DURATION))
                    status = await process.status()
                    if serving(status) == 2 and not before.items() & pids(status).items():
                        break
            await load.more(30)
        await settled(process)
        lines = await scrape(process)

    assert [] == load.lost
    assert sorted(seen) == seen
    assert 0 < seen[0]
    assert load.served == value(lines, DURATION) == value(lines, SERVED)


async def test_what_a_killed_worker_has_told_stays(tmp_path: Path) -> None:
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        asked = await reach_all(process)
        await settled(process)
        before = await scrape(process)
        for pid in pids(await process.status()).values():
            process.kill_worker(pid)
            await until(process, lambda now, pid=pid: pid not in pids(now).values())  # type: ignore[misc]
            await until(process, lambda now: serving(now) == 2)
        after = await scrape(process)
        assert 200 == await ask_anew(process)
        await settled(process)
        last = await scrape(process)

    assert asked == value(before, DURATION) == value(after, DURATION)
    assert asked + 1 == value(last, DURATION)


async def test_a_stream_under_way_is_shown_as_active(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(SSE + chunk("", role="assistant") + chunk("one"))
        await gate.wait()
        writer.write(chunk(None, "stop") + DONE)
        await writer.drain()

    async with (
        raw_server(talk) as url,
        workers(tmp_path, {"a": f"{url}/v1"}) as process,
        aiohttp.ClientSession() as caller,
        caller.post(
            f"{process.url}/v1/chat/completions", json={**CHAT, "stream": True}
        ) as response,
    ):
        await response.content.readuntil(b"\n\n")
        lines = await scrape(process)
        gate.set()
        await response.read()

    assert "switchgear_requests_active 1" in lines
    assert 'switchgear_upstream_active{switchgear_endpoint="a"} 1' in lines


async def test_one_stream_of_sums_is_exported_and_the_last_of_them_at_the_end(
    tmp_path: Path,
) -> None:
    async with receiver.running() as sink, upstreams(1) as (_, providers):
        environ = {
            **OTLP,
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod-7",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
        }
        write_manifests(tmp_path / "m", providers=providers)
        async with sidecar(
            tmp_path / "m", tmp_path / "state", "--workers=2", environ=environ
        ) as process:
            await until(process, lambda status: serving(status) == 2)
            asked = await reach_all(process)
            await sink.wait(lambda: bool(sink.readings) and told(sink)[-1] == asked)
            document = await process.status()
            pid = pids(document)[0]
            process.signal_worker(pid, signal.SIGTERM)
            await until(process, lambda now: serving(now) == 2 and pids(now)[0] != pid)
            asked += await reach_all(process)
            process.signal(signal.SIGTERM)
            assert 0 == await process.ended()

    assert f"{sink.url}/v1/metrics" == document["telemetry"]["metrics"]["endpoint"]
    sums = told(sink)
    assert asked == sums[-1]
    assert sorted(sums) == sums
    assert {"pod-7"} == instances(sink)
    starts = {
        point.start_time_unix_nano
        for reading in sink.readings
        for metric in reading.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.sum.data_points
    }
    assert 1 == len(starts)


async def test_differences_add_up_over_workers_that_come_and_go(tmp_path: Path) -> None:
    async with receiver.running() as sink, upstreams(1) as (_, providers):
        environ = {
            **OTLP,
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
        }
        write_manifests(tmp_path / "m", providers=providers)
        async with sidecar(
            tmp_path / "m", tmp_path / "state", "--workers=2", environ=environ
        ) as process:
            await until(process, lambda status: serving(status) == 2)
            asked = await reach_all(process)
            pid = pids(await process.status())[0]
            process.signal_worker(pid, signal.SIGTERM)
            await until(process, lambda now: serving(now) == 2 and pids(now)[0] != pid)
            # A scrape between takes nothing away from the collector.
            await scrape(process)
            asked += await reach_all(process)
            process.signal(signal.SIGTERM)
            assert 0 == await process.ended()

    assert asked == sum(told(sink))


async def test_exemplars_name_the_spans_that_workers_export(tmp_path: Path) -> None:
    async with receiver.running() as sink, upstreams(1) as (_, providers):
        environ = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
        write_manifests(tmp_path / "m", providers=providers)
        async with sidecar(
            tmp_path / "m", tmp_path / "state", "--workers=2", environ=environ
        ) as process:
            await until(process, lambda status: serving(status) == 2)
            assert 200 == await ask_anew(process)
            process.signal(signal.SIGTERM)
            assert 0 == await process.ended()

    [attempt] = sink.attempts
    [reading] = sink.readings
    named = {metric.name: metric for metric in reading.resource_metrics[0].scope_metrics[0].metrics}
    [point] = named["gen_ai.client.operation.duration"].histogram.data_points
    [exemplar] = point.exemplars
    assert (attempt.trace_id, attempt.span_id) == (exemplar.trace_id.hex(), exemplar.span_id.hex())


async def test_a_collector_that_hangs_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    async with receiver.running() as sink, upstreams(1) as (_, providers):
        sink.forever = Answer(hang=True)
        environ = {**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
        write_manifests(tmp_path / "m", providers=providers)
        flags = ("--workers=2", "--trace-flush=100ms")
        async with sidecar(tmp_path / "m", tmp_path / "state", *flags, environ=environ) as process:
            await until(process, lambda status: serving(status) == 2)
            assert 200 == await ask_anew(process)
            process.signal(signal.SIGTERM)
            code = await process.ended()

    assert 0 == code
    assert "1 metrics were not sent" in process.log
