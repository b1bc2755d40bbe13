"""The examples: each is right, complete by itself, and together they show every field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from controlplane.compile import Compiled, InForce, compile_table
from controlplane.document import Document
from controlplane.manifest import KINDS, Metadata
from controlplane.table.schema import ProviderType, StrategyName
from tests.helm import charts, golden, kubernetes_schemas
from tests.helm.charts import ROOT, documents, load_yaml, pod_specs
from tests.helm.restricted import violations

EXAMPLES = ROOT / "manifests" / "examples"
POD = EXAMPLES / "pod.yaml"
README = ROOT / "manifests" / "README.md"

# What the API server writes, and what belongs to a type that no example needs.
NOT_SHOWN = {"status"}


def example_files() -> Sequence[Path]:
    return sorted(path for path in EXAMPLES.glob("*.yaml") if path != POD)


def compiled(text: str, origin: str = "llm.yaml") -> Compiled:
    return compile_table(
        [
            Document(origin=origin, index=index, content=content)
            for index, content in enumerate(documents(text), start=1)
        ]
    )


def config_maps(text: str) -> Iterator[str]:
    """Give the manifests that a rendering carries."""
    for document in documents(text):
        if document["kind"] == "ConfigMap":
            yield from document["data"].values()


def carried() -> Iterator[tuple[str, str]]:
    """Find all other manifests of this tree: in the pod, the base and the charts."""
    base = ROOT / "manifests" / "base" / "llm" / "switchgear.yaml"
    yield "base", base.read_text()
    for text in config_maps(POD.read_text()):
        yield "pod", text
    for text in config_maps(golden.USER_CHART.read_text()):
        yield "user-chart", text
    values = golden.FOLDER / "sidecar-only.values.yaml"
    yield "sidecar-only", "---\n".join(config_maps(charts.render(load_yaml(values))))


def field_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """List the fields of a kind that people write, as `spec.timeouts.connect`."""
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        if model is Metadata and "ignored" in (field.description or ""):
            continue
        below = list(_models_in(field.annotation))
        if below:
            for inner in below:
                yield from field_paths(inner, f"{path}.")
        else:
            yield path


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def used_paths(content: object, prefix: str = "") -> Iterator[str]:
    """List the ways into a document; each way stands for the mappings on it, too."""
    match content:
        case dict():
            for name, child in content.items():
                yield prefix + name
                yield from used_paths(child, f"{prefix}{name}.")
        case list():
            for child in content:
                yield from used_paths(child, prefix)
        case _:
            pass


@pytest.mark.parametrize("path", example_files(), ids=lambda path: path.name)
def test_an_example_is_in_force_as_written(path: Path) -> None:
    result = compiled(path.read_text(), path.name)

    assert [] == [str(problem) for problem in result.problems]
    assert {InForce.CURRENT} == {verdict.in_force for verdict in result.objects}
    assert result.table.providers
    assert result.table.routes


@pytest.mark.parametrize(("name", "text"), list(carried()))
def test_the_manifests_of_charts_and_pods_are_in_force_as_written(name: str, text: str) -> None:
    result = compiled(text, name)

    assert [] == [str(problem) for problem in result.problems]
    assert result.table.routes


def test_a_wrong_example_would_be_found() -> None:
    text = (EXAMPLES / "eu-only.yaml").read_text().replace("{residency: eu}", "{residency: us}", 1)

    assert compiled(text).problems


def test_every_field_that_people_write_is_shown() -> None:
    shown = {
        path
        for example in example_files()
        for document in documents(example.read_text())
        for path in used_paths(document)
    }
    fields = {path for model in KINDS.values() for path in field_paths(model)}

    assert "spec.circuitBreaker.rampUp" in fields
    assert set() == fields - shown - NOT_SHOWN


def test_every_provider_type_and_every_strategy_is_shown() -> None:
    tables = [compiled(path.read_text()).table for path in example_files()]
    types = {provider.type for table in tables for provider in table.providers.values()}
    strategies = {route.strategy for table in tables for route in table.routes.values()}

    assert set(ProviderType) == types
    assert set(StrategyName) == strategies


def test_no_example_holds_a_key() -> None:
    for path in EXAMPLES.glob("*.yaml"):
        assert not re.search(r"sk-[A-Za-z0-9]|Bearer ", path.read_text()), path.name


def test_the_pod_has_the_sidecar_of_the_chart_first(tmp_path: Path) -> None:
    values = {
        "fullnameOverride": "switchgear",
        "image": {"repository": "switchgear"},
        "credentials": {"secrets": {"llm-keys": {}}},
    }
    with charts.load_user_chart(tmp_path) as chart:
        text = charts.render({"switchgear": values}, of=chart)
    (expected,) = pod_specs([charts.only("Deployment", text)])
    (pod,) = pod_specs(documents(POD.read_text()))

    assert expected["initContainers"] == pod["initContainers"]
    assert expected["volumes"] == pod["volumes"]


def test_the_application_of_the_pod_calls_its_own_loopback() -> None:
    (pod,) = pod_specs(documents(POD.read_text()))
    environment = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}

    assert "http://127.0.0.1:4141/v1" == environment["OPENAI_BASE_URL"]
    assert "--listen=127.0.0.1:4141" in pod["initContainers"][0]["args"]


def test_the_pod_stays_within_the_restricted_standard() -> None:
    (pod,) = pod_specs(documents(POD.read_text()))

    assert [] == violations(pod)


@pytest.mark.parametrize("version", kubernetes_schemas.versions())
def test_the_pod_passes_the_strict_schema(version: str) -> None:
    for document in documents(POD.read_text()):
        kubernetes_schemas.check(document, version)


def test_the_readme_names_every_example() -> None:
    named = set(re.findall(r"`examples/([a-z-]+\.yaml)`", README.read_text()))

    assert {path.name for path in EXAMPLES.glob("*.yaml")} == named
