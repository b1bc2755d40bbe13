"""Measure what Switchgear costs beside a bare aiohttp proxy, nginx, Envoy, Portkey and LiteLLM.

    python bench/compare.py                  # make bench: two minutes without heavy peers
    python bench/compare.py --plan full      # make bench-full: what bench/RESULTS.md is made of
    python bench/compare.py --only switchgear,bare --scenario unary --rounds 5

Everything runs on loopback, bounded in count and time, before a fake upstream; only processes that
were started here are ended, by their id. Peers that are not installed are left out and named: `make
bench-peers` installs most of them. The exit code is 1 if Switchgear failed anything, never for a
figure.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from arguments import count
from candidates import all_candidates
from launch import Candidate
from machine import describe, ticks
from measure import Bench
from native import NO_COMPILER, BenchError, build
from plans import FULL, QUICK, SCENARIOS, TINY, Plan
from plots import draw
from processes import end_children
from record import Record
from results import brief, markdown
from run import Run, document

_HERE = Path(__file__).resolve().parent
_OUT = _HERE / "out"
_PLANS = {plan.name: plan for plan in (TINY, QUICK, FULL)}


def main() -> int:
    """Measure, print and write."""
    args = _arguments()
    plan = _plan(args)
    # So that who is told to end ends what it has started.
    signal.signal(signal.SIGTERM, _ended)
    try:
        programs = build(_OUT)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    if programs is None:
        _tell(f"{NO_COMPILER}\nmeasuring start, memory and whole answers with callers in Python")
        return subprocess.call([sys.executable, str(_HERE / "footprint.py")])
    candidates, absent = _chosen(args)
    began_s, before = time.monotonic(), ticks()
    run = Run(
        plan=plan,
        versions={candidate.name: candidate.version for candidate in candidates},
        ours=[one.name for one in candidates if one.is_ours and not one.is_variant],
        absent=absent,
        about=_about(before, 0.0),
        record=Record(),
    )
    is_whole = args.plan == "full" and not (args.scenario or args.only or args.without)
    folder = args.out or (_HERE if is_whole else _OUT)
    folder.mkdir(parents=True, exist_ok=True)
    if args.resume:
        run = _resumed(run, folder / "results.json")

    def save() -> None:
        so_far = replace(run, about=_about(before, time.monotonic() - began_s))
        plots = draw(so_far)
        (folder / "plots").mkdir(exist_ok=True)
        for name, drawing in plots.items():
            (folder / "plots" / f"{name}.svg").write_text(drawing)
        (folder / "RESULTS.md").write_text(markdown(so_far, list(plots)))
        (folder / "results.json").write_text(document(so_far))

    def tell(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began_s), 60)
        _tell(f"{minutes:3}:{seconds:02} {line}")

    try:
        with tempfile.TemporaryDirectory(prefix="switchgear-bench-") as work:
            bench = Bench(plan, candidates, run.record, tell=tell, save=save)
            bench.run(programs, Path(work))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _tell("broken off; what was complete is kept, and --resume goes on with it")
        return 130
    save()
    print(brief(run))
    _tell(f"written to {folder / 'RESULTS.md'} and results.json beside it")
    ours = tuple(f"{one.name}:" for one in candidates if one.is_ours)
    return 1 if any(line.startswith(ours) for line in run.record.failures) else 0


def _ended(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def _plan(args: argparse.Namespace) -> Plan:
    plan = _PLANS[args.plan]
    if args.scenario:
        # With less to do there is time to do it better.
        plan = replace(plan, scenarios=args.scenario, seconds=max(plan.seconds, args.seconds))
    if args.rounds:
        rounds = dict.fromkeys(("rounds", "start_rounds", "growth_rounds"), args.rounds)
        plan = replace(plan, **rounds)
    return plan


def _resumed(run: Run, written: Path) -> Run:
    """Take up what a run of the same plan and candidates has left; ends the program if it is another."""
    try:
        left = json.loads(written.read_text())
    except (OSError, ValueError):
        return run
    ours = json.loads(document(run))
    if any(left[name] != ours[name] for name in ("plan", "versions")):
        sys.exit(f"{written} is of another plan or of other candidates; run without --resume")
    return replace(run, record=Record(**left["record"]))


def _chosen(args: argparse.Namespace) -> tuple[Sequence[Candidate], Mapping[str, str]]:
    """Give those that are to be measured, and how to install those that would be but for that."""
    wanted = [
        candidate
        for candidate in all_candidates(args.checkout)
        if (not args.only or candidate.name in args.only) and candidate.name not in args.without
    ]
    absent = {candidate.name: candidate.how for candidate in wanted if not candidate.version}
    for name, how in absent.items():
        _tell(f"{name} is left out: not installed ({how})")
    return [candidate for candidate in wanted if candidate.version], absent


def _about(before: Mapping[str, int], took_s: float) -> Mapping[str, str]:
    spent = {name: count - before[name] for name, count in ticks().items()}
    total = max(1, sum(spent.values()))
    busy = total - spent["idle"] - spent["iowait"] - spent["steal"]
    others = max(0.0, busy / os.sysconf("SC_CLK_TCK") - _own_cpu_s())
    return {
        **{name: text for name, text in describe().items() if name != "load"},
        "revision": _revision(),
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, in {took_s / 60:.0f} minutes",
        "noise": f"{others / max(took_s, 0.001) / (os.cpu_count() or 1):.1%} of CPU time went to other processes,"
        f" {spent['steal'] / total:.1%} was stolen from the machine",
    }


def _own_cpu_s() -> float:
    """Tell what this process has used, and all that it has started and that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _revision() -> str:
    """Name the commit, and whether files of the product differ from it."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(_HERE.parent), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "controlplane", "dataplane", "switchgear")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (", changed" if changed else "")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="scenarios:\n" + "\n".join(f"  {name:14}{told}" for name, told in SCENARIOS.items()),
    )
    parser.add_argument("--plan", choices=list(_PLANS), default="quick", help="how much (quick)")
    parser.add_argument("--only", type=_words, default=(), metavar="NAME,...", help="just these")
    parser.add_argument("--without", type=_words, default=(), metavar="NAME,...", help="not these")
    parser.add_argument(
        "--scenario",
        type=_words,
        default=(),
        metavar="NAME,...",
        help="just these, of the list below",
    )
    parser.add_argument("--rounds", type=count, help="of each scenario, instead of the plan's")
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.7,
        help="of a run in a closed loop, with --scenario (0.7)",
    )
    parser.add_argument(
        "--checkout",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="also measure the Switchgear of another clone, with its .venv, under the folder's name;"
        " may be repeated",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where RESULTS.md and results.json go (bench/ for the full plan of everyone, else bench/out/)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on after the last complete round of the same run"
    )
    args = parser.parse_args()
    names = [candidate.name for candidate in all_candidates(args.checkout)]
    if unknown := [name for name in (*args.only, *args.without) if name not in names]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(names)}")
    if unknown := [name for name in args.scenario if name not in SCENARIOS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return args


def _words(text: str) -> Sequence[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        end_children()
