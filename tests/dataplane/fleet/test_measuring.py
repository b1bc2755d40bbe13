from __future__ import annotations

import asyncio

import pytest

from dataplane.events import AttemptEnded
from dataplane.fleet.measuring import measure
from dataplane.fleet.messages import Measured, read
from dataplane.flight import Decision
from dataplane.metric_points import Metric
from dataplane.request_metrics import RequestMetrics


def counted() -> RequestMetrics:
    metrics = RequestMetrics(lambda _: None)
    metrics.listen(
        AttemptEnded(
            at_s=1.0,
            provider="a",
            model="m",
            decision=Decision.SERVED,
            duration_s=0.5,
            trace=("1" * 32, "2" * 16),
        )
    )
    return metrics


def told(metrics: RequestMetrics) -> list[Metric]:
    return [metric for metric in metrics.read(exemplars=True) if metric.points]


async def test_what_is_measured_is_taken() -> None:
    metrics, other = counted(), RequestMetrics(lambda _: None)
    measured = read(Measured, await measure(metrics, 2, {"a": 1}))
    other.add(measured.counts)

    assert [] == told(metrics)
    assert told(counted()) == told(other)
    assert (2, {"a": 1}) == (measured.active, measured.calls)


async def test_who_is_cancelled_puts_back_what_was_taken() -> None:
    metrics = counted()
    measuring = asyncio.create_task(measure(metrics, 0, {}))
    # One step of the loop is what it takes to begin.
    await asyncio.sleep(0)
    taken = told(metrics)
    measuring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await measuring

    assert [] == taken
    assert told(counted()) == told(metrics)
