"""The reference of all fields of both kinds, from their models and the JSON Schema made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from controlplane import durations
from controlplane.fields import Duration
from controlplane.manifest import KINDS, json_schema
from tests.docs.pages import table

_IGNORED = "ignored"


def fields_of(kind: str) -> str:
    """Write the table of all fields of a kind, each with its path below the object."""
    rows = [
        [f"`{path}`", shape, default, description]
        for path, shape, default, description in _rows(kind)
    ]
    return table(["Field", "Value", "Default", "Meaning"], rows)


def ignored_fields() -> str:
    """List what the API server adds to `metadata`, which is taken and ignored."""
    schema = json_schema()["$defs"]["Metadata"]["properties"]
    names = [name for name, field in schema.items() if _IGNORED in field["description"]]
    return ", ".join(f"`metadata.{name}`" for name in names) + " and `status`.\n"


def paths(kind: str) -> list[str]:
    """Return the paths of all fields of a kind that are not ignored."""
    return [path for path, *_ in _rows(kind)]


def _rows(kind: str) -> Iterator[tuple[str, str, str, str]]:
    definitions = json_schema()["$defs"]
    yield from _walk("", KINDS[kind], definitions[kind], definitions)


def _walk(
    prefix: str,
    model: type[BaseModel],
    schema: Mapping[str, Any],
    definitions: Mapping[str, Any],
) -> Iterator[tuple[str, str, str, str]]:
    fields = {field.alias: field for field in model.model_fields.values()}
    for name, described in schema["properties"].items():
        field = fields[name]
        if _IGNORED in (field.description or ""):
            continue
        path = f"{prefix}{name}"
        inner = _model_in(field.annotation)
        is_list = described.get("type") == "array"
        default = _default(name, described, schema)
        yield (
            path,
            _shape(described, _duration_of(field), is_object=inner is not None),
            default,
            str(field.description),
        )
        if inner is not None:
            yield from _walk(
                f"{path}[]." if is_list else f"{path}.",
                inner,
                definitions[inner.__name__],
                definitions,
            )


def _default(name: str, described: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if name in schema.get("required", ()):
        return "required"
    if "default" not in described:
        return ""
    value = described["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _shape(described: Mapping[str, Any], duration: Duration | None, *, is_object: bool) -> str:
    if duration is not None:
        zero = "`0s` or " if duration.zero_too else ""
        return f"duration, {zero}`{duration.low}` to `{duration.high}`"
    if described.get("type") == "array":
        items = described["items"]
        of = "objects" if is_object else _items(items)
        return f"list of {of}{_count(described)}"
    if is_object:
        return "object"
    if "const" in described:
        return f"`{described['const']}`"
    if "enum" in described:
        return ", ".join(f"`{word}`" for word in described["enum"])
    match described.get("type"):
        case "integer":
            return f"whole number{_range(described)}"
        case "number":
            return f"number{_range(described)}"
        case "boolean":
            return "true or false"
        case "object":
            most = described.get("maxProperties")
            return "map of text" + (f", at most {most}" if most else "")
        case _:
            return "text"


def _items(items: Mapping[str, Any]) -> str:
    if "enum" in items:
        return "words: " + ", ".join(f"`{word}`" for word in items["enum"])
    return "whole numbers" if items.get("type") == "integer" else "text"


def _count(described: Mapping[str, Any]) -> str:
    least, most = described.get("minItems"), described.get("maxItems")
    if least and most:
        return f", {least} to {most}"
    return f", at most {most}" if most else ""


def _range(described: Mapping[str, Any]) -> str:
    low, high = described.get("minimum"), described.get("maximum")
    above = described.get("exclusiveMinimum")
    if above is not None:
        return f", above {above:g}, up to {high:g}"
    return "" if low is None or high is None else f", {_plain(low)} to {_plain(high)}"


def _plain(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:g}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for inner in get_args(annotation) if (m := _model_in(inner)) is not None), None)


def _duration_of(field: Any) -> Duration | None:
    found = _metadata(field.annotation, list(field.metadata))
    if found is not None:
        assert durations.parse(found.low) <= durations.parse(found.high)
    return found


def _metadata(annotation: Any, known: list[Any]) -> Duration | None:
    """Find the bounds in `Annotated[float, Duration(...)] | None` and the like."""
    for item in (*known, *getattr(annotation, "__metadata__", ())):
        if isinstance(item, Duration):
            return item
    return next(
        (found for inner in get_args(annotation) if (found := _metadata(inner, [])) is not None),
        None,
    )
