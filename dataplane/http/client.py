"""One exchange after the other, each on a connection that is kept if nothing speaks against it."""

from __future__ import annotations

import asyncio
import math
import ssl

from dataplane.errors import UpstreamFailed
from dataplane.http.connect import Connector, Names, look_up
from dataplane.http.connection import Connection
from dataplane.http.failures import closed_in_answer
from dataplane.http.head import Heads
from dataplane.http.idle import IdlePool
from dataplane.provider import HttpRequest


class Client:
    """Sends requests straight to their origins. Make it inside the loop that uses it."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        pool: IdlePool | None = None,
        names: Names | None = None,
    ) -> None:
        """Open nothing yet. tls, pool, names: in place of the system's trust, limits, resolver."""
        loop = asyncio.get_running_loop()
        self.pool = pool or IdlePool(loop)
        self._connector = Connector(names or Names(look_up, loop.time), self.pool, tls=tls)
        self._heads = Heads()

    async def send(
        self, request: HttpRequest, connect_s: float, until_s: float = math.inf
    ) -> Answer:
        """Send a request and wait for the answer's head until a time of the loop.

        Raises UpstreamFailed, or ExpiredError when that time has come.

        A connection that waited may have been closed by the other side at the moment of its use.
        The request is then sent once more, on a fresh one, if nothing of an answer had come.
        """
        origin, head = self._heads.write(request)
        connection = self.pool.take(origin)
        is_fresh = False
        while True:
            if connection is None:
                is_fresh = True
                connection = await self._connector.open(origin, connect_s, until_s)
                if self.pool.closed:
                    connection.abort()
            connection.start(request.method, head, request.body)
            try:
                status, headers = await connection.head(until_s)
            except UpstreamFailed:
                connection.abort()
                if is_fresh or not connection.untouched:
                    raise
                connection = None
            except BaseException:
                connection.abort()
                raise
            else:
                return Answer(status, headers, connection, self.pool)

    async def aclose(self) -> None:
        """End all connections."""
        await self._connector.aclose()
        await self.pool.aclose()


class Answer:
    """An answer whose head has come; see `dataplane.transport.UpstreamResponse`."""

    __slots__ = ("_connection", "_pool", "headers", "status")

    def __init__(
        self, status: int, headers: dict[str, str], connection: Connection, pool: IdlePool
    ) -> None:
        """Take the connection over until `release`."""
        self.status = status
        self.headers = headers
        self._connection: Connection | None = connection
        self._pool = pool

    async def chunk(self, until_s: float = math.inf) -> bytes:
        """Wait for the next bytes of the body; empty at its end. Raises as `send` does."""
        if self._connection is None:
            raise closed_in_answer()
        return await self._connection.chunk(until_s)

    def whole(self) -> bytes | None:
        """Take the body if all of it has come already, else None."""
        return None if self._connection is None else self._connection.whole()

    def release(self) -> None:
        """Give the connection back if the answer is whole, else close it. Once is enough."""
        connection = self._connection
        if connection is None:
            return
        self._connection = None
        if connection.end():
            self._pool.give_back(connection)
