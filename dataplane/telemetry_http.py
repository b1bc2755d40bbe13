"""Batches to a collector over HTTP, from a thread of its own.

A small client of our own (`telemetry_post`), because the official exporter brings the SDK, protobuf,
requests and urllib3 with it: 25 MB and 100 ms of start for one POST a second. What it does is
kept: the timeout that counts for all tries together, the same retries and pauses, compression,
headers, certificates and client certificates. Whoever needs a proxy or a plug-in for credentials
gets the official one (see `telemetry_start`).

Source: OTLP 1.9, "OTLP/HTTP Response" and "OTLP/HTTP Throttling"; opentelemetry-python 1.45,
exporter otlp over HTTP.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import unquote, urlsplit

from dataplane.telemetry_limits import SpanBounds, bounded
from dataplane.telemetry_log import ExportLog
from dataplane.telemetry_post import Certificates, NotHttpError, Posted, Poster
from dataplane.telemetry_records import SpanRecord
from dataplane.telemetry_settings import ExportPlan

_RETRYABLE = frozenset({429, 502, 503, 504})
_MAX_TRIES = 6
_JITTER = 0.2
_GZIP_WBITS = 31
"""Tells zlib to write gzip's head and tail."""

_FAST = 1
"""The level of compression: spans of one process are so alike that a higher one gains little."""

_OWS = r"[ \t]*"
_HEADER_NAME = r"[\x21\x23-\x27\x2a\x2b\x2d\x2e\x30-\x39\x41-\x5a\x5e-\x7a\x7c\x7e]+"
_HEADER = re.compile(
    rf"{_OWS}{_HEADER_NAME}{_OWS}={_OWS}[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*{_OWS}"
)
_PLAIN_HEADER = re.compile(
    rf"{_OWS}{_HEADER_NAME}{_OWS}={_OWS}[\x20\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*{_OWS}"
)
_COMMA = re.compile(r"[ \t]*,[ \t]*")


class Encoder(Protocol):
    """Spans to a request's body; pure."""

    @property
    def content_type(self) -> str:
        """The media type of what it encodes to."""
        ...

    def encode(self, batch: Sequence[SpanRecord]) -> bytes:
        """Give the body for a batch within its limits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the exporter takes from outside.

    now_s: monotonic seconds. now: the date, for a Retry-After that names one. random: in [0, 1).
    """

    now_s: Callable[[], float]
    now: Callable[[], datetime]
    random: Callable[[], float]


class HttpSender:
    """Posts bodies, and tries again as long as the timeout and the collector allow."""

    def __init__(
        self,
        export: ExportPlan,
        content_type: str,
        log: ExportLog,
        *,
        user_agent: str,
        world: World,
    ) -> None:
        """Prepare; no connection is made.

        Raises OSError for certificates that cannot be read, ValueError for headers that cannot be
        sent.
        """
        self._log = log
        self._world = world
        self._timeout_s = export.timeout_s
        self._compress = _COMPRESSORS[export.compression]
        self._stopped = threading.Event()
        self._busy = threading.Lock()
        headers = {"content-type": content_type, "user-agent": user_agent}
        headers |= parse_headers(export.headers)
        if export.compression != "none":
            headers.setdefault("content-encoding", export.compression)
        certificates = None
        if urlsplit(export.endpoint).scheme == "https":
            certificates = Certificates(
                export.certificate, export.client_certificate, export.client_key
            )
        self._poster = Poster(export.endpoint, headers, certificates, world.now_s)

    def send(self, body: bytes) -> bool:
        """Post a body; whether it arrived."""
        body = self._compress(body)
        with self._busy:
            try:
                return self._deliver(body)
            finally:
                if self._stopped.is_set():
                    self._poster.disconnect()

    def shutdown(self) -> None:
        """End a pause or a wait for an answer, and try nothing again."""
        self._stopped.set()
        self._poster.interrupt()
        if self._busy.acquire(blocking=False):
            self._poster.disconnect()
            self._busy.release()

    def _deliver(self, body: bytes) -> bool:
        deadline_s = self._world.now_s() + self._timeout_s
        for number in range(_MAX_TRIES):
            pause_s = 2**number * (1 + _JITTER * (2 * self._world.random() - 1))
            try:
                answer = self._send(body, deadline_s)
            except (OSError, NotHttpError) as error:
                trouble = f"no answer from the collector: {type(error).__name__}"
            else:
                if 200 <= answer.status < 300:
                    return True
                trouble = f"the collector answered {answer}"
                if answer.status not in _RETRYABLE:
                    self._log.trouble(trouble)
                    return False
                asked_s = retry_after_s(answer.retry_after, self._world.now())
                pause_s = pause_s if asked_s is None else asked_s
            self._log.trouble(trouble)
            last = number + 1 == _MAX_TRIES
            if last or pause_s > deadline_s - self._world.now_s() or self._stopped.wait(pause_s):
                return False
        return False

    def _send(self, body: bytes, deadline_s: float) -> Posted:
        """Post once; a connection that was kept and turns out dead is replaced at once."""
        try:
            return self._poster.post(body, deadline_s)
        except (OSError, NotHttpError):
            if self._stopped.is_set() or self._world.now_s() >= deadline_s:
                raise
            return self._poster.post(body, deadline_s)


class HttpExporter:
    """Encodes batches of spans, and sends them."""

    def __init__(
        self,
        export: ExportPlan,
        encoder: Encoder,
        limits: SpanBounds,
        log: ExportLog,
        *,
        user_agent: str,
        world: World,
    ) -> None:
        """Prepare; see HttpSender."""
        self._encoder = encoder
        self._limits = limits
        self._sender = HttpSender(
            export, encoder.content_type, log, user_agent=user_agent, world=world
        )

    def export(self, batch: Sequence[SpanRecord]) -> bool:
        """Encode and send a batch."""
        limits = self._limits
        return self._sender.send(
            self._encoder.encode([bounded(record, limits) for record in batch])
        )

    def shutdown(self) -> None:
        """End a pause or a wait for an answer, and try nothing again."""
        self._sender.shutdown()


def parse_headers(text: str) -> Mapping[str, str]:
    """Read OTEL_EXPORTER_OTLP_HEADERS: `name=value` by commas, percent-encoded or as it is.

    Names become lower case; what is neither form is left out.
    """
    headers = {}
    for part in _COMMA.split(text):
        item = part.strip()
        name, _, value = item.partition("=")
        if _HEADER.fullmatch(item) is not None:
            headers[unquote(name).strip().lower()] = unquote(value).strip()
        elif _PLAIN_HEADER.fullmatch(item) is not None:
            headers[name.strip().lower()] = value.strip()
    return headers


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds that a collector asks us to wait, at least 0; None if it does not say.

    Source: RFC 9110, section 10.2.3: seconds, or a date.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(seconds, 0.0) if abs(seconds) < float("inf") else None
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max((at - now).total_seconds(), 0.0)


def _as_it_is(body: bytes) -> bytes:
    return body


def _gzip(body: bytes) -> bytes:
    squeezer = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP_WBITS)
    return squeezer.compress(body) + squeezer.flush()


def _deflate(body: bytes) -> bytes:
    return zlib.compress(body, _FAST)


_COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "none": _as_it_is,
    "gzip": _gzip,
    "deflate": _deflate,
}
