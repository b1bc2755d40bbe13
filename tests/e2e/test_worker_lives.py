"""Workers come and go: crashes, replacements, ends. No request is lost that no worker had in hand."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.process import Process, sidecar, write_manifests
from tests.e2e.test_faults import SSE, chunk
from tests.e2e.workers import (
    CHAT,
    DONE,
    Load,
    ask_anew,
    is_alive,
    pids,
    reach_all,
    requests,
    serving,
    until,
    upstreams,
    workers,
)
from tests.raw import head, raw_server

ROUNDS = 2


async def until_gone(numbers: list[int]) -> None:
    async with asyncio.timeout(20):
        while any(is_alive(pid) for pid in numbers):
            await asyncio.sleep(0.02)


async def until_replaced(process: Process, before: dict[int, int]) -> None:
    await until(
        process,
        lambda status: serving(status) == len(before) and not before.items() & pids(status).items(),
    )


async def test_replacing_all_workers_under_load_loses_no_request(tmp_path: Path) -> None:
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        async with Load(process, callers=12) as load:
            for _ in range(ROUNDS):
                before = dict(pids(await process.status()))
                process.signal(signal.SIGUSR1)
                await until_replaced(process, before)
                await load.more(50)
        status = await process.status()

    assert [] == load.lost
    assert {1 + ROUNDS} == {worker["starts"] for worker in status["workers"]}
    # What the replaced ones have counted is still in the sums.
    assert load.served == status["requests"]["total"] == status["requests"]["served"]
    assert load.served == status["providers"][0]["metrics"]["served"]
    assert load.served == status["providers"][0]["targets"][0]["successes"]
    assert 0 == status["requests"]["inFlight"]


async def test_workers_that_are_killed_lose_only_what_they_had_in_hand(tmp_path: Path) -> None:
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        async with Load(process, callers=12) as load:
            for number in range(3):
                pid = pids(await process.status())[number % 2]
                process.kill_worker(pid)
                await until(process, lambda now, pid=pid: pid not in pids(now).values())  # type: ignore[misc]
                await until(process, lambda now: serving(now) == 2)
                await load.more(50)
        lost = len(load.lost)
        async with Load(process, callers=12) as again:
            await again.more(50)

    # Each caller has one request on its way, and may find one kept connection broken.
    assert lost <= 3 * 12
    assert [] == again.lost
    assert "exit code -9; starting it again" in process.log


async def test_while_a_worker_is_away_another_takes_its_connections(tmp_path: Path) -> None:
    """A stopped process accepts nothing; when it is killed, what waits for it is served."""
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        pid = pids(await process.status())[0]
        process.signal_worker(pid, signal.SIGSTOP)
        asking = [asyncio.create_task(ask_anew(process)) for _ in range(40)]
        _, waiting = await asyncio.wait(asking, timeout=1)
        process.kill_worker(pid)
        statuses = await asyncio.gather(*asking)

    assert {200} == set(statuses)
    assert waiting


async def test_a_worker_that_is_told_to_end_is_replaced_first(tmp_path: Path) -> None:
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        before = pids(await process.status())
        async with Load(process, callers=6) as load:
            process.signal_worker(before[1], signal.SIGTERM)
            status = await until(
                process, lambda now: serving(now) == 2 and pids(now)[1] != before[1]
            )
            await load.more(30)

    assert [] == load.lost
    assert before[0] == pids(status)[0]
    assert "replacing worker 1, which was asked to end" in process.log


async def test_a_stream_goes_on_in_a_worker_that_is_replaced(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(SSE + chunk("", role="assistant") + chunk("one"))
        await gate.wait()
        writer.write(chunk("two") + chunk(None, "stop") + DONE)
        await writer.drain()

    async with raw_server(talk) as url, workers(tmp_path, {"slow": f"{url}/v1"}) as process:
        before = await process.status()
        body = {**CHAT, "stream": True}
        # The head is out before the worker knows that it is to leave: only the caller can close.
        caller = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        response = await caller.post(f"{process.url}/v1/chat/completions", json=body)
        first = await response.content.readuntil(b"\n\n")
        process.signal(signal.SIGUSR1)
        during = await until(
            process, lambda now: any(worker["state"] == "ending" for worker in now["workers"])
        )
        in_flight = during["requests"]["inFlight"]
        gate.set()
        rest = await response.read()
        await caller.close()
        await until_replaced(process, dict(pids(before)))
        told = await requests(process)

    assert (first + rest).endswith(DONE)
    assert b"two" in rest
    assert 1 == in_flight
    assert ["served"] == [item["outcome"] for item in told]


@pytest.mark.parametrize("stop", [False, True], ids=["to its end", "until all stop"])
async def test_a_replaced_worker_serves_a_stream_that_outlasts_the_drain(
    tmp_path: Path, stop: bool
) -> None:
    gate = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(SSE + chunk("", role="assistant") + chunk("one"))
        await gate.wait()
        writer.write(chunk("two") + chunk(None, "stop") + DONE)
        await writer.drain()

    async with (
        raw_server(talk) as url,
        workers(tmp_path, {"slow": f"{url}/v1"}, "--drain=100ms") as process,
    ):
        body = {**CHAT, "stream": True}
        response = await process.http.post(f"{process.url}/v1/chat/completions", json=body)
        await response.content.readuntil(b"\n\n")
        process.signal(signal.SIGUSR1)
        async with asyncio.timeout(20):
            while "1 requests are still running" not in process.log:
                await asyncio.sleep(0.02)
        if stop:
            process.signal(signal.SIGTERM)
        else:
            gate.set()
        rest = await response.read()
        if not stop:
            process.signal(signal.SIGTERM)
        code = await process.ended()

    assert stop is (b'"stopping"' in rest)
    assert stop is not rest.endswith(DONE)
    assert stop is ("1 requests were cut off" in process.log)
    assert 0 == code


async def test_a_replacement_that_cannot_start_leaves_the_old_worker(tmp_path: Path) -> None:
    certificate = tmp_path / "authority.pem"
    subject = ("-nodes", "-subj", "/CN=authority", "-keyout", str(tmp_path / "key.pem"))
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *(*subject, "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert 0 == await made.wait()
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificate),
    }
    async with upstreams(1) as (_, providers):
        write_manifests(tmp_path / "m", providers=providers)
        async with sidecar(
            tmp_path / "m", tmp_path / "state", "--workers=2", environ=environ
        ) as process:
            before = pids(await until(process, lambda status: serving(status) == 2))
            certificate.unlink()
            process.signal(signal.SIGUSR1)
            async with asyncio.timeout(20):
                while "worker 0 is not replaced" not in process.log:
                    await asyncio.sleep(0.02)
            status = await until(process, lambda status: serving(status) == 2)
            served = await ask_anew(process)

    assert before == pids(status)
    assert 200 == served


async def test_sigterm_lets_running_streams_finish_and_refuses_new_connections(
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(SSE + chunk("", role="assistant") + chunk("one"))
        await gate.wait()
        writer.write(chunk("two") + chunk(None, "stop") + DONE)
        await writer.drain()

    async with raw_server(talk) as url, workers(tmp_path, {"slow": f"{url}/v1"}) as process:
        numbers = list(pids(await process.status()).values())
        body = {**CHAT, "stream": True}
        response = await process.http.post(f"{process.url}/v1/chat/completions", json=body)
        first = await response.content.readuntil(b"\n\n")
        process.signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while await process.ready() != 503:
                await asyncio.sleep(0.01)
        await until_refused(process)
        gate.set()
        rest = await response.read()
        code = await process.ended()
        await until_gone(numbers)

    assert (first + rest).endswith(DONE)
    assert b"two" in rest
    assert 0 == code


async def until_refused(process: Process) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{process.url}/v1/models"):
                    pass
            except aiohttp.ClientConnectorError:
                return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.01)


async def test_the_end_of_the_drain_cuts_off_and_counts_what_is_left(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(SSE + chunk("", role="assistant") + chunk("one"))
        await writer.drain()
        await reader.read()

    async with (
        raw_server(talk) as url,
        workers(tmp_path, {"slow": f"{url}/v1"}, "--drain=200ms") as process,
    ):
        body = {**CHAT, "stream": True}
        response = await process.http.post(f"{process.url}/v1/chat/completions", json=body)
        await response.content.readuntil(b"\n\n")
        process.signal(signal.SIGTERM)
        raw = await response.read()
        code = await process.ended()

    assert b'"stopping"' in raw
    assert b"[DONE]" not in raw
    assert 0 == code
    assert "1 requests were cut off" in process.log


async def test_a_second_signal_ends_all_processes_at_once(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await head(reader)
        await reader.read()

    async with (
        raw_server(talk) as url,
        workers(tmp_path, {"slow": f"{url}/v1"}, "--drain=50s") as process,
    ):
        numbers = list(pids(await process.status()).values())
        asking = asyncio.create_task(ask_anew(process))
        await until(process, lambda status: status["requests"]["inFlight"] == 1)
        process.signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while await process.ready() != 503:
                await asyncio.sleep(0.01)
        process.signal(signal.SIGTERM)
        code = await process.ended()
        await until_gone(numbers)
        status = await asking

    assert 130 == code
    assert 503 == status


async def test_a_supervisor_that_is_killed_leaves_no_worker_and_its_port_is_free(
    tmp_path: Path,
) -> None:
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        await reach_all(process)
        numbers = list(pids(await process.status()).values())
        host, port = process.url.removeprefix("http://").split(":")
        await process.kill()
        await until_gone(numbers)

    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind((host, int(port)))


async def test_a_port_that_other_workers_have_is_taken(tmp_path: Path) -> None:
    """They would share it, if nobody looked."""
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        with pytest.raises(AssertionError, match="cannot listen"):
            async with sidecar(
                tmp_path / "manifests",
                tmp_path / "other",
                "--workers=2",
                f"--listen={process.url.removeprefix('http://')}",
            ):
                pass
        served = await ask_anew(process)

    assert 200 == served


async def test_an_admin_address_that_is_taken_ends_it_with_an_error(tmp_path: Path) -> None:
    async with upstreams(1) as (_, providers), workers(tmp_path, providers) as process:
        with pytest.raises(AssertionError, match="cannot listen"):
            async with sidecar(
                tmp_path / "manifests",
                tmp_path / "other",
                "--workers=2",
                f"--admin={process.admin_url.removeprefix('http://')}",
            ):
                pass


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "pigeon"}, "pigeon"),
        ({"OTEL_METRICS_EXPORTER": "dove"}, 'OTEL_METRICS_EXPORTER: "dove" is unknown'),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:1",
                "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem",
            },
            "the OTLP exporter cannot be built",
        ),
    ],
    ids=["seen by the supervisor", "of metrics", "seen by a worker"],
)
async def test_a_setting_that_no_worker_could_use_ends_it_with_one_error(
    tmp_path: Path, environ: dict[str, str], words: str
) -> None:
    write_manifests(tmp_path / "m", providers={"a": "http://127.0.0.1:1/v1"})
    with pytest.raises(AssertionError, match=words):
        async with sidecar(tmp_path / "m", tmp_path / "state", "--workers=2", environ=environ):
            pass
