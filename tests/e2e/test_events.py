"""What listeners are told of requests: typed records, with tokens and cost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from controlplane.table.schema import Model, Price
from dataplane.events import AttemptEnded, Event, RequestCompleted, RequestFailed, RequestStarted
from dataplane.flight import Decision, RequestOutcome
from dataplane.provider import Operation
from tests.doubles.upstream import Exchange, Upstream, ok, status
from tests.e2e.rig import Rig, running, until
from tests.fakes import provider, table

# US dollars for a million tokens.
PRICED = Model(name="m", price=Price(input=1_000_000, output=2_000_000))
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
COST = 7 * 1.0 + 2 * 2.0


class Listened:
    """A sidecar before two upstreams, and all that it published."""

    def __init__(self, rig: Rig, first: Upstream) -> None:
        self.first = first
        self.events: list[Event] = []
        self._rig = rig
        rig.sidecar.events.subscribe(self.events.append)

    async def ask(self, **fields: Any) -> int:
        body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], **fields}
        url = f"{self._rig.base_url}/chat/completions"
        async with self._rig.http.post(url, data=json.dumps(body)) as response:
            await response.read()
        await until(lambda: isinstance(self.events[-1], RequestCompleted | RequestFailed))
        return response.status


@pytest.fixture
async def listened() -> AsyncIterator[Listened]:
    async with Upstream() as first, Upstream() as second:
        places = [("a", first), ("b", second)]
        made = table([provider(name, base_url=up.url, models=[PRICED]) for name, up in places])
        async with running(made) as rig:
            yield Listened(rig, first)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_served_request_is_told_with_tokens_and_cost(
    listened: Listened, stream: bool
) -> None:
    listened.first.default = ok("a", "b")
    assert 200 == await listened.ask(stream=stream)

    started, attempt, completed = listened.events
    assert isinstance(started, RequestStarted)
    assert isinstance(attempt, AttemptEnded)
    assert isinstance(completed, RequestCompleted)
    assert started.request_id == completed.request_id
    assert Operation.CHAT is started.operation is completed.operation
    assert started.at_s <= attempt.at_s <= completed.at_s
    tokens = 2 if stream else 3
    for record in (attempt, completed):
        assert record.usage is not None
        assert (7, tokens) == (record.usage.input_tokens, record.usage.output_tokens)
        assert 7 * 1.0 + tokens * 2.0 == record.cost


async def test_each_attempt_of_a_fail_over_is_told(listened: Listened) -> None:
    listened.first.default = status(503)
    assert 200 == await listened.ask()

    attempts = [each for each in listened.events if isinstance(each, AttemptEnded)]
    assert ["a", "b"] == [each.provider for each in attempts][:: len(attempts) - 1]
    assert {"503"} == {each.error_type for each in attempts[:-1]}
    assert [None] * (len(attempts) - 1) == [each.usage for each in attempts[:-1]]
    assert Decision.SERVED is attempts[-1].decision
    assert isinstance(listened.events[-1], RequestCompleted)


async def test_an_answer_that_broke_off_is_told_with_what_was_known(listened: Listened) -> None:
    """vLLM can be told to count with every chunk."""

    async def breaks(exchange: Exchange) -> None:
        exchange.open_stream()
        choice = {"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}
        top = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        exchange.event({**top, "choices": [choice], "usage": USAGE})
        exchange.close()

    listened.first.default = breaks
    await listened.ask(stream=True)

    failed = listened.events[-1]
    assert isinstance(failed, RequestFailed)
    assert RequestOutcome.FAILED is failed.outcome
    assert failed.usage is not None
    assert (7, 2, COST) == (failed.usage.input_tokens, failed.usage.output_tokens, failed.cost)


async def test_a_rejected_request_has_no_attempt_and_no_cost(listened: Listened) -> None:
    assert 400 == await listened.ask(temperature=9)

    started, failed = listened.events
    assert isinstance(started, RequestStarted)
    assert isinstance(failed, RequestFailed)
    assert (RequestOutcome.REJECTED, None, None) == (failed.outcome, failed.usage, failed.cost)
