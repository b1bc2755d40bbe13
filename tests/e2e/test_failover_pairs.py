"""A tool conversation changes its provider in the middle, for each of the 81 ordered pairs of types.

The first turn is served by one, with reasoning and whatever belongs to it; then that one fails, and
the other gets the history. Its double is strict, and what it saw is looked at: no foreign signature,
no mark of another's cache, ids of its own kind, and nothing that is ours alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from controlplane.table.schema import ProviderType
from tests.e2e.nine import (
    NINE,
    Caller,
    Entrance,
    calling,
    entrance,
    table_of,
    thinking_model,
)
from tests.e2e.test_nine_providers import said, secrets_of

PAIRS = [pytest.param(first, second, id=f"{first}-{second}") for first in NINE for second in NINE]
# What an id of a tool call must look like where it arrives; the doubles' own word for it.
IDS: Mapping[ProviderType, re.Pattern[str]] = {
    ProviderType.ANTHROPIC: re.compile(r"[a-zA-Z0-9_-]+"),
    ProviderType.AWS_BEDROCK: re.compile(r"[a-zA-Z0-9_.:-]{1,64}"),
    ProviderType.MISTRAL: re.compile(r"[A-Za-z0-9]{9}"),
}
ANY_ID = re.compile(r"(?s).{1,64}")
# The marks of a cached prefix, and who knows them.
MARKS: Mapping[str, set[ProviderType]] = {
    "cache_control": {ProviderType.ANTHROPIC},
    "cachePoint": {ProviderType.AWS_BEDROCK},
    "prompt_cache_breakpoint": set(),
}
# Whose signed reasoning a second provider of the same type can read: the model's, not the account's.
SIGNED_FOR_THE_MODEL = {ProviderType.ANTHROPIC, ProviderType.AWS_BEDROCK}
QUESTION: list[Any] = [
    {
        "role": "system",
        "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    },
    {"role": "user", "content": "weathers?"},
]
THINKING: dict[str, Any] = {
    "reasoning_effort": "low",
    "max_tokens": 4096,
    "extra_body": {"reasoning": {"summary": "auto"}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A conversation that changed its provider: the turn of the first, and the second's answer."""

    turn: Mapping[str, Any]
    closing: Mapping[str, Any]
    sent: Mapping[str, Any]
    caller: Caller

    @property
    def text(self) -> str:
        return json.dumps(self.sent, ensure_ascii=False)


async def moved(
    stack: AsyncExitStack, first: Entrance, second: Entrance, *, streamed: bool
) -> Moved:
    """Hold the conversation: the first calls tools and then fails, the second goes on."""
    places = [
        (each.configured(name, models=[thinking_model(each.house)]), each.house.reasoner)
        for name, each in (("first", first), ("second", second))
    ]
    table = table_of({"alone": places[:1], "both": places})
    caller = await stack.enter_async_context(calling(table))
    turn, _ = await said(caller, QUESTION, streamed=streamed, model="alone", **THINKING)
    first.fail()
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
        for call in turn["tool_calls"]
    ]
    messages = [*QUESTION, turn, *results]
    closing, _ = await said(caller, messages, streamed=streamed, model="both", **THINKING)
    return Moved(turn=turn, closing=closing, sent=second.seen()[-1], caller=caller)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_a_conversation_goes_on_elsewhere(
    first: ProviderType, second: ProviderType, streamed: bool
) -> None:
    async with AsyncExitStack() as stack:
        start = await stack.enter_async_context(entrance(first))
        end = await stack.enter_async_context(entrance(second))
        went = await moved(stack, start, end, streamed=streamed)
        heard = went.caller.heard

    assert ("second", "2") == tuple(
        heard[-1].headers[f"x-switchgear-{name}"] for name in ("provider", "attempts")
    )
    assert [[], []] == [each.complaints() for each in heard]
    assert went.closing["content"]
    assert "switchgear" not in went.text
    check_reasoning(went, first, second)
    assert [mark for mark, known in MARKS.items() if second in known] == [
        mark for mark in MARKS if mark in went.text
    ]
    check_ids(went, second)


def check_reasoning(went: Moved, first: ProviderType, second: ProviderType) -> None:
    """Signed reasoning is at home with its own kind of model, and nowhere else."""
    side = went.turn.get("switchgear", {})
    secrets = [each for block in side.get("reasoning", ()) for each in secrets_of(block)]
    if first in SIGNED_FOR_THE_MODEL or first is ProviderType.AZURE_OPENAI:
        assert secrets
    shown = [secret for secret in secrets if secret in went.text]
    assert (secrets if first is second and first in SIGNED_FOR_THE_MODEL else []) == shown
    assert went.turn["reasoning_content"]


