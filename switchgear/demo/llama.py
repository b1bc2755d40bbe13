"""Serve a GGUF model with llama.cpp's own HTTP server, in a process of its own.

`python -m switchgear.demo.llama MODEL` is that process: it prints `ready http://HOST:PORT` once the
model is loaded, and serves until it gets SIGTERM or SIGINT. LlamaServer starts it, and kills and
restarts it on the same port, for the demo and for tests. The server comes with the package
xllamacpp (the extra `demo`), so that nobody needs a compiler.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Self

from switchgear.demo.ports import HeldPort

_START_S: Final = 30.0
_STOP_S: Final = 10.0
_MISSING: Final = "llama.cpp is not installed; run: pip install 'switchgear[demo]'"


class LlamaError(RuntimeError):
    """The server did not start; the message holds what it wrote last."""


class LlamaServer:
    """One llama.cpp server on loopback, in a child process that ends with this one.

    Use it as a context manager, plain or async. Once started, it keeps its port until `stop`: after
    `kill`, `start` serves at the same `base_url` again, and nobody else does in the meantime.

    port: 0 takes a free one. alias: the name that /v1/models gives. api_keys: if any, one of them
    is asked for. embeddings: serve /v1/embeddings, besides chat. context: tokens, divided among
    the `parallel` slots. api_prefix: put before each path, like `/openai/deployments/tiny`.
    """

    def __init__(
        self,
        model: Path,
        *,
        port: int = 0,
        alias: str = "tiny",
        api_keys: Sequence[str] = (),
        embeddings: bool = False,
        context: int = 32768,
        parallel: int = 4,
        api_prefix: str = "",
    ) -> None:
        """Keep the settings; nothing is started yet."""
        self.alias = alias
        self.port = port
        self._held: HeldPort | None = None
        self._api_prefix = api_prefix
        self._arguments = [
            *(str(model), f"--alias={alias}", f"--ctx={context}", f"--parallel={parallel}"),
            *(f"--api-key={key}" for key in api_keys),
            *(["--embeddings"] if embeddings else []),
            *([f"--api-prefix={api_prefix}"] if api_prefix else []),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, like `http://127.0.0.1:40123`, with the prefix if there is one."""
        return f"http://127.0.0.1:{self.port}{self._api_prefix}"

    @property
    def base_url(self) -> str:
        """The base of the OpenAI-compatible paths, as a manifest's `baseUrl` wants it."""
        return f"{self.url}/v1"

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self, timeout_s: float = _START_S) -> None:
        """Start it and wait until it can answer. Raises LlamaError; does nothing if it runs."""
        if self._process is not None:
            return
        if self.port == 0:
            self._held = HeldPort()
            self.port = self._held.number
        with tempfile.TemporaryFile() as log:
            # The child ends when its standard input closes, so none is left behind, even if this
            # process is killed.
            self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                [
                    *(sys.executable, "-m", "switchgear.demo.llama", "--until-input-closes"),
                    *(f"--port={self.port}", *self._arguments),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
            ready = _first_line(self._process, time.monotonic() + timeout_s)
            if not ready.startswith("ready http://"):
                self.kill()
                self._let_go()
                log.seek(0)
                written = log.read().decode(errors="replace").strip()
                raise LlamaError(f"llama.cpp did not start: {written[-2000:] or 'no message'}")

    def kill(self) -> None:
        """End it at once, as a crash or `kill -9` does: connections break in mid-answer."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it politely: running answers are finished."""
        self._end(signal.SIGTERM)
        self._let_go()

    def freeze(self) -> None:
        """Let it hang: it accepts connections and answers nothing, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a frozen one would not see SIGTERM
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop. Returns 0, or 1 with a message if llama.cpp is not installed."""
    options = _parser().parse_args(arguments)
    try:
        import xllamacpp
    except ImportError:
        print(_MISSING, file=sys.stderr)
        return 1

    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.model_alias = {options.alias}
    parameters.hostnames = [options.host]
    parameters.port = options.port
    parameters.api_keys = options.api_key
    parameters.api_prefix = options.api_prefix
    parameters.n_ctx = options.ctx
    parameters.n_parallel = options.parallel
    for pool in (parameters.cpuparams, parameters.cpuparams_batch):
        pool.n_threads = options.threads
    parameters.use_jinja = True
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = True
    parameters.offline = True
    parameters.warmup = False
    parameters.ui = False
    parameters.verbosity = 5 if options.verbose else 1
    if options.embeddings:
        parameters.embedding = True
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server = xllamacpp.Server(parameters)  # returns when the model is loaded
    print(f"ready {server.listening_address}", flush=True)
    if options.until_input_closes:
        threading.Thread(target=_await_end, args=(sys.stdin.buffer, stopped), daemon=True).start()
    stopped.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m switchgear.demo.llama",
        description="Serve a GGUF model with llama.cpp's HTTP server.",
    )
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port (the default)")
    parser.add_argument("--alias", default="tiny", help="name that /v1/models gives")
    parser.add_argument("--api-key", action="append", default=[], help="may be repeated")
    parser.add_argument("--api-prefix", default="", help="put before each path")
    parser.add_argument("--embeddings", action="store_true", help="serve /v1/embeddings too")
    parser.add_argument("--ctx", type=int, default=32768, help="tokens, divided among the slots")
    parser.add_argument("--parallel", type=int, default=4, help="requests served at once")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--until-input-closes", action="store_true", help="end with the parent")
    parser.add_argument("--verbose", action="store_true")
    return parser


def _await_end(source: IO[bytes], stopped: threading.Event) -> None:
    source.read()
    stopped.set()


def _first_line(process: subprocess.Popen[bytes], deadline_s: float) -> str:
    """Read the first line of its output; what there is of it if the process ends or is late."""
    if process.stdout is None:
        return ""
    read = bytearray()
    while b"\n" not in read:
        left_s = max(0.0, deadline_s - time.monotonic())
        if not select.select([process.stdout], [], [], left_s)[0]:
            break
        piece = os.read(process.stdout.fileno(), 4096)
        if not piece:
            break
        read += piece
    return read.partition(b"\n")[0].decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
