"""The admin port of a running sidecar, as an operator asks it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from controlplane.table.schema import CredentialKind, CredentialRef, Model, Price, ProviderType
from tests.e2e.rig import Rig, running
from tests.e2e.test_faults import Upstream, ask, unary
from tests.fakes import provider, table
from tests.raw import raw_server


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A priced provider that answers, an Ollama that lacks features, and one without its key."""
    good = Upstream(unary())
    async with raw_server(good.talk) as url:
        ref = CredentialRef(kind=CredentialKind.ENV, name="NO_SUCH_KEY")
        priced = Model(name="m", price=Price(input=1_000_000, output=2_000_000))
        config = table(
            [
                provider("a", base_url=f"{url}/v1", models=[priced]),
                provider("b", kind=ProviderType.OLLAMA, base_url=url),
                provider("c", credential=ref),
            ]
        )
        async with running(config, probe=True) as rig:
            yield rig


async def get(rig: Rig, path: str) -> tuple[int, Any]:
    async with rig.http.get(f"{rig.admin_url}{path}") as response:
        raw = await response.read()
        if response.content_type == "application/json":
            return response.status, json.loads(raw)
        return response.status, raw.decode()


async def test_status_tells_what_was_served_and_what_it_cost(rig: Rig) -> None:
    async with ask(rig) as response:
        await response.read()
    status, document = await get(rig, "/status")

    first = document["providers"][0]
    assert 200 == status
    assert (1, 1, 1, 3.0) == tuple(
        first["metrics"][key] for key in ("served", "inputTokens", "outputTokens", "costUsd")
    )
    assert (1, 0, 1) == tuple(document["requests"][key] for key in ("served", "inFlight", "total"))
    assert ["none", "none", "missing"] == [item["credential"] for item in document["providers"]]
    assert {"enabled": False} == document["telemetry"]


async def test_explain_names_the_best_target_for_a_set_of_needs(rig: Rig) -> None:
    _, plain = await get(rig, "/explain?model=chat")
    _, picky = await get(rig, "/explain?model=chat&needs=multipleChoices,tools")
    rig.install(
        replace(
            rig.live.table,
            providers={
                **rig.live.table.providers,
                "a": replace(rig.live.table.providers["a"], suspend=True),
            },
        )
    )
    _, without = await get(rig, "/explain?model=chat&needs=multipleChoices")

    assert ("a", "exact", "chat") == (plain["best"]["provider"], plain["matched"], plain["route"])
    assert ["", "", "credential_missing"] == [row["reason"] for row in plain["targets"]]
    assert ["", "capability", "credential_missing"] == [row["reason"] for row in picky["targets"]]
    assert "lacks multipleChoices" == picky["targets"][1]["detail"]
    assert without["best"] is None
    assert "suspended" == without["targets"][0]["reason"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/explain", 400),
        ("/explain?model=chat&needs=telepathy", 400),
        ("/explain?model=nope", 404),
        ("/requests?limit=many", 400),
        ("/requests?limit=-1", 400),
        ("/nowhere", 404),
        ("/livez", 200),
        ("/readyz", 200),
        ("/", 200),
        ("/table", 200),
    ],
)
async def test_paths(rig: Rig, path: str, status: int) -> None:
    got, document = await get(rig, path)

    assert status == got
    assert status < 400 or document["error"]["message"]


@pytest.mark.parametrize("path", ["/status", "/capabilities", "/table", "/livez"])
async def test_head_is_get_without_the_body(rig: Rig, path: str) -> None:
    async with rig.http.head(f"{rig.admin_url}{path}") as response:
        length, body = int(response.headers["content-length"]), await response.read()

    assert (200, b"") == (response.status, body)
    assert length > 0
    # The connection is still in step.
    assert 200 == (await get(rig, path))[0]


async def test_the_admin_port_only_reads(rig: Rig) -> None:
    async with rig.http.post(f"{rig.admin_url}/status") as response:
        assert (405, "GET") == (response.status, response.headers["allow"])


async def test_the_probe_port_serves_probes_and_nothing_else(rig: Rig) -> None:
    assert rig.sidecar.ports.probe is not None
    host, port = rig.sidecar.ports.probe
    statuses = []
    for path in ("livez", "readyz", "status", "table", "v1/models"):
        async with rig.http.get(f"http://{host}:{port}/{path}") as response:
            statuses.append(response.status)

    assert [200, 200, 404, 404, 404] == statuses


async def test_capabilities_tell_what_all_and_what_some_targets_can_do(rig: Rig) -> None:
    async with rig.http.get(f"{rig.base_url}/capabilities") as response:
        public = json.loads(await response.read())
    _, document = await get(rig, "/capabilities")

    (route,) = public["data"]
    assert document == public
    assert "chat" in route["everywhere"]
    assert "multipleChoices" in route["somewhere"]
    assert "multipleChoices" not in route["everywhere"]
    assert ["a", "b", "c"] == [target["provider"] for target in route["targets"]]


async def test_requests_are_listed_with_the_path_each_took(rig: Rig) -> None:
    async with ask(rig) as response:
        await response.read()
        request_id = response.headers["x-request-id"]
    _, document = await get(rig, "/requests?limit=5")

    (told,) = document["requests"]
    assert (request_id, ["a:served"], "served", 200) == (
        told["id"],
        told["path"],
        told["outcome"],
        told["status"],
    )
