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
_RETRY_S = 0.05
_SHOWN_BYTES = 300


class NoAnswerError(RuntimeError):
    """A server did not answer its first request, or not with 200; the message says what it did."""


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
) -> float:
    """Knock until the port opens, send one request, and return the time its answer was whole.

    The time is one of `time.perf_counter`. Raises NoAnswerError if there was no answer of status
    200 in `timeout_s` seconds, or `alive` says no.
    """
    deadline_s = time.perf_counter() + timeout_s
    while time.perf_counter() < deadline_s:
        if not alive():
            raise NoAnswerError("no answer: it has ended")
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        except ConnectionRefusedError:
            time.sleep(_POLL_S)
            continue
        with connection:
            answer = _answer(connection, request)
            at_s = time.perf_counter()
        if not is_ok(answer):
            raise NoAnswerError(f"no answer but {bytes(answer[:_SHOWN_BYTES])!r}")
        return at_s
    raise NoAnswerError(f"no answer: nobody listened for {timeout_s:g} s")


def first_good_answer(
    port: int, request: bytes, *, timeout_s: float, alive: Callable[[], bool]
) -> float:
    """Do as `first_answer`, for servers that open their port before they are ready: ask again.

    Raises NoAnswerError for the last answer, if none was good in `timeout_s` seconds.
    """
    deadline_s = time.perf_counter() + timeout_s
    while True:
        try:
            return first_answer(port, request, timeout_s=timeout_s, alive=alive)
        except NoAnswerError:
            if not alive() or time.perf_counter() >= deadline_s:
                raise
        time.sleep(_RETRY_S)


def _answer(connection: socket.socket, request: bytes) -> bytearray:
    """Give the answer, or as much as came before the connection broke."""
    buffer = bytearray()
    try:
        connection.sendall(request)
        while not message_end(buffer) and (data := connection.recv(65536)):
            buffer += data
    except OSError as error:
        raise NoAnswerError(f"no answer: {error}") from error
    if not message_end(buffer):
        raise NoAnswerError(f"no answer, only {bytes(buffer[:_SHOWN_BYTES])!r}")
    return buffer
