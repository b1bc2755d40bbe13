"""Names are looked up once for many, again in time, and no family of addresses is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Sequence

import pytest

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.http.connect import Address, Names, look_up
from switchgear.demo.ports import HeldPort
from tests.dataplane.http.opened import ask, opened, post
from tests.raw import head, raw_server

LENGTH = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


def row(address: str, port: int = 80) -> Address:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where = (address, port, 0, 0) if ":" in address else (address, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


class Zone:
    """A resolver with one answer, or an error; counts."""

    def __init__(self, *answer: Address, error: OSError | None = None) -> None:
        self.answer: Sequence[Address] = answer
        self.error = error
        self.asked: list[tuple[str, int]] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append((host, port))
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        return self.answer


class Now:
    s = 0.0

    def __call__(self) -> float:
        return self.s


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await head(reader)
    writer.write(LENGTH)
    writer.close()
    await writer.wait_closed()


async def test_a_name_is_kept_for_its_time_and_then_looked_up_again() -> None:
    zone, now = Zone(row("10.0.0.1")), Now()
    names = Names(zone, now)
    for now.s in (0.0, 29.9, 30.1, 31.0):
        zone.answer = [row(f"10.0.0.{now.s:.0f}")]
        last = await names.addresses("a", 80)

    assert ([("a", 80)] * 2, [row("10.0.0.30")]) == (zone.asked, last)


async def test_many_wait_for_one_look_up_and_who_leaves_does_not_end_it() -> None:
    zone = Zone(row("10.0.0.1"))
    zone.go.clear()
    names = Names(zone, time.monotonic)
    waiting = [asyncio.create_task(names.addresses("a", 80)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    zone.go.set()
    got = await asyncio.gather(*waiting[1:])

    assert ([[row("10.0.0.1")]] * 4, 1) == (got, len(zone.asked))


async def test_a_failed_look_up_is_told_to_all_and_not_kept() -> None:
    zone = Zone(row("10.0.0.1"), error=socket.gaierror(socket.EAI_AGAIN, "no"))
    names = Names(zone, time.monotonic)
    got = await asyncio.gather(
        *(names.addresses("a", 80) for _ in range(3)), return_exceptions=True
    )
    zone.error = None

    assert all(isinstance(error, socket.gaierror) for error in got)
    assert [row("10.0.0.1")] == await names.addresses("a", 80)


async def test_a_name_without_an_address_cannot_be_resolved() -> None:
    with pytest.raises(socket.gaierror):
        await Names(Zone(), time.monotonic).addresses("a", 80)


async def test_addresses_of_the_preferred_family_take_turns() -> None:
    six, one, two = row("::1"), row("10.0.0.1"), row("10.0.0.2")
    names = Names(Zone(one, six, two), time.monotonic)
    got = [await names.addresses("a", 80) for _ in range(3)]

    assert [[one, two, six], [two, one, six], [one, two, six]] == got


async def test_no_more_names_are_kept_than_fit() -> None:
    names = Names(Zone(row("10.0.0.1")), time.monotonic)
    for number in range(300):
        await names.addresses(f"a{number}", 80)

    assert len(names._known) <= 256


async def test_the_look_ups_under_way_end_with_the_client() -> None:
    zone = Zone(row("10.0.0.1"))
    zone.go.clear()
    async with opened(names=Names(zone, time.monotonic)) as client:
        asking = asyncio.create_task(ask(client, post("http://a")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    zone.go.set()
    await asyncio.wait([asking])

    assert asking.cancelled()


def test_the_systems_resolver_gives_addresses_to_connect_to() -> None:
    assert ("127.0.0.1", 80) in [address[4] for address in look_up("127.0.0.1", 80)]


async def test_a_name_is_connected_to_and_named_in_the_host_header() -> None:
    seen: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head(reader))
        writer.write(LENGTH)
        await writer.drain()

    async with raw_server(listen) as url:
        port = int(url.rpartition(":")[2])
        zone = Zone(row("127.0.0.1", port))
        async with opened(names=Names(zone, time.monotonic)) as client:
            await ask(client, post(f"http://some.where:{port}"))
            await ask(client, post(f"http://some.where:{port}"))

    assert [("some.where", port)] == zone.asked
    assert b"host: some.where:%d\r\n" % port in seen[0]


async def test_an_address_that_refuses_is_passed_over() -> None:
    async with raw_server(talk) as url:
        port = int(url.rpartition(":")[2])
        zone = Zone(row("127.0.0.2", port), row("127.0.0.1", port))
        async with opened(names=Names(zone, time.monotonic)) as client:
            assert b"{}" == await ask(client, post(f"http://a:{port}"))


async def test_an_address_that_does_not_answer_does_not_hold_up_the_next() -> None:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(HeldPort()).number
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.3", port))
        deaf.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.3", port))
        server = await asyncio.start_server(talk, "127.0.0.1", port)
        zone = Zone(row("127.0.0.3", port), row("127.0.0.1", port))
        async with opened(names=Names(zone, time.monotonic)) as client:
            body = await ask(client, post(f"http://a:{port}"), 10)
        server.close()

    assert b"{}" == body


async def test_if_all_addresses_refuse_the_name_is_looked_up_again() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        zone = Zone(row("127.0.0.1", port), row("127.0.0.2", port))
        async with opened(names=Names(zone, time.monotonic)) as client:
            caught = []
            for _ in range(2):
                with pytest.raises(UpstreamFailed) as one:
                    await ask(client, post(f"http://a:{port}"))
                caught.append((one.value.error, one.value.error_type))

    assert [(ErrorClass.CONNECTION, "connection.refused")] * 2 == caught
    assert 2 == len(zone.asked)


async def test_a_look_up_counts_as_connecting() -> None:
    zone = Zone(row("127.0.0.1"))
    zone.go.clear()
    async with opened(names=Names(zone, time.monotonic)) as client:
        with pytest.raises(UpstreamFailed) as caught:
            await ask(client, post("http://a"), 0.05)
        zone.go.set()

    assert ErrorClass.TIMEOUT_CONNECT is caught.value.error


async def test_a_caller_that_leaves_while_connecting_leaves_nothing_open() -> None:
    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(listen) as url, opened() as client:
        for steps in range(12):
            asking = asyncio.create_task(ask(client, post(url)))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
        async with asyncio.timeout(5):
            while client.pool.open:
                await asyncio.sleep(0.005)
