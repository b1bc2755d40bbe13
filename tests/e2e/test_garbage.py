"""A request that is over is gone: nothing of it waits for the cycle collector, which runs seldom."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from dataplane.recent import KEPT
from switchgear.demo.llama import LlamaServer
from tests.e2e.rig import Rig, running
from tests.fakes import provider, table

OURS = ("dataplane.", "controlplane.")
COUNT = 20


async def ask(rig: Rig, body: Mapping[str, Any], times: int) -> None:
    for _ in range(times):
        async with rig.http.post(f"{rig.base_url}/chat/completions", json=body) as response:
            assert 200 == response.status
            await response.read()


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
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await ask(rig, body, COUNT)
            gc.collect()
            left = Counter(
                f"{type(item).__module__}.{type(item).__qualname__}" for item in gc.garbage
            )
        finally:
            gc.set_debug(0)
            gc.enable()
            gc.garbage.clear()

    # A connection that the server closes may leave some; what each request leaves is as many.
    assert {} == {
        name: count for name, count in left.items() if name.startswith(OURS) and count >= COUNT
    }
