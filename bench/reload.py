"""What many manifests cost: how soon a change is live, and how long the data path stands still.

    python bench/reload.py                            # about two minutes
    python bench/reload.py --objects 10000 --layouts packed --rounds 9

For each number of objects, a tenth of them providers, and each layout (`packed`: a hundred to a file;
`single`: a file each), Switchgear is started with them. Then, while small requests go through it at an
even pace:

* nothing happens, to see what the machine itself does;
* one route gets another model name, by a rename; the time until a request for that name is answered,
  and until /status tells of the new generation;
* /status and /explain are read.

Of each the longest stall is told: the longest time the loop was held, as a witness on the loop says
(heartbeat.py), without and with what others did on the machine, and the longest wait of a request, as
its caller says. At the end the requests of the
smallest and the largest table are compared, in turns.

It only ends processes that it has started. The exit code is 1 if a request was not answered, never
for a figure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from load import NoAnswerError, closed_loop, first_answer, first_good_answer
from machine import describe
from processes import Process, environ_as_installed, free_port
from shipped import code, described
from wire import chat_request, is_ok, message_end

_HERE = Path(__file__).resolve().parent
_START_S = 60.0
_LIVE_S = 30.0
_PACKED = 100
_PACE_S = 0.004
LAYOUTS = ("packed", "single")

_PROVIDER = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMProvider
metadata: {{name: {name}}}
spec:
  type: VLLM
  baseUrl: http://127.0.0.1:{port}/{name}/v1
  healthCheck: {{interval: 0s}}
"""
_ROUTE = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMRoute
metadata: {{name: {name}}}
spec:
  models: [{models}]
  targets:
    - {{provider: {first}, model: bench}}
    - {{provider: {second}, model: bench, priority: 2}}
"""


class BenchError(RuntimeError):
    """A run that gives no figures; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """The longest in a stretch of time, in milliseconds: of the loop, and of a small request.

    own_ms: of the loop, without the time in which others had the CPU.
    """

    own_ms: float
    loop_ms: float
    request_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change: milliseconds until a request saw it, until /status told it, and what stood still."""

    live_ms: float
    told_ms: float
    stall: Stall


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One document of the admin port: milliseconds, megabytes, and what stood still."""

    took_ms: float
    megabytes: float
    stall: Stall


@dataclass(slots=True, kw_only=True)
class Case:
    """One number of objects in one layout, and what was seen of it.

    start_s: from the start of the process to its first answer, without a table on disk; warm_s: the
    same with one. rss_mb: idle, after the start with a table; grown_mb: after all changes.
    """

    objects: int
    layout: str
    start_s: float = 0.0
    warm_s: float = 0.0
    rss_mb: float = 0.0
    grown_mb: float = 0.0
    quiet: list[Stall] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    status: list[Reading] = field(default_factory=list)
    explain: list[Reading] = field(default_factory=list)


