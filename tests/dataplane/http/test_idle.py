"""Idle connections end after their time, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dataplane.http.connection import Connection
from dataplane.http.head import Origin
from dataplane.http.idle import IdlePool

A, B = Origin(False, "a", 80), Origin(False, "b", 80)


class Clock:
    """A loop's time and timers, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay: float, callback: Callable[[], None], /) -> None:
        self.timers.append((self.now_s + delay, callback))

    def move(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while due := sorted(timer for timer in self.timers if timer[0] <= end_s):
            self.timers.remove(due[0])
            self.now_s = due[0][0]
            due[0][1]()
        self.now_s = end_s


class Wire(asyncio.Transport):
    """A transport whose end is told at once."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.closed = False
        connection.connection_made(self)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.connection.connection_lost(None)

    abort = close


def pool(**limits: float) -> tuple[IdlePool, Clock]:
    clock = Clock()
    return IdlePool(clock, **limits), clock  # type: ignore[arg-type]


async def made(idle: IdlePool, origin: Origin = A) -> tuple[Connection, Wire]:
    connection = Connection(origin, asyncio.get_running_loop(), idle)
    return connection, Wire(connection)


async def test_the_last_one_that_was_used_is_taken_first() -> None:
    idle, _ = pool()
    first, _ = await made(idle)
    second, _ = await made(idle)
    idle.give_back(first)
    idle.give_back(second)

    assert [second, first, None] == [idle.take(A) for _ in range(3)]


async def test_origins_do_not_share() -> None:
    idle, _ = pool()
    mine, _ = await made(idle, A)
    idle.give_back(mine)

    assert [None, None] == [idle.take(B), idle.take(Origin(True, "a", 80))]
    assert mine is idle.take(Origin(False, "a", 80))


async def test_a_connection_is_closed_when_it_has_waited_its_time() -> None:
    idle, clock = pool()
    early, early_wire = await made(idle, A)
    late, late_wire = await made(idle, B)
    idle.give_back(early)
    clock.move(20)
    idle.give_back(late)
    clock.move(9.9)
    assert (False, False, 2) == (early_wire.closed, late_wire.closed, idle.idle)

    clock.move(0.2)
    assert (True, False, 1) == (early_wire.closed, late_wire.closed, idle.idle)

    clock.move(19.8)
    assert (False, 1) == (late_wire.closed, idle.open)

    clock.move(0.2)
    assert (True, 0, 0) == (late_wire.closed, idle.idle, idle.open)
    assert [] == clock.timers


async def test_use_begins_the_time_anew() -> None:
    idle, clock = pool()
    mine, wire = await made(idle)
    for _ in range(5):
        idle.give_back(mine)
        clock.move(20)
        assert mine is idle.take(A)
    idle.give_back(mine)
    clock.move(29)

    assert not wire.closed


async def test_one_that_is_in_use_is_not_closed() -> None:
    idle, clock = pool()
    mine, wire = await made(idle)
    idle.give_back(mine)
    idle.take(A)
    clock.move(1000)

    assert (False, 1, 0) == (wire.closed, idle.open, idle.idle)


async def test_one_that_is_past_its_time_is_not_taken_even_if_the_timer_is_late() -> None:
    idle, clock = pool()
    mine, wire = await made(idle)
    idle.give_back(mine)
    clock.now_s += 31

    assert (None, True, 0) == (idle.take(A), wire.closed, idle.open)


async def test_one_that_is_closing_is_not_taken() -> None:
    idle, _ = pool()
    alive, _ = await made(idle)
    dying, wire = await made(idle)
    idle.give_back(alive)
    idle.give_back(dying)
    wire.closed = True

    assert alive is idle.take(A)


async def test_beyond_the_limit_the_one_that_has_waited_longest_is_closed() -> None:
    idle, _ = pool(max_idle=2)
    all_made = [await made(idle) for _ in range(3)]
    for connection, _ in all_made:
        idle.give_back(connection)

    assert [True, False, False] == [wire.closed for _, wire in all_made]
    assert (2, 2) == (idle.idle, idle.open)


async def test_closing_ends_those_in_use_too_and_takes_none_back() -> None:
    idle, clock = pool()
    used, used_wire = await made(idle)
    waiting, waiting_wire = await made(idle)
    idle.give_back(waiting)
    await idle.aclose()
    late, late_wire = await made(idle)
    idle.give_back(late)
    idle.give_back(used)
    clock.move(1000)

    assert (True, True, True) == (used_wire.closed, waiting_wire.closed, late_wire.closed)
    assert (0, 0) == (idle.open, idle.idle)
