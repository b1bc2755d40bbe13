"""The chart as a dependency: a user's chart that includes the sidecar's templates."""

from __future__ import annotations

from collections.abc import Iterator

import helm_python as helm
import pytest

from tests.helm import golden, kubernetes_schemas
from tests.helm.charts import (
    USER_CHART,
    Document,
    documents,
    kinds,
    load_user_chart,
    load_yaml,
    only,
    pod_specs,
    render,
)
from tests.helm.restricted import violations


@pytest.fixture(scope="module")
def user_chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[helm.Chart]:
    with load_user_chart(tmp_path_factory.mktemp("charts")) as chart:
        yield chart


@pytest.fixture
def pod(user_chart: helm.Chart) -> Document:
    (found,) = pod_specs(documents(render(of=user_chart)))
    return found


def test_rendering_is_the_golden_one(user_chart: helm.Chart) -> None:
    actual = render(of=user_chart)

    assert golden.expected(golden.USER_CHART, actual) == actual


def test_only_the_manifests_are_made_beside_the_users_own_objects(user_chart: helm.Chart) -> None:
    assert {"ConfigMap", "Deployment"} == kinds(render(of=user_chart))


def test_the_sidecar_is_native_and_first(pod: Document) -> None:
    first = pod["initContainers"][0]

    assert ("switchgear", "Always") == (first["name"], first["restartPolicy"])
    assert "registry.example.com/switchgear:0.1.0" == first["image"]


def test_the_sidecar_serves_on_loopback_only(pod: Document) -> None:
    args = pod["initContainers"][0]["args"]
    ports = pod["initContainers"][0]["ports"]

    assert "--listen=127.0.0.1:4141" in args
    assert "--allow-remote" not in args
    assert ["sg-probe"] == [port["name"] for port in ports]


def test_every_mount_has_its_volume_and_the_config_map_exists(
    user_chart: helm.Chart, pod: Document
) -> None:
    mounts = {mount["name"] for mount in pod["initContainers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}

    assert mounts == volumes.keys()
    assert (
        only("ConfigMap", render(of=user_chart))["metadata"]["name"]
        == volumes["switchgear-manifests"]["configMap"]["name"]
    )


def test_the_application_is_told_the_address(pod: Document) -> None:
    environment = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}

    assert "http://127.0.0.1:4141/v1" == environment["OPENAI_BASE_URL"]
    assert environment["OPENAI_API_KEY"]


def test_the_data_port_is_one_value_for_both_ends(user_chart: helm.Chart) -> None:
    text = render({"switchgear": {"ports": {"data": 9141}}}, of=user_chart)
    (moved,) = pod_specs(documents(text))

    assert "--listen=127.0.0.1:9141" in moved["initContainers"][0]["args"]
    assert "http://127.0.0.1:9141/v1" == moved["containers"][0]["env"][0]["value"]


def test_the_pod_stays_within_the_restricted_standard(pod: Document) -> None:
    assert [] == violations(pod)


def test_the_sidecar_is_restricted_whatever_the_pod_says(pod: Document) -> None:
    """Its own security context carries everything; nothing is taken from the application's pod."""
    alone = {"automountServiceAccountToken": False, "containers": pod["initContainers"]}

    assert [] == violations(alone)


@pytest.mark.parametrize("version", kubernetes_schemas.versions())
def test_it_passes_the_strict_schema(user_chart: helm.Chart, version: str) -> None:
    for document in documents(render(of=user_chart)):
        kubernetes_schemas.check(document, version)


def test_the_condition_leaves_the_application_without_a_sidecar(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with load_user_chart(tmp_path_factory.mktemp("off")) as chart:
        text = render({"switchgear": {"enabled": False}}, of=chart)

    assert {"Deployment"} == kinds(text)
    (pod,) = pod_specs(documents(text))
    assert "initContainers" not in pod


def test_a_misspelt_value_is_refused_through_the_parent(user_chart: helm.Chart) -> None:
    with pytest.raises(helm.HelmValuesError, match="'manifest' not allowed"):
        render({"switchgear": {"manifest": {}}}, of=user_chart)


def test_the_dependency_admits_this_version() -> None:
    (dependency,) = load_yaml(USER_CHART / "Chart.yaml")["dependencies"]

    assert ("switchgear", ">=0.1.0") == (dependency["name"], dependency["version"])
