"""Active health: who is probed, when, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from controlplane.table.live import LiveTable
from controlplane.table.outcome import Outcome, OutcomeKind
from controlplane.table.permit import Permit
from controlplane.table.schema import HealthCheck, Provider
from dataplane.probe import Prober
from dataplane.provider import Health, HealthVerdict
from tests.fakes import FakeClock, FakeProvider, provider, table

CHECK = HealthCheck(interval_s=30, timeout_s=5, unhealthy_threshold=2, healthy_threshold=1)


class FakePool:
    """Hands out the fakes by name."""

    def __init__(self, providers: Mapping[str, FakeProvider]) -> None:
        self._providers = providers

    def get(self, config: Provider) -> FakeProvider:
        return self._providers[config.name]


class Scene:
    """A prober over one fake provider, whose chance is always in the middle."""

    def __init__(self, **changes: object) -> None:
        self.clock = FakeClock()
        self.live = LiveTable(random=lambda: 0.5)
        self.fake = FakeProvider([])
        self.table = table([provider("a", **{"health_check": CHECK, **changes})])
        self.live.install(self.table, self.clock())
        self.prober = Prober(
            live=self.live,
            pool=FakePool({"a": self.fake}),  # type: ignore[arg-type]  # all that is used of a pool
            clock=self.clock,
            random=lambda: 0.5,
            sleep=self.clock.sleep,
        )

    async def after(self, seconds: float) -> int:
        """Move on, make a round, and return how many probes there were in all."""
        self.clock.advance(seconds)
        await self.prober.round()
        return self.fake.probes

    def call(self, kind: OutcomeKind) -> None:
        target = self.table.routes["chat"].targets[0]
        permit = self.live.admit(target, self.table, self.clock())
        assert isinstance(permit, Permit)
        self.live.record(permit, Outcome(kind=kind), self.clock())


async def test_the_first_probe_comes_at_a_random_point_of_the_interval() -> None:
    scene = Scene()

    assert [0, 0, 1] == [await scene.after(0), await scene.after(14), await scene.after(1)]


async def test_an_idle_provider_is_probed_once_an_interval() -> None:
    scene = Scene()
    await scene.after(0)
    await scene.after(15)

    assert [1, 2, 2] == [await scene.after(29), await scene.after(1), await scene.after(1)]


async def test_a_busy_healthy_provider_is_left_alone() -> None:
    scene = Scene()
    await scene.after(0)
    scene.clock.advance(14)
    scene.call(OutcomeKind.SUCCESS)

    assert 0 == await scene.after(1)


async def test_a_provider_that_is_out_of_use_is_probed_however_busy_it_was() -> None:
    scene = Scene()
    await scene.after(0)
    scene.clock.advance(14)
    for _ in range(3):
        scene.call(OutcomeKind.FAILURE)

    assert 1 == await scene.after(1)


@pytest.mark.parametrize(
    "changes",
    [
        {"suspend": True},
        {
            "health_check": HealthCheck(
                interval_s=0, timeout_s=5, unhealthy_threshold=2, healthy_threshold=1
            )
        },
    ],
)
async def test_a_suspended_or_unwatched_provider_is_never_probed(
    changes: Mapping[str, object],
) -> None:
    scene = Scene(**changes)

    assert [0, 0] == [await scene.after(0), await scene.after(1000)]


async def test_an_unreachable_provider_leaves_and_comes_back_by_its_thresholds() -> None:
    scene = Scene()
    await scene.after(0)
    seen = []
    for verdict in (
        HealthVerdict.UNREACHABLE,
        HealthVerdict.UNREACHABLE,
        HealthVerdict.HEALTHY,
    ):
        scene.fake.health = Health(verdict=verdict, detail="said so")
        await scene.after(40)
        seen.append(scene.live.view(scene.clock())[0].healthy)

    assert [None, False, True] == seen


@pytest.mark.parametrize(
    "verdict", [HealthVerdict.THROTTLED, HealthVerdict.MISCONFIGURED, HealthVerdict.UNKNOWN]
)
async def test_an_upstream_that_answers_is_reachable_whatever_it_says(
    verdict: HealthVerdict,
) -> None:
    scene = Scene()
    await scene.after(0)
    scene.fake.health = Health(verdict=verdict, detail="said so")
    await scene.after(40)
    await scene.after(40)
    view = scene.live.view(scene.clock())[0]

    assert (True, f"{verdict}: said so") == (view.healthy, view.health_detail)


async def test_a_bug_in_one_provider_does_not_end_the_probing() -> None:
    scene = Scene()
    await scene.after(0)

    async def broken() -> Health:
        raise KeyError("bug")

    scene.fake.is_healthy = broken  # type: ignore[method-assign]
    await scene.after(40)
    del scene.fake.is_healthy  # type: ignore[method-assign]

    assert 1 == await scene.after(40)


async def test_a_provider_that_left_is_forgotten() -> None:
    scene = Scene()
    await scene.after(0)
    scene.live.install(table([]), scene.clock())

    assert 0 == await scene.after(40)
    assert {} == scene.prober._due_s
