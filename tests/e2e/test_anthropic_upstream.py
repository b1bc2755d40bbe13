"""Upstreams that speak the Messages API: the server of llama.cpp, and a double of Anthropic's.

The first proves that a real server of the format takes our requests and that we read its answers;
the second, which is as strict as the API, that OpenAI's client can keep a loop of tools and signed
reasoning going through the sidecar.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from controlplane.table.schema import CredentialKind, CredentialRef, Provider, ProviderType
from dataplane.codec import decode
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Batch, Call, HealthVerdict, Request
from dataplane.providers.anthropic import AnthropicAdapter
from dataplane.transport import HttpTransport
from dataplane.upstream import HttpProvider
from switchgear.demo.llama import LlamaServer
from switchgear.demo.model import ANSWER, ANSWER_TOKENS, counted
from tests.dataplane.wire.anthropic_kit import unary_of
from tests.dataplane.wire.openai_kit import chat, check_shape, read_events
from tests.doubles import anthropic_model as model
from tests.doubles.anthropic import (
    KEY,
    AnthropicDouble,
    dropped_after,
    ended_after,
    error_after,
    failing,
    held,
)
from tests.doubles.anthropic_checks import MODELS
from tests.e2e.rig import Rig, running
from tests.fakes import provider, table

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
REF = CredentialRef(kind=CredentialKind.ENV, name="ANTHROPIC_KEY")
ENVIRON = {"ANTHROPIC_KEY": KEY}
BUDGET = "claude-haiku-4-5-20251001"
NEW = "claude-opus-5"
NEWEST = "claude-sonnet-5-5"


def configured(url: str, name: str = "claude", **changes: Any) -> Provider:
    return provider(name, kind=ProviderType.ANTHROPIC, base_url=url, **changes)


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    async with HttpTransport() as opened:
        yield opened


def made(config: Provider, transport: HttpTransport) -> HttpProvider:
    credentials = Credentials(environ=ENVIRON, secrets_root=Path("/nowhere"), clock=time.monotonic)
    return HttpProvider(config, AnthropicAdapter(config), transport, credentials, time.monotonic)


def call(config: Provider, name: str = "tiny") -> Call:
    return Call(
        model=name,
        timeouts=config.timeouts,
        deadline_s=asyncio.get_running_loop().time() + 60,
        begin=dict,
    )


async def read(upstream: HttpProvider, request: Request, how: Call) -> tuple[list[Any], Batch]:
    """Read a stream to its end: the caller's chunks, and the last batch."""
    stream = await upstream.chat_stream(request, how)
    try:
        data, batch = stream.head.data, stream.head
        while not batch.done and batch.failure is None:
            batch = await stream.next()
            data += batch.data
    finally:
        await stream.aclose()
    return read_events(data), batch


# A real server of the format.


async def test_a_real_server_answers(llama: LlamaServer, transport: HttpTransport) -> None:
    config = configured(llama.url)
    done = await made(config, transport).chat(chat(messages=HELLO, max_tokens=50), call(config))

    body = decode(done.answer.body)
    [choice] = body["choices"]
    assert (ANSWER, "stop") == (choice["message"]["content"], choice["finish_reason"])
    assert ANSWER_TOKENS == body["usage"]["completion_tokens"]
    assert done.answer.facts.usage is not None
    assert "tiny" == done.answer.facts.response_model
    assert () == done.warnings


async def test_a_real_server_streams(llama: LlamaServer, transport: HttpTransport) -> None:
    config = configured(llama.url)
    request = chat(
        messages=HELLO, max_tokens=50, stream=True, stream_options={"include_usage": True}
    )
    events, last = await read(made(config, transport), request, call(config))

    assert last.done
    check_shape(events, include_usage=True)
    whole = unary_of(events)
    assert ANSWER == whole["choices"][0]["message"]["content"]
    assert ANSWER_TOKENS == whole["usage"]["completion_tokens"]
    # One chunk a token: nothing is gathered on the way.
    assert ANSWER_TOKENS - 2 <= sum(
        "content" in each["choices"][0]["delta"] for each in events[1:-1]
    )


async def test_a_real_server_is_held_to_the_limit(
    llama: LlamaServer, transport: HttpTransport
) -> None:
    config = configured(llama.url)
    request = chat(messages=[{"role": "user", "content": "count"}], max_tokens=5)
    done = await made(config, transport).chat(request, call(config))

    [choice] = decode(done.answer.body)["choices"]
    assert "length" == choice["finish_reason"]
    assert counted(100).startswith(choice["message"]["content"])


