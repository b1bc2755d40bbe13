"""Upstreams that hang, lie and die: the caller never notices, or is told in its own dialect."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from controlplane.table.schema import Provider, Table, Timeouts
from dataplane.wire.reply import DONE
from tests.e2e.rig import Rig, running, until
from tests.fakes import provider, table
from tests.raw import Conversation, head, raw_server

QUICK = Timeouts(connect_s=2, first_event_s=0.2, answer_s=0.2, idle_s=0.5, total_s=30)
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def chunk(text: str | None, finish: str | None = None, role: str | None = None) -> bytes:
    delta = {**({"role": role} if role else {}), **({"content": text} if text is not None else {})}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    document = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    }
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def unary(text: str = "hi") -> bytes:
    message = {"role": "assistant", "content": text}
    body = json.dumps(
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Upstream:
    """Says `answer` to each request and closes; counts the requests. Hangs if there is none."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await head(reader))
        self.arrived.set()
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
            return
        await reader.read()
        self.left.set()


class Paused(Upstream):
    """Begins a stream, and then waits for the caller to leave."""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await head(reader))
        writer.write(SSE + chunk("", role="assistant") + chunk("one"))
        await writer.drain()
        self.arrived.set()
        await reader.read()
        self.left.set()


GOOD_STREAM = SSE + chunk("", role="assistant") + chunk("good") + chunk(None, "stop") + DONE


@asynccontextmanager
async def behind(*talks: Conversation, timeouts: Timeouts = QUICK) -> AsyncIterator[Rig]:
    """A sidecar before raw upstreams `a`, `b`, ... in this order of priority."""
    async with AsyncExitStack() as stack:
        providers: list[Provider] = []
        for name, talk in zip("abc", talks, strict=False):
            url = await stack.enter_async_context(raw_server(talk))
            providers.append(provider(name, base_url=f"{url}/v1", timeouts=timeouts))
        yield await stack.enter_async_context(running(table(providers)))


def body(*, stream: bool = False, content: str = "hello") -> bytes:
    return json.dumps(
        {"model": "chat", "messages": [{"role": "user", "content": content}], "stream": stream}
    ).encode()


def ask(
    rig: Rig, *, stream: bool = False, content: str = "hello"
) -> aiohttp.client._RequestContextManager:
    return rig.http.post(
        f"{rig.base_url}/chat/completions", data=io.BytesIO(body(stream=stream, content=content))
    )


