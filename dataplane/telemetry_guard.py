"""Keeps what strangers' code raises away from requests."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class Guard:
    """Counts failures of what is called on the request path and is not ours, and tells the first.

    A propagator, a sampler, a processor or a header mapping may be a stranger's: a request goes
    on without the piece that failed. Only the type of an exception is told, its text may hold
    what a caller sent.
    """

    __slots__ = ("errors",)

    def __init__(self) -> None:
        """Start at none."""
        self.errors = 0

    def note(self, error: Exception) -> None:
        """Count a failure."""
        self.errors += 1
        if self.errors == 1:
            logger.warning("telemetry: %s in OpenTelemetry, counted from now on", type(error))
