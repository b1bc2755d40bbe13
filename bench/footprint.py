"""What Switchgear costs beside a bare aiohttp proxy: memory, start-up, CPU for each request.

    python bench/footprint.py            # make bench
    python bench/footprint.py --rounds 5 --requests 10000

Every round starts each candidate as a process of its own, one after the other, in front of the same
upstream. The results are medians, with the lowest and the highest round, and ratios to the bare proxy
of the same round: absolute figures are the machine's, ratios are Switchgear's.

It only ends processes that it has started. The exit code is 1 if a request was not answered, never
for a figure.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from arguments import count
from load import NoAnswerError, closed_loop, first_answer
from machine import describe
from processes import Process, environ_as_installed, free_port
from shipped import code, described
from wire import chat_request

_HERE = Path(__file__).resolve().parent
_START_S = 30.0

BARE = "bare proxy"
OFF = "tracing off"
DEAD = "no collector"
TAKEN = "collector"
CANDIDATES = (BARE, OFF, DEAD, TAKEN)

_MANIFESTS = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMProvider
metadata: {{name: upstream}}
spec:
  type: VLLM
  baseUrl: http://127.0.0.1:{port}/v1
  healthCheck: {{interval: 0s}}
---
apiVersion: switchgear.dev/v1alpha1
kind: LLMRoute
metadata: {{name: bench}}
spec:
  models: [bench]
  targets: [{{provider: upstream, model: bench}}]
"""


class BenchError(RuntimeError):
    """A run that gives no figures; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One candidate in one round.

    start_s: from the start of the process to its first answer; start_cpu_s: CPU of that time.
    rss_mb, pss_mb: idle, some time after that answer; pss_mb is None where the kernel does not tell.
    cpu_us: microseconds of CPU for each request of the closed loop, threads included.
    loaded_rss_mb: after the loop. Megabytes are 10^6 bytes.
    """

    start_s: float
    start_cpu_s: float
    rss_mb: float
    pss_mb: float | None
    cpu_us: float
    loaded_rss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metric:
    """One line of the report. budget: what `switchgear` must stay within, None for none."""

    name: str
    unit: str
    of: Callable[[Sample], float | None]
    digits: int
    budget: float | None = None