def events(raw: bytes) -> list[str]:
    """The contents of a stream's data lines."""
    assert raw.endswith(b"\n\n")
    return [
        event.removeprefix("data: ") for event in raw.decode().removesuffix("\n\n").split("\n\n")
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_never_answers_is_left_and_costs_later_requests_nothing(
    stream: bool,
) -> None:
    hung, good = Upstream(), Upstream(GOOD_STREAM if stream else unary())
    async with behind(hung.talk, good.talk) as rig:
        reasons = []
        for _ in range(4):
            async with ask(rig, stream=stream) as response:
                await response.read()
                reasons.append(response.headers["x-switchgear-fallback-reason"])

    assert ["timeout.first_byte"] * 3 + ["circuit_open"] == reasons
    assert (3, 4) == (len(hung.requests), len(good.requests))


@pytest.mark.parametrize(
    "bad",
    [
        SSE + b'data: {"error":{"message":"busy","type":"server_error","code":503}}\n\n' + DONE,
        SSE + chunk("", role="assistant") + b'data: {"error":{"message":"x","code":500}}\n\n',
        SSE + chunk("", role="assistant"),
        SSE,
        SSE + b"data: {broken\n\n",
        SSE + DONE,
        b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 429 No\r\nContent-Length: 2\r\nRetry-After: 30\r\n\r\nno",
        b"HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_a_stream_that_fails_before_its_first_word_fails_over(bad: bytes) -> None:
    good = Upstream(GOOD_STREAM)
    async with behind(Upstream(bad).talk, good.talk) as rig, ask(rig, stream=True) as response:
        raw = await response.read()

    assert (200, "b", "2") == (
        response.status,
        response.headers["x-switchgear-provider"],
        response.headers["x-switchgear-attempts"],
    )
    assert "[DONE]" == events(raw)[-1]
    assert b"good" in raw


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b'data: {"error":{"message":"boom","type":"server_error","code":500}}\n\n',
        b'data: {"error":{"message":"boom","type":"server_error","code":500}}\n\n' + DONE,
        b"data: {broken\n\n",
        chunk("more")[:30],
    ],
)
async def test_a_stream_that_dies_after_content_ends_in_an_error_event(rest: bytes) -> None:
    dying = Upstream(SSE + chunk("", role="assistant") + chunk("one") + rest)
    good = Upstream(GOOD_STREAM)
    async with behind(dying.talk, good.talk) as rig:
        async with ask(rig, stream=True) as response:
            raw = await response.read()
        failures = rig.live.view(0)[0].targets[0].failures

    last = json.loads(events(raw)[-1])
    assert {"message", "type", "param", "code"} <= last["error"].keys()
    assert b"[DONE]" not in raw
    assert b"one" in raw
    assert (200, 1, []) == (response.status, failures, good.requests)


async def test_a_stream_that_stands_still_ends_in_an_error_event() -> None:
    still = Paused()
    async with behind(still.talk) as rig, ask(rig, stream=True) as response:
        raw = await response.read()

    assert "timeout" == json.loads(events(raw)[-1])["error"]["code"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_leaves_before_the_answer_ends_the_upstream_call(stream: bool) -> None:
    slow = Timeouts(connect_s=2, first_event_s=60, answer_s=60, idle_s=60, total_s=60)
    hung = Upstream()
    async with behind(hung.talk, timeouts=slow) as rig:
        host, port = rig.sidecar.ports.data
        _, writer = await asyncio.open_connection(host, port)
        payload = body(stream=stream)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
            % (len(payload), payload)
        )
        await hung.arrived.wait()
        writer.close()
        await asyncio.wait_for(hung.left.wait(), timeout=10)
        await until(lambda: not rig.live.view(0)[0].in_flight)
        async with rig.http.get(f"{rig.admin_url}/requests") as listing:
            (last,) = (await listing.json())["requests"]

    assert ("client_cancelled", ["a:cancelled"], None) == (
        last["outcome"],
        last["path"],
        last["status"],
    )


async def test_a_caller_that_leaves_in_the_middle_of_a_stream_ends_the_upstream_call() -> None:
    slow = Timeouts(connect_s=2, first_event_s=60, answer_s=60, idle_s=60, total_s=60)
    paused = Paused()
    async with behind(paused.talk, timeouts=slow) as rig:
        response = await ask(rig, stream=True)
        await response.content.readuntil(b"\n\n")
        response.close()
        await asyncio.wait_for(paused.left.wait(), timeout=10)
        await until(lambda: not rig.live.view(0)[0].in_flight)
        target = rig.live.view(0)[0].targets[0]

    assert (0, 0) == (target.failures, target.successes)


async def test_a_body_of_30_mb_fails_over_like_a_small_one() -> None:
    failing = Upstream(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    good = Upstream(unary())
    content = "x" * 30_000_000
    slow = replace(QUICK, answer_s=30)
    async with (
        behind(failing.talk, good.talk, timeouts=slow) as rig,
        ask(rig, content=content) as response,
    ):
        await response.read()

    assert (200, "b") == (response.status, response.headers["x-switchgear-provider"])
    assert content.encode() in good.requests[0]
    assert content.encode() in failing.requests[0]


async def test_when_all_fail_the_caller_gets_one_clear_error() -> None:
    bad = b"HTTP/1.1 500 No\r\nContent-Length: 20\r\n\r\n<html>secret</html>\n"
    async with behind(Upstream(bad).talk, Upstream(bad).talk) as rig, ask(rig) as response:
        error = (await response.json())["error"]

    assert (502, "server_error", "upstream_error") == (
        response.status,
        error["type"],
        error["code"],
    )
    assert "4" == response.headers["x-switchgear-attempts"]
    assert "false" == response.headers["x-should-retry"]
    assert "secret" not in error["message"]


async def test_all_rate_limited_is_a_429_with_the_shortest_wait() -> None:
    def limited(seconds: int) -> Upstream:
        return Upstream(
            b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: %d\r\n\r\n" % seconds
        )

    async with behind(limited(30).talk, limited(20).talk) as rig:
        async with ask(rig) as first:
            await first.read()
        async with ask(rig) as second:
            await second.read()

    assert (429, "20") == (first.status, first.headers["retry-after"])
    assert 429 == second.status
    assert 18 <= int(second.headers["retry-after"]) <= 20
    assert "x-switchgear-attempts" not in second.headers


async def test_a_reload_never_cuts_a_running_stream() -> None:
    gate = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(SSE + chunk("", role="assistant") + chunk("one"))
        await gate.wait()
        writer.write(chunk("two") + chunk(None, "stop") + DONE)
        await writer.drain()

    async with behind(talk) as rig:
        before: Table = rig.live.table
        response = await ask(rig, stream=True)
        first = await response.content.readuntil(b"\n\n")
        rig.install(replace(before, generation=2, providers={}, routes={}, exact={}))
        gate.set()
        rest = await response.read()
        async with ask(rig) as after:
            pass

    assert "[DONE]" == events(first + rest)[-1]
    assert 404 == after.status


async def test_a_half_open_breaker_lets_one_trial_through_and_closes() -> None:
    flaky = Upstream(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    good = Upstream(unary())
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(raw_server(flaky.talk))
        second = await stack.enter_async_context(raw_server(good.talk))
        policy = replace(provider("a").breaker, open_s=0.1, consecutive_failures=1)
        config = table(
            [
                provider("a", base_url=f"{first}/v1", breaker=policy),
                provider("b", base_url=f"{second}/v1"),
            ]
        )
        rig = await stack.enter_async_context(running(config))
        async with ask(rig) as response:
            assert "b" == response.headers["x-switchgear-provider"]
        flaky.answer = unary()

        async def served_by_a() -> bool:
            async with ask(rig) as response:
                return response.headers["x-switchgear-provider"] == "a"

        async with asyncio.timeout(10):
            while not await served_by_a():
                await asyncio.sleep(0.01)

        assert "closed" == rig.live.view(0)[0].targets[0].state
