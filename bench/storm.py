"""A minute of trouble: steady traffic while manifests change and a model server keeps dying.

Two real llama.cpp servers, the real sidecar, an open loop of unary and streamed requests at a
fixed rate. Every second the manifests are rewritten; every five seconds one server is killed
(SIGKILL) and started again. Each answer's text is known in advance and compared to the last
letter. The report counts what was lost; a stream that had begun to speak on the server that died
cannot be saved by anyone, and is counted apart.

    python bench/storm.py --seconds 60 --rate 200

Exit code 1 if anything was lost that another server could have given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import aiohttp

from switchgear.demo.llama import LlamaServer
from switchgear.demo.model import counted, make_model

REWRITE_S = 1.0
KILL_S = 5.0
DOWN_S = 1.5
MOST_NUMBERS = 12
LISTENING = re.compile(r"listening on ([\d.]+:\d+)")


@dataclass
class Report:
    """What became of the requests.

    cut_by_kill: streams that had begun on a server that was killed while they ran; they ended in
    a well-formed error event. lost: everything else that was not answered in full.
    """

    sent: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    failed_over: int = 0
    cut_by_kill: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    rewrites: int = 0
    latencies_s: list[float] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was lost."""
        return not self.lost

    def __str__(self) -> str:
        """Read as a table for people."""
        answered = sum(self.answered.values())
        spread = sorted(self.latencies_s) or [0.0]
        rows = [
            ("requests sent", self.sent),
            ("answered in full, to the last letter", answered),
            (
                "  of these unary / streamed",
                f"{self.answered['unary']} / {self.answered['stream']}",
            ),
            ("  of these after a fail-over", self.failed_over),
            ("streams cut by the server that was killed under them", self.cut_by_kill),
            ("lost", sum(self.lost.values())),
            ("servers killed", self.kills),
            ("manifests rewritten", self.rewrites),
            (
                "latency p50 / p99, ms",
                f"{1e3 * _at(spread, 0.5):.0f} / {1e3 * _at(spread, 0.99):.0f}",
            ),
        ]
        lines = [f"{name:<56}{value:>14}" for name, value in rows]
        lines += [f"  lost: {why:<48}{count:>14}" for why, count in self.lost.items()]
        return "\n".join(lines)


