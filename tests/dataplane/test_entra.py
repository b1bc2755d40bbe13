"""Each flow's exact request, what is read of the answers, and that no error tells a secret."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from controlplane.table.schema import CredentialKind, CredentialRef, ProviderType
from dataplane.bearer import EARLY_S, BearerSigner
from dataplane.credentials import Credentials
from dataplane.entra import EntraTokens
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpRequest
from dataplane.transport import HttpTransport, UpstreamResponse
from tests.dataplane.token_service import Asked, TokenService, answer, given
from tests.fakes import FakeClock, provider
from tests.raw import raw_server

SECRET = "canary-secret~?&=%"
TOKEN = "eyJ.canary-token.x"
ASSERTION = "eyJ.canary-assertion.x"
HEADER = "canary-identity-header"
CANARY = "canary"
NOW_S = 1_700_000_000.0
APP = {"azure.tenantId": "tenant-1", "azure.clientId": "client-1"}
REF = CredentialRef(kind=CredentialKind.ENV, name="APP_SECRET")


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    async with HttpTransport() as opened:
        yield opened


class Recorder:
    """A transport that keeps what it should send, and breaks."""

    def __init__(self) -> None:
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest, *, connect_s: float) -> UpstreamResponse:
        self.sent.append(request)
        raise UpstreamFailed(ErrorClass.CONNECTION, "gone")


def tokens(
    transport: HttpTransport | Recorder,
    flow: str,
    *,
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: FakeClock | None = None,
    timeout_s: float = 5.0,
) -> EntraTokens:
    config = provider(
        "azure-eu",
        kind=ProviderType.AZURE_OPENAI,
        credential=REF if flow == "clientSecret" else None,
        options={"azure.entra": flow, **(options or {})},
    )
    config = replace(config, health_check=replace(config.health_check, timeout_s=timeout_s))
    credentials = Credentials(
        environ={"APP_SECRET": SECRET, **(environ or {})},
        secrets_root=Path("/nowhere"),
        clock=clock or FakeClock(),
    )
    return EntraTokens(config, transport, credentials, now=lambda: NOW_S)


def by_secret(
    transport: HttpTransport | Recorder, url: str, *, timeout_s: float = 5.0
) -> EntraTokens:
    return tokens(
        transport,
        "clientSecret",
        options={**APP, "azure.authorityHost": url},
        timeout_s=timeout_s,
    )


async def only_request(subject: EntraTokens, recorder: Recorder) -> HttpRequest:
    with pytest.raises(UpstreamFailed, match=r"connection\.reset"):
        await subject.fetch()
    (request,) = recorder.sent
    return request


async def refused(subject: EntraTokens) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await subject.fetch()
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    return caught.value


def own_headers(asked: Asked) -> dict[str, str]:
    """What we chose to send: not what every HTTP request has."""
    return {
        name: value
        for name, value in asked.headers.items()
        if name not in {"host", "content-length"}
    }


async def test_a_client_secret_is_exchanged(transport: HttpTransport) -> None:
    service = TokenService(given(TOKEN))
    async with raw_server(service.talk) as url:
        token = await by_secret(transport, url).fetch()

    (asked,) = service.asked
    assert (TOKEN, 3599) == (token.value, token.lifetime_s)
    assert ("POST", "/tenant-1/oauth2/v2.0/token", []) == (asked.method, asked.path, asked.query)
    assert {
        "content-type": "application/x-www-form-urlencoded",
        "accept": "application/json",
    } == own_headers(asked)
    assert [
        ("grant_type", "client_credentials"),
        ("client_id", "client-1"),
        ("scope", "https://cognitiveservices.azure.com/.default"),
        ("client_secret", SECRET),
    ] == asked.form


async def test_a_workloads_token_is_exchanged_as_the_environment_says(
    transport: HttpTransport, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{ASSERTION}\n")
    service = TokenService(given(TOKEN))
    async with raw_server(service.talk) as url:
        environ = {
            "AZURE_FEDERATED_TOKEN_FILE": str(file),
            "AZURE_CLIENT_ID": "client-2",
            "AZURE_TENANT_ID": "tenant-2",
            "AZURE_AUTHORITY_HOST": f"{url}/",
        }
        token = await tokens(transport, "workloadIdentity", environ=environ).fetch()

    (asked,) = service.asked
    assert TOKEN == token.value
    assert ("POST", "/tenant-2/oauth2/v2.0/token") == (asked.method, asked.path)
    assert [
        ("grant_type", "client_credentials"),
        ("client_id", "client-2"),
        ("scope", "https://cognitiveservices.azure.com/.default"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", ASSERTION),
    ] == asked.form


async def test_a_workloads_token_that_was_rotated_is_read_anew(
    transport: HttpTransport, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    clock = FakeClock()
    service = TokenService(given(TOKEN))
    async with raw_server(service.talk) as url:
        subject = tokens(
            transport,
            "workloadIdentity",
            options={**APP, "azure.authorityHost": url},
            environ={"AZURE_FEDERATED_TOKEN_FILE": str(file)},
            clock=clock,
        )
        await subject.fetch()
        file.write_text("the second")
        clock.advance(3600)
        await subject.fetch()

    assert ["first", "the second"] == [
        dict(asked.form)["client_assertion"] for asked in service.asked
    ]


@pytest.mark.parametrize(
    ("options", "environ", "client"),
    [
        ({}, {}, []),
        ({"azure.clientId": "client-1"}, {}, [("client_id", "client-1")]),
        ({}, {"AZURE_CLIENT_ID": "client-2"}, [("client_id", "client-2")]),
    ],
)
async def test_a_virtual_machine_asks_the_metadata_service(
    transport: HttpTransport,
    options: Mapping[str, str],
    environ: Mapping[str, str],
    client: list[tuple[str, str]],
) -> None:
    # This service writes its numbers as text.
    service = TokenService(given(TOKEN, expires_in="86399", expires_on="1"))
    async with raw_server(service.talk) as url:
        environ = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": f"{url}/", **environ}
        token = await tokens(transport, "managedIdentity", options=options, environ=environ).fetch()

    (asked,) = service.asked
    assert (TOKEN, 86399) == (token.value, token.lifetime_s)
    assert ("GET", "/metadata/identity/oauth2/token", []) == (asked.method, asked.path, asked.form)
    assert {"metadata": "true", "accept": "application/json"} == own_headers(asked)
    assert [
        ("api-version", "2018-02-01"),
        ("resource", "https://cognitiveservices.azure.com"),
        *client,
    ] == asked.query


async def test_an_app_asks_its_platform(transport: HttpTransport) -> None:
    service = TokenService(given(TOKEN, expires_on=str(int(NOW_S) + 600)))
    async with raw_server(service.talk) as url:
        environ = {"IDENTITY_ENDPOINT": f"{url}/msi/token", "IDENTITY_HEADER": HEADER}
        token = await tokens(
            transport,
            "managedIdentity",
            options={"azure.clientId": "client-1"},
            environ=environ,
        ).fetch()

    (asked,) = service.asked
    assert (TOKEN, 600) == (token.value, token.lifetime_s)
    assert ("GET", "/msi/token") == (asked.method, asked.path)
    assert {"x-identity-header": HEADER, "accept": "application/json"} == own_headers(asked)
    assert [
        ("api-version", "2019-08-01"),
        ("resource", "https://cognitiveservices.azure.com"),
        ("client_id", "client-1"),
    ] == asked.query


async def test_the_metadata_service_has_its_well_known_address() -> None:
    recorder = Recorder()

    request = await only_request(tokens(recorder, "managedIdentity"), recorder)

    assert "http://169.254.169.254/metadata/identity/oauth2/token" == request.url.split("?")[0]


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, "https://login.microsoftonline.com/tenant-1/"),
        ({}, {"AZURE_AUTHORITY_HOST": ""}, "https://login.microsoftonline.com/tenant-1/"),
        (
            {},
            {"AZURE_AUTHORITY_HOST": "login.microsoftonline.us"},
            "https://login.microsoftonline.us/tenant-1/",
        ),
        (
            {"azure.authorityHost": "https://login.partner.microsoftonline.cn/"},
            {"AZURE_AUTHORITY_HOST": "login.microsoftonline.us"},
            "https://login.partner.microsoftonline.cn/tenant-1/",
        ),
        (
            {"azure.tenantId": "contoso.onmicrosoft.com"},
            {"AZURE_TENANT_ID": "tenant-2"},
            "https://login.microsoftonline.com/contoso.onmicrosoft.com/",
        ),
        (
            {"azure.authorityHost": "http://localhost:8080"},
            {},
            "http://localhost:8080/tenant-1/",
        ),
    ],
)
async def test_the_authority_can_be_another_clouds(
    options: Mapping[str, str], environ: Mapping[str, str], expected: str
) -> None:
    recorder = Recorder()
    subject = tokens(recorder, "clientSecret", options={**APP, **options}, environ=environ)

    request = await only_request(subject, recorder)

    assert f"{expected}oauth2/v2.0/token" == request.url


@pytest.mark.parametrize(
    ("scope", "resource"),
    [
        ("https://cognitiveservices.azure.us/.default", "https://cognitiveservices.azure.us"),
        ("https://ai.azure.com/.default", "https://ai.azure.com"),
        ("api://mine", "api://mine"),
    ],
)
async def test_the_scope_can_be_another_clouds(scope: str, resource: str) -> None:
    exchange, platform = Recorder(), Recorder()

    posted = await only_request(
        tokens(exchange, "clientSecret", options={**APP, "azure.scope": scope}), exchange
    )
    got = await only_request(
        tokens(platform, "managedIdentity", options={"azure.scope": scope}), platform
    )

    assert scope == dict(parse_qsl(posted.body.decode()))["scope"]
    assert resource == dict(parse_qsl(urlsplit(got.url).query))["resource"]


@pytest.mark.parametrize(
    ("flow", "options", "environ", "expected"),
    [
        ("clientSecret", {"azure.clientId": "c"}, {}, "neither azure.tenantId nor AZURE_TENANT_ID is set"),
        ("clientSecret", {"azure.tenantId": "t"}, {}, "neither azure.clientId nor AZURE_CLIENT_ID is set"),
        ("clientSecret", APP, {"APP_SECRET": ""}, "the credential env:APP_SECRET is missing"),
        ("clientSecret", {**APP, "azure.tenantId": "../x"}, {}, "azure.tenantId or AZURE_TENANT_ID is not an id of letters, digits and ._-"),
        ("clientSecret", {**APP, "azure.tenantId": ".."}, {}, "azure.tenantId or AZURE_TENANT_ID is not an id of letters, digits and ._-"),
        ("clientSecret", {**APP, "azure.authorityHost": "http://login.test"}, {}, "the authority host must be https, as a secret is sent to it"),
        ("clientSecret", {**APP, "azure.authorityHost": "http://[x"}, {}, "the authority host must be https, as a secret is sent to it"),
        ("workloadIdentity", APP, {}, "AZURE_FEDERATED_TOKEN_FILE is not set"),
        ("workloadIdentity", APP, {"AZURE_FEDERATED_TOKEN_FILE": "/no/file"}, "the credential file:/no/file is missing"),
        ("managedIdentity", {}, {"IDENTITY_ENDPOINT": "http://localhost/t"}, "the credential env:IDENTITY_HEADER is missing"),
        ("managedIdentity", {}, {"IDENTITY_ENDPOINT": "http://localhost/t", "IDENTITY_HEADER": HEADER, "IDENTITY_SERVER_THUMBPRINT": "ab"}, "managed identities of Service Fabric are not supported"),
        ("deviceCode", {}, {}, "the flow deviceCode is not supported by this version"),
    ],
)  # fmt: skip
async def test_what_is_missing_is_named_and_nothing_is_sent(
    flow: str, options: Mapping[str, str], environ: Mapping[str, str], expected: str
) -> None:
    recorder = Recorder()

    failure = await refused(tokens(recorder, flow, options=options, environ=environ))

    assert f"cannot get an Entra ID token: {expected}" == failure.message
    assert (ErrorClass.CREDENTIAL, []) == (failure.error, recorder.sent)


async def test_a_client_secret_must_be_configured() -> None:
    config = provider(
        "azure-eu", kind=ProviderType.AZURE_OPENAI, options={"azure.entra": "clientSecret", **APP}
    )
    credentials = Credentials(environ={}, secrets_root=Path("/nowhere"), clock=FakeClock())

    failure = await refused(EntraTokens(config, Recorder(), credentials))

    assert failure.message.endswith("no credential is configured to be the client's secret")


ECHO = {"error_description": f"AADSTS7000215: {SECRET} is wrong", "trace_id": CANARY}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(400, json.dumps({"error": "invalid_client", "error_codes": [7000215], **ECHO}).encode()), "answered 400 (invalid_client, AADSTS7000215)"),
        (answer(401, json.dumps({"error": "invalid_client", **ECHO}).encode()), "answered 401 (invalid_client)"),
        (answer(400, json.dumps({"error": SECRET, "error_codes": [SECRET]}).encode()), "answered 400"),
        (answer(400, json.dumps({"error": {"code": SECRET}, "error_codes": [-1]}).encode()), "answered 400"),
        (answer(400, json.dumps([CANARY]).encode()), "answered 400"),
        (answer(500, f"<h1>{SECRET}</h1>".encode()), "answered 500"),
        (answer(302, CANARY.encode()), "answered 302"),
        (answer(200, f"{CANARY}{{".encode()), "answered without a usable token"),
        (answer(200, b""), "answered without a usable token"),
        (given(f"{TOKEN}\r\nx: y"), "answered without a usable token"),
        (given(f"{TOKEN} {TOKEN}"), "answered without a usable token"),
        (given(f"{TOKEN}é"), "answered without a usable token"),
        (given(""), "answered without a usable token"),
        (given(TOKEN * 1000), "answered without a usable token"),
        (given(TOKEN, token_type="pop"), "gave a token of another type than Bearer"),
        (given(TOKEN, expires_in=0), "gave a token that has expired"),
        (given(TOKEN, expires_on=int(NOW_S) - 1), "gave a token that has expired"),
        (given(TOKEN, expires_in=None), "gave a token without a time of expiry"),
        (given(TOKEN, expires_in=True), "gave a token without a time of expiry"),
        (given(TOKEN, expires_in=f"{CANARY}"), "gave a token without a time of expiry"),
        (given(TOKEN, expires_on="11/25/2026 10:00:00"), "gave a token without a time of expiry"),
        (b"", "gave no usable answer (connection.reset)"),
        (f"{CANARY}\r\n\r\n".encode(), "gave no usable answer (response.malformed)"),
    ],
)  # fmt: skip
async def test_refusals_are_told_without_hosts_and_secrets(
    transport: HttpTransport, said: bytes, expected: str
) -> None:
    service = TokenService(said)
    async with raw_server(service.talk) as url:
        with pytest.raises(UpstreamFailed) as caught:
            await by_secret(transport, url).fetch()

    assert f"cannot get an Entra ID token: the token service {expected}" == caught.value.message
    assert ErrorClass.CREDENTIAL is caught.value.error
    assert CANARY not in repr(caught.value)


async def test_a_huge_answer_is_not_read_to_its_end(transport: HttpTransport) -> None:
    service = TokenService(answer(200, CANARY.encode() * 100_000))
    async with raw_server(service.talk) as url:
        failure = await refused(by_secret(transport, url))

    assert failure.message.endswith("gave no usable answer (response.malformed)")


@pytest.mark.parametrize("said", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_a_silent_service_is_given_up(transport: HttpTransport, said: bytes | None) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if said:
            writer.write(said)
        await asyncio.Event().wait()

    async with raw_server(talk) as url:
        failure = await refused(by_secret(transport, url, timeout_s=0.05))

    assert failure.message.endswith("the token service did not answer within 0.05 s")


async def test_a_service_that_is_not_there(transport: HttpTransport) -> None:
    async with raw_server(TokenService(b"").talk) as url:
        pass

    failure = await refused(by_secret(transport, url))

    assert failure.message.endswith("gave no usable answer (connection.refused)")


async def test_an_address_that_is_none(transport: HttpTransport) -> None:
    environ = {"IDENTITY_ENDPOINT": "nonsense", "IDENTITY_HEADER": HEADER}

    failure = await refused(tokens(transport, "managedIdentity", environ=environ))

    assert failure.message.endswith("the token service, or a header for it, is not valid")


async def test_fifty_callers_make_one_request_and_one_more_near_the_end(
    transport: HttpTransport, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    service = TokenService(given("t1"), given("t2"), answer(500, CANARY.encode()))
    bare = HttpRequest(method="POST", url="http://a.test/", headers={})
    async with raw_server(service.talk) as url:
        subject = BearerSigner(by_secret(transport, url), "azure-eu", clock)
        await asyncio.gather(*(subject.ready() for _ in range(50)))
        assert (1, "Bearer t1") == (
            len(service.asked),
            subject.sign(bare).headers["authorization"],
        )

        clock.advance(3599 - EARLY_S)
        await asyncio.gather(*(subject.ready() for _ in range(50)))
        while subject.sign(bare).headers["authorization"] == "Bearer t1":
            await asyncio.sleep(0.001)

        clock.advance(3599 - EARLY_S)
        await asyncio.gather(*(subject.ready() for _ in range(50)))
        while not caplog.messages:
            await asyncio.sleep(0.001)
        await subject.ready()

    assert (3, "Bearer t2") == (len(service.asked), subject.sign(bare).headers["authorization"])
    assert CANARY not in caplog.text
