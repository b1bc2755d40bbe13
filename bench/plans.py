"""What a run measures, and how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BODY_BYTES = 2077
LONG_BYTES = 200_000
RATES = (50, 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of load in a closed loop.

    key: its name in the figures. events: of text in each stream, 0 for a whole answer.
    count: requests of each run; 0 for as many as fill the plan's seconds.
    """

    key: str
    model: str
    connections: int
    body_bytes: int = BODY_BYTES
    events: int = 0
    count: int = 0


SCENARIOS = {
    "start": "processes started one by one: time and CPU to the first answer, idle memory",
    "unary": "requests of 2 KB, whole answers",
    "long": "requests of 200 KB, whole answers",
    "spaced": "ten streams at once, 5 ms between events",
    "burst": "eight streams at once, as fast as they are taken",
    "latency": f"2 KB at {' and '.join(map(str, RATES))} requests a second, open loop",
    "translated": "upstreams that speak Ollama's, Anthropic's and Bedrock's format",
    "memory": "memory of a new process before and after many requests and streams",
    "connections": "CPU, p50 and memory by the number of connections",
    "bodies": "CPU by the size of the request",
    "lengths": "CPU by the length of a stream",
    "routes": "Switchgear by the number of routes in its manifests",
    "instructions": "instructions for a request, counted by valgrind",
}
"""What can be asked for, and what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured.

    scenarios: which of SCENARIOS. rounds: of requests, streams, latency and translation;
    start_rounds, memory_rounds, growth_rounds: of starts, of memory, and of each sweep.
    seconds: of a run in a closed loop. warm_s: of a run before the first round. open_s: of a run
    in an open loop. settle_s: between a first answer and the look at the memory. all_translate:
    whether peers that can are measured with other formats too. limit_s: the longest run. events: of text in each stream, one of routes.LENGTHS. load: requests before the
    second look at memory; many: streams at once before it. counted: requests whose instructions
    are counted; flushed_s: until their spans have left. connections, bodies (bytes), lengths (events), routes: the steps of the sweeps.
    """

    name: str
    scenarios: Sequence[str]
    rounds: int
    start_rounds: int
    memory_rounds: int = 1
    growth_rounds: int = 1
    seconds: float
    warm_s: float
    open_s: float
    settle_s: float
    all_translate: bool = True
    limit_s: float = 60.0
    events: int = 200
    load: int = 100_000
    many: int = 1000
    counted: int = 300
    flushed_s: float = 4.0
    connections: Sequence[int] = (1, 10, 100, 1000)
    bodies: Sequence[int] = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    lengths: Sequence[int] = (20, 200, 2000)
    routes: Sequence[int] = (1, 10, 100, 1_000, 10_000)


QUICK = Plan(
    name="quick",
    scenarios=("start", "unary", "long", "spaced", "latency", "translated"),
    rounds=3,
    start_rounds=2,
    seconds=0.4,
    warm_s=0.4,
    open_s=0.5,
    settle_s=0.2,
    all_translate=False,
    load=20_000,
    many=200,
)
FULL = Plan(
    name="full",
    # The sweep over lengths has the burst.
    scenarios=tuple(name for name in SCENARIOS if name != "burst"),
    rounds=9,
    start_rounds=9,
    growth_rounds=3,
    seconds=0.8,
    warm_s=2.0,
    open_s=1.5,
    settle_s=0.5,
    limit_s=120.0,
)

TINY = Plan(
    name="tiny",
    scenarios=tuple(name for name in SCENARIOS if name != "instructions"),
    rounds=1,
    start_rounds=1,
    seconds=0.01,
    warm_s=0.01,
    open_s=0.02,
    settle_s=0.0,
    events=20,
    load=50,
    many=10,
    counted=3,
    flushed_s=0.0,
    connections=(1, 10),
    bodies=(1_000, 1_000_000),
    lengths=(20,),
    routes=(1, 100),
)
"""Runs everything that does not take long by nature, and measures nothing: to see that it works."""

UNARY = Scenario(key="unary", model="bench", connections=32)
LONG = Scenario(key="long", model="bench", connections=8, body_bytes=LONG_BYTES)


def main(plan: Plan) -> Sequence[Scenario]:
    """List what is measured in each round; the key is what it is called in the figures."""
    return [one for one in (UNARY, LONG, _spaced(plan), _burst(plan)) if one.key in plan.scenarios]


def formats(plan: Plan, name: str) -> Sequence[Scenario]:
    """List the scenarios of an upstream's format; its name comes first in their keys."""
    asked = "" if name == "openai" else f"{name}."
    unary = Scenario(key=f"{name}.unary", model=f"{asked}bench", connections=32)
    return unary, _spaced(plan, f"{name}.", asked)


def streams_at_once(events: int, number: int) -> Scenario:
    """Give a scenario of that many streams at once, one round of them."""
    return Scenario(
        key=f"streams.{number}",
        model=f"spaced-{events}",
        connections=number,
        events=events,
        count=number,
    )


def growth(plan: Plan) -> dict[str, Sequence[Scenario]]:
    """List the sweeps over connections, bodies and lengths of streams that are asked for."""
    sweeps: dict[str, Sequence[Scenario]] = {
        "connections": [
            Scenario(key=f"connections.{number}", model="bench", connections=number)
            for number in plan.connections
        ],
        "bodies": [
            Scenario(
                key=f"body.{size}",
                model="bench",
                body_bytes=size,
                connections=8 if size <= 100_000 else 2,
            )
            for size in plan.bodies
        ],
        "lengths": [
            Scenario(key=f"length.{length}", model=f"burst-{length}", connections=8, events=length)
            for length in plan.lengths
        ],
    }
    return {name: steps for name, steps in sweeps.items() if name in plan.scenarios}


def _spaced(plan: Plan, prefix: str = "", asked: str = "") -> Scenario:
    return Scenario(
        key=f"{prefix}spaced",
        model=f"{asked}spaced-{plan.events}",
        connections=10,
        events=plan.events,
        count=10,
    )


def _burst(plan: Plan) -> Scenario:
    return Scenario(key="burst", model=f"burst-{plan.events}", connections=8, events=plan.events)
