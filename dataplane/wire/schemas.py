"""Rewrites JSON Schemas for upstreams that take only a part of the language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_META: Final = frozenset({"$schema", "$id"})
# A schema that grows past this when its references are written out is left as it is.
_MAX_NODES: Final = 10_000

EMPTY_PARAMETERS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}
"""The parameters of a function that takes none."""


class _CannotInline(Exception):  # noqa: N818 - stops a walk
    pass


def without_meta(schema: Any) -> Any:
    """Leave out `$schema` and `$id` wherever a schema has them; properties so named stay."""
    return _strip(schema, names=False)


def with_refs_inlined(schema: Any) -> Any:
    """Write local references (`#/$defs/...`) out in place, and leave the definitions out.

    A schema that refers to itself, to another document, or that would grow beyond measure, is
    returned unchanged: the upstream may still take it.
    """
    if not isinstance(schema, dict) or not _has_refs(schema):
        return schema
    walk = _Inliner(schema)
    try:
        inlined = walk.inline(schema, ())
    except (_CannotInline, RecursionError):
        return schema
    return {key: value for key, value in inlined.items() if key not in {"$defs", "definitions"}}


class _Inliner:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def inline(self, node: Any, within: tuple[str, ...]) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise _CannotInline
        if isinstance(node, list):
            return [self.inline(item, within) for item in node]
        if not isinstance(node, dict):
            return node
        ref = node.get("$ref")
        if isinstance(ref, str):
            if ref in within:
                raise _CannotInline
            target = self._target(ref)
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**self.inline(target, (*within, ref)), **self.inline(rest, within)}
        return {
            key: value
            if key in {"$defs", "definitions"} and node is self._root
            else self.inline(value, within)
            for key, value in node.items()
        }

    def _target(self, ref: str) -> Mapping[str, Any]:
        node: Any = self._root
        if not ref.startswith("#"):
            raise _CannotInline
        for part in ref[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise _CannotInline
        return node


def _has_refs(node: Any) -> bool:
    if isinstance(node, list):
        return any(_has_refs(item) for item in node)
    if isinstance(node, dict):
        return isinstance(node.get("$ref"), str) or any(_has_refs(item) for item in node.values())
    return False


def _strip(node: Any, *, names: bool) -> Any:
    """Copy a schema; with `names`, the node's keys are names of properties, not keywords."""
    if isinstance(node, list):
        return [_strip(item, names=False) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value
        if not names and key in {"enum", "const", "default", "examples"}
        else _strip(value, names=not names and key in {"properties", "$defs", "definitions"})
        for key, value in node.items()
        if names or key not in _META
    }
