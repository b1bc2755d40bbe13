"""The last requests and their counts, for the admin API."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from dataplane.events import AttemptEnded, Event, RequestCompleted, RequestFailed, RequestStarted
from dataplane.flight import FlightRecord, RequestOutcome

KEPT = 256
"""How many finished requests are remembered."""


class RecentRequests:
    """Remembers finished requests, the newest last, and counts all of them by outcome.

    in_flight: requests under way.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._records: deque[tuple[str, FlightRecord]] = deque(maxlen=KEPT)
        self._counts = dict.fromkeys(RequestOutcome, 0)
        self.in_flight = 0
        self._idle: asyncio.Event | None = None

    def listen(self, event: Event) -> None:
        """Count a request that has started, remember one that has ended."""
        match event:
            case RequestStarted():
                self.in_flight += 1
            case RequestCompleted() | RequestFailed():
                self.in_flight -= 1
                if not self.in_flight and self._idle is not None:
                    self._idle.set()
                self._remember(event.request_id, event.span.flight)
            case AttemptEnded():
                pass
            case _:
                assert_never(event)

    async def until_idle(self) -> None:
        """Wait until there is a moment without requests under way."""
        while self.in_flight:
            if self._idle is None:
                self._idle = asyncio.Event()
            self._idle.clear()
            await self._idle.wait()

    def counts(self) -> Mapping[str, int]:
        """Return how requests ended, and how many are under way."""
        counts = self._counts
        return {
            "total": sum(counts.values()),
            "served": counts[RequestOutcome.SERVED],
            "failed": counts[RequestOutcome.FAILED],
            "rejected": counts[RequestOutcome.REJECTED],
            "cancelled": counts[RequestOutcome.CLIENT_CANCELLED],
            "drained": counts[RequestOutcome.DRAINED],
            "inFlight": self.in_flight,
        }

    def last(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """Describe the last `limit` requests, the newest last. No content, no headers."""
        newest = list(self._records)[-limit:] if limit > 0 else []
        return [_describe(request_id, flight) for request_id, flight in newest]

    def _remember(self, request_id: str, flight: FlightRecord) -> None:
        self._records.append((request_id, flight))
        if flight.outcome is not None:
            self._counts[flight.outcome] += 1


def _describe(request_id: str, flight: FlightRecord) -> Mapping[str, Any]:
    return {
        "at": flight.started_ns / 1e9,
        "id": request_id,
        "model": flight.model,
        "route": flight.route,
        "stream": flight.stream,
        "outcome": flight.outcome.value if flight.outcome is not None else None,
        "status": flight.status,
        "errorType": flight.error_type,
        "path": list(flight.path),
        "provider": flight.provider,
        "upstreamModel": flight.upstream_model,
        "attempts": flight.attempts,
        "failover": flight.failover,
        "generation": flight.generation,
        "durationMs": round(flight.duration_s * 1000, 3),
        "overheadMs": round(flight.overhead_s * 1000, 3),
    }
