"""Dataclasses as plain JSON values and back, by the type hints of their fields.

What it knows: str, int, float, bool, StrEnum, dataclasses, `X | None`, Mapping with text keys,
Sequence, frozenset of text. Another type is a mistake in the code, and a TypeError when the codec
of its class is first asked for.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

Encoder = Callable[[Any], Any]
Decoder = Callable[[Any, str], Any]


class ShapeError(ValueError):
    """A plain value is not what the type wants; the message has the path, never the value."""


@cache
def encoder(kind: Any) -> Encoder:
    """Return the function that makes a plain value of a `kind`.

    Equal values give equal plain values: sets are sorted, a whole number in a float field is a
    float, sequences are lists.
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin is types.UnionType:
        return _encode_optional(encoder(_present(kind)))
    if origin is Mapping:
        return _encode_mapping(encoder(args[1]))
    if origin is Sequence:
        return _encode_sequence(encoder(args[0]))
    if origin is frozenset:
        return sorted
    if kind in {str, int, bool, float}:
        return kind  # type: ignore[no-any-return]  # these types make themselves of an equal value
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return str
    if dataclasses.is_dataclass(kind):
        return _encode_fields([(name, encoder(hint)) for name, hint in _hints(kind)])
    raise TypeError(f"no plain form for {kind}")


@cache
def decoder(kind: Any) -> Decoder:
    """Return the function that makes a `kind` of a plain value and its path.

    Sequences come out as tuples. The function raises ShapeError, also for unknown fields and for
    missing ones that have no default.
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin is types.UnionType:
        return _decode_optional(decoder(_present(kind)))
    if origin is Mapping:
        return _decode_mapping(decoder(args[1]))
    if origin is Sequence:
        return _decode_sequence(decoder(args[0]))
    if origin is frozenset:
        items = _decode_sequence(decoder(args[0]))
        return lambda value, path: frozenset(items(value, path))
    if kind in {str, int, bool, float}:
        return _decode_exactly(kind)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _decode_enum(kind)
    if dataclasses.is_dataclass(kind):
        return _decode_fields(kind)
    raise TypeError(f"no plain form for {kind}")


def _hints(kind: Any) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    return [(field.name, hints[field.name]) for field in dataclasses.fields(kind)]


def _present(kind: Any) -> Any:
    present = [option for option in get_args(kind) if option is not types.NoneType]
    if len(present) != 1:
        raise TypeError(f"no plain form for {kind}")
    return present[0]


def _encode_optional(present: Encoder) -> Encoder:
    return lambda value: None if value is None else present(value)


def _encode_mapping(item: Encoder) -> Encoder:
    return lambda value: {key: item(value[key]) for key in value}


def _encode_sequence(item: Encoder) -> Encoder:
    return lambda value: [item(element) for element in value]


def _encode_fields(fields: Sequence[tuple[str, Encoder]]) -> Encoder:
    return lambda value: {name: encode(getattr(value, name)) for name, encode in fields}


def _decode_optional(present: Decoder) -> Decoder:
    return lambda value, path: None if value is None else present(value, path)


def _decode_mapping(item: Decoder) -> Decoder:
    def decode(value: Any, path: str) -> dict[str, Any]:
        _check(value, dict, path)
        return {key: item(element, f"{path}.{key}") for key, element in value.items()}

    return decode


def _decode_sequence(item: Decoder) -> Decoder:
    def decode(value: Any, path: str) -> tuple[Any, ...]:
        _check(value, list, path)
        return tuple(item(element, f"{path}[{index}]") for index, element in enumerate(value))

    return decode


def _decode_exactly(kind: type) -> Decoder:
    def decode(value: Any, path: str) -> Any:
        _check(value, kind, path)
        return value

    return decode


def _decode_enum(kind: type[StrEnum]) -> Decoder:
    def decode(value: Any, path: str) -> StrEnum:
        _check(value, str, path)
        try:
            return kind(value)
        except ValueError as error:
            raise ShapeError(f"{path}: not a {kind.__name__}") from error

    return decode


def _decode_fields(kind: Any) -> Decoder:
    decoders = {name: decoder(hint) for name, hint in _hints(kind)}
    demanded = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def decode(value: Any, path: str) -> Any:
        _check(value, dict, path)
        if not demanded <= value.keys() <= decoders.keys():
            missing = sorted(demanded - value.keys())
            unknown = sorted(value.keys() - decoders.keys())
            raise ShapeError(f"{path}: missing {missing}, unknown {unknown}")
        return kind(
            **{name: decoders[name](item, f"{path}.{name}") for name, item in value.items()}
        )

    return decode


def _check(value: Any, kind: type, path: str) -> None:
    """Refuse other types; exactly, for a bool is an int to Python and never one to us."""
    if type(value) is not kind:
        raise ShapeError(f"{path}: expected {kind.__name__}, got {type(value).__name__}")
