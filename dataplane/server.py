"""A listening socket and its connections: the part of the server that knows no paths.

Built on aiohttp's low-level server. What it adds: errors of the HTTP parser answered in the
caller's dialect, a bound on connections, a handler that is cancelled when its caller leaves,
and an end that lets running requests finish.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping

from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from dataplane.answer import Answer, StreamAnswer
from dataplane.headers import SERVER

Handler = Callable[[BaseRequest], Awaitable[Answer | StreamAnswer]]
ErrorBody = Callable[[int, str], bytes]

KEEPALIVE_S = 75.0
BACKLOG = 1024
"""Connections that wait to be accepted; the system may have a lower limit."""

_MAX_LINE = 16 * 1024
_LINGER_S = 2.0
_CANCEL_S = 1.0

log = logging.getLogger("switchgear.server")


class Listener:
    """One address that is served. Start it, stop accepting, then drain it.

    handler: answers every request, and raises nothing but cancellation.
    error_body: makes the JSON body for a status and a message, for requests that are no HTTP.
    max_connections: more are closed at once.
    """

    def __init__(self, handler: Handler, error_body: ErrorBody, *, max_connections: int) -> None:
        """Open nothing yet."""
        self._handler = handler
        self._error_body = error_body
        self._max_connections = max_connections
        self._server: _Server | None = None
        self._accepting: dict[int, asyncio.Server] = {}

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen, and return the address; port 0 takes a free one. Raises OSError if it is taken."""
        loop = asyncio.get_running_loop()
        accepting = await loop.create_server(self._served(), host, port, backlog=BACKLOG)
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
                self._served(), sock=listening[number].dup(), backlog=BACKLOG
            )

    @property
    def connections(self) -> int:
        """How many are open."""
        return 0 if self._server is None else len(self._server.connections)

    def leave(self) -> None:
        """End each connection with its next answer, which says so; none is lost by that."""
        self._served().leaving = True

    def stop_accepting(self) -> None:
        """Refuse new connections, and close idle ones; running requests go on."""
        for accepting in self._accepting.values():
            accepting.close()
        self._accepting.clear()
        if self._server is not None:
            self._server.pre_shutdown()

    async def close(self) -> None:
        """Cancel what still runs, and close all connections."""
        self.stop_accepting()
        if self._server is not None:
            await self._server.shutdown(_CANCEL_S)

    def _served(self) -> _Server:
        if self._server is None:
            self._server = _Server(
                self._handler,
                error_body=self._error_body,
                max_connections=self._max_connections,
                handler_cancellation=True,
                access_log=None,
                keepalive_timeout=KEEPALIVE_S,
                lingering_time=_LINGER_S,
                max_line_size=_MAX_LINE,
                max_field_size=_MAX_LINE,
                logger=log,
            )
        return self._server


class _Server(Server):
    """aiohttp's server with our protocol. leaving: answers end their connections from now on."""

    leaving = False

    def __init__(
        self, handler: Handler, *, error_body: ErrorBody, max_connections: int, **kwargs: object
    ) -> None:
        super().__init__(handler, **kwargs)  # type: ignore[arg-type]  # answers of our own
        self.error_body = error_body
        self.max_connections = max_connections

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)

    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> BaseRequest:
        return _Request(message, payload, protocol, writer, task, self._loop)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._connections) > self.max_connections:
            log.warning("more than %d connections, closing a new one", self.max_connections)
            transport.close()


class _Request(BaseRequest):
    """A request whose connection is kept only if the server stays; asked when the answer begins."""

    @property
    def keep_alive(self) -> bool:
        server = self._protocol._manager  # noqa: SLF001 - there is no public way to the server
        assert server is None or isinstance(server, _Server)
        return server is not None and not server.leaving and not self._message.should_close


class _Protocol(RequestHandler):
    """One connection; it answers what is not HTTP in JSON, and never with a traceback."""

    __slots__ = ("_error_body",)

    def __init__(
        self, manager: _Server, *, loop: asyncio.AbstractEventLoop, **kwargs: object
    ) -> None:
        super().__init__(manager, loop=loop, **kwargs)  # type: ignore[arg-type]
        self._error_body = manager.error_body

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, no error can follow")
        if status >= 500:
            log.error("unexpected error while answering", exc_info=exc)
            message = "unexpected error in the sidecar"
        else:
            # The parser's message may quote the request, and with it a key.
            message = "the request is not valid HTTP, or its head is too large"
        head = {"content-type": "application/json", "server": SERVER}
        body = self._error_body(status, message)
        return Answer(status, head, body, close=True)  # type: ignore[return-value]  # has what it asks
