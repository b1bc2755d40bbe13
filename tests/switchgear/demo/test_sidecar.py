"""The demo's sidecar process: where it listens, and what is told when it cannot."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from switchgear.demo.sidecar import Sidecar, SidecarError, choose_addresses


def test_port_zero_takes_two_free_ports() -> None:
    listen, admin = choose_addresses(0)

    assert listen.port != admin.port
    assert listen.is_loopback
    assert admin.is_loopback


def test_a_taken_port_is_told_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(SidecarError, match=rf"port {port} .*--port 0"):
            choose_addresses(port)
        # Of the port below nobody knows whether it is free.
        with pytest.raises(SidecarError, match=rf"port ({port - 1}|{port}) .*--port 0"):
            choose_addresses(port - 1)


def test_one_that_cannot_start_shows_its_log_and_leaves_no_process(tmp_path: Path) -> None:
    """It cannot, for its two addresses are the same."""
    listen, _ = choose_addresses(0)
    sidecar = Sidecar(tmp_path, manifests=tmp_path, listen=listen, admin=listen)

    with pytest.raises(SidecarError, match=r"(?s)its log ends:.*have the same port"):
        sidecar.__enter__()
    assert None is sidecar.pid
    assert not sidecar.is_running()
