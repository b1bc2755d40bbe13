"""What the methods of every registered type keep, before an honest upstream of that type.

A type that is registered and has no entrance in tests/e2e/nine.py fails here.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.table import schema
from controlplane.table.schema import ProviderType, Timeouts
from dataplane import registry
from dataplane.codec import decode, encode
from dataplane.credentials import Credentials
from dataplane.errors import RequestRejected, UpstreamFailed
from dataplane.provider import (
    Adapter,
    Call,
    ChatStream,
    Health,
    HttpRequest,
    Provider,
    Request,
    StreamDecoder,
)
from dataplane.record import replace
from dataplane.transport import HttpTransport, Transport, UpstreamResponse
from dataplane.wire.request import parse_chat, parse_embeddings
from tests import shape
from tests.damage import replaced, stream_replaced
from tests.doubles.relay import Relay
from tests.e2e.nine import HOUSES, SECRETS, Entrance, entrance, thinking_model

KINDS = sorted(registry.types())
LIMITS = Timeouts(connect_s=5, first_event_s=30, answer_s=30, idle_s=30, total_s=60)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
ASKED: Mapping[str, Mapping[str, Any]] = {
    "words": {"messages": [{"role": "user", "content": "hello"}]},
    "calls": {"messages": [{"role": "user", "content": "weathers?"}], "tools": [TOOL]},
    "thoughts": {
        "messages": [{"role": "user", "content": "weather?"}],
        "tools": [TOOL],
        "reasoning_effort": "low",
        "max_tokens": 4096,
        "reasoning": {"summary": "auto"},
    },
}


def asked(name: str, *, stream: bool) -> Request:
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return parse_chat(encode({"model": "route", **ASKED[name], **options}))


def model_of(kind: ProviderType, name: str) -> str:
    house = HOUSES[kind]
    return house.reasoner if name == "thoughts" else house.model


def called(model: str) -> Call:
    deadline_s = asyncio.get_running_loop().time() + 60
    return Call(model=model, timeouts=LIMITS, deadline_s=deadline_s, begin=dict)


def configured(kind: ProviderType, base_url: str) -> schema.Provider:
    found = Entrance(kind=kind, url=base_url, seen=list, fail=_nothing, die=_nothing)
    return found.configured("up", models=[thinking_model(HOUSES[kind])])


def connected(config: schema.Provider, transport: Transport) -> Provider:
    clock = asyncio.get_running_loop().time
    secrets = Credentials(environ=SECRETS, secrets_root=Path("/nowhere"), clock=clock)
    return registry.connect(config, transport, secrets, clock)


def _nothing() -> None:
    pass


# --- a transport that keeps what came, and one that plays it back changed


@dataclass
class Heard:
    """An answer, and its bytes as they came."""

    inner: UpstreamResponse
    status: int
    headers: dict[str, str]
    raw: bytes = b""

    async def chunk(self, until_s: float = math.inf) -> bytes:
        data = await self.inner.chunk(until_s)
        self.raw += data
        return data

    def whole(self) -> bytes | None:
        data = self.inner.whole()
        self.raw += data or b""
        return data

    def release(self) -> None:
        self.inner.release()


@dataclass
class Ear:
    """Keeps the answers of another transport."""

    inner: Transport
    heard: list[Heard] = field(default_factory=list)

    async def send(
        self, request: HttpRequest, *, connect_s: float, until_s: float = math.inf
    ) -> Heard:
        response = await self.inner.send(request, connect_s=connect_s, until_s=until_s)
        self.heard.append(Heard(response, response.status, response.headers))
        return self.heard[-1]


@dataclass
class Played:
    """An answer out of pieces that were kept."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes]
    released: bool = False

    async def chunk(self, until_s: float = math.inf) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def whole(self) -> bytes | None:
        return None

    def release(self) -> None:
        self.released = True


