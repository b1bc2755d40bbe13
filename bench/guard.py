"""Count the instructions of a request, and compare them with what was published last.

    python bench/guard.py            # make bench-guard

Instructions do not move with the machine's noise, so a figure that is more than a tenth above the one
in bench/results.json is a change of ours. Exit code: 0 if none is, 1 if one is or there is no figure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_PUBLISHED = _HERE / "results.json"
_OUT = _HERE / "out" / "guard"
_METRIC = "instructions.request"
_WATCHED = ("switchgear", "switchgear-off")
MOST = 1.10


def main() -> int:
    """Count, compare and print."""
    command = [sys.executable, str(_HERE / "compare.py"), "--only", ",".join(_WATCHED)]
    done = subprocess.run(
        [*command, "--scenario", "instructions", "--out", str(_OUT)],
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        return 1
    verdicts = list(compared(figures(_PUBLISHED), figures(_OUT / "results.json")))
    for line, _ in verdicts:
        print(line)
    return 0 if all(is_good for _, is_good in verdicts) else 1


def figures(results: Path) -> Mapping[str, float]:
    """Read instructions a request, by candidate, from the results of a benchmark."""
    series = json.loads(results.read_text())["record"]["series"].get(_METRIC, {})
    return {name: rounds[-1] for name, rounds in series.items() if rounds and rounds[-1]}


def compared(
    published: Mapping[str, float], now: Mapping[str, float]
) -> Iterator[tuple[str, bool]]:
    """Give a line for each candidate that is watched, and whether its figure is good."""
    for name in _WATCHED:
        if name not in published or name not in now:
            where = "results.json" if name in now else "this run"
            yield f"{name}: {where} has no figure; valgrind counts it", False
            continue
        ratio = now[name] / published[name]
        verdict = "good" if ratio <= MOST else f"over {MOST:.2f} times"
        told = f"{now[name]:,.0f} instructions a request, {ratio:.2f} times the published"
        yield f"{name}: {told} {published[name]:,.0f}: {verdict}", ratio <= MOST


if __name__ == "__main__":
    sys.exit(main())
