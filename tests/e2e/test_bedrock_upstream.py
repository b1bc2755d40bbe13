"""The official OpenAI client, through the sidecar, to Bedrock: signed with the environment's keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from controlplane.table.schema import CredentialKind, CredentialRef, Model, ProviderType
from tests.doubles.bedrock import Bedrock, Fault, Said
from tests.doubles.bedrock_embeddings import vector
from tests.doubles.bedrock_frames import exception
from tests.e2e.rig import Rig, running
from tests.fakes import provider, table

CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
PROFILE = "arn:aws:bedrock:eu-west-3:123456789012:application-inference-profile/abc123"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Look it up", "signature": "EqAB"}}}
PNG = "data:image/png;base64,iVBORw0KGgo="


def use(number: int, city: str) -> dict[str, Any]:
    call = {"toolUseId": f"tooluse_{number}", "name": "get_weather", "input": {"city": city}}
    return {"toolUse": call}


@pytest.fixture
async def bedrock() -> AsyncIterator[Bedrock]:
    async with Bedrock() as bedrock:
        yield bedrock


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, bedrock: Bedrock, tmp_path: Path) -> None:
    """The account's keys in the environment, and nothing else of AWS."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bedrock.account.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bedrock.account.secret)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / name))
    for name in ("SESSION_TOKEN", "PROFILE", "ROLE_ARN", "WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


def aws(bedrock: Bedrock, **changes: Any) -> Any:
    return provider(
        "aws",
        kind=ProviderType.AWS_BEDROCK,
        base_url=bedrock.url,
        options={"region": "eu-west-3"},
        **changes,
    )


class Sidecar:
    """Starts sidecars before the double, and clients for them."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.client = openai.AsyncOpenAI(base_url=rig.base_url, api_key="unused", max_retries=0)

    async def __aenter__(self) -> openai.AsyncOpenAI:
        return self.client

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()


@pytest.fixture
async def client(bedrock: Bedrock) -> AsyncIterator[openai.AsyncOpenAI]:
    async with running(table([aws(bedrock)], model=CLAUDE)) as rig, Sidecar(rig) as client:
        yield client


@pytest.fixture
async def embedder(bedrock: Bedrock) -> AsyncIterator[openai.AsyncOpenAI]:
    async with running(table([aws(bedrock)], model=TITAN)) as rig, Sidecar(rig) as client:
        yield client


async def ask(client: openai.AsyncOpenAI, *, streamed: bool, **fields: Any) -> Any:
    """Ask, whole or as a stream that the client puts together."""
    if not streamed:
        return await client.chat.completions.create(model="chat", **fields)
    async with client.chat.completions.stream(model="chat", **fields) as stream:
        return await stream.get_final_completion()


def turn(message: Any) -> dict[str, Any]:
    """The message as a client sends it back, with whatever came along."""
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in message.tool_calls or ()
    ]
    extra = (
        {"switchgear": message.switchgear} if "switchgear" in (message.model_extra or {}) else {}
    )
    return {"role": "assistant", "content": message.content, "tool_calls": calls, **extra}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_loop_of_two_turns_with_parallel_calls(
    client: openai.AsyncOpenAI, bedrock: Bedrock, *, streamed: bool
) -> None:
    bedrock.next(
        Said([{"text": "Let me look."}, use(1, "Paris"), use(2, "Lyon")], stop="tool_use"),
        Said("Sunny in both."),
    )
    question = {"role": "user", "content": "weather?"}
    fields: dict[str, Any] = {"tools": [WEATHER], "parallel_tool_calls": True}
    first = await ask(client, streamed=streamed, messages=[question], **fields)
    message = first.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls
    ]
    second = await ask(
        client, streamed=streamed, messages=[question, turn(message), *results], **fields
    )

    assert ("Let me look.", "tool_calls") == (message.content, first.choices[0].finish_reason)
    assert [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Lyon"})] == [
        (call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls
    ]
    assert "Sunny in both." == second.choices[0].message.content
    assert ["user", "assistant", "user"] == [each["role"] for each in bedrock.bodies[1]["messages"]]
    assert ["tooluse_1", "tooluse_2"] == [
        block["toolResult"]["toolUseId"] for block in bedrock.bodies[1]["messages"][2]["content"]
    ]


@pytest.mark.parametrize("streamed", [False, True])
async def test_reasoning_goes_round_with_its_signature(
    client: openai.AsyncOpenAI, bedrock: Bedrock, *, streamed: bool
) -> None:
    bedrock.next(Said([THOUGHT, use(1, "Paris")], stop="tool_use"), Said("Sunny."))
    question = {"role": "user", "content": "weather?"}
    fields: dict[str, Any] = {"tools": [WEATHER], "reasoning_effort": "low"}
    first = await ask(client, streamed=streamed, messages=[question], **fields)
    message = first.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    await ask(client, streamed=streamed, messages=[question, turn(message), result], **fields)

    assert "Look it up" == message.reasoning_content
    thinking = bedrock.bodies[1]["additionalModelRequestFields"]["thinking"]
    assert {"type": "enabled", "budget_tokens": 1024} == thinking
    assert THOUGHT == bedrock.bodies[1]["messages"][1]["content"][0]


async def test_a_client_that_loses_reasoning_is_served_without(
    client: openai.AsyncOpenAI, bedrock: Bedrock
) -> None:
    bedrock.next(Said([THOUGHT, use(1, "Paris")], stop="tool_use"), Said("Sunny."))
    question = {"role": "user", "content": "weather?"}
    fields: dict[str, Any] = {"tools": [WEATHER], "reasoning_effort": "low"}
    first = await ask(client, streamed=False, messages=[question], **fields)
    lossy = {key: v for key, v in turn(first.choices[0].message).items() if key != "switchgear"}
    result = {"role": "tool", "tool_call_id": "tooluse_1", "content": "sunny"}
    raw = await client.chat.completions.with_raw_response.create(
        model="chat", messages=[question, lossy, result], **fields
    )

    assert "Sunny." == raw.parse().choices[0].message.content
    assert "dropped:reasoning_effort" in raw.headers["x-switchgear-warnings"]


@pytest.mark.parametrize(
    ("model", "blocks", "stop"),
    [
        (CLAUDE, [{"text": '{"city": "Paris"}'}], "end_turn"),
        (
            NOVA,
            [{"toolUse": {"toolUseId": "t", "name": "place", "input": {"city": "Paris"}}}],
            "tool_use",
        ),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_schema_is_kept_natively_or_by_a_tool(
    bedrock: Bedrock, model: str, blocks: list[Any], stop: str, *, streamed: bool
) -> None:
    bedrock.next(Said(blocks, stop=stop))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    async with running(table([aws(bedrock)], model=model)) as rig, Sidecar(rig) as client:
        answer = await ask(client, streamed=streamed, messages=HELLO, response_format=wanted)
    (choice,) = answer.choices

    assert {"city": "Paris"} == json.loads(choice.message.content)
    assert ("stop", None) == (choice.finish_reason, choice.message.tool_calls or None)


async def test_images_and_files_are_shown(client: openai.AsyncOpenAI, bedrock: Bedrock) -> None:
    pdf = {"filename": "a_b.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
    content: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "file", "file": pdf},
    ]
    await client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": content}]
    )

    assert ["text", "image", "document"] == [
        key for block in bedrock.bodies[0]["messages"][0]["content"] for key in block
    ]
    content[1]["image_url"]["url"] = "https://example.org/a.png"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": content}]
        )
    assert "unsupported_parameter" == caught.value.code


async def test_a_stream_with_usage(client: openai.AsyncOpenAI, bedrock: Bedrock) -> None:
    bedrock.next(Said("one two three"))
    stream = await client.chat.completions.create(
        model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert "one two three" == "".join(
        choice.delta.content or "" for chunk in chunks for choice in chunk.choices
    )
    assert chunks[-1].usage is not None
    assert (12, 5, 17) == (
        chunks[-1].usage.prompt_tokens,
        chunks[-1].usage.completion_tokens,
        chunks[-1].usage.total_tokens,
    )
    assert {("chat", chunks[0].id)} == {(chunk.model, chunk.id) for chunk in chunks}


async def test_chunks_come_as_they_are_made(client: openai.AsyncOpenAI, bedrock: Bedrock) -> None:
    pace = asyncio.Semaphore(2)
    bedrock.next(Said("one two", pace=pace))
    stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
    words: list[str] = []
    async for chunk in stream:
        if word := chunk.choices[0].delta.content:
            words.append(word)
            # The next frame is not even sent before this one was read.
            for _ in range(1 if len(words) == 1 else 5):
                pace.release()

    assert ["one", " two"] == words


async def test_an_exception_in_the_middle_is_an_error_event(
    client: openai.AsyncOpenAI, bedrock: Bedrock
) -> None:
    slow = exception("throttlingException", "Too many requests")
    bedrock.next(Said("one two three", breaks=(3, slow)))
    stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
    words: list[str] = []

    async def read() -> None:
        async for chunk in stream:
            words.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - up to the error

    with pytest.raises(openai.APIError) as caught:
        await read()

    assert "one two" == "".join(words)
    assert "rate_limit_exceeded" == caught.value.code


async def test_an_exception_at_the_head_fails_over(bedrock: Bedrock) -> None:
    async with Bedrock() as other:
        slow = exception("throttlingException", "Too many requests")
        bedrock.next(Said("one", breaks=(0, slow)))
        other.next(Said("from the other"))
        both = [aws(bedrock), replace(aws(other), name="other")]
        async with running(table(both, model=CLAUDE)) as rig, Sidecar(rig) as client:
            stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert "from the other" == text


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
async def test_embeddings(embedder: openai.AsyncOpenAI, bedrock: Bedrock, encoding: Any) -> None:
    texts = ["one two", "three", "four five six"]
    options = {} if encoding is None else {"encoding_format": encoding}
    answer = await embedder.embeddings.create(model="chat", input=texts, dimensions=256, **options)

    assert [0, 1, 2] == [item.index for item in answer.data]
    assert 6 == answer.usage.prompt_tokens
    assert 3 == len(bedrock.bodies)
    if encoding != "base64":
        assert [vector(text, 256) for text in texts] == [item.embedding for item in answer.data]


async def test_wrong_keys_are_not_the_callers_fault_and_are_left_alone_then(
    bedrock: Bedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    async with running(table([aws(bedrock)], model=CLAUDE)) as rig, Sidecar(rig) as client:
        with pytest.raises(openai.InternalServerError) as first:
            await client.chat.completions.create(model="chat", messages=HELLO)
        with pytest.raises(openai.InternalServerError) as second:
            await client.chat.completions.create(model="chat", messages=HELLO)
        async with rig.http.get(f"{rig.admin_url}/status") as response:
            status = await response.text()

    assert (502, "upstream_auth_error") == (first.value.status_code, first.value.code)
    assert 503 == second.value.status_code
    assert 1 == len(bedrock.refusals)
    assert "another-secret" not in status + str(first.value) + str(second.value)
    assert json.loads(status)["providers"][0]["credentialOpenSeconds"] > 0


async def test_missing_keys_are_told_without_a_call(
    bedrock: Bedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with running(table([aws(bedrock)], model=CLAUDE)) as rig, Sidecar(rig) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="chat", messages=HELLO)

    assert (502, "upstream_auth_error") == (caught.value.status_code, caught.value.code)
    assert ([], []) == (bedrock.requests, bedrock.refusals)


async def test_an_api_key_and_a_profile_whose_model_the_manifest_tells(bedrock: Bedrock) -> None:
    told = aws(
        bedrock,
        credential=CredentialRef(kind=CredentialKind.ENV, name="BEDROCK_KEY"),
        models=[Model(name=PROFILE, base_model=CLAUDE, max_output_tokens=100)],
    )
    environ: Mapping[str, str] = {"BEDROCK_KEY": bedrock.api_key}
    async with (
        running(table([told], model=PROFILE), environ=environ) as rig,
        Sidecar(rig) as client,
    ):
        answer = await client.chat.completions.create(model="chat", messages=HELLO)

    assert "Hello, world" == answer.choices[0].message.content
    assert PROFILE == bedrock.requests[0].model
    assert "%2Fabc123/" in bedrock.requests[0].raw_path
    assert {"maxTokens": 100} == bedrock.bodies[0]["inferenceConfig"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(400, "ValidationException", "Input is too long for requested model."), 400,
         "context_length_exceeded"),
        (Fault(400, "ValidationException", "1 validation error detected"), 400, None),
        (Fault(400, "ServiceQuotaExceededException", "x"), 429, "insufficient_quota"),
        (Fault(429, "ModelNotReadyException", "x"), 503, "overloaded"),
    ],
)  # fmt: skip
async def test_refusals_are_the_clients_own_classes(
    client: openai.AsyncOpenAI, bedrock: Bedrock, fault: Fault, status: int, code: str | None
) -> None:
    bedrock.default = fault

    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(model="chat", messages=HELLO)

    assert (status, code) == (caught.value.status_code, caught.value.code)
