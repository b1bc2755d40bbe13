"""Plots are XML, and say what the figures say."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from candidates import BARE, OURS
from plans import QUICK
from plots import PLOTS, draw
from record import Record, Series
from run import Run

_SVG = "{http://www.w3.org/2000/svg}"


def a_run(series: Series) -> Run:
    return Run(
        plan=QUICK,
        versions={OURS: "1", BARE: "2"},
        ours=[OURS],
        absent={},
        about={},
        record=Record(series=series),
    )


def words(drawing: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(drawing).iter(f"{_SVG}text")]


def test_a_dot_stands_further_right_for_more() -> None:
    drawn = draw(a_run({"unary.cpu_us": {OURS: [60.0, 70.0], BARE: [100.0, 130.0]}}))

    assert {"request"} == set(drawn)
    assert {PLOTS["request"], OURS, BARE, "65.0", "115"} <= set(words(drawn["request"]))
    less, more = (
        float(dot.attrib["cx"]) for dot in ET.fromstring(drawn["request"]).iter(f"{_SVG}circle")
    )
    assert less < more


def test_a_sweep_is_a_line_for_each_with_a_dot_a_step() -> None:
    series: Series = {
        f"connections.{number}.cpu_us": {OURS: [90.0 + number], BARE: [150.0]}
        for number in QUICK.connections
    }

    drawing = draw(a_run(series))["connections"]

    root = ET.fromstring(drawing)
    assert 2 == len(list(root.iter(f"{_SVG}polyline")))
    assert 2 * len(QUICK.connections) == len(list(root.iter(f"{_SVG}circle")))
    assert {OURS, BARE, "1,000"} <= set(words(drawing))


def test_what_has_no_place_on_the_scale_is_left_out() -> None:
    p50 = {"direct": [0.5], OURS: [0.4], BARE: [0.9]}

    assert {} == draw(a_run({"open.50.p50_ms": p50, "unary.cpu_us": {OURS: [None]}}))
