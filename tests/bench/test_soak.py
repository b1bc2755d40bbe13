"""The soak runs from end to end; what it measures is nobody's business here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "soak.py"


def test_a_short_soak_tells_memory_and_loses_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--minutes", "0.1", "--rate", "20", "--connections", "2"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    rows = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines() if "  " in line)
    assert float(rows["idle memory, MB"]) > 0
    assert float(rows["memory in the last third, median MB"]) > 0
    assert int(rows["requests sent, and answered"]) >= 40
