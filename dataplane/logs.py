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
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO

from dataplane import codec
from dataplane.flight import RequestOutcome
from dataplane.log_writer import LineHandler, LineWriter

if TYPE_CHECKING:
    from dataplane.telemetry import RequestSpan

OUR_PACKAGES = ("dataplane", "controlplane", "switchgear")

_REQUEST: Final = "request"

_root: Final = logging.getLogger()
_switchgear: Final = logging.getLogger("switchgear")
_REQUESTS: Final = "switchgear.request"
_requests: Final = logging.getLogger(_REQUESTS)

_OUTCOMES: Final[dict[RequestOutcome | None, str]] = {
    None: "",
    **{outcome: outcome.value for outcome in RequestOutcome},
}


class LogFormat(StrEnum):
    """How lines look. AUTO: text on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class _Straight:
    """Where lines of requests go without logging's own machinery.

    common: JSON of the fields of every line, with a comma before each.
    """

    __slots__ = ("common", "writer")

    def __init__(self, writer: LineWriter, common: str) -> None:
        self.writer = writer
        self.common = common


class _Known:
    """straight: as it was found last."""

    __slots__ = ("straight",)

    def __init__(self) -> None:
        self.straight: _Straight | None = None


_known: Final = _Known()


def log_request(span: RequestSpan, request_id: str = "") -> None:
    """Write the line of a request that has ended, at INFO.

    If nobody else listens it is written without logging's own machinery, which takes longer than
    all the rest; the line is the same. Who listens is asked anew for each batch of lines.
    """
    straight = _known.straight
    if straight is None or not straight.writer.waiting:
        if not _requests.isEnabledFor(logging.INFO):
            return
        straight = _known.straight = _only_handler()
    if straight is not None:
        straight.writer.write(partial(_request_line, span, request_id, straight.common))
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
    _requests.info(_REQUEST, extra={"fields": fields})


def _request_line(span: RequestSpan, request_id: str, common: str) -> bytes:
    """Write the same line as the formatter would, with what seldom changes kept as JSON.

    It is put together of texts only: anything else would be formatted by itself.
    """
    flight = span.flight
    ended_us = (flight.started_ns + int(flight.duration_s * 1e9)) // 1000
    took_us = int(flight.duration_s * 1e6 + 0.5)
    at = _utc(ended_us // 1_000_000, ended_us // 1000 % 1000)
    status = "null" if flight.status is None else str(flight.status)
    outcome: str = _OUTCOMES[flight.outcome]
    route: str = _json(flight.route)
    model: str = _json(flight.model)
    provider: str = _json(flight.provider)
    attempts = str(flight.attempts)
    path = ",".join([_json(step) for step in flight.path])
    took_ms = str(took_us // 1000) + "." + _three_digits(took_us % 1000)
    line = (
        f'{{"time":"{at}","level":"info","logger":"{_REQUESTS}","message":"{_REQUEST}"{common},'
        f'"outcome":"{outcome}","status":{status},"route":{route},"model":{model},'
        f'"provider":{provider},"attempts":{attempts},"path":[{path}],"duration_ms":{took_ms}'
    )
    if flight.stream:
        line += ',"stream":true'
    if flight.error_type:
        error_type: str = _json(flight.error_type)
        line += f',"error_type":{error_type}'
    if request_id:
        # One of ours needs no escapes.
        named = f'"{request_id}"' if request_id.isidentifier() else _encode(request_id).decode()
        line += f',"request_id":{named}'
    if span.trace_id:
        flags = "01" if span.recording else "00"
        line += f',"trace_id":"{span.trace_id}","span_id":"{span.span_id}","trace_flags":"{flags}"'
    return f"{line}}}\n".encode()


@lru_cache(maxsize=1024)
def _json(text: str) -> str:
    return _encode(text).decode()


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, then the fields.

    common: fields of every line.
    """

    def __init__(self, common: Mapping[str, Any] | None = None) -> None:
        """Write `common` in every line."""
        super().__init__()
        self.common = common or {}
        self.common_json = f",{_encode(self.common).decode()[1:-1]}" if common else ""

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
        return _encode(line).decode()


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


def _only_handler() -> _Straight | None:
    """Give the way to the handler of `configure` if a request's line goes to it alone, as JSON."""
    handlers = _root.handlers
    handler = handlers[0] if len(handlers) == 1 else None
    formatter = handler.formatter if handler is not None else None
    if not isinstance(handler, LineHandler) or not isinstance(formatter, JsonFormatter):
        return None
    others = _switchgear.handlers or _requests.handlers
    filters = _requests.filters or handler.filters
    passes = _switchgear.propagate and _requests.propagate and handler.level <= logging.INFO
    plain = logging.getLogRecordFactory() is logging.LogRecord
    if not (passes and plain) or others or filters:
        return None
    return _Straight(handler.writer, formatter.common_json)


def _lost(formatter: logging.Formatter, lost: int) -> str:
    """Word the line that tells how many are missing."""
    text = "%d lines were dropped here: the reader of the log was too slow"
    record = logging.LogRecord(__name__, logging.WARNING, "", 0, text, (lost,), None)
    return formatter.format(record)


def _utc(seconds: int, milliseconds: int) -> str:
    second: str = _utc_second(seconds)
    return f"{second}.{_three_digits(milliseconds)}Z"


def _three_digits(number: int) -> str:
    return str(1000 + number)[1:]


@lru_cache(maxsize=4)
def _utc_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _exception(error: BaseException) -> str:
    kind = type(error)
    ours = kind.__module__.partition(".")[0] in OUR_PACKAGES
    return f"{kind.__qualname__}: {error}" if ours else kind.__qualname__


def _stack(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)
    ]


def _encode(line: str | Mapping[str, Any]) -> bytes:
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
