"""A held port is given to nobody, and yet a server that names it can listen, and come back."""

from __future__ import annotations

import errno
import socket
import sys

import pytest

from switchgear.demo.ports import HeldPort

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can hold a port")

OPTIONS = {
    "an address that may be used again": [socket.SO_REUSEADDR],
    "a port that is shared": [socket.SO_REUSEPORT],
    "both": [socket.SO_REUSEADDR, socket.SO_REUSEPORT],
}


def made(*options: int) -> socket.socket:
    sock = socket.socket()
    for option in options:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    return sock


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_server_that_names_it_listens_ends_and_comes_back(options: list[int]) -> None:
    with HeldPort() as port:
        for _ in range(2):
            with made(*options) as server:
                server.bind(("127.0.0.1", port.number))
                server.listen()
                with socket.create_connection(("127.0.0.1", port.number), timeout=5):
                    server.accept()[0].close()


def test_nobody_listens_there_until_then() -> None:
    with HeldPort() as port, socket.socket() as caller:
        assert errno.ECONNREFUSED == caller.connect_ex(("127.0.0.1", port.number))


@pytest.mark.parametrize("options", [[], *OPTIONS.values()], ids=["none", *OPTIONS.keys()])
def test_it_is_taken_for_whoever_asks_for_any_free_port(options: list[int]) -> None:
    """Often enough to be given nearly each of those that are free."""
    given = set()
    with HeldPort() as port:
        for _ in range(50_000):
            with made(*options) as other:
                other.bind(("127.0.0.1", 0))
                given.add(other.getsockname()[1])

        assert port.number not in given


def test_two_are_two() -> None:
    with HeldPort() as one, HeldPort() as other:
        assert one.number != other.number


def test_let_go_it_is_free_for_a_server_that_sets_nothing() -> None:
    port = HeldPort()
    with socket.socket() as server, pytest.raises(OSError, match="in use"):
        server.bind(("127.0.0.1", port.number))

    port.close()
    port.close()

    with socket.socket() as server:
        server.bind(("127.0.0.1", port.number))
