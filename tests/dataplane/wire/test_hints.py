"""Waits and their spellings: section by section of what upstreams were seen to send."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.wire.hints import (
    MAX_RETRY_AFTER_S,
    asked_wait_s,
    limit_reset_s,
    retry_after_s,
    should_retry,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", None),
        ("0.0", None),
        ("-1", None),
        ("1", 1.0),
        (" 1 ", 1.0),
        ("1.5", 1.5),
        ("2.", 2.0),
        ("120", 120.0),
        ("3600", 3600.0),
        ("7200", 3600.0),
        ("1790000000", None),
        ("nan", None),
        ("inf", None),
        ("Infinity", None),
        ("1e3", None),
        ("1_0", None),
        ("\u0661", None),
        ("", None),
        ("soon", None),
        ("1" * 65, None),
        ("1m2s", 62.0),
        ("1m2.5s", 62.5),
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("1h", 3600.0),
        ("24h", 3600.0),
        ("0s", None),
        ("-1s", None),
        ("1s trailing", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 12:00:30 -0000", 30.0),
        ("Sun, 22 Nov 2026 11:59:30 GMT", None),
        ("Sun, 22 Nov 2026 12:00:00 GMT", None),
        ("Mon, 23 Nov 2026 12:00:00 GMT", 3600.0),
        ("2026-11-22T12:00:10Z", 10.0),
        ("2026-11-22T12:00:10.5+00:00", 10.5),
        ("2026-11-22T12:00:10", 10.0),
        ("2026-11-22T11:00:00Z", None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
        ("2, 3", 2.0),
        ("0, 3", 3.0),
        ("x, y", None),
    ],
)
def test_retry_after_is_read_in_every_spelling(value: str, expected: float | None) -> None:
    assert expected == retry_after_s({"retry-after": value}, NOW)


def test_milliseconds_go_before_seconds() -> None:
    assert 0.25 == asked_wait_s({"retry-after-ms": "250", "retry-after": "9"})


@pytest.mark.parametrize("milliseconds", ["0", "-5", "nan", "", "x"])
def test_milliseconds_that_are_not_positive_leave_the_word_to_seconds(milliseconds: str) -> None:
    assert 1.0 == asked_wait_s({"retry-after-ms": milliseconds, "retry-after": "1"})


def test_long_waits_in_milliseconds_are_cut() -> None:
    assert MAX_RETRY_AFTER_S == asked_wait_s({"retry-after-ms": "999999999"})


def test_dates_are_measured_against_the_answers_own_date() -> None:
    headers = {
        "date": "Sun, 22 Nov 2026 12:00:00 GMT",
        "retry-after": "Sun, 22 Nov 2026 12:00:05 GMT",
    }

    assert 5.0 == retry_after_s(headers)


@pytest.mark.parametrize("date", [None, "yesterday", "x" * 100])
def test_dates_are_no_hint_without_a_clock(date: str | None) -> None:
    headers = {"retry-after": "Sun, 22 Nov 2026 12:00:05 GMT"}
    if date is not None:
        headers["date"] = date

    assert retry_after_s(headers) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ratelimit-reset": "17", "ratelimit-remaining": "0"}, 17.0),
        ({"ratelimit-reset": "17"}, 17.0),
        ({"x-ratelimit-reset-requests": "12ms", "x-ratelimit-reset-tokens": "6m0s"}, 0.012),
        (
            {
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-remaining-requests": "99",
                "x-ratelimit-reset-tokens": "6s",
                "x-ratelimit-remaining-tokens": "0",
            },
            6.0,
        ),
        (
            {
                "x-ratelimit-reset-requests": "9s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "6s",
                "x-ratelimit-remaining-tokens": "0",
            },
            9.0,
        ),
        # Azure: plain seconds, and -1 for "unknown".
        ({"x-ratelimit-reset-tokens": "31", "x-ratelimit-remaining-tokens": "-1"}, 31.0),
        ({"x-ratelimit-reset-tokens": "-1"}, None),
        ({"x-ratelimit-reset": "1790000000"}, None),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-22T12:00:30Z"}, 30.0),
        ({"x-ratelimit-reset-requests": "8h"}, 3600.0),
        ({}, None),
    ],
)
def test_resets_of_limits_are_the_last_resort(
    headers: dict[str, str], expected: float | None
) -> None:
    assert expected == limit_reset_s(headers, NOW)
    assert expected == retry_after_s(headers, NOW)
    assert 2.0 == retry_after_s(headers | {"retry-after": "2"}, NOW)
    assert asked_wait_s(headers, NOW) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("False", False), (" false ", False), ("1", None), ("", None)],
)
def test_should_retry_is_true_false_or_unsaid(value: str, expected: bool | None) -> None:
    assert expected is should_retry({"x-should-retry": value})
    assert should_retry({}) is None


@settings(max_examples=200)
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["retry-after", "retry-after-ms", "date", "ratelimit-reset", "x-ratelimit-reset-tokens"]
        ),
        st.one_of(
            st.text(max_size=80),
            st.from_regex(r"[0-9.]{1,30}(ms|s|m|h)?", fullmatch=True),
            st.datetimes().map(lambda moment: moment.isoformat()),
            st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S +9959")),
        ),
    )
)
def test_any_header_gives_a_usable_wait_or_none(headers: dict[str, str]) -> None:
    for now in (None, NOW):
        wait = retry_after_s(headers, now)
        assert wait is None or 0 < wait <= MAX_RETRY_AFTER_S
