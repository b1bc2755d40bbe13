"""The double of Mistral is taken for Mistral by its own client, which reads every answer strictly."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, MistralError
from mistralai.client.models import CompletionChunk, TextChunk, ThinkChunk

from controlplane.table.schema import ProviderType
from tests.doubles import mistral
from tests.doubles.talk import ANSWER, CITIES, THOUGHTS
from tests.doubles.upstream import VECTOR, Upstream
from tests.doubles.vendors import KEY, vendor

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
WEATHERS: list[Any] = [{"role": "user", "content": "weathers?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
async def double() -> AsyncIterator[Upstream]:
    async with vendor(ProviderType.MISTRAL) as opened:
        yield opened


@pytest.fixture
async def sdk(double: Upstream) -> AsyncIterator[Mistral]:
    # The client puts /v1 behind its server's URL by itself.
    async with Mistral(api_key=KEY, server_url=double.url.removesuffix("/v1")) as client:
        yield client


async def streamed(sdk: Mistral, **options: Any) -> list[CompletionChunk]:
    async with await sdk.chat.stream_async(**options) as stream:
        return [event.data async for event in stream]


async def test_the_sdk_chats(sdk: Mistral) -> None:
    answer = await sdk.chat.complete_async(model="mistral-small-latest", messages=HELLO)

    [choice] = answer.choices
    assert choice.message is not None
    assert (ANSWER, "stop") == (choice.message.content, choice.finish_reason)
    assert (9, 4, 13) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
        answer.usage.total_tokens,
    )


async def test_the_sdk_streams_with_usage_on_the_last_chunk(sdk: Mistral) -> None:
    chunks = await streamed(sdk, model="mistral-small-latest", messages=HELLO)

    pieces = [chunk.choices[0].delta.content for chunk in chunks]
    assert ANSWER == "".join(piece for piece in pieces if isinstance(piece, str))
    assert "stop" == chunks[-1].choices[0].finish_reason
    assert [None] * (len(chunks) - 1) == [chunk.usage for chunk in chunks[:-1]]
    assert chunks[-1].usage is not None


async def test_the_sdk_reads_thoughts_as_parts_of_the_content(sdk: Mistral) -> None:
    whole = await sdk.chat.complete_async(model="magistral-medium-2509", messages=HELLO)
    chunks = await streamed(sdk, model="magistral-medium-2509", messages=HELLO)

    assert whole.choices[0].message is not None
    content = whole.choices[0].message.content
    assert isinstance(content, list)
    assert [ThinkChunk, TextChunk] == [type(part) for part in content]
    thoughts = [
        piece.text
        for chunk in chunks
        if isinstance(parts := chunk.choices[0].delta.content, list)
        for part in parts
        if isinstance(part, ThinkChunk)
        for piece in part.thinking
        if isinstance(piece, TextChunk)
    ]
    assert THOUGHTS == "".join(thoughts)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdk_runs_a_tool_loop(sdk: Mistral, stream: bool) -> None:
    options: Any = {"model": "mistral-small-latest", "messages": WEATHERS, "tools": [WEATHER]}
    if stream:
        calls = (await streamed(sdk, **options))[-1].choices[0].delta.tool_calls
    else:
        answer = await sdk.chat.complete_async(**options)
        assert answer.choices[0].message is not None
        calls = answer.choices[0].message.tool_calls
    assert isinstance(calls, list)
    results = [
        {"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": "sunny"}
        for call in calls
    ]
    turn = {"role": "assistant", "tool_calls": [call.model_dump() for call in calls]}
    closing = await sdk.chat.complete_async(
        model="mistral-small-latest",
        messages=[*WEATHERS, turn, *results],  # type: ignore[list-item]
        tools=[WEATHER],
    )

    assert list(CITIES) == [json.loads(str(call.function.arguments))["city"] for call in calls]
    assert all(len(str(call.id)) == 9 for call in calls)
    assert closing.choices[0].message is not None
    assert "It is sunny." == closing.choices[0].message.content


async def test_the_sdk_embeds(sdk: Mistral) -> None:
    answer = await sdk.embeddings.create_async(model="mistral-embed", inputs=["a", "b"])

    assert [(0, VECTOR), (1, VECTOR)] == [(item.index, item.embedding) for item in answer.data]
    assert (2, 0, 2) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
        answer.usage.total_tokens,
    )


async def test_the_sdk_lists_models_and_looks_one_up(sdk: Mistral) -> None:
    listed = await sdk.models.list_async()
    one = await sdk.models.retrieve_async(model_id="mistral-embed")

    assert listed.data is not None
    assert list(mistral.MODELS) == [each.id for each in listed.data]
    assert ("mistral-embed", False) == (one.id, one.capabilities.completion_chat)


async def test_the_sdk_is_told_of_a_model_that_is_not_there(sdk: Mistral) -> None:
    with pytest.raises(MistralError) as caught:
        await sdk.models.retrieve_async(model_id="gpt-4o")

    assert 404 == caught.value.status_code


async def test_the_sdk_is_told_of_a_wrong_key(double: Upstream) -> None:
    url = double.url.removesuffix("/v1")
    async with Mistral(api_key="wrong", server_url=url) as client:
        with pytest.raises(MistralError) as caught:
            await client.chat.complete_async(model="mistral-small-latest", messages=HELLO)

    assert 401 == caught.value.status_code
    assert mistral.UNAUTHORIZED == json.loads(caught.value.body)


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([*HELLO, {"role": "tool", "tool_call_id": "aB3dE0001", "content": "sunny"}], "3230"),
        (
            [
                *HELLO,
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "call_1", "function": {"name": "get_weather", "arguments": "{}"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            ],
            "3280",
        ),
    ],
    ids=["a result without a call", "an id that is not nine letters"],
)
async def test_the_sdk_is_told_of_a_conversation_that_does_not_fit(
    sdk: Mistral, messages: Any, code: str
) -> None:
    with pytest.raises(MistralError) as caught:
        await sdk.chat.complete_async(model="mistral-small-latest", messages=messages)

    assert (400, code) == (caught.value.status_code, json.loads(caught.value.body)["code"])


async def test_the_sdk_is_told_of_a_field_that_is_unknown(sdk: Mistral) -> None:
    """Vectors of another length are one model's only, which this is not."""
    with pytest.raises(HTTPValidationError) as caught:
        await sdk.embeddings.create_async(model="mistral-embed", inputs="a", output_dimension=4)

    assert 422 == caught.value.status_code
    assert json.loads(caught.value.body)["message"]["detail"]
