"""Keys are asked for seldom, once at a time, early enough, and anew when they were refused."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from controlplane.table.schema import ProviderType
from dataplane.aws_credentials import (
    RECHECK_S,
    RETRY_S,
    STALE_S,
    AwsCredentials,
    SessionKeys,
    keys_for,
)
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.wire.sigv4 import AwsKeys
from tests.fakes import FakeClock, provider


def keys(name: str) -> AwsKeys:
    return AwsKeys(access_key_id=name, secret_access_key=f"secret of {name}")


class FakeSource:
    """Gives what was scripted, the last entry for ever; waits for `gate` if there is one."""

    def __init__(self, *script: AwsKeys | Exception | None) -> None:
        self._script = list(script)
        self.asked: list[bool] = []
        self.gate: asyncio.Event | None = None

    async def fetch(self, *, anew: bool) -> AwsKeys | None:
        self.asked.append(anew)
        if self.gate is not None:
            await self.gate.wait()
        found = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(found, Exception):
            raise found
        return found


async def settled() -> None:
    """Let what is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_keys_are_asked_for_once_however_many_wait(clock: FakeClock) -> None:
    source = FakeSource(keys("A"))
    source.gate = asyncio.Event()
    credentials = AwsCredentials(source, clock)
    waiting = [asyncio.create_task(credentials.get()) for _ in range(5)]
    await settled()
    source.gate.set()
    await asyncio.gather(*waiting)

    assert ([False], "A") == (source.asked, credentials.current.access_key_id)


async def test_a_caller_that_leaves_does_not_take_the_others_keys(clock: FakeClock) -> None:
    source = FakeSource(keys("A"))
    source.gate = asyncio.Event()
    credentials = AwsCredentials(source, clock)
    first, second = (asyncio.create_task(credentials.get()) for _ in range(2))
    await settled()
    first.cancel()
    source.gate.set()
    await second

    assert ([False], "A") == (source.asked, credentials.current.access_key_id)
    assert first.cancelled()


async def test_keys_are_fresh_until_they_are_to_be_looked_at_again(clock: FakeClock) -> None:
    credentials = AwsCredentials(FakeSource(keys("A")), clock)
    told = [credentials.is_fresh]
    await credentials.get()
    told.append(credentials.is_fresh)
    clock.advance(RECHECK_S)
    told.append(credentials.is_fresh)

    assert [False, True, False] == told


async def test_fresh_keys_are_used_without_asking(clock: FakeClock) -> None:
    source = FakeSource(keys("A"))
    credentials = AwsCredentials(source, clock)
    await credentials.get()
    clock.advance(RECHECK_S - 1)
    await credentials.get()

    assert [False] == source.asked


async def test_older_keys_are_used_while_newer_ones_are_asked_for(clock: FakeClock) -> None:
    source = FakeSource(keys("A"), keys("B"))
    credentials = AwsCredentials(source, clock)
    await credentials.get()
    clock.advance(RECHECK_S)
    await credentials.get()
    at_once = credentials.current.access_key_id
    await settled()

    assert ("A", "B") == (at_once, credentials.current.access_key_id)


async def test_stale_keys_are_not_used(clock: FakeClock) -> None:
    source = FakeSource(keys("A"), keys("B"))
    credentials = AwsCredentials(source, clock)
    await credentials.get()
    clock.advance(STALE_S)
    await credentials.get()

    assert "B" == credentials.current.access_key_id


async def test_keys_outlive_a_source_that_fails_until_they_are_stale(clock: FakeClock) -> None:
    source = FakeSource(keys("A"), OSError("hush"))
    credentials = AwsCredentials(source, clock)
    await credentials.get()
    clock.advance(RECHECK_S)
    await credentials.get()
    await settled()
    await credentials.get()

    assert "A" == credentials.current.access_key_id
    assert 2 == len(source.asked)
    clock.advance(STALE_S)
    with pytest.raises(UpstreamFailed) as caught:
        await credentials.get()
    assert ErrorClass.CREDENTIAL is caught.value.error


@pytest.mark.parametrize(
    ("found", "words"),
    [(None, "none were found"), (OSError("hush"), "OSError")],
)
async def test_without_keys_there_is_a_failure_that_is_remembered(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, found: Any, words: str
) -> None:
    source = FakeSource(found, keys("A"))
    credentials = AwsCredentials(source, clock)
    for _ in range(3):
        with pytest.raises(UpstreamFailed, match=words) as caught:
            await credentials.get()
        assert ErrorClass.CREDENTIAL is caught.value.error

    assert 1 == len(source.asked)
    assert "hush" not in caplog.text + caught.value.message
    clock.advance(RETRY_S)
    await credentials.get()
    assert "A" == credentials.current.access_key_id


