"""Processes that a benchmark starts, looks at, and ends again by their id.

What a process costs is always counted with its children: nginx works in one, others may.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from switchgear.demo.ports import HeldPort

_STOP_S = 10.0
_LIBC = ctypes.CDLL(None, use_errno=True)


def free_port() -> int:
    """Return a port on loopback that nobody else is given as long as this program runs."""
    port = HeldPort()
    atexit.register(port.close)
    return port.number


def environ_as_installed(bytecode: Path) -> Mapping[str, str]:
    """Return our environment without settings of the programs measured, and with bytecode kept.

    An image has its modules compiled. Compiling them at each start, as PYTHONDONTWRITEBYTECODE
    does, would be measured as their start, and its memory as theirs. Start everything once before.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OTEL_", "SWITCHGEAR_")) and key != "PYTHONDONTWRITEBYTECODE"
    }
    return {**kept, "PYTHONPYCACHEPREFIX": str(bytecode)}


class Process:
    """A child process; leaving the block ends it. started_s: of `time.perf_counter`.

    cpus: where it may run, None for everywhere. Its output goes to the file `log`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str],
        cpus: frozenset[int] | None = None,
    ) -> None:
        """Start it."""
        self.log = log
        with log.open("wb") as output, _running_on(cpus):
            self.started_s = time.perf_counter()
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environ),
            )

    def __enter__(self) -> Self:
        """Give the running process."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ask it to end, and after ten seconds make it, and what it has started."""
        tree = self._tree()
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for pid, began in tree.items():
            # A number may have been given to another process since: its beginning tells.
            if pid != self._child.pid and began == _began(pid):
                os.kill(pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Its id."""
        return self._child.pid

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return self._child.poll() is None

    def cpu_s(self) -> float:
        """CPU seconds it has used, user and system, all threads and children; to the microsecond.

        The kernel's clock of each process rather than /proc/<pid>/stat, which counts in hundredths
        of a second. Children that have ended are left out.
        """
        return sum(_cpu_s(pid) for pid in self._tree())

    def memory_mb(self) -> tuple[float, float | None]:
        """Megabytes (10^6 bytes) that are resident, and its proportional share, None if not told.

        The share counts pages that several processes map once in all: it is what one more
        process costs. Children are added.
        """
        figures = [_memory_mb(pid) for pid in self._tree()]
        shares = [share for _, share in figures if share is not None]
        total = sum(resident for resident, _ in figures)
        return total, sum(shares) if len(shares) == len(figures) else None

    def largest_child_mb(self) -> float | None:
        """Megabytes that are resident of the largest of its children; None if it has none."""
        children = [pid for pid in self._tree() if pid != self.pid]
        return max((_memory_mb(pid)[0] for pid in children), default=None)

    def last_words(self) -> str:
        """Return the end of what it wrote, for an error message."""
        return self.log.read_text(errors="replace")[-2000:]

    def _tree(self) -> Mapping[int, str]:
        return _tree(self._child.pid)


def end_children() -> None:
    """Make all that this program has started end, and wait for it.

    For its last moment: whoever is told to end while a process is being started does not know its id.
    """
    ours = os.getpid()
    tree = _tree(ours)
    for pid, began in tree.items():
        if pid != ours and began == _began(pid):
            os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _tree(root: int) -> Mapping[int, str]:
    """Give a process and its children, and theirs: id -> when it began."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (stat := _stat(int(folder.name))):
            parents[int(folder.name)] = int(stat[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return {pid: began for pid in found if (began := _began(pid))}


@contextmanager
def _running_on(cpus: frozenset[int] | None) -> Iterator[None]:
    """Move to these CPUs for the block: what is started in it stays there, from its first moment."""
    if not cpus:
        yield
        return
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


def _stat(pid: int) -> Sequence[str]:
    """Read the fields of /proc/<pid>/stat after the name; none if there is no such process."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ()


def _began(pid: int) -> str:
    """Tell when a process began, in the kernel's ticks; empty if it is gone."""
    stat = _stat(pid)
    return stat[19] if stat else ""


def _cpu_s(pid: int) -> float:
    clock = ctypes.c_int()
    if _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)):
        return 0.0  # it has ended since it was listed
    return time.clock_gettime(clock.value)


def _memory_mb(pid: int) -> tuple[float, float | None]:
    folder = Path("/proc") / str(pid)
    try:
        rollup = _fields(folder / "smaps_rollup")
    except OSError:
        return _fields(folder / "status")["VmRSS"], None
    return rollup["Rss"], rollup["Pss"]


def _fields(path: Path) -> Mapping[str, float]:
    """Read the lines `Name:  123 kB` of a file of /proc, in megabytes."""
    found = {}
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            found[words[0].rstrip(":")] = int(words[1]) * 1024 / 1e6
    return found
