"""What a span costs: CPU for a request with spans exported, minus CPU with tracing off.

    python bench/spans.py
    python bench/spans.py --rounds 21 --requests 4000

Two sidecars run side by side, alike but for a collector, which is a process of its own. They take
turns under the same load, so that each round gives a difference of its own; whatever the export
thread does is in it: encoding, compression if asked for, sending. A request has two spans, one for
itself and one for its attempt.

It only ends processes that it has started. The exit code is 1 if a request was not answered or a
span did not arrive, never for a figure.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from arguments import count
from footprint import BenchError, load, pinned, sidecar, started
from machine import describe
from processes import Process, free_port
from shipped import code, described
from wire import chat_request

_HERE = Path(__file__).resolve().parent
_SPANS = 2
"""Spans of a request."""

_BUDGET_US = 20.0
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Microseconds of CPU for a request, all threads of the sidecar."""

    off_us: float
    on_us: float

    @property
    def span_us(self) -> float:
        """What one span adds."""
        return (self.on_us - self.off_us) / _SPANS


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. environ: OTEL_* settings of the sidecar that exports."""

    rounds: int
    requests: int
    connections: int
    body_bytes: int
    environ: Mapping[str, str]


def measure(plan: Plan, tell: Callable[[str], None]) -> Sequence[Round]:
    """Run all rounds. Raises BenchError."""
    request = chat_request(plan.body_bytes)
    environ = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OTEL_", "SWITCHGEAR_"))
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchgear-bench-")))
        cpus = stack.enter_context(pinned())
        ports = {name: free_port() for name in ("upstream", "collector")}
        for name, port in ports.items():
            command = [sys.executable, str(_HERE / "upstream.py"), "--port", str(port)]
            log = folder / f"{name}.log"
            started(stack.enter_context(Process(command, log=log, environ=environ)), port, request)
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{ports['collector']}"}
        sides = []
        for name, more in (("off", {}), ("on", {**endpoint, **plan.environ})):
            port, admin = free_port(), free_port()
            process = Process(
                sidecar(port, ports["upstream"], folder / name, admin=admin),
                log=folder / f"{name}.log",
                environ={**environ, **code().environ, **more},
                cpus=cpus,
            )
            started(stack.enter_context(process), port, request)
            load(process, port, request, count=plan.requests, connections=plan.connections)
            sides.append((process, port, admin))
        rounds = []
        for number in range(plan.rounds):
            tell(f"round {number + 1} of {plan.rounds}")
            # Each is the first as often as the other.
            order = (0, 1) if number % 2 else (1, 0)
            took = {at: _cpu_us(*sides[at], request, plan) for at in order}
            rounds.append(Round(off_us=took[0], on_us=took[1]))
        _check(sides[1][2])
        return rounds


def _cpu_us(process: Process, port: int, admin: int, request: bytes, plan: Plan) -> float:
    """Load one side, and wait until nothing of it is left to export."""
    before_s = process.cpu_s()
    load(process, port, request, count=plan.requests, connections=plan.connections)
    # Both sides wait, and are asked as often, whether or not they have anything to export.
    time.sleep(1.2)
    deadline_s = time.monotonic() + _PATIENCE_S
    while _spans(admin).get("queued", 0):
        if time.monotonic() > deadline_s:
            raise BenchError("spans are left in the queue")
        time.sleep(0.1)
    return (process.cpu_s() - before_s) / plan.requests * 1e6


def _spans(admin: int) -> Mapping[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/status", timeout=10) as answer:
        spans: Mapping[str, int] = json.load(answer)["telemetry"].get("spans", {})
    return spans


def _check(admin: int) -> None:
    counts = _spans(admin)
    if counts["ended"] != counts["exported"] or not counts["ended"]:
        raise BenchError(f"not every span arrived: {dict(counts)}")


def report(rounds: Sequence[Round], plan: Plan) -> str:
    """Write the figures for people."""
    rows = (
        ("CPU for a request, tracing off", [item.off_us for item in rounds]),
        ("CPU for a request, spans exported", [item.on_us for item in rounds]),
        ("CPU for a span", [item.span_us for item in rounds]),
    )
    load_ = f"{plan.requests} requests of {plan.body_bytes} bytes on {plan.connections} connections"
    lines = [f"medians of {plan.rounds} rounds, quartiles in brackets; a round: {load_}", ""]
    lines += [f"{name + ' (us)':38} {_spread(values)}" for name, values in rows]
    within = statistics.median(rows[2][1]) <= _BUDGET_US
    lines += ["", f"budget: {_BUDGET_US:g} us a span: {'within' if within else 'over'}"]
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=count, default=9, help="of both sides (9)")
    parser.add_argument("--requests", type=count, default=3000, help="a round and side (3000)")
    parser.add_argument("--connections", type=count, default=16, help="of the load (16)")
    parser.add_argument("--body", type=count, default=2048, help="bytes of a request's body (2048)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="OTEL_NAME=VALUE", help="for the exporter"
    )
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    args = _arguments()
    plan = Plan(
        rounds=args.rounds,
        requests=args.requests,
        connections=args.connections,
        body_bytes=max(args.body, 128),
        environ=dict(item.partition("=")[::2] for item in args.set),
    )
    for name, value in {**describe(), **described()}.items():
        print(f"{name:10} {value}")
    try:
        rounds = measure(plan, lambda line: print(line, file=sys.stderr, flush=True))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n" + report(rounds, plan))
    return 0


if __name__ == "__main__":
    sys.exit(main())
