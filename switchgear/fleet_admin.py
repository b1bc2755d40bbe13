"""The admin port of a supervisor: what its workers see, asked when a request comes, as one.

A worker that does not answer in time is left out. Its last report counts if it is gone, so that
counts do not fall when a worker is replaced; what one that was killed has counted since is lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controlplane.table import snapshot
from controlplane.table.live import LiveTable
from controlplane.table.schema import Table
from dataplane import capabilities, status
from dataplane.admin import AdminPort, Views
from dataplane.answer import Answer, StreamAnswer
from dataplane.fleet import merge
from dataplane.fleet.messages import Report
from dataplane.http.inbound.request import Request
from dataplane.metrics import ProviderMetrics
from dataplane.provider import Feature
from dataplane.recent import KEPT
from switchgear.fleet import Fleet
from switchgear.fleet_metrics import FleetMetrics
from switchgear.member import Member, ask_all

Json = Mapping[str, Any]

_NO_WORKERS: Mapping[str, int] = {
    "total": 0,
    "served": 0,
    "failed": 0,
    "rejected": 0,
    "cancelled": 0,
    "drained": 0,
    "inFlight": 0,
}


class Departed:
    """What workers that are gone have counted.

    recent: their last requests. requests: by outcome. targets: successes and failures by target key. metrics: their numbers,
    and the history of all breakers.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start with zeros."""
        self.requests: Mapping[str, int] = _NO_WORKERS
        self.spans: Mapping[str, int] = {}
        self.targets: dict[str, merge.Counts] = {}
        self.metrics = ProviderMetrics(clock, time.time)
        self.recent: deque[Json] = deque(maxlen=KEPT)

    def add(self, member: Member) -> None:
        """Add what a worker that is gone has told last."""
        self.recent.extend({**item, "worker": member.index} for item in member.recent)
        report = member.report
        if report is None:
            return
        self.requests = merge.counts((self.requests, {**report.requests, "inFlight": 0}))
        self.spans = merge.counts((self.spans, {**report.spans, "queued": 0}))
        self.metrics.add(report.numbers)
        for provider in report.providers:
            for target in provider.targets:
                successes, failures = self.targets.get(target.key, (0, 0))
                counts = successes + target.successes, failures + target.failures
                self.targets[target.key] = counts

    def installed(self, table: Table) -> None:
        """Forget what a new table no longer has."""
        self.metrics.keep_only(table.providers)
        keys = {target.key for route in table.routes.values() for target in route.targets}
        self.targets = {key: counts for key, counts in self.targets.items() if key in keys}


class FleetAdmin:
    """Answers the requests of the admin port.

    judge: what is known of providers beside the live table. more_status: what others add to the
    status document. draining: whether the end has begun.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        live: LiveTable,
        departed: Departed,
        metrics: FleetMetrics,
        judge: status.Judge,
        more_status: Callable[[], Json],
        draining: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """Tie the parts together."""
        self._fleet = fleet
        self._live = live
        self._departed = departed
        self._metrics = metrics
        self._judge = judge
        self._more_status = more_status
        self._draining = draining
        self._clock = clock
        self._answers: Sequence[tuple[Member, Json]] = ()
        self.port = AdminPort(
            Views(
                ready=self.not_ready,
                status=self._status,
                table=lambda: snapshot.encode(live.table),
                explain=self._explain,
                capabilities=lambda: capabilities.in_rows(live.table, judge.capabilities),
                metrics=metrics.exposition,
                recent=self,
            )
        )

    async def handle(self, request: Request) -> Answer | StreamAnswer:
        """Answer one request, after asking the workers what it takes."""
        match request.path.rstrip("/"):
            case "/status":
                answers = await ask_all(self._fleet.members, "report", limit=0)
            case "/requests":
                answers = await ask_all(self._fleet.members, "report", limit=KEPT)
            case "/metrics":
                await self._metrics.refresh()
                answers = ()
            case "/explain":
                needs = {word.strip() for word in request.query.get("needs", "").split(",")} - {""}
                # Words that are none get their answer from the port.
                known = needs <= set(Feature)
                model = request.query.get("model", "")
                answers = (
                    await ask_all(self._fleet.members, "explain", model=model, needs=sorted(needs))
                    if known
                    else ()
                )
            case _:
                answers = ()
        # From here nothing waits before a view is asked, so this is what it will see.
        self._answers = answers
        return await self.port.handle(request)

    def not_ready(self) -> str:
        """Say why no request can be served; empty if one worker serves, for it serves all."""
        if self._draining():
            return "draining"
        if not self._live.table.generation:
            return "no table yet"
        serving = any(member.serving for member in self._fleet.members)
        return "" if serving else "no worker is ready"

    def last(self, limit: int) -> Sequence[Json]:
        """Describe the last `limit` requests of all workers, the newest last."""
        requests = list(self._departed.recent)
        for member, answer in self._answers:
            requests += [{**item, "worker": member.index} for item in answer["recent"]]
        requests.sort(key=lambda item: item["at"] + item["durationMs"] / 1000)
        return requests[-limit:] if limit > 0 else []

    def _explain(self, model: str, needs: frozenset[Feature]) -> Json | None:
        """Tell where a request would go: as the first worker has it, and the best of each.

        They differ in what is not shared: latencies, calls in flight, turns.
        """
        told = [
            (member.index, answer["explain"])
            for member, answer in self._answers
            if answer["explain"] is not None and member.serving
        ]
        if not told:
            return status.explain(self._live, model, needs, self._clock(), self._judge)
        _, first = told[0]
        return {
            **first,
            "workers": [
                {"worker": index, "generation": each["generation"], "best": _place(each["best"])}
                for index, each in told
            ],
        }

    def _status(self) -> Json:
        table, departed = self._live.table, self._departed
        reports = [member.report for member, _ in self._answers if member.report is not None]
        metrics = ProviderMetrics(self._clock, time.time)
        metrics.add(departed.metrics.numbers())
        for report in reports:
            metrics.add(report.numbers)
        metrics.take_history(departed.metrics)
        merged = merge.Merged(
            self._live,
            [report.providers for report in reports],
            departed.targets,
        )
        return {
            "ready": not self.not_ready(),
            "draining": self._draining(),
            "generation": table.generation,
            "tableVersion": table.version,
            **self._more_status(),
            "providers": status.providers(
                merged, self._clock(), self._judge.credential, metrics.view
            ),
            "routes": status.routes(table),
            "requests": merge.counts((departed.requests, *(each.requests for each in reports))),
            "telemetry": self._telemetry(reports),
            "workers": [self._worker(member) for member in self._fleet.members],
        }

    def _telemetry(self, reports: Sequence[Report]) -> Json:
        told = next((answer["telemetry"] for _, answer in self._answers), {"enabled": False})
        document = {**told, **self._metrics.status()}
        if "spans" in told:
            document["spans"] = merge.counts(
                (self._departed.spans, *(report.spans for report in reports))
            )
        return document

    def _worker(self, member: Member) -> Json:
        slot = self._fleet.slots[member.index]
        return {
            "worker": member.index,
            "pid": member.pid,
            "state": _state(member),
            "generation": member.generation,
            "starts": slot.starts,
            "inFlight": member.beat.in_flight,
            "connections": member.beat.connections,
        }


def _state(member: Member) -> str:
    if member.ending:
        return "ending"
    return "serving" if member.serving else "starting"


def _place(best: Json | None) -> Json | None:
    return None if best is None else {"provider": best["provider"], "model": best["model"]}
