"""A listener that hands its sockets over: none of its connections is lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from dataplane.answer import Answer
from dataplane.http.inbound.request import Request
from dataplane.server import Listener
from tests.e2e.rig import until

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gate:
    """A handler that tells who answers, once it may."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0

    async def handle(self, _request: Request) -> Answer:
        self.asked += 1
        await self.open.wait()
        return Answer(200, {}, self.name.encode())


def listener(gate: Gate) -> Listener:
    return Listener(gate.handle, lambda _status, _message: b"{}", max_connections=100)


@pytest.fixture
async def shared() -> AsyncIterator[socket.socket]:
    """A listening socket that the test holds, as a supervisor does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


async def connect(listening: socket.socket) -> Streams:
    return await asyncio.open_connection(*listening.getsockname())


async def answer(streams: Streams, *, ask: bool = True) -> tuple[str, bool]:
    """Return who answered, and whether the connection ends with it."""
    reader, writer = streams
    if ask:
        writer.write(GET)
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
    return body.decode(), b"connection: close" in head


async def test_what_waits_in_the_queue_of_one_is_served_by_the_next(
    shared: socket.socket,
) -> None:
    first, second = Gate("first"), Gate("second")
    old, new = listener(first), listener(second)
    await old.accept_only({0: shared})
    kept = await connect(shared)
    before = await answer(kept)
    await old.accept_only({})
    waiting = await connect(shared)
    waiting[1].write(GET)
    await new.accept_only({0: shared})
    taken_over = await answer(waiting, ask=False)
    still = await answer(kept)
    for each in (kept, waiting):
        each[1].close()
    await old.close()
    await new.close()

    assert [("first", False), ("second", False), ("first", False)] == [before, taken_over, still]


async def test_one_that_leaves_says_so_with_every_answer_also_those_under_way(
    shared: socket.socket,
) -> None:
    gate = Gate("first")
    old = listener(gate)
    await old.accept_only({0: shared})
    idle, busy = await connect(shared), await connect(shared)
    before = await answer(idle)
    gate.open.clear()
    busy[1].write(GET)
    await until(lambda: gate.asked == 2)
    old.leave()
    gate.open.set()
    under_way = await answer(busy, ask=False)
    later = await answer(idle)
    ends = [await reader.read() for reader, _ in (idle, busy)]
    await until(lambda: not old.connections)
    for each in (idle, busy):
        each[1].close()
    await old.close()

    assert ("first", False) == before
    assert ("first", True) == under_way == later
    assert [b"", b""] == ends


async def test_the_same_sockets_again_change_nothing(shared: socket.socket) -> None:
    made = listener(Gate("first"))
    await made.accept_only({0: shared})
    await made.accept_only({0: shared})
    streams = await connect(shared)
    told = await answer(streams)
    count = made.connections
    streams[1].close()
    await made.close()

    assert ("first", False) == told
    assert 1 == count


async def test_one_that_was_not_opened_has_no_connections() -> None:
    assert 0 == listener(Gate("none")).connections
