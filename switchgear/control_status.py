"""What the control loop adds to the status document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.status import ReconcileStatus
from switchgear import __version__


def control_status(status: ReconcileStatus) -> Mapping[str, Any]:
    """Describe the source, its problems and its objects, as JSON has it."""
    source = status.source
    return {
        "version": __version__,
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
        "problems": [
            {
                "severity": problem.severity.value,
                "object": str(problem.object),
                "file": problem.origin,
                "document": problem.document,
                "line": problem.line,
                "path": problem.path,
                "message": problem.message,
            }
            for problem in status.problems
        ],
        "objects": [
            {
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
            for item in status.objects
        ],
    }
