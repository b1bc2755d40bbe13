"""When an answer was made, for formats that do not say so themselves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache


def created(headers: Mapping[str, str]) -> int:
    """Give the answer's creation by the date of its head, Unix seconds; 0 if it has none."""
    return _seconds(headers.get("date", ""))


@lru_cache(maxsize=8)
def _seconds(date: str) -> int:
    """Read an HTTP date; many answers of one second have the same."""
    try:
        when = parsedate_to_datetime(date)
    except ValueError:
        return 0
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
