"""Read YAML or JSON text into documents that know the line of each of their fields.

The values are those that Kubernetes' own tools would see: YAML 1.1 words for booleans, dates left
as text. What can hide a slip or exhaust memory is refused: duplicate fields, aliases, tags, deep
nesting. JSON is read as the YAML that it is.

Parsing works on events, one at a time, so that depth is bounded before anything is built.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import yaml

from controlplane.document import Document, size
from controlplane.problems import Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_FIELDS = 200_000
MAX_DOCUMENTS = 10_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
)
_TEXT_TAG = "tag:yaml.org,2002:str"
_LIST_KINDS = frozenset({"List", "LLMProviderList", "LLMRouteList"})

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"})
_FALSE = frozenset({"no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,300})", re.ASCII)
_OTHER_INT = re.compile(r"0[xX][0-9a-fA-F]{1,64}|0[oO]?[0-7]{1,64}|0b[01]{1,256}", re.ASCII)
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    re.ASCII,
)

_JSON_CHARACTERS = str.maketrans(
    {"\t": " ", "\x85": "\\x85", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
_DOTTED_WORD = re.compile(r"\.([a-zA-Z]+)$")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)", re.ASCII)


class UnreadableError(Exception):
    """The text cannot be read at all; holds the problem that says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_documents(data: bytes, origin: str) -> Sequence[Document]:
    """Read all documents of one file, empty ones left out, lists of objects taken apart.

    Raises UnreadableError if any part cannot be read: half a file is no file.
    """
    if len(data) > MAX_BYTES:
        _refuse(origin, 0, f"is larger than {MAX_BYTES // 1024} KiB")
    text = _decoded(data, origin)
    if origin.endswith(".json"):
        text = _yaml_of_json(text)
    documents: list[Document] = []
    try:
        for content, lines in _Reader(text, origin).documents():
            for item, item_lines in _items(content, lines):
                documents.append(
                    Document(
                        origin=origin, index=len(documents) + 1, content=item, lines=item_lines
                    )
                )
    except yaml.YAMLError as error:
        _refuse(origin, _line_of(error, text), _yaml_message(error))
    if len(documents) > MAX_DOCUMENTS:
        _refuse(origin, 0, f"holds more than {MAX_DOCUMENTS} documents")
    return documents


def _decoded(data: bytes, origin: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _refuse(origin, line, "is not UTF-8")


def _yaml_of_json(text: str) -> str:
    """Rewrite what JSON and YAML see differently: tabs, escapes in two halves, exotic line ends.

    JSON has raw tabs between values only, where YAML takes spaces, and the line ends of Unicode
    in text only, where YAML would fold them.
    """

    def joined(match: re.Match[str]) -> str:
        try:
            pair = int(match[2], 16).to_bytes(2, "big") + int(match[3], 16).to_bytes(2, "big")
            return match[1] + pair.decode("utf-16-be")
        except ValueError:
            return match[0]

    return _SURROGATES.sub(joined, text.translate(_JSON_CHARACTERS))


class _Reader:
    """Builds plain values from the events of one text, and the line of each field beside them."""

    def __init__(self, text: str, origin: str) -> None:
        self._origin = origin
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._lines = array("I")
        self._fields = 0

    def documents(self) -> Iterator[tuple[Any, Sequence[int]]]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                start = next(self._events)
                self._lines = array("I", (_line(start),))
                content = self._value(start, 1)
                next(self._events)  # the document's end
                if content is not None:
                    yield content, self._lines

    def _value(self, event: yaml.Event, depth: int) -> Any:
        if depth > MAX_DEPTH:
            self._fail(event, f"is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            self._fail(event, "aliases (*name) are not taken: write the value out")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!") and tag not in _CORE_TAGS:
            self._fail(event, "tags (!name) are not taken")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth)
        return self._mapping(depth)

    def _sequence(self, depth: int) -> list[Any]:
        result: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            self._count(event)
            result.append(self._value(event, depth + 1))
        return result

    def _mapping(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._fail(event, "the name of a field must be text")
            # Ten thousand documents have the same few names.
            name = sys.intern(str(event.value))
            if name in result:
                # The name may be a key pasted in the wrong place: the line says enough.
                self._fail(event, "this field stands here twice")
            self._count(event)
            result[name] = self._value(next(self._events), depth + 1)
        return result

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text = sys.intern(str(event.value))
        tagged = event.tag not in (None, "!")
        if event.tag == _TEXT_TAG or (not tagged and not event.implicit[0]):
            return text
        try:
            return _plain(text)
        except OverflowError:
            self._fail(event, "is a number too large to read")

    def _count(self, event: yaml.Event) -> None:
        self._lines.append(_line(event))
        self._fields += 1
        if self._fields > MAX_FIELDS:
            self._fail(event, f"holds more than {MAX_FIELDS} fields")

    def _fail(self, event: yaml.Event, message: str) -> NoReturn:
        _refuse(self._origin, _line(event), message)


def _plain(text: str) -> Any:
    """Read a scalar that has no quotes, the way Kubernetes' YAML library does."""
    if text in _NULLS:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INT.fullmatch(text):
        return int(text)
    if _OTHER_INT.fullmatch(text):
        digits = text[2:] if text[1] in "xXoObB" else text[1:]
        return int(digits or "0", {"x": 16, "b": 2}.get(text[1].lower(), 8))
    if _FLOAT.fullmatch(text):
        number = float(_DOTTED_WORD.sub(r"\1", text))
        if math.isinf(number) and text[-1].isdigit():
            raise OverflowError(text[:20])
        return number
    return text


def _items(content: Any, lines: Sequence[int]) -> Iterator[tuple[Any, Sequence[int]]]:
    """Take a `kind: List` apart; anything else is one item."""
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("kind"), str)
        or content["kind"] not in _LIST_KINDS
        or not isinstance(content.get("items"), list)
    ):
        yield content, lines
        return
    position = 1
    for name, child in content.items():
        if name == "items":
            break
        position += 1 + size(child)
    position += 1
    for item in content["items"]:
        length = 1 + size(item)
        yield item, lines[position : position + length]
        position += length


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return int(mark.line) + 1 if mark is not None else 0


def _line_of(error: yaml.YAMLError, text: str) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return int(mark.line) + 1
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 0


def _yaml_message(error: yaml.YAMLError) -> str:
    """Say what the parser met; never the text around it, which may hold a key."""
    if isinstance(error, yaml.reader.ReaderError):
        return "holds a control character"
    problem = getattr(error, "problem", None)
    return f"is not YAML: {problem}" if problem else "is not YAML"


def _refuse(origin: str, line: int, message: str) -> NoReturn:
    raise UnreadableError(Problem(origin=origin, line=line, message=message))
