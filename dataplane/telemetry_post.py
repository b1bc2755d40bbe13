"""POSTs to one URL over a connection that is kept, blocking; for the thread that exports.

The standard library's client builds a dozen objects for an answer of which only the status
counts: a POST took 0.3 ms of CPU with it, which is more than the encoding of the batch inside.
"""

from __future__ import annotations

import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from dataplane.http.answer import AnswerParser, MalformedError, TruncatedError

_READ_BYTES = 64 * 1024
_MAX_ANSWER_BYTES = 64 * 1024
_LEAST_S = 0.001
_IN_A_TARGET = "%/:?#[]@!$&'()*+,;=~"
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_OURS = frozenset({"connection", "content-length", "transfer-encoding"})


class NotHttpError(Exception):
    """There was an answer, and it was not HTTP."""


class Posted(NamedTuple):
    """What counts of an answer. retry_after: the header as it came, None if there was none."""

    status: int
    retry_after: str | None

    def __str__(self) -> str:
        """Read like `503 Service Unavailable`."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)


class Certificates:
    """The files of TLS, read anew when they have changed: mounted ones are rotated."""

    def __init__(self, authorities: str, certificate: str, key: str) -> None:
        """Read them; empty names for none. Raises OSError."""
        self._authorities = authorities
        self._certificate = certificate
        self._key = key
        self._stamp = self._read_stamp()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Give the context for a new connection. Raises OSError."""
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._context, self._stamp = self._load(), stamp
        return self._context

    def _read_stamp(self) -> list[int]:
        files = (self._authorities, self._certificate, self._key)
        return [Path(file).stat().st_mtime_ns for file in files if file]

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._authorities or None)
        if self._certificate:
            context.load_cert_chain(self._certificate, self._key or None)
        return context


class Poster:
    """Posts bodies to a URL, one at a time."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        certificates: Certificates | None,
        now_s: Callable[[], float],
    ) -> None:
        """Prepare the head; nothing is opened. headers: by lower-case names.

        certificates: for a URL of https. now_s: monotonic seconds. Raises ValueError for a header
        that cannot be sent.
        """
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._certificates = certificates
        self._now_s = now_s
        self._socket: socket.socket | None = None
        self._parser = AnswerParser()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"host": parts.netloc.rpartition("@")[2], "accept-encoding": "identity", **headers}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            sent["authorization"] = f"Basic {b64encode(user.encode()).decode()}"
        lines = [f"POST {quote(target, safe=_IN_A_TARGET)} HTTP/1.1"]
        for name, value in sent.items():
            if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
                # Neither is told: the value may be a key, and the name a part of one.
                raise ValueError("OTEL_EXPORTER_OTLP_HEADERS: a header cannot be sent over HTTP")
            if name not in _OURS:
                lines.append(f"{name}: {value}")
        self._head = "\r\n".join([*lines, "content-length: "]).encode("latin-1")

    def post(self, body: bytes, deadline_s: float) -> Posted:
        """Post and wait for the answer. Raises OSError or NotHttpError; TimeoutError is an OSError."""
        try:
            return self._post(body, deadline_s)
        except BaseException:
            self.disconnect()
            raise

    def interrupt(self) -> None:
        """Wake a thread that waits in `post`; called from another one."""
        waiting = self._socket
        if waiting is not None:
            with suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _post(self, body: bytes, deadline_s: float) -> Posted:
        left_s = max(deadline_s - self._now_s(), _LEAST_S)
        if self._socket is None:
            self._connect(left_s)
        connection, parser = self._socket, self._parser
        assert connection is not None
        connection.settimeout(left_s)
        connection.sendall(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        parser.begin("POST")
        try:
            while not parser.done and parser.buffered <= _MAX_ANSWER_BYTES:
                data = connection.recv(_READ_BYTES)
                if not data:
                    if not parser.touched:
                        raise ConnectionResetError("closed without an answer")
                    parser.end()
                    break
                parser.feed(data)
                if not parser.done:
                    # Nobody keeps us by sending a byte now and then.
                    left_s = deadline_s - self._now_s()
                    if left_s <= 0:
                        raise TimeoutError
                    connection.settimeout(left_s)
        except (MalformedError, TruncatedError) as error:
            raise NotHttpError(type(error).__name__) from error
        answer = Posted(parser.status, parser.headers.get("retry-after"))
        if not parser.reusable or not parser.done:
            # A longer answer says nothing more to us, and is not worth its reading.
            self.disconnect()
        return answer

    def _connect(self, timeout_s: float) -> None:
        connection = socket.create_connection((self._host, self._port), timeout_s)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._certificates is not None:
                context = self._certificates.context()
                connection = context.wrap_socket(connection, server_hostname=self._host)
        except BaseException:
            connection.close()
            raise
        # The parser of an answer that was cut off may be in the middle of it.
        self._parser.close()
        self._parser = AnswerParser()
        self._socket = connection
