"""Bedrock's six methods, over real HTTP against a double that checks every signature."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.table.schema import CredentialKind, CredentialRef, ProviderType, Timeouts
from dataplane import registry
from dataplane.aws_credentials import RETRY_S, AwsCredentials
from dataplane.bedrock import BedrockProvider
from dataplane.codec import decode
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, RequestRejected, UpstreamFailed
from dataplane.pool import ProviderPool
from dataplane.provider import Batch, Call, ChatStream, Feature, HealthVerdict
from dataplane.transport import HttpTransport
from dataplane.wire.sigv4 import AwsKeys
from tests.dataplane.wire.bedrock_kit import CLAUDE, NOVA
from tests.dataplane.wire.openai_kit import chat, embeddings
from tests.doubles.bedrock import Bedrock, Fault, Said
from tests.doubles.bedrock_embeddings import vector
from tests.doubles.bedrock_frames import exception
from tests.doubles.bedrock_signature import Account
from tests.fakes import FakeClock, provider

TITAN = "amazon.titan-embed-text-v2:0"
PROFILE = "arn:aws:bedrock:eu-west-3:123456789012:application-inference-profile/abc123"
SLOW = Timeouts(connect_s=5, first_event_s=30, answer_s=30, idle_s=30, total_s=60)
KEY = CredentialRef(kind=CredentialKind.ENV, name="KEY")


class Keys:
    """A source whose keys are the account's, or others."""

    def __init__(self, account: Account, **changes: str) -> None:
        self.account = replace(account, **changes)  # type: ignore[arg-type]
        self.asked = 0
        self.gone = False

    async def fetch(self, *, anew: bool) -> AwsKeys | None:
        self.asked += 1
        if self.gone:
            return None
        return AwsKeys(
            access_key_id=self.account.access_key_id,
            secret_access_key=self.account.secret,
            session_token=self.account.token,
        )


@pytest.fixture
async def bedrock() -> AsyncIterator[Bedrock]:
    async with Bedrock() as bedrock:
        yield bedrock


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    async with HttpTransport(proxies=False) as transport:
        yield transport


def made(
    bedrock: Bedrock,
    transport: HttpTransport,
    *,
    keys: Keys | None = None,
    clock: FakeClock | None = None,
    environ: Mapping[str, str] | None = None,
    region: str = "eu-west-3",
    age: timedelta = timedelta(),
    **changes: Any,
) -> BedrockProvider:
    config = provider(
        "aws",
        kind=ProviderType.AWS_BEDROCK,
        base_url=bedrock.url,
        options={"region": region},
        **changes,
    )
    return BedrockProvider(
        config,
        transport,
        Credentials(environ=environ or {}, secrets_root=Path("/nowhere"), clock=time.monotonic),
        time.monotonic,
        keys=AwsCredentials(keys or Keys(bedrock.account), clock or FakeClock()),
        now=lambda: datetime.now(UTC) - age,
    )


def how(model: str = CLAUDE, **changes: Any) -> Call:
    fields: dict[str, Any] = {
        "model": model,
        "timeouts": SLOW,
        "deadline_s": time.monotonic() + 60,
        "begin": lambda: {"traceparent": "00-1"},
    }
    return Call(**{**fields, **changes})


async def drained(stream: ChatStream) -> Batch:
    """Read a stream to its end; the bytes of all batches, and how it ended."""
    batch = stream.head
    data = batch.data
    while not batch.done and batch.failure is None:
        batch = await stream.next()
        data += batch.data
    await stream.aclose()
    return Batch(data=data, done=batch.done, failure=batch.failure)


async def test_a_signed_chat(bedrock: Bedrock, transport: HttpTransport) -> None:
    completed = await made(bedrock, transport).chat(chat(), how())
    (seen,) = bedrock.requests

    assert "Hello, world" == decode(completed.answer.body)["choices"][0]["message"]["content"]
    assert completed.request_id.startswith("00000000-")
    assert f"/model/{CLAUDE.replace(':', '%3A')}/converse" == seen.raw_path
    assert "00-1" == seen.headers["traceparent"]
    assert "traceparent" not in seen.headers["authorization"]


