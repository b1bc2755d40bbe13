"""OpenAI at its own URL: functions of a model that reasons go to the Responses API, over real sockets.

That URL is reached through the proxy that the environment names for it, which is the double: it gets
what OpenAI would get, with the whole URL in the request line. OpenAI's client is the caller.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from controlplane.table.schema import CredentialKind, CredentialRef, Model, ProviderType
from tests import shape
from tests.doubles.talk import THOUGHTS
from tests.doubles.upstream import Upstream, error_event, status
from tests.doubles.vendors import vendor
from tests.e2e.nine import Caller, calling, table_of
from tests.fakes import provider

OWN_URL = "http://api.openai.com/v1"
MODEL = "gpt-5.4"
CHAT, RESPONSES = f"{OWN_URL}/chat/completions", f"{OWN_URL}/responses"
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
HOW: Any = {
    "model": "chat",
    "reasoning_effort": "low",
    "extra_body": {"reasoning": {"summary": "auto"}},
}


@pytest.fixture
async def double() -> AsyncIterator[Upstream]:
    async with vendor(ProviderType.OPENAI) as opened:
        yield opened


@pytest.fixture
async def caller(double: Upstream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Caller]:
    monkeypatch.setenv("http_proxy", double.url.removesuffix("/v1"))
    # The client and the sidecar speak to each other without it.
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    config = provider(
        "only",
        kind=ProviderType.OPENAI,
        base_url=OWN_URL,
        credential=CredentialRef(kind=CredentialKind.ENV, name="VENDOR_KEY"),
        models=[Model(name=MODEL)],
    )
    async with calling(table_of({"chat": [(config, MODEL)]})) as opened:
        yield opened
        for heard in opened.heard:
            dies = heard.streamed and b'"error"' in heard.raw
            assert [] == heard.complaints(dies=dies), bytes(heard.raw)
            assert set() == shape.foreign_keys(heard.documents)


async def said(
    caller: Caller, messages: list[Any], *, streamed: bool, **options: Any
) -> tuple[Any, Any]:
    given = {**HOW, "tools": [TOOL], **options}
    if streamed:
        stream = await caller.client.chat.completions.create(
            messages=messages, stream=True, **given
        )
        whole = shape.fold([chunk.model_dump(exclude_unset=True) async for chunk in stream])
        return whole.message, whole.finish_reason
    answer = await caller.client.chat.completions.create(messages=messages, **given)
    [choice] = answer.choices
    return choice.message.model_dump(exclude_unset=True), choice.finish_reason


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("cities", [["Paris"], ["Paris", "Lyon"]])
async def test_a_tool_loop_goes_by_responses_with_its_reasoning(
    caller: Caller, double: Upstream, cities: list[str], streamed: bool
) -> None:
    """The double refuses reasoning that is not its own, or stands in the wrong place."""
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
    assert THOUGHTS == turn["reasoning_content"]
    assert "It is sunny." == closing["content"]
    assert [RESPONSES, RESPONSES] == [post.path for post in double.posts]
    [block] = turn["switchgear"]["reasoning"]
    kept = [item for item in double.posts[1].body["input"] if item["type"] == "reasoning"]
    assert [block["encrypted_content"]] == [item["encrypted_content"] for item in kept]
    assert "mapped:endpoint" in caller.heard[0].headers["x-switchgear-warnings"]


async def test_without_functions_it_goes_by_chat_completions(
    caller: Caller, double: Upstream
) -> None:
    answer = await caller.client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "hello"}], reasoning_effort="low"
    )

    assert answer.choices[0].message.content
    assert [CHAT] == [post.path for post in double.posts]


async def test_a_failure_of_responses_is_one_of_the_model(caller: Caller, double: Upstream) -> None:
    double.next(status(503), status(503))
    with pytest.raises(openai.InternalServerError) as caught:
        await said(caller, [{"role": "user", "content": "weather?"}], streamed=False)

    assert (503, "overloaded") == (caught.value.status_code, caught.value.code)


async def test_an_error_at_the_head_of_a_stream_is_tried_again(
    caller: Caller, double: Upstream
) -> None:
    double.next(error_event({"code": "server_error", "message": "try again"}))
    turn, finish = await said(caller, [{"role": "user", "content": "weather?"}], streamed=True)

    assert ("tool_calls", 2) == (finish, len(double.posts))
    assert "get_weather" == turn["tool_calls"][0]["function"]["name"]
