"""Azure OpenAI end to end: both surfaces with keys, and Entra ID tokens that come, go and fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from controlplane.table.schema import CredentialKind, CredentialRef, Provider, ProviderType
from switchgear.demo.llama import LlamaServer
from switchgear.demo.model import TinyModel
from tests.dataplane.token_service import TokenService, answer, given
from tests.e2e.rig import Rig, running
from tests.fakes import provider, table
from tests.raw import head, raw_server

CLASSIC = {"azure.surface": "classic", "azure.apiVersion": "2024-10-21"}
DEPLOYMENT = "/openai/deployments/tiny"
KEY = "canary-key"
SECRET = "canary-secret"
STALE, GOOD = "eyJ.canary-stale.x", "eyJ.canary-good.x"
REF = CredentialRef(kind=CredentialKind.ENV, name="AZURE_SECRET")
ASK: Mapping[str, object] = {
    "model": "chat",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 4,
}
UNAUTHORISED = answer(401, b'{"error": {"code": "401", "message": "canary: wrong token"}}')


@pytest.fixture(scope="session")
def deployment(model: TinyModel) -> Iterator[LlamaServer]:
    """A real model server where a classic deployment is, that takes one token only."""
    with LlamaServer(model.chat, api_prefix=DEPLOYMENT, api_keys=[GOOD]) as server:
        yield server


@pytest.fixture(scope="session")
def open_deployment(model: TinyModel) -> Iterator[LlamaServer]:
    """The same, without authentication; llama.cpp does not know the header `api-key`."""
    with LlamaServer(model.chat, api_prefix=DEPLOYMENT) as server:
        yield server


class Resource:
    """An Azure resource that answers as told, one answer a request; the last repeats."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.lines: list[str] = []
        self.credentials: list[dict[str, str]] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *headers = (await head(reader)).partition(b"\r\n\r\n")[0].decode().split("\r\n")
        pairs = dict(header.lower().split(": ", 1) for header in headers)
        self.lines.append(line)
        self.credentials.append(
            {name: pairs[name] for name in ("authorization", "api-key") if name in pairs}
        )
        said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        writer.write(said)
        await writer.drain()


def unary(text: str = "hi") -> bytes:
    message = {"role": "assistant", "content": text}
    document = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    return answer(200, json.dumps(document).encode())


def azure(
    base_url: str, options: Mapping[str, str], *, credential: CredentialRef | None = REF
) -> Provider:
    return provider(
        "azure",
        kind=ProviderType.AZURE_OPENAI,
        base_url=base_url,
        credential=credential,
        options=options,
    )


def with_secret(
    base_url: str, login: str, options: Mapping[str, str] = MappingProxyType({})
) -> Provider:
    entra = {
        "azure.entra": "clientSecret",
        "azure.tenantId": "tenant",
        "azure.clientId": "client",
        "azure.authorityHost": login,
    }
    return azure(base_url, {**entra, **options})


async def ask(rig: Rig, **changes: object) -> tuple[int, str]:
    async with rig.http.post(
        f"{rig.base_url}/chat/completions", json={**ASK, **changes}
    ) as response:
        return response.status, await response.text()


async def admin(rig: Rig, path: str) -> str:
    async with rig.http.get(f"{rig.admin_url}{path}") as response:
        return await response.text()


@pytest.mark.parametrize("stream", [False, True])
async def test_the_classic_surface_against_a_real_server(
    open_deployment: LlamaServer, stream: bool
) -> None:
    upstream = azure(f"http://127.0.0.1:{open_deployment.port}", CLASSIC)
    async with running(table([upstream], model="tiny"), environ={"AZURE_SECRET": KEY}) as rig:
        status, body = await ask(rig, stream=stream)

    assert 200 == status
    assert stream == body.rstrip().endswith("data: [DONE]")
    assert '"model":"chat"' in body


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "POST /openai/v1/chat/completions HTTP/1.1"),
        ({"azure.surface": "v1", "azure.apiVersion": "preview"}, "POST /openai/v1/chat/completions?api-version=preview HTTP/1.1"),
        (CLASSIC, "POST /openai/deployments/gpt/chat/completions?api-version=2024-10-21 HTTP/1.1"),
    ],
)  # fmt: skip
async def test_a_key_goes_to_either_surface(options: Mapping[str, str], line: str) -> None:
    resource = Resource(unary())
    async with (
        raw_server(resource.talk) as url,
        running(table([azure(url, options)], model="gpt"), environ={"AZURE_SECRET": KEY}) as rig,
    ):
        status, _body = await ask(rig)

    assert (200, [line]) == (status, resource.lines)
    assert [{"api-key": KEY}] == resource.credentials


@pytest.mark.parametrize("stream", [False, True])
async def test_a_token_opens_a_real_server_and_is_replaced_once_refused(
    deployment: LlamaServer, stream: bool
) -> None:
    service = TokenService(given(STALE), given(GOOD))
    async with raw_server(service.talk) as login:
        upstream = with_secret(f"http://127.0.0.1:{deployment.port}", login, CLASSIC)
        async with running(
            table([upstream], model="tiny"), environ={"AZURE_SECRET": SECRET}
        ) as rig:
            first = await ask(rig, stream=stream)
            second = await ask(rig, stream=stream)
            requests = json.loads(await admin(rig, "/requests"))["requests"]

    assert (200, 200) == (first[0], second[0])
    assert 2 == len(service.asked)
    assert [1, 1] == [request["attempts"] for request in requests]


