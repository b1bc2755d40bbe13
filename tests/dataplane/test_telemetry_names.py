"""Our names against the registry of the conventions, in the package that the lock file pins."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from enum import Enum
from types import ModuleType

import pytest

from controlplane.table.schema import ProviderType
from dataplane import telemetry_names as names
from dataplane.metric_instruments import INSTRUMENTS, TOKEN_TYPE
from dataplane.metric_points import Instrument

EXCEPTIONS: Mapping[str, str] = {
    names.OPENINFERENCE_KIND: "OpenInference's, not OpenTelemetry's",
    names.REQUEST_REASONING_LEVEL: "newer than the package: the conventions' own repository has it",
    names.USAGE_CACHE_WRITE: "newer than the package, which has `cache_creation`; both are written",
}
CUSTOM_PROVIDERS = frozenset(
    {ProviderType.OLLAMA, ProviderType.VLLM, ProviderType.OVHCLOUD, ProviderType.SCALEWAY}
)


_PACKAGES = (
    "opentelemetry.semconv.attributes",
    "opentelemetry.semconv.metrics",
    "opentelemetry.semconv._incubating.attributes",
    "opentelemetry.semconv._incubating.metrics",
)


def modules(package: ModuleType) -> list[ModuleType]:
    return [
        importlib.import_module(f"{package.__name__}.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    ]


REGISTRY = frozenset(
    value
    for package in map(importlib.import_module, _PACKAGES)
    for module in modules(package)
    for value in vars(module).values()
    if isinstance(value, str)
)
OURS = sorted(
    value
    for key, value in vars(names).items()
    if key.isupper()
    and isinstance(value, str)
    and "." in value
    and value != names.AZURE_NAMESPACE_VALUE
)


def test_the_registry_was_found() -> None:
    assert {"gen_ai.request.model", "http.route"} <= REGISTRY
    assert len(OURS) > 50


@pytest.mark.parametrize("name", [*OURS, TOKEN_TYPE])
def test_every_name_is_in_the_registry_or_ours_or_an_exception(name: str) -> None:
    """T22."""
    assert name.startswith(f"{names.NS}.") or (name in REGISTRY) != (name in EXCEPTIONS)


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda one: one.name)
def test_every_metric_is_in_the_registry_or_ours(instrument: Instrument) -> None:
    """T22."""
    assert instrument.name.startswith(f"{names.NS}.") or instrument.name in REGISTRY


@pytest.mark.parametrize("kind", list(ProviderType))
def test_providers_have_the_name_of_the_registry_if_it_has_one(kind: ProviderType) -> None:
    """T22."""
    module = importlib.import_module(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes"
    )
    values: type[Enum] = module.GenAiProviderNameValues
    known = {member.value for member in values}

    assert (names.PROVIDER_NAMES[kind] in known) == (kind not in CUSTOM_PROVIDERS)
