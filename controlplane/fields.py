"""The kinds of field that manifests are made of, with messages that people can act on.

Each is metadata for `typing.Annotated`: it checks a decoded value and describes itself in JSON
Schema. A message repeats a value only where that cannot be a secret.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from controlplane import durations, urls
from controlplane.headers import header_fault, is_header_value
from controlplane.names import (
    did_you_mean,
    is_label_key,
    is_label_value,
    is_namespace,
    is_object_name,
)

RULE = "rule"
"""The type of the pydantic errors whose message is already ours."""

_SHOWN = 60


def refuse(message: str) -> NoReturn:
    """Raise the error that pydantic reports with this message, word for word."""
    raise PydanticCustomError(RULE, "{message}", {"message": message})


def described(value: Any) -> str:
    """Describe a decoded value without its content, for messages: `a list`, `the number 3`."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


def shown(text: str) -> str:
    """Quote a value for a message, shortened."""
    return f'"{text}"' if len(text) <= _SHOWN else f'"{text[:_SHOWN]}…"'


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration in Go's notation within bounds (both included), which becomes float seconds.

    zero_too: whether `0s` is allowed besides.
    """

    low: str
    high: str
    zero_too: bool = False

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": durations.PATTERN}

    def _check(self, value: Any) -> float:
        if isinstance(value, int) and not isinstance(value, bool) and value == 0:
            value = "0"
        if not isinstance(value, str):
            refuse(f"must be a duration like 30s, got {described(value)}")
        try:
            seconds = durations.parse(value)
        except durations.DurationError as error:
            refuse(str(error))
        if self.zero_too and seconds == 0:
            return seconds
        if not durations.parse(self.low) <= seconds <= durations.parse(self.high):
            zero = "0s or " if self.zero_too else ""
            refuse(f"must be {zero}from {self.low} to {self.high}, got {value}")
        return seconds


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a closed list, written exactly so."""

    words: type[StrEnum]

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "enum": [word.value for word in self.words]}

    def _check(self, value: Any) -> StrEnum:
        if isinstance(value, self.words):
            return value
        known = [word.value for word in self.words]
        if not isinstance(value, str):
            refuse(f"must be one of {', '.join(known)}, got {described(value)}")
        if value not in known:
            hint = did_you_mean(value, known) or f"; it must be one of {', '.join(known)}"
            refuse(f"{shown(value)} is not known{hint}")
        return self.words(value)


@dataclass(frozen=True, slots=True)
class Text:
    """Text that a rule holds for.

    must: completes the message `must be …`. secret: the value is not repeated in it.
    pattern: for JSON Schema only, if the rule can be said so.
    """

    holds: Callable[[str], bool]
    must: str
    secret: bool = False
    pattern: str = ""

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string"} | ({"pattern": self.pattern} if self.pattern else {})

    def _check(self, value: Any) -> str:
        if not isinstance(value, str):
            got = "" if self.secret else f", got {described(value)}{_quoting(value)}"
            refuse(f"must be {self.must}{got}")
        if not self.holds(value):
            refuse(f"must be {self.must}" + ("" if self.secret else f", got {shown(value)}"))
        return value


@dataclass(frozen=True, slots=True)
class Judged:
    """Text that a function finds a fault in, or none; the value is not repeated."""

    fault: Callable[[str], str | None]
    what: str
    pattern: str = ""

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string"} | ({"pattern": self.pattern} if self.pattern else {})

    def _check(self, value: Any) -> str:
        if not isinstance(value, str):
            refuse(f"must be {self.what}, got {described(value)}")
        fault = self.fault(value)
        if fault is not None:
            refuse(fault)
        return value


def _quoting(value: Any) -> str:
    """YAML reads `no`, `on` and `1.10` as something else than text."""
    return "; put it in quotes" if isinstance(value, bool | int | float) else ""


def _is_model_name(text: str) -> bool:
    return 0 < len(text) <= 256 and not any(c.isspace() or not c.isprintable() for c in text)


def _is_model_pattern(text: str) -> bool:
    return _is_model_name(text) and "*" not in text[:-1]


def _is_environment_name(text: str) -> bool:
    return len(text) <= 256 and text.isascii() and text.isidentifier()


def _is_secret_key(text: str) -> bool:
    return 0 < len(text) <= 253 and all(c.isascii() and (c.isalnum() or c in "-._") for c in text)


def _is_file_path(text: str) -> bool:
    return text.startswith("/") and len(text) <= 4096 and text.isprintable()


def _is_identifier(text: str) -> bool:
    return 0 < len(text) <= 256 and all(
        c.isascii() and (c.isalnum() or c in "-_.:/+=@,") for c in text
    )


def _is_scope(text: str) -> bool:
    return text.startswith(("https://", "api://")) and len(text) <= 256 and text.isprintable()


def _is_version(text: str) -> bool:
    return 0 < len(text) <= 40 and all(c.isascii() and (c.isalnum() or c in "-.") for c in text)


ObjectName = Annotated[
    str,
    Text(
        is_object_name,
        "a name of lower-case letters, digits, `-` and `.`, at most 253 long",
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    ),
]
Namespace = Annotated[
    str,
    Text(
        is_namespace,
        "a name of lower-case letters, digits and `-`, at most 63 long",
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    ),
]
LabelKey = Annotated[
    str,
    Text(
        is_label_key, "a label's name: letters, digits, `-`, `_` and `.`, perhaps after `domain/`"
    ),
]
LabelValue = Annotated[
    str,
    Text(is_label_value, "letters, digits, `-`, `_` and `.`, at most 63 long"),
]
ModelName = Annotated[
    str,
    Text(_is_model_name, "a model's name, 1 to 256 characters without spaces"),
]
ModelPattern = Annotated[
    str,
    Text(
        _is_model_pattern,
        "a model's name, a prefix that ends in `*`, or `*`",
        pattern=r"^[^*\s]*\*?$",
    ),
]
Version = Annotated[str, Text(_is_version, 'a version like "2024-10-21"')]
Region = Annotated[str, Text(_is_version, "a region like eu-west-3")]
Identifier = Annotated[str, Text(_is_identifier, "letters, digits and `-_.:/`, at most 256 long")]
Scope = Annotated[str, Text(_is_scope, "a scope like https://cognitiveservices.azure.com/.default")]
AnyText = Annotated[str, Text(lambda _: True, "text")]
HeaderValue = Annotated[
    str, Text(is_header_value, "printable ASCII, at most 4096 long", secret=True)
]
EnvironmentName = Annotated[
    str,
    Text(
        _is_environment_name,
        "the name of an environment variable, not the key itself",
        secret=True,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
    ),
]
FilePath = Annotated[
    str,
    Text(_is_file_path, "the absolute path of a file, not the key itself", secret=True),
]
SecretName = Annotated[
    str, Text(is_object_name, "the name of a Secret, not the key itself", secret=True)
]
SecretKey = Annotated[
    str, Text(_is_secret_key, "the name of a key in the Secret, not the key itself", secret=True)
]
HeaderName = Annotated[str, Judged(header_fault, "a header's name")]
BaseUrl = Annotated[str, Judged(urls.fault, "an absolute URL", pattern=r"^https?://[^\s?#@]+$")]
