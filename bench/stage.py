"""The upstream and the candidates as they run: started, spoken to, and ended again.

Callers and upstream keep one CPU and candidates the others, so that neither takes from the other.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import canned
from launch import Candidate, Site
from load import NoAnswerError, first_good_answer
from native import BenchError, Programs
from plans import UNARY, Scenario
from processes import Process, free_port
from record import DIRECT
from wire import chat_request

_START_S = 120.0
_SPANS_S = 5.0
_SPANS_DELAY_S = 1.1
_SPANS_RETRY_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A candidate that answers.

    process: None for the upstream itself, whose CPU is not counted. admin_port: where it tells of
    its spans, 0 for nowhere. manifests: where it reads them, None if it has none. start_s: from its start to its first answer; start_cpu_s: of that
    time.
    """

    name: str
    port: int
    headers: Mapping[str, str]
    process: Process | None
    admin_port: int = 0
    manifests: Path | None = None
    start_s: float = 0.0
    start_cpu_s: float = 0.0

    def request(self, scenario: Scenario) -> bytes:
        """Build a request of the scenario for this candidate."""
        return chat_request(
            scenario.body_bytes,
            model=scenario.model,
            stream=scenario.events > 0,
            headers=self.headers,
        )

    def cpu_s(self) -> float:
        """Tell the CPU seconds used so far, 0 for the upstream."""
        return 0.0 if self.process is None else self.process.cpu_s()

    def memory(self, key: str) -> Mapping[str, float | None]:
        """Tell its memory now, under names that begin with `key`; not asked of the upstream.

        part_mb: what its largest child holds, None if it has none.
        """
        if self.process is None:
            return {}
        rss_mb, pss_mb = self.process.memory_mb()
        part_mb = self.process.largest_child_mb()
        return {f"{key}.rss_mb": rss_mb, f"{key}.pss_mb": pss_mb, f"{key}.part_mb": part_mb}

    def spans(self) -> Mapping[str, int] | None:
        """Tell what became of all spans so far; None for who exports none, or does not say."""
        if not self.admin_port:
            return None
        url = f"http://127.0.0.1:{self.admin_port}/status"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                told = json.load(answer).get("telemetry", {}).get("spans")
        except OSError:
            return None
        return None if told is None else {name: int(count) for name, count in told.items()}

    def await_spans(self) -> None:
        """Wait, not for ever, until all spans have left: to send them is part of what they cost."""
        if self.spans() is None:
            return
        # Looking costs CPU too, so it is done rarely: the last spans wait for a second.
        time.sleep(_SPANS_DELAY_S)
        deadline_s = time.perf_counter() + _SPANS_S
        while (spans := self.spans()) and spans["queued"] and time.perf_counter() < deadline_s:
            time.sleep(_SPANS_RETRY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where they run. folder: for all that they write. cpus: the candidates', empty for all."""

    folder: Path
    cpus: frozenset[int]
    upstream_port: int

    @contextmanager
    def upstream(self, programs: Programs) -> Iterator[Running]:
        """Run the upstream, as a candidate of its own: the direct way. Raises BenchError."""
        folder = self.folder / "canned"
        folder.mkdir()
        canned.write_all(folder)
        port = self.upstream_port
        command = [str(programs.upstream), "--port", str(port), "--canned", str(folder)]
        with Process(command, log=self.folder / "upstream.log", environ={}) as process:
            _first_answer(process, port, chat_request(UNARY.body_bytes))
            yield Running(name=DIRECT, port=port, headers={}, process=None)

    @contextmanager
    def running(
        self, candidate: Candidate, *, more_routes: int | None = None, under: Sequence[str] = ()
    ) -> Iterator[Running]:
        """Run a candidate in a folder of its own.

        more_routes: beside those that are called; it is not asked for its spans then, since its
        status tells of each route. under: words before its command. With either, manifests are not
        read anew unless they change: that would count as part of some request.
        Raises BenchError.
        """
        words = "".join(letter if letter.isalnum() else "-" for letter in candidate.name)
        folder = self.folder / f"{words}-{time.monotonic_ns()}"
        folder.mkdir()
        site = Site(
            port=free_port(),
            upstream_port=self.upstream_port,
            folder=folder,
            more_routes=more_routes or 0,
            rereads=more_routes is None and not under,
        )
        launch = candidate.launch(site)
        headers = candidate.headers(site)
        with Process(
            [*under, *launch.command],
            log=folder / "log",
            environ={**clean_environ(), **launch.environ},
            cpus=self.cpus,
        ) as process:
            request = chat_request(UNARY.body_bytes, headers=headers)
            at_s = _first_answer(process, site.port, request)
            yield Running(
                name=candidate.name,
                port=site.port,
                headers=headers,
                process=process,
                admin_port=0 if more_routes is not None else launch.admin_port,
                manifests=launch.manifests,
                start_s=at_s - process.started_s,
                start_cpu_s=process.cpu_s(),
            )


@contextmanager
def pinned() -> Iterator[frozenset[int]]:
    """Keep callers and upstream on one CPU for the block, and give the others to candidates.

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


def clean_environ() -> Mapping[str, str]:
    """Give our environment without what would set a candidate up, or send it through a proxy."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "SWITCHGEAR_", "LITELLM_", "AWS_", "PYTEST_", "PYTHON"))
        and not name.lower().endswith("_proxy")
    }


def _first_answer(process: Process, port: int, request: bytes) -> float:
    try:
        return first_good_answer(port, request, timeout_s=_START_S, alive=process.is_alive)
    except NoAnswerError as error:
        raise BenchError(f"{error}; it wrote:\n{process.last_words()}") from error
