"""What is told of a run: ratios the right way round, goals, losses, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from candidates import BARE, OFF, OURS
from plans import FULL, QUICK
from record import DIRECT, Record
from results import brief, losses, markdown
from run import Run, document


def a_run(
    series: Mapping[str, Mapping[str, Sequence[float | None]]],
    *,
    names: Sequence[str] = (OURS, "quicker", "slower"),
    failures: Sequence[str] = (),
    left_out: Sequence[str] = (),
    absent: Mapping[str, str] | None = None,
) -> Run:
    record = Record(failures=list(failures), left_out=list(left_out))
    for metric, by_name in series.items():
        for name, rounds in by_name.items():
            for value in rounds:
                record.put(metric, name, value)
    return Run(
        plan=QUICK,
        versions=dict.fromkeys(names, "1.0"),
        ours=[name for name in names if name == OURS],
        absent=absent or {},
        about={"machine": "a machine"},
        record=record,
    )


def row(text: str, name: str, section: str = "CPU for a request of 2 KB") -> Sequence[str]:
    """Return the cells of the first row of a section's tables that begins so."""
    part = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = (line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| "))
    return next(cells for cells in rows if cells[0] == name)


CPU = {"unary.cpu_us": {OURS: [100.0, 200.0], "quicker": [50.0, 100.0], "slower": [400.0, 800.0]}}


def test_a_ratio_above_one_means_that_switchgear_takes_less() -> None:
    text = markdown(a_run(CPU))

    assert ["quicker", "75.0 (50.0 to 100)", "0.50"] == list(row(text, "quicker")[:3])
    assert ["slower", "600 (400 to 800)", "4.00"] == list(row(text, "slower")[:3])
    assert ["1"] == list(row(text, OURS)[2:3])


def test_what_others_do_for_less_is_told() -> None:
    run = a_run(CPU)

    assert [("CPU for a request of 2 KB", "quicker", 0.5)] == list(losses(run))
    assert "| CPU for a request of 2 KB | quicker | 0.50 |" in markdown(run)


def test_the_worst_loss_comes_first() -> None:
    run = a_run({**CPU, "idle.rss_mb": {OURS: [50.0], "quicker": [5.0], "slower": [500.0]}})

    assert ["memory when idle", "CPU for a request of 2 KB"] == [loss[0] for loss in losses(run)]


def test_untraced_switchgear_is_no_one_to_lose_to() -> None:
    run = a_run({"unary.cpu_us": {OURS: [100.0], OFF: [50.0]}}, names=(OURS, OFF))

    assert [] == list(losses(run))
    assert "Nowhere in this run." in markdown(run)


def test_without_a_traced_run_the_others_are_compared_with_the_plain_one() -> None:
    run = a_run({"unary.cpu_us": {OFF: [100.0], "slower": [200.0]}}, names=(OFF, "slower"))

    assert "2.00" == row(markdown(run), "slower")[2]


def test_added_latency_is_what_is_above_the_direct_way() -> None:
    p50 = {DIRECT: [0.1, 0.2], OURS: [0.5, 0.6], "quicker": [0.2, 0.3], "slower": [1.7, 1.8]}

    text = markdown(a_run({"open.50.p50_ms": p50}))

    assert ["0.40 (0.40 to 0.40)", "1"] == list(row(text, OURS, "Latency added")[2:4])
    assert ["1.60 (1.60 to 1.60)", "4.00"] == list(row(text, "slower", "Latency added")[2:4])


def test_a_translated_event_is_told_above_pass_through() -> None:
    run = a_run(
        {
            "openai.unary.cpu_us": {OURS: [100.0]},
            "openai.spaced.event_us": {OURS: [30.0]},
            "ollama.unary.cpu_us": {OURS: [120.0]},
            "ollama.spaced.event_us": {OURS: [33.0]},
        },
        names=(OURS,),
    )

    cells = row(markdown(run), f"{OURS}: ollama", "Translated formats")
    assert ["120", "+20.0", "33.0", "+3.0"] == list(cells[1:])


@pytest.mark.parametrize("is_taken", [True, False])
def test_what_was_not_measured_has_no_column(is_taken: bool) -> None:
    burst = {"burst.event_us": {OURS: [None]}} if is_taken else {}

    text = markdown(a_run({"spaced.event_us": {OURS: [30.0]}, **burst}))

    assert "| spaced, us |" in text
    assert is_taken is ("| burst, us |" in text)
    assert is_taken is ("*Burst*" in text)


def test_a_round_that_failed_is_no_figure() -> None:
    text = markdown(a_run({"unary.cpu_us": {OURS: [100.0, None], "slower": [None, 7.0]}}))

    assert ["100", "1"] == list(row(text, OURS)[1:3])
    assert ["7.00", "-"] == list(row(text, "slower")[1:3])


def test_goals_stand_before_the_tables() -> None:
    run = a_run({"unary.cpu_us": {OURS: [70.0], BARE: [100.0]}}, names=(OURS, BARE))

    for text in (markdown(run), brief(run)):
        assert text.index("## Goals: switchgear") < text.index("## CPU for a request of 2 KB")
        assert [
            "CPU, request of 2 KB, to bare",
            "0.80",
            "0.60",
            "0.70 (0.70 to 0.70)",
            "pass",
        ] == list(row(text, "CPU, request of 2 KB, to bare", f"Goals: {OURS}"))


def test_what_was_not_measured_has_no_heading() -> None:
    text = brief(a_run(CPU))

    assert "## CPU for a request of 2 KB" in text
    for heading in ("200 KB", "event of a stream", "Latency", "Memory", "Growth", "Instructions"):
        assert heading not in text


def test_peers_that_are_not_installed_are_named() -> None:
    text = markdown(a_run(CPU, absent={"envoy": "make bench-peers"}))

    assert "* left out: envoy, not installed (make bench-peers)" in text


def test_what_failed_is_named_on_one_line() -> None:
    text = markdown(a_run(CPU, failures=["slower: burst: 8 of 8 failed,\nthe last status was 500"]))

    assert "* failed: slower: burst: 8 of 8 failed, the last status was 500\n" in text


def test_what_was_not_tried_is_named() -> None:
    text = markdown(a_run(CPU, left_out=["slower: 500 requests a second"]))

    assert "* left out: slower: 500 requests a second\n" in text


def test_the_document_holds_every_round() -> None:
    written = json.loads(document(a_run(CPU)))

    assert CPU == written["record"]["series"]
    assert "quick" == written["plan"]["name"]


def test_the_full_plan_has_nine_rounds_and_the_quick_one_no_sweeps() -> None:
    assert (9, 9) == (FULL.rounds, FULL.start_rounds)
    assert not {"connections", "bodies", "lengths", "routes"} & set(QUICK.scenarios)
