"""A request that is over is gone: nothing of it waits for the cycle collector, which runs seldom."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest

from dataplane.recent import KEPT
from switchgear.demo.llama import LlamaServer
from tests.e2e.rig import Rig, running
from tests.fakes import provider, table
from tests.raw import head, raw_server

OURS = ("dataplane.", "controlplane.")
COUNT = 20


async def ask(rig: Rig, body: Mapping[str, Any], times: int) -> None:
    for _ in range(times):
        async with rig.http.post(f"{rig.base_url}/chat/completions", json=body) as response:
            assert 200 == response.status
            await response.read()


@contextmanager
def left() -> Iterator[Counter[str]]:
    """Count what the block leaves to the cycle collector, by type; of ours, and in numbers."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(f"{type(item).__module__}.{type(item).__qualname__}" for item in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.garbage.clear()
    for name, count in tuple(found.items()):
        # Something that failed by the way may leave some; what each leaves is as many.
        if not name.startswith(OURS) or count < COUNT:
            del found[name]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_served_request_leaves_no_cycle_of_ours(llama: LlamaServer, stream: bool) -> None:
    body = {
        "model": "chat",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 2,
        "stream": stream,
    }
    async with running(table([provider("local", base_url=llama.base_url)], model="tiny")) as rig:
        # The last requests are remembered for a while, so that many must come before any is forgotten.
        await ask(rig, body, KEPT)
        with left() as found:
            await ask(rig, body, COUNT)

    assert {} == found


async def test_connections_that_end_leave_no_cycle_of_ours() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 500 Broken\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()

    async with (
        raw_server(once) as upstream,
        running(table([provider("local", base_url=f"{upstream}/v1")])) as rig,
    ):
        body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}

        async def call() -> None:
            async with (
                aiohttp.ClientSession() as http,
                http.post(f"{rig.base_url}/chat/completions", json=body) as response,
            ):
                await response.read()

        for _ in range(KEPT):
            await call()
        with left() as found:
            for _ in range(COUNT):
                await call()
            await asyncio.sleep(0.05)

    assert {} == found
