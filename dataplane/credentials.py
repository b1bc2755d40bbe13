"""The one door to secrets.

A credential is read where it is used, and read again when its file changes, so a rotated key
needs no restart. Values leave this module only towards an upstream's headers; nothing here logs,
and an error names the reference, never the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.table.schema import CredentialKind, CredentialRef

RECHECK_S = 1.0
"""How long a file is trusted without looking at it again."""

_MAX_BYTES = 8192


@dataclass(slots=True)
class _Cached:
    value: str | None
    checked_s: float
    stamp: tuple[int, int, int] | None


class Credentials:
    """Reads secrets by reference.

    environ: where `env` references look, and whoever needs a vendor's own variables.
    secrets_root: folder of mounted Secrets, `<root>/<name>/<key>`.
    clock: monotonic seconds.
    on_change: called with a reference whose value has become another, or has appeared.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        secrets_root: Path,
        clock: Callable[[], float],
        on_change: Callable[[CredentialRef], None] | None = None,
    ) -> None:
        """Read nothing yet."""
        self.environ = environ
        self._root = secrets_root
        self._clock = clock
        self._on_change = on_change
        self._cache: dict[CredentialRef, _Cached] = {}

    def value(self, ref: CredentialRef) -> str | None:
        """Return the secret, or None if it is missing, empty or unusable in a header."""
        cached = self._cache.get(ref)
        now = self._clock()
        if cached is not None and now - cached.checked_s < RECHECK_S:
            return cached.value
        if ref.kind is CredentialKind.ENV:
            value = _usable(self.environ.get(ref.name, ""))
            self._cache[ref] = _Cached(value, now, None)
            return value
        return self._read(ref, cached, now)

    def refresh(self, ref: CredentialRef) -> bool:
        """Read once more whatever the cache says; tell whether the value is another now."""
        cached = self._cache.get(ref)
        before = cached.value if cached is not None else None
        if ref.kind is CredentialKind.ENV:
            return False
        return self._read(ref, None, self._clock()) != before

    def _read(self, ref: CredentialRef, cached: _Cached | None, now: float) -> str | None:
        path = (
            self._root / ref.name / ref.key
            if ref.kind is CredentialKind.SECRET_KEY_REF
            else Path(ref.name)
        )
        before = self._cache.get(ref)
        stamp = _stamp(path)
        if cached is not None and stamp == cached.stamp:
            cached.checked_s = now
            return cached.value
        value = _read_file(path) if stamp is not None else None
        self._cache[ref] = _Cached(value, now, stamp)
        if before is not None and value is not None and value != before.value and self._on_change:
            self._on_change(ref)
        return value


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read_file(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError:
        return None
    if len(raw) > _MAX_BYTES:
        return None
    try:
        return _usable(raw.decode())
    except UnicodeDecodeError:
        return None


def _usable(text: str) -> str | None:
    """Trim the white space that editors and `echo` add; refuse what a header cannot carry."""
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable():
        return None
    return text
