"""A caller cannot tell from the shape of an answer, a stream or an error which provider served it.

OpenAI's client speaks through the sidecar to an honest upstream of each of the nine types; the same
judge looks at every raw answer.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import openai
import pytest

from controlplane.table.schema import ProviderType
from switchgear.demo.llama import LlamaServer
from tests import shape
from tests.e2e.nine import NINE, Caller, Entrance, calling, entrance, table_of, thinking_model
from tests.fakes import provider

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
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
PLACE: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)


@pytest.fixture(params=NINE)
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[Entrance]:
    """The upstream of one type."""
    async with entrance(request.param) as opened:
        yield opened


@pytest.fixture
async def caller(upstream: Entrance) -> AsyncIterator[Caller]:
    """The client, before routes to the models of that upstream. Its answers are judged at the end."""
    house = upstream.house
    config = upstream.configured("only", models=[thinking_model(house)])
    places = {"chat": house.model, "reason": house.reasoner, "embed": house.embedder}
    routes = {route: [(config, model)] for route, model in places.items() if model}
    async with calling(table_of(routes)) as opened:
        yield opened
        judge(opened)


def judge(caller: Caller) -> None:
    assert caller.heard
    for heard in caller.heard:
        dies = heard.streamed and b'"error"' in heard.raw
        assert [] == heard.complaints(dies=dies), bytes(heard.raw)
        assert set() == shape.foreign_keys(heard.documents)


async def folded(stream: openai.AsyncStream[Any]) -> shape.Folded:
    return shape.fold([chunk.model_dump(exclude_unset=True) async for chunk in stream])


async def test_a_unary_answer(caller: Caller) -> None:
    answer = await caller.client.chat.completions.create(model="chat", messages=HELLO)

    [choice] = answer.choices
    assert ("chat", "stop") == (answer.model, choice.finish_reason)
    assert choice.message.content
    assert choice.message.content.startswith("Hello!")
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    assert "only" == caller.heard[0].headers["x-switchgear-provider"]


@pytest.mark.parametrize("usage", [False, True])
async def test_a_stream(caller: Caller, usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    stream = await caller.client.chat.completions.create(
        model="chat", messages=HELLO, stream=True, **options
    )
    whole = await folded(stream)

    words = shape.grammar(caller.heard[0].documents)
    assert ["role", "content", "finish", *(["usage"] if usage else [])] == words
    assert "stop" == whole.finish_reason
    assert whole.message["content"].startswith("Hello!")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("cities", [["Paris"], ["Paris", "Lyon"]])
async def test_a_tool_loop_of_two_turns(
    caller: Caller, cities: Sequence[str], streamed: bool
) -> None:
    """With one call, and with two at once."""
    question = "weather?" if len(cities) == 1 else "weathers?"
    messages: list[Any] = [{"role": "user", "content": question}]
    turn, finish = await said(caller, messages, streamed=streamed)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
        for call in turn["tool_calls"]
    ]
    closing, end = await said(caller, [*messages, turn, *results], streamed=streamed)

    assert ("tool_calls", "stop") == (finish, end)
    assert cities == [
        json.loads(call["function"]["arguments"])["city"] for call in turn["tool_calls"]
    ]
    assert {"get_weather"} == {call["function"]["name"] for call in turn["tool_calls"]}
    assert closing["content"]
    if streamed:
        calls = ["call", "arguments"] * len(cities)
        assert ["role", *calls, "finish"] == shape.grammar(caller.heard[0].documents)


async def said(
    caller: Caller, messages: list[Any], *, streamed: bool, **options: Any
) -> tuple[Any, Any]:
    """Give the assistant's message and its finish reason, with WEATHER on offer."""
    given: dict[str, Any] = {"model": "chat", "tools": [WEATHER], **options}
    if streamed:
        stream = await caller.client.chat.completions.create(
            messages=messages, stream=True, **given
        )
        whole = await folded(stream)
        return whole.message, whole.finish_reason
    answer = await caller.client.chat.completions.create(messages=messages, **given)
    choice = answer.choices[0]
    return choice.message.model_dump(exclude_unset=True), choice.finish_reason


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_by_a_schema(caller: Caller, streamed: bool) -> None:
    options: Any = {"model": "chat", "messages": HELLO, "response_format": PLACE}
    if streamed:
        whole = await folded(await caller.client.chat.completions.create(stream=True, **options))
        content, finish = whole.message["content"], whole.finish_reason
    else:
        answer = await caller.client.chat.completions.create(**options)
        content, finish = answer.choices[0].message.content, answer.choices[0].finish_reason

    assert isinstance(json.loads(content), dict)
    assert "stop" == finish


async def test_an_image(caller: Caller, upstream: Entrance) -> None:
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    parts = [{"type": "text", "text": "what is it?"}, image]
    answer = await caller.client.chat.completions.create(
        model="chat",
        messages=[{"role": "user", "content": parts}],  # type: ignore[list-item, misc]
    )

    assert answer.choices[0].message.content
    assert PIXEL.partition(",")[2] in json.dumps(upstream.seen()[-1])