@pytest.mark.parametrize("model", [PROFILE, "a b/c:d?e#f", "~x-1.2_3", "modèle"])
async def test_every_id_is_signed_as_it_is_sent(
    bedrock: Bedrock, transport: HttpTransport, model: str
) -> None:
    seen_model = model
    if model == PROFILE:
        await made(bedrock, transport).chat(chat(), how(model))
    else:
        # The double knows AWS' pattern of ids and refuses the rest, once the signature was good.
        with pytest.raises(UpstreamFailed) as caught:
            await made(bedrock, transport).chat(chat(), how(model))
        assert ErrorClass.BAD_REQUEST is caught.value.error

    assert [] == bedrock.refusals
    assert seen_model == bedrock.requests[0].model


async def test_a_session_token_goes_along(bedrock: Bedrock, transport: HttpTransport) -> None:
    bedrock.account = replace(bedrock.account, token="session")

    await made(bedrock, transport).chat(chat(), how())

    assert "session" == bedrock.requests[0].headers["x-amz-security-token"]


async def test_a_stream(bedrock: Bedrock, transport: HttpTransport) -> None:
    pace = asyncio.Semaphore(2)
    bedrock.next(Said("Hello there", pace=pace))
    stream = await made(bedrock, transport).chat_stream(chat(stream=True), how())
    head = stream.head
    for _ in range(10):
        pace.release()
    end = await drained(stream)

    assert b'"content":"Hello"' in head.data
    assert b" there" not in head.data
    assert end.done
    assert stream.request_id
    assert f"chatcmpl-{stream.request_id}" == stream.facts.response_id
    assert stream.facts.usage is not None


async def test_leaving_a_stream_ends_the_call(bedrock: Bedrock, transport: HttpTransport) -> None:
    bedrock.next(Said("Hello there", pace=asyncio.Semaphore(2)))
    stream = await made(bedrock, transport).chat_stream(chat(stream=True), how())
    await stream.aclose()

    await asyncio.wait_for(bedrock.client_gone.wait(), 10)


