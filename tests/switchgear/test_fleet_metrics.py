"""The metrics of a supervisor, with workers that are only asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from controlplane.table.live import LiveTable
from dataplane.events import AttemptEnded
from dataplane.flight import Decision
from dataplane.metric_points import Metric, Reading
from dataplane.request_metrics import RequestMetrics
from switchgear.fleet_metrics import FleetMetrics
from tests.controlplane.table.tables import provider, route, table, target, zero

A = provider("a")


class FakeMember:
    """A worker in this process. silent: it does not answer in time."""

    def __init__(self) -> None:
        self.generation = 1
        self.active = 0
        self.calls: Mapping[str, int] = {}
        self.told = asyncio.Event()
        self.ended = asyncio.Event()
        self.silent = False
        self.counted = RequestMetrics({"a": A}.get)
        self.fleet: FleetMetrics | None = None

    async def ask(self, what: str) -> Mapping[str, Any] | None:
        assert "metrics" == what
        if self.silent:
            return None
        self.tell()
        return {}

    def tell(self) -> None:
        assert self.fleet is not None
        self.fleet.add(self.counted.take().counts())

    def serve(self, count: int) -> None:
        for _ in range(count):
            self.counted.listen(
                AttemptEnded(
                    at_s=1.0, provider="a", model="m", decision=Decision.SERVED, duration_s=0.5
                )
            )


class FakeSink:
    """Reads when it is told to, and at the end."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.wanted = asyncio.Event()
        self.flushed: list[float] = []
        self._read: Callable[[bool], Reading] | None = None

    async def follow(
        self,
        read: Callable[[bool], Reading],
        refresh: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._read = read
        assert refresh is not None
        await self.wanted.wait()
        await refresh()
        self.readings.append(read(True))
        await asyncio.Event().wait()

    def status(self) -> Mapping[str, Any]:
        return {"endpoint": "somewhere"}

    async def shutdown(self, flush_s: float) -> bool:
        self.flushed.append(flush_s)
        if self._read is not None:
            self.readings.append(self._read(True))
        return True


def fleet_metrics(
    *members: FakeMember, sink: FakeSink | None = None, problems: int = 0
) -> FleetMetrics:
    live = LiveTable(random=zero)
    live.install(table([A], [route([target(A)])], generation=7), 0.0)
    made = FleetMetrics(
        live=live,
        members=lambda: members,  # type: ignore[arg-type, return-value]
        problems=lambda: problems,
        clock=lambda: 0.0,
        wall_ns=lambda: 1,
        sink=sink,
    )
    for member in members:
        member.fleet = made
    return made


def served(reading: Reading) -> int:
    values = {metric.instrument.name: metric for metric in reading.metrics}
    return sum(int(point.value) for point in values["switchgear.attempts"].points)  # type: ignore[arg-type]


def level(metrics: FleetMetrics, name: str) -> object:
    [metric] = [each for each in metrics.read().metrics if each.instrument.name == name]
    assert isinstance(metric, Metric)
    [point] = metric.points
    return point.value


async def test_all_workers_are_asked_and_each_count_is_there_once() -> None:
    one, other = FakeMember(), FakeMember()
    metrics = fleet_metrics(one, other)
    one.serve(2)
    other.serve(3)
    await metrics.refresh()
    await metrics.refresh()

    assert 5 == served(metrics.read())
    assert b'switchgear_decision="served"} 5\n' in metrics.exposition()


async def test_one_that_is_late_takes_nothing_away_and_tells_later() -> None:
    one, late = FakeMember(), FakeMember()
    metrics = fleet_metrics(one, late)
    one.serve(1)
    late.serve(1)
    await metrics.refresh()
    late.silent = True
    one.serve(1)
    late.serve(1)
    await metrics.refresh()
    meanwhile = served(metrics.read())
    late.silent = False
    await metrics.refresh()

    assert (3, 4) == (meanwhile, served(metrics.read()))


async def test_one_that_has_no_table_yet_is_not_asked() -> None:
    starting = FakeMember()
    starting.generation = 0
    starting.serve(1)
    metrics = fleet_metrics(starting)
    await metrics.refresh()

    assert 0 == served(metrics.read())


async def test_levels_are_sums_of_the_workers_and_what_the_supervisor_knows() -> None:
    one, other = FakeMember(), FakeMember()
    one.active, one.calls = 2, {"a": 2, "gone": 9}
    other.active, other.calls = 3, {"a": 1}
    metrics = fleet_metrics(one, other, problems=4)

    assert 5 == level(metrics, "switchgear.requests.active")
    assert 3 == level(metrics, "switchgear.upstream.active")
    assert 4 == level(metrics, "switchgear.manifests.problems")
    assert 7 == level(metrics, "switchgear.generation")
    assert 0 == level(metrics, "switchgear.circuit.state")


async def test_providers_that_a_new_table_lacks_are_forgotten() -> None:
    one = FakeMember()
    metrics = fleet_metrics(one)
    one.serve(1)
    await metrics.refresh()
    metrics.installed(table([], []))

    assert 0 == served(metrics.read())


async def test_the_sink_gets_what_the_workers_tell_and_the_last_of_it_at_the_end() -> None:
    one, other, sink = FakeMember(), FakeMember(), FakeSink()
    metrics = fleet_metrics(one, other, sink=sink)
    async with metrics:
        one.serve(1)
        await asyncio.sleep(0)
        sink.wanted.set()
        async with asyncio.timeout(20):
            while not sink.readings:
                await asyncio.sleep(0)
        ending = asyncio.create_task(metrics.end(3.0))
        for member in (one, other):
            await asyncio.sleep(0)
            early = ending.done()
            member.serve(2)
            member.tell()
            member.told.set()
        await ending
    await metrics.end(3.0)

    assert not early
    assert [1, 5] == [served(reading) for reading in sink.readings]
    assert [3.0] == sink.flushed
    assert {"metrics": {"endpoint": "somewhere"}} == metrics.status()


async def test_without_a_sink_nothing_is_exported_and_nobody_is_waited_for() -> None:
    metrics = fleet_metrics(FakeMember())
    async with metrics:
        await metrics.end(3.0)

    assert {} == metrics.status()
