"""Processes that a benchmark starts, looks at, and ends again by their id."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_STOP_S = 10.0
_LIBC = ctypes.CDLL(None, use_errno=True)


def free_port() -> int:
    """Return a port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
        with log.open("wb") as output:
            self.started_s = time.perf_counter()
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environ),
            )
        if cpus:
            os.sched_setaffinity(self._child.pid, cpus)

    def __enter__(self) -> Self:
        """Give the running process."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ask it to end, and after ten seconds make it."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return self._child.poll() is None

    def cpu_s(self) -> float:
        """CPU seconds it has used, user and system, all threads; to the microsecond.

        The kernel's clock of the process rather than /proc/<pid>/stat, which counts in hundredths
        of a second.
        """
        clock = ctypes.c_int()
        fault = _LIBC.clock_getcpuclockid(self._child.pid, ctypes.byref(clock))
        if fault:
            raise OSError(fault, os.strerror(fault))
        return time.clock_gettime(clock.value)

    def memory_mb(self) -> tuple[float, float | None]:
        """Megabytes (10^6 bytes) that are resident, and its proportional share, None if not told.

        The share counts pages that several processes map once in all: it is what one more
        process costs.
        """
        folder = Path("/proc") / str(self._child.pid)
        try:
            rollup = _fields(folder / "smaps_rollup")
        except OSError:
            return _fields(folder / "status")["VmRSS"], None
        return rollup["Rss"], rollup["Pss"]

    def last_words(self) -> str:
        """Return the end of what it wrote, for an error message."""
        return self.log.read_text(errors="replace")[-2000:]


def _fields(path: Path) -> Mapping[str, float]:
    """Read the lines `Name:  123 kB` of a file of /proc, in megabytes."""
    found = {}
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            found[words[0].rstrip(":")] = int(words[1]) * 1024 / 1e6
    return found
