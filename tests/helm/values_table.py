"""The table of values in the chart's README, made from the schema and the defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tests.helm.charts import CHART, default_values, values_schema

README = CHART / "README.md"
_BEGIN = "<!-- values: generated -->\n"
_END = "<!-- /values -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value: its path from the top, its schema, and whether values.yaml has a default."""

    path: Sequence[str]
    schema: Mapping[str, Any]
    has_default: bool
    default: Any = None

    @property
    def name(self) -> str:
        return ".".join(self.path)


def values() -> Sequence[Value]:
    """List all values that the chart reads, in the schema's order."""
    return list(_walk(values_schema(), default_values(), ()))


def booleans() -> Sequence[Value]:
    """List the switches: what a matrix turns both ways."""
    return [value for value in values() if value.schema.get("type") == "boolean"]


def table() -> str:
    rows = ["| Value | Default | Meaning |", "| --- | --- | --- |"]
    rows += [
        f"| `{value.name}` | {_code(value.default)} | {value.schema['description']} |"
        for value in values()
        if value.has_default
    ]
    return "\n".join(rows) + "\n"


def in_readme() -> str:
    """Cut the table out of the README."""
    return README.read_text().split(_BEGIN, 1)[1].split(_END, 1)[0]


def write_readme() -> None:
    before, rest = README.read_text().split(_BEGIN, 1)
    README.write_text(before + _BEGIN + table() + _END + rest.split(_END, 1)[1])


def _walk(schema: Mapping[str, Any], defaults: object, path: Sequence[str]) -> Iterator[Value]:
    for name, child in schema["properties"].items():
        has_default = isinstance(defaults, dict) and name in defaults
        default = defaults[name] if isinstance(defaults, dict) and has_default else None
        if "properties" in child:
            yield from _walk(child, default, (*path, name))
        else:
            yield Value(path=(*path, name), schema=child, has_default=has_default, default=default)


def _code(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    text = text.removesuffix("...\n").strip().replace("'", '"')
    return f"`{text}`"