async def test_refused_keys_are_asked_for_anew(clock: FakeClock) -> None:
    source = FakeSource(keys("A"), keys("B"))
    credentials = AwsCredentials(source, clock)
    await credentials.get()

    assert await credentials.renew("A")
    assert ([False, True], "B") == (source.asked, credentials.current.access_key_id)


async def test_nothing_is_asked_if_others_have_come_meanwhile(clock: FakeClock) -> None:
    source = FakeSource(keys("B"))
    credentials = AwsCredentials(source, clock)
    await credentials.get()

    assert await credentials.renew("A")
    assert [False] == source.asked


async def test_the_same_keys_are_no_news_and_are_not_asked_for_all_the_time(
    clock: FakeClock,
) -> None:
    source = FakeSource(keys("A"))
    credentials = AwsCredentials(source, clock)
    await credentials.get()

    assert [False, False] == [await credentials.renew("A"), await credentials.renew("A")]
    assert [False, True] == source.asked
    clock.advance(RETRY_S)
    assert not await credentials.renew("A")
    assert [False, True, True] == source.asked


async def test_all_who_were_refused_get_the_answer_of_one_question(clock: FakeClock) -> None:
    source = FakeSource(keys("A"), keys("B"))
    credentials = AwsCredentials(source, clock)
    await credentials.get()

    assert [True] * 4 == await asyncio.gather(*(credentials.renew("A") for _ in range(4)))
    assert [False, True] == source.asked


async def test_a_question_under_way_does_not_count_as_new(clock: FakeClock) -> None:
    source = FakeSource(keys("A"), keys("A"), keys("B"))
    credentials = AwsCredentials(source, clock)
    await credentials.get()
    source.gate = asyncio.Event()
    clock.advance(RECHECK_S)
    await credentials.get()
    renewing = asyncio.create_task(credentials.renew("A"))
    await settled()
    source.gate.set()

    assert await renewing
    assert [False, False, True] == source.asked


# The real thing, in its places.


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without any credentials of AWS."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


def session(profile: str = "", role_arn: str = "") -> SessionKeys:
    return SessionKeys(profile=profile, role_arn=role_arn, region="eu-west-3")


@pytest.mark.usefixtures("nowhere")
async def test_there_may_be_no_keys_anywhere() -> None:
    assert await session().fetch(anew=False) is None


async def test_keys_of_the_environment_are_read_again_when_asked_anew(
    nowhere: pytest.MonkeyPatch,
) -> None:
    nowhere.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    nowhere.setenv("AWS_SECRET_ACCESS_KEY", "one")
    nowhere.setenv("AWS_SESSION_TOKEN", "token")
    source = session()
    first = await source.fetch(anew=False)
    nowhere.setenv("AWS_ACCESS_KEY_ID", "AKIDENV2")
    again, anew = await source.fetch(anew=False), await source.fetch(anew=True)

    expected = AwsKeys(access_key_id="AKIDENV", secret_access_key="one", session_token="token")
    assert expected == first == again
    assert anew is not None
    assert "AKIDENV2" == anew.access_key_id


@pytest.mark.usefixtures("nowhere")
async def test_keys_of_a_profile(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[team]\naws_access_key_id = AKIDTEAM\naws_secret_access_key = s\n"
    )

    assert AwsKeys(access_key_id="AKIDTEAM", secret_access_key="s") == await session("team").fetch(
        anew=False
    )


@pytest.mark.usefixtures("nowhere")
async def test_a_profile_that_is_not_there_is_an_error(clock: FakeClock) -> None:
    with pytest.raises(UpstreamFailed, match="ProfileNotFound"):
        await AwsCredentials(session("absent"), clock).get()


