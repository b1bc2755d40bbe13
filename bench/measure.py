"""Runs a plan: candidates are up at once before one upstream, and each is measured in its turn.

After each round the record is handed to `save`; a record with complete rounds is gone on with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import instructions
import plans
import routes
from candidates import BARE
from launch import Candidate
from meter import Meter
from native import BenchError, Generator, Programs
from plans import LONG, RATES, UNARY, Plan, Scenario
from processes import free_port
from record import Record
from stage import Running, Stage, pinned

_T = TypeVar("_T")
_Turns = Sequence[tuple[Scenario, Sequence[Running]]]
_HEAVY = 20
"""A heavy candidate gets this part of the requests that fill memory."""


class Bench:
    """One run. tell: takes a line on what is being done. save: is called after each round."""

    def __init__(
        self,
        plan: Plan,
        candidates: Sequence[Candidate],
        record: Record,
        *,
        tell: Callable[[str], None],
        save: Callable[[], None],
    ) -> None:
        """Prepare; nothing is started."""
        self._plan = plan
        self._candidates = candidates
        self._together = [one for one in candidates if not one.is_alone]
        self._record = record
        self._tell = tell
        self._save = save

    def run(self, programs: Programs, folder: Path) -> None:
        """Measure all. Raises BenchError if the upstream does not even start."""
        plan = self._plan
        generator = Generator(program=programs.load, folder=folder, limit_s=plan.limit_s)
        meter = Meter(plan, generator, self._record)
        with pinned() as cpus, ExitStack() as stack:
            stage = Stage(folder=folder, cpus=cpus, upstream_port=free_port())
            direct = stack.enter_context(stage.upstream(programs))
            for number in self._rounds("start", plan.start_rounds):
                self._starts(stage, number)
            for number in self._rounds("memory", plan.memory_rounds):
                self._memory(stage, meter, number)
            self._routes(stage, meter)
            self._all_at_once(stage, meter, direct)
            for _ in self._rounds("instructions", 1):
                self._instructions(stage, meter, folder)

    def _rounds(self, group: str, count: int, *, wanted: bool | None = None) -> Iterator[int]:
        """Count the rounds of a group that are still to be done; save after each."""
        if not (group in self._plan.scenarios if wanted is None else wanted):
            return
        for number in range(self._record.done.get(group, 0), count):
            self._tell(f"{group}: round {number + 1} of {count}")
            yield number
            self._record.done[group] = number + 1
            self._save()

    def _is_done(self, group: str, count: int) -> bool:
        return self._record.done.get(group, 0) >= count

    def _put(self, name: str, figures: Mapping[str, float | None]) -> None:
        for metric, value in figures.items():
            self._record.put(metric, name, value)

    def _starts(self, stage: Stage, number: int) -> None:
        for candidate in _rotated(self._candidates, number):
            figures: dict[str, float | None] = dict.fromkeys(
                ("start.s", "start.cpu_s", "idle.rss_mb", "idle.pss_mb", "idle.part_mb")
            )
            try:
                with stage.running(candidate) as one:
                    time.sleep(self._plan.settle_s)
                    figures |= {"start.s": one.start_s, "start.cpu_s": one.start_cpu_s}
                    figures |= one.memory("idle")
            except BenchError as error:
                self._record.fail(candidate.name, str(error))
            self._put(candidate.name, figures)

    def _memory(self, stage: Stage, meter: Meter, number: int) -> None:
        """Look at the memory of a new process, before and after it has had a lot to do."""
        for candidate in _rotated(self._candidates, number):
            self._tell(f"memory: {candidate.name}")
            part = _HEAVY if candidate.is_heavy else 1
            load, many = self._plan.load // part, self._plan.many // part
            streams = plans.streams_at_once(routes.LENGTHS[0], max(1, many))
            figures: dict[str, float | None] = dict.fromkeys(
                ("fresh.rss_mb", "loaded.rss_mb", "loaded.pss_mb", "loaded.part_mb")
            )
            try:
                with stage.running(candidate) as one:
                    time.sleep(self._plan.settle_s)
                    fresh = one.memory("fresh")["fresh.rss_mb"]
                    done = [
                        meter.loaded(one, UNARY, count=max(1, load)),
                        meter.loaded(one, LONG, count=max(1, load // 50)),
                        meter.loaded(one, streams, count=streams.count),
                    ]
                    if all(done):
                        figures |= {"fresh.rss_mb": fresh, **one.memory("loaded")}
            except BenchError as error:
                self._record.fail(candidate.name, str(error))
            self._put(candidate.name, figures)

    def _routes(self, stage: Stage, meter: Meter) -> None:
        """Run Switchgear with more and more routes, all at once, and measure them in turn."""
        plan = self._plan
        if "routes" not in plan.scenarios or self._is_done("routes", plan.growth_rounds):
            return
        with ExitStack() as stack:
            turns: list[tuple[Scenario, Running]] = []
            for candidate in (one for one in self._together if one.is_ours and not one.is_variant):
                for count in plan.routes:
                    self._tell(f"starting {candidate.name} with {count:,} routes")
                    scenario = replace(UNARY, key=f"routes.{count}")
                    try:
                        one = stack.enter_context(stage.running(candidate, more_routes=count - 1))
                    except BenchError as error:
                        self._record.fail(candidate.name, f"{count} routes: {error}")
                        continue
                    if meter.is_warm(one, scenario, plan.warm_s):
                        turns.append((scenario, one))
            time.sleep(plan.settle_s)
            for number in self._rounds("routes", plan.growth_rounds):
                for scenario, one in _rotated(turns, number):
                    meter.measure(one, scenario)
                    self._put(one.name, {f"{scenario.key}.start_s": one.start_s})
                    self._put(one.name, one.memory(scenario.key))
                    meter.measure_change(one, scenario.key, f"new-{number}")

    def _all_at_once(self, stage: Stage, meter: Meter, direct: Running) -> None:
        plan = self._plan
        main = plans.main(plan)
        latency = "latency" in plan.scenarios
        if latency and UNARY not in main:
            main = [UNARY, *main]
        sweeps = plans.growth(plan)
        counts = {
            **({"requests": plan.rounds} if main else {}),
            **({"translated": plan.rounds} if "translated" in plan.scenarios else {}),
            **dict.fromkeys(sweeps, plan.growth_rounds),
        }
        if all(self._is_done(group, count) for group, count in counts.items()):
            return
        with ExitStack() as stack:
            running = self._start_all(stage, stack)
            every = [*running.values()]
            turns: _Turns = []
            if main and not self._is_done("requests", plan.rounds):
                turns = self._warm(meter, [(one, [direct, *every]) for one in main], plan.warm_s)
            for number in self._rounds("requests", plan.rounds, wanted=bool(main)):
                _measure(meter, turns, number)
                for rate in RATES if latency else ():
                    for one in _rotated([direct, *every], number):
                        meter.measure_open(one, rate)
            # What can translate is measured without translation again, within the same rounds.
            able = [
                one
                for candidate, one in running.items()
                if candidate.translates and (candidate.is_ours or plan.all_translate)
            ]
            if able and "translated" in counts and not self._is_done("translated", plan.rounds):
                names = ("openai", *routes.TRANSLATED)
                formats = [(one, able) for name in names for one in plans.formats(plan, name)]
                turns = self._warm(meter, formats, plan.warm_s / 2)
                for number in self._rounds("translated", plan.rounds):
                    _measure(meter, turns, number)
            # Whether it traces or not, Switchgear grows alike: once is enough.
            grown = [one for candidate, one in running.items() if not candidate.is_variant]
            for name, scenarios in sweeps.items():
                if self._is_done(name, plan.growth_rounds):
                    continue
                turns = self._warm(meter, [(one, grown) for one in scenarios], plan.seconds / 2)
                for number in self._rounds(name, plan.growth_rounds):
                    _measure(meter, turns, number)

    def _instructions(self, stage: Stage, meter: Meter, folder: Path) -> None:
        """Count instructions, of what is written in the same language as we are."""
        under = instructions.wrapper(folder)
        if not under:
            self._record.leave_out("instructions", instructions.NO_VALGRIND)
            return
        scenario = replace(UNARY, key="instructions", connections=8)
        count = self._plan.counted
        for candidate in self._together:
            if not (candidate.is_ours or candidate.name == BARE):
                continue
            self._tell(f"counting instructions of {candidate.name}")
            try:
                with stage.running(candidate, under=under) as one:
                    figure = self._counted(one, meter, scenario, folder, count)
            except BenchError as error:
                self._record.fail(candidate.name, f"instructions: {error}")
                continue
            self._put(candidate.name, {"instructions.request": figure})

    def _counted(
        self, one: Running, meter: Meter, scenario: Scenario, folder: Path, count: int
    ) -> float | None:
        assert one.process is not None
        pid = one.process.pid
        # As many before as are counted: what is done once, and what is adapted to, is done then.
        # Spans leave within a second or so; to ask for them would be counted.
        figures = []
        for _ in range(2):
            if meter.loaded(one, scenario, count=count) is None:
                return None
            time.sleep(self._plan.flushed_s)
            figures.append(instructions.counted(pid, folder) / count)
        return figures[-1]

    def _start_all(self, stage: Stage, stack: ExitStack) -> Mapping[Candidate, Running]:
        running = {}
        for candidate in self._together:
            self._tell(f"starting {candidate.name}")
            try:
                running[candidate] = stack.enter_context(stage.running(candidate))
            except BenchError as error:
                self._record.fail(candidate.name, str(error))
        return running

    def _warm(
        self,
        meter: Meter,
        scenarios: Sequence[tuple[Scenario, Sequence[Running]]],
        seconds: float,
    ) -> _Turns:
        """Warm all up; keep those that answer."""
        kept = []
        for scenario, every in scenarios:
            self._tell(f"warming up: {scenario.key}")
            able = [one for one in every if meter.is_warm(one, scenario, seconds)]
            kept.append((scenario, able))
            if scenario.key.startswith("connections."):
                # Now, since what more connections have taken is not given back with fewer.
                for one in able:
                    self._put(one.name, one.memory(scenario.key))
        return kept


def _measure(meter: Meter, turns: _Turns, number: int) -> None:
    for scenario, every in turns:
        for one in _rotated(every, number):
            meter.measure(one, scenario)


def _rotated(things: Sequence[_T], by: int) -> Sequence[_T]:
    """Begin with another one each round: nobody is always the first."""
    if not things:
        return things
    at = by % len(things)
    return [*things[at:], *things[:at]]
