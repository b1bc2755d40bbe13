from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from controlplane.table.plain import ShapeError, decoder, encoder


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    name: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    colour: Colour
    ratio: float
    wet: bool
    leaves: Sequence[Leaf]
    by_name: Mapping[str, Leaf]
    words: frozenset[str] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


TREE = Tree(
    colour=Colour.RED,
    ratio=2.0,
    wet=True,
    leaves=(Leaf(name="a"), Leaf(name="b", count=2)),
    by_name={"a": Leaf(name="a")},
    words=frozenset({"y", "x"}),
)
PLAIN: dict[str, Any] = {
    "colour": "red",
    "ratio": 2.0,
    "wet": True,
    "leaves": [{"name": "a", "count": 1}, {"name": "b", "count": 2}],
    "by_name": {"a": {"name": "a", "count": 1}},
    "words": ["x", "y"],
    "notes": {},
}


def test_a_dataclass_becomes_plain() -> None:
    plain = encoder(Tree)(TREE)

    assert PLAIN == plain
    assert str is type(plain["colour"])


def test_plain_values_become_a_dataclass() -> None:
    assert TREE == decoder(Tree)(PLAIN, "tree")


def test_a_whole_number_in_a_float_field_is_a_float() -> None:
    assert float is type(encoder(float)(2))


def test_nothing_stays_nothing() -> None:
    optional = frozenset[str] | None

    assert encoder(optional)(None) is None
    assert decoder(optional)(None, "words") is None


def test_fields_with_a_default_may_be_left_out() -> None:
    slim = {name: value for name, value in PLAIN.items() if name not in {"words", "notes"}}

    tree = decoder(Tree)(slim, "tree")

    assert (None, {}) == (tree.words, tree.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "blue"}, "tree.colour: not a Colour"),
        ({"colour": 1}, "tree.colour: expected str, got int"),
        ({"ratio": 1}, "tree.ratio: expected float, got int"),
        ({"wet": 1}, "tree.wet: expected bool, got int"),
        ({"leaves": {}}, "tree.leaves: expected list, got dict"),
        ({"leaves": [{"name": "a", "count": True}]}, "leaves[0].count: expected int, got bool"),
        ({"leaves": [{}]}, "tree.leaves[0]: missing ['name'], unknown []"),
        ({"by_name": {"a": None}}, "tree.by_name.a: expected dict, got NoneType"),
        ({"by_name": []}, "tree.by_name: expected dict, got list"),
        ({"words": ["x", 1]}, "tree.words[1]: expected str, got int"),
        ({"roots": 1}, "tree: missing [], unknown ['roots']"),
    ],
)
def test_other_shapes_are_refused_with_their_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        decoder(Tree)(PLAIN | change, "tree")

    assert message in str(caught.value)


@pytest.mark.parametrize("kind", [bytes, int | str, complex, list[str]])
def test_types_that_are_not_known_are_refused_early(kind: Any) -> None:
    with pytest.raises(TypeError):
        encoder(kind)
    with pytest.raises(TypeError):
        decoder(kind)
