"""What the admin API remembers of finished requests."""

from __future__ import annotations

import asyncio

from dataplane.events import RequestFailed, RequestStarted
from dataplane.flight import Clock, FlightRecord, RequestOutcome
from dataplane.provider import Operation
from dataplane.recent import KEPT, RecentRequests
from dataplane.telemetry import RequestSpan
from tests.fakes import FakeClock


def started() -> RequestStarted:
    return RequestStarted(at_s=0, request_id="r", operation=Operation.CHAT)


def ended(request_id: str = "r", outcome: RequestOutcome = RequestOutcome.SERVED) -> RequestFailed:
    record = FlightRecord(Clock(now_s=FakeClock(), wall_ns=lambda: 1_500_000_000))
    record.matched("chat", "gpt", 3, stream=True)
    record.end(outcome, 200)
    return RequestFailed(
        at_s=0,
        request_id=request_id,
        operation=Operation.CHAT,
        span=RequestSpan(record),
        outcome=outcome,
    )


async def test_requests_are_counted_by_outcome_and_while_they_run() -> None:
    recent = RecentRequests()
    for outcome in RequestOutcome:
        recent.listen(started())
        recent.listen(ended(outcome=outcome))
    recent.listen(started())

    assert {
        "total": 5,
        "served": 1,
        "failed": 1,
        "rejected": 1,
        "cancelled": 1,
        "drained": 1,
        "inFlight": 1,
    } == recent.counts()
    assert 1 == recent.in_flight


async def test_whoever_waits_is_told_when_no_request_is_under_way() -> None:
    recent = RecentRequests()
    await recent.until_idle()
    for _ in range(2):
        recent.listen(started())
    waiting = asyncio.create_task(recent.until_idle())
    await asyncio.sleep(0)
    recent.listen(ended("r1"))
    await asyncio.sleep(0)

    assert not waiting.done()
    recent.listen(ended("r2"))
    await waiting


async def test_only_the_newest_are_kept() -> None:
    recent = RecentRequests()
    for number in range(KEPT + 5):
        recent.listen(started())
        recent.listen(ended(f"r{number}"))

    assert [f"r{KEPT + 3}", f"r{KEPT + 4}"] == [item["id"] for item in recent.last(2)]
    assert KEPT == len(recent.last(10_000))
    assert [] == recent.last(0)
    assert 0 == recent.in_flight


async def test_a_request_is_told_without_its_content() -> None:
    recent = RecentRequests()
    recent.listen(started())
    recent.listen(ended("r1"))

    (told,) = recent.last(1)
    assert (1.5, "r1", "chat", "gpt", True, "served", 200, 3) == tuple(
        told[key]
        for key in ("at", "id", "route", "model", "stream", "outcome", "status", "generation")
    )
