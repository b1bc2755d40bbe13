"""The benchmark runs from end to end; what it measures is nobody's business here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "reload.py"


def test_a_small_run_prints_every_figure_and_leaves_no_process() -> None:
    command = [
        sys.executable,
        str(SCRIPT),
        "--objects",
        "4,20",
        "--rounds",
        "1",
        "--requests",
        "20",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        out, err = process.communicate(timeout=100)

    assert 0 == process.returncode, err
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    rows = [line.split() for line in out.splitlines() if re.search(r"(packed|single)", line)]
    assert [("4", "packed"), ("4", "single"), ("20", "packed"), ("20", "single")] == [
        (row[0], row[1]) for row in rows
    ]
    assert "live ms" in out
    assert re.search(r"ratio in turns: \d\.\d{3} \(", out)