_METRICS = (
    _Metric(name="start to first answer", unit="s", of=lambda s: s.start_s, digits=2, budget=0.35),
    _Metric(name="CPU until then", unit="s", of=lambda s: s.start_cpu_s, digits=2),
    _Metric(name="idle memory, RSS", unit="MB", of=lambda s: s.rss_mb, digits=1, budget=60.0),
    _Metric(name="idle memory, PSS", unit="MB", of=lambda s: s.pss_mb, digits=1),
    _Metric(name="RSS after load", unit="MB", of=lambda s: s.loaded_rss_mb, digits=1),
    _Metric(name="CPU for a request", unit="us", of=lambda s: s.cpu_us, digits=0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. settle_s: between the first answer and the look at the memory."""

    rounds: int
    requests: int
    connections: int
    body_bytes: int
    settle_s: float


def measure(plan: Plan, tell: Callable[[str], None]) -> Mapping[str, Sequence[Sample]]:
    """Run all rounds, and give each candidate's samples. Raises BenchError."""
    samples: dict[str, list[Sample]] = {name: [] for name in CANDIDATES}
    with tempfile.TemporaryDirectory(prefix="switchgear-bench-") as folder, pinned() as other_cpu:
        brief = replace(plan, requests=1, connections=1, settle_s=0.0)
        for name in CANDIDATES:
            tell(f"a first start, for the bytecode: {name}")
            _sample(name, brief, Path(folder), other_cpu)
        for number in range(plan.rounds):
            # Nobody is always the first, on a machine that may be warming up.
            shift = number % len(CANDIDATES)
            for name in CANDIDATES[shift:] + CANDIDATES[:shift]:
                tell(f"round {number + 1} of {plan.rounds}: {name}")
                samples[name].append(_sample(name, plan, Path(folder), other_cpu))
    return samples


def _sample(name: str, plan: Plan, folder: Path, cpus: frozenset[int]) -> Sample:
    request = chat_request(plan.body_bytes)
    environ = environ_as_installed(folder / "bytecode")
    with ExitStack() as stack:
        upstream_port, port = free_port(), free_port()
        upstream = stack.enter_context(
            Process(
                [sys.executable, str(_HERE / "upstream.py"), "--port", str(upstream_port)],
                log=folder / "upstream.log",
                environ=environ,
            )
        )
        started(upstream, upstream_port, request)
        command, more = _command(name, port, upstream_port, folder)
        process = stack.enter_context(
            Process(command, log=folder / "candidate.log", environ={**environ, **more}, cpus=cpus)
        )
        start_s = started(process, port, request) - process.started_s
        start_cpu_s = process.cpu_s()
        time.sleep(plan.settle_s)
        rss_mb, pss_mb = process.memory_mb()
        load(
            process,
            port,
            request,
            count=max(1, plan.requests // 4),
            connections=plan.connections,
        )
        before_s = process.cpu_s()
        load(process, port, request, count=plan.requests, connections=plan.connections)
        cpu_s = process.cpu_s() - before_s
        return Sample(
            start_s=start_s,
            start_cpu_s=start_cpu_s,
            rss_mb=rss_mb,
            pss_mb=pss_mb,
            cpu_us=cpu_s / plan.requests * 1e6,
            loaded_rss_mb=process.memory_mb()[0],
        )


def _command(
    name: str, port: int, upstream_port: int, folder: Path
) -> tuple[Sequence[str], Mapping[str, str]]:
    """Give the command of a candidate, and what it needs in its environment."""
    upstream = f"http://127.0.0.1:{upstream_port}"
    if name == BARE:
        script = str(_HERE / "bare_proxy.py")
        return [sys.executable, script, "--port", str(port), "--upstream", upstream], {}
    command = sidecar(port, upstream_port, folder, admin=free_port())
    environ = code().environ
    match name:
        case "no collector":
            nowhere = f"http://127.0.0.1:{free_port()}"
            return command, {**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": nowhere}
        case "collector":
            return command, {**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": upstream}
        case _:
            return command, environ


def sidecar(port: int, upstream_port: int, folder: Path, *, admin: int) -> Sequence[str]:
    """Give the command of a sidecar in front of the upstream; its files go to `folder`.

    Which code it runs is up to its environment: see `shipped.code`.
    """
    manifests = folder / "manifests"
    manifests.mkdir(parents=True, exist_ok=True)
    (manifests / "bench.yaml").write_text(_MANIFESTS.format(port=upstream_port))
    return [
        *(sys.executable, "-m", "switchgear", "run"),
        # A table on disk would be served first, and that of an earlier start names another port.
        *("--manifests", str(manifests), "--state-dir", tempfile.mkdtemp(dir=folder)),
        *("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"),
        # Spans that are left at the end are of no interest here.
        *("--trace-flush", "0s"),
    ]


def started(process: Process, port: int, request: bytes) -> float:
    """Wait for the first answer, and give its time (`time.perf_counter`). Raises BenchError."""
    try:
        return first_answer(port, request, timeout_s=_START_S, alive=process.is_alive)
    except NoAnswerError as error:
        raise BenchError(f"{error}; the process wrote:\n{process.last_words()}") from error


def load(process: Process, port: int, request: bytes, *, count: int, connections: int) -> None:
    """Have `count` requests answered. Raises BenchError if one was not."""
    loop = closed_loop(port, request, count=count, connections=connections)
    if loop.failed or loop.answered != count:
        raise BenchError(
            f"{loop.failed} of {count} requests failed; the process wrote:\n{process.last_words()}"
        )


@contextmanager
def pinned() -> Iterator[frozenset[int]]:
    """Keep callers and upstream on one CPU for the block, and give the others to the candidate.

    Empty, and nothing is moved, where there is only one CPU.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        yield frozenset()
        return
    os.sched_setaffinity(0, cpus[:1])
    try:
        yield frozenset(cpus[1:])
    finally:
        os.sched_setaffinity(0, cpus)


def report(samples: Mapping[str, Sequence[Sample]], plan: Plan) -> str:
    """Write the figures for people."""
    heads = ["", BARE, *(f"switchgear, {name}" for name in CANDIDATES[1:])]
    figures = [
        [f"{metric.name} ({metric.unit})", *(_figure(metric, samples[name]) for name in CANDIDATES)]
        for metric in _METRICS
    ]
    ratios = [
        [metric.name, "1", *(_ratio(metric, samples, name) for name in CANDIDATES[1:])]
        for metric in _METRICS
    ]
    load = f"{plan.requests} requests of {plan.body_bytes} bytes on {plan.connections} connections"
    lines = [
        f"medians of {plan.rounds} rounds (lowest to highest); load: {load}",
        "",
        *_columns([heads, *figures]),
        "",
        "the same as a ratio to the bare proxy of the same round",
        "",
        *_columns([heads, *ratios]),
        "",
        "budgets, both planes in one process",
        "",
        *_columns([["", *heads[2:]], *_budgets(samples)]),
        "",
        "bare proxy: one route, no access log, no checks. switchgear: as shipped, a log line for",
        "each request. no collector: OTLP to a port where nobody listens. collector: spans are",
        "taken, two for each request.",
    ]
    return "\n".join(lines)


def document(samples: Mapping[str, Sequence[Sample]], plan: Plan) -> str:
    """Write the figures for programs."""
    return json.dumps(
        {
            "machine": {**describe(), **described()},
            "plan": asdict(plan),
            "samples": {name: [asdict(sample) for sample in samples[name]] for name in CANDIDATES},
        },
        indent=2,
    )


def _figure(metric: _Metric, samples: Sequence[Sample]) -> str:
    values = [value for sample in samples if (value := metric.of(sample)) is not None]
    return _spread(values, metric.digits)


def _ratio(metric: _Metric, samples: Mapping[str, Sequence[Sample]], name: str) -> str:
    ratios = []
    for ours, theirs in zip(samples[name], samples[BARE], strict=True):
        value, base = metric.of(ours), metric.of(theirs)
        if value is not None and base:
            ratios.append(value / base)
    return _spread(ratios, 2)


def _budgets(samples: Mapping[str, Sequence[Sample]]) -> Iterator[list[str]]:
    for metric in _METRICS:
        if metric.budget is None:
            continue
        row = [f"{metric.name} <= {metric.budget:g} {metric.unit}"]
        for name in CANDIDATES[1:]:
            values = [value for sample in samples[name] if (value := metric.of(sample)) is not None]
            row.append("within" if statistics.median(values) <= metric.budget else "over")
        yield row


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "   ".join(cells).rstrip()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=count, default=3, help="of all candidates (3)")
    parser.add_argument("--requests", type=count, default=2000, help="of the closed loop (2000)")
    parser.add_argument("--connections", type=count, default=16, help="of the closed loop (16)")
    parser.add_argument("--body", type=count, default=2048, help="bytes of a request's body (2048)")
    parser.add_argument(
        "--settle", type=float, default=0.5, help="seconds before memory is looked at (0.5)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all samples to FILE")
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    args = _arguments()
    plan = Plan(
        rounds=args.rounds,
        requests=args.requests,
        connections=args.connections,
        body_bytes=max(args.body, 128),
        settle_s=max(args.settle, 0.0),
    )
    for name, value in {**describe(), **described()}.items():
        print(f"{name:10} {value}")
    try:
        samples = measure(plan, lambda line: print(line, file=sys.stderr, flush=True))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n" + report(samples, plan))
    if args.json is not None:
        args.json.write_text(document(samples, plan) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
