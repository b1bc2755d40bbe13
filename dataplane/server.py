"""A listening socket and its connections: the part of the server that knows no paths.

`dataplane.http.inbound` speaks HTTP. What is here: a bound on connections, errors of the protocol
answered in the caller's dialect, and an end that lets running requests finish.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping

from dataplane.answer import Answer, StreamAnswer
from dataplane.headers import SERVER
from dataplane.http.inbound.connection import Connection
from dataplane.http.inbound.request import Request

Handler = Callable[[Request], Awaitable[Answer | StreamAnswer]]
ErrorBody = Callable[[int, str], bytes]

BACKLOG = 1024
"""Connections that wait to be accepted; the system may have a lower limit."""

_END_S = 1.0

_REFUSALS = {
    417: "no such expectation can be met",
    431: "the request's head is too large",
    414: "the request's head is too large",
    500: "unexpected error in the sidecar",
}
# Never what the parser says: that may quote the request, and with it a key.
_NO_HTTP = "the request is not valid HTTP"

log = logging.getLogger("switchgear.server")


class Listener:
    """One address that is served. Start it, stop accepting, then drain it.

    handler: answers every request, and raises nothing but cancellation.
    error_body: makes the JSON body for a status and a message, for requests that are no HTTP.
    max_connections: more are closed at once.
    """

    def __init__(self, handler: Handler, error_body: ErrorBody, *, max_connections: int) -> None:
        """Open nothing yet."""
        self.handler = handler
        self._error_body = error_body
        self._max_connections = max_connections
        self._accepting: dict[int, asyncio.Server] = {}
        self._connections: set[Connection] = set()
        self._all_lost = asyncio.Event()
        self._stopping = False
        self._leaving = False

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen, and return the address; port 0 takes a free one. Raises OSError if it is taken."""
        loop = asyncio.get_running_loop()
        accepting = await loop.create_server(self._connection, host, port, backlog=BACKLOG)
        bound = accepting.sockets[0]
        self._accepting[bound.fileno()] = accepting
        # Each event of a stream is a small write: it must not wait for the last one's ACK.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = bound.getsockname()
        return address[0], address[1]

    async def accept_only(self, listening: Mapping[int, socket.socket]) -> None:
        """Take new connections from these sockets and no others; those that are open go on.

        listening: sockets that other processes hold too, by numbers of the caller's. Copies of them are used, so
        that to stop does not close them: what waits in their queues is left to the others.
        """
        for number in self._accepting.keys() - listening.keys():
            self._accepting.pop(number).close()
        loop = asyncio.get_running_loop()
        for number in listening.keys() - self._accepting.keys():
            self._accepting[number] = await loop.create_server(
                self._connection, sock=listening[number].dup(), backlog=BACKLOG
            )

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def leave(self) -> None:
        """End each connection with its next answer, which says so; none is lost by that."""
        self._leaving = True
        for connection in tuple(self._connections):
            connection.leave()

    def stop_accepting(self) -> None:
        """Refuse new connections, and close idle ones; running requests go on."""
        self._stopping = True
        for accepting in self._accepting.values():
            accepting.close()
        self._accepting.clear()
        for connection in tuple(self._connections):
            connection.stop()

    async def close(self) -> None:
        """Cancel what still runs, and close all connections."""
        self.stop_accepting()
        tasks = [task for connection in tuple(self._connections) if (task := connection.end())]
        if tasks:
            await asyncio.wait(tasks, timeout=_END_S)
        # What was said last is given a moment to leave; a caller that does not read is not waited for.
        if not await self._lost_within(_END_S):
            for connection in tuple(self._connections):
                connection.abort()
            await self._lost_within(_END_S)

    def _connection(self) -> Connection:
        return Connection(self, asyncio.get_running_loop())

    # What connections do.

    def opened(self, connection: Connection) -> None:
        """Count a connection; close one too many."""
        self._connections.add(connection)
        if len(self._connections) > self._max_connections:
            log.warning("more than %d connections, closing a new one", self._max_connections)
            connection.end()
        elif self._stopping:
            # It was in the queue of the socket when that was closed.
            connection.end()
        elif self._leaving:
            connection.leave()

    def lost(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_lost.set()

    def refusal(self, status: int) -> Answer:
        """Make the answer to what is no request, or has none."""
        head = {"content-type": "application/json", "server": SERVER}
        body = self._error_body(status, _REFUSALS.get(status, _NO_HTTP))
        return Answer(status, head, body, close=True)

    async def _lost_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self._connections:
                    self._all_lost.clear()
                    await self._all_lost.wait()
        except TimeoutError:
            return False
        return True
