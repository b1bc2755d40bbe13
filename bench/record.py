"""What a run has found so far: kept while it goes on, so that it can be taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from figures import differences

DIRECT = "direct"
"""The name of the way without a proxy."""

Series = dict[str, dict[str, list[float | None]]]
"""Metric -> candidate -> a figure for each round, None where there was none."""


@dataclass(slots=True, kw_only=True)
class Record:
    """Figures, and in words what failed and what was not tried.

    done: rounds of each group of scenarios that are complete; what came after is not in `series`.
    """

    series: Series = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)

    def put(self, metric: str, name: str, value: float | None) -> None:
        """Add a round's figure."""
        self.series.setdefault(metric, {}).setdefault(name, []).append(value)

    def fail(self, name: str, what: str) -> None:
        """Tell, once, that something failed."""
        self._once(self.failures, f"{name}: {what}")

    def leave_out(self, name: str, what: str) -> None:
        """Tell, once, that something was not tried, and why."""
        self._once(self.left_out, f"{name}: {what}")

    def rounds(self, metric: str, name: str) -> Sequence[float | None]:
        """Give the rounds of a figure; none if it was not taken.

        `added.RATE` is the latency above that of the direct way, in the same round.
        """
        kind, _, rate = metric.partition(".")
        if kind != "added":
            return self.series.get(metric, {}).get(name, ())
        seen = f"open.{rate}.p50_ms"
        return differences(self.rounds(seen, name), self.rounds(seen, DIRECT))

    def document(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self)

    @staticmethod
    def _once(lines: list[str], line: str) -> None:
        if line not in lines:
            lines.append(line)
