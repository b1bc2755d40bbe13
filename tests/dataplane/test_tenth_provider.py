"""A tenth provider of OpenAI's format costs one small file and one line, and is like the nine."""

from __future__ import annotations

import ast
import inspect
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, cast

import openai
import pytest

from controlplane.table.schema import Provider, ProviderType
from dataplane import registry
from tests import shape
from tests.dataplane import tenth_provider
from tests.doubles.upstream import Upstream, status
from tests.doubles.vendors import vendor
from tests.e2e.nine import Caller, calling, entrance, of_vendor, table_of
from tests.e2e.test_nine_providers import HELLO, WEATHER, folded, said
from tests.fakes import provider

# The enumeration of types is the manifest's; to a table a type is a word.
TENTH = cast("ProviderType", "Tenth")
# The one line.
ADAPTERS: registry.Adapters = {
    **registry.ADAPTERS,
    "Tenth": ("tests.dataplane.tenth_provider", "TenthAdapter"),
}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """The tenth vendor, which speaks much like vLLM."""
    async with vendor(ProviderType.VLLM) as double:
        yield double


def configured(upstream: Upstream, name: str = "tenth", **changes: Any) -> Provider:
    """The provider as a manifest would have it."""
    known = of_vendor(ProviderType.VLLM, upstream).configured(name)
    return provider(name, kind=TENTH, base_url=upstream.url, credential=known.credential, **changes)


@pytest.fixture
async def caller(upstream: Upstream) -> AsyncIterator[Caller]:
    """OpenAI's client before a route to the tenth alone."""
    table = table_of({"chat": [(configured(upstream), "llama-3.1-8b")]})
    async with calling(table, adapters=ADAPTERS) as opened:
        yield opened
        assert [] == [each for heard in opened.heard for each in heard.complaints()]


def test_its_file_is_small() -> None:
    tree = ast.parse(inspect.getsource(tenth_provider))
    written = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]

    assert len(written) <= 20
    assert {"Tenth"} == ADAPTERS.keys() - registry.ADAPTERS.keys()


async def test_it_is_no_type_without_its_line() -> None:
    strange = provider("strange", kind=TENTH)

    with pytest.raises(registry.UnknownType, match="type Tenth is not supported"):
        registry.build(strange)
    assert isinstance(registry.build(strange, ADAPTERS), tenth_provider.TenthAdapter)


@pytest.mark.parametrize("streamed", [False, True])
async def test_it_talks_and_calls_tools(caller: Caller, streamed: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "weathers?"}]
    turn, finish = await said(caller, messages, streamed=streamed)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
        for call in turn["tool_calls"]
    ]
    closing, end = await said(caller, [*messages, turn, *results], streamed=streamed)

    assert ("tool_calls", 2, "stop") == (finish, len(turn["tool_calls"]), end)
    assert "It is sunny." == closing["content"]
    assert "tenth" == caller.heard[-1].headers["x-switchgear-provider"]


async def test_its_own_rules_hold(caller: Caller, upstream: Upstream) -> None:
    await caller.client.chat.completions.create(
        model="chat", messages=HELLO, max_completion_tokens=64, logit_bias={"1": 1}, user="u"
    )

    body = upstream.posts[-1].body
    assert {"model", "messages", "max_tokens"} == body.keys()
    warned = caller.heard[0].headers["x-switchgear-warnings"]
    assert {"dropped:logit_bias", "dropped:user"} <= set(warned.split(", "))


async def test_what_it_lacks_is_refused(caller: Caller, upstream: Upstream) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await caller.client.chat.completions.create(model="chat", messages=HELLO, n=2)

    assert ("n", "unsupported_parameter") == (caught.value.param, caught.value.code)
    assert [] == upstream.posts


async def test_its_own_code_is_understood(caller: Caller, upstream: Upstream) -> None:
    upstream.next(*[status(400, error={"code": "capacity_exceeded"})] * 2)
    with pytest.raises(openai.InternalServerError) as caught:
        await caller.client.chat.completions.create(model="chat", messages=HELLO)

    assert (503, "overloaded") == (caught.value.status_code, caught.value.code)


@pytest.mark.parametrize("other", list(ProviderType))
@pytest.mark.parametrize("leads", [True, False])
async def test_it_fails_over_to_and_from_each_of_the_nine(
    upstream: Upstream, other: ProviderType, leads: bool
) -> None:
    async with AsyncExitStack() as stack:
        known = await stack.enter_async_context(entrance(other))
        tenth = (configured(upstream), "llama-3.1-8b")
        ninth = (known.configured("ninth"), known.house.model)
        places = [tenth, ninth] if leads else [ninth, tenth]
        if leads:
            upstream.next(status(503))
        else:
            known.fail()
        caller = await stack.enter_async_context(
            calling(table_of({"chat": places}), adapters=ADAPTERS)
        )
        stream = await caller.client.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": "weather?"}],
            tools=[WEATHER],
            stream=True,
        )
        whole = await folded(stream)
        [heard] = caller.heard

    assert "get_weather" == whole.message["tool_calls"][0]["function"]["name"]
    assert ["role", "call", "arguments", "finish"] == shape.grammar(heard.documents)
    assert ("ninth" if leads else "tenth") == heard.headers["x-switchgear-provider"]
    assert [] == heard.complaints()
