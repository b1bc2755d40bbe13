"""One request of a caller: what its head says, and its body as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Final, Protocol, Self
from urllib.parse import parse_qsl, unquote

HTTP_1_0: Final = (1, 0)
HTTP_1_1: Final = (1, 1)

SMALL_REST_BYTES: Final = 256 * 1024
"""So much of a body that nobody wants is read, so that the connection can be used again."""


class BrokenBodyError(Exception):
    """The rest of the body is no HTTP, and will never come."""


class Caller(Protocol):
    """The connection that a request came on."""

    writing_paused: bool

    @property
    def transport(self) -> asyncio.Transport | None:
        """The way to the caller; None once it has left."""
        ...

    async def news(self, request: Request) -> None:
        """Wait until more of the request's body has come, or none will."""
        ...

    def taken(self) -> None:
        """Take note that what had come of a body was taken."""
        ...

    async def drain(self) -> None:
        """Wait until the caller has read enough of what was written."""
        ...


class Request:
    """A request whose head has come. Names of headers are lower case; repeated ones are joined.

    target: as it was sent. keep_alive: whether the caller wants another request on the connection.
    content_length: bytes of the body, if the head says. expects: whether the caller waits for a
    word before it sends the body. done: whether the body is whole. broken: whether it never will be.
    unwanted: whether its body is thrown away. answered: whether an answer has begun to go out.
    task: what answers it.
    """

    __slots__ = (
        "_caller",
        "_path",
        "_query",
        "answered",
        "broken",
        "buffered",
        "chunks",
        "content_length",
        "done",
        "expects",
        "headers",
        "keep_alive",
        "method",
        "received",
        "target",
        "task",
        "unwanted",
        "version",
    )

    _caller: Caller
    task: asyncio.Task[None]

    def __init__(
        self,
        method: str,
        target: str,
        version: tuple[int, int],
        headers: dict[str, str],
        content_length: int | None,
        *,
        keep_alive: bool,
        expects: bool,
    ) -> None:
        """Know the head, and nothing of the body yet."""
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.content_length = content_length
        self.keep_alive = keep_alive
        self.expects = expects
        self.chunks: list[bytes] = []
        self.buffered = self.received = 0
        self.done = self.broken = self.unwanted = self.answered = False
        self._path: str | None = None
        self._query: Mapping[str, str] | None = None

    @classmethod
    def refused(cls) -> Self:
        """Make what stands for a request that was none, so that it can be answered."""
        return cls("GET", "/", HTTP_1_1, {}, None, keep_alive=False, expects=False)

    @property
    def raw_path(self) -> str:
        """The path, without the query and as it was sent."""
        target = self.target
        if not target.startswith("/"):
            target = _path_of_absolute(target)
        if "#" in target:
            target = target.partition("#")[0]
        return target.partition("?")[0] if "?" in target else target

    @property
    def path(self) -> str:
        """The path, without the query and decoded."""
        path = self._path
        if path is None:
            path = self.raw_path
            if "%" in path:
                path = unquote(path)
            self._path = path
        return path

    @property
    def query(self) -> Mapping[str, str]:
        """The query's fields, decoded; of those with one name, the first."""
        if self._query is None:
            text = self.target.partition("#")[0].partition("?")[2]
            self._query = dict(reversed(parse_qsl(text, keep_blank_values=True)))
        return self._query

    @property
    def transport(self) -> asyncio.Transport | None:
        """The way to the caller; None once it has left."""
        return self._caller.transport

    @property
    def writing_paused(self) -> bool:
        """Whether the caller reads too slowly for more to be written."""
        return self._caller.writing_paused

    async def drain(self) -> None:
        """Wait until the caller has read enough of what was written."""
        await self._caller.drain()

    def can_follow(self) -> bool:
        """Tell whether another request may follow this one on its connection.

        Not if too much of the body is still to come, or if nobody knows whether it will.
        """
        if not self.keep_alive or self.done:
            return self.keep_alive
        waits = self.expects and not self.received
        if self.broken or waits or self.content_length is None:
            return False
        return self.content_length - self.received <= SMALL_REST_BYTES

    def take(self) -> bytes:
        """Take what has come of the body."""
        chunks = self.chunks
        self.chunks = []
        self.buffered = 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def piece(self) -> bytes:
        """Wait for the next bytes of the body; empty at its end. Raises BrokenBodyError."""
        while not self.chunks:
            if self.done:
                return b""
            if self.broken:
                raise BrokenBodyError
            await self._caller.news(self)
        data = self.take()
        self._caller.taken()
        return data

    def attach(self, caller: Caller, task: asyncio.Task[None]) -> None:
        """Say whose request it is, and what answers it, before it is handed on."""
        self._caller = caller
        self.task = task


class Answering(Protocol):
    """An answer, as far as a connection cares. Both methods raise ConnectionError.

    sent: whether it has begun to go out. keep_alive: whether another may follow it.
    """

    sent: bool
    keep_alive: bool

    def prepare(self, request: Request, /) -> Coroutine[Any, Any, None]:
        """Send it, or as much of it as is there."""
        ...

    def end(self) -> None:
        """Send what ends it."""
        ...


def _path_of_absolute(target: str) -> str:
    """Take the path out of a target that names scheme and host; `*` is a path of its own."""
    _, separator, rest = target.partition("://")
    if not separator:
        return target
    start = min((at for mark in "/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
    path = rest[start:]
    return path if path.startswith("/") else f"/{path}"
