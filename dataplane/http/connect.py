"""Opens connections: names to addresses, the quickest address of several, TLS.

Names are looked up in threads, by the system's resolver, and kept for a short time. Of several
addresses a second family is tried 0.25 s after the first (RFC 8305), with the library that aiohttp
uses for it, since uvloop has nothing of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohappyeyeballs  # noqa: TID251 - this is the door

from dataplane.http.connection import Connection, Watcher
from dataplane.http.failures import ExpiredError, not_connected, not_connected_in
from dataplane.http.head import Origin

NAMES_TTL_S = 30.0
"""Clusters move their services; resolvers keep records for their own time on top."""

_MAX_NAMES = 256
_SECOND_FAMILY_S = 0.25

Address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
"""A row of `socket.getaddrinfo`."""

_Making = asyncio.Task[tuple[asyncio.Transport, Connection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What a name stands for, and until when."""

    addresses: Sequence[Address]
    until_s: float


class Names:
    """Resolves names, one look-up at a time for each.

    lookup: host and port to addresses, in the order of preference; OSError if there is none.
    """

    def __init__(
        self,
        lookup: Callable[[str, int], Sequence[Address]],
        clock: Callable[[], float],
        *,
        ttl_s: float = NAMES_TTL_S,
    ) -> None:
        """Know nothing yet. clock: monotonic seconds."""
        self._lookup = lookup
        self._clock = clock
        self._ttl_s = ttl_s
        self._turn = -1
        self._known: dict[tuple[str, int], _Known] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[Sequence[Address]]] = {}

    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        """Give a host's addresses, the first ones in turn. Raises OSError or UnicodeError."""
        key = (host, port)
        known = self._known.get(key)
        if known is not None and known.until_s > self._clock():
            addresses = known.addresses
        else:
            asked = self._asked.get(key)
            if asked is None:
                asked = asyncio.create_task(asyncio.to_thread(self._lookup, host, port))
                self._asked[key] = asked
                asked.add_done_callback(lambda done: self._answered(key, done))
            # Who stops to wait does not end the look-up of the others.
            addresses = await asyncio.shield(asked)
        self._turn += 1
        return _in_turn(addresses, self._turn)

    def forget(self, host: str, port: int) -> None:
        """Look a name up again at its next use: its addresses are no good."""
        self._known.pop((host, port), None)

    async def aclose(self) -> None:
        """End the look-ups."""
        asked = tuple(self._asked.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    def _answered(self, key: tuple[str, int], done: asyncio.Task[Sequence[Address]]) -> None:
        del self._asked[key]
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._known) >= _MAX_NAMES:
            self._known.clear()
        self._known[key] = _Known(addresses=done.result(), until_s=self._clock() + self._ttl_s)


class Connector:
    """Opens connections.

    tls: for https; None trusts what the system trusts, and is loaded at its first use.
    """

    def __init__(
        self, names: Names, watcher: Watcher, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Open nothing yet. watcher: told of each connection."""
        self._names = names
        self._watcher = watcher
        self._tls = tls
        self._loading = asyncio.Lock()
        # Connections in the making whose callers have left.
        self._abandoned: set[_Making] = set()

    async def open(self, origin: Origin, connect_s: float, until_s: float = math.inf) -> Connection:
        """Open a connection in `connect_s` seconds, all steps together.

        Raises UpstreamFailed, or ExpiredError if `until_s`, a time of the loop, comes first.
        """
        until_connected_s = asyncio.get_running_loop().time() + connect_s
        limit = asyncio.timeout_at(min(until_connected_s, until_s))
        try:
            async with limit:
                return await self._open(origin)
        except TimeoutError as error:
            if limit.expired() and until_s < until_connected_s:
                raise ExpiredError from error
            # The kernel gives up by a TimeoutError too.
            raise (
                not_connected_in(connect_s) if limit.expired() else not_connected(error)
            ) from error
        except (OSError, ValueError, RuntimeError) as error:
            self._names.forget(origin.host, origin.port)
            raise not_connected(error) from error

    async def aclose(self) -> None:
        """End what is being looked up, and wait for the end of what was given up."""
        await self._names.aclose()
        await asyncio.gather(*self._abandoned, return_exceptions=True)

    async def _open(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        tls = await self._context() if origin.tls else None
        addresses = _literal(origin.host, origin.port) or await self._names.addresses(
            origin.host, origin.port
        )
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_SECOND_FAMILY_S, loop=loop
        )
        inode = os.fstat(sock.fileno()).st_ino
        making: _Making = loop.create_task(
            loop.create_connection(
                lambda: Connection(origin, loop, self._watcher),
                sock=sock,
                ssl=tls,
                server_hostname=origin.host if tls else None,
            )
        )
        making.add_done_callback(lambda done: _settle(done, sock, inode))
        try:
            _, connection = await asyncio.shield(making)
        except asyncio.CancelledError:
            # uvloop, if interrupted here, does not tell the connection of its end. So nothing is
            # interrupted: the end of the stream ends a handshake too.
            self._abandoned.add(making)
            making.add_done_callback(self._drop)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            raise
        return connection

    def _drop(self, making: _Making) -> None:
        """Close what has come to be of a connection that nobody waits for."""
        self._abandoned.discard(making)
        if not making.cancelled() and making.exception() is None:
            making.result()[1].abort()

    async def _context(self) -> ssl.SSLContext:
        """Give the context; the first needs some 20 ms for the certificates, in a thread."""
        if self._tls is None:
            async with self._loading:
                if self._tls is None:
                    self._tls = await asyncio.to_thread(_system_trust)
        return self._tls


def look_up(host: str, port: int) -> Sequence[Address]:
    """Ask the system's resolver; blocks."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


def _system_trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _settle(making: _Making, sock: socket.socket, inode: int) -> None:
    """Let go of a socket that no transport holds on to, once the loop is through with it.

    uvloop closes the descriptor itself, but leaves the socket object as it is where the transport
    ended early. Its number may be another file's by then, which must not be closed.
    """
    if not making.cancelled() and making.exception() is None:
        transport, _ = making.result()
        if not transport.is_closing():
            return
    if sock.fileno() < 0:
        return
    try:
        ours = os.fstat(sock.fileno()).st_ino == inode
    except OSError:
        ours = False
    if ours:
        sock.close()
    else:
        sock.detach()


def _literal(host: str, port: int) -> Sequence[Address]:
    """Give the address that a host is, if it is one and no name."""
    kind, protocol = int(socket.SOCK_STREAM), int(socket.IPPROTO_TCP)
    try:
        if ":" in host:
            socket.inet_pton(socket.AF_INET6, host)
            return [(int(socket.AF_INET6), kind, protocol, "", (host, port, 0, 0))]
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return []
    return [(int(socket.AF_INET), kind, protocol, "", (host, port))]


def _in_turn(addresses: Sequence[Address], turn: int) -> Sequence[Address]:
    """Spread load over the addresses of the preferred family; the order of families stays."""
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    family = addresses[0][0]
    preferred = [address for address in addresses if address[0] == family]
    others = [address for address in addresses if address[0] != family]
    start = turn % len(preferred)
    return [*preferred[start:], *preferred[:start], *others]
