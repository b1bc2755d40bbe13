"""The Kustomize base and the sidecar component: what they build, and that they say what the chart says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helm import charts, kubernetes_schemas
from tests.helm.charts import ROOT, Document, containers, documents, load_yaml, pod_specs
from tests.helm.restricted import violations
from tests.manifests import kustomize

BASE = ROOT / "manifests" / "base"
SIDECAR = ROOT / "manifests" / "components" / "sidecar"
OVERLAY = ROOT / "tests" / "manifests" / "overlay"

# The chart's values that say the same as the files.
SAME = {"fullnameOverride": "switchgear", "credentials": {"secrets": {"llm-keys": {}}}}


def workload(name: str) -> Document:
    (found,) = [item for item in kustomize.by_hand(OVERLAY) if item["metadata"]["name"] == name]
    return found


def pod_of(item: Document) -> Document:
    (pod,) = pod_specs([item])
    return pod


@pytest.fixture(scope="module")
def sidecar_pod(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Render the pod of a chart that includes the sidecar's templates."""
    values = {"switchgear": {**SAME, "image": {"repository": "switchgear"}}}
    with charts.load_user_chart(tmp_path_factory.mktemp("charts")) as chart:
        return pod_of(charts.only("Deployment", charts.render(values, of=chart)))


@pytest.mark.skipif(kustomize.KUBECTL is None, reason="no kubectl here; built by hand below")
@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=lambda path: path.name)
def test_kubectl_builds_what_we_build_by_hand(folder: Path) -> None:
    expected = kustomize.in_order(kustomize.by_kubectl(folder))

    assert expected == kustomize.in_order(kustomize.by_hand(folder))


@pytest.mark.parametrize("folder", [BASE, SIDECAR, OVERLAY], ids=lambda path: path.name)
def test_every_file_is_named_and_every_name_is_a_file(folder: Path) -> None:
    named = {path.resolve() for path in kustomize.files_named(folder)}
    there = {path.resolve() for path in folder.rglob("*.yaml")} - {
        (folder / "kustomization.yaml").resolve()
    }

    assert there == {path for path in named if path.is_file()}
    assert all(path.exists() for path in named)


@pytest.mark.parametrize("version", kubernetes_schemas.versions())
@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=lambda path: path.name)
def test_what_is_built_passes_the_strict_schema(folder: Path, version: str) -> None:
    built = kustomize.by_hand(folder)
    for item in built:
        kubernetes_schemas.check(item, version)

    assert len(built) >= 6


def test_the_base_makes_what_the_chart_makes() -> None:
    expected = charts.kinds(charts.render(SAME))

    assert expected == {item["kind"] for item in kustomize.by_hand(BASE)}


def test_the_base_says_what_the_chart_says() -> None:
    """But for labels, names and what only Helm knows, the two are one text."""
    rendered = charts.render(SAME)
    for item in kustomize.by_hand(BASE):
        if item["kind"] == "ConfigMap":
            continue
        theirs = charts.only(item["kind"], rendered)
        assert _without_labels(theirs) == _without_labels(item), item["kind"]


def _without_labels(value: object) -> object:
    """Drop names, namespaces, metadata labels and the label that names the release."""
    match value:
        case dict():
            return {
                name: _without_labels(child)
                for name, child in value.items()
                if name not in {"namespace", "labels", "app.kubernetes.io/instance"}
            }
        case list():
            return [_without_labels(child) for child in value]
        case _:
            return value


@pytest.mark.parametrize("name", ["web", "queue", "agent", "import", "nightly"])
def test_a_labelled_workload_gets_the_sidecar_of_the_chart_first(
    name: str, sidecar_pod: Document
) -> None:
    pod = pod_of(workload(name))

    assert sidecar_pod["initContainers"][0] == pod["initContainers"][0]
    assert sidecar_pod["volumes"] == pod["volumes"][: len(sidecar_pod["volumes"])]


def test_the_containers_and_volumes_of_the_workload_stay() -> None:
    pod = pod_of(workload("web"))

    assert ["switchgear", "migrate"] == [item["name"] for item in pod["initContainers"]]
    assert ["web"] == [item["name"] for item in pod["containers"]]
    assert "scratch" == pod["volumes"][-1]["name"]


def test_a_workload_without_the_label_is_left_alone() -> None:
    before = documents((OVERLAY / "workloads.yaml").read_text())

    assert before[-1] == workload("plain")


def test_the_config_map_has_the_name_that_pods_mount() -> None:
    """A hash in the name would restart every pod when a route changes."""
    for folder in (BASE, OVERLAY):
        built = kustomize.by_hand(folder)
        (made,) = [item for item in built if item["kind"] == "ConfigMap"]
        mounted = {
            volume["configMap"]["name"]
            for pod in pod_specs(built)
            for volume in pod.get("volumes", [])
            if "configMap" in volume
        }
        assert {made["metadata"]["name"]} == mounted


def test_the_base_stays_within_the_restricted_standard() -> None:
    (pod,) = pod_specs(kustomize.by_hand(BASE))

    assert [] == violations(pod)


def test_the_sidecar_is_restricted_whatever_the_pod_says() -> None:
    for pod in pod_specs(kustomize.by_hand(OVERLAY)):
        ours = [item for item in containers(pod) if item["name"] == "switchgear"]
        assert [] == violations({"automountServiceAccountToken": False, "containers": ours})


def test_the_base_selects_its_own_pods_only() -> None:
    built = {item["kind"]: item for item in kustomize.by_hand(BASE)}
    pods = built["Deployment"]["spec"]["template"]["metadata"]["labels"]

    assert pods
    for selector in (
        built["Deployment"]["spec"]["selector"]["matchLabels"],
        built["Service"]["spec"]["selector"],
        built["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        built["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert pods == selector


def test_image_tags_are_those_of_the_chart() -> None:
    version = load_yaml(charts.CHART / "Chart.yaml")["appVersion"]

    for folder in (BASE, SIDECAR):
        (image,) = load_yaml(folder / "kustomization.yaml")["images"]
        assert {"name": "switchgear", "newTag": version} == image
