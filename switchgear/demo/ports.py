"""Ports of loopback that are kept for a server which listens later, or comes back after its end.

A port that was only found free may be given to somebody else before it is used.

Source: ip(7), socket(7), `SO_REUSEADDR`, Linux manual pages, read 2026-11-25.
"""

from __future__ import annotations

import socket
import sys
from typing import Final, Self

_HOST: Final = "127.0.0.1"


class HeldPort:
    """A port of 127.0.0.1 that the system gives to nobody else, until `close` or the block's end.

    Whoever names it can listen there, one at a time, as long as it sets SO_REUSEADDR or
    SO_REUSEPORT, as servers do. While nobody does, connections are refused.

    Only Linux lets a server listen where another socket is bound. Elsewhere the port was free when
    it was chosen, and is not held.
    """

    number: int

    def __init__(self) -> None:
        """Take a free one."""
        self._socket = socket.socket()
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            self._socket.setsockopt(socket.SOL_SOCKET, option, 1)
        self._socket.bind((_HOST, 0))
        self.number = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self.close()

    def close(self) -> None:
        """Let it go; may be repeated."""
        self._socket.close()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        self.close()
