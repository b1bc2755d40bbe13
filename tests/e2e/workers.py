"""`switchgear run --workers`, and what its tests ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.e2e.process import Process, sidecar, write_manifests
from tests.e2e.test_faults import chunk
from tests.raw import head, raw_server

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
DONE = b"data: [DONE]\n\n"
_ANSWER = json.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()
_EVENTS = chunk("", role="assistant") + chunk("hi") + chunk(None, "stop") + DONE


class Upstream:
    """A provider that answers at once, with `status` and the head lines of `extra`.

    It counts calls of models.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.status = 200
        self.extra = b""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await head(reader)
                if request.startswith(b"POST"):
                    self.calls += 1
                kind, body = b"application/json", _ANSWER
                if b'"stream":true' in request:
                    kind, body = b"text/event-stream", _EVENTS
                writer.write(
                    b"HTTP/1.1 %d Said\r\n%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"
                    % (self.status, self.extra, kind, len(body), body)
                )
                await writer.drain()


@asynccontextmanager
async def upstreams(count: int) -> AsyncIterator[tuple[list[Upstream], Mapping[str, str]]]:
    """Run some of them; also give the base URLs by the names `a`, `b`, ..."""
    made = [Upstream() for _ in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(raw_server(each.talk)) for each in made]
        yield made, {name: f"{url}/v1" for name, url in zip("abc", urls, strict=False)}


@asynccontextmanager
async def workers(
    folder: Path, providers: Mapping[str, str], *flags: str, count: int = 2, **route: object
) -> AsyncIterator[Process]:
    """Run a supervisor with workers, and wait until all of them serve."""
    write_manifests(folder / "manifests", providers=providers, **route)
    flag = f"--workers={count}"
    async with sidecar(folder / "manifests", folder / "state", flag, *flags) as process:
        await until(process, lambda status: serving(status) == count)
        yield process


async def until(process: Process, wanted: Callable[[Any], bool]) -> Any:
    """Wait until a function of the status document is true, and return the document."""
    async with asyncio.timeout(40):
        while True:
            status = await process.status()
            if wanted(status):
                return status
            await asyncio.sleep(0.02)


def serving(status: Any) -> int:
    """Count the workers that serve, if there are no others."""
    states = [worker["state"] for worker in status["workers"]]
    return len(states) if {"serving"} >= set(states) else 0


def pids(status: Any) -> Mapping[int, int]:
    return {worker["worker"]: worker["pid"] for worker in status["workers"]}


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


async def ask_anew(process: Process, model: str = "chat") -> int:
    """Ask over a connection of its own, so that the system chooses a worker."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
        http.post(f"{process.url}/v1/chat/completions", json={**CHAT, "model": model}) as answer,
    ):
        await answer.read()
        return answer.status


async def reach_all(process: Process, count: int = 2) -> int:
    """Ask until each worker has served a request; return how many it took."""
    for asked in range(1, 400):
        assert 200 == await ask_anew(process)
        if len({item["worker"] for item in await requests(process)}) == count:
            return asked
    raise AssertionError("one worker never got a connection")


async def requests(process: Process) -> Any:
    return (await _admin(process, "/requests?limit=256"))["requests"]


async def explained(process: Process) -> Mapping[int, str | None]:
    """Where each worker would send a request now, by the provider's name."""
    document = await _admin(process, "/explain?model=chat")
    return {
        each["worker"]: each["best"] and each["best"]["provider"]
        for each in document.get("workers", ())
    }


async def until_explained(process: Process, wanted: Mapping[int, str | None]) -> None:
    async with asyncio.timeout(40):
        while wanted != await explained(process):
            await asyncio.sleep(0.02)


async def _admin(process: Process, path: str) -> Any:
    async with process.http.get(f"{process.admin_url}{path}") as response:
        assert 200 == response.status
        return json.loads(await response.read())


class Load:
    """Callers that ask without pause, each one request at a time, until the block ends.

    Every other one keeps its connection, as clients do; every third asks for streams. lost: requests
    without a whole, good answer, in words.
    """

    def __init__(self, process: Process, callers: int) -> None:
        self.url = process.url
        self.callers = callers
        self.served = 0
        self.lost: list[str] = []
        self._stop = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._call(number)) for number in range(self.callers)]
        await self.more(self.callers)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Wait until so many more were served."""
        wanted = self.served + count
        async with asyncio.timeout(60):
            while self.served < wanted:
                await asyncio.sleep(0.005)

    async def _call(self, number: int) -> None:
        stream = number % 3 == 0
        connector = aiohttp.TCPConnector(force_close=number % 2 == 0)
        async with aiohttp.ClientSession(connector=connector) as http:
            while not self._stop:
                body = {**CHAT, "stream": stream}
                try:
                    async with http.post(f"{self.url}/v1/chat/completions", json=body) as answer:
                        raw = await answer.read()
                        good = answer.status == 200 and (raw.endswith(DONE) or not stream)
                        if not good:
                            self.lost.append(f"{answer.status} {raw[:200]!r}")
                except aiohttp.ClientError as error:
                    self.lost.append(repr(error))
                self.served += 1
