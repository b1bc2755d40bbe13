"""A lenient route drops what only tunes an answer, and says so; a strict one refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from controlplane.table.schema import ProviderType, Table
from tests.e2e.rig import Rig, running
from tests.e2e.test_faults import Upstream, unary
from tests.fakes import provider, table
from tests.raw import raw_server


def strict(made: Table) -> Table:
    routes = {name: replace(route, strict=True) for name, route in made.routes.items()}
    return replace(made, routes=routes)


@asynccontextmanager
async def mistral_then_openai(*, strictly: bool) -> AsyncIterator[tuple[Rig, Upstream]]:
    """Mistral lacks logit_bias, OpenAI has it; both are one double."""
    good = Upstream(unary())
    async with raw_server(good.talk) as url:
        made = table(
            [
                provider("mistral", kind=ProviderType.MISTRAL, base_url=url),
                provider("openai", kind=ProviderType.OPENAI, base_url=f"{url}/v1"),
            ]
        )
        async with running(strict(made) if strictly else made) as rig:
            yield rig, good


async def ask(rig: Rig, **fields: object) -> tuple[int, Any, Any]:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], **fields}
    async with rig.http.post(f"{rig.base_url}/chat/completions", json=body) as response:
        return response.status, json.loads(await response.read()), response.headers


async def test_a_lenient_route_drops_and_tells() -> None:
    async with mistral_then_openai(strictly=False) as (rig, upstream):
        status, _, headers = await ask(rig, logit_bias={"1": 5})

    assert (200, "mistral") == (status, headers["x-switchgear-provider"])
    assert "dropped:logit_bias" in headers["x-switchgear-warnings"]
    assert b"logit_bias" not in upstream.requests[0]


async def test_a_strict_route_takes_the_next_target_instead() -> None:
    async with mistral_then_openai(strictly=True) as (rig, upstream):
        status, _, headers = await ask(rig, logit_bias={"1": 5})

    assert (200, "openai", "1", "capability") == (
        status,
        headers["x-switchgear-provider"],
        headers["x-switchgear-attempts"],
        headers["x-switchgear-fallback-reason"],
    )
    assert "x-switchgear-warnings" not in headers
    assert b"logit_bias" in upstream.requests[0]


async def test_a_strict_route_refuses_what_no_target_takes_as_it_is() -> None:
    async with mistral_then_openai(strictly=True) as (rig, upstream):
        rig.install(
            replace(
                rig.live.table,
                providers={"mistral": rig.live.table.providers["mistral"]},
                routes={
                    name: replace(route, targets=route.targets[:1])
                    for name, route in rig.live.table.routes.items()
                },
            )
        )
        status, document, _ = await ask(rig, logit_bias={"1": 5})

    assert (400, "logit_bias", "unsupported_parameter") == (
        status,
        document["error"]["param"],
        document["error"]["code"],
    )
    assert [] == upstream.requests
