"""Log lines, as JSON or as text, never with content; those of requests are in `request_log`.

A record may carry `fields`, a mapping that becomes keys of the JSON or `key=value` of the text.
What a caller chose (a model's name) is escaped in text, so that no line can be forged. Of a
foreign exception only the type and the place are shown: its text may hold what was being handled.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from types import TracebackType
from typing import Any, TextIO

from dataplane import codec
from dataplane.log_handler import LineHandler

OUR_PACKAGES = ("dataplane", "controlplane", "switchgear")


class LogFormat(StrEnum):
    """How lines look. AUTO: text on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, then the fields.

    common: fields of every line.
    """

    def __init__(self, common: Mapping[str, Any] | None = None) -> None:
        """Write `common` in every line."""
        super().__init__()
        self.common = common or {}
        self.common_json = f",{encode(self.common).decode()[1:-1]}" if common else ""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        line: dict[str, Any] = {
            "time": _utc(int(record.created), int(record.msecs)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.common,
        }
        line.update(_fields(record))
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _exception(record.exc_info[1])
            line["stack"] = _stack(record.exc_info[2])
        return encode(line).decode()


class TextFormatter(logging.Formatter):
    """A line for people: time, level, message, `key=value`; a stack follows on lines of its own.

    common: fields of every line.
    """

    def __init__(self, common: Mapping[str, Any] | None = None) -> None:
        """Write `common` in every line."""
        super().__init__()
        self.common = common or {}

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        at = _utc(int(record.created), int(record.msecs))
        parts = [at, record.levelname, _escaped(record.getMessage())]
        for key, value in {**self.common, **_fields(record)}.items():
            if value in ("", None, ()):
                continue
            shown = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            parts.append(f"{key}={_quoted(shown)}")
        if record.exc_info and record.exc_info[1] is not None:
            parts.append(_escaped(_exception(record.exc_info[1])))
            return "\n  ".join([" ".join(parts), *_stack(record.exc_info[2])])
        return " ".join(parts)


def configure(
    log_format: LogFormat,
    stream: TextIO,
    level: int = logging.INFO,
    common: Mapping[str, Any] | None = None,
) -> logging.Handler:
    """Send our loggers' lines from `level`, others' from WARNING, to `stream`.

    A stream with a file descriptor is written to without ever waiting for its reader.
    common: fields of every line, like the number of the process.

    Gives the handler, so that whoever called can take it off again (see `unconfigure`).
    """
    as_text = log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and stream.isatty())
    formatter = TextFormatter(common) if as_text else JsonFormatter(common)
    handler: logging.Handler = logging.StreamHandler(stream)
    # A stream in memory has none.
    with suppress(OSError):
        handler = LineHandler(stream.fileno(), lambda lost: _lost(formatter, lost))
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    for name in OUR_PACKAGES:
        logging.getLogger(name).setLevel(level)
    return handler


def unconfigure(handler: logging.Handler) -> None:
    """Take the handler off, and give our loggers back their inherited level."""
    handler.flush()
    logging.getLogger().removeHandler(handler)
    for name in OUR_PACKAGES:
        logging.getLogger(name).setLevel(logging.NOTSET)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


def _lost(formatter: logging.Formatter, lost: int) -> str:
    """Word the line that tells how many are missing."""
    text = "%d lines were dropped here: the reader of the log was too slow"
    record = logging.LogRecord(__name__, logging.WARNING, "", 0, text, (lost,), None)
    return formatter.format(record)


def _utc(seconds: int, milliseconds: int) -> str:
    return f"{utc_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def utc_second(seconds: int) -> str:
    """Write a second since the epoch as RFC 3339 does, up to its fraction."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _exception(error: BaseException) -> str:
    kind = type(error)
    ours = kind.__module__.partition(".")[0] in OUR_PACKAGES
    return f"{kind.__qualname__}: {error}" if ours else kind.__qualname__


def _stack(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)
    ]


def encode(line: str | Mapping[str, Any]) -> bytes:
    """Encode as JSON; what is no UTF-8 becomes a mark."""
    try:
        return codec.encode(line)
    except UnicodeEncodeError:
        # A surrogate escape of a client's header would fail the encoder, and with it the line.
        return codec.encode(_utf8(line) if isinstance(line, str) else _all_utf8(line))


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _all_utf8(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _utf8(value) if isinstance(value, str) else value for key, value in line.items()}


def _escaped(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _quoted(text: str) -> str:
    if text.isprintable() and not any(character in text for character in ' "='):
        return text
    inner = text.encode("unicode_escape").decode().replace('"', '\\"')
    return f'"{inner}"'