@dataclass
class Player:
    """Answers every request with the same, whatever it is."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    answers: list[Played] = field(default_factory=list)

    async def send(
        self, request: HttpRequest, *, connect_s: float, until_s: float = math.inf
    ) -> Played:
        pieces = [self.body[at : at + 200] for at in range(0, len(self.body), 200)]
        self.answers.append(Played(self.status, dict(self.headers), pieces))
        return self.answers[-1]


# --- asking


@asynccontextmanager
async def opened(kind: ProviderType) -> AsyncIterator[tuple[Provider, Ear, schema.Provider]]:
    async with entrance(kind) as upstream, HttpTransport(proxies=False) as transport:
        ear = Ear(transport)
        config = configured(kind, upstream.url)
        yield connected(config, ear), ear, config


async def read_out(stream: ChatStream) -> bytes:
    """Read a stream to its good end, and close it."""
    try:
        batch, data = stream.head, stream.head.data
        while not batch.done:
            batch = await stream.next()
            assert batch.failure is None
            data += batch.data
        return data
    finally:
        await stream.aclose()


async def whole(made: Provider, kind: ProviderType, name: str) -> Any:
    completed = await made.chat(asked(name, stream=False), called(model_of(kind, name)))
    answer = decode(completed.answer.body)
    [choice] = answer["choices"]
    return said(choice["message"], choice["finish_reason"], answer["usage"])


async def streamed(made: Provider, kind: ProviderType, name: str) -> Any:
    stream = await made.chat_stream(asked(name, stream=True), called(model_of(kind, name)))
    events = shape.events_of(await read_out(stream))
    folded = shape.fold(events)
    return said(folded.message, folded.finish_reason, events[-1]["usage"])


def said(message: Mapping[str, Any], finish: Any, usage: Any) -> Any:
    """What an answer says, without what is empty; ids, which are made anew, become numbers."""
    kept = deepcopy({key: value for key, value in message.items() if value not in (None, "", [])})
    numbers: dict[str, int] = {}
    for call in kept.get("tool_calls", ()):
        call["id"] = numbers.setdefault(call["id"], len(numbers))
        call["function"]["arguments"] = decode(call["function"]["arguments"])
    for block in kept.get("switchgear", {}).get("reasoning", ()):
        if "next" in block:
            block["next"] = numbers[block["next"]]
    return {"message": kept, "finish": finish, "usage": usage}


# --- folding


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ASKED)
async def test_a_stream_adds_up_to_the_whole_answer(kind: ProviderType, name: str) -> None:
    async with opened(kind) as (made, _ear, _config):
        unary, stream = await whole(made, kind, name), await streamed(made, kind, name)

    assert unary == stream
    words = {"words": "content", "calls": "tool_calls", "thoughts": "reasoning_content"}
    assert unary["message"][words[name]]


# --- cutting


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What an upstream said to one request. headers and status: of the answer."""

    config: schema.Provider
    status: int
    headers: Mapping[str, str]
    raw: bytes


@cache
def native(kind: ProviderType, name: str, *, stream: bool) -> Kept:
    """What the upstream of a type says, in its own words."""

    async def ask() -> Kept:
        async with opened(kind) as (made, ear, config):
            await (streamed if stream else whole)(made, kind, name)
            [heard] = ear.heard
            return Kept(config=config, status=heard.status, headers=heard.headers, raw=heard.raw)

    return asyncio.run(ask())


def decoder(adapter: Adapter, kept: Kept, kind: ProviderType, name: str) -> StreamDecoder:
    request = asked(name, stream=True)
    prepared = adapter.prepare(request, model_of(kind, name), "key")
    return adapter.decoder(request, replace(prepared, answer_headers=kept.headers))


def pieces_of(raw: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    bounds = [0, *sorted(cut % len(raw) for cut in cuts), len(raw)]
    for begin, end in itertools.pairwise(bounds):
        yield raw[begin:end]


def fed(stream: StreamDecoder, pieces: Iterator[bytes]) -> tuple[bytes, Any]:
    data = b""
    for piece in pieces:
        batch = stream.feed(piece)
        assert batch.failure is None
        data += batch.data
        if batch.done:
            break
    else:
        batch = stream.finish()
        assert batch.done
        data += batch.data
    return data, stream.facts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ASKED)
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 10**6), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_chunks(
    kind: ProviderType, name: str, cuts: list[int]
) -> None:
    kept = native(kind, name, stream=True)
    adapter = registry.build(kept.config)
    expected = fed(decoder(adapter, kept, kind, name), iter([kept.raw]))

    assert expected == fed(decoder(adapter, kept, kind, name), pieces_of(kept.raw, cuts))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ASKED)
def test_bytes_one_by_one_give_the_same_chunks(kind: ProviderType, name: str) -> None:
    kept = native(kind, name, stream=True)
    adapter = registry.build(kept.config)
    expected = fed(decoder(adapter, kept, kind, name), iter([kept.raw]))
    single = (kept.raw[at : at + 1] for at in range(len(kept.raw)))

    assert expected == fed(decoder(adapter, kept, kind, name), single)


# --- errors


@st.composite
def _damage(draw: st.DrawFn) -> tuple[float, int, bytes]:
    """Where bytes are replaced, in parts of the whole; how many of them; and by what."""
    return (
        draw(st.floats(0, 1, exclude_max=True)),
        draw(st.integers(0, 40)),
        draw(st.sampled_from([b"", b"\x00", b"null", b"[]", b'"', b"{}", b"\n\n", b"-1", b"true"])),
    )