@pytest.mark.parametrize("choice", [None, "required"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_real_server_calls_a_tool_and_takes_the_result(
    llama: LlamaServer, transport: HttpTransport, *, streamed: bool, choice: str | None
) -> None:
    config = configured(llama.url)
    upstream = made(config, transport)
    question = {"role": "user", "content": "weather?"}
    request = chat(
        messages=[question], tools=[WEATHER], max_tokens=100, stream=streamed, tool_choice=choice
    )
    if streamed:
        events, _ = await read(upstream, request, call(config))
        first = unary_of(events)["choices"][0]
    else:
        first = decode((await upstream.chat(request, call(config))).answer.body)["choices"][0]
    [made_call] = first["message"]["tool_calls"]
    result = {"role": "tool", "tool_call_id": made_call["id"], "content": "sunny"}
    second = await upstream.chat(
        chat(messages=[question, first["message"], result], tools=[WEATHER], max_tokens=100),
        call(config),
    )

    assert "tool_calls" == first["finish_reason"]
    assert "get_weather" == made_call["function"]["name"]
    assert {"city": "Paris"} == json.loads(made_call["function"]["arguments"])
    assert ANSWER == decode(second.answer.body)["choices"][0]["message"]["content"]


async def test_a_real_server_lists_its_models_and_is_well(
    llama: LlamaServer, transport: HttpTransport
) -> None:
    upstream = made(configured(llama.url), transport)

    assert ["tiny"] == [each.id for each in await upstream.list_models()]
    assert HealthVerdict.HEALTHY is (await upstream.is_healthy()).verdict


# The double of Anthropic's API, through the adapter.


@pytest.fixture
async def double() -> AsyncIterator[AnthropicDouble]:
    async with AnthropicDouble() as server:
        yield server


@pytest.mark.parametrize("name", MODELS)
async def test_every_generation_takes_the_same_request(
    double: AnthropicDouble, transport: HttpTransport, name: str
) -> None:
    """A request like this is a 400 at one model or another, if it goes out as it is."""
    config = configured(double.url, credential=REF)
    request = chat(
        messages=[
            {"role": "system", "content": "Be brief."}, *HELLO,
            {"role": "assistant", "content": "Yes?"},
            {"role": "system", "content": "Now in French."}, *HELLO,
        ],
        temperature=1.2, top_p=0.9, stop=["\n", "END"], user="ann@example.com", seed=7,
        max_tokens=10**6, service_tier="flex",
        response_format={"type": "json_object"},
    )  # fmt: skip
    done = await made(config, transport).chat(request, call(config, name))

    assert model.ANSWER == decode(done.answer.body)["choices"][0]["message"]["content"]
    assert done.request_id.startswith("req_")


async def test_health_and_models_of_the_api(
    double: AnthropicDouble, transport: HttpTransport
) -> None:
    upstream = made(configured(double.url, credential=REF), transport)
    wrong = made(configured(double.url), transport)

    assert list(MODELS) == [each.id for each in await upstream.list_models()]
    assert HealthVerdict.HEALTHY is (await upstream.is_healthy()).verdict
    assert HealthVerdict.MISCONFIGURED is (await wrong.is_healthy()).verdict
    assert [{"limit": "1000"}, {"limit": "1"}] == [dict(e.query) for e in double.requests[:2]]


@pytest.mark.parametrize(
    ("after", "expected"),
    [(0, ErrorClass.OVERLOADED), (1, ErrorClass.OVERLOADED), (5, ErrorClass.OVERLOADED)],
)
async def test_an_error_inside_a_stream_is_a_failure_before_and_after_the_first_text(
    double: AnthropicDouble, transport: HttpTransport, after: int, expected: ErrorClass
) -> None:
    config = configured(double.url, credential=REF)
    double.next(error_after(after, "api_error"))
    if after < 4:
        with pytest.raises(UpstreamFailed) as caught:
            await read(made(config, transport), chat(stream=True), call(config, NEW))
        failure: Any = caught.value
    else:
        _, last = await read(made(config, transport), chat(stream=True), call(config, NEW))
        failure = last.failure

    assert expected is failure.error


@pytest.mark.parametrize("fault", [ended_after(6), dropped_after(6)])
async def test_a_stream_that_breaks_off_is_never_complete(
    double: AnthropicDouble, transport: HttpTransport, fault: Any
) -> None:
    config = configured(double.url, credential=REF)
    double.next(fault)
    events, last = await read(made(config, transport), chat(stream=True), call(config, NEW))

    assert last.failure is not None
    assert ErrorClass.STREAM_ABORT is last.failure.error
    assert not any(each["choices"][0]["finish_reason"] for each in events)


# The whole way: OpenAI's client, the sidecar, the API.


@pytest.fixture
async def rig(double: AnthropicDouble) -> AsyncIterator[Rig]:
    config = configured(double.url, credential=REF)
    async with running(table([config], model=BUDGET), environ=ENVIRON) as rig:
        yield rig


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=rig.base_url, api_key="unused", max_retries=0) as client:
        yield client


async def said(client: openai.AsyncOpenAI, *, streamed: bool, **fields: Any) -> Any:
    if not streamed:
        return await client.chat.completions.create(model="chat", **fields)
    async with client.chat.completions.stream(model="chat", **fields) as stream:
        return await stream.get_final_completion()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("words", ["weathers?", "weathers? hide"])
async def test_a_loop_of_tools_keeps_its_signed_reasoning(
    double: AnthropicDouble, client: openai.AsyncOpenAI, words: str, *, streamed: bool
) -> None:
    """The client sends its own message back as it got it, and the API finds its signature in it."""
    messages: list[Any] = [{"role": "user", "content": words}]
    fields: Any = {"tools": [WEATHER], "reasoning_effort": "low"}
    first = await said(client, streamed=streamed, messages=messages, **fields)
    message = first.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    messages += [
        {"role": "tool", "tool_call_id": each.id, "content": f"sun {number}"}
        for number, each in enumerate(message.tool_calls)
    ]
    second = await said(client, streamed=streamed, messages=messages, **fields)

    assert "tool_calls" == first.choices[0].finish_reason
    assert [{"city": "Paris"}, {"city": "Lyon"}] == [
        json.loads(each.function.arguments) for each in message.tool_calls
    ]
    hidden = "hide" in words
    assert (None if hidden else model.THOUGHTS) == getattr(message, "reasoning_content", None)
    assert "It is sun 0." == second.choices[0].message.content
    sent: Any = double.requests[-1].body
    assert ("redacted_thinking" if hidden else "thinking") == sent["messages"][1]["content"][0][
        "type"
    ]
    assert {"type": "enabled", "budget_tokens": 1024} == sent["thinking"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_forgets_the_reasoning_gets_an_answer_all_the_same(
    client: openai.AsyncOpenAI, *, streamed: bool
) -> None:
    messages: list[Any] = [{"role": "user", "content": "weather?"}]
    fields: Any = {"tools": [WEATHER], "reasoning_effort": "low"}
    first = await said(client, streamed=streamed, messages=messages, **fields)
    [made_call] = first.choices[0].message.tool_calls
    messages += [
        {
            "role": "assistant",
            "tool_calls": [made_call.model_dump(include={"id", "type", "function"})],
        },
        {"role": "tool", "tool_call_id": made_call.id, "content": "sun"},
    ]
    raw = await client.chat.completions.with_raw_response.create(
        model="chat", messages=messages, **fields
    )

    assert "It is sun." == raw.parse().choices[0].message.content
    assert "dropped:reasoning_effort" in raw.headers["x-switchgear-warnings"]


async def test_usage_refusals_and_schemas_reach_the_client(client: openai.AsyncOpenAI) -> None:
    refused = await said(client, streamed=False, messages=[{"role": "user", "content": "refuse"}])
    structured = await said(
        client,
        streamed=False,
        messages=HELLO,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": WEATHER["function"]["parameters"]},
        },
    )

    assert "content_filter" == refused.choices[0].finish_reason
    assert model.REFUSAL == refused.choices[0].message.refusal
    assert {"city": "Paris"} == json.loads(structured.choices[0].message.content)
    assert structured.usage.total_tokens == (
        structured.usage.prompt_tokens + structured.usage.completion_tokens
    )


async def test_a_request_that_the_model_cannot_be_told_never_leaves(
    double: AnthropicDouble,
) -> None:
    config = configured(double.url, credential=REF)
    async with (
        running(table([config], model=NEWEST), environ=ENVIRON) as rig,
        openai.AsyncOpenAI(base_url=rig.base_url, api_key="x", max_retries=0) as client,
    ):
        with pytest.raises(openai.BadRequestError):
            await said(
                client, streamed=False, messages=HELLO, tools=[WEATHER], tool_choice="required"
            )

    assert [] == double.requests


@pytest.mark.parametrize(
    "fault",
    [
        failing(529, "overloaded_error", "Overloaded"),
        failing(400, "invalid_request_error", "Your credit balance is too low to go on."),
        failing(401, "authentication_error", "invalid x-api-key"),
        failing(404, "not_found_error", f"model: {NEW}"),
        error_after(0),
        error_after(2, "api_error"),
        dropped_after(1),
    ],
)
async def test_another_provider_takes_over(double: AnthropicDouble, fault: Any) -> None:
    async with AnthropicDouble() as spare:
        providers = [
            configured(double.url, "first", credential=REF),
            configured(spare.url, "second", credential=REF),
        ]
        double.next(fault, fault)
        async with (
            running(table(providers, model=NEW), environ=ENVIRON) as rig,
            openai.AsyncOpenAI(base_url=rig.base_url, api_key="x", max_retries=0) as client,
        ):
            answer = await said(client, streamed=True, messages=HELLO)

        assert model.ANSWER == answer.choices[0].message.content
        assert 1 == len(spare.requests)


async def test_a_caller_who_leaves_ends_the_call(double: AnthropicDouble, rig: Rig) -> None:
    gate = asyncio.Event()
    double.next(held(gate, after=5))
    body = {"model": "chat", "messages": HELLO, "stream": True}
    async with rig.http.post(f"{rig.base_url}/chat/completions", json=body) as response:
        await response.content.readany()
    await asyncio.wait_for(double.client_gone.wait(), 5)

    assert 1 == len(double.gone)
