from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.latency import Latency
from controlplane.table.schema import Model, Provider, StrategyName, Target
from controlplane.table.strategies import STRATEGIES, Scene
from tests.controlplane.table.tables import cycle, provider, target, zero

OWNER = provider("a", prices={"cheap": 1.0, "dear": 9.0, "middle": 4.0})


@dataclass
class FakeGauge:
    in_flight: int = 0
    latency: Latency = field(default_factory=Latency)


def gauge(in_flight: int = 0, latency_s: float | None = None) -> FakeGauge:
    made = FakeGauge(in_flight=in_flight)
    if latency_s is not None:
        made.latency.observe(latency_s, 0.0)
    return made


def order(
    strategy: StrategyName,
    targets: Sequence[Target],
    *,
    gauges: dict[str, FakeGauge] | None = None,
    turn: int = 0,
    draw: random.Random | None = None,
    owner: Provider = OWNER,
) -> list[str]:
    """Order by the strategy, and return the models' names."""
    scene = Scene(
        providers={owner.name: owner},
        gauges={owner.target_key(model): made for model, made in (gauges or {}).items()},
        turn=turn,
        now_s=0.0,
        random=draw.random if draw else zero,
    )
    return [item.model for item in STRATEGIES[strategy](targets, scene)]


def shares(
    strategy: StrategyName, targets: Sequence[Target], count: int = 4000
) -> dict[str, float]:
    draw = random.Random(20)
    firsts = Counter(order(strategy, targets, draw=draw)[0] for _ in range(count))
    return {model: number / count for model, number in firsts.items()}


@st.composite
def routes(draw: st.DrawFn) -> tuple[list[Target], dict[str, FakeGauge]]:
    targets, gauges = [], {}
    for index in range(draw(st.integers(0, 7))):
        model = draw(st.sampled_from(["cheap", "dear", "middle", "priceless"])) + str(index) * (
            index > 3
        )
        targets.append(
            target(OWNER, model, priority=draw(st.integers(0, 3)), weight=draw(st.integers(0, 5)))
        )
        if draw(st.booleans()):
            latency_s = draw(st.none() | st.floats(0.0, 60.0))
            gauges[model] = gauge(draw(st.integers(0, 4)), latency_s)
    return targets, gauges


@pytest.mark.parametrize("strategy", list(StrategyName))
@given(route=routes(), turn=st.integers(0, 100), seed=st.integers(0, 1000))
def test_an_order_is_a_permutation_of_the_targets(
    strategy: StrategyName,
    route: tuple[list[Target], dict[str, FakeGauge]],
    turn: int,
    seed: int,
) -> None:
    targets, gauges = route

    models = order(strategy, targets, gauges=gauges, turn=turn, draw=random.Random(seed))

    assert sorted(item.model for item in targets) == sorted(models)


@given(route=routes(), seed=st.integers(0, 1000))
def test_priority_is_never_broken_and_stand_bys_come_last(
    route: tuple[list[Target], dict[str, FakeGauge]], seed: int
) -> None:
    scene = Scene(providers={}, gauges={}, turn=0, now_s=0.0, random=random.Random(seed).random)

    ordered = STRATEGIES[StrategyName.PRIORITY_WITH_FALLBACK](route[0], scene)

    ranks = [(item.priority, item.weight == 0) for item in ordered]
    assert sorted(ranks) == ranks


@pytest.mark.parametrize("strategy", [StrategyName.PRIORITY_WITH_FALLBACK, StrategyName.WEIGHTED])
def test_equals_share_by_weight(strategy: StrategyName) -> None:
    targets = [target(OWNER, "x", weight=6), target(OWNER, "y", weight=3), target(OWNER, "z")]

    found = shares(strategy, targets)

    assert pytest.approx({"x": 0.6, "y": 0.3, "z": 0.1}, abs=0.03) == found


def test_what_remains_is_shared_by_weight_too() -> None:
    targets = [target(OWNER, "x", weight=6), target(OWNER, "y", weight=3), target(OWNER, "z")]
    draw = random.Random(20)

    orders = [order(StrategyName.WEIGHTED, targets, draw=draw) for _ in range(4000)]

    seconds = Counter(models[1] for models in orders if models[0] == "x")
    assert pytest.approx(0.75, abs=0.04) == seconds["y"] / seconds.total()


def test_weighted_looks_past_priority() -> None:
    targets = [target(OWNER, "x", priority=1), target(OWNER, "y", priority=2, weight=3)]

    assert pytest.approx(0.75, abs=0.03) == shares(StrategyName.WEIGHTED, targets)["y"]


def test_weighted_puts_stand_bys_last_by_priority() -> None:
    targets = [
        target(OWNER, "late", priority=3, weight=0),
        target(OWNER, "soon", priority=2, weight=0),
        target(OWNER, "x", priority=9),
    ]

    assert ["x", "soon", "late"] == order(StrategyName.WEIGHTED, targets)


