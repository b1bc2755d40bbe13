"""The listening sockets of several workers: one each, all of one address.

The supervisor makes them and holds them as long as it lives. So the system's choice of a socket for a
new connection never changes while workers come and go, and what waits in a queue outlives the
worker that should have taken it.

Source: socket(7), SO_REUSEPORT, Linux manual pages, read 2026-11-25.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack

from switchgear.settings import Address


def bind(address: Address, count: int) -> Sequence[socket.socket]:
    """Bind `count` sockets to one address, not yet listening; port 0 takes a free one.

    Raises OSError if the address is taken, also by another process that shares its port, or if
    the system cannot share ports.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OSError("this system cannot share a port between processes (no SO_REUSEPORT)")
    family, _, _, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with ExitStack() as made:
        # One that does not share finds out whether somebody else has the port.
        with _bound(family, where, shared=False) as alone:
            where = (where[0], alone.getsockname()[1], *where[2:])
        sockets = [made.enter_context(_bound(family, where, shared=True)) for _ in range(count)]
        made.pop_all()
    return sockets


def _bound(family: int, where: tuple[object, ...], *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Each event of a stream is a small write: it must not wait for the last one's ACK.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.bind(where)
    except OSError as error:
        made.close()
        error.add_note(f"{where[0]}:{where[1]}")
        raise
    return made
