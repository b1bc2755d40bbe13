"""Goals are judged by medians of rounds, in the direction in which they are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from candidates import BARE, OFF, OURS
from goals import GOALS, Verdict, judge
from record import DIRECT, Record


def a_record(series: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Record:
    return Record(
        series={
            metric: {name: list(rounds) for name, rounds in by_name.items()}
            for metric, by_name in series.items()
        }
    )


def the_verdict(record: Record, text: str) -> Verdict:
    (verdict,) = (one for one in judge(record, OURS) if one.text == text)
    return verdict


@pytest.mark.parametrize(
    ("us", "verdict"),
    [(60.0, "pass, wish too"), (61.0, "pass"), (80.0, "pass"), (81.0, "miss")],
)
def test_a_ratio_is_held_against_both_bounds(us: float, verdict: str) -> None:
    record = a_record({"unary.cpu_us": {OURS: [us], BARE: [100.0]}})

    assert verdict == the_verdict(record, "CPU, request of 2 KB, to bare").verdict


def test_the_median_of_the_rounds_decides() -> None:
    record = a_record({"unary.cpu_us": {OURS: [70.0, 70.0, 500.0], BARE: [100.0, 100.0, 100.0]}})

    verdict = the_verdict(record, "CPU, request of 2 KB, to bare")

    assert ("pass", "0.70 (0.70 to 5.00)") == (verdict.verdict, verdict.was)


def test_small_ratios_are_told_as_parts() -> None:
    record = a_record({"unary.cpu_us": {OURS: [100.0], "litellm": [8000.0]}})

    verdict = the_verdict(record, "CPU, request of 2 KB, to litellm")

    assert ("1/65", "1/100", "1/80 (1/80 to 1/80)") == (verdict.most, verdict.wished, verdict.was)


def test_a_span_costs_half_of_what_tracing_does() -> None:
    record = a_record({"unary.cpu_us": {OURS: [100.0], OFF: [60.0]}})

    verdict = the_verdict(record, "CPU, an exported span")

    assert ("20.0 us (20.0 to 20.0)", "pass") == (verdict.was, verdict.verdict)


def test_translation_is_held_against_pass_through_of_the_same_round() -> None:
    record = a_record(
        {
            "openai.spaced.event_us": {OURS: [20.0, 40.0]},
            "ollama.spaced.event_us": {OURS: [29.0, 49.0]},
        }
    )

    verdict = the_verdict(record, "CPU, event translated from ollama, above pass-through")

    assert ("9.00 us (9.00 to 9.00)", "miss") == (verdict.was, verdict.verdict)


def test_latency_is_what_is_added_to_the_direct_way() -> None:
    p50 = {DIRECT: [0.25], OURS: [0.75], BARE: [1.25]}
    record = a_record({"open.50.p50_ms": p50})

    verdict = the_verdict(record, "latency added at 50 requests a second, to bare")

    assert ("0.50 (0.50 to 0.50)", "pass, wish too") == (verdict.was, verdict.verdict)


def test_what_was_not_measured_is_not_judged() -> None:
    assert [] == list(judge(Record(), OURS))
    assert [] == list(judge(a_record({"unary.cpu_us": {OURS: [None], BARE: [1.0]}}), OURS))


def test_a_wish_is_harder_than_the_goal() -> None:
    assert all(goal.wished is None or goal.wished < goal.most for goal in GOALS)