class Storm:
    """The servers, the manifests and the callers of one run."""

    def __init__(
        self, folder: Path, servers: Sequence[LlamaServer], seconds: float, rate: float
    ) -> None:
        self.report = Report()
        self._folder = folder
        self._servers = servers
        self._seconds = seconds
        self._rate = rate
        self._killed_s: dict[str, float] = {}
        self._edition = 0

    def rewrite(self) -> None:
        """Write the manifests anew, each time a little different, as an editor does."""
        self._edition += 1
        documents = []
        for number, server in enumerate(self._servers):
            documents.append(
                {
                    "apiVersion": "switchgear.dev/v1alpha1",
                    "kind": "LLMProvider",
                    "metadata": {"name": f"llama-{number}"},
                    "spec": {
                        "type": "VLLM",
                        "baseUrl": server.base_url,
                        "circuitBreaker": {"openFor": "500ms", "maxOpenFor": "2s"},
                        "labels": {"edition": str(self._edition)},
                    },
                }
            )
        first = self._edition % len(self._servers)
        targets = [
            {"provider": f"llama-{number}", "model": "tiny", "priority": 1 + (number != first)}
            for number in range(len(self._servers))
        ]
        documents.append(
            {
                "apiVersion": "switchgear.dev/v1alpha1",
                "kind": "LLMRoute",
                "metadata": {"name": "chat"},
                "spec": {"models": ["chat"], "targets": targets},
            }
        )
        draft = self._folder / ".draft"
        draft.write_text("\n---\n".join(json.dumps(document) for document in documents))
        draft.rename(self._folder / "all.yaml")
        self.report.rewrites += 1

    async def run(self, url: str) -> None:
        """Send, rewrite and kill until the time is over, then wait for the last answers."""
        end_s = time.monotonic() + self._seconds
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            meddling = [
                asyncio.create_task(self._rewriting()),
                asyncio.create_task(self._killing()),
                asyncio.create_task(self._telling()),
            ]
            async with asyncio.TaskGroup() as requests:
                due_s = time.monotonic()
                while due_s < end_s:
                    await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                    streamed = self.report.sent % 2 == 1
                    self.report.sent += 1
                    requests.create_task(self._ask(http, url, streamed=streamed))
                    due_s += 1 / self._rate
            for task in meddling:
                task.cancel()
            await asyncio.gather(*meddling, return_exceptions=True)

    async def _rewriting(self) -> None:
        while True:
            await asyncio.sleep(REWRITE_S)
            self.rewrite()

    async def _killing(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(KILL_S - DOWN_S)
            server = self._servers[turn % len(self._servers)]
            self._killed_s[f"llama-{turn % len(self._servers)}"] = time.monotonic()
            await asyncio.to_thread(server.kill)
            self.report.kills += 1
            await asyncio.sleep(DOWN_S)
            await asyncio.to_thread(server.start)
            turn += 1

    async def _telling(self) -> None:
        while True:
            await asyncio.sleep(10)
            report = self.report
            print(f"  {report.sent} sent, {sum(report.lost.values())} lost ...", file=sys.stderr)

    async def _ask(self, http: aiohttp.ClientSession, url: str, *, streamed: bool) -> None:
        numbers = random.randint(1, MOST_NUMBERS)
        body = {
            "model": "chat",
            "messages": [{"role": "user", "content": "count"}],
            "max_tokens": numbers,
            "stream": streamed,
        }
        begun_s = time.monotonic()
        try:
            async with http.post(f"{url}/v1/chat/completions", json=body) as response:
                raw = await response.read()
                provider = response.headers.get("x-switchgear-provider", "")
                if response.headers.get("x-switchgear-fallback-reason"):
                    self.report.failed_over += 1
        except aiohttp.ClientError as error:
            self.report.lost[f"the sidecar broke the connection: {type(error).__name__}"] += 1
            return
        if response.status != 200:
            self.report.lost[f"status {response.status}: {raw[:60]!r}"] += 1
            return
        text, broken = _streamed(raw) if streamed else (_unary(raw), False)
        if broken:
            killed_s = self._killed_s.get(provider, 0.0)
            if begun_s <= killed_s + 0.1:
                self.report.cut_by_kill += 1
            else:
                self.report.lost["a stream was cut though its server lived"] += 1
        elif text != counted(numbers):
            self.report.lost["the text is not what the model said"] += 1
        else:
            self.report.answered["stream" if streamed else "unary"] += 1
            self.report.latencies_s.append(time.monotonic() - begun_s)


def _unary(raw: bytes) -> str:
    return str(json.loads(raw)["choices"][0]["message"]["content"])


def _streamed(raw: bytes) -> tuple[str, bool]:
    """Return a stream's text, and whether it ended in an error event."""
    text = ""
    events = [event.removeprefix("data: ") for event in raw.decode().split("\n\n") if event]
    for event in events:
        if event == "[DONE]":
            return text, False
        document = json.loads(event)
        if "error" in document:
            return text, True
        for choice in document["choices"]:
            text += choice["delta"].get("content") or ""
    return text, False


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


async def storm(
    seconds: float,
    rate: float,
    keep: Path | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Report:
    """Run it in a folder of its own, and return the report.

    keep: where the sidecar's log goes. environ: what the sidecar gets beside our own.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = await asyncio.to_thread(make_model, folder / "model")
        manifests = folder / "manifests"
        manifests.mkdir()
        servers = [LlamaServer(model.chat, parallel=8) for _ in range(2)]
        async with AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server)
            run = Storm(manifests, servers, seconds, rate)
            run.rewrite()
            log = folder / "sidecar.log"
            try:
                async with _sidecar(manifests, folder / "state", log, environ) as url:
                    await run.run(url)
            finally:
                if keep is not None:
                    await asyncio.to_thread(shutil.copy, log, keep)
    return run.report


@asynccontextmanager
async def _sidecar(
    manifests: Path, state: Path, log: Path, environ: Mapping[str, str]
) -> AsyncIterator[str]:
    """Run a sidecar, and give its URL as soon as it listens."""
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "switchgear",
            "run",
            f"--manifests={manifests}",
            f"--state-dir={state}",
            "--listen=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--log-format=text",
            env={**os.environ, **environ},
            stderr=sink,
        )
    try:
        async with asyncio.timeout(30):
            while not (found := LISTENING.search(await asyncio.to_thread(log.read_text))):
                await asyncio.sleep(0.05)
        yield f"http://{found[1]}"
    finally:
        process.terminate()
        await process.wait()


def main() -> int:
    """Run the storm, print the report, and tell by the exit code whether anything was lost."""
    # Others use `storm` where this folder is no place to import from.
    from shipped import code, described

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--keep", type=Path, help="keep the sidecar's log in this file")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default 200)")
    options = parser.parse_args()
    for name, value in described().items():
        print(f"{name:10} {value}")
    report = asyncio.run(storm(options.seconds, options.rate, options.keep, code().environ))
    print(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
