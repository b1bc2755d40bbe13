"""What Prometheus and a collector get to see of whole requests."""

from __future__ import annotations

import signal
from pathlib import Path

import aiohttp

from dataplane.metric_text import CONTENT_TYPE
from tests import sink as receiver
from tests.e2e.process import sidecar, write_manifests
from tests.e2e.rig import Rig, running
from tests.e2e.test_faults import GOOD_STREAM, Upstream, ask, unary
from tests.fakes import provider, table
from tests.raw import raw_server


async def scrape(rig: Rig) -> tuple[aiohttp.ClientResponse, list[str]]:
    async with rig.http.get(f"{rig.admin_url}/metrics") as response:
        return response, (await response.text()).splitlines()


async def test_a_failover_is_counted_by_target_and_by_request() -> None:
    broken, good = Upstream(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), Upstream(unary())
    async with raw_server(broken.talk) as first, raw_server(good.talk) as second:
        config = table(
            [provider("a", base_url=f"{first}/v1"), provider("b", base_url=f"{second}/v1")]
        )
        async with running(config) as rig:
            async with ask(rig) as answer:
                await answer.read()
            response, lines = await scrape(rig)

    assert (200, CONTENT_TYPE) == (response.status, response.headers["content-type"])
    for line in (
        'switchgear_attempts_total{switchgear_endpoint="b",switchgear_decision="served"} 1',
        'switchgear_circuit_state{switchgear_endpoint="a",gen_ai_request_model="m"} 0',
        "switchgear_requests_active 0",
        'switchgear_upstream_active{switchgear_endpoint="a"} 0',
        "switchgear_generation 1",
        "switchgear_manifests_problems 0",
    ):
        assert line in lines, "\n".join(lines)
    [failed] = [line for line in lines if 'error_type="503"' in line and "attempts_total" in line]
    assert 'switchgear_endpoint="a",switchgear_decision="next_target"' in failed
    [served] = [line for line in lines if line.startswith("http_server_request_duration_seconds_c")]
    assert 'http_response_status_code="200"' in served
    assert served.endswith(" 1")


async def test_a_stream_gives_its_first_chunk_on_both_sides() -> None:
    upstream = Upstream(GOOD_STREAM)
    async with (
        raw_server(upstream.talk) as url,
        running(table([provider("a", base_url=f"{url}/v1")])) as rig,
    ):
        async with ask(rig, stream=True) as answer:
            await answer.read()
        _, lines = await scrape(rig)

    for name in (
        "gen_ai_client_operation_time_to_first_chunk_seconds_count",
        "switchgear_request_time_to_first_chunk_seconds_count",
    ):
        [line] = [line for line in lines if line.startswith(name)]
        assert line.endswith(" 1")


async def test_a_scrape_makes_no_request_of_its_own() -> None:
    """T20."""
    async with running(table([provider("a")])) as rig:
        await scrape(rig)
        _, lines = await scrape(rig)

    assert not [line for line in lines if line.startswith("http_server_request_duration")]


async def test_the_data_port_has_no_metrics() -> None:
    async with (
        running(table([provider("a")])) as rig,
        rig.http.get(f"{rig.url}/metrics") as response,
    ):
        status = response.status

    assert 404 == status


async def test_a_process_exports_its_metrics_with_the_traces_they_belong_to(
    tmp_path: Path,
) -> None:
    """T19: the exemplar of a call is the span of that attempt; the last reading comes at the end."""
    upstream = Upstream(unary())
    async with receiver.running() as sink, raw_server(upstream.talk) as url:
        write_manifests(tmp_path / "manifests", providers={"a": f"{url}/v1"})
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_METRICS_EXPORTER": "otlp"}
        async with sidecar(tmp_path / "manifests", tmp_path / "state", environ=environ) as process:
            status, _ = await process.ask()
            document = await process.status()
            process.signal(signal.SIGTERM)
            assert 0 == await process.ended()

    assert 200 == status
    assert f"{sink.url}/v1/metrics" == document["telemetry"]["metrics"]["endpoint"]
    [attempt] = sink.attempts
    [reading] = sink.readings
    named = {metric.name: metric for metric in reading.resource_metrics[0].scope_metrics[0].metrics}
    [point] = named["gen_ai.client.operation.duration"].histogram.data_points
    [exemplar] = point.exemplars
    assert (attempt.trace_id, attempt.span_id) == (
        exemplar.trace_id.hex(),
        exemplar.span_id.hex(),
    )
    assert abs(exemplar.time_unix_nano - attempt.end_ns) < 1_000_000_000
