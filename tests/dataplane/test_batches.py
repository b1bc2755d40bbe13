"""Embeddings of many inputs: several calls, one attempt, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from controlplane.table.schema import ProviderType, Timeouts
from dataplane.batches import AT_ONCE, embed
from dataplane.codec import decode, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import (
    Answer,
    Call,
    Completed,
    HttpResponse,
    Request,
    ResponseFacts,
    SplitsEmbeddings,
    Usage,
)
from tests.dataplane.wire.openai_kit import OPENAI_LIKE, adapter, embeddings

SLOW = Timeouts(connect_s=60, first_event_s=60, answer_s=60, idle_s=60, total_s=60)


class FakeUpstream:
    """Gives each text's number as its vector; `fails` is the text that it refuses."""

    def __init__(self, *, fails: str = "") -> None:
        self.calls: list[list[str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.cancelled = 0
        self.fails = fails

    async def send(self, request: Request, call: Call) -> Completed:
        texts = request.body["input"]
        self.headers.append(call.begin())
        self.calls.append(texts)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            # Later calls answer first.
            for _ in range(5 * (50 - len(self.calls))):
                await asyncio.sleep(0)
            if self.fails in texts and self.fails:
                raise UpstreamFailed(ErrorClass.RATE_LIMIT, "slow down")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        data = [
            {"object": "embedding", "index": n, "embedding": [float(t)]}
            for n, t in enumerate(texts)
        ]
        body = encode({"object": "list", "data": data, "model": "route", "usage": None})
        facts = ResponseFacts(usage=Usage(input_tokens=len(texts)), embedding_dimensions=1)
        return Completed(
            answer=Answer(body=body, facts=facts),
            warnings=("dropped:user", f"mapped:{texts[0]}"),
            request_id=f"r{texts[0]}",
        )


def parts_of(*texts: list[str]) -> list[Request]:
    return [embeddings(input=each) for each in texts]


def call(begun: list[int]) -> Call:
    def begin() -> Mapping[str, str]:
        begun.append(1)
        return {"traceparent": "00-1"}

    return Call(model="m", timeouts=SLOW, deadline_s=60, begin=begin)


async def test_parts_are_joined_in_order_and_are_one_attempt() -> None:
    upstream = FakeUpstream()
    begun: list[int] = []

    completed = await embed(parts_of(["0", "1"], ["2"], ["3", "4"]), call(begun), upstream.send)

    assert [0.0, 1.0, 2.0, 3.0, 4.0] == [
        item["embedding"][0] for item in decode(completed.answer.body)["data"]
    ]
    assert {"prompt_tokens": 5, "total_tokens": 5} == decode(completed.answer.body)["usage"]
    assert ("dropped:user", "mapped:0", "mapped:2", "mapped:3") == tuple(completed.warnings)
    assert "r0" == completed.request_id
    assert [1] == begun
    assert [{"traceparent": "00-1"}] * 3 == upstream.headers


async def test_only_a_few_calls_are_under_way_at_the_same_time() -> None:
    upstream = FakeUpstream()

    await embed(parts_of(*([str(n)] for n in range(12))), call([]), upstream.send)

    assert (12, AT_ONCE) == (len(upstream.calls), upstream.most_at_once)


async def test_one_failure_is_that_of_all_and_the_others_are_given_up() -> None:
    upstream = FakeUpstream(fails="3")

    with pytest.raises(UpstreamFailed) as caught:
        await embed(parts_of(*([str(n)] for n in range(12))), call([]), upstream.send)

    assert ErrorClass.RATE_LIMIT is caught.value.error
    assert (AT_ONCE, AT_ONCE - 1) == (len(upstream.calls), upstream.cancelled)


async def test_a_caller_that_leaves_ends_all_calls() -> None:
    upstream = FakeUpstream()
    task = asyncio.create_task(embed(parts_of(["0"], ["1"]), call([]), upstream.send))
    while len(upstream.calls) < 2:
        await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert (0, 2) == (upstream.at_once, upstream.cancelled)


# --- section 15: which types split, and how


@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        (ProviderType.OVHCLOUD, ["a"] * 70, [32, 32, 6]),
        (ProviderType.OVHCLOUD, ["a" * 800_000] * 3, [1, 1, 1]),
        (ProviderType.SCALEWAY, ["a"] * 33, [32, 1]),
        (ProviderType.MISTRAL, ["a" * 8000] * 9, [4, 4, 1]),
        (ProviderType.MISTRAL, ["a"] * 2000, [2000]),
        (ProviderType.OPENAI, ["a"] * 2048, [2048]),
        (ProviderType.AZURE_OPENAI, ["a"] * 2048, [2048]),
        (ProviderType.VLLM, ["a"] * 2048, [2048]),
    ],
)
def test_a_type_splits_as_its_page_asks(
    kind: ProviderType, texts: list[str], expected: list[int]
) -> None:
    made: Any = adapter(kind)
    assert isinstance(made, SplitsEmbeddings)

    parts = made.split(embeddings(input=texts), "m")

    assert expected == [len(part.body["input"]) for part in parts]


def test_ollama_takes_any_number_at_once() -> None:
    assert not isinstance(adapter(ProviderType.OLLAMA), SplitsEmbeddings)


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_each_part_is_read_against_its_own_inputs(kind: ProviderType) -> None:
    made: Any = adapter(kind)
    part = made.split(embeddings(input=["a"] * 33), "m")[-1]
    count = len(part.body["input"])
    data = [{"object": "embedding", "index": at, "embedding": [0.5]} for at in range(count)]

    answer = made.answer(
        part,
        made.prepare(part, "m", None),
        HttpResponse(status=200, headers={}, body=encode({"model": "m", "data": data})),
    )

    assert count == len(decode(answer.body)["data"])
