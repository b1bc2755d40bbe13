"""The doubles of six vendors are as strict as they say, and OpenAI's client takes them for OpenAI."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from controlplane.table.schema import ProviderType
from tests.doubles import responses, vendor_rules
from tests.doubles.anthropic_model import sign
from tests.doubles.talk import ANSWER, CITIES
from tests.doubles.vendors import KEY, vendor

SIX = sorted(vendor_rules.HOUSES)
USER = {"role": "user", "content": "hello"}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def call(call_id: str) -> dict[str, Any]:
    function = {"name": "look", "arguments": "{}"}
    return {"id": call_id, "type": "function", "function": function}


def client(url: str, key: str = KEY) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=url, api_key=key, max_retries=0, default_headers={"api-key": key}
    )


@pytest.mark.parametrize("kind", SIX)
async def test_it_talks_and_calls(kind: ProviderType) -> None:
    async with vendor(kind) as double, client(double.url) as caller:
        said = await caller.chat.completions.create(model="m", messages=[USER])  # type: ignore[list-item]
        called = await caller.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "weathers"}], tools=[TOOL]
        )

    assert ANSWER == said.choices[0].message.content
    calls = called.choices[0].message.tool_calls
    assert calls is not None
    assert len(CITIES) == len(calls)
    assert all(vendor_rules.HOUSES[kind].ids.fullmatch(each.id) for each in calls)


@pytest.mark.parametrize("kind", SIX)
async def test_it_wants_its_key(kind: ProviderType) -> None:
    async with vendor(kind) as double, client(double.url, "wrong") as caller:
        with pytest.raises(openai.AuthenticationError):
            await caller.chat.completions.create(model="m", messages=[USER])  # type: ignore[list-item]


@pytest.mark.parametrize("kind", SIX)
@pytest.mark.parametrize(
    "body",
    [
        {"zebra": 1},
        {"temperature": None},
        {"tools": []},
        {"messages": [{**USER, "switchgear": {}}]},
        {"messages": [{**USER, "cache_control": {"type": "ephemeral"}}]},
        {"messages": [{"role": "function", "content": "x"}]},
        {"messages": [USER, {"role": "tool", "tool_call_id": "abcdefghi", "content": "x"}]},
        {"messages": [USER, {"role": "assistant", "tool_calls": [call("abcdefghi")]}]},
        {"messages": [USER, {"role": "assistant", "tool_calls": [call("x" * 65)]}]},
        {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "x", "cache_control": {}}],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
                    ],
                }
            ]
        },
    ],
)
async def test_it_refuses_what_it_does_not_know(kind: ProviderType, body: Any) -> None:
    whole = {"model": "m", "messages": [USER], **body}

    assert vendor_rules.complaint(kind, whole)
    assert not vendor_rules.complaint(kind, {"model": "m", "messages": [USER]})


def test_vendors_differ_where_they_are_known_to() -> None:
    later = {"model": "m", "messages": [USER, {"role": "system", "content": "x"}]}
    answered = [
        USER,
        {"role": "assistant", "tool_calls": [call("call_1")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "x"},
    ]
    after_tool = {"model": "m", "messages": [*answered, USER]}

    assert vendor_rules.complaint(ProviderType.VLLM, later)
    assert not vendor_rules.complaint(ProviderType.OPENAI, later)
    assert vendor_rules.complaint(ProviderType.MISTRAL, {"model": "m", "messages": answered})
    assert vendor_rules.complaint(ProviderType.MISTRAL, after_tool)
    assert not vendor_rules.complaint(ProviderType.SCALEWAY, after_tool)


@pytest.mark.parametrize(
    "items",
    [
        [{"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "other"}],
        [{"type": "reasoning", "summary": [], "encrypted_content": sign("reasoning", "us")}],
        [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}],
        [{"type": "function_call_output", "call_id": "c", "output": "x"}],
        [{"type": "message", "role": "user", "content": "x", "switchgear": {}}],
    ],
)
def test_responses_refuses_what_does_not_fit(items: Any) -> None:
    stateless = {"store": False, "include": ["reasoning.encrypted_content"]}
    good = [{"type": "message", "role": "user", "content": "x"}]

    assert ("", "") == responses.complaint({"model": "m", "input": good, **stateless}, "us")
    assert responses.complaint({"model": "m", "input": items, **stateless}, "us")[0]
    assert responses.complaint({"model": "m", "input": good}, "us")[0]


@pytest.mark.parametrize("kind", [ProviderType.OPENAI, ProviderType.AZURE_OPENAI])
async def test_openais_client_reads_responses_whole_and_as_a_stream(kind: ProviderType) -> None:
    asked: Any = {
        "model": "gpt-5.4",
        "input": [{"type": "message", "role": "user", "content": "weathers"}],
        "tools": [{"type": "function", "strict": False, **TOOL["function"]}],
        "reasoning": {"effort": "low", "summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    async with vendor(kind) as double, client(double.url) as caller:
        whole = await caller.responses.create(**asked)
        async with caller.responses.stream(**asked) as stream:
            async for _event in stream:
                pass
            streamed = await stream.get_final_response()

    for response in (whole, streamed):
        thought, *calls = response.output
        assert "reasoning" == thought.type
        assert thought.encrypted_content
        assert ["look", "look"] == [call.name for call in calls if call.type == "function_call"]
        assert response.usage is not None
        assert 24 == response.usage.total_tokens
