"""Several workers serve one port as one: requests, reloads, breakers, probes, the admin port."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp

from tests import sink as receiver
from tests.e2e.process import sidecar, write_manifests
from tests.e2e.workers import (
    ask_anew,
    pids,
    reach_all,
    requests,
    serving,
    until,
    until_explained,
    upstreams,
    workers,
)

NO_RETRY = {"attempts": 2, "attemptsPerTarget": 1}


async def test_all_workers_get_connections_and_the_admin_port_adds_them_up(tmp_path: Path) -> None:
    async with upstreams(1) as ((upstream,), providers), workers(tmp_path, providers) as process:
        asked = await reach_all(process)
        status = await process.status()
        told = await requests(process)

    assert asked == status["requests"]["total"] == status["requests"]["served"] == upstream.calls
    (provider,) = status["providers"]
    numbers = provider["metrics"]
    assert (asked, 3 * asked, 2 * asked) == (
        numbers["served"],
        numbers["inputTokens"],
        numbers["outputTokens"],
    )
    assert 1.0 == numbers["successRate"]
    assert numbers["durationMs"]["p50"] > 0
    (target,) = provider["targets"]
    assert (asked, 0, 0) == (target["successes"], target["failures"], target["inFlight"])
    assert target["latencyMs"] > 0
    assert {0, 1} == {item["worker"] for item in told}
    assert asked == len(told)
    ends = [item["at"] + item["durationMs"] / 1000 for item in told]
    assert sorted(ends) == ends


async def test_more_workers_than_two_share_the_port_and_a_providers_places(
    tmp_path: Path,
) -> None:
    """Two places for four workers: each has one, which the log says, and the limit is told as is."""
    async with upstreams(1) as (_, providers):
        manifests = tmp_path / "manifests"
        write_manifests(manifests, providers=providers)
        text = (manifests / "all.yaml").read_text()
        limited = '"limits": {"maxInFlight": 2}, "type": "VLLM"'
        (manifests / "all.yaml").write_text(text.replace('"type": "VLLM"', limited))
        async with sidecar(manifests, tmp_path / "state", "--workers=4") as process:
            await until(process, lambda status: serving(status) == 4)
            await reach_all(process, 4)
            status = await process.status()

    assert "maxInFlight of a is below one call for each of 4 workers" in process.log
    assert 2 == status["providers"][0]["maxInFlight"]
    assert [0, 1, 2, 3] == [worker["worker"] for worker in status["workers"]]
    assert 4 == len(set(pids(status).values()))


async def test_an_edit_reaches_all_workers(tmp_path: Path) -> None:
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        before = await process.status()
        write_manifests(tmp_path / "manifests", providers=providers, models=["chat", "other"])
        after = await until(
            process,
            lambda status: (
                status["generation"] > before["generation"]
                and {status["generation"]} == {worker["generation"] for worker in status["workers"]}
            ),
        )
        statuses = {await ask_anew(process, "other") for _ in range(40)}

    assert {200} == statuses
    assert pids(before) == pids(after)


async def test_an_outage_that_one_worker_sees_is_known_to_all_also_to_a_new_one(
    tmp_path: Path,
) -> None:
    async with (
        upstreams(2) as ((bad, good), providers),
        workers(tmp_path, providers, retry=NO_RETRY) as process,
    ):
        bad.status = 500
        await until_explained(process, {0: "a", 1: "a"})
        while (
            bad.calls < 1
            or (await process.status())["providers"][0]["targets"][0]["state"] == "closed"
        ):
            assert 200 == await ask_anew(process)
        await until_explained(process, {0: "b", 1: "b"})
        calls = bad.calls
        statuses = {await ask_anew(process) for _ in range(40)}
        status = await process.status()
        pid = pids(status)[0]
        process.kill_worker(pid)
        await until(process, lambda now: serving(now) == 2 and pids(now)[0] != pid)
        await until_explained(process, {0: "b", 1: "b"})
        statuses |= {await ask_anew(process) for _ in range(40)}

    assert {200} == statuses
    assert calls == bad.calls
    assert good.calls
    first = status["providers"][0]
    assert "open" == first["targets"][0]["state"]
    assert "circuit_open" == first["targets"][0]["refusal"]
    assert [("closed", "open")] == [
        (item["from"], item["to"]) for item in first["metrics"]["breakerHistory"]
    ]
    assert 1 == process.log.count("breaker of a tiny: closed -> open")


async def test_a_rate_limit_that_one_worker_meets_pauses_all(tmp_path: Path) -> None:
    async with (
        upstreams(2) as ((limited, _), providers),
        workers(tmp_path, providers, retry=NO_RETRY) as process,
    ):
        limited.status, limited.extra = 429, b"retry-after: 600\r\n"
        assert 200 == await ask_anew(process)
        await until_explained(process, {0: "b", 1: "b"})
        statuses = {await ask_anew(process) for _ in range(40)}
        status = await process.status()

    assert {200} == statuses
    assert 1 == limited.calls
    assert 500 < status["providers"][0]["targets"][0]["cooldownSeconds"] <= 600


async def test_a_provider_that_probes_cannot_reach_is_avoided_by_all_workers(
    tmp_path: Path,
) -> None:
    """The supervisor probes, once for all: no worker has a prober."""
    async with upstreams(1) as (_, providers):
        manifests = tmp_path / "manifests"
        urls = {"gone": "http://127.0.0.1:1/v1", **providers}
        write_manifests(manifests, providers=urls)
        text = (manifests / "all.yaml").read_text()
        probed = '"healthCheck": {"interval": "1s", "unhealthyThreshold": 1}, "type": "VLLM"'
        (manifests / "all.yaml").write_text(text.replace('"type": "VLLM"', probed))
        async with sidecar(manifests, tmp_path / "state", "--workers=2") as process:
            await until_explained(process, {0: "a", 1: "a"})
            status = await process.status()

    gone = next(item for item in status["providers"] if item["name"] == "gone")
    assert gone["healthy"] is False
    assert "unhealthy" == gone["targets"][0]["refusal"]
    assert 0 == gone["metrics"]["attempts"]


async def test_explain_answers_as_it_does_with_one_process(tmp_path: Path) -> None:
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        answers = []
        for query in ("model=nobody", "model=chat&needs=flying", "", "model=chat&needs=tools"):
            async with process.http.get(f"{process.admin_url}/explain?{query}") as response:
                answers.append((response.status, json.loads(await response.read())))
        async with process.http.get(f"{process.admin_url}/capabilities") as response:
            capabilities = json.loads(await response.read())
        async with process.http.get(f"{process.admin_url}/table") as response:
            table = json.loads(await response.read())

    assert [404, 400, 400, 200] == [status for status, _ in answers]
    assert [0, 1] == [each["worker"] for each in answers[3][1]["workers"]]
    assert "chat" == capabilities["data"][0]["id"]
    assert 256 == table["table"]["providers"]["a"]["max_in_flight"]


async def test_before_manifests_come_nobody_serves_and_readyz_says_so(tmp_path: Path) -> None:
    async with (
        upstreams(1) as (_, providers),
        sidecar(tmp_path / "later", tmp_path / "state", "--workers=2") as process,
    ):
        before = await process.ready()
        refused = False
        try:
            await ask_anew(process)
        except aiohttp.ClientConnectionError:
            refused = True
        write_manifests(tmp_path / "later", providers=providers)
        await until(process, lambda status: status["ready"])
        served = await ask_anew(process)
        after = await process.ready()

    assert (503, True, 200, 200) == (before, refused, served, after)


async def test_each_line_of_a_worker_and_each_of_its_spans_tells_which(tmp_path: Path) -> None:
    async with receiver.running() as sink, upstreams(1) as (_, providers):
        write_manifests(tmp_path / "manifests", providers=providers)
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod-7,deployment=x",
        }
        flags = ("--workers=2", "--log-format=json")
        async with sidecar(
            tmp_path / "manifests", tmp_path / "state", *flags, environ=environ
        ) as process:
            await until(process, lambda status: serving(status) == 2)
            asked = await reach_all(process)
            await sink.wait_for_spans(2 * asked)
            async with asyncio.timeout(20):
                while (await process.status())["telemetry"]["spans"]["exported"] < 2 * asked:
                    await asyncio.sleep(0.02)
            status = await process.status()
        lines = [json.loads(line) for line in process.log.splitlines()]

    assert {"pod-7.0", "pod-7.1"} == {span.resource["service.instance.id"] for span in sink.spans}
    assert {"x"} == {span.resource["deployment"] for span in sink.spans}
    assert {0, 1} == {line["worker"] for line in lines if line["message"] == "request"}
    assert not any("worker" in line for line in lines if line["logger"].startswith("controlplane"))
    assert status["telemetry"]["enabled"]
    assert 2 * asked == status["telemetry"]["spans"]["ended"]
