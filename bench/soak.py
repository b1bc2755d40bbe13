"""Whether memory stays flat: half an hour of unary requests and new manifests, traced.

    python bench/soak.py --minutes 30 --rate 200

Every few seconds callers send a burst of unary requests, with a break that keeps the rate; every ten
seconds the manifest is written anew, so that tables come and go; spans go to a collector that takes
them. Resident memory is read after each burst. The report compares its median over the last third
of the time with that over the second third: what only warms up does so in the first.

The exit code is 1 if a request was not answered, never for a figure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from arguments import count
from footprint import BenchError, load, pinned, sidecar, started
from machine import describe
from processes import Process, environ_as_installed, free_port
from shipped import code, described
from wire import chat_request

_HERE = Path(__file__).resolve().parent
_BURST_S = 2.0
_REWRITE_S = 10.0
_TELL_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Resident megabytes (10^6 bytes) at a time, in seconds since the first answer."""

    at_s: float
    rss_mb: float


def soak(seconds: float, rate: float, connections: int) -> tuple[Sequence[Look], int]:
    """Run it; return every look at the memory, the first of them idle, and the requests sent."""
    request = chat_request(2048)
    looks: list[Look] = []
    sent = 0
    with tempfile.TemporaryDirectory(prefix="switchgear-soak-") as name, ExitStack() as stack:
        folder = Path(name)
        environ = environ_as_installed(folder / "bytecode")
        cpus = stack.enter_context(pinned())
        upstream_port, port = free_port(), free_port()
        upstream = stack.enter_context(
            Process(
                [sys.executable, str(_HERE / "upstream.py"), "--port", str(upstream_port)],
                log=folder / "upstream.log",
                environ=environ,
            )
        )
        started(upstream, upstream_port, request)
        process = stack.enter_context(
            Process(
                sidecar(port, upstream_port, folder, admin=free_port()),
                log=folder / "switchgear.log",
                environ={
                    **environ,
                    **code().environ,
                    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{upstream_port}",
                },
                cpus=cpus,
            )
        )
        began_s = started(process, port, request)
        time.sleep(1.0)
        looks.append(Look(at_s=0.0, rss_mb=process.memory_mb()[0]))
        written_s = told_s = began_s
        edition = 0
        count = max(1, round(rate * _BURST_S))
        while (now_s := time.perf_counter()) - began_s < seconds:
            if now_s - written_s >= _REWRITE_S:
                written_s, edition = now_s, edition + 1
                _rewrite(folder / "manifests" / "bench.yaml", edition)
            load(process, port, request, count=count, connections=connections)
            sent += count
            looks.append(Look(at_s=now_s - began_s, rss_mb=process.memory_mb()[0]))
            if now_s - told_s >= _TELL_S:
                told_s = now_s
                print(
                    f"{looks[-1].at_s / 60:4.0f} min, {sent} requests, {looks[-1].rss_mb:.1f} MB",
                    file=sys.stderr,
                    flush=True,
                )
            time.sleep(max(0.0, now_s + _BURST_S - time.perf_counter()))
    return looks, sent


def _rewrite(manifest: Path, edition: int) -> None:
    """Change a label of the provider, and with it the table."""
    text = manifest.read_text().partition("# edition")[0]
    draft = manifest.with_suffix(".draft")
    draft.write_text(f"{text}# edition {edition}\n---\n{_guest(edition)}")
    draft.rename(manifest)


def _guest(edition: int) -> str:
    return (
        "apiVersion: switchgear.dev/v1alpha1\n"
        "kind: LLMProvider\n"
        f"metadata: {{name: guest-{edition}}}\n"
        "spec: {type: VLLM, baseUrl: http://127.0.0.1:9/v1, suspend: true, "
        "healthCheck: {interval: 0s}}\n"
    )


def report(looks: Sequence[Look], sent: int) -> str:
    """Write the figures for people."""
    end_s = looks[-1].at_s
    idle = looks[0].rss_mb
    second = [look.rss_mb for look in looks if end_s / 3 <= look.at_s < 2 * end_s / 3]
    last = [look.rss_mb for look in looks if look.at_s >= 2 * end_s / 3]
    before, after = statistics.median(second or last), statistics.median(last)
    rows = [
        ("minutes", f"{end_s / 60:.1f}"),
        ("requests sent, and answered", str(sent)),
        ("idle memory, MB", f"{idle:.1f}"),
        ("memory in the second third, median MB", f"{before:.1f}"),
        ("memory in the last third, median MB", f"{after:.1f}"),
        ("  the same as a ratio to the second", f"{after / before:.3f}"),
        ("highest, MB", f"{max(look.rss_mb for look in looks):.1f}"),
        ("last third to idle", f"{after / idle:.2f}"),
    ]
    return "\n".join(f"{name:<42}{value:>12}" for name, value in rows)


def main() -> int:
    """Soak and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (200)")
    parser.add_argument("--connections", type=count, default=16, help="of each burst (16)")
    args = parser.parse_args()
    for name, value in {**describe(), **described()}.items():
        print(f"{name:10} {value}")
    try:
        looks, sent = soak(args.minutes * 60, args.rate, args.connections)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n" + report(looks, sent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
