"""The C programs of the benchmark: built once, with whatever compiler there is."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SOURCES = Path(__file__).resolve().parent / "native"
_COMPILERS = ("gcc", "cc", "clang")
NO_COMPILER = "no C compiler was found; on Debian: apt-get install gcc libc6-dev"


class BenchError(RuntimeError):
    """A run that gives no figures; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where the built programs are."""

    upstream: Path
    load: Path


def build(folder: Path) -> Programs | None:
    """Build both into `folder`, unless what is there is newer than its source.

    None if there is no compiler. Raises BenchError if it fails.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return Programs(
        upstream=_built(compiler, "upstream", folder), load=_built(compiler, "load", folder)
    )


def _built(compiler: str, name: str, folder: Path) -> Path:
    source, program = _SOURCES / f"{name}.c", folder / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    command = [compiler, "-O2", "-std=c11", "-Wall", "-Wextra", "-o", str(program), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{source.name} does not compile:\n{done.stderr}")
    return program


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a run of the load generator came to.

    status: of the last answer, 0 if there was none. events: lines of data in streams. Latencies
    are milliseconds; in an open loop they count from when a request was due.
    """

    answered: int
    failed: int
    status: int
    took_s: float
    events: int
    bytes: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    first_p50_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """The load generator. folder: for the requests' bytes. limit_s: the longest run."""

    program: Path
    folder: Path
    limit_s: float

    def run(
        self, port: int, request: bytes, *, count: int, connections: int, rate: float = 0.0
    ) -> Load:
        """Send `count` requests; `rate` of them a second, or as fast as they are answered for 0.

        Raises BenchError if the program fails, which it does when nobody listens.
        """
        written = self.folder / "request"
        written.write_bytes(request)
        arguments = {
            "--port": port,
            "--request": written,
            "--count": count,
            "--connections": connections,
            "--rate": rate,
            "--limit": self.limit_s,
        }
        words = [str(word) for pair in arguments.items() for word in pair]
        done = subprocess.run(
            [str(self.program), *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"the load generator failed: {done.stderr.strip()}")
        told: Mapping[str, float] = json.loads(done.stdout)
        return Load(**told)  # type: ignore[arg-type]
