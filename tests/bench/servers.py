"""A server that gives each request the bytes it was told to, and closes the connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Answers:
    """Serves on `port` for the length of the block: the answers in turn, the last ever after."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            # A caller may have opened it in advance, and left without a word.
            with connection, contextlib.suppress(ConnectionError):
                if connection.recv(65536):
                    more = len(self._answers) > 1
                    connection.sendall(self._answers.pop(0) if more else self._answers[0])
