"""What a worker tells of its metrics, made beside the loop that serves requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from dataplane.fleet.messages import Measured, plain
from dataplane.request_metrics import RequestMetrics


async def measure(metrics: RequestMetrics, active: int, calls: Mapping[str, int]) -> Any:
    """Take what was counted, and give the plain form of Measured; thousands of series take a while.

    If it is cancelled nothing is lost: what was taken is put back.
    """
    taken = metrics.take()
    try:
        return await asyncio.to_thread(
            lambda: plain(Measured(counts=taken.counts(), active=active, calls=calls))
        )
    except asyncio.CancelledError:
        metrics.add(taken.counts())
        raise
