"""What each model name can do: the document of `GET /v1/capabilities`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from controlplane.table.schema import Provider, Table
from dataplane.provider import Feature
from dataplane.rows import Rows

CapabilitiesOf = Callable[[Provider, str], frozenset[Feature]]


def document(table: Table, capabilities_of: CapabilitiesOf) -> Mapping[str, Any]:
    """Describe every route: its names, what all and what some of its targets can do.

    A request that needs what only some can do is served by those, and skips the others.
    """
    return {"object": "list", "data": list(_routes(table, capabilities_of))}


def in_rows(table: Table, capabilities_of: CapabilitiesOf) -> Mapping[str, Any]:
    """Make the same document for `rows.encode`."""
    return {"object": "list", "data": Rows(_routes(table, capabilities_of))}


def _routes(table: Table, capabilities_of: CapabilitiesOf) -> Iterator[Mapping[str, Any]]:
    for name in sorted(table.routes):
        yield _route(table, name, capabilities_of)


def _route(table: Table, name: str, capabilities_of: CapabilitiesOf) -> Mapping[str, Any]:
    route = table.routes[name]
    targets = []
    sets: list[frozenset[Feature]] = []
    for target in route.targets:
        provider = table.providers.get(target.provider)
        if provider is None:
            continue
        features = capabilities_of(provider, target.model)
        sets.append(features)
        targets.append(
            {
                "provider": target.provider,
                "type": provider.type.value,
                "model": target.model,
                "capabilities": sorted(features),
            }
        )
    return {
        "id": name,
        "object": "model.capabilities",
        "models": list(route.models),
        "everywhere": sorted(frozenset.intersection(*sets)) if sets else [],
        "somewhere": sorted(frozenset.union(*sets)) if sets else [],
        "targets": targets,
    }
