"""Manifests from a directory: a ConfigMap's volume, a git checkout, or files that people edit.

An event only means that reading may be worth while. Each reading walks the whole tree, and parses
those files again whose content changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

from controlplane.document import Document
from controlplane.problems import Problem
from controlplane.sources.documents import MAX_BYTES, UnreadableError, read_documents
from controlplane.sources.scan import FoundFile, Points, Scan, TornError, identity_of, scan
from controlplane.sources.source import SourceResult, SourceState

_QUIET_MS: Final = 20
_BURST_MS: Final = 500
_IDLE_MS: Final = 250
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What is known of one file.

    identity: inode, size and times at the reading. settled: they were the same at two readings;
        only then do equal ones mean equal content, as clocks of file systems are coarse.
    problem: why the file is unreadable, or None.
    """

    identity: tuple[int, ...]
    settled: bool
    digest: bytes
    documents: Sequence[Document]
    problem: Problem | None = None


class FileSource:
    """A directory, or a single file, of manifests."""

    kind: Final = "files"

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._known: dict[str, _Read] = {}
        self._points: Points | None = None
        self._moved = asyncio.Event()

    async def read(self) -> SourceResult:
        """Read all manifests, in a thread; one reading at a time."""
        result, points = await asyncio.to_thread(self._read_all)
        if points != self._points:
            self._points = points
            self._moved.set()
        return result

    async def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` after changes, once they pause; begins after the first reading."""
        while True:
            self._moved.clear()
            points = self._points
            if points is None:
                await self._moved.wait()
                continue
            await self._follow(points, wake)

    def read_now(self) -> SourceResult:
        """Read all manifests in this thread."""
        return self._read_all()[0]

    async def _follow(self, points: Points, wake: Callable[[], None]) -> None:
        """Watch until the points move, or may have."""

        def concerns(_change: Change, path: str) -> bool:
            return points.concern(path)

        armed = False
        async for changes in awatch(
            *sorted(points.directories),
            watch_filter=concerns,
            debounce=_BURST_MS,
            step=_QUIET_MS,
            stop_event=self._moved,
            rust_timeout=_IDLE_MS,
            yield_on_timeout=True,
            recursive=False,
            ignore_permission_denied=True,
        ):
            replaced = any(
                change is not Change.modified and path in points.directories
                for change, path in changes
            )
            if replaced:
                # The kernel's watch went with the old directory, even if the new one got its inode.
                self._points = None
            if changes or not armed:
                wake()  # at first for what happened between the reading and the watch
            if replaced:
                return
            armed = True

    def _read_all(self) -> tuple[SourceResult, Points | None]:
        points: Points | None = None
        for _ in range(_TRIES):
            try:
                found = scan(self.path)
                points = found.points
                return self._result(found), points
            except TornError:
                continue
        problem = Problem(origin=self.path, message="changes faster than it can be read")
        result = SourceResult(
            documents=(),
            problems=(problem,),
            state=SourceState.DEGRADED,
            unreadable=frozenset({self.path}),
            detail=problem.message,
        )
        return result, points

    def _result(self, found: Scan) -> SourceResult:
        if not found.exists:
            return SourceResult(
                documents=(),
                state=SourceState.MISSING,
                detail=f"{self.path} does not exist, or may not be looked at",
            )
        known: dict[str, _Read] = {}
        problems = list(found.problems)
        unreadable = set(found.unreadable)
        documents: list[Document] = []
        for file in found.files:
            origin = file.origin
            try:
                read = _read(file, self._known.get(origin))
            except FileNotFoundError as error:
                raise TornError(file.path) from error
            except OSError as error:
                problems.append(Problem(origin=origin, message=f"cannot be read: {error.strerror}"))
                unreadable.add(origin)
                continue
            known[origin] = read
            documents.extend(read.documents)
            if read.problem is not None:
                problems.append(read.problem)
                unreadable.add(origin)
        self._known = known
        count = len(unreadable)
        return SourceResult(
            documents=documents,
            problems=problems,
            state=SourceState.DEGRADED if unreadable else SourceState.SYNCED,
            unreadable=frozenset(unreadable),
            detail=(
                f"{count} {'file or directory' if count == 1 else 'files or directories'}"
                f" cannot be read, first {min(unreadable)}"
                if unreadable
                else ""
            ),
        )


def _read(file: FoundFile, known: _Read | None) -> _Read:
    """Read a file if it may have changed, and parse it if it has. Raises OSError."""
    if known is not None and known.settled and known.identity == file.identity:
        return known
    origin = file.origin
    with open(file.path, "rb", opener=_open_regular) as opened:
        identity = identity_of(os.fstat(opened.fileno()))
        data = opened.read(MAX_BYTES + 1)
    digest = hashlib.blake2b(data, digest_size=16).digest()
    if known is not None and known.digest == digest:
        return replace(known, identity=identity, settled=known.identity == identity)
    documents: Sequence[Document] = ()
    problem = None
    if not data and known is not None and (known.documents or known.problem is not None):
        # Editors and `>` truncate before they write: an empty file says nothing yet.
        problem = Problem(
            origin=origin, message="is empty now; delete the file to remove its objects"
        )
    else:
        try:
            documents = read_documents(data, origin)
        except UnreadableError as error:
            problem = error.problem
    return _Read(
        identity=identity, settled=False, digest=digest, documents=documents, problem=problem
    )


def _open_regular(path: str, flags: int) -> int:
    """Open without waiting, should the file have become a pipe meanwhile."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