def damaged(raw: bytes, damage: tuple[float, int, bytes]) -> bytes:
    where, count, instead = damage
    at = int(where * len(raw))
    return raw[:at] + instead + raw[at + count :]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(ASKED)),
    stream=st.booleans(),
    status=st.sampled_from([200, 200, 200, 400, 401, 404, 429, 500, 529]),
    damage=_damage(),
)
def test_only_documented_errors_are_raised(
    kind: ProviderType, name: str, stream: bool, status: int, damage: tuple[float, int, bytes]
) -> None:
    """Whatever comes in the place of an answer is read as one, or is an UpstreamFailed."""
    kept = native(kind, name, stream=stream)
    player = Player(status, kept.headers, damaged(kept.raw, damage))
    with suppress(UpstreamFailed):
        asyncio.run(exchange(kept, player, name, stream=stream))

    assert player.answers
    assert all(answer.released for answer in player.answers)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(ASKED)),
    stream=st.booleans(),
    at=st.tuples(st.integers(0, 999), st.integers(0, 999)),
    value=st.sampled_from([None, [], {}, [None], [{}], {"a": 1}, "x", "", 7, -1.5, True]),
)
def test_any_value_in_any_place_raises_only_documented_errors(
    kind: ProviderType, name: str, stream: bool, at: tuple[int, int], value: Any
) -> None:
    """The same where the framing is whole and one value is another; at: an event, a place in it."""
    kept = native(kind, name, stream=stream)
    raw = (
        stream_replaced(kind, kept.raw, *at, value) if stream else replaced(kept.raw, at[1], value)
    )
    player = Player(200, kept.headers, raw)
    with suppress(UpstreamFailed):
        asyncio.run(exchange(kept, player, name, stream=stream))

    assert player.answers
    assert all(answer.released for answer in player.answers)


async def exchange(kept: Kept, player: Player, name: str, *, stream: bool) -> None:
    """Ask once, and read what comes to its end. A failure in the middle is raised too."""
    made = connected(kept.config, player)
    request, call = asked(name, stream=stream), called(model_of(kept.config.type, name))
    if not stream:
        await made.chat(request, call)
        return
    opened = await made.chat_stream(request, call)
    batch = opened.head
    while not batch.done and batch.failure is None:
        batch = await opened.next()
    await opened.aclose()
    if batch.failure is not None:
        raise batch.failure


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=40) | st.sampled_from([b"{}", b"[]", b'{"data":[{"id":1},2]}']),
)
def test_lists_probes_and_vectors_raise_only_documented_errors(
    kind: ProviderType, status: int, body: bytes
) -> None:
    player = Player(status, {"content-type": "application/json"}, body)
    vectors = parse_embeddings(encode({"model": "route", "input": ["a"]}))

    async def ask() -> Health:
        made = connected(configured(kind, "http://127.0.0.1:9/v1"), player)
        for method in (made.list_models, lambda: made.embeddings(vectors, called("m"))):
            with suppress(UpstreamFailed, RequestRejected):
                await method()
        return await made.is_healthy()

    assert isinstance(asyncio.run(ask()), Health)
    assert all(answer.released for answer in player.answers)


# --- connections


@asynccontextmanager
async def relayed(kind: ProviderType) -> AsyncIterator[tuple[Provider, Relay]]:
    async with entrance(kind) as upstream:
        parts = urlsplit(upstream.url)
        assert parts.port is not None
        async with Relay(parts.port) as relay, HttpTransport(proxies=False) as transport:
            url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{relay.port}"))
            yield connected(configured(kind, url), transport), relay


@pytest.mark.parametrize("kind", KINDS)
async def test_closing_a_stream_closes_its_connection(kind: ProviderType) -> None:
    async with relayed(kind) as (made, relay):
        relay.hold = True
        stream = await made.chat_stream(asked("words", stream=True), called(HOUSES[kind].model))
        assert not relay.left.is_set()
        await stream.aclose()

        async with asyncio.timeout(5):
            await relay.left.wait()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_that_was_read_out_keeps_its_connection(kind: ProviderType) -> None:
    async with relayed(kind) as (made, relay):
        for _ in range(3):
            await streamed(made, kind, "words")
            await whole(made, kind, "words")

        assert 1 == relay.connections
        assert not relay.left.is_set()


# --- state


@pytest.mark.parametrize("kind", KINDS)
async def test_requests_side_by_side_know_nothing_of_each_other(kind: ProviderType) -> None:
    async with opened(kind) as (made, _ear, _config):
        alone = {name: await whole(made, kind, name) for name in ASKED}
        order = [*ASKED, *reversed(list(ASKED)), *ASKED]
        asks = [(streamed if at % 2 else whole)(made, kind, name) for at, name in enumerate(order)]
        together = await asyncio.gather(*asks)

    assert [alone[name] for name in order] == together


@pytest.mark.parametrize("kind", KINDS)
def test_streams_of_one_adapter_know_nothing_of_each_other(kind: ProviderType) -> None:
    """Byte by byte in turns, each comes to what it comes to alone."""
    kept = {name: native(kind, name, stream=True) for name in ASKED}
    adapter = registry.build(next(iter(kept.values())).config)
    alone = {name: fed(decoder(adapter, kept[name], kind, name), iter([kept[name].raw]))[0]
             for name in ASKED}  # fmt: skip
    streams = {name: decoder(adapter, kept[name], kind, name) for name in ASKED}
    data = dict.fromkeys(ASKED, b"")
    for at in range(max(len(each.raw) for each in kept.values())):
        for name, stream in list(streams.items()):
            batch = stream.feed(kept[name].raw[at : at + 1]) if at < len(kept[name].raw) else (
                stream.finish()
            )  # fmt: skip
            data[name] += batch.data
            if batch.done:
                del streams[name]
    for name, stream in streams.items():
        data[name] += stream.finish().data

    assert alone == data
