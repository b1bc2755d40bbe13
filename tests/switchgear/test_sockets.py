"""The sockets of several workers: one address, shared with nobody else."""

from __future__ import annotations

import socket

import pytest

from switchgear import sockets
from switchgear.settings import Address

ANY = Address(host="127.0.0.1", port=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_all_have_the_same_address_also_if_the_system_chooses_it(host: str) -> None:
    made = sockets.bind(Address(host=host, port=0), 3)
    names = {each.getsockname() for each in made}
    for each in made:
        each.close()

    (name,) = names
    assert name[1] > 0
    assert 3 == len(made)


def test_connections_come_to_all_of_them() -> None:
    made = sockets.bind(ANY, 2)
    for each in made:
        each.listen()
    callers = [socket.create_connection(made[0].getsockname()) for _ in range(100)]
    taken = [_taken(each) for each in made]
    for each in (*made, *callers):
        each.close()

    assert 100 == sum(taken)
    assert all(taken)


def _taken(listening: socket.socket) -> int:
    count = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@pytest.mark.parametrize("shares", [False, True])
def test_an_address_that_another_has_is_taken_though_it_would_share(shares: bool) -> None:
    with socket.socket() as other:
        if shares:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(OSError, match="in use") as caught:
            sockets.bind(Address(host="127.0.0.1", port=port), 2)

    assert [f"127.0.0.1:{port}"] == caught.value.__notes__


def test_a_host_that_does_not_exist_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match=r"."):
        sockets.bind(Address(host="nowhere.invalid", port=1), 2)
