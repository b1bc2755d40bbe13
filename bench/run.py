"""A run as it is told: what was measured, where, and what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from candidates import OURS
from figures import ratios, spread
from plans import Plan
from record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that is told of a run.

    versions: by name, of what was measured. ours: which of them are Switchgear, traced.
    absent: by name, how what was not there is installed.
    about: the machine, its noise, the revision, by name.
    """

    plan: Plan
    versions: Mapping[str, str]
    ours: Sequence[str]
    absent: Mapping[str, str]
    about: Mapping[str, str]
    record: Record

    @property
    def names(self) -> Sequence[str]:
        """Everyone that was measured."""
        return list(self.versions)

    @property
    def base(self) -> str:
        """Whom the others are compared with: the first Switchgear that there is."""
        names = [*self.ours, *(f"{name}-off" for name in self.ours), f"{OURS}-off"]
        return next((name for name in names if name in self.versions), next(iter(self.versions)))

    @property
    def rivals(self) -> Sequence[str]:
        """Everyone that is not Switchgear."""
        ours = {OURS, *self.ours}
        switchgears = ours | {
            f"{name}-{kind}" for name in ours for kind in ("off", "workers", "interpreted")
        }
        return [name for name in self.versions if name not in switchgears]

    def rounds(self, metric: str, name: str) -> Sequence[float | None]:
        """Give the rounds of a figure; none if it was not taken."""
        return self.record.rounds(metric, name)

    def ratio(self, metric: str, name: str) -> float | None:
        """Divide what `name` takes by what the base takes, round by round; the median."""
        found = spread(ratios(self.rounds(metric, name), self.rounds(metric, self.base)))
        return None if found is None else found.median

    def has(self, *metrics: str) -> bool:
        """Tell whether any of these was measured."""
        return any(metric in self.record.series for metric in metrics)


def document(run: Run) -> str:
    """Write all rounds as JSON: metric -> candidate -> rounds, null where there was no figure."""
    return json.dumps(asdict(run), indent=1, sort_keys=True) + "\n"
