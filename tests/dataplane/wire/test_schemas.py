from __future__ import annotations

from typing import Any

import pytest

from dataplane.wire.schemas import with_refs_inlined, without_meta

CITY = {"type": "object", "properties": {"name": {"type": "string"}}}


def test_meta_keywords_go_at_every_depth() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:x",
        "properties": {"a": {"$id": "urn:a", "anyOf": [{"$schema": "s", "type": "string"}]}},
    }

    assert {"properties": {"a": {"anyOf": [{"type": "string"}]}}} == without_meta(schema)


def test_properties_that_are_named_like_keywords_stay() -> None:
    schema = {"properties": {"$id": {"type": "string"}, "enum": {"$id": "u", "type": "string"}}}

    assert {"properties": {"$id": {"type": "string"}, "enum": {"type": "string"}}} == without_meta(
        schema
    )


def test_values_are_no_schemas() -> None:
    schema = {"enum": [{"$id": "x"}], "const": {"$id": "x"}, "default": {"$schema": 1}}

    assert schema == without_meta(schema)


def test_references_are_written_out_and_the_definitions_left_out() -> None:
    schema = {
        "$defs": {"city": CITY, "pair": {"type": "array", "items": {"$ref": "#/$defs/city"}}},
        "properties": {
            "home": {"$ref": "#/$defs/city", "description": "where"},
            "both": {"$ref": "#/$defs/pair"},
        },
    }

    assert {
        "properties": {
            "home": {**CITY, "description": "where"},
            "both": {"type": "array", "items": CITY},
        }
    } == with_refs_inlined(schema)


def test_escapes_in_references_are_read() -> None:
    schema = {"definitions": {"a/b~c": CITY}, "allOf": [{"$ref": "#/definitions/a~1b~0c"}]}

    assert {"allOf": [CITY]} == with_refs_inlined(schema)


def _growing() -> dict[str, Any]:
    """Each definition holds the next one ten times."""
    steps = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(6)}
    return {"$defs": {**steps, "d6": {}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "string"}}},
        {"$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}, "items": {"$ref": "#/$defs/n"}},
        {"items": {"$ref": "#/$defs/missing"}},
        {"items": {"$ref": "#/$defs/missing/deeper"}, "$defs": {"missing": 1}},
        {"items": {"$ref": "https://example.org/s.json"}},
        {"items": {"$ref": "#"}},
        _growing(),
        "no object",
        True,
    ],
)
def test_what_cannot_be_written_out_is_left_alone(schema: Any) -> None:
    assert schema == with_refs_inlined(schema)
