"""The sidecar of the demo: `python -m switchgear run` in a process of its own, the real thing."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from switchgear import client
from switchgear.demo.ports import HeldPort
from switchgear.settings import Address

_START_S: Final = 20.0
_STOP_S: Final = 10.0
_LOOK_S: Final = 0.05


class SidecarError(RuntimeError):
    """The sidecar did not start; the message holds the end of its log."""


class Sidecar:
    """A `switchgear run` on loopback that ends with the `with` block.

    listen, admin: where it serves. log: the file that its output goes to.
    """

    def __init__(self, folder: Path, *, manifests: Path, listen: Address, admin: Address) -> None:
        """Keep the settings; nothing is started yet. folder: for its log and its state."""
        self.url = f"http://{listen}"
        self.admin_url = f"http://{admin}"
        self.log = folder / "sidecar.log"
        self._arguments = [
            *(f"--manifests={manifests}", f"--listen={listen}", f"--admin={admin}"),
            *(f"--state-dir={folder / 'state'}", "--log-format=text", "--drain=5s"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        """Start it, and wait until it is ready. Raises SidecarError."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                [sys.executable, "-m", "switchgear", "run", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the demo alone, which then ends its children in order.
                start_new_session=True,
            )
        try:
            self._await_ready(time.monotonic() + _START_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it: politely, and by force if it takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def is_running(self) -> bool:
        """Tell whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def _await_ready(self, deadline_s: float) -> None:
        while not self._is_ready():
            if not self.is_running() or time.monotonic() > deadline_s:
                written = self.log.read_text(errors="replace").strip()
                raise SidecarError(f"switchgear did not start, its log ends:\n{written[-2000:]}")
            time.sleep(_LOOK_S)

    def _is_ready(self) -> bool:
        try:
            with client.open_url(f"{self.admin_url}/readyz", timeout_s=1.0) as reply:
                return reply.status == 200
        except client.ClientError:
            return False


@contextmanager
def chosen_addresses(port: int) -> Iterator[tuple[Address, Address]]:
    """Choose where to listen: `port` and the one above; for 0 two free ones, held for the block.

    Raises SidecarError if one of them is taken.
    """
    if port == 0:
        with HeldPort() as first, HeldPort() as second:
            yield _on_loopback(first.number), _on_loopback(second.number)
        return
    for wanted in (port, port + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError as error:
                raise SidecarError(
                    f"port {wanted} on 127.0.0.1 cannot be had ({error.strerror}); name another "
                    "with --port, or take any free one with --port 0"
                ) from error
    yield _on_loopback(port), _on_loopback(port + 1)


def _on_loopback(port: int) -> Address:
    return Address(host="127.0.0.1", port=port)
