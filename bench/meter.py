"""Measures one candidate once: loads it, and records what that took.

A run with a request that was not answered well gives no figure, and is named.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import canned
import routes
from native import BenchError, Generator, Load
from plans import UNARY, Plan, Scenario
from record import Record
from stage import Running

_MOST = 100_000
_OPEN_CONNECTIONS = 256
_FIRST_COUNT = 8
_FEW = 500
_SPARE = 1.1
_CHANGE_RATE = 200.0
_CHANGE_S = 2.0


class Meter:
    """Knows the rates at which candidates answer, so that each run takes about as long."""

    def __init__(self, plan: Plan, generator: Generator, record: Record) -> None:
        """Prepare."""
        self._plan = plan
        self._generator = generator
        # One that runs beside the other needs a folder of its own for its request.
        self._probes = replace(generator, folder=generator.folder / "probes")
        self._probes.folder.mkdir(exist_ok=True)
        self._record = record
        self._rates: dict[tuple[str, str], float] = {}

    def is_warm(self, one: Running, scenario: Scenario, seconds: float) -> bool:
        """Load it for about `seconds`, and learn how many requests fill a second.

        False if it does not answer well.
        """
        count = max(_FIRST_COUNT, scenario.connections)
        for _ in range(2):
            found = self.loaded(one, scenario, count=count)
            if found is None:
                return False
            rate = found[0].answered / found[0].took_s
            self._rates[one.name, scenario.key] = rate
            count = max(count, min(_MOST, int(rate * seconds)))
            if scenario.count:
                return True
        return True

    def loaded(
        self, one: Running, scenario: Scenario, *, count: int, rate: float = 0.0
    ) -> tuple[Load, float] | None:
        """Send `count` requests, and give with them the microseconds of CPU for each; or None."""
        before_s = one.cpu_s()
        try:
            load = self._generator.run(
                one.port,
                one.request(scenario),
                count=count,
                connections=scenario.connections,
                rate=rate,
            )
        except BenchError as error:
            self._record.fail(one.name, f"{scenario.key}: {error}")
            return None
        if load.failed:
            what = f"{load.failed} of {count} failed, the last status was {load.status}"
            self._record.fail(one.name, f"{scenario.key}: {what}")
            return None
        if count > _FEW:
            one.await_spans()
        return load, (one.cpu_s() - before_s) / count * 1e6

    def measure(self, one: Running, scenario: Scenario) -> None:
        """Run a scenario in a closed loop."""
        spans = one.spans() if scenario.key == UNARY.key else None
        rate = self._rates[one.name, scenario.key]
        filled = max(_FIRST_COUNT, scenario.connections, int(rate * self._plan.seconds))
        found = self.loaded(one, scenario, count=scenario.count or min(_MOST, filled))
        key = scenario.key
        names = ["cpu_us", "rps", "busy", "p50_ms", "p99_ms"]
        names += ["event_us", "events", "first_ms"] if scenario.events else []
        figures: dict[str, float | None] = dict.fromkeys(names)
        if found is not None:
            figures |= _figures(one, scenario, *found)
        self._put(one, key, figures)
        if spans is not None and found is not None:
            self._put_spans(one, spans)

    def measure_open(self, one: Running, rate: int) -> None:
        """Send at a steady rate, whether answers come or not."""
        key = f"open.{rate}"
        figures: dict[str, float | None] = dict.fromkeys(("p50_ms", "p99_ms", "max_ms", "cpu_us"))
        able = self._rates.get((one.name, UNARY.key), 0.0)
        if able < rate * _SPARE:
            what = f"{rate} requests a second, since it answers {able:.0f} at most"
            self._record.leave_out(one.name, what)
        else:
            scenario = replace(UNARY, key=key, connections=_OPEN_CONNECTIONS)
            count = max(_FIRST_COUNT, int(rate * self._plan.open_s))
            found = self.loaded(one, scenario, count=count, rate=float(rate))
            if found is not None:
                load, cpu_us = found
                figures |= {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms, "max_ms": load.max_ms}
                if one.process is not None:
                    figures["cpu_us"] = cpu_us
        self._put(one, key, figures)

    def measure_change(self, one: Running, key: str, name: str) -> None:
        """Add a route under a steady load, and tell when it is live, and the slowest answer."""
        assert one.manifests is not None
        figures: dict[str, float | None] = dict.fromkeys(("live_s", "stall_ms"))
        scenario = replace(UNARY, key=f"{key}.change", connections=_OPEN_CONNECTIONS)
        asked = replace(UNARY, model=name, connections=1)
        count = max(_FIRST_COUNT, int(_CHANGE_RATE * _CHANGE_S))
        with ThreadPoolExecutor(1) as thread:
            load = thread.submit(self.loaded, one, scenario, count=count, rate=_CHANGE_RATE)
            time.sleep(_CHANGE_S / 4)
            began_s = time.perf_counter()
            routes.add(one.manifests, name)
            until_s = began_s + self._plan.limit_s
            while time.perf_counter() < until_s and figures["live_s"] is None:
                probe = self._probes.run(one.port, one.request(asked), count=1, connections=1)
                if not probe.failed:
                    figures["live_s"] = time.perf_counter() - began_s
            if (found := load.result()) is not None:
                figures["stall_ms"] = found[0].max_ms
        if figures["live_s"] is None:
            self._record.fail(one.name, f"{key}: a new route did not come to life")
        self._put(one, key, figures)

    def _put(self, one: Running, key: str, figures: Mapping[str, float | None]) -> None:
        for name, value in figures.items():
            self._record.put(f"{key}.{name}", one.name, value)

    def _put_spans(self, one: Running, before: Mapping[str, int]) -> None:
        """Tell which share of the spans of a run has left, when its queue is empty again."""
        after = one.spans()
        if after is None:
            return
        gone = {name: after[name] - before[name] for name in after}
        if gone["ended"]:
            self._record.put(
                "unary.spans_kept", one.name, min(1.0, gone["exported"] / gone["ended"])
            )


def _figures(
    one: Running, scenario: Scenario, load: Load, cpu_us: float
) -> Mapping[str, float | None]:
    figures: dict[str, float | None] = {
        "rps": load.answered / load.took_s,
        "p50_ms": load.p50_ms,
        "p99_ms": load.p99_ms,
    }
    if scenario.events:
        figures |= {"events": load.events / load.answered, "first_ms": load.first_p50_ms}
    if one.process is None:
        return figures
    figures |= {"cpu_us": cpu_us, "busy": min(1.0, cpu_us * load.answered / load.took_s / 1e6)}
    if scenario.events:
        # By what the upstream sent: what a proxy leaves out is no gain of its own.
        form = scenario.key.partition(".")[0]
        around = canned.events_around(form if form in canned.FORMATS else "openai")
        figures["event_us"] = cpu_us / (scenario.events + around)
    return figures
