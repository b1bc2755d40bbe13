"""Kubernetes' own schemas, of each version that the chart supports, strict about unknown fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions

from tests.helm.charts import Document

_OLDEST = (1, 29)


def versions() -> Sequence[str]:
    """List what the package has, from the oldest that the chart supports on."""
    # Once for the strict schemas and once for the lax ones.
    found = sorted(
        {version for version in all_versions() if _parts(version) >= _OLDEST}, key=_parts
    )
    assert len(found) >= 9, found
    return found


def check(document: Document, version: str) -> None:
    """Raise kubernetes_validate.ValidationError if the version refuses it. Remembers what passed."""
    _check(yaml.safe_dump(document), version)


@cache
def _check(text: str, version: str) -> None:
    kubernetes_validate.validate(yaml.load(text, Loader=yaml.CSafeLoader), version, strict=True)


def _parts(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)