def check_ids(went: Moved, second: ProviderType) -> None:
    """Each call and its result have one id, valid where it goes; valid ones stay as they were."""
    rule = IDS.get(second, ANY_ID)
    given = [call["id"] for call in went.turn["tool_calls"]]
    calls, results = list(call_ids(went.sent)), list(result_ids(went.sent))

    assert all(rule.fullmatch(each) for each in calls)
    assert len(set(calls)) == len(calls)
    if second is ProviderType.OLLAMA:
        # Ollama goes by the order and the name; an id is a hint.
        assert set(calls) <= set(given)
        return
    assert (2, calls) == (len(calls), results)
    for before, after in zip(given, calls, strict=True):
        assert (after == before) is (rule.fullmatch(before) is not None)


def call_ids(value: Any) -> Iterator[str]:
    """Find the ids of calls in a request of any format."""
    match value:
        case {"tool_calls": list(calls), **rest}:
            yield from (call["id"] for call in calls if "id" in call)
            yield from call_ids(rest)
        case {"type": "function_call", "call_id": str(each)}:
            yield each
        case {"type": "tool_use", "id": str(each)} | {"toolUse": {"toolUseId": str(each)}}:
            yield each
        case dict():
            for inner in value.values():
                yield from call_ids(inner)
        case list():
            for inner in value:
                yield from call_ids(inner)
        case _:
            pass


def result_ids(value: Any) -> Iterator[str]:
    """Find the ids that results answer to."""
    match value:
        case {"role": "tool", "tool_call_id": str(each)}:
            yield each
        case {"type": "function_call_output", "call_id": str(each)}:
            yield each
        case {"type": "tool_result", "tool_use_id": str(each)}:
            yield each
        case {"toolResult": {"toolUseId": str(each)}}:
            yield each
        case dict():
            for inner in value.values():
                yield from result_ids(inner)
        case list():
            for inner in value:
                yield from result_ids(inner)
        case _:
            pass


@pytest.mark.parametrize("kind", sorted(SIGNED_FOR_THE_MODEL))
async def test_signed_reasoning_of_another_model_of_the_same_house_stays_at_home(
    kind: ProviderType,
) -> None:
    other = {
        ProviderType.ANTHROPIC: "claude-sonnet-4-6",
        ProviderType.AWS_BEDROCK: "eu.anthropic.claude-sonnet-4-6",
    }[kind]
    async with AsyncExitStack() as stack:
        only = await stack.enter_async_context(entrance(kind))
        config = only.configured("only", models=[thinking_model(only.house)])
        table = table_of({"alone": [(config, only.house.reasoner)], "other": [(config, other)]})
        caller = await stack.enter_async_context(calling(table))
        turn, _ = await said(caller, QUESTION, streamed=False, model="alone", **THINKING)
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
            for call in turn["tool_calls"]
        ]
        messages = [*QUESTION, turn, *results]
        closing, _ = await said(caller, messages, streamed=False, model="other", **THINKING)

    secrets = [each for block in turn["switchgear"]["reasoning"] for each in secrets_of(block)]
    assert secrets
    assert not any(secret in json.dumps(only.seen()[-1]) for secret in secrets)
    assert closing["content"]


# Who can give several choices; all others are asked for one at a time.
SEVERAL = {
    ProviderType.OPENAI,
    ProviderType.AZURE_OPENAI,
    ProviderType.VLLM,
    ProviderType.MISTRAL,
}


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_what_a_provider_cannot_do_is_never_asked_of_it(
    first: ProviderType, second: ProviderType
) -> None:
    """Who gives one choice only is skipped, not tried; if nobody is left, a 400 says why."""
    async with AsyncExitStack() as stack:
        start = await stack.enter_async_context(entrance(first))
        end = await stack.enter_async_context(entrance(second))
        places = [
            (each.configured(name), each.house.model)
            for name, each in (("first", start), ("second", end))
        ]
        caller = await stack.enter_async_context(calling(table_of({"both": places})))
        asked: Any = {"messages": [{"role": "user", "content": "hello"}], "n": 2}
        if SEVERAL & {first, second}:
            await caller.client.chat.completions.create(model="both", **asked)
        else:
            with pytest.raises(openai.BadRequestError) as caught:
                await caller.client.chat.completions.create(model="both", **asked)

            assert ("n", "unsupported_parameter") == (caught.value.param, caught.value.code)
        [heard] = caller.heard

    expected = "first" if first in SEVERAL else "second" if second in SEVERAL else None
    assert expected == heard.headers.get("x-switchgear-provider")
    assert [] == heard.complaints()
    for name, opened in (("first", start), ("second", end)):
        assert (1 if name == expected else 0) == len(opened.seen())
