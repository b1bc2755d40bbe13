"""The scripted upstream does what it is told, and a client of the real world notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from dataplane.codec import decode
from tests.doubles.upstream import (
    VECTOR,
    Behaviour,
    Upstream,
    body,
    dies_after,
    error_event,
    garbage,
    half_head,
    hangs_up,
    held,
    ok,
    silent,
    stalls_after,
    status,
    stream,
    wrong_length,
)

HI: list[Any] = [{"role": "user", "content": "hi"}]
CHAT = "chat/completions"
WHOLE = {"model": "m", "messages": HI}
STREAM = {**WHOLE, "stream": True}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def http(upstream: Upstream) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=upstream.url, trust_env=False, timeout=None) as client:
        yield client


@pytest.fixture
async def sdk(upstream: Upstream) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=upstream.url, api_key="k", max_retries=0, timeout=None
    ) as client:
        yield client


def events(text: str) -> list[str]:
    return [event.removeprefix("data: ") for event in text.split("\n\n") if event]


async def test_openais_sdk_takes_whole_answers_streams_completions_and_models(
    upstream: Upstream, sdk: openai.AsyncOpenAI
) -> None:
    whole = await sdk.chat.completions.create(model="m", messages=HI)
    parts = await sdk.chat.completions.create(
        model="m", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [part async for part in parts]
    text = await sdk.completions.create(model="m", prompt="hi")
    texts = await sdk.completions.create(model="m", prompt="hi", stream=True)

    assert "Hello, world" == whole.choices[0].message.content
    assert "Hello, world" == "".join(
        choice.delta.content or "" for chunk in chunks for choice in chunk.choices
    )
    assert chunks[-1].usage is not None
    assert 10 == chunks[-1].usage.total_tokens
    assert "Hello, world" == text.choices[0].text
    assert "Hello, world" == "".join([part.choices[0].text async for part in texts])
    assert ["m"] == [model.id async for model in sdk.models.list()]
    assert 4 == len(upstream.posts)


@pytest.mark.parametrize("encoding", ["base64", "float"])
async def test_openais_sdk_takes_embeddings(sdk: openai.AsyncOpenAI, encoding: Any) -> None:
    answer = await sdk.embeddings.create(model="m", input=["a", "b"], encoding_format=encoding)
    single = await sdk.embeddings.create(model="m", input="a")

    assert 2 == len(answer.data)
    assert 1 == len(single.data)
    assert VECTOR == single.data[0].embedding


async def test_it_remembers_headers_and_bodies(upstream: Upstream, http: httpx.AsyncClient) -> None:
    await http.post(CHAT, json=WHOLE, headers={"Authorization": "Bearer k"})
    await http.post(CHAT, content=b"{")

    first, second = upstream.requests
    assert ("POST", "/v1/chat/completions") == (first.method, first.path)
    assert "Bearer k" == first.headers["authorization"]
    assert WHOLE == first.body
    assert (b"{", {}) == (second.raw, second.body)
    assert (1, 1) == (upstream.connections_made, upstream.open_connections)
    assert (0, 1) == (upstream.answering, upstream.most_at_once)


async def test_posts_take_the_script_in_order_and_then_the_default(
    upstream: Upstream, http: httpx.AsyncClient
) -> None:
    upstream.next(status(503, "busy", headers={"retry-after": "7"}), ok("one"))
    upstream.default = status(500, error={"code": "broken"})
    upstream.probe = body(b"up", kind="text/plain")

    busy, one, broken = [await http.post(CHAT, json=WHOLE) for _ in range(3)]
    probe = await http.get("models")

    assert [503, 200, 500] == [answer.status_code for answer in (busy, one, broken)]
    assert "7" == busy.headers["retry-after"]
    assert "busy" == busy.json()["error"]["message"]
    assert "one" == one.json()["choices"][0]["message"]["content"]
    assert "broken" == broken.json()["error"]["code"]
    assert "up" == probe.text
    assert 1 == upstream.connections_made


async def test_a_paced_stream_waits_for_each_word(
    upstream: Upstream, http: httpx.AsyncClient
) -> None:
    pace = asyncio.Semaphore(1)
    upstream.next(stream("a", "b", pace=pace))
    async with http.stream("POST", CHAT, json=STREAM) as answer:
        lines = (line async for line in answer.aiter_lines() if line)
        head = [await anext(lines), await anext(lines)]
        waits = asyncio.create_task(anext(lines))
        await asyncio.sleep(0)
        assert not waits.done()
        pace.release()
        rest = [await waits, *[line async for line in lines]]

    assert '"content":"a"' in head[1]
    assert '"content":"b"' in rest[0]
    assert "data: [DONE]" == rest[-1]


async def test_a_stream_may_lack_its_end(upstream: Upstream, http: httpx.AsyncClient) -> None:
    upstream.next(stream("a", done=False))
    answer = await http.post(CHAT, json=STREAM)

    assert 2 == len(events(answer.text))
    assert 'finish_reason":"stop' not in answer.text


async def test_an_error_can_be_the_first_event(upstream: Upstream, http: httpx.AsyncClient) -> None:
    upstream.next(error_event({"message": "boom"}))
    answer = await http.post(CHAT, json=STREAM)

    assert 200 == answer.status_code
    assert [{"error": {"message": "boom"}}] == [decode(event) for event in events(answer.text)]


async def test_an_error_can_come_after_words_and_before_a_done(
    upstream: Upstream, http: httpx.AsyncClient
) -> None:
    upstream.next(error_event("boom", "a", done=True))
    answer = await http.post(CHAT, json=STREAM)

    *_, word, error, end = events(answer.text)
    assert "a" == decode(word)["choices"][0]["delta"]["content"]
    assert ({"error": "boom"}, "[DONE]") == (decode(error), end)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(dies_after(2), id="dies"),
        pytest.param(dies_after(2, reset=True), id="resets"),
        pytest.param(dies_after(0), id="dies at once"),
        pytest.param(hangs_up(), id="hangs up"),
        pytest.param(half_head(), id="half a head"),
        pytest.param(garbage(), id="garbage"),
        pytest.param(wrong_length(), id="wrong length"),
    ],
)
async def test_a_broken_answer_is_one_to_the_client_and_nobody_has_left(
    upstream: Upstream, http: httpx.AsyncClient, broken: Behaviour
) -> None:
    upstream.next(broken)

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await http.post(CHAT, json=STREAM)
    assert [] == upstream.gone
    assert 200 == (await http.post(CHAT, json=WHOLE)).status_code
    assert 2 == upstream.connections_made


async def test_words_before_a_death_arrive(upstream: Upstream, http: httpx.AsyncClient) -> None:
    upstream.next(dies_after(2))
    seen: list[str] = []

    async def read() -> None:
        async with http.stream("POST", CHAT, json=STREAM) as answer:
            async for line in answer.aiter_lines():
                seen.append(line)  # noqa: PERF401 - what came before the break is kept

    with pytest.raises(httpx.RemoteProtocolError):
        await read()

    assert 3 == len([line for line in seen if line])


async def test_a_held_answer_comes_when_it_may(upstream: Upstream, http: httpx.AsyncClient) -> None:
    gate = asyncio.Event()
    upstream.next(held(gate, ok("late")))
    asking = asyncio.create_task(http.post(CHAT, json=WHOLE))
    await upstream.arrived.wait()
    assert 1 == upstream.answering
    gate.set()

    assert "late" in (await asking).text


async def test_requests_at_once_are_counted(upstream: Upstream, http: httpx.AsyncClient) -> None:
    gate = asyncio.Event()
    upstream.next(held(gate, ok()), held(gate, ok()))
    asking = [asyncio.create_task(http.post(CHAT, json=WHOLE)) for _ in range(2)]
    while len(upstream.requests) < 2:
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*asking)

    assert (2, 2) == (upstream.most_at_once, upstream.connections_made)


async def test_a_client_that_leaves_a_silent_server_is_noticed(
    upstream: Upstream, http: httpx.AsyncClient
) -> None:
    upstream.next(silent())
    asking = asyncio.create_task(http.post(CHAT, json=WHOLE))
    await upstream.arrived.wait()
    asking.cancel()
    await upstream.client_gone.wait()

    assert upstream.requests == upstream.gone
    assert 0 == upstream.open_connections


async def test_a_client_that_leaves_a_stalled_stream_is_noticed(
    upstream: Upstream, http: httpx.AsyncClient
) -> None:
    upstream.next(stalls_after("a"))
    async with http.stream("POST", CHAT, json=STREAM) as answer:
        lines = answer.aiter_lines()
        first = await anext(lines)
    await upstream.client_gone.wait()

    assert '"role":"assistant"' in first
    assert 1 == len(upstream.gone)


async def test_a_client_that_leaves_after_its_answer_is_not_missed(
    upstream: Upstream, http: httpx.AsyncClient
) -> None:
    await http.post(CHAT, json=WHOLE)
    await http.aclose()
    while upstream.open_connections:
        await asyncio.sleep(0)

    assert [] == upstream.gone


async def test_closing_the_server_ends_what_still_runs() -> None:
    async with Upstream() as upstream, httpx.AsyncClient(trust_env=False, timeout=None) as client:
        upstream.next(silent())
        asking = asyncio.create_task(client.post(f"{upstream.url}/{CHAT}", json=WHOLE))
        await upstream.arrived.wait()
        await upstream.__aexit__(None, None, None)

        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await asking


async def test_a_request_may_come_in_pieces_and_two_at_once(upstream: Upstream) -> None:
    host, port = upstream.url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    one = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
    upstream.next(body(b"1"), body(b"2"))
    for piece in (one[:10], one[10:-1], one[-1:] + one):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    answers = await reader.readuntil(b"\r\n\r\n2")
    writer.close()
    await writer.wait_closed()

    assert 2 == answers.count(b"200 OK")
    assert b"\r\n\r\n1HTTP/1.1" in answers