class Gateway:
    """A running Switchgear with its manifests; what is asked of it is blocking."""

    def __init__(self, case: Case, folder: Path, upstream_port: int) -> None:
        """Write the manifests; nothing is started."""
        self.case = case
        self.port, self.admin = free_port(), free_port()
        self._folder = folder
        self._upstream_port = upstream_port
        self._manifests = folder / "manifests"
        self._manifests.mkdir(parents=True)
        self._beats = folder / "beats"
        self._providers = max(2, case.objects // 10)
        self._write_all()

    @contextmanager
    def running(self, cpus: frozenset[int]) -> Iterator[Process]:
        """Start it, and wait for its first answer. Raises BenchError."""
        command = [
            *(sys.executable, str(_HERE / "heartbeat.py"), str(self._beats), "run"),
            *("--manifests", str(self._manifests), "--state-dir", str(self._folder / "state")),
            *("--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}"),
            *("--log-level", "warning", "--lame-duck", "0s"),
        ]
        environ = {**environ_as_installed(self._folder.parent / "bytecode"), **code().environ}
        log = self._folder / "switchgear.log"
        with Process(command, log=log, environ=environ, cpus=cpus) as process:
            try:
                at_s = first_good_answer(
                    self.port, chat_request(256), timeout_s=_START_S, alive=process.is_alive
                )
            except NoAnswerError as error:
                raise BenchError(f"{error}; it wrote:\n{process.last_words()}") from error
            self.started_s = at_s - process.started_s
            yield process

    def write_aside(self, number: int) -> tuple[str, Path, Path]:
        """Write the last file anew, with another model name; a rename brings it in.

        Returns the model's name, the file as written, and its place.
        """
        name = f"moved-{number}"
        file, documents = self._last_file(name)
        new = file.with_suffix(".new")
        new.write_text("---\n".join(documents))
        return name, new, file

    def late_ms(self, from_s: float, to_s: float) -> tuple[float, float]:
        """Return the longest time that the loop was held between two moments, 0 below 2 ms.

        First what of it was the process' own doing, then as its clock saw it.
        """
        late = [(0.0, 0.0)]
        for line in self._beats.read_text().splitlines():
            words = line.split()
            if len(words) == 3 and from_s <= float(words[0]) <= to_s:
                late.append((float(words[2]), float(words[1])))
        return max(own for own, _ in late) * 1000, max(all_of_it for _, all_of_it in late) * 1000

    def _documents(self, moved: str) -> list[str]:
        total, providers = max(3, self.case.objects), self._providers
        documents = [
            _PROVIDER.format(name=f"provider-{number}", port=self._upstream_port)
            for number in range(providers)
        ]
        for number in range(total - providers):
            if number == 0:
                models = "bench"
            elif number == total - providers - 1:
                models = moved
            else:
                models = f'"route-{number}", "family-{number}/*"'
            documents.append(
                _ROUTE.format(
                    name=f"route-{number}",
                    models=models,
                    first=f"provider-{number % providers}",
                    second=f"provider-{(number + 1) % providers}",
                )
            )
        return documents

    def _write_all(self) -> None:
        documents = self._documents("moved-0")
        size = _PACKED if self.case.layout == "packed" else 1
        for start in range(0, len(documents), size):
            path = self._manifests / f"part-{start:05d}.yaml"
            path.write_text("---\n".join(documents[start : start + size]))

    def _last_file(self, moved: str) -> tuple[Path, list[str]]:
        file = max(self._manifests.glob("*.yaml"))
        documents = self._documents(moved)
        return file, documents[int(file.stem.partition("-")[2]) :]


class _Stream:
    """Small requests at an even pace, one at a time on one connection, while a block runs.

    waits: when each was due (of `time.monotonic`) and how long after that its answer came, in
    seconds. One that could not be sent in time counts from when it was due.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.waits: list[tuple[float, float]] = []
        self.failed = 0

    async def run(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        request = chat_request(256)
        due_s = time.monotonic()
        try:
            while True:
                writer.write(request)
                if not await _answer(reader):
                    self.failed += 1
                now_s = time.monotonic()
                self.waits.append((due_s, now_s - due_s))
                due_s = max(due_s + _PACE_S, now_s - _PACE_S)
                await asyncio.sleep(max(0.0, due_s - now_s))
        finally:
            writer.close()

    def longest_ms(self, from_s: float, to_s: float) -> float:
        return 1000 * max(
            (wait_s for due_s, wait_s in self.waits if due_s <= to_s and due_s + wait_s >= from_s),
            default=0.0,
        )


async def _answer(reader: asyncio.StreamReader) -> bool:
    buffer = bytearray()
    while not message_end(buffer):
        data = await reader.read(65536)
        if not data:
            raise BenchError("a connection was closed")
        buffer += data
    return is_ok(buffer)


async def _get(port: int, path: str) -> bytes:
    """Fetch a document of the admin port. Raises BenchError."""
    return _body(path, await asyncio.to_thread(_fetch, port, path))


def _fetch(port: int, path: str) -> Sequence[bytes]:
    """Read an answer in this thread, as it comes: to put it together would stop the others."""
    parts = []
    with socket.create_connection(("127.0.0.1", port), timeout=_LIVE_S) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        while data := connection.recv(256 * 1024):
            parts.append(data)
    return parts


def _body(path: str, parts: Sequence[bytes]) -> bytes:
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise BenchError(f"{path}: {head[:40]!r}")
    return _unchunked(body) if b"chunked" in head.lower() else body


def _unchunked(body: bytes) -> bytes:
    parts = []
    at = 0
    while at < len(body):
        end = body.index(b"\r\n", at)
        length = int(body[at:end], 16)
        parts.append(body[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
    return b"".join(parts)


async def _until_live(port: int, model: str) -> None:
    """Ask for a model, a little over once a millisecond, until that is answered 200."""
    request = chat_request(256).replace(b'"bench"', f'"{model}"'.encode())
    head, _, body = request.partition(b"\r\n\r\n")
    start = head.rpartition(b" ")[0]
    request = b"%s %d\r\n\r\n%s" % (start, len(body), body)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(_LIVE_S):
            while True:
                writer.write(request)
                if await _answer(reader):
                    return
                await asyncio.sleep(0.001)
    except TimeoutError as error:
        raise BenchError(f"{model} was not live after {_LIVE_S:g} s") from error
    finally:
        writer.close()


async def _observe(gateway: Gateway, rounds: int, first: int) -> None:
    case = gateway.case
    stream = _Stream(gateway.port)
    running = asyncio.create_task(stream.run())

    async def stall(from_s: float) -> Stall:
        await asyncio.sleep(0.05)
        to_s = time.monotonic()
        own_ms, loop_ms = gateway.late_ms(from_s, to_s)
        return Stall(own_ms=own_ms, loop_ms=loop_ms, request_ms=stream.longest_ms(from_s, to_s))

    async def read(path: str) -> Reading:
        from_s = time.monotonic()
        parts = await asyncio.to_thread(_fetch, gateway.admin, path)
        took_s = time.monotonic() - from_s
        stood = await stall(from_s)
        megabytes = len(_body(path, parts)) / 1e6
        return Reading(took_ms=took_s * 1000, megabytes=megabytes, stall=stood)

    await asyncio.sleep(0.5)
    for number in range(first, first + rounds):
        from_s = time.monotonic()
        await asyncio.sleep(0.5)
        case.quiet.append(await stall(from_s))
        generation = json.loads(await _get(gateway.admin, "/status"))["generation"]
        model, new, place = gateway.write_aside(number)
        await asyncio.sleep(0.3)
        from_s = time.monotonic()
        new.rename(place)
        await _until_live(gateway.port, model)
        live_s = time.monotonic() - from_s
        await asyncio.sleep(0.5)  # what follows the install: the disk, the log
        change = await stall(from_s)
        told_s = time.monotonic()
        while json.loads(await _get(gateway.admin, "/status"))["generation"] == generation:
            await asyncio.sleep(0.001)
        told_s = time.monotonic() - told_s
        case.changes.append(Change(live_ms=live_s * 1000, told_ms=told_s * 1000, stall=change))
        await asyncio.sleep(0.2)
        case.status.append(await read("/status"))
        case.explain.append(await read("/explain?model=bench"))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    if stream.failed:
        raise BenchError(f"{stream.failed} of {len(stream.waits)} small requests were not answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. requests: of each turn when two tables are compared."""

    objects: Sequence[int]
    layouts: Sequence[str]
    rounds: int
    requests: int


def measure(
    plan: Plan, tell: Callable[[str], None]
) -> tuple[Sequence[Case], Mapping[int, list[float]]]:
    """Run all cases; return them, and microseconds of CPU for a request by table size."""
    cases: list[Case] = []
    cost_us: dict[int, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="switchgear-bench-") as name,
        _pinned() as cpus,
        ExitStack() as stack,
    ):
        folder = Path(name)
        upstream_port = free_port()
        command = [sys.executable, str(_HERE / "upstream.py"), "--port", str(upstream_port)]
        upstream = stack.enter_context(
            Process(command, log=folder / "upstream.log", environ=dict(os.environ))
        )
        try:
            first_answer(
                upstream_port, chat_request(256), timeout_s=_START_S, alive=upstream.is_alive
            )
        except NoAnswerError as error:
            raise BenchError(f"upstream: {error}; it wrote:\n{upstream.last_words()}") from error
        tell("a first start, for the bytecode")
        first = Gateway(Case(objects=3, layout="packed"), folder / "first", upstream_port)
        with first.running(cpus):
            time.sleep(0.1)
        for objects in plan.objects:
            for layout in plan.layouts:
                tell(f"{objects} objects, {layout}")
                case = Case(objects=objects, layout=layout)
                gateway = Gateway(case, folder / f"{objects}-{layout}", upstream_port)
                with gateway.running(cpus):
                    case.start_s = gateway.started_s
                    time.sleep(1.0)
                with gateway.running(cpus) as process:
                    case.warm_s = gateway.started_s
                    time.sleep(1.0)
                    case.rss_mb = process.memory_mb()[0]
                    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                        runner.run(_observe(gateway, plan.rounds, 1))
                    case.grown_mb = process.memory_mb()[0]
                cases.append(case)
        tell("a request of each table, in turns")
        cost_us = _in_turns(plan, folder, upstream_port, cpus)
    return cases, cost_us


