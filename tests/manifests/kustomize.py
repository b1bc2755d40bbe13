"""The part of Kustomize that our folders use, so that they are built where no kubectl is.

Resources, components, generated ConfigMaps without a hash, image tags, and strategic merges where
lists of named things merge by name and what is new goes first. A field that it does not know is
an error. `test_kustomize.py` holds it equal to kubectl wherever there is one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.helm.charts import Document, containers, documents, load_yaml, pod_specs

KUBECTL = shutil.which("kubectl")
_KNOWN = {
    "apiVersion",
    "kind",
    "resources",
    "components",
    "configMapGenerator",
    "patches",
    "images",
}


def by_kubectl(folder: Path) -> Sequence[Document]:
    assert KUBECTL is not None
    done = subprocess.run(
        [KUBECTL, "kustomize", str(folder)], check=True, capture_output=True, text=True
    )
    return documents(done.stdout)


def by_hand(folder: Path) -> Sequence[Document]:
    return _apply(folder, [])


def in_order(items: Sequence[Document]) -> Sequence[Document]:
    return sorted(items, key=lambda item: (item["kind"], item["metadata"]["name"]))


def files_named(folder: Path) -> Iterator[Path]:
    """List the files and folders that a kustomization names."""
    content = load_yaml(folder / "kustomization.yaml")
    for name in (*content.get("resources", []), *content.get("components", [])):
        yield folder / name
    for patch in content.get("patches", []):
        yield folder / patch["path"]
    for generator in content.get("configMapGenerator", []):
        for name in generator["files"]:
            yield folder / name


def _apply(folder: Path, before: Sequence[Document]) -> list[Document]:
    """Do what one kustomization says to what came before it."""
    content = load_yaml(folder / "kustomization.yaml")
    assert content.keys() <= _KNOWN, content.keys() - _KNOWN
    items = list(before)
    for name in content.get("resources", []):
        items += documents((folder / name).read_text())
    items += [_config_map(folder, generator) for generator in content.get("configMapGenerator", [])]
    for name in content.get("components", []):
        items = _apply(folder / name, items)
    for patch in content.get("patches", []):
        change = load_yaml(folder / patch["path"])
        items = [
            _patched(item, change) if _is_target(item, patch["target"]) else item for item in items
        ]
    for pod in pod_specs(items):
        for container in containers(pod):
            for image in content.get("images", []):
                if container["image"] == image["name"]:
                    container["image"] = f"{image['name']}:{image['newTag']}"
    return items


def _config_map(folder: Path, generator: Mapping[str, Any]) -> Document:
    assert {"disableNameSuffixHash": True} == generator["options"]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": generator["name"]},
        "data": {Path(name).name: (folder / name).read_text() for name in generator["files"]},
    }


def _is_target(item: Document, target: Mapping[str, str]) -> bool:
    label, value = target["labelSelector"].split("=")
    return (
        item["apiVersion"].split("/")[0] == target["group"]
        and re.fullmatch(target["kind"], item["kind"]) is not None
        and item["metadata"].get("labels", {}).get(label) == value
    )


def _patched(item: Document, change: Document) -> Document:
    merged = _merge(item, {"spec": change["spec"]})
    assert isinstance(merged, dict)
    return merged


def _merge(old: object, new: object) -> object:
    if isinstance(old, dict) and isinstance(new, dict):
        return {
            name: _merge(old[name], new[name])
            if name in old and name in new
            else deepcopy(new[name] if name in new else old[name])
            for name in [*old, *(name for name in new if name not in old)]
        }
    if _is_named(old) and _is_named(new):
        changes = {item["name"]: item for item in new}
        known = {item["name"] for item in old}
        return [
            *(deepcopy(item) for item in new if item["name"] not in known),
            *(_merge(item, changes.get(item["name"], {})) for item in old),
        ]
    return deepcopy(new)


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and "name" in item for item in value
    )
