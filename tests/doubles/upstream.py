"""A scripted upstream of OpenAI's format, on raw sockets, for everything that can go wrong.

    async with Upstream() as upstream:
        upstream.next(status(503), dies_after(2), ok("hi"))
        ...  # speak to upstream.url

Each POST takes the next behaviour, then `default`; GETs, which are probes and lists of models, take
`probe`. A behaviour is a coroutine over an Exchange, so that a test can write its own. Nothing sleeps:
what is to take time waits for an event or a semaphore of the test.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from dataplane.codec import DecodeError, decode_object
from tests.doubles.upstream_behaviours import (
    CREATED,
    VECTOR,
    WORDS,
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
from tests.doubles.upstream_exchange import Behaviour, Exchange, Seen

__all__ = [
    "CREATED",
    "VECTOR",
    "WORDS",
    "Behaviour",
    "Exchange",
    "Seen",
    "Upstream",
    "body",
    "dies_after",
    "error_event",
    "garbage",
    "half_head",
    "hangs_up",
    "held",
    "ok",
    "silent",
    "stalls_after",
    "status",
    "stream",
    "wrong_length",
]


@dataclass(slots=True)
class Upstream:
    """The server. `url` ends in /v1, as the base URL of a manifest does.

    requests: in order of arrival. gone: those whose client went away before the answer's end;
    `client_gone` is set with the first, `arrived` with the first request. most_at_once: the most
    requests that were being answered together. connections_made: in all.
    """

    url: str = ""
    default: Behaviour = field(default_factory=ok)
    probe: Behaviour = field(default_factory=ok)
    requests: list[Seen] = field(default_factory=list)
    gone: list[Seen] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    client_gone: asyncio.Event = field(default_factory=asyncio.Event)
    answering: int = 0
    most_at_once: int = 0
    connections_made: int = 0
    _script: deque[Behaviour] = field(default_factory=deque)
    _open: set[_Connection] = field(default_factory=set)
    _server: asyncio.Server | None = None

    def next(self, *behaviours: Behaviour) -> None:
        """Queue what the next POSTs get, in order."""
        self._script.extend(behaviours)

    @property
    def posts(self) -> Sequence[Seen]:
        """The requests that are not probes."""
        return [seen for seen in self.requests if seen.method == "POST"]

    @property
    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [task for connection in self._open if (task := connection.shut()) is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def began(self, seen: Seen) -> Behaviour:
        """Note a request and choose what it gets."""
        self.requests.append(seen)
        self.answering += 1
        self.most_at_once = max(self.most_at_once, self.answering)
        self.arrived.set()
        if seen.method != "POST":
            return self.probe
        return self._script.popleft() if self._script else self.default


class _Connection(asyncio.Protocol):
    """Reads requests one after the other, and answers each before the next."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None
        self._seen: Seen | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._upstream.connections_made += 1
        self._upstream._open.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream._open.discard(self)
        if self._answering is not None and self._seen is not None:
            self._upstream.gone.append(self._seen)
            self._upstream.client_gone.set()
            self._answering.cancel()

    def shut(self) -> asyncio.Task[None] | None:
        """Break the connection, and give the task that may still run."""
        assert self._transport is not None
        self._transport.abort()
        task, self._answering = self._answering, None
        if task is not None:
            task.cancel()
        return task

    def _advance(self) -> None:
        if self._answering is not None:
            return
        seen = self._take_request()
        if seen is not None:
            self._seen = seen
            behaviour = self._upstream.began(seen)
            self._answering = asyncio.get_running_loop().create_task(self._answer(seen, behaviour))

    async def _answer(self, seen: Seen, behaviour: Behaviour) -> None:
        assert self._transport is not None
        exchange = Exchange(seen, self._transport)
        try:
            await behaviour(exchange)
        finally:
            self._answering = None
            self._upstream.answering -= 1
        if exchange.keep:
            self._advance()

    def _take_request(self) -> Seen | None:
        """Cut one whole request off the buffer."""
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return None
        first, *fields = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in fields)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        raw, self._buffer = rest[:length], rest[length:]
        method, path, _version = first.split(" ")
        try:
            decoded: Mapping[str, Any] = decode_object(raw)
        except DecodeError:
            decoded = {}
        return Seen(method=method, path=path, headers=headers, raw=raw, body=decoded)
