"""A relay of TCP before any upstream, which sees connections come and go.

async with Relay(port) as relay:
    ...  # speak to relay.port
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_HELD = 8


class Relay:
    """Passes bytes on between callers and 127.0.0.1:`port`.

    connections: how many were made. left: set when a caller has closed one. hold: while it is set,
    the last bytes of what the upstream says are kept back, so that no answer is whole.
    """

    def __init__(self, port: int) -> None:
        """Listen on nothing yet."""
        self.port = 0
        self.connections = 0
        self.left = asyncio.Event()
        self.hold = False
        self.upstream = port
        self.open: set[_End] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Front(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for end in list(self.open):
            end.close()
        await self._server.wait_closed()


class _End(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.relay.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.relay.open.discard(self)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class _Front(_End):
    """A caller's."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self._back = _Back(self)
        self._waiting = b""
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.relay.connections += 1
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        if self._back.transport is None:
            self._waiting += data
        else:
            self._back.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.relay.left.set()
        self._back.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self._back, "127.0.0.1", self.relay.upstream)
        assert self._back.transport is not None
        self._back.transport.write(self._waiting)


class _Back(_End):
    """The upstream's, for one caller's."""

    def __init__(self, front: _Front) -> None:
        super().__init__(front.relay)
        self._front = front
        self._kept = b""

    def data_received(self, data: bytes) -> None:
        self._kept += data
        end = max(len(self._kept) - _HELD, 0) if self.relay.hold else len(self._kept)
        assert self._front.transport is not None
        self._front.transport.write(self._kept[:end])
        self._kept = self._kept[end:]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._front.close()