async def test_many_requests_share_one_token_and_send_no_key() -> None:
    service = TokenService(given(GOOD))
    resource = Resource(unary())
    async with raw_server(service.talk) as login, raw_server(resource.talk) as url:
        upstream = with_secret(url, login)
        async with running(table([upstream], model="gpt"), environ={"AZURE_SECRET": SECRET}) as rig:
            answers = await asyncio.gather(*(ask(rig) for _ in range(20)))

    assert {200} == {status for status, _body in answers}
    assert 1 == len(service.asked)
    assert [{"authorization": f"bearer {GOOD.lower()}"}] * 20 == resource.credentials


async def _by_workload(resource: str, login: str, folder: Path) -> tuple[Provider, dict[str, str]]:
    file = folder / "token"
    file.write_text("canary-assertion")
    environ = {
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": "client",
        "AZURE_AUTHORITY_HOST": login,
    }
    return azure(resource, {"azure.entra": "workloadIdentity"}, credential=None), environ


async def _by_platform(resource: str, login: str, _folder: Path) -> tuple[Provider, dict[str, str]]:
    environ = {"IDENTITY_ENDPOINT": f"{login}/msi", "IDENTITY_HEADER": "canary-header"}
    return azure(resource, {"azure.entra": "managedIdentity"}, credential=None), environ


@pytest.mark.parametrize(
    ("prepare", "asked_for"),
    [(_by_workload, "/tenant/oauth2/v2.0/token"), (_by_platform, "/msi")],
)
async def test_an_identity_of_the_platform_needs_no_credential(
    prepare: object, asked_for: str, tmp_path: Path
) -> None:
    assert callable(prepare)
    service = TokenService(given(GOOD))
    resource = Resource(unary())
    async with raw_server(service.talk) as login, raw_server(resource.talk) as url:
        upstream, environ = await prepare(url, login, tmp_path)
        async with running(table([upstream], model="gpt"), environ=environ) as rig:
            status, _body = await ask(rig)
            told = await admin(rig, "/status") + await admin(rig, "/explain?model=chat")

    assert 200 == status
    assert [asked_for] == [asked.path for asked in service.asked]
    assert "credential_missing" not in told
    assert "canary" not in told


async def test_a_token_that_stays_refused_fails_over_and_opens_the_credential() -> None:
    service = TokenService(given(STALE), given(GOOD))
    refusing, other = Resource(UNAUTHORISED), Resource(unary())
    async with (
        raw_server(service.talk) as login,
        raw_server(refusing.talk) as url,
        raw_server(other.talk) as other_url,
    ):
        spare = provider("spare", base_url=f"{other_url}/v1")
        async with running(
            table([with_secret(url, login), spare], model="gpt"), environ={"AZURE_SECRET": SECRET}
        ) as rig:
            status, body = await ask(rig)
            again, _body = await ask(rig)
            told = await admin(rig, "/status") + await admin(rig, "/requests")

    assert (200, 200) == (status, again)
    assert [f"bearer {STALE.lower()}", f"bearer {GOOD.lower()}"] == [
        sent["authorization"] for sent in refusing.credentials
    ]
    assert 2 == len(service.asked)
    assert "canary" not in told + body


@pytest.mark.parametrize("environ", [{"AZURE_SECRET": SECRET}, {}])
async def test_without_a_token_nothing_is_sent_and_another_target_serves(
    environ: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    refusal = {"error": "invalid_client", "error_description": SECRET, "error_codes": [7000215]}
    service = TokenService(answer(401, json.dumps(refusal).encode()))
    resource, other = Resource(unary()), Resource(unary())
    async with (
        raw_server(service.talk) as login,
        raw_server(resource.talk) as url,
        raw_server(other.talk) as other_url,
    ):
        spare = provider("spare", base_url=f"{other_url}/v1")
        async with running(
            table([with_secret(url, login), spare], model="gpt"), environ=environ
        ) as rig:
            status, body = await ask(rig)
            (flight,) = json.loads(await admin(rig, "/requests"))["requests"]
            told = await admin(rig, "/status")

    assert 200 == status
    assert ["azure:credential_missing", "spare:served"] == flight["path"]
    assert (len(environ), []) == (len(service.asked), resource.lines)
    assert "canary" not in told + body + caplog.text


async def test_a_caller_is_told_in_our_words_why_there_is_no_token() -> None:
    service = TokenService(answer(400, b'{"error": "invalid_client", "canary": 1}'))
    resource = Resource(unary())
    async with (
        raw_server(service.talk) as login,
        raw_server(resource.talk) as url,
        running(
            table([with_secret(url, login)], model="gpt"), environ={"AZURE_SECRET": SECRET}
        ) as rig,
    ):
        status, body = await ask(rig)

    assert (502, []) == (status, resource.lines)
    assert "upstream_auth_error" == json.loads(body)["error"]["code"]
    assert json.loads(body)["error"]["message"].endswith(
        "cannot get an Entra ID token: the token service answered 400 (invalid_client)"
    )
    assert "canary" not in body


async def test_a_probe_takes_a_token_too() -> None:
    service = TokenService(given(GOOD))
    resource = Resource(answer(200, b'{"object": "list", "data": []}'))
    async with raw_server(service.talk) as login, raw_server(resource.talk) as url:
        upstream = with_secret(url, login)
        async with running(table([upstream], model="gpt"), environ={"AZURE_SECRET": SECRET}) as rig:
            health = await rig.sidecar._plane.pool.get(upstream).is_healthy()

    assert "healthy" == health.verdict
    assert ["GET /openai/v1/models HTTP/1.1"] == resource.lines
    assert [{"authorization": f"bearer {GOOD.lower()}"}] == resource.credentials