def _in_turns(
    plan: Plan, folder: Path, upstream_port: int, cpus: frozenset[int]
) -> Mapping[int, list[float]]:
    """Measure the CPU of a request in front of the smallest and the largest table, in turns."""
    sizes = sorted({min(plan.objects), max(plan.objects)})
    cost_us: dict[int, list[float]] = {size: [] for size in sizes}
    with ExitStack() as stack:
        processes = {}
        for size in sizes:
            case = Case(objects=size, layout="packed")
            gateway = Gateway(case, folder / f"turns-{size}", upstream_port)
            processes[size] = (gateway, stack.enter_context(gateway.running(cpus)))
        time.sleep(1.0)
        for number in range(2 * plan.rounds + 1):
            for size, (gateway, process) in processes.items():
                before_s = process.cpu_s()
                loop = closed_loop(
                    gateway.port, chat_request(2048), count=plan.requests, connections=16
                )
                if loop.failed:
                    raise BenchError(f"{loop.failed} requests failed")
                if number:  # the first turn warms up
                    cost_us[size].append((process.cpu_s() - before_s) / plan.requests * 1e6)
    return cost_us


@contextmanager
def _pinned() -> Iterator[frozenset[int]]:
    """Keep callers and upstream on one CPU for the block, and give the others to Switchgear."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        yield frozenset()
        return
    os.sched_setaffinity(0, cpus[:1])
    try:
        yield frozenset(cpus[1:])
    finally:
        os.sched_setaffinity(0, cpus)


def report(cases: Sequence[Case], cost_us: Mapping[int, Sequence[float]], plan: Plan) -> str:
    """Write the figures for people."""
    heads = [
        "objects",
        "layout",
        "start s",
        "with disk s",
        "RSS MB",
        "at end MB",
        "live ms",
        "told ms",
        "stall: quiet",
        "change",
        "/status",
        "/explain",
        "/status ms",
        "/status MB",
    ]
    rows = [heads, *(_row(case) for case in cases)]
    small, large = min(cost_us), max(cost_us)
    ratios = [b / a for a, b in zip(cost_us[small], cost_us[large], strict=True)]
    return "\n".join(
        [
            f"medians of {plan.rounds} rounds (highest); stalls in ms: loop, own doing / loop / request",
            "",
            *_columns(rows),
            "",
            "live: from the rename to the first answer. told: /status read after that.",
            f"CPU for a request in us: {statistics.median(cost_us[small]):.0f} with {small} objects,",
            f"{statistics.median(cost_us[large]):.0f} with {large}; " + _ratio(ratios),
        ]
    )


def _ratio(ratios: Sequence[float]) -> str:
    return f"ratio in turns: {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})"


def _row(case: Case) -> list[str]:
    return [
        str(case.objects),
        case.layout,
        f"{case.start_s:.2f}",
        f"{case.warm_s:.2f}",
        f"{case.rss_mb:.1f}",
        f"{case.grown_mb:.1f}",
        _spread([change.live_ms for change in case.changes]),
        _spread([change.told_ms for change in case.changes]),
        _stalls(case.quiet),
        _stalls([change.stall for change in case.changes]),
        _stalls([reading.stall for reading in case.status]),
        _stalls([reading.stall for reading in case.explain]),
        _spread([reading.took_ms for reading in case.status]),
        f"{case.status[-1].megabytes:.2f}",
    ]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} ({max(values):.0f})"


def _stalls(stalls: Sequence[Stall]) -> str:
    return " / ".join(
        (
            _spread([stall.own_ms for stall in stalls]),
            _spread([stall.loop_ms for stall in stalls]),
            _spread([stall.request_ms for stall in stalls]),
        )
    )


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--objects", type=_counts, default=(10, 100, 10_000), help="of each case (10,100,10000)"
    )
    parser.add_argument(
        "--layouts", type=lambda text: text.split(","), default=LAYOUTS, help="packed,single"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of changes in each case (5)")
    parser.add_argument("--requests", type=int, default=3000, help="of a turn (3000)")
    return parser.parse_args()


def _counts(text: str) -> Sequence[int]:
    return [max(3, int(word)) for word in text.split(",")]


def main() -> int:
    """Measure and print."""
    args = _arguments()
    plan = Plan(
        objects=args.objects, layouts=args.layouts, rounds=args.rounds, requests=args.requests
    )
    for name, value in {**describe(), **described()}.items():
        print(f"{name:10} {value}")
    try:
        cases, cost_us = measure(plan, lambda line: print(line, file=sys.stderr, flush=True))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n" + report(cases, cost_us, plan))
    return 0


if __name__ == "__main__":
    sys.exit(main())
