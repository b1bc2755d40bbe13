"""The benchmark of spans runs from end to end; what it measures is nobody's business here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "spans.py"


def test_a_small_run_prints_the_cost_of_a_span_and_leaves_no_process() -> None:
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), "--rounds", "2", "--requests", "20", "--connections", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        out, err = process.communicate(timeout=100)

    assert 0 == process.returncode, err
    for line in (
        "CPU for a request, tracing off",
        "CPU for a request, spans exported",
        "CPU for a span",
    ):
        assert re.search(rf"^{line} \(us\) +-?[\d.]+ \(", out, re.MULTILINE), out
    assert "budget: 20 us a span" in out
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
