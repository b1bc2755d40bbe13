"""Processes are counted with their children, and end with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import processes
import pytest
from processes import Process

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
child.wait()
"""
CHILD = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
until = time.process_time() + 0.2
while time.process_time() < until:
    pass
print("worked", flush=True)
signal.pause()
"""


def is_over(pid: int) -> bool:
    """Tell whether a process is gone, or only its entry is left."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}


def test_a_child_is_counted_and_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", PARENT.replace("CHILD", repr(CHILD))]

    with Process(command, log=log, environ=os.environ) as process:
        while "worked" not in log.read_text():
            assert process.is_alive(), process.last_words()
        child = int(log.read_text().split()[0])
        cpu_s = process.cpu_s()
        resident_mb, _ = process.memory_mb()
        largest_mb = process.largest_child_mb()

    assert cpu_s >= 0.2
    assert resident_mb > 10
    assert largest_mb is not None
    assert 0 < largest_mb < resident_mb
    # The test's time limit is what fails here.
    while not is_over(child):
        os.sched_yield()


def test_a_child_that_nobody_knows_of_ends_with_the_program() -> None:
    program = (
        "import subprocess, sys\n"
        "from processes import end_children\n"
        'grand = \'import subprocess; subprocess.run(["sleep", "60"])\'\n'
        "lost = subprocess.Popen([sys.executable, '-c', grand])\n"
        "end_children()\n"
        "print(lost.pid)\n"
    )
    folder = str(Path(processes.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": folder},
    )

    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
