"""The log line of each request that has ended; see `logs`."""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from typing import Any, Final

from dataplane.flight import RequestOutcome
from dataplane.log_handler import LineHandler
from dataplane.log_writer import LineWriter
from dataplane.logs import JsonFormatter, encode, utc_second
from dataplane.telemetry import RequestSpan

_REQUEST: Final = "request"

_root: Final = logging.getLogger()
_switchgear: Final = logging.getLogger("switchgear")
_REQUESTS: Final = "switchgear.request"
_requests: Final = logging.getLogger(_REQUESTS)

_OUTCOMES: Final[dict[RequestOutcome | None, str]] = {
    None: "",
    **{outcome: outcome.value for outcome in RequestOutcome},
}


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
        named = f'"{request_id}"' if request_id.isidentifier() else encode(request_id).decode()
        line += f',"request_id":{named}'
    if span.trace_id:
        flags = "01" if span.recording else "00"
        line += f',"trace_id":"{span.trace_id}","span_id":"{span.span_id}","trace_flags":"{flags}"'
    return f"{line}}}\n".encode()


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


def _utc(seconds: int, milliseconds: int) -> str:
    second: str = utc_second(seconds)
    return f"{second}.{_three_digits(milliseconds)}Z"


def _three_digits(number: int) -> str:
    return str(1000 + number)[1:]


@lru_cache(maxsize=1024)
def _json(text: str) -> str:
    return encode(text).decode()
