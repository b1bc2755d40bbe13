"""The official OpenAI client gets through the sidecar what it gets from the server itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest

from controlplane.table.schema import ProviderType
from switchgear.demo.llama import LlamaServer
from switchgear.demo.model import ANSWER, ANSWER_TOKENS, EMBEDDING_LENGTH, counted
from tests.e2e.rig import Rig, running
from tests.fakes import provider, table

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
COUNT: list[Any] = [{"role": "user", "content": "count"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(params=[ProviderType.VLLM, ProviderType.OPENAI, ProviderType.OVHCLOUD])
async def rig(request: pytest.FixtureRequest, llama: LlamaServer) -> AsyncIterator[Rig]:
    """A sidecar before a real model server, as different types that speak its format."""
    async with running(
        table([provider("local", kind=request.param, base_url=llama.base_url)], model="tiny")
    ) as rig:
        yield rig


@pytest.fixture
async def through(rig: Rig) -> AsyncIterator[openai.AsyncOpenAI]:
    """The client, pointed at the sidecar."""
    async with openai.AsyncOpenAI(base_url=rig.base_url, api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture
async def direct(llama: LlamaServer) -> AsyncIterator[openai.AsyncOpenAI]:
    """The client, pointed at the server itself."""
    async with openai.AsyncOpenAI(
        base_url=llama.base_url, api_key="unused", max_retries=0
    ) as client:
        yield client


VOLATILE = {"id", "created", "model", "timings", "system_fingerprint"}


def stable(document: Any) -> Any:
    """A document without what differs from call to call, ids of tool calls included."""
    if isinstance(document, dict):
        return {
            key: stable(value)
            for key, value in document.items()
            if key not in VOLATILE and key != "prompt_tokens_details"
        }
    if isinstance(document, list):
        return [stable(item) for item in document]
    return document


async def test_a_unary_answer_is_the_servers(
    through: openai.AsyncOpenAI, direct: openai.AsyncOpenAI
) -> None:
    ours = await through.chat.completions.create(model="chat", messages=HELLO)
    theirs = await direct.chat.completions.create(model="tiny", messages=HELLO)

    assert ANSWER == ours.choices[0].message.content
    assert stable(theirs.model_dump(exclude_unset=True)) == stable(
        ours.model_dump(exclude_unset=True)
    )
    assert "chat" == ours.model


async def test_a_streamed_answer_is_the_servers_chunk_by_chunk(
    through: openai.AsyncOpenAI, direct: openai.AsyncOpenAI
) -> None:
    async def chunks(client: openai.AsyncOpenAI, model: str) -> list[Any]:
        stream = await client.chat.completions.create(model=model, messages=HELLO, stream=True)
        return [chunk.model_dump(exclude_unset=True) async for chunk in stream]

    ours, theirs = await chunks(through, "chat"), await chunks(direct, "tiny")

    assert ANSWER == "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in ours)
    assert [stable(chunk) for chunk in theirs] == [stable(chunk) for chunk in ours]
    assert {"chat"} == {chunk["model"] for chunk in ours}
    assert 1 == len({chunk["id"] for chunk in ours})
    assert not any("usage" in chunk for chunk in ours)


async def test_usage_comes_at_the_end_of_a_stream_if_asked_for(through: openai.AsyncOpenAI) -> None:
    stream = await through.chat.completions.create(
        model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert [] == chunks[-1].choices
    assert chunks[-1].usage is not None
    assert ANSWER_TOKENS == chunks[-1].usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_loop_of_two_turns(through: openai.AsyncOpenAI, *, streamed: bool) -> None:
    question: list[Any] = [{"role": "user", "content": "weather?"}]
    if streamed:
        async with through.chat.completions.stream(
            model="chat", messages=question, tools=[WEATHER]
        ) as stream:
            first: Any = await stream.get_final_completion()
    else:
        first = await through.chat.completions.create(
            model="chat", messages=question, tools=[WEATHER]
        )
    (call,) = first.choices[0].message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turn = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
        ],
    }
    second = await through.chat.completions.create(
        model="chat", messages=[*question, turn, result], tools=[WEATHER]
    )

    assert ("get_weather", "tool_calls") == (call.function.name, first.choices[0].finish_reason)
    assert {"city": "Paris"} == json.loads(call.function.arguments)
    assert ANSWER == second.choices[0].message.content


async def test_text_completions(through: openai.AsyncOpenAI) -> None:
    whole = await through.completions.create(model="chat", prompt="hello", max_tokens=30)
    stream = await through.completions.create(
        model="chat", prompt="hello", max_tokens=30, stream=True
    )
    pieces = [chunk.choices[0].text async for chunk in stream if chunk.choices]

    assert ANSWER == whole.choices[0].text
    assert ANSWER == "".join(pieces)


@pytest.mark.parametrize("kind", [None, "float", "base64"])
async def test_embeddings_in_every_encoding(
    through: openai.AsyncOpenAI, direct: openai.AsyncOpenAI, kind: Any
) -> None:
    """Without a choice of encoding the client asks for base64, and decodes it."""
    options = {} if kind is None else {"encoding_format": kind}
    ours = await through.embeddings.create(model="chat", input=["Hi", "Ho"], **options)
    theirs = await direct.embeddings.create(
        model="tiny", input=["Hi", "Ho"], encoding_format="float"
    )

    assert [0, 1] == [item.index for item in ours.data]
    if kind == "base64":
        assert all(isinstance(item.embedding, str) for item in ours.data)
        return
    assert EMBEDDING_LENGTH == len(ours.data[0].embedding)
    for mine, other in zip(ours.data, theirs.data, strict=True):
        assert pytest.approx(other.embedding, rel=1e-5, abs=1e-6) == mine.embedding


async def test_raw_responses_tell_the_journey(through: openai.AsyncOpenAI) -> None:
    raw = await through.chat.completions.with_raw_response.create(model="chat", messages=HELLO)

    assert ("local", "tiny", "1", "1") == tuple(
        raw.headers[f"x-switchgear-{name}"]
        for name in ("provider", "model", "attempts", "generation")
    )
    assert float(raw.headers["x-switchgear-overhead-ms"]) >= 0
    assert raw.request_id == raw.headers["x-request-id"]
    assert ANSWER == raw.parse().choices[0].message.content


async def test_models_are_the_routes(through: openai.AsyncOpenAI) -> None:
    listed = [model.id async for model in through.models.list()]
    one = await through.models.retrieve("chat")

    assert (["chat"], "chat") == (listed, one.id)


async def test_errors_are_the_clients_own_classes(through: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await through.chat.completions.create(model="chet", messages=HELLO)
    with pytest.raises(openai.BadRequestError) as bad:
        await through.chat.completions.create(model="chat", messages=HELLO, temperature=9)

    assert ("model", "model_not_found") == (unknown.value.param, unknown.value.code)
    assert 'did you mean "chat"' in unknown.value.message
    assert "temperature" == bad.value.param


async def test_a_prompt_that_is_too_long_is_the_callers_error(through: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await through.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "x" * 40_000}]
        )

    assert "context_length_exceeded" == caught.value.code


async def test_fifty_streams_at_once_lose_double_and_reorder_nothing(
    through: openai.AsyncOpenAI,
) -> None:
    async def count(numbers: int) -> tuple[str, int]:
        stream = await through.chat.completions.create(
            model="chat",
            messages=COUNT,
            max_tokens=numbers,
            stream=True,
            stream_options={"include_usage": True},
        )
        text, tokens = "", 0
        async for chunk in stream:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            tokens = chunk.usage.completion_tokens if chunk.usage else tokens
        return text, tokens

    wanted = [50 + number for number in range(50)]
    got = await asyncio.gather(*(count(numbers) for numbers in wanted))

    assert [(counted(numbers), numbers) for numbers in wanted] == list(got)


@pytest.fixture
def sync_client(rig: Rig) -> Iterator[openai.OpenAI]:
    """The blocking client."""
    with openai.OpenAI(base_url=rig.base_url, api_key="unused", max_retries=0) as client:
        yield client


async def test_the_blocking_client(sync_client: openai.OpenAI) -> None:
    def talk() -> tuple[str | None, str]:
        whole = sync_client.chat.completions.create(model="chat", messages=HELLO)
        stream = sync_client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        return whole.choices[0].message.content, "".join(pieces)

    assert (ANSWER, ANSWER) == await asyncio.to_thread(talk)