class TokenService:
    """STS, and the credentials endpoint of a container, in one."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.refuses = False
        self.issued = 0
        self.url = ""

    async def sts(self, request: web.Request) -> web.Response:
        form = parse_qs(await request.text())
        self.forms.append(form)
        (action,) = form["Action"]
        if self.refuses:
            return web.Response(
                status=403,
                text="<ErrorResponse><Error><Code>AccessDenied</Code>"
                "<Message>hush</Message></Error></ErrorResponse>",
            )
        self.issued += 1
        text = (
            f"<{action}Response><{action}Result><Credentials>"
            f"<AccessKeyId>AKIDROLE{self.issued}</AccessKeyId><SecretAccessKey>SECRETKEY</SecretAccessKey>"
            f"<SessionToken>token</SessionToken><Expiration>{self._end}</Expiration></Credentials>"
            "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/switchgear</Arn>"
            f"<AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser></{action}Result></{action}Response>"
        )
        return web.Response(text=text, content_type="text/xml")

    async def container(self, request: web.Request) -> web.Response:
        assert "pod token" == request.headers["Authorization"]
        return web.json_response(
            {
                "AccessKeyId": "AKIDPOD",
                "SecretAccessKey": "s",
                "Token": "token",
                "Expiration": self._end,
            }
        )

    @property
    def _end(self) -> str:
        return (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
async def service(nowhere: pytest.MonkeyPatch) -> AsyncIterator[TokenService]:
    service = TokenService()
    application = web.Application()
    application.router.add_post("/", service.sts)
    application.router.add_get("/credentials", service.container)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    service.url = f"http://{host}:{port}"
    nowhere.setenv("AWS_ENDPOINT_URL_STS", service.url)
    yield service
    await runner.cleanup()


async def test_web_identity(
    service: TokenService, nowhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As IAM roles for service accounts do it."""
    (tmp_path / "token").write_text("a.jwt")
    nowhere.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
    nowhere.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    source = session()

    first, again = await source.fetch(anew=False), await source.fetch(anew=False)

    assert (
        AwsKeys(access_key_id="AKIDROLE1", secret_access_key="SECRETKEY", session_token="token")
        == first
    )
    assert first == again
    assert ["AssumeRoleWithWebIdentity"] == service.forms[0]["Action"]
    assert ["a.jwt"] == service.forms[0]["WebIdentityToken"]


async def test_pod_identity(
    service: TokenService, nowhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("pod token")
    nowhere.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/credentials")
    nowhere.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))

    found = await session().fetch(anew=False)

    assert AwsKeys(access_key_id="AKIDPOD", secret_access_key="s", session_token="token") == found


async def test_a_role_is_assumed_with_what_is_found(
    service: TokenService, nowhere: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    nowhere.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    nowhere.setenv("AWS_SECRET_ACCESS_KEY", "ENVSECRET")
    arn = "arn:aws:iam::123456789012:role/bedrock"
    source = session(role_arn=arn)

    first, again, anew = [await source.fetch(anew=wanted) for wanted in (False, False, True)]

    assert first is not None
    assert anew is not None
    assert ("AKIDROLE1", "token") == (first.access_key_id, first.session_token)
    assert first == again
    assert "AKIDROLE2" == anew.access_key_id
    assert ([arn], ["switchgear"]) == (
        service.forms[0]["RoleArn"],
        service.forms[0]["RoleSessionName"],
    )
    assert not any(secret in caplog.text for secret in ("SECRETKEY", "ENVSECRET"))


async def test_a_role_that_may_not_be_assumed_is_named_by_its_code(
    service: TokenService,
    nowhere: pytest.MonkeyPatch,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nowhere.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    nowhere.setenv("AWS_SECRET_ACCESS_KEY", "one")
    service.refuses = True
    caplog.set_level(logging.DEBUG)

    with pytest.raises(UpstreamFailed, match=r"ClientError \(AccessDenied\)") as caught:
        await AwsCredentials(session(role_arn="arn:aws:iam::123456789012:role/b"), clock).get()

    assert "hush" not in caplog.text + caught.value.message


@pytest.mark.usefixtures("nowhere")
async def test_options_say_where_keys_come_from(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "credentials").write_text(
        "[team]\naws_access_key_id = AKIDTEAM\naws_secret_access_key = s\n"
    )
    config = provider(
        "aws",
        kind=ProviderType.AWS_BEDROCK,
        options={"region": "eu-west-3", "bedrock.profile": "team"},
    )
    credentials = keys_for(config, clock)
    await credentials.get()

    assert "AKIDTEAM" == credentials.current.access_key_id


def test_nothing_of_aws_is_imported_before_keys_are_needed() -> None:
    code = (
        "import pkgutil, importlib, sys, dataplane\n"
        "for module in pkgutil.walk_packages(dataplane.__path__, 'dataplane.'):\n"
        "    importlib.import_module(module.name)\n"
        "assert 'dataplane.aws_credentials' in sys.modules\n"
        "print(sorted(n for n in sys.modules if n.partition('.')[0] in "
        "{'aiobotocore', 'botocore', 'boto3'}))\n"
    )

    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert "[]" == found.stdout.strip()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
