"""The chart, rendered by Helm: what comes out for which values."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import helm_python as helm
import kubernetes_validate
import pytest

from switchgear.cli_run import run, to_settings
from tests.helm import golden, kubernetes_schemas, values_table
from tests.helm.charts import (
    CHART,
    Document,
    containers,
    documents,
    kinds,
    load_yaml,
    notes,
    only,
    pod_specs,
    render,
)
from tests.helm.restricted import violations

EVERYTHING = load_yaml(golden.FOLDER / "everything.values.yaml")


def nested(path: str, value: object) -> dict[str, Any]:
    """Build values that set one path."""
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(first)
    for name, value in second.items():
        below = result.get(name)
        result[name] = (
            merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
        )
    return result


def matrix() -> Iterator[dict[str, Any]]:
    """Turn every switch of the chart both ways, on top of nothing and of everything."""
    names = [value.name for value in values_table.booleans()]
    assert "standalone.networkPolicy.egress.enabled" in names
    for base in ({}, EVERYTHING):
        for switches in itertools.product((True, False), repeat=len(names)):
            values: dict[str, Any] = base
            for name, on in zip(names, switches, strict=True):
                values = merged(values, nested(name, on))
            yield values


@cache
def whole_matrix() -> Mapping[str, Document]:
    """Render the matrix once; nearly all documents come out many times, so keep each text once."""
    texts = {
        text
        for values in matrix()
        for text in re.split(r"^---\n", render(values), flags=re.MULTILINE)
        if text.strip()
    }
    return {text: document for text in sorted(texts) for document in documents(text)}


def user_chart_documents() -> list[Document]:
    """Read the golden rendering of a chart that includes the sidecar."""
    return list(documents(golden.USER_CHART.read_text()))


def container(values: Mapping[str, Any] | None = None) -> Document:
    (pod,) = pod_specs(documents(render(values)))
    (found,) = containers(pod)
    return found


@pytest.mark.parametrize("values", golden.cases(), ids=lambda path: path.name)
def test_rendering_is_the_golden_one(values: Path) -> None:
    actual = render(load_yaml(values))

    assert golden.expected(golden.of(values), actual) == actual


@pytest.mark.parametrize("values", golden.cases(), ids=lambda path: path.name)
def test_lint_finds_nothing(values: Path) -> None:
    report = helm.lint(CHART, load_yaml(values), strict=True, kube_version="v1.29.0")

    assert 1 == report["total_charts_linted"]
    assert ([], []) == (report["messages"], report["errors"])


def test_lint_would_find_a_broken_chart(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: broken\nversion: not-a-version\n")

    assert helm.lint(tmp_path, strict=True)["messages"]


def test_every_switch_both_ways_gives_pods_that_may_run_anywhere() -> None:
    pods = list(pod_specs(list(whole_matrix().values())))

    assert len(pods) >= 8
    assert [] == [text for pod in pods for text in violations(pod)]


@pytest.mark.parametrize("version", kubernetes_schemas.versions())
def test_every_switch_both_ways_passes_the_strict_schema(version: str) -> None:
    kinds_seen = set()
    for document in whole_matrix().values():
        kubernetes_schemas.check(document, version)
        kinds_seen.add(document["kind"])

    assert {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    } == kinds_seen


def test_the_strict_schema_would_refuse_a_misspelt_field() -> None:
    service = only("Service", render())
    service["spec"]["sellector"] = {}

    with pytest.raises(kubernetes_validate.ValidationError, match="sellector"):
        kubernetes_schemas.check(service, "1.36.0")


def test_rendering_twice_gives_the_same_bytes() -> None:
    with helm.Chart.load(CHART) as fresh:
        again = render(EVERYTHING, of=fresh)

    assert render(EVERYTHING) == again


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {},
            {
                "ConfigMap",
                "Deployment",
                "NetworkPolicy",
                "PodDisruptionBudget",
                "Service",
                "ServiceAccount",
            },
        ),
        (nested("standalone.enabled", False), {"ConfigMap"}),
        (
            {"standalone": {"enabled": False}, "existingConfigMap": "ours"},
            set(),
        ),
    ],
)
def test_the_shape_decides_what_is_made(values: dict[str, Any], expected: set[str]) -> None:
    assert expected == kinds(render(values))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("standalone.networkPolicy.enabled", "NetworkPolicy"),
        ("standalone.serviceAccount.create", "ServiceAccount"),
        ("standalone.podDisruptionBudget.enabled", "PodDisruptionBudget"),
    ],
)
def test_a_part_can_be_left_out(path: str, kind: str) -> None:
    assert kinds(render()) - {kind} == kinds(render(nested(path, False)))


def test_one_replica_has_no_disruption_budget() -> None:
    """A budget for a single pod would stop every node drain."""
    assert "PodDisruptionBudget" not in kinds(render(nested("standalone.replicas", 1)))


def test_a_budget_looks_at_the_least_replicas_of_the_autoscaler() -> None:
    scaling = {"standalone": {"replicas": 1, "autoscaling": {"enabled": True, "minReplicas": 2}}}

    assert "PodDisruptionBudget" in kinds(render(scaling))


def test_the_autoscaler_takes_the_replicas_over() -> None:
    text = render(nested("standalone.autoscaling.enabled", True))

    assert "replicas" not in only("Deployment", text)["spec"]
    assert 2 == only("HorizontalPodAutoscaler", text)["spec"]["minReplicas"]


def test_changed_manifests_change_the_config_map_and_nothing_else() -> None:
    """The process follows its directory; a changed route must not restart pods."""
    before = documents(render({"manifests": {"a.yaml": "kind: LLMRoute"}}))
    after = documents(render({"manifests": {"a.yaml": "kind: LLMProvider"}}))

    changed = {old["kind"] for old, new in zip(before, after, strict=True) if old != new}

    assert {"ConfigMap"} == changed


def test_manifests_come_out_as_they_went_in() -> None:
    provider = {
        "apiVersion": "switchgear.dev/v1alpha1",
        "kind": "LLMProvider",
        "metadata": {"name": "a"},
        "spec": {"type": "Ollama", "baseUrl": "http://a:1/{{ .Values.uid }}"},
    }
    route = {**provider, "kind": "LLMRoute", "spec": {"models": ["x: y", "*"]}}
    text = "  # indented: [\n{{ not a template }}\nlast line"

    data = only(
        "ConfigMap",
        render({"manifests": {"one.yaml": provider, "two.yml": [provider, route], "t.yaml": text}}),
    )["data"]

    assert [provider] == list(documents(data["one.yaml"]))
    assert [provider, route] == list(documents(data["two.yml"]))
    assert text + "\n" == data["t.yaml"]


def test_the_admin_listener_never_leaves_the_pod() -> None:
    admin = set()
    exposed = set()
    for pod in pod_specs(list(whole_matrix().values())):
        (found,) = containers(pod)
        admin |= {text for text in found["args"] if text.startswith("--admin=")}
        exposed |= {item["containerPort"] for item in found["ports"]}

    assert {"--admin=127.0.0.1:4142", "--admin=127.0.0.1:5142"} == admin
    assert {4140, 4141, 5140, 5141} == exposed


def test_probes_go_to_the_probe_listener() -> None:
    """The kubelet probes the pod's address, where neither the admin nor a sidecar's data port is."""
    found = container(nested("ports.probe", 9140))
    ports = {port["name"]: port["containerPort"] for port in found["ports"]}

    assert "--probe=0.0.0.0:9140" in found["args"]
    assert 9140 == ports["sg-probe"]
    assert {
        "startupProbe": {"path": "/readyz", "port": "sg-probe"},
        "livenessProbe": {"path": "/livez", "port": "sg-probe"},
        "readinessProbe": {"path": "/readyz", "port": "sg-probe"},
    } == {name: found[name]["httpGet"] for name in found if name.endswith("Probe")}


def test_the_command_takes_the_arguments_of_every_container() -> None:
    """Parsed by `switchgear run` itself: a flag that it does not know, or an unsafe address, fails."""
    pods = [*pod_specs(list(whole_matrix().values())), *pod_specs(user_chart_documents())]
    listens = set()
    for pod in pods:
        for found in containers(pod):
            if found["name"] == "switchgear":
                assert "run" == found["args"][0]
                context = run.make_context("run", list(found["args"][1:]))
                listens.add(str(to_settings(**context.params).listen))

    assert {"0.0.0.0:4141", "[::]:5141", "127.0.0.1:4141"} == listens


def test_a_flag_that_the_command_does_not_know_would_be_found() -> None:
    with pytest.raises(click.UsageError, match="--prob"):
        run.make_context("run", ["--manifests=/m", "--prob=0.0.0.0:4140"])


def test_there_is_no_hook_before_the_stop() -> None:
    assert "lifecycle" not in container()
    assert "lifecycle" not in container(EVERYTHING)


def test_secrets_are_mounted_where_secret_references_look() -> None:
    values = {"credentials": {"secrets": {"b-keys": {"keys": ["x"]}, "a.keys": {}}}}
    (pod,) = pod_specs(documents(render(values)))
    found = container(values)
    by_name = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = {
        mount["mountPath"]: by_name[mount["name"]]["secret"]["secretName"]
        for mount in found["volumeMounts"]
        if "secret" in by_name[mount["name"]]
    }

    assert {f"/var/run/secrets/switchgear/{name}": name for name in ("a.keys", "b-keys")} == mounted
    assert "--secrets-root=/var/run/secrets/switchgear" in found["args"]
    assert all("subPath" not in mount for mount in found["volumeMounts"])


def test_a_missing_secret_does_not_keep_the_pod_from_starting() -> None:
    values = {
        "credentials": {
            "env": {"OPENAI_API_KEY": {"secret": "llm-keys", "key": "openai"}},
            "secrets": {"llm-keys": {}},
        }
    }
    (pod,) = pod_specs(documents(render(values)))
    (variable,) = [item for item in container(values)["env"] if item["name"] == "OPENAI_API_KEY"]
    (volume,) = [item for item in pod["volumes"] if "secret" in item]

    assert {"name": "llm-keys", "key": "openai", "optional": True} == variable["valueFrom"][
        "secretKeyRef"
    ]
    assert volume["secret"]["optional"] is True


def test_resource_attributes_refer_only_to_variables_that_stand_before_them() -> None:
    variables = container()["env"]
    names = [item["name"] for item in variables]
    position = names.index("OTEL_RESOURCE_ATTRIBUTES")
    text = variables[position]["value"]
    references = {part.split(")")[0] for part in text.split("$(")[1:]}

    assert {"NAMESPACE", "POD_NAME", "POD_UID", "NODE"} == references
    assert references <= set(names[:position])
    assert "service.instance.id=$(NAMESPACE).$(POD_NAME).switchgear" in text.split(",")


def test_export_is_off_until_an_endpoint_is_given() -> None:
    names = {item["name"] for item in container()["env"]}

    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in names


def test_a_cluster_may_choose_the_user() -> None:
    """OpenShift gives each namespace its own range of users; root stays refused."""
    (pod,) = pod_specs(documents(render({"uid": None})))
    context = container({"uid": None})["securityContext"]

    assert not {"runAsUser", "runAsGroup", "fsGroup"} & (context.keys() | pod["securityContext"])
    assert [] == violations(pod)


def test_a_digest_wins_over_a_tag() -> None:
    digest = "sha256:" + "a" * 64

    assert f"switchgear@{digest}" == container({"image": {"tag": "1", "digest": digest}})["image"]
    assert "switchgear:1" == container({"image": {"tag": "1"}})["image"]


@pytest.mark.parametrize("release", ["demo", "switchgear", "r" * 53])
def test_names_fit_for_every_release(release: str) -> None:
    with helm.Chart.load(CHART) as chart:
        rendered = chart.render({}, name=release)

    for document in documents(
        "---\n".join(rendered[path] for path in rendered if "NOTES" not in path)
    ):
        assert len(document["metadata"]["name"]) <= 63


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ports": {"data": 4142}}, r"ports\.data \(4142\), ports\.admin \(4142\)"),
        ({"ports": {"probe": 4141}}, r"ports\.probe \(4141\) must differ"),
        (
            {"standalone": {"drainSeconds": 30}},
            r"drainSeconds \(30\) must be less than .*GracePeriodSeconds \(30\)",
        ),
        (
            {"standalone": {"lameDuckSeconds": 25}},
            r"lameDuckSeconds \(25\) must be less than .*drainSeconds \(25\)",
        ),
        (
            {"standalone": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
            r"minReplicas \(9\) must not exceed .*maxReplicas \(6\)",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(helm.HelmRenderError, match=message):
        render(values)


def test_egress_leaves_dns_and_https_open_but_not_the_metadata_service() -> None:
    policy = only("NetworkPolicy", render(nested("standalone.networkPolicy.egress.enabled", True)))
    dns, https = policy["spec"]["egress"]

    assert ["Ingress", "Egress"] == policy["spec"]["policyTypes"]
    assert {53} == {port["port"] for port in dns["ports"]}
    assert {443} == {port["port"] for port in https["ports"]}
    assert "169.254.0.0/16" in https["to"][0]["ipBlock"]["except"]


def test_only_chosen_peers_reach_the_data_port() -> None:
    policy = only("NetworkPolicy", render(EVERYTHING))
    data, probe = policy["spec"]["ingress"]

    assert [{"namespaceSelector": {"matchLabels": {"llm": "allowed"}}}] == data["from"]
    assert (["openai"], ["sg-probe"]) == (
        [port["port"] for port in data["ports"]],
        [port["port"] for port in probe["ports"]],
    )


def test_notes_warn_when_there_is_nothing_to_route_to() -> None:
    assert "WARNING: no manifests" in notes()
    assert "WARNING" not in notes({"manifests": {"a.yaml": "x"}})
    assert "WARNING" not in notes({"existingConfigMap": "ours"})


def test_notes_name_the_shape_and_the_commands_for_it() -> None:
    standalone = notes(nested("ports.admin", 9142))
    sidecar = notes(nested("standalone.enabled", False))

    assert "http://demo-switchgear.prod.svc:4141/v1" in standalone
    assert "switchgear get providers --admin http://127.0.0.1:9142" in standalone
    assert "rollout status deployment/demo-switchgear" in standalone
    assert "-c switchgear -- switchgear get providers\n" in sidecar
    assert "rollout" not in sidecar
    assert "every pod of the cluster" in notes(nested("standalone.networkPolicy.enabled", False))
