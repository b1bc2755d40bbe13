"""The demo's sidecar process: where it listens, and what is told when it cannot."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from switchgear.demo.sidecar import Sidecar, SidecarError, chosen_addresses
from switchgear.settings import Address


def test_port_zero_takes_two_free_ports_and_keeps_them() -> None:
    with chosen_addresses(0) as (listen, admin), socket.socket() as other:
        assert listen.port != admin.port
        assert listen.is_loopback
        assert admin.is_loopback
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", listen.port))


@pytest.mark.parametrize("below", [0, 1])
def test_a_taken_port_is_told_with_a_way_out(below: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        # Of the port below nobody knows whether it is free.
        with (
            pytest.raises(SidecarError, match=rf"port ({port - below}|{port}) .*--port 0"),
            chosen_addresses(port - below),
        ):
            pytest.fail("it was given")


def test_one_that_cannot_start_shows_its_log_and_leaves_no_process(tmp_path: Path) -> None:
    """It cannot, for its two addresses are the same."""
    listen = Address(host="127.0.0.1", port=1)
    sidecar = Sidecar(tmp_path, manifests=tmp_path, listen=listen, admin=listen)

    with pytest.raises(SidecarError, match=r"(?s)its log ends:.*have the same port"):
        sidecar.__enter__()
    assert None is sidecar.pid
    assert not sidecar.is_running()
