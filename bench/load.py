"""Callers that send an exact number of requests, each as soon as its last one was answered."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import uvloop
from wire import is_ok, message_end

_POLL_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What a closed loop came to. failed: answers that were not 200, and broken connections."""

    answered: int
    failed: int
    took_s: float


class _Budget:
    """Requests that are left to send, shared by all callers, and what came of the others."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.answered = 0
        self.failed = 0

    def take(self) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return True


class _Caller(asyncio.Protocol):
    def __init__(self, request: bytes, budget: _Budget) -> None:
        self._request = request
        self._budget = budget
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._waiting = False
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = message_end(self._buffer)
        if not end:
            return
        if is_ok(self._buffer):
            self._budget.answered += 1
        else:
            self._budget.failed += 1
        del self._buffer[:end]
        self._waiting = False
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._budget.failed += 1
        if not self.done.done():
            self.done.set_result(None)

    def _next(self) -> None:
        assert self._transport is not None
        if self._budget.take():
            self._waiting = True
            self._transport.write(self._request)
        else:
            self._transport.close()


def closed_loop(port: int, request: bytes, *, count: int, connections: int) -> Loop:
    """Send `count` requests over `connections` connections; return when all are accounted for."""

    async def run() -> Loop:
        budget = _Budget(count)
        loop = asyncio.get_running_loop()
        began_s = time.perf_counter()
        callers = [
            (await loop.create_connection(lambda: _Caller(request, budget), "127.0.0.1", port))[1]
            for _ in range(min(connections, count))
        ]
        await asyncio.gather(*(caller.done for caller in callers))
        took_s = time.perf_counter() - began_s
        return Loop(
            answered=budget.answered, failed=budget.failed + max(0, budget.left), took_s=took_s
        )

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def first_answer(
    port: int, request: bytes, *, timeout_s: float, alive: Callable[[], bool]
) -> float | None:
    """Knock until the port opens, send one request, and return the time its answer was whole.

    None if there was no answer of status 200 in `timeout_s` seconds, or `alive` says no. The time
    is one of `time.perf_counter`.
    """
    deadline_s = time.perf_counter() + timeout_s
    while alive() and time.perf_counter() < deadline_s:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        except ConnectionRefusedError:
            time.sleep(_POLL_S)
            continue
        with connection:
            return time.perf_counter() if _is_answered(connection, request) else None
    return None


def _is_answered(connection: socket.socket, request: bytes) -> bool:
    buffer = bytearray()
    try:
        connection.sendall(request)
        while not message_end(buffer):
            data = connection.recv(65536)
            if not data:
                return False
            buffer += data
    except OSError:
        return False
    return is_ok(buffer)
