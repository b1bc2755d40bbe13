"""The routing strategies: in which order a request tries the targets of its route.

Each gives a permutation of the targets and leaves none out: who may be called now is decided at
admission. The first is where the request goes, the rest is where it falls back to. Chance comes
from the caller, so that each order can be tested.

    PriorityWithFallback   priority; among equals by weight, at random
    Weighted               by weight, at random; priority decides among targets of weight 0 alone
    RoundRobin             each target in turn; the cycle is by priority, then as written
    LeastBusy              calls in flight; then priority, then at random
    LowestLatency          the better of two at random by cost x (calls in flight + 1); the rest by
                           the same; then calls in flight, then priority
    LowestCost             price of input + output; then priority, then at random

A weight is a share of the requests: a target of weight 3 comes first three times as often as one
of weight 1. Weight 0 is a stand-by: it comes after all of its equals that have a weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from controlplane.table.latency import Latency
from controlplane.table.schema import Provider, StrategyName, Target


class Gauge(Protocol):
    """What is measured of one target."""

    @property
    def in_flight(self) -> int:
        """Calls that have not ended."""
        ...

    @property
    def latency(self) -> Latency:
        """How long it takes to begin an answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a strategy may look at.

    gauges: by target key; a missing one is idle and unknown.
    turn: counts the requests of this route, from 0.
    random: gives numbers in [0, 1).
    """

    providers: Mapping[str, Provider]
    gauges: Mapping[str, Gauge]
    turn: int
    now_s: float
    random: Callable[[], float]


Strategy = Callable[[Sequence[Target], Scene], list[Target]]


def by_priority(targets: Sequence[Target], scene: Scene) -> list[Target]:
    """Order by priority, lower first; among equals at random, by weight."""
    return sorted(
        targets,
        key=lambda target: (target.priority, target.weight <= 0, _arrival(target, scene.random)),
    )


def by_weight(targets: Sequence[Target], scene: Scene) -> list[Target]:
    """Order at random by weight, whatever the priority; weight 0 last, there by priority."""
    return sorted(
        targets,
        key=lambda target: (
            target.weight <= 0,
            target.priority if target.weight <= 0 else 0,
            _arrival(target, scene.random),
        ),
    )


def by_turn(targets: Sequence[Target], scene: Scene) -> list[Target]:
    """Begin one further with each request, and go round; weights play no part."""
    cycle = sorted(targets, key=lambda target: target.priority)
    start = scene.turn % max(len(cycle), 1)
    return cycle[start:] + cycle[:start]


def by_calls_in_flight(targets: Sequence[Target], scene: Scene) -> list[Target]:
    """Order by calls in flight on the target, fewest first."""
    return sorted(
        targets,
        key=lambda target: (_in_flight(target, scene), target.priority, scene.random()),
    )


def by_latency(targets: Sequence[Target], scene: Scene) -> list[Target]:
    """Put the better of two random targets first, the rest behind it from best to worst.

    The choice of two keeps many sidecars, which all see the same numbers a little late, from
    rushing to the same target. A target without a sample counts as the best while it is idle, and
    as the worst while its first call is under way: it gets its chance, one call at a time.
    """
    ranked = sorted(targets, key=lambda target: _latency_rank(target, scene))
    if len(ranked) > 2:
        first = int(scene.random() * len(ranked))
        second = int(scene.random() * (len(ranked) - 1))
        if second >= first:
            second += 1
        ranked.insert(0, ranked.pop(min(first, second)))
    return ranked


def by_price(targets: Sequence[Target], scene: Scene) -> list[Target]:
    """Order by the price of input plus output tokens; targets without a price go last."""
    return sorted(
        targets, key=lambda target: (_price(target, scene), target.priority, scene.random())
    )


STRATEGIES: Mapping[StrategyName, Strategy] = {
    StrategyName.PRIORITY_WITH_FALLBACK: by_priority,
    StrategyName.WEIGHTED: by_weight,
    StrategyName.ROUND_ROBIN: by_turn,
    StrategyName.LEAST_BUSY: by_calls_in_flight,
    StrategyName.LOWEST_LATENCY: by_latency,
    StrategyName.LOWEST_COST: by_price,
}


def _arrival(target: Target, random: Callable[[], float]) -> float:
    """Draw when a target arrives, if it does so `weight` times a second.

    Sorting by these times is a weighted shuffle: of exponential waits, that with rate w ends
    first with probability w / sum of rates, and the same holds for those that remain.
    """
    return -math.log(1.0 - random()) / max(target.weight, 1)


def _in_flight(target: Target, scene: Scene) -> int:
    gauge = scene.gauges.get(target.key)
    return 0 if gauge is None else gauge.in_flight


def _latency_rank(target: Target, scene: Scene) -> tuple[float, int, int]:
    gauge = scene.gauges.get(target.key)
    if gauge is None:
        return 0.0, 0, target.priority
    cost_s = gauge.latency.cost_s(scene.now_s)
    if cost_s is None:
        score = math.inf if gauge.in_flight else 0.0
    else:
        score = cost_s * (gauge.in_flight + 1)
    return score, gauge.in_flight, target.priority


def _price(target: Target, scene: Scene) -> float:
    provider = scene.providers.get(target.provider)
    model = None if provider is None else provider.models.get(target.model)
    if model is None or model.price is None:
        return math.inf
    return model.price.input + model.price.output