@pytest.mark.parametrize("streamed", [False, True])
async def test_reasoning_appears_and_finds_its_way_back(
    caller: Caller, upstream: Entrance, streamed: bool
) -> None:
    """Signed reasoning goes back to whom it came from, in the extra key that a client hands on."""
    messages: list[Any] = [{"role": "user", "content": "weather?"}]
    how: dict[str, Any] = {
        "model": "reason",
        "reasoning_effort": "low",
        "max_tokens": 4096,
        "extra_body": {"reasoning": {"summary": "auto"}},
    }
    turn, finish = await said(caller, messages, streamed=streamed, **how)
    result = {
        "role": "tool",
        "tool_call_id": turn["tool_calls"][0]["id"],
        "content": "sunny",
    }
    closing, end = await said(caller, [*messages, turn, result], streamed=streamed, **how)

    assert ("tool_calls", "stop") == (finish, end)
    assert turn["reasoning_content"]
    assert closing["content"]
    sent = json.dumps(upstream.seen()[-1])
    assert "switchgear" not in sent
    for block in turn.get("switchgear", {}).get("reasoning", ()):
        assert all(secret in sent for secret in secrets_of(block))


def secrets_of(block: Mapping[str, Any]) -> list[str]:
    """What makes a block of reasoning its writer's own, wherever it stands in it."""
    found: list[str] = []
    for key, value in block.items():
        if isinstance(value, Mapping):
            found += secrets_of(value)
        elif key in {"signature", "data", "encrypted_content", "redactedContent"}:
            found.append(value)
    return found


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
async def test_embeddings(caller: Caller, upstream: Entrance, encoding: Any) -> None:
    """Without a choice of encoding, the client asks for base64 and decodes it."""
    options = {} if encoding is None else {"encoding_format": encoding}
    if not upstream.house.embedder:
        with pytest.raises(openai.BadRequestError) as caught:
            await caller.client.embeddings.create(model="chat", input=["a", "b"], **options)
        assert "unsupported_parameter" == caught.value.code
        return
    answer = await caller.client.embeddings.create(model="embed", input=["a", "b"], **options)

    assert [0, 1] == [item.index for item in answer.data]
    assert all(item.embedding for item in answer.data)


async def test_a_stream_that_dies_after_its_first_words(caller: Caller, upstream: Entrance) -> None:
    upstream.die()
    stream = await caller.client.chat.completions.create(model="chat", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError) as caught:
        await folded(stream)

    error = caught.value.body
    assert isinstance(error, dict)
    assert ("server_error", None, "upstream_error") == (
        error["type"],
        error["param"],
        error["code"],
    )


async def test_an_upstream_that_fails_to_the_end(caller: Caller, upstream: Entrance) -> None:
    for _ in range(2):
        upstream.fail()
    with pytest.raises(openai.InternalServerError) as caught:
        await caller.client.chat.completions.create(model="chat", messages=HELLO)

    assert (503, "overloaded") == (caught.value.status_code, caught.value.code)


async def test_a_mistake_of_the_caller_is_found_before_any_provider(
    caller: Caller, upstream: Entrance
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await caller.client.chat.completions.create(model="chat", messages=HELLO, temperature=9)

    assert "temperature" == caught.value.param
    assert [] == upstream.seen()


async def test_all_nine_stream_in_the_same_shape() -> None:
    """Side by side: the keys of chunks, choices and deltas are the same, and so is their order."""
    routes: dict[str, list[Any]] = {}
    async with AsyncExitStack() as stack:
        for kind in NINE:
            opened = await stack.enter_async_context(entrance(kind))
            routes[kind.value] = [(opened.configured(kind.lower()), opened.house.model)]
        caller = await stack.enter_async_context(calling(table_of(routes)))
        for name in routes:
            stream = await caller.client.chat.completions.create(
                model=name,
                messages=[{"role": "user", "content": "weather?"}],
                tools=[WEATHER],
                stream=True,
                stream_options={"include_usage": True},
            )
            await folded(stream)

    shapes = {heard.request["model"]: needed(heard.documents) for heard in caller.heard}
    assert 1 == len(set(shapes.values())), shapes


def needed(documents: Sequence[Mapping[str, Any]]) -> str:
    """The keys that a client may count on, and what is said in which order."""
    chunks = {frozenset(event) & {"id", "object", "created", "model", "choices", "usage"}
              for event in documents}  # fmt: skip
    choices = {
        frozenset(choice) & {"index", "delta", "finish_reason"}
        for event in documents
        for choice in event["choices"]
    }
    return str(
        (sorted(map(sorted, chunks)), sorted(map(sorted, choices)), shape.grammar(documents))
    )


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_real_server_has_the_same_shape(llama: LlamaServer, streamed: bool) -> None:
    config = provider("only", kind=ProviderType.VLLM, base_url=llama.base_url)
    async with calling(table_of({"chat": [(config, "tiny")]})) as caller:
        messages: list[Any] = [{"role": "user", "content": "weather?"}]
        turn, finish = await said(caller, messages, streamed=streamed)
        result = {"role": "tool", "tool_call_id": turn["tool_calls"][0]["id"], "content": "sunny"}
        closing, end = await said(caller, [*messages, turn, result], streamed=streamed)

    assert ("tool_calls", "stop") == (finish, end)
    assert closing["content"]
    for heard in caller.heard:
        assert [] == heard.complaints()
        assert shape.foreign_keys(heard.documents) <= {"timings", "choices.logprobs"}
