"""The life of the process: crashes, restarts without manifests, reloads, a graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
from pathlib import Path

import aiohttp
import pytest

from switchgear.demo.llama import LlamaServer
from switchgear.demo.model import ANSWER
from tests.compiled import IS_COMPILED
from tests.e2e.process import Process, sidecar, write_manifests
from tests.e2e.test_faults import SSE, chunk
from tests.raw import head, raw_server

DONE = b"data: [DONE]\n\n"


async def until_status(process: Process, wanted: object) -> None:
    """Wait until a function of the status document is true."""
    assert callable(wanted)
    async with asyncio.timeout(20):
        while not wanted(await process.status()):
            await asyncio.sleep(0.02)


async def test_after_a_kill_it_serves_from_disk_though_the_manifests_are_gone(
    tmp_path: Path, llama: LlamaServer
) -> None:
    manifests, state = tmp_path / "manifests", tmp_path / "state"
    write_manifests(manifests, providers={"local": llama.base_url})
    async with sidecar(manifests, state) as first:
        before = await first.status()
        await first.kill()
    shutil.rmtree(manifests)
    async with sidecar(manifests, state) as second:
        status, body = await second.ask()
        after = await second.status()
        ready = await second.ready()

    assert (200, 200) == (status, ready)
    assert ANSWER == json.loads(body)["choices"][0]["message"]["content"]
    assert not before["source"]["startedFromDisk"]
    assert after["source"]["startedFromDisk"]
    assert ("missing", before["tableVersion"]) == (after["source"]["state"], after["tableVersion"])


async def test_status_tells_whether_what_serves_is_compiled(
    tmp_path: Path, llama: LlamaServer
) -> None:
    write_manifests(tmp_path / "manifests", providers={"local": llama.base_url})
    async with sidecar(tmp_path / "manifests", tmp_path / "state") as process:
        status = await process.status()

    assert IS_COMPILED is status["compiled"]


async def test_kills_at_any_moment_leave_a_table_to_start_from(
    tmp_path: Path, llama: LlamaServer
) -> None:
    """The manifests change all the time while the process is killed, again and again."""
    manifests, state = tmp_path / "manifests", tmp_path / "state"
    write_manifests(manifests, providers={"local": llama.base_url})
    for pause_s in (0.0, 0.05, 0.1):
        async with sidecar(manifests, state) as process:
            for number in range(3):
                write_manifests(
                    manifests, providers={"local": llama.base_url}, retry={"attempts": 2 + number}
                )
                await asyncio.sleep(pause_s)
    shutil.rmtree(manifests)
    async with sidecar(manifests, state) as process:
        status, _ = await process.ask()

    assert 200 == status


async def test_without_manifests_and_disk_it_waits_and_says_so(
    tmp_path: Path, llama: LlamaServer
) -> None:
    manifests = tmp_path / "later"
    async with sidecar(manifests, tmp_path / "state") as process:
        status, _ = await process.ask()
        ready = await process.ready()
        write_manifests(manifests, providers={"local": llama.base_url})
        await until_status(process, lambda document: document["ready"])
        served, _ = await process.ask()

    assert (404, 503, 200) == (status, ready, served)


async def test_a_bad_edit_is_reported_and_changes_nothing(
    tmp_path: Path, llama: LlamaServer
) -> None:
    manifests = tmp_path / "manifests"
    write_manifests(manifests, providers={"local": llama.base_url})
    async with sidecar(manifests, tmp_path / "state") as process:
        (manifests / "all.yaml").write_text("kind: [half a file")
        await until_status(process, lambda document: document["problems"])
        problem = (await process.status())["problems"][0]
        status, _ = await process.ask()

    assert 200 == status
    assert problem["file"].endswith("all.yaml")
    assert problem["line"] > 0


async def test_sigterm_lets_a_running_stream_finish(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(SSE + chunk("", role="assistant") + chunk("one"))
        await gate.wait()
        writer.write(chunk("two") + chunk(None, "stop") + DONE)
        await writer.drain()

    async with raw_server(talk) as url:
        write_manifests(tmp_path / "m", providers={"slow": f"{url}/v1"})
        async with sidecar(tmp_path / "m", tmp_path / "state") as process:
            body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": True}
            response = await process.http.post(f"{process.url}/v1/chat/completions", json=body)
            first = await response.content.readuntil(b"\n\n")
            process.signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                while await process.ready() != 503:
                    await asyncio.sleep(0.01)
            with pytest.raises(aiohttp.ClientError):
                async with aiohttp.ClientSession() as stranger:
                    await stranger.get(f"{process.url}/v1/models")
            gate.set()
            rest = await response.read()
            code = await process.ended()

    assert (first + rest).endswith(DONE)
    assert b"two" in rest
    assert 0 == code


async def test_the_end_of_the_drain_tells_a_stream_that_it_was_cut_off(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(SSE + chunk("", role="assistant") + chunk("one"))
        await writer.drain()
        await reader.read()

    async with raw_server(talk) as url:
        write_manifests(tmp_path / "m", providers={"slow": f"{url}/v1"})
        async with sidecar(tmp_path / "m", tmp_path / "state", "--drain=200ms") as process:
            body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": True}
            response = await process.http.post(f"{process.url}/v1/chat/completions", json=body)
            await response.content.readuntil(b"\n\n")
            process.signal(signal.SIGTERM)
            raw = await response.read()
            code = await process.ended()

    last = json.loads(raw.decode().strip().split("\n\n")[-1].removeprefix("data: "))
    assert "stopping" == last["error"]["code"]
    assert b"[DONE]" not in raw
    assert 0 == code
    assert "1 requests were cut off" in process.log


async def test_an_idle_process_ends_at_once(tmp_path: Path, llama: LlamaServer) -> None:
    write_manifests(tmp_path / "m", providers={"local": llama.base_url})
    async with sidecar(tmp_path / "m", tmp_path / "state", "--drain=20s") as process:
        # A kept-alive connection of an SDK must not hold the end up.
        await process.ask()
        process.signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.ended(), timeout=10)

    assert 0 == code


async def test_an_address_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (tmp_path / "m").mkdir()
    with pytest.raises(AssertionError, match="cannot listen"):
        async with sidecar(tmp_path / "m", tmp_path / "state", f"--listen=127.0.0.1:{port}"):
            pass
    server.close()


async def test_a_hundred_edits_are_live_and_no_request_is_lost(
    tmp_path: Path, llama: LlamaServer
) -> None:
    manifests = tmp_path / "manifests"
    write_manifests(manifests, providers={"local": llama.base_url})
    async with sidecar(manifests, tmp_path / "state") as process:
        stop = asyncio.Event()
        statuses: list[int] = []

        async def traffic() -> None:
            while not stop.is_set():
                status, _ = await process.ask(stream=len(statuses) % 2 == 0)
                statuses.append(status)

        callers = [asyncio.create_task(traffic()) for _ in range(4)]
        for number in range(100):
            write_manifests(
                manifests, providers={"local": llama.base_url}, retry={"attempts": 1 + number % 9}
            )
            await asyncio.sleep(0.01)
        write_manifests(manifests, providers={"local": llama.base_url}, models=["chat", "last"])
        await until_status(process, lambda document: "last" in document["routes"][0]["models"])
        stop.set()
        await asyncio.gather(*callers)
        status, _ = await process.ask("last")

    assert {200} == set(statuses)
    assert 200 == status


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await head(reader)
        await reader.read()

    async with raw_server(talk) as url:
        write_manifests(tmp_path / "m", providers={"slow": f"{url}/v1"})
        async with sidecar(tmp_path / "m", tmp_path / "state", "--drain=50s") as process:
            asking = asyncio.create_task(process.ask())
            async with asyncio.timeout(10):
                while not (await process.status())["requests"]["inFlight"]:
                    await asyncio.sleep(0.01)
            process.signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                while await process.ready() != 503:
                    await asyncio.sleep(0.01)
            process.signal(signal.SIGTERM)
            code = await process.ended()
            with contextlib.suppress(aiohttp.ClientError):
                await asking

    assert 130 == code
