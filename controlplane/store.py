"""The last good table on disk: what a process starts from when its source is away.

Two files: the table, and the one before it. Writing is atomic (temporary file, fsync, rename); at
any moment, even with the power gone, at least one of the two is whole.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controlplane.table import snapshot
from controlplane.table.schema import Table

CURRENT: Final = "table.json"
PREDECESSOR: Final = "table.previous.json"

_TEMPORARY = "table.json.new"
_MAX_BYTES = 256 * 1024 * 1024


class StoreError(Exception):
    """The disk did not do as asked; the message names the file and the fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was found on disk.

    table: None if there is nothing of use.
    damage: one phrase for each file that is there and of no use.
    """

    table: Table | None
    damage: tuple[str, ...] = ()


class TableStore:
    """Keeps tables in one directory, which it makes if need be. Blocking; for one writer."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known_whole = b""

    def load(self) -> Loaded:
        """Read the last table, or its predecessor if that is damaged. Total."""
        damage: list[str] = []
        for name in (CURRENT, PREDECESSOR):
            path = self._directory / name
            try:
                data = _read(path)
                table = snapshot.decode(data)
            except FileNotFoundError:
                continue
            except (OSError, snapshot.SnapshotError) as error:
                damage.append(f"{path}: {_reason(error)}")
                continue
            self._known_whole = _digest(data)
            return Loaded(table=table, damage=tuple(damage))
        return Loaded(table=None, damage=tuple(damage))

    def save(self, table: Table) -> None:
        """Write a table, and keep what was there as its predecessor if it is whole.

        Files are readable by their owner only. Raises StoreError; what was there then stays.
        """
        data = snapshot.encode(table)
        current = self._directory / CURRENT
        temporary = self._directory / _TEMPORARY
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(temporary, data)
            if self._is_whole(current):
                current.replace(self._directory / PREDECESSOR)
            temporary.replace(current)
            _sync_directory(self._directory)
            self._known_whole = _digest(data)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StoreError(f"{current}: {_reason(error)}") from error

    def _is_whole(self, path: Path) -> bool:
        """Tell whether a file may become the predecessor: damage must not replace a good one.

        What this object wrote or read itself is known by its digest, and not decoded again.
        """
        try:
            data = _read(path)
            if _digest(data) != self._known_whole:
                snapshot.decode(data)
        except (OSError, snapshot.SnapshotError):
            return False
        return True


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > _MAX_BYTES:
            raise snapshot.SnapshotError(f"larger than {_MAX_BYTES} bytes")
        return file.read(_MAX_BYTES)


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
