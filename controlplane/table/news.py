"""News: what one live table has found out and others of the same table want to know.

Processes that serve the same table share what is expensive to find out again: that a breaker or a
credential opened or closed, that a provider asked for a pause, what active probes decided. A live
table tells its own news, follows those of others, and can say all that is in force at once, for
one that comes later. Following is idempotent, and what was followed is not told again.

Counts and latencies are not shared, nor are trials: each process sends its own when an open time
is over, and the first verdict is everybody's.

Times are monotonic seconds, which the processes of one machine have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from controlplane.table.plain import decoder, encoder


class NewsKind(StrEnum):
    """What has happened, and to what: a target, a credential or a provider."""

    OPENED = "opened"
    CLOSED = "closed"
    PAUSED = "paused"
    CREDENTIAL_OPENED = "credential_opened"
    CREDENTIAL_CLOSED = "credential_closed"
    HEALTH = "health"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing that has happened.

    key: the target's, the credential's, or the provider's name. detail: the reason, for people.
    until_s: the end of an opening or a pause. row: openings in a row, this one included.
    healthy: the verdict of probes; None for all other kinds.
    """

    kind: NewsKind
    key: str
    detail: str = ""
    until_s: float = 0.0
    row: int = 0
    healthy: bool | None = None


def to_plain(news: Sequence[News]) -> Any:
    """Give news as plain JSON values."""
    return encoder(Sequence[News])(news)


def from_plain(value: Any) -> Sequence[News]:
    """Read what `to_plain` gave. Raises ShapeError for anything else."""
    read: Sequence[News] = decoder(Sequence[News])(value, "news")
    return read
