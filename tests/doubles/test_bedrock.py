"""The double is honest: AWS' own client takes it for Bedrock, and cannot get past its checks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError

from tests.doubles import bedrock_frames
from tests.doubles.bedrock import USAGE, Bedrock, Fault, Said
from tests.doubles.bedrock_signature import Account

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HELLO: Any = [{"role": "user", "content": [{"text": "Hello"}]}]
CALL = {"toolUse": {"toolUseId": "tooluse_1", "name": "get_time", "input": {"tz": "UTC"}}}
TOOLS: Any = {"tools": [{"toolSpec": {"name": "get_time", "inputSchema": {"json": {}}}}]}


@pytest.fixture
async def bedrock() -> AsyncIterator[Bedrock]:
    async with Bedrock() as bedrock:
        yield bedrock


def client(bedrock: Bedrock, service: str = "bedrock-runtime", **changes: Any) -> Any:
    account = bedrock.account
    options = {
        "region_name": account.region,
        "endpoint_url": bedrock.url,
        "aws_access_key_id": account.access_key_id,
        "aws_secret_access_key": account.secret,
        "config": Config(retries={"total_max_attempts": 1}),
    }
    return boto3.session.Session().client(service, **{**options, **changes})


async def through(call: Callable[[Any], Any], bedrock: Bedrock, *args: Any, **changes: Any) -> Any:
    """Make a call with boto3, in a thread, and close its connections."""

    def work() -> Any:
        aws = client(bedrock, *args, **changes)
        try:
            return call(aws)
        finally:
            aws.close()

    return await asyncio.to_thread(work)


def streamed(aws: Any) -> list[Any]:
    with contextlib.closing(aws.converse_stream(modelId=MODEL, messages=HELLO)["stream"]) as stream:
        return list(stream)


async def test_converse(bedrock: Bedrock) -> None:
    bedrock.next(Said([{"text": "Checking."}, CALL], stop="tool_use"))

    answer = await through(
        lambda aws: aws.converse(modelId=MODEL, messages=HELLO, toolConfig=TOOLS), bedrock
    )

    assert [{"text": "Checking."}, CALL] == answer["output"]["message"]["content"]
    assert ("tool_use", USAGE) == (answer["stopReason"], answer["usage"])
    assert f"/model/{MODEL.replace(':', '%3A')}/converse" == bedrock.requests[0].raw_path


async def test_converse_stream(bedrock: Bedrock) -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "Need clock", "signature": "Eq"}}}
    bedrock.next(Said([thought, {"text": "Checking it."}, CALL], stop="tool_use"))

    events = await through(streamed, bedrock)
    deltas = [each["contentBlockDelta"]["delta"] for each in events if "contentBlockDelta" in each]

    assert "Checking it." == "".join(delta.get("text", "") for delta in deltas)
    assert '{"tz": "UTC"}' == "".join(delta.get("toolUse", {}).get("input", "") for delta in deltas)
    assert {"stopReason": "tool_use"} == events[-2]["messageStop"]
    assert USAGE == events[-1]["metadata"]["usage"]


async def test_invoke_model(bedrock: Bedrock) -> None:
    def call(aws: Any) -> tuple[Any, str]:
        answer = aws.invoke_model(
            modelId="amazon.titan-embed-text-v2:0",
            body=json.dumps({"inputText": "two words", "dimensions": 256}),
        )
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        return json.loads(answer["body"].read()), headers["x-amzn-bedrock-input-token-count"]

    body, tokens = await through(call, bedrock)

    assert (256, 2, "2") == (len(body["embedding"]), body["inputTextTokenCount"], tokens)


async def test_an_api_key_is_let_in(bedrock: Bedrock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", bedrock.api_key)
    unsigned = {"aws_access_key_id": None, "aws_secret_access_key": None}

    await through(lambda aws: aws.converse(modelId=MODEL, messages=HELLO), bedrock, **unsigned)

    assert f"Bearer {bedrock.api_key}" == bedrock.requests[0].headers["authorization"]


@pytest.mark.parametrize(
    ("account", "code"),
    [
        (Account(secret="another"), "InvalidSignatureException"),
        (Account(access_key_id="AKIDOTHER"), "UnrecognizedClientException"),
        (Account(region="us-east-1"), "InvalidSignatureException"),
        (Account(token="session"), "ExpiredTokenException"),
    ],
)
async def test_other_keys_are_refused(bedrock: Bedrock, account: Account, code: str) -> None:
    caller = Bedrock(account=bedrock.account, url=bedrock.url)
    bedrock.account = account

    with pytest.raises(ClientError) as caught:
        await through(lambda aws: aws.converse(modelId=MODEL, messages=HELLO), caller)

    assert code == caught.value.response["Error"]["Code"]
    assert 403 == caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


async def test_a_body_that_was_changed_after_it_was_signed_is_refused(bedrock: Bedrock) -> None:
    def change(request: Any, **_more: Any) -> None:
        request.body = request.body.replace(b"Hello", b"Howdy")

    def call(aws: Any) -> Any:
        aws.meta.events.register("before-send.bedrock-runtime", change)
        return aws.converse(modelId=MODEL, messages=HELLO)

    await through(lambda aws: aws.converse(modelId=MODEL, messages=HELLO), bedrock)
    with pytest.raises(ClientError) as caught:
        await through(call, bedrock)

    assert "InvalidSignatureException" == caught.value.response["Error"]["Code"]
    assert 1 == len(bedrock.requests)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": [{"role": "assistant", "content": [{"text": "x"}]}]}, "start with a user"),
        ({"messages": [*HELLO, *HELLO]}, "alternate"),
        ({"messages": [{"role": "user", "content": [{"text": " "}]}]}, "blank"),
        (
            {"messages": [*HELLO, {"role": "assistant", "content": [CALL]}, *HELLO]},
            "toolResult",
        ),
        ({"messages": HELLO, "inferenceConfig": {"temperature": 1.5}}, "1.5"),
        ({"messages": HELLO, "serviceTier": {"type": "scale"}}, "scale"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"image": {"format": "png", "source": {"bytes": b"\xff\xd8\xff"}}}
                        ],
                    }
                ]
            },
            "image",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "document": {
                                    "format": "pdf",
                                    "name": "a",
                                    "source": {"bytes": b"%PDF"},
                                }
                            }
                        ],
                    }
                ]
            },
            "text block",
        ),
    ],
)
async def test_what_bedrock_refuses_is_refused(bedrock: Bedrock, body: Any, words: str) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        await through(
            lambda aws: aws.converse(modelId=MODEL, **body),
            bedrock,
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
        )

    assert "ValidationException" == caught.value.response["Error"]["Code"]


async def test_faults_and_exceptions_in_the_middle(bedrock: Bedrock) -> None:
    slow = bedrock_frames.exception("throttlingException", "slow down")
    bedrock.next(
        Fault(429, "ThrottlingException", "Too many requests"), Said("a b c", breaks=(2, slow))
    )

    with pytest.raises(ClientError) as refused:
        await through(lambda aws: aws.converse(modelId=MODEL, messages=HELLO), bedrock)
    with pytest.raises(EventStreamError, match="slow down"):
        await through(streamed, bedrock)

    assert "ThrottlingException" == refused.value.response["Error"]["Code"]


async def test_lists_in_pages(bedrock: Bedrock) -> None:
    bedrock.models = [{"modelId": MODEL, "modelArn": "arn", "outputModalities": ["TEXT"]}]
    bedrock.profiles = [{"inferenceProfileId": f"eu.{number}"} for number in range(3)]

    first = await through(lambda aws: aws.list_inference_profiles(), bedrock, "bedrock")
    second = await through(
        lambda aws: aws.list_inference_profiles(nextToken=first["nextToken"]), bedrock, "bedrock"
    )
    models = await through(lambda aws: aws.list_foundation_models(), bedrock, "bedrock")

    assert [2, 1] == [len(page["inferenceProfileSummaries"]) for page in (first, second)]
    assert MODEL == models["modelSummaries"][0]["modelId"]


def test_frames_are_those_of_botocore() -> None:
    events = bedrock_frames.events_of([{"text": "Hi é"}], stop="end_turn", usage=USAGE)
    buffer = EventStreamBuffer()
    buffer.add_data(bedrock_frames.stream_of(events))

    found = [(each.headers[":event-type"], json.loads(each.payload)) for each in buffer]

    assert events == found


def test_base64_of_the_wire_is_base64() -> None:
    assert "/9j/" == base64.b64encode(b"\xff\xd8\xff").decode()
