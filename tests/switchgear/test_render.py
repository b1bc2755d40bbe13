"""Columns and units, for people."""

from __future__ import annotations

import pytest

from switchgear.render import columns, milliseconds, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "0ms"),
        (0.85, "850ms"),
        (1.0, "1s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (185.0, "3m05s"),
        (3600.0, "1h00m"),
        (7800.0, "2h10m"),
        (352800.0, "4d02h"),
    ],
)
def test_durations_show_their_two_largest_units(seconds: float | None, text: str) -> None:
    assert text == span(seconds)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.84, "0.8ms"), (41.7, "42ms"), (999.0, "999ms"), (1300.0, "1.3s")],
)
def test_latencies_show_two_digits_or_so(value: float | None, text: str) -> None:
    assert text == milliseconds(value)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert "A       B\nlong    -\nx       yes" == columns(["A", "B"], [["long ", ""], ["x", "yes"]])