async def test_a_half_frame_and_a_wrong_checksum_are_failures(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    bedrock.next(Said("a b c", breaks=(2, "cut")), Said("a b c", breaks=(2, "corrupt")))
    aws = made(bedrock, transport)
    cut = await drained(await aws.chat_stream(chat(stream=True), how()))
    corrupt = await drained(await aws.chat_stream(chat(stream=True), how()))

    assert cut.failure is not None
    assert corrupt.failure is not None
    assert (ErrorClass.STREAM_ABORT, ErrorClass.BAD_RESPONSE) == (
        cut.failure.error,
        corrupt.failure.error,
    )


async def test_an_exception_at_the_head_of_a_stream_is_a_failure_of_the_call(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    bedrock.next(Said("a", breaks=(0, exception("throttlingException", "slow down"))))

    with pytest.raises(UpstreamFailed) as caught:
        await made(bedrock, transport).chat_stream(chat(stream=True), how())

    assert ErrorClass.RATE_LIMIT is caught.value.error


# Credentials.


async def test_an_api_key_is_sent_instead_of_a_signature(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    keys = Keys(bedrock.account)
    aws = made(bedrock, transport, keys=keys, credential=KEY, environ={"KEY": bedrock.api_key})
    await aws.chat(chat(), how())
    await aws.list_models()

    assert {f"Bearer {bedrock.api_key}"} == {
        seen.headers["authorization"] for seen in bedrock.requests
    }
    assert not any("x-amz-date" in seen.headers for seen in bedrock.requests)
    assert 0 == keys.asked


async def test_a_wrong_api_key_is_refused(bedrock: Bedrock, transport: HttpTransport) -> None:
    aws = made(bedrock, transport, credential=KEY, environ={"KEY": "wrong"})

    with pytest.raises(UpstreamFailed) as caught:
        await aws.chat(chat(), how())

    assert ErrorClass.AUTH is caught.value.error


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret": "another"}, "InvalidSignatureException"),
        ({"access_key_id": "AKIDOTHER"}, "UnrecognizedClientException"),
    ],
)
async def test_wrong_keys_are_asked_for_once_more_and_no_second_call_is_made(
    bedrock: Bedrock, transport: HttpTransport, changes: dict[str, str], code: str
) -> None:
    keys = Keys(bedrock.account, **changes)

    with pytest.raises(UpstreamFailed) as caught:
        await made(bedrock, transport, keys=keys).chat(chat(), how())

    assert (ErrorClass.AUTH, code, 403) == (
        caught.value.error,
        caught.value.provider_code,
        caught.value.status,
    )
    assert (2, 1) == (keys.asked, len(bedrock.refusals))
    assert "another" not in caught.value.message


async def test_rotated_keys_are_used_at_once(bedrock: Bedrock, transport: HttpTransport) -> None:
    keys = Keys(bedrock.account)
    aws = made(bedrock, transport, keys=keys)
    await aws.chat(chat(), how())
    bedrock.account = keys.account = replace(bedrock.account, access_key_id="AKIDNEW", secret="new")

    await aws.chat(chat(), how())

    assert (2, 1) == (keys.asked, len(bedrock.refusals))
    assert "AKIDNEW" in bedrock.requests[-1].headers["authorization"]


async def test_rotation_during_a_batch_asks_once(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    keys = Keys(bedrock.account)
    aws = made(bedrock, transport, keys=keys)
    await aws.chat(chat(), how())
    bedrock.account = keys.account = replace(bedrock.account, access_key_id="AKIDNEW", secret="new")

    completed = await aws.embeddings(embeddings(input=["a", "b", "c"]), how(TITAN))

    assert 3 == len(decode(completed.answer.body)["data"])
    assert 2 == keys.asked


async def test_a_signature_of_yesterday_is_refused(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        await made(bedrock, transport, age=timedelta(days=1)).chat(chat(), how())

    assert ErrorClass.AUTH is caught.value.error
    assert "expired" in bedrock.refusals[0].message


async def test_missing_keys_are_found_before_the_attempt_begins(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    keys = Keys(bedrock.account)
    keys.gone = True
    clock = FakeClock()
    aws = made(bedrock, transport, keys=keys, clock=clock)
    begun: list[int] = []

    for _ in range(2):
        with pytest.raises(UpstreamFailed) as caught:
            await aws.chat(chat(), how(begin=lambda: begun.append(1) or {}))
        assert ErrorClass.CREDENTIAL is caught.value.error

    assert ([], 1, []) == (begun, keys.asked, bedrock.requests)
    assert HealthVerdict.MISCONFIGURED is (await aws.is_healthy()).verdict
    keys.gone = False
    clock.advance(RETRY_S)
    await aws.chat(chat(), how())


async def test_without_a_region_nothing_can_be_signed(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    with pytest.raises(UpstreamFailed, match="region") as caught:
        await made(bedrock, transport, region="").chat(chat(), how())

    assert ErrorClass.CREDENTIAL is caught.value.error


async def test_keys_that_take_too_long_are_a_timeout(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    class Never(Keys):
        async def fetch(self, *, anew: bool) -> AwsKeys | None:
            await asyncio.Event().wait()
            raise AssertionError

    aws = made(bedrock, transport, keys=Never(bedrock.account))

    with pytest.raises(UpstreamFailed) as caught:
        await aws.chat(chat(), how(timeouts=replace(SLOW, answer_s=0.05)))

    assert ErrorClass.TIMEOUT_FIRST_BYTE is caught.value.error


# Embeddings.


async def test_embeddings_by_several_calls_keep_their_order(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    texts = [f"text {number} is here" for number in range(11)]
    begun: list[int] = []
    request = embeddings(input=texts, dimensions=256, user="u")

    completed = await made(bedrock, transport).embeddings(
        request, how(TITAN, begin=lambda: begun.append(1) or {})
    )
    body = decode(completed.answer.body)

    assert [(number, vector(text, 256)) for number, text in enumerate(texts)] == [
        (item["index"], item["embedding"]) for item in body["data"]
    ]
    assert {"prompt_tokens": 44, "total_tokens": 44} == body["usage"]
    assert (256, 44) == (
        completed.answer.facts.embedding_dimensions,
        completed.answer.facts.usage and completed.answer.facts.usage.input_tokens,
    )
    assert ([1], 11) == (begun, len(bedrock.requests))
    assert ("dropped:user",) == tuple(completed.warnings)


async def test_only_a_few_calls_are_made_at_once(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    bedrock.gate = asyncio.Semaphore(0)
    asking = asyncio.create_task(
        made(bedrock, transport).embeddings(embeddings(input=["x"] * 20), how(TITAN))
    )
    while bedrock.answering < 4:
        await asyncio.sleep(0.005)
    for _ in range(20):
        bedrock.gate.release()
    await asking

    assert 4 == bedrock.most_at_once


async def test_one_call_that_fails_fails_all(bedrock: Bedrock, transport: HttpTransport) -> None:
    ok = Said("")
    bedrock.next(ok, ok, Fault(429, "ThrottlingException", "Too many requests"))

    with pytest.raises(UpstreamFailed) as caught:
        await made(bedrock, transport).embeddings(embeddings(input=["x"] * 8), how(TITAN))

    assert ErrorClass.RATE_LIMIT is caught.value.error


async def test_cohere_takes_many_texts_in_one_call(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    completed = await made(bedrock, transport).embeddings(
        embeddings(input=["x y"] * 100), how("cohere.embed-v4:0")
    )

    assert [96, 4] == sorted((len(body["texts"]) for body in bedrock.bodies), reverse=True)
    assert 200 == decode(completed.answer.body)["usage"]["prompt_tokens"]


async def test_a_request_that_cannot_be_said_is_no_attempt(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    aws = made(bedrock, transport)

    with pytest.raises(RequestRejected):
        await aws.embeddings(embeddings(input=["a", "b"], dimensions=3), how(TITAN))
    with pytest.raises(RequestRejected):
        await aws.chat(chat(seed=1), how(strict=True))

    assert [] == bedrock.requests


# Lists and health.


def model(model_id: str) -> dict[str, Any]:
    return {
        "modelId": model_id,
        "providerName": "Amazon",
        "outputModalities": ["TEXT"],
        "inferenceTypesSupported": ["ON_DEMAND"],
    }


async def test_both_lists_are_merged(bedrock: Bedrock, transport: HttpTransport) -> None:
    bedrock.models = [model(NOVA)]
    bedrock.profiles = [
        {"inferenceProfileId": f"eu.{number}", "type": "SYSTEM_DEFINED"} for number in range(5)
    ]

    found = await made(bedrock, transport).list_models()

    assert [NOVA, "eu.0", "eu.1", "eu.2", "eu.3", "eu.4"] == [each.id for each in found]
    assert [] == bedrock.refusals


async def test_without_leave_to_list_profiles_there_are_none(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    bedrock.models = [model(NOVA)]
    bedrock.lists = {"inference-profiles": Fault(403, "AccessDeniedException", "no")}

    assert [NOVA] == [each.id for each in await made(bedrock, transport).list_models()]


async def test_other_failures_of_a_list_are_failures(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    bedrock.lists = {"inference-profiles": Fault(500, "InternalServerException", "no")}

    with pytest.raises(UpstreamFailed) as caught:
        await made(bedrock, transport).list_models()

    assert ErrorClass.UPSTREAM_ERROR is caught.value.error


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (None, HealthVerdict.HEALTHY),
        (Fault(403, "AccessDeniedException", "not authorized"), HealthVerdict.UNKNOWN),
        (Fault(403, "UnrecognizedClientException", "no"), HealthVerdict.MISCONFIGURED),
        (Fault(429, "ThrottlingException", "slow"), HealthVerdict.THROTTLED),
        (Fault(503, "ServiceUnavailableException", "no"), HealthVerdict.UNREACHABLE),
    ],
)
async def test_health(
    bedrock: Bedrock, transport: HttpTransport, fault: Fault | None, verdict: HealthVerdict
) -> None:
    bedrock.lists = {} if fault is None else {"foundation-models": fault}

    health = await made(bedrock, transport).is_healthy()

    assert verdict is health.verdict
    assert (fault is None) == (health.latency_s is not None)
    assert "/foundation-models?byOutputModality=TEXT" == bedrock.requests[0].raw_path


async def test_pages_without_end_are_not_followed_for_ever(
    bedrock: Bedrock, transport: HttpTransport
) -> None:
    bedrock.page_size = 1
    bedrock.profiles = [{"inferenceProfileId": f"eu.{number}"} for number in range(50)]

    found = await made(bedrock, transport).list_models()

    assert 20 == len(found)


async def test_capabilities_are_the_adapters(bedrock: Bedrock, transport: HttpTransport) -> None:
    aws = made(bedrock, transport)

    assert Feature.EMBEDDINGS in aws.capabilities(TITAN)
    assert Feature.EMBEDDINGS not in aws.capabilities(CLAUDE)


async def test_the_pool_makes_it(bedrock: Bedrock, transport: HttpTransport) -> None:
    config = provider(
        "aws",
        kind=ProviderType.AWS_BEDROCK,
        base_url=bedrock.url,
        options={"region": "eu-west-3"},
    )
    credentials = Credentials(environ={}, secrets_root=Path("/nowhere"), clock=time.monotonic)
    pool = ProviderPool(transport, credentials, time.monotonic)
    registry.preload([ProviderType.AWS_BEDROCK])

    assert isinstance(pool.get(config), BedrockProvider)
    assert pool.get(config) is pool.get(config)