def test_round_robin_gives_each_target_its_turn() -> None:
    targets = [target(OWNER, "x"), target(OWNER, "y"), target(OWNER, "z")]

    orders = [order(StrategyName.ROUND_ROBIN, targets, turn=turn) for turn in range(4)]

    assert [["x", "y", "z"], ["y", "z", "x"], ["z", "x", "y"], ["x", "y", "z"]] == orders


def test_round_robin_goes_round_by_priority() -> None:
    targets = [target(OWNER, "x", priority=2), target(OWNER, "y", priority=1)]

    assert ["y", "x"] == order(StrategyName.ROUND_ROBIN, targets)


def test_least_busy_prefers_few_calls_in_flight() -> None:
    targets = [target(OWNER, model) for model in ("x", "y", "z")]
    gauges = {"x": gauge(2), "y": gauge(1)}

    assert ["z", "y", "x"] == order(StrategyName.LEAST_BUSY, targets, gauges=gauges)


def test_least_busy_falls_back_on_priority_then_chance() -> None:
    targets = [target(OWNER, "x", priority=2), target(OWNER, "y"), target(OWNER, "z")]

    found = shares(StrategyName.LEAST_BUSY, targets)

    assert pytest.approx({"y": 0.5, "z": 0.5}, abs=0.03) == found


def test_lowest_latency_of_two_takes_the_quicker() -> None:
    targets = [target(OWNER, "slow"), target(OWNER, "quick")]
    gauges = {"slow": gauge(0, 3.0), "quick": gauge(0, 1.0)}

    assert ["quick", "slow"] == order(StrategyName.LOWEST_LATENCY, targets, gauges=gauges)


def test_lowest_latency_reckons_with_the_queue() -> None:
    targets = [target(OWNER, "busy"), target(OWNER, "idle")]
    gauges = {"busy": gauge(3, 1.0), "idle": gauge(0, 3.0)}

    assert ["idle", "busy"] == order(StrategyName.LOWEST_LATENCY, targets, gauges=gauges)


def test_lowest_latency_tries_an_unknown_target_one_call_at_a_time() -> None:
    targets = [target(OWNER, "known"), target(OWNER, "new")]
    known = gauge(0, 1.0)

    idle = order(StrategyName.LOWEST_LATENCY, targets, gauges={"known": known, "new": gauge(0)})
    asked = order(StrategyName.LOWEST_LATENCY, targets, gauges={"known": known, "new": gauge(1)})

    assert (["new", "known"], ["known", "new"]) == (idle, asked)


def test_lowest_latency_falls_back_on_priority() -> None:
    targets = [target(OWNER, "x", priority=2), target(OWNER, "y", priority=1)]

    assert ["y", "x"] == order(StrategyName.LOWEST_LATENCY, targets)


def test_lowest_latency_takes_the_better_of_two_at_random() -> None:
    """Of n targets, the i-th best wins when it is drawn and no better one is: 2(n-i)/(n(n-1))."""
    targets = [target(OWNER, str(rank)) for rank in range(4)]
    gauges = {str(rank): gauge(0, 1.0 + rank) for rank in range(4)}
    draw = random.Random(20)

    orders = [
        order(StrategyName.LOWEST_LATENCY, targets, gauges=gauges, draw=draw) for _ in range(4000)
    ]

    firsts = Counter(models[0] for models in orders)
    found = {model: number / 4000 for model, number in firsts.items()}
    assert pytest.approx({"0": 1 / 2, "1": 1 / 3, "2": 1 / 6}, abs=0.03) == found
    assert all(models[1:] == sorted(models[1:]) for models in orders)


def test_lowest_cost_adds_input_and_output() -> None:
    targets = [target(OWNER, model) for model in ("dear", "priceless", "cheap", "middle")]

    assert ["cheap", "middle", "dear", "priceless"] == order(StrategyName.LOWEST_COST, targets)


def test_lowest_cost_of_a_vanished_provider_is_unknown() -> None:
    targets = [target(provider("gone"), "cheap"), target(OWNER, "dear")]

    assert ["dear", "cheap"] == order(StrategyName.LOWEST_COST, targets)


def test_lowest_cost_of_a_model_without_a_price_is_unknown() -> None:
    priced = provider("a", prices={"cheap": 1.0})
    owner = replace(priced, models={**priced.models, "free": Model(name="free")})

    models = order(
        StrategyName.LOWEST_COST, [target(owner, "free"), target(owner, "cheap")], owner=owner
    )

    assert ["cheap", "free"] == models


def test_lowest_cost_falls_back_on_priority_then_chance() -> None:
    owner = provider("a", prices={"x": 1.0, "y": 1.0, "z": 1.0})
    targets = [target(owner, "x", priority=2), target(owner, "y"), target(owner, "z")]
    scene = Scene(providers={"a": owner}, gauges={}, turn=0, now_s=0.0, random=cycle(0.1, 0.9, 0.5))

    ordered = STRATEGIES[StrategyName.LOWEST_COST](targets, scene)

    assert ["z", "y", "x"] == [item.model for item in ordered]


def test_every_strategy_has_its_function() -> None:
    assert set(StrategyName) == set(STRATEGIES)
