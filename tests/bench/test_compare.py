"""The whole harness runs, with counts too small to measure anything; its figures are nobody's business."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from native import build
from plots import PLOTS

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "compare.py"
BUILT = build(SCRIPT.parent / "out")


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
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


@pytest.mark.skipif(BUILT is None, reason="no C compiler")
def test_everything_is_measured_and_no_process_is_left(tmp_path: Path) -> None:
    names = "switchgear,bare"

    done = compare("--plan", "tiny", "--only", names, "--out", str(tmp_path))

    assert 0 == done.returncode, done.stderr
    told = (tmp_path / "RESULTS.md").read_text()
    assert "## Goals: switchgear" in done.stdout
    assert "## Goals: switchgear" in told
    drawn = {path.stem for path in (tmp_path / "plots").iterdir()}
    # Of two requests the one through a proxy may be the faster one, which has no place on its scale.
    assert set(PLOTS) - {"latency"} == drawn - {"latency"}
    assert all(f"(plots/{name}.svg)" in told for name in drawn)
    written = json.loads((tmp_path / "results.json").read_text())["record"]
    assert [] == written["failures"]
    both = {"switchgear", "bare"}
    series = written["series"]
    for metric in (
        "unary.cpu_us",
        "long.cpu_us",
        "burst.event_us",
        "spaced.event_us",
        "open.50.p50_ms",
        "start.s",
        "idle.rss_mb",
        "loaded.rss_mb",
        "connections.10.cpu_us",
        "body.1000000.cpu_us",
        "length.20.event_us",
    ):
        assert both == set(series[metric]) - {"direct"}, metric
        assert all(series[metric][name][0] > 0 for name in both), metric
    for metric in ("ollama.spaced.event_us", "bedrock.unary.cpu_us", "routes.100.live_s"):
        assert series[metric]["switchgear"][0] > 0, metric
    assert [[24.0]] * 3 == [series["burst.events"][name] for name in ("direct", *both)]


@pytest.mark.skipif(BUILT is None, reason="no C compiler")
def test_a_run_is_taken_up_after_its_last_complete_round(tmp_path: Path) -> None:
    words = (
        "--plan",
        "tiny",
        "--only",
        "bare",
        "--scenario",
        "unary,start",
        "--out",
        str(tmp_path),
    )
    assert 0 == compare(*words, "--rounds", "2").returncode
    results = tmp_path / "results.json"
    whole = json.loads(results.read_text())
    half = json.loads(results.read_text())
    half["record"]["done"]["requests"] = 1
    for metric, by_name in half["record"]["series"].items():
        if metric.startswith("unary."):
            half["record"]["series"][metric] = {name: [7.0] for name in by_name}
    results.write_text(json.dumps(half))

    done = compare(*words, "--rounds", "2", "--resume")

    assert 0 == done.returncode, done.stderr
    resumed = json.loads(results.read_text())["record"]
    assert whole["record"]["done"] == resumed["done"]
    assert whole["record"]["series"]["start.s"] == resumed["series"]["start.s"]
    first, second = resumed["series"]["unary.cpu_us"]["bare"]
    assert first == 7.0 != second


@pytest.mark.skipif(BUILT is None, reason="no C compiler")
def test_a_run_of_another_plan_is_not_taken_up(tmp_path: Path) -> None:
    words = ("--plan", "tiny", "--only", "bare", "--scenario", "start", "--out", str(tmp_path))
    assert 0 == compare(*words).returncode

    done = compare(*words, "--rounds", "3", "--resume")

    assert 1 == done.returncode
    assert "is of another plan or of other candidates" in done.stderr


@pytest.mark.skipif(BUILT is None, reason="no C compiler")
def test_who_is_told_to_end_ends_what_it_has_started(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--plan", "tiny", "--only", "bare"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "warming up" in line:
                process.terminate()
                break
        process.communicate(timeout=60)

    assert 143 == process.returncode
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_help_tells_of_the_plans() -> None:
    done = compare("--help")

    assert 0 == done.returncode
    assert "make bench-full" in done.stdout
    assert "{tiny,quick,full}" in done.stdout


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    done = compare("--only", "nobody")

    assert 2 == done.returncode
    assert "unknown: nobody; there are" in done.stderr
    assert "litellm" in done.stderr


def test_unknown_scenarios_are_refused_with_the_known_ones() -> None:
    done = compare("--scenario", "everything")

    assert 2 == done.returncode
    assert "unknown: everything; there are start, unary" in done.stderr
