from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1m30s", 90.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("0s", 0.0),
        ("0", 0.0),
        ("90s", 90.0),
        ("1h0m0.5s", 3600.5),
        ("20us", 0.00002),
        ("20µs", 0.00002),
        ("20μs", 0.00002),
        ("30s1m", 90.0),
        (".5s", 0.5),
        ("1.s", 1.0),
    ],
)
def test_a_duration_means_its_seconds(text: str, seconds: float) -> None:
    assert seconds == durations.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "s",
        "1 s",
        " 1s",
        "1s ",
        "-1s",
        "+1s",
        "1d",
        "1S",
        "1e3s",
        "1,5s",
        "1s.",
        "٣s",
        "1ns",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(durations.DurationError, match="is not a duration"):
        durations.parse(text)


def test_a_duration_is_bounded() -> None:
    with pytest.raises(durations.DurationError, match="longer than a year"):
        durations.parse("9000h")
    with pytest.raises(durations.DurationError, match="too long"):
        durations.parse("1s" * 40)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.2, "200ms"),
        (0.0015, "1.5ms"),
        (0.00002, "20us"),
        (1.5, "1.5s"),
        (60.0, "1m"),
        (90.0, "1m30s"),
        (3600.0, "1h"),
        (3605.25, "1h5.25s"),
        (10.0, "10s"),
        (0.1 + 0.2, "300ms"),
    ],
)
def test_seconds_are_written_the_short_way(seconds: float, text: str) -> None:
    assert text == durations.format_s(seconds)


@pytest.mark.parametrize("seconds", [-1.0, durations.MAX_S + 1, float("nan"), float("inf")])
def test_seconds_out_of_range_are_not_written(seconds: float) -> None:
    with pytest.raises(ValueError, match="outside of"):
        durations.format_s(seconds)


@given(st.integers(min_value=0, max_value=round(durations.MAX_S * 1_000_000)))
def test_what_is_written_reads_back_the_same(micros: int) -> None:
    seconds = micros / 1_000_000

    text = durations.format_s(seconds)

    assert seconds == durations.parse(text)
    assert re.fullmatch(durations.PATTERN, text)


@given(st.text(max_size=20))
def test_reading_is_total(text: str) -> None:
    try:
        seconds = durations.parse(text)
    except durations.DurationError:
        return

    assert 0 <= seconds <= durations.MAX_S
