"""Rendering of the chart by Helm itself, and what tests need to look at the result."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "switchgear"
USER_CHART = ROOT / "tests" / "helm" / "user-chart"
RELEASE = "demo"
NAMESPACE = "prod"

Document = dict[str, Any]


@cache
def chart() -> helm.Chart:
    """Load the chart, once for all tests: it is immutable."""
    return helm.Chart.load(CHART)


@cache
def values_schema() -> Document:
    """Read the schema of the values. JSON is YAML, too."""
    return load_yaml(CHART / "values.schema.json")


@cache
def default_values() -> Document:
    return load_yaml(CHART / "values.yaml")


def load_yaml(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)


def render(values: Mapping[str, Any] | None = None, *, of: helm.Chart | None = None) -> str:
    """Render to one text, in the order of the templates' names, without the notes."""
    rendered = (of or chart()).render(dict(values or {}), name=RELEASE, namespace=NAMESPACE)
    texts = [
        text.strip()
        for path, text in sorted(rendered.items())
        if text.strip() and not path.endswith("NOTES.txt")
    ]
    return "".join(f"---\n{text}\n" for text in texts)


def notes(values: Mapping[str, Any] | None = None) -> str:
    rendered = chart().render(dict(values or {}), name=RELEASE, namespace=NAMESPACE)
    return rendered["switchgear/templates/NOTES.txt"]


def documents(text: str) -> Sequence[Document]:
    return [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]


def only(kind: str, text: str) -> Document:
    """Return the one document of this kind."""
    (found,) = [document for document in documents(text) if document["kind"] == kind]
    return found


def kinds(text: str) -> set[str]:
    return {document["kind"] for document in documents(text)}


def pod_specs(items: Sequence[Document]) -> Iterator[Document]:
    """Find the pod specs of whatever makes pods."""
    for document in items:
        match document["kind"]:
            case "Pod":
                yield document["spec"]
            case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
                yield document["spec"]["template"]["spec"]
            case "CronJob":
                yield document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            case _:
                pass


def containers(pod: Document) -> Sequence[Document]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def load_user_chart(workspace: Path) -> helm.Chart:
    """Build the user's chart in `workspace`, with this chart fetched as its dependency."""
    copied = workspace / USER_CHART.relative_to(ROOT)
    shutil.copytree(CHART, workspace / CHART.relative_to(ROOT))
    shutil.copytree(USER_CHART, copied)
    helm.dependency_update(copied)
    return helm.Chart.load(copied)
