"""Counts the instructions that a request takes, under valgrind's callgrind.

Slow, and the same on every day: what the kernel does is not counted, nor does noise count.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from native import BenchError

NO_VALGRIND = "valgrind was not found; on Debian: apt-get install valgrind"
_WAIT_S = 30.0
_RETRY_S = 0.1
_TOTAL = re.compile(rb"^(?:totals|summary): (\d+)", re.MULTILINE)


def wrapper(folder: Path) -> Sequence[str]:
    """Give the words to put before a command; empty if there is no valgrind.

    folder: where it writes what it has counted.
    """
    program = shutil.which("valgrind")
    if program is None or shutil.which("callgrind_control") is None:
        return ()
    files = folder / "callgrind.out.%p"
    return (
        *(program, "--quiet", "--tool=callgrind", "--trace-children=no"),
        f"--callgrind-out-file={files}",
    )


def counted(pid: int, folder: Path) -> int:
    """Tell the instructions of a process under valgrind since this was asked for last.

    Raises BenchError if valgrind does not tell.
    """
    before = set(folder.glob("callgrind.out.*"))
    command = ["callgrind_control", "--dump=bench", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_WAIT_S)
    deadline_s = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline_s:
        for path in sorted(set(folder.glob("callgrind.out.*")) - before):
            if found := _TOTAL.findall(path.read_bytes()):
                return int(found[-1])
        time.sleep(_RETRY_S)
    raise BenchError(f"valgrind told nothing: {done.stdout.strip()} {done.stderr.strip()}")
