"""The restricted Pod Security Standard, and a little more, as a function over pod specs.

Source: kubernetes.io, Pod Security Standards, "Restricted", for Kubernetes 1.36, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.helm.charts import Document, containers

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(pod: Document) -> list[str]:
    """Name each rule that the pod breaks; an empty list means that it may run anywhere."""
    return [*_of_pod(pod), *(text for item in containers(pod) for text in _of_container(pod, item))]


def _of_pod(pod: Document) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is set"
    for volume in pod.get("volumes", []):
        if not (volume.keys() - {"name"}) <= _VOLUMES:
            yield f"volume {volume['name']} is of a forbidden type"
    # Beyond the standard: nothing here calls the API server.
    if pod.get("automountServiceAccountToken") is not False:
        yield "a service account token is mounted"


def _of_container(pod: Document, container: Document) -> Iterator[str]:
    name = container["name"]
    context: dict[str, Any] = container.get("securityContext", {})
    inherited: dict[str, Any] = {**pod.get("securityContext", {}), **context}
    if context.get("privileged"):
        yield f"{name} is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may escalate privileges"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{name} keeps capabilities"
    if inherited.get("runAsNonRoot") is not True:
        yield f"{name} may run as root"
    if inherited.get("runAsUser") == 0:
        yield f"{name} runs as root"
    if inherited.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{name} has no seccomp profile"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{name} takes a port of the host"
    # Beyond the standard: nothing here writes outside its volumes.
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{name} can write to its root file system"
