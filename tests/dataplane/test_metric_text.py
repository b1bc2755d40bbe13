from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane import metric_instruments as instruments
from dataplane.metric_points import Instrument, Kind, Metric, Point, Spread
from dataplane.metric_text import exposition, name_of

COUNTER = Instrument(name="switchgear.wasted", kind=Kind.COUNTER, unit="s", description="a\\b\nc")
HISTOGRAM = Instrument(
    name="a.b", kind=Kind.HISTOGRAM, unit="{token}", description="d", bounds=(0.5, 4.0)
)
LINE = re.compile(
    r"[a-z_]+(\{([a-z_]+=\"(\\[\\n\"]|[^\\\n\"])*\",?)+\})? (-?[0-9.]+(e[+-]?[0-9]+)?)"
)


def test_a_histogram_is_cumulative_buckets_sum_and_count() -> None:
    metric = Metric(HISTOGRAM, [Point({"x.y": 1}, Spread((1, 0, 2), 9.25))])

    assert (
        "# HELP a_b d\n"
        "# TYPE a_b histogram\n"
        'a_b_bucket{x_y="1",le="0.5"} 1\n'
        'a_b_bucket{x_y="1",le="4"} 1\n'
        'a_b_bucket{x_y="1",le="+Inf"} 3\n'
        'a_b_sum{x_y="1"} 9.25\n'
        'a_b_count{x_y="1"} 3\n'
    ) == exposition([metric]).decode()


def test_a_counter_is_a_total_and_its_unit_is_in_its_name() -> None:
    metric = Metric(COUNTER, [Point({}, 2)])

    assert (
        "# HELP switchgear_wasted_seconds_total a\\\\b\\nc\n"
        "# TYPE switchgear_wasted_seconds_total counter\n"
        "switchgear_wasted_seconds_total 2\n"
    ) == exposition([metric]).decode()


def test_what_was_never_measured_is_left_out() -> None:
    assert b"" == exposition([Metric(COUNTER, [])])


@given(st.text(max_size=40), st.floats(-1e12, 1e12))
def test_no_label_can_forge_a_line(text: str, value: float) -> None:
    body = exposition([Metric(COUNTER, [Point({"a": text}, value)])]).decode()

    # By line feeds only, as Prometheus splits.
    *lines, rest = body.split("\n")
    assert (3, "") == (len(lines), rest)
    assert LINE.fullmatch(lines[2])


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (instruments.OPERATION_DURATION, "gen_ai_client_operation_duration_seconds"),
        (instruments.TOKEN_USAGE, "gen_ai_client_token_usage"),
        (instruments.ATTEMPTS, "switchgear_attempts_total"),
        (instruments.CIRCUIT_STATE, "switchgear_circuit_state"),
        (instruments.REQUESTS_ACTIVE, "switchgear_requests_active"),
    ],
)
def test_names_are_those_that_dashboards_know(instrument: Instrument, name: str) -> None:
    assert name == name_of(instrument)
