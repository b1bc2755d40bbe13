"""`switchgear run` as a user starts it: a process of its own, killed and stopped for real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

_LISTENING = re.compile(r"listening on ([\d.]+:\d+), admin on ([\d.]+:\d+)")


class Process:
    """One running sidecar. `log` grows while it runs."""

    def __init__(self, process: asyncio.subprocess.Process, http: aiohttp.ClientSession) -> None:
        self._process = process
        self.http = http
        self.log = ""
        self.url = ""
        self.admin_url = ""
        self._listening = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log += line.decode()
            if found := _LISTENING.search(line.decode()):
                self.url, self.admin_url = (f"http://{address}" for address in found.groups())
                self._listening.set()

    async def listening(self) -> None:
        """Wait until the ports are open. Fails with the log if the process ended instead."""
        waits = [
            asyncio.ensure_future(self._listening.wait()),
            asyncio.ensure_future(self._process.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        for wait in waits:
            wait.cancel()
        assert self._listening.is_set(), self.log

    async def status(self) -> Any:
        async with self.http.get(f"{self.admin_url}/status") as response:
            return json.loads(await response.read())

    async def ready(self) -> int:
        async with self.http.get(f"{self.admin_url}/readyz") as response:
            return response.status

    async def ask(self, model: str = "chat", **fields: object) -> tuple[int, bytes]:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **fields}
        async with self.http.post(f"{self.url}/v1/chat/completions", json=body) as response:
            return response.status, await response.read()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def signal_worker(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to one of its workers."""
        os.kill(pid, number)

    def kill_worker(self, pid: int) -> None:
        self.signal_worker(pid, signal.SIGKILL)

    async def ended(self) -> int:
        """Wait for the end, and return the exit code."""
        code = await asyncio.wait_for(self._process.wait(), timeout=60)
        await self._reading
        return code

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.ended()


@asynccontextmanager
async def sidecar(
    manifests: Path,
    state: Path,
    *flags: str,
    environ: Mapping[str, str] | None = None,
    command: Sequence[str] = (sys.executable, "-m", "switchgear"),
) -> AsyncIterator[Process]:
    """Start `switchgear run` on free ports, wait until it listens, and kill it at the end."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "SWITCHGEAR_"))
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        "run",
        f"--manifests={manifests}",
        f"--state-dir={state}",
        "--listen=127.0.0.1:0",
        "--admin=127.0.0.1:0",
        "--log-format=text",
        *flags,
        env={**clean, **(environ or {})},
        stderr=asyncio.subprocess.PIPE,
    )
    async with aiohttp.ClientSession() as http:
        running = Process(process, http)
        try:
            await running.listening()
            yield running
        finally:
            await running.kill()


def write_manifests(folder: Path, *, providers: Mapping[str, str], **route: object) -> None:
    """Write VLLM providers (name -> base URL) and a route `chat` over them, in this order."""
    folder.mkdir(exist_ok=True)
    documents: list[object] = [
        {
            "apiVersion": "switchgear.dev/v1alpha1",
            "kind": "LLMProvider",
            "metadata": {"name": name},
            "spec": {"type": "VLLM", "baseUrl": url},
        }
        for name, url in providers.items()
    ]
    targets = [
        {"provider": name, "model": "tiny", "priority": number}
        for number, name in enumerate(providers, start=1)
    ]
    documents.append(
        {
            "apiVersion": "switchgear.dev/v1alpha1",
            "kind": "LLMRoute",
            "metadata": {"name": "chat"},
            "spec": {"models": ["chat"], "targets": targets, **route},
        }
    )
    text = "\n---\n".join(json.dumps(document, indent=1) for document in documents)
    draft = folder / ".all.yaml.draft"
    draft.write_text(text)
    draft.rename(folder / "all.yaml")
