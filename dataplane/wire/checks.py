"""The small checks that inbound requests are made of.

Each takes a decoded JSON value and its path, and returns the value narrowed to its type, or raises
RequestRejected with the path as `param`. Messages quote at most a few dozen characters of input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from dataplane.errors import RequestRejected
from dataplane.wire.masking import one_line

INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)

MAX_LABEL: Final = 1024
"""Characters of a text that is an identifier of some kind, not content."""

_MAX_QUOTED: Final = 60
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")

Check = Callable[[Any, str], object]
"""Takes a value and its path. Raises RequestRejected."""


def missing(param: str) -> RequestRejected:
    """Build the error of a required field that is not there."""
    return RequestRejected(f"{param} is required", param=param, code="missing_required_parameter")


def wrong_type(param: str, expected: str) -> RequestRejected:
    """Build the error of a field of the wrong type. expected: like `an integer`."""
    return RequestRejected(f"{param} must be {expected}", param=param, code="invalid_type")


def wrong_value(param: str, problem: str) -> RequestRejected:
    """Build the error of a field of the right type but a bad value. problem: follows the path."""
    return RequestRejected(f"{param} {problem}", param=param, code="invalid_value")


def quoted(text: str) -> str:
    """Quote foreign text in a message: on one line, and shortened."""
    line = one_line(text[: 4 * _MAX_QUOTED])
    return f'"{line}"' if len(line) <= _MAX_QUOTED else f'"{line[:_MAX_QUOTED]}..."'


def without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an object without its null members: in this dialect null means absent."""
    return {key: value for key, value in fields.items() if value is not None}


def mapping(value: Any, param: str) -> dict[str, Any]:
    """Take an object."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object")
    return value


def sequence(value: Any, param: str, *, least: int = 0, most: int) -> list[Any]:
    """Take a list of `least` to `most` entries."""
    if not isinstance(value, list):
        raise wrong_type(param, "a list")
    if len(value) < least:
        raise wrong_value(param, "must not be empty")
    if len(value) > most:
        raise wrong_value(param, f"has {len(value)} entries, at most {most} are allowed")
    return value


def text(value: Any, param: str) -> str:
    """Take a text of any length."""
    if not isinstance(value, str):
        raise wrong_type(param, "a string")
    return value


def label(value: Any, param: str) -> str:
    """Take a text that is an identifier: not empty, at most MAX_LABEL characters."""
    found = text(value, param)
    if not 0 < len(found) <= MAX_LABEL:
        raise wrong_value(param, f"must have 1 to {MAX_LABEL} characters")
    return found


def name(value: Any, param: str) -> str:
    """Take the name of a tool or a schema: `^[a-zA-Z0-9_-]{1,64}$`."""
    found = text(value, param)
    if not _NAME.fullmatch(found):
        raise wrong_value(
            param, f"{quoted(found)} must be 1 to 64 letters, digits, underscores or dashes"
        )
    return found


def choice(value: Any, param: str, *, among: Collection[str]) -> str:
    """Take one of a few words."""
    found = text(value, param)
    if found not in among:
        words = ", ".join(sorted(among))
        raise wrong_value(param, f"is {quoted(found)}, must be one of: {words}")
    return found


def boolean(value: Any, param: str) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise wrong_type(param, "true or false")
    return value


def whole(value: Any, param: str, *, low: int = INT64_MIN, high: int = INT64_MAX) -> int:
    """Take an integer in [low, high]; true and 1.0 are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(param, "an integer")
    if not low <= value <= high:
        raise wrong_value(param, f"must be {_range(low, high)}")
    return value


def number(value: Any, param: str, *, low: float, high: float) -> float:
    """Take a number in [low, high]; true is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(param, "a number")
    if not low <= value <= high:
        raise wrong_value(param, f"must be between {low:g} and {high:g}")
    return value


def check_fields(fields: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Check those of the fields that are there."""
    for field, check in checks.items():
        if field in fields:
            check(fields[field], field)


def _range(low: int, high: int) -> str:
    if high == INT64_MAX:
        return "a 64-bit integer" if low == INT64_MIN else f"at least {low}"
    return f"between {low} and {high}"
