"""What the control loop adds to the status document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.problems import Problem
from controlplane.status import ObjectStatus, ReconcileStatus
from dataplane.rows import Rows
from switchgear import __version__
from switchgear.compiled import is_compiled


def control_status(status: ReconcileStatus, objects: Iterable[ObjectStatus]) -> Mapping[str, Any]:
    """Describe the source, its problems and its objects, as JSON has it; for `rows.encode`."""
    source = status.source
    return {
        "version": __version__,
        "compiled": is_compiled(),
        "source": {
            "kind": source.kind,
            "path": source.path,
            "state": source.state.value,
            "detail": source.detail,
            "startedFromDisk": status.started_from_disk,
            "braked": status.braked,
            "storeDetail": status.store_detail,
            "lastSyncAgeSeconds": (
                None if status.last_success_age_s is None else round(status.last_success_age_s, 3)
            ),
        },
        "problems": Rows(_problem(problem) for problem in status.problems),
        "objects": Rows(_object(item) for item in objects),
    }


def _problem(problem: Problem) -> Mapping[str, Any]:
    return {
        "severity": problem.severity.value,
        "object": str(problem.object),
        "file": problem.origin,
        "document": problem.document,
        "line": problem.line,
        "path": problem.path,
        "message": problem.message,
    }


def _object(item: ObjectStatus) -> Mapping[str, Any]:
    return {
        "kind": item.key.kind,
        "name": item.key.name,
        "file": item.origin,
        "line": item.line,
        "generation": item.generation,
        "conditions": [
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": condition.observed_generation,
            }
            for condition in item.conditions
        ],
    }
