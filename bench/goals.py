"""What Switchgear is meant to take, beside what it took: the one table of goals; pure.

A goal is a ratio to somebody measured in the same rounds wherever there is one, since that is what
stays when the machine changes. A goal that is missed is told, and changes no exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from candidates import BARE
from figures import differences, ratios, shown, shown_share, spread
from record import Record
from routes import TRANSLATED

_Rounds = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One thing that is promised.

    most: what it may come to; wished: what would be better still, None for no wish.
    unit: empty for a ratio. of: gives the rounds of a Switchgear by its name.
    """

    text: str
    most: float
    wished: float | None = None
    unit: str = ""
    of: Callable[[Record, str], _Rounds]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a goal came to, in words. was: `-` where it was not measured."""

    text: str
    most: str
    wished: str
    was: str
    verdict: str


def judge(record: Record, name: str) -> Sequence[Verdict]:
    """Hold all goals that were measured against the Switchgear of that name."""
    verdicts = []
    for goal in GOALS:
        found = spread(goal.of(record, name))
        if found is None:
            continue
        kept = "pass" if found.median <= goal.most else "miss"
        if goal.wished is not None and found.median <= goal.wished:
            kept = "pass, wish too"
        write = shown if goal.unit else partial(shown_share, like=min(goal.most, found.median))
        unit = f" {goal.unit}" if goal.unit else ""
        verdicts.append(
            Verdict(
                text=goal.text,
                most=write(goal.most) + unit,
                wished="-" if goal.wished is None else write(goal.wished) + unit,
                was=f"{write(found.median)}{unit} ({write(found.low)} to {write(found.high)})",
                verdict=kept,
            )
        )
    return verdicts


def _to(metric: str, other: str, record: Record, name: str) -> _Rounds:
    return ratios(record.rounds(metric, name), record.rounds(metric, other))


def _off_to(metric: str, other: str, record: Record, name: str) -> _Rounds:
    return ratios(record.rounds(metric, f"{name}-off"), record.rounds(metric, other))


def _among(metric: str, under: str, record: Record, name: str) -> _Rounds:
    return ratios(record.rounds(metric, name), record.rounds(under, name))


def _above(metric: str, base: str, record: Record, name: str) -> _Rounds:
    return differences(record.rounds(metric, name), record.rounds(base, name))


def _span(record: Record, name: str) -> _Rounds:
    more = differences(
        record.rounds("unary.cpu_us", name), record.rounds("unary.cpu_us", f"{name}-off")
    )
    return [None if one is None else one / 2 for one in more]


def _worker(record: Record, name: str) -> _Rounds:
    return record.rounds("idle.part_mb", f"{name}-workers")


def _is(metric: str, record: Record, name: str) -> _Rounds:
    return record.rounds(metric, name)


def _beside(text: str, metric: str, others: dict[str, tuple[float, float | None]]) -> list[Goal]:
    return [
        Goal(
            text=f"{text}, to {other}",
            most=most,
            wished=wished,
            of=partial(_to, metric, other),
        )
        for other, (most, wished) in others.items()
    ]


GOALS: Sequence[Goal] = (
    *_beside(
        "CPU, request of 2 KB",
        "unary.cpu_us",
        {
            BARE: (0.80, 0.60),
            "litellm": (1 / 65, 1 / 100),
            "portkey": (1 / 10, 1 / 13),
            "envoy": (2.7, 2.0),
            "nginx": (5.6, 4.3),
        },
    ),
    Goal(
        text=f"CPU, request of 2 KB, tracing off, to {BARE}",
        most=0.5,
        of=partial(_off_to, "unary.cpu_us", BARE),
    ),
    Goal(text="CPU, an exported span", most=20.0, wished=12.0, unit="us", of=_span),
    *_beside(
        "CPU, request of 200 KB",
        "long.cpu_us",
        {BARE: (1.1, None), "litellm": (1 / 35, 1 / 50), "portkey": (1 / 11, 1 / 16)},
    ),
    *_beside(
        "CPU, event of a spaced stream",
        "spaced.event_us",
        {BARE: (1.15, 0.95), "litellm": (1 / 12, 1 / 15), "portkey": (1 / 2, 1 / 3)},
    ),
    *(
        Goal(
            text=f"CPU, event translated from {name}, above pass-through",
            most=8.0,
            wished=4.0,
            unit="us",
            of=partial(_above, f"{name}.spaced.event_us", "openai.spaced.event_us"),
        )
        for name in TRANSLATED
    ),
    *(
        Goal(
            text=f"CPU, answer translated from {name}, above pass-through",
            most=40.0,
            wished=25.0,
            unit="us",
            of=partial(_above, f"{name}.unary.cpu_us", "openai.unary.cpu_us"),
        )
        for name in TRANSLATED
    ),
    Goal(
        text="CPU, a signed request to bedrock, above one to anthropic",
        most=20.0,
        wished=6.0,
        unit="us",
        of=partial(_above, "bedrock.unary.cpu_us", "anthropic.unary.cpu_us"),
    ),
    *_beside(
        "latency added at 50 requests a second",
        "added.50",
        {BARE: (1.05, 0.75), "litellm": (1 / 10, 1 / 15), "portkey": (1 / 3.3, 1 / 5)},
    ),
    Goal(
        text="the slowest of all answers at 500 requests a second",
        most=10.0,
        unit="ms",
        of=partial(_is, "open.500.max_ms"),
    ),
    Goal(
        text="start to the first answer",
        most=0.35,
        wished=0.25,
        unit="s",
        of=partial(_is, "start.s"),
    ),
    Goal(
        text="idle memory, both planes in one process",
        most=60.0,
        wished=52.0,
        unit="MB",
        of=partial(_is, "idle.rss_mb"),
    ),
    Goal(
        text="idle memory, data plane alone (a worker)",
        most=50.0,
        wished=44.0,
        unit="MB",
        of=_worker,
    ),
    Goal(
        text="memory after load, to the same process idle",
        most=1.4,
        of=partial(_among, "loaded.rss_mb", "fresh.rss_mb"),
    ),
    Goal(
        text="CPU, request with 10,000 routes, to one with 10",
        most=1.05,
        of=partial(_among, "routes.10000.cpu_us", "routes.10.cpu_us"),
    ),
    *(
        Goal(
            text=f"a new route beside {count:,} is live",
            most=most,
            unit="s",
            of=partial(_is, f"routes.{count}.live_s"),
        )
        for count, most in ((100, 0.1), (10_000, 1.0))
    ),
    Goal(
        text="the slowest answer meanwhile, with 10,000",
        most=20.0,
        unit="ms",
        of=partial(_is, "routes.10000.stall_ms"),
    ),
)
