"""Log lines: one a request, as JSON or as text, never with content.

A record may carry `fields`, a mapping that becomes keys of the JSON or `key=value` of the text.
What a caller chose (a model's name) is escaped in text, so that no line can be forged. Of a
foreign exception only the type and the place are shown: its text may hold what was being handled.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, TextIO

from dataplane import codec
from dataplane.flight import FlightRecord

OUR_PACKAGES = ("dataplane", "controlplane", "switchgear")

_requests = logging.getLogger("switchgear.request")


class LogFormat(StrEnum):
    """How lines look. AUTO: text on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class Traced(Protocol):
    """What a request's line is made of; `dataplane.telemetry.RequestSpan` is one."""

    @property
    def flight(self) -> FlightRecord:
        """The way of the request."""
        ...

    @property
    def trace_id(self) -> str:
        """32 hex digits or empty."""
        ...

    @property
    def span_id(self) -> str:
        """16 hex digits or empty."""
        ...

    @property
    def recording(self) -> bool:
        """Whether the trace is exported."""
        ...


def log_request(span: Traced, request_id: str = "") -> None:
    """Write the line of a request that has ended, at INFO."""
    if not _requests.isEnabledFor(logging.INFO):
        return
    flight = span.flight
    fields: dict[str, Any] = {
        "outcome": flight.outcome.value if flight.outcome is not None else "",
        "status": flight.status,
        "route": flight.route,
        "model": flight.model,
        "provider": flight.provider,
        "attempts": flight.attempts,
        "path": flight.path,
        "duration_ms": round(flight.duration_s * 1000, 3),
    }
    if flight.stream:
        fields["stream"] = True
    if flight.error_type:
        fields["error_type"] = flight.error_type
    if request_id:
        fields["request_id"] = request_id
    if span.trace_id:
        fields["trace_id"] = span.trace_id
        fields["span_id"] = span.span_id
        fields["trace_flags"] = "01" if span.recording else "00"
    _requests.info("request", extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        line: dict[str, Any] = {
            "time": _utc(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(_fields(record))
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _exception(record.exc_info[1])
            line["stack"] = _stack(record.exc_info[2])
        return codec.encode(_utf8(line)).decode()


class TextFormatter(logging.Formatter):
    """A line for people: time, level, message, `key=value`; a stack follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        parts = [_utc(record), record.levelname, _escaped(record.getMessage())]
        for key, value in _fields(record).items():
            if value in ("", None, ()):
                continue
            shown = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            parts.append(f"{key}={_quoted(shown)}")
        if record.exc_info and record.exc_info[1] is not None:
            parts.append(_escaped(_exception(record.exc_info[1])))
            return "\n  ".join([" ".join(parts), *_stack(record.exc_info[2])])
        return " ".join(parts)


def configure(
    log_format: LogFormat, stream: TextIO, level: int = logging.INFO
) -> logging.StreamHandler[TextIO]:
    """Send our loggers' lines from `level`, others' from WARNING, to `stream`.

    Gives the handler, so that whoever called can take it off again (see `unconfigure`).
    """
    as_text = log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    logging.getLogger().addHandler(handler)
    for name in OUR_PACKAGES:
        logging.getLogger(name).setLevel(level)
    return handler


def unconfigure(handler: logging.StreamHandler[TextIO]) -> None:
    """Take the handler off, and give our loggers back their inherited level."""
    logging.getLogger().removeHandler(handler)
    for name in OUR_PACKAGES:
        logging.getLogger(name).setLevel(logging.NOTSET)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


def _utc(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _exception(error: BaseException) -> str:
    kind = type(error)
    ours = kind.__module__.partition(".")[0] in OUR_PACKAGES
    return f"{kind.__qualname__}: {error}" if ours else kind.__qualname__


def _stack(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)
    ]


def _utf8(line: Mapping[str, Any]) -> dict[str, Any]:
    # A surrogate escape of a client's header would fail the encoder, and with it the line.
    return {
        key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in line.items()
    }


def _escaped(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _quoted(text: str) -> str:
    if text.isprintable() and not any(character in text for character in ' "='):
        return text
    inner = text.encode("unicode_escape").decode().replace('"', '\\"')
    return f'"{inner}"'
