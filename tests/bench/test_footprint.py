"""The benchmark runs from end to end; what it measures is nobody's business here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "footprint.py"
SMALL = ("--rounds", "1", "--requests", "40", "--connections", "4", "--settle", "0")
CANDIDATES = ("bare proxy", "tracing off", "no collector", "collector")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in a session of its own; fail if that outlives it."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        out, err = process.communicate(timeout=100)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_a_small_run_prints_every_figure_and_leaves_no_process(tmp_path: Path) -> None:
    written = tmp_path / "samples.json"

    done = bench(*SMALL, "--json", str(written))

    assert 0 == done.returncode, done.stderr
    for line in (
        "start to first answer (s)",
        "CPU until then (s)",
        "idle memory, RSS (MB)",
        "RSS after load (MB)",
        "CPU for a request (us)",
    ):
        (row,) = (row for row in done.stdout.splitlines() if row.startswith(line))
        assert len(CANDIDATES) == len(re.findall(r"\d+(?:\.\d+)? \([\d.]+-[\d.]+\)", row)), row
    for name in ("machine", "system", "python", "packages", "load", "code"):
        assert re.search(rf"^{name} +\S", done.stdout, re.MULTILINE)
    assert "aiohttp" in done.stdout
    assert "start to first answer <= 0.35 s" in done.stdout
    assert "idle memory, RSS <= 60 MB" in done.stdout
    samples = json.loads(written.read_text())["samples"]
    assert list(CANDIDATES) == list(samples)
    for (sample,) in samples.values():
        assert all(sample[name] > 0 for name in ("start_s", "start_cpu_s", "rss_mb", "cpu_us"))


def test_a_request_that_is_not_answered_fails_the_run() -> None:
    larger_than_the_bare_proxy_takes = str(33 * 2**20)

    done = bench(*SMALL, "--body", larger_than_the_bare_proxy_takes)

    assert 1 == done.returncode
    assert "no answer" in done.stderr


def test_help_names_the_rounds() -> None:
    done = bench("--help")

    assert 0 == done.returncode
    assert "--rounds" in done.stdout


def test_no_rounds_are_refused() -> None:
    done = bench("--rounds", "0")

    assert 2 == done.returncode
    assert "must be at least 1" in done.stderr
