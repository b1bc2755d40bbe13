"""Reads error bodies, whatever their shape, into one record. Total: any bytes give one.

The shapes in use, in the order in which they are looked for: OpenAI's `{"error": {...}}`, a text
under `error`, flat objects with `message`, FastAPI's `detail`, lists under `errors`, AWS'
`__type`, and anything that is not JSON at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dataplane.codec import DecodeError, decode

_MAX_TEXT: Final = 200
"""Characters kept of a body that is not JSON."""

_MAX_ITEMS: Final = 3
"""Entries read of a list of problems."""

_MAX_CODE: Final = 256
"""Characters of the longest text that may be a code."""

_MAX_NUMBER: Final = 1_000_000
"""No numeric code is as large."""

_MAX_DEPTH: Final = 3
"""Levels of inner errors that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What an upstream said of its failure. All of it is foreign text, unchecked and unmasked.

    message: empty if there is none, or if it is a web page.
    codes: codes, then types, most telling first; numbers as text.
    param: the field it blames, like `messages[0].content`; empty if none.
    request_id: its own name for the request, if the body has it.
    is_json: whether the body was JSON of any kind.
    """

    message: str = ""
    codes: tuple[str, ...] = ()
    param: str = ""
    request_id: str = ""
    is_json: bool = True


def read_body(body: bytes, headers: Mapping[str, str]) -> Reported:
    """Read a whole error body."""
    try:
        value = decode(body.removeprefix(b"\xef\xbb\xbf"))
    except DecodeError:
        return Reported(message=_plain_text(body, headers), is_json=False)
    return read_value(value, errortype=headers.get("x-amzn-errortype", ""))


def read_value(value: Any, *, errortype: str = "") -> Reported:
    """Read a decoded error body. errortype: the code of AWS' `x-amzn-errortype`, if any."""
    if isinstance(value, list):
        value = value[0] if value else {}
    if isinstance(value, str):
        return Reported(message=value)
    if not isinstance(value, dict):
        return Reported()
    error = value.get("error")
    inner = error if isinstance(error, dict) else {}
    codes = (
        *_error_codes(inner),
        _code(value.get("code")),
        _aws_code(value.get("__type")),
        _aws_code(errortype),
        _code(inner.get("type")),
        _code(value.get("type")),
        _code(error),
    )
    return Reported(
        message=_message(value, inner),
        codes=tuple(code for code in codes if code not in {"error", ""}),
        param=_param(value, inner),
        request_id=_text(value.get("request_id")),
    )


def _plain_text(body: bytes, headers: Mapping[str, str]) -> str:
    # A character has at most four bytes.
    text = body[: 4 * (_MAX_TEXT + 1)].decode("utf-8", "replace").strip()
    if "html" in headers.get("content-type", "") or text.startswith("<"):
        return ""
    # Half a word may be half a key, which would not be known as one.
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT].rpartition(" ")[0]


def _message(value: dict[str, Any], inner: dict[str, Any]) -> str:
    headline = _text(inner.get("message")) or _text(value.get("error"))
    candidates = (value.get("message"), value.get("Message"), value.get("detail"))
    for candidate in (*candidates, inner.get("detail"), value.get("errors")):
        sentence = "; ".join(_sentences(candidate))
        if sentence:
            # A gateway's `error` is one word, and its `message` the sentence.
            short = inner.get("message") is None and headline not in {"", sentence}
            return f"{headline}: {sentence}" if short else headline or sentence
    return headline


def _sentences(value: Any) -> Iterator[str]:
    """Give the texts of a message: a text, a list of problems, or an object that holds one."""
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, dict):
        for key in ("detail", "message", "msg"):
            if value.get(key):
                yield from _entries(value[key])
                return
    elif isinstance(value, list):
        yield from _entries(value)


def _entries(value: Any) -> Iterator[str]:
    for entry in value[:_MAX_ITEMS] if isinstance(value, list) else [value]:
        text = entry
        if isinstance(entry, dict):
            text = entry.get("msg") or entry.get("message")
        if isinstance(text, str) and text:
            yield text


def _error_codes(error: dict[str, Any]) -> Iterator[str]:
    """Give an error object's code, then those of its details and of its inner errors."""
    for _ in range(_MAX_DEPTH):
        yield _code(error.get("code"))
        details = error.get("details")
        if isinstance(details, dict):
            yield _code(details.get("error_code"))
        if "content_filter_result" in error or "content_filter_results" in error:
            yield "content_filter"
        inner = error.get("innererror") or error.get("inner_error")
        if not isinstance(inner, dict):
            return
        error = inner


def _code(value: Any) -> str:
    """Return a code as text, or empty text for anything that is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < _MAX_NUMBER else ""
    return value if isinstance(value, str) and len(value) <= _MAX_CODE else ""


def _aws_code(value: Any) -> str:
    """Return `Code` of AWS' `namespace#Code:http://...`."""
    return _code(value).rpartition("#")[2].partition(":")[0]


def _param(value: dict[str, Any], inner: dict[str, Any]) -> str:
    for candidate in (inner.get("param"), value.get("param")):
        if isinstance(candidate, str) and candidate:
            return candidate
    message = value.get("message")
    nested = message.get("detail") if isinstance(message, dict) else None
    for problems in (value.get("detail"), inner.get("detail"), nested):
        if isinstance(problems, list) and problems and isinstance(problems[0], dict):
            return _path(problems[0].get("loc"))
    return ""


def _path(loc: Any) -> str:
    """Write FastAPI's `["body", "messages", 0, "role"]` as `messages[0].role`."""
    path = ""
    for step in loc if isinstance(loc, list) else []:
        if isinstance(step, int):
            path += f"[{step}]"
        elif isinstance(step, str) and (path or step != "body"):
            path += f".{step}" if path else step
    return path


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
