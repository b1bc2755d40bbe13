"""The active health of one provider: what probes found, with a threshold in each direction."""

from __future__ import annotations

from controlplane.table.schema import HealthCheck


class ProbeHealth:
    """The verdict over the probes of one provider.

    healthy: None until one of the thresholds was reached. detail: the latest probe in words.
    """

    __slots__ = ("_failed_in_row", "_good_in_row", "detail", "healthy")

    def __init__(self) -> None:
        self.healthy: bool | None = None
        self.detail = ""
        self._good_in_row = 0
        self._failed_in_row = 0

    def probed(self, *, reachable: bool, detail: str, check: HealthCheck) -> None:
        """Take the result of one probe."""
        self.detail = detail
        if reachable:
            self._failed_in_row = 0
            self._good_in_row += 1
            if self._good_in_row >= check.healthy_threshold:
                self.healthy = True
        else:
            self._good_in_row = 0
            self._failed_in_row += 1
            if self._failed_in_row >= check.unhealthy_threshold:
                self.healthy = False

    def follow(self, *, healthy: bool | None, detail: str) -> None:
        """Take over a verdict that another has come to."""
        self.healthy = healthy
        self.detail = detail

    def answered(self) -> None:
        """End a row of failed probes: a real call was served, which is the better witness.

        What the probes have decided stays: the call may have begun before the outage.
        """
        self._failed_in_row = 0
