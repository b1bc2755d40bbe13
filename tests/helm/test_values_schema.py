"""The schema of the chart's values: what it refuses, and that the README tells the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import helm_python as helm
import pytest

from tests.helm import golden, values_table
from tests.helm.charts import chart, default_values, values_schema

# What Kubernetes checks by itself when the objects arrive, and what Helm or the process own.
FREE_FORM = {
    "/global",
    "/manifests/*/spec",
    "/definitions/manifest/spec",
    "/extraEnv/*",
    "/extraVolumes/*",
    "/extraVolumeMounts/*",
    "/standalone/tolerations/*",
    "/standalone/affinity",
    "/standalone/networkPolicy/from/*/podSelector",
    "/standalone/networkPolicy/from/*/namespaceSelector",
    "/standalone/networkPolicy/from/*/ipBlock",
    "/standalone/networkPolicy/egress/rules/*",
}


def object_schemas(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Find every schema that admits objects, with the path of the values it speaks of."""
    types = schema.get("type", ())
    if "object" in ([types] if isinstance(types, str) else types):
        yield path, schema
    for name, child in schema.get("properties", {}).items():
        if isinstance(child, dict):
            yield from object_schemas(child, f"{path}/{name}")
    for child in schema.get("patternProperties", {}).values():
        yield from object_schemas(child, f"{path}/*")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from object_schemas(schema["additionalProperties"], f"{path}/*")
    if isinstance(schema.get("items"), dict):
        yield from object_schemas(schema["items"], f"{path}/*")
    for name, child in schema.get("definitions", {}).items():
        yield from object_schemas(child, f"/definitions/{name}")


def test_no_object_takes_unknown_names_but_those_that_others_check() -> None:
    loose = {
        path
        for path, schema in object_schemas(values_schema())
        if "additionalProperties" not in schema
    }
    open_to_all = {
        path
        for path, schema in object_schemas(values_schema())
        if schema.get("additionalProperties") is True
    }

    assert (FREE_FORM, set()) == (loose, open_to_all)


def test_every_value_has_a_default_and_a_meaning() -> None:
    values = values_table.values()

    assert {"global"} == {value.name for value in values if not value.has_default}
    assert [] == [value.name for value in values if not value.schema.get("description")]


def test_every_default_is_in_the_schema() -> None:
    described = {value.name for value in values_table.values()}

    def leaves(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
        for name, child in node.items():
            if path + name in described or not isinstance(child, dict):
                yield path + name
            else:
                yield from leaves(child, f"{path}{name}.")

    assert described - {"global"} == set(leaves(default_values()))


def test_the_readme_has_the_golden_table_of_the_schema() -> None:
    if golden.is_written():
        values_table.write_readme()

    assert values_table.table() == values_table.in_readme()


def test_the_defaults_pass() -> None:
    chart().validate_schema({})


@pytest.mark.parametrize(
    ("values", "pointer", "reason"),
    [
        ({"replicas": 2}, "''", "'replicas' not allowed"),
        ({"image": {"repo": "x"}}, "'/image'", "'repo' not allowed"),
        ({"image": {"repository": ""}}, "'/image/repository'", "minLength"),
        ({"image": {"digest": "sha256:abc"}}, "'/image/digest'", "pattern"),
        ({"image": {"pullPolicy": "always"}}, "'/image/pullPolicy'", "one of"),
        ({"ports": {"data": "4141"}}, "'/ports/data'", "got string, want integer"),
        ({"ports": {"probe": 80}}, "'/ports/probe'", "minimum"),
        ({"uid": 0}, "'/uid'", "minimum"),
        ({"ipFamily": "ipv6"}, "'/ipFamily'", "one of"),
        ({"logFormat": "xml"}, "'/logFormat'", "one of"),
        ({"maxBody": "64 megs"}, "'/maxBody'", "pattern"),
        ({"workers": 0}, "'/workers'", "minimum"),
        ({"workers": 65}, "'/workers'", "maximum"),
        ({"manifests": {"notes.txt": "x"}}, "'/manifests'", "'notes.txt' not allowed"),
        ({"manifests": {"a.yaml": ""}}, "'/manifests/a.yaml'", "minLength"),
        ({"manifests": {"a.yaml": {"kind": "LLMRoute"}}}, "'/manifests/a.yaml'", "missing"),
        (
            {"manifests": {"a.yaml": [{"kind": "Secret"}]}},
            "'/manifests/a.yaml/0/kind'",
            "one of 'LLMProvider', 'LLMRoute'",
        ),
        (
            {"existingConfigMap": "ours", "manifests": {"a.yaml": "x"}},
            "'/manifests'",
            "maxProperties",
        ),
        ({"credentials": {"env": {"A": "sk-literal"}}}, "'/credentials/env/A'", "want object"),
        (
            {"credentials": {"env": {"A": {"secret": "s", "key": "k", "value": "sk"}}}},
            "'/credentials/env/A'",
            "'value' not allowed",
        ),
        ({"credentials": {"env": {"A-B": {"secret": "s", "key": "k"}}}}, "A-B", "propertyName"),
        ({"credentials": {"secrets": {"../etc": {}}}}, "../etc", "propertyName"),
        (
            {"credentials": {"secrets": {"s": {"keys": ["../x"]}}}},
            "'/credentials/secrets/s/keys/0'",
            "pattern",
        ),
        (
            {"extraVolumes": [{"name": "x", "hostPath": {"path": "/"}}]},
            "'/extraVolumes/0/hostPath'",
            "false schema",
        ),
        (
            {"extraVolumeMounts": [{"name": "x", "mountPath": "/x", "subPath": "y"}]},
            "'/extraVolumeMounts/0/subPath'",
            "false schema",
        ),
        ({"resources": {"limits": {"memory": "lots"}}}, "'/resources/limits/memory'", "pattern"),
        ({"resources": {"limits": {"gpu": 1}}}, "'/resources/limits'", "'gpu' not allowed"),
        ({"telemetry": {"endpoint": "collector:4318"}}, "'/telemetry/endpoint'", "pattern"),
        (
            {"telemetry": {"resourceAttributes": {"a": "b,c=d"}}},
            "'/telemetry/resourceAttributes/a'",
            "pattern",
        ),
        ({"sidecar": {"drainSeconds": -1}}, "'/sidecar/drainSeconds'", "minimum"),
        ({"standalone": {"replicas": 0}}, "'/standalone/replicas'", "minimum"),
        (
            {"standalone": {"podLabels": {"app.kubernetes.io/name": "x"}}},
            "app.kubernetes.io/name",
            "propertyName",
        ),
        (
            {"standalone": {"service": {"type": "LoadBalancer"}}},
            "'/standalone/service'",
            "'type' not allowed",
        ),
        (
            {"standalone": {"networkPolicy": {"from": []}}},
            "'/standalone/networkPolicy/from'",
            "minItems",
        ),
        (
            {"standalone": {"networkPolicy": {"from": [{}]}}},
            "'/standalone/networkPolicy/from/0'",
            "minProperties",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_value_is_refused_with_its_place(
    values: dict[str, Any], pointer: str, reason: str
) -> None:
    with pytest.raises(helm.HelmValuesError) as caught:
        chart().render(values, name="demo")

    assert pointer in caught.value.detail
    assert reason in caught.value.detail
