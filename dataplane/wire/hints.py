"""How long an upstream asks us to stay away, in each of the spellings that are in use.

A pure adapter has no clock: dates are measured against the answer's own `Date` header, or against
a `now` that the caller hands in, and are of no use without either. Header names are lower case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER_S: Final = 3600.0
"""Longer wishes are cut to this, in seconds."""

_MAX_LENGTH: Final = 64
"""No hint is longer than this many characters; more is garbage."""

_MAX_NUMBER: Final = 31_536_000.0
"""A number of a year or more, in seconds, is a point in time, not a wait."""

_NUMBER: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{0,18})?", re.ASCII)
_GO_DURATION: Final = re.compile(r"(?:[0-9]{1,18}(?:\.[0-9]{1,18})?(?:ns|us|µs|μs|ms|s|m|h))+")
_GO_PART: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_S: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}

# What may run out, as (remaining, reset). Several of these come on every answer, so they are
# worth a look only when the upstream said that a limit was hit.
_LIMITS: Final = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
)


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds the upstream asks us to wait, or None if it does not say.

    Looks at what it asks for outright (see asked_wait_s), then at when its limits are reset (see
    limit_reset_s). The result is in (0, 3600]: longer wishes are cut; zero, negative and
    unreadable ones do not count as said.

    now: for dates; None takes the answer's `Date` header.
    """
    asked = asked_wait_s(headers, now)
    return limit_reset_s(headers, now) if asked is None else asked


def asked_wait_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds of `retry-after-ms`, else of `retry-after`; in (0, 3600], or None.

    Azure sends `retry-after-ms: 0` beside `retry-after: 1`, so a value that is not positive
    leaves the word to the other header.

    Source: RFC 9110, section 10.2.3, for seconds and dates.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None and 0 < milliseconds:
        return min(milliseconds / 1000, MAX_RETRY_AFTER_S)
    return _usable(headers.get("retry-after", ""), now or _date(headers.get("date", "")))


def limit_reset_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds until the limits that are used up are reset; in (0, 3600], or None.

    With several used up, the last to be reset counts. If none says that it is used up, the first
    to be reset does: too short a wait costs one more refusal, too long a one costs the target.
    """
    reference = now or _date(headers.get("date", ""))
    used_up: list[float] = []
    others: list[float] = []
    for remaining, reset in _LIMITS:
        wait = _usable(headers.get(reset, ""), reference)
        if wait is not None:
            exhausted = _number(headers.get(remaining, "")) == 0
            (used_up if exhausted else others).append(wait)
    if used_up:
        return max(used_up)
    return min(others, default=None)


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """Tell what the upstream's `x-should-retry` says; None if it is absent or neither."""
    match headers.get("x-should-retry", "").strip().lower():
        case "true":
            return True
        case "false":
            return False
        case _:
            return None


def _usable(value: str, now: datetime | None) -> float | None:
    """Read one header value in any of the spellings; None if it is no positive wait."""
    for candidate in _candidates(value):
        wait = _number(candidate)
        if wait is None:
            wait = _go_duration(candidate)
        if wait is None and now is not None:
            moment = _date(candidate)
            wait = None if moment is None else (moment - now).total_seconds()
        if wait is not None and 0 < wait < _MAX_NUMBER:
            return min(wait, MAX_RETRY_AFTER_S)
    return None


def _candidates(value: str) -> Iterable[str]:
    """Give the value, then the parts of a repeated header; a date has a comma of its own."""
    if len(value) > _MAX_LENGTH:
        return
    yield value.strip()
    if "," in value:
        yield from (part.strip() for part in value.split(","))


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _go_duration(text: str) -> float | None:
    if not _GO_DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _GO_PART.findall(text))


def _date(text: str) -> datetime | None:
    """Read an RFC 3339 or an HTTP date; one without a zone is UTC."""
    if not text or len(text) > _MAX_LENGTH:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
