"""Walk a directory of manifests once: which files there are, and what must be watched.

One walk sees one revision. A ConfigMap's volume swaps a `..data` link, git-sync swaps a link on
the way to the directory: each link is resolved once, and all is read behind it. If that target goes
away meanwhile, the walk is torn and starts again.

Hidden entries (`.git`, `.a.yaml.swp`, `..data`) are no manifests; what `..data` holds is reached
through the visible links beside it.
"""

# A walk of ten thousand entries makes strings, not Path objects.
# ruff: noqa: PTH100, PTH112, PTH114, PTH115, PTH116, PTH118, PTH120, PTH208

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.problems import Problem

MAX_FILES = 10_000
MAX_DEPTH = 16

_SUFFIXES = (".yaml", ".yml", ".json")
_DATA = "..data"
_MAX_LINKS = 40


class TornError(Exception):
    """What was being read was replaced under our hands; the next walk sees the new state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """What to watch.

    directories: real directories with their device and inode, so that one which was deleted and
        made again is not mistaken for the old.
    tree: those of them that hold manifests; anything that happens there counts.
    names: links and other single entries that count elsewhere.
    """

    directories: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tree: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def concern(self, path: str) -> bool:
        """Tell whether what happened to `path` is a reason to read again."""
        parent, name = os.path.split(path)
        if parent in self.tree and (not name.startswith(".") or name.startswith("..")):
            return True
        return path in self.names


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A manifest's file: its name as people know it, the real path to read, its identity."""

    origin: str
    path: str
    identity: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One walk.

    files: in order of origin.
    unreadable: files and directories that could not be looked at, by origin.
    exists: whether there is anything at the root.
    """

    files: Sequence[FoundFile]
    problems: Sequence[Problem]
    unreadable: frozenset[str]
    points: Points
    exists: bool


def scan(root: str) -> Scan:
    """Walk `root`, a directory or a single file. Raises TornError; all else is in the result."""
    walk = _Walk(root)
    walk.start()
    return walk.result()


class _Walk:
    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/") or "/"
        self._files: list[FoundFile] = []
        self._problems: list[Problem] = []
        self._unreadable: set[str] = set()
        self._tree: set[str] = set()
        self._names: set[str] = set()
        self._entered: set[tuple[int, int]] = set()
        self._exists = False

    def start(self) -> None:
        real = self._resolve(os.path.abspath(self._root))
        if real is None:
            return
        try:
            found = os.stat(real)
        except OSError:
            return
        self._exists = True
        if stat.S_ISDIR(found.st_mode):
            self._directory(self._root, real, found, 1)
        else:
            self._file(self._root, real, found)

    def result(self) -> Scan:
        directories: dict[str, tuple[int, int]] = {}
        for directory in self._tree | {os.path.dirname(name) for name in self._names}:
            try:
                found = os.stat(directory)
            except OSError:
                continue
            directories[directory] = (found.st_dev, found.st_ino)
        return Scan(
            files=sorted(self._files, key=lambda file: file.origin),
            problems=self._problems,
            unreadable=frozenset(self._unreadable),
            points=Points(
                directories=directories, tree=frozenset(self._tree), names=frozenset(self._names)
            ),
            exists=self._exists,
        )

    def _directory(self, origin: str, real: str, found: os.stat_result, depth: int) -> None:
        identity = (found.st_dev, found.st_ino)
        if identity in self._entered:
            return  # a link that leads back
        self._entered.add(identity)
        if depth > MAX_DEPTH:
            self._give_up(origin, f"is more than {MAX_DEPTH} directories deep")
            return
        try:
            names = sorted(os.listdir(real))
        except FileNotFoundError as error:
            raise TornError(real) from error
        except OSError as error:
            self._give_up(origin, f"cannot be read: {error.strerror}")
            return
        self._tree.add(real)
        data = os.path.realpath(os.path.join(real, _DATA)) if _DATA in names else None
        for name in names:
            if not name.startswith("."):
                self._entry(f"{origin.rstrip('/')}/{name}", os.path.join(real, name), data, depth)

    def _entry(self, origin: str, path: str, data: str | None, depth: int) -> None:
        try:
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                link = os.readlink(path)
                if data is not None and link.startswith(f"{_DATA}/"):
                    path = data + link[len(_DATA) :]
                    found = os.stat(path)
                else:
                    found, path = self._linked(path)
        except FileNotFoundError as error:
            if self._is_steady(path, data):
                self._give_up(origin, "is a link to nothing")
                return
            raise TornError(path) from error
        except OSError as error:
            self._give_up(origin, f"cannot be read: {error.strerror}")
            return
        if stat.S_ISDIR(found.st_mode):
            self._directory(origin, path, found, depth + 1)
        elif stat.S_ISREG(found.st_mode) and is_manifest_name(origin):
            self._file(origin, path, found)

    @staticmethod
    def _is_steady(path: str, data: str | None) -> bool:
        """Tell whether nothing moved, so that a file which is not there is simply missing."""
        if os.path.islink(path):
            return True
        return (
            data is not None
            and path.startswith(f"{data}/")
            and os.path.isdir(data)
            and os.path.realpath(os.path.join(os.path.dirname(data), _DATA)) == data
        )

    def _linked(self, path: str) -> tuple[os.stat_result, str]:
        """Follow a link of the tree, and watch all that it goes through."""
        real = self._resolve(path)
        return os.stat(path if real is None else real), real or path

    def _file(self, origin: str, path: str, found: os.stat_result) -> None:
        if len(self._files) < MAX_FILES:
            self._files.append(FoundFile(origin=origin, path=path, identity=identity_of(found)))
        elif self._root not in self._unreadable:
            self._give_up(self._root, f"holds more than {MAX_FILES} files; the rest is not read")

    def _give_up(self, origin: str, message: str) -> None:
        self._unreadable.add(origin)
        self._problems.append(Problem(origin=origin, message=message))

    def _resolve(self, path: str) -> str | None:
        """Resolve an absolute path link by link, and note each; None if it leads nowhere."""
        waiting = path.split("/")[::-1]
        current = "/"
        links = 0
        while waiting:
            part = waiting.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                current = os.path.dirname(current)
                continue
            step = os.path.join(current, part)
            try:
                target = os.readlink(step)
            except OSError:
                if not os.path.lexists(step):
                    self._names.add(step)
                    return None
                current = step
                continue
            self._names.add(step)
            links += 1
            if links > _MAX_LINKS:
                return None
            if target.startswith("/"):
                current = "/"
            waiting.extend(target.split("/")[::-1])
        self._names.add(current)
        return current


def is_manifest_name(name: str) -> bool:
    """Tell whether a file's name is one of a manifest."""
    return name.endswith(_SUFFIXES)


def identity_of(found: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced: device, inode, size, both times."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
