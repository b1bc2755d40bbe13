"""The data port: OpenAI's paths, from the request's bytes to the answer's.

The dialect is decided by the path. Whatever goes wrong is answered in it, until the first byte
of an answer is out; after that, as an error event. The admin API is not here: it has its own port.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from controlplane.table.live import LiveTable
from dataplane import codec, headers
from dataplane.answer import Answer, StreamAnswer
from dataplane.body import check_origin, read_body
from dataplane.errors import ErrorClass, RequestRejected, UpstreamFailed
from dataplane.events import Events, RequestCompleted, RequestFailed, RequestStarted
from dataplane.forward import Exchange, Forwarder, NothingAvailable
from dataplane.http.inbound.request import Request as HttpRequest
from dataplane.provider import Batch, Completed, Operation, Request
from dataplane.random_hex import RandomHex
from dataplane.recent import RecentRequests
from dataplane.record import replace
from dataplane.served import Attempt, Served, ServedStream
from dataplane.telemetry import RequestOutcome, RequestSpan, Telemetry
from dataplane.wire import reply
from dataplane.wire.request import parse_chat, parse_completion, parse_embeddings

log = logging.getLogger("switchgear.request")

_STREAM_HEADERS: Mapping[str, str] = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "server": headers.SERVER,
}
_JSON_HEADERS: Mapping[str, str] = {
    "content-type": "application/json",
    "server": headers.SERVER,
}
_NO_HEADERS: Final[Mapping[str, str]] = {}
_JSON_LINES: Final = "".join(f"{name}: {value}\r\n" for name, value in _JSON_HEADERS.items())
# A member by a name of its own: looking it up in its class costs more than comparing it.
_SERVED: Final = RequestOutcome.SERVED
_UNEXPECTED = RequestRejected(
    "unexpected error in the sidecar", status=500, type="server_error", code="internal_error"
)
_STOPPING = RequestRejected(
    "the sidecar is stopping", status=503, type="server_error", code="stopping"
)
_CAPABILITIES: Final = "/v1/capabilities"
_MODELS: Final = "/v1/models"
_MODELS_ROUTE: Final = "/v1/models/{id}"
_ID_DIGITS: Final = 24
_ids: Final = RandomHex(os.urandom)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    operation: Operation
    parse: Callable[[bytes], Request]


_ENDPOINTS: Final[dict[str, _Endpoint]] = {
    "/v1/chat/completions": _Endpoint(Operation.CHAT, parse_chat),
    "/v1/completions": _Endpoint(Operation.COMPLETION, parse_completion),
    "/v1/embeddings": _Endpoint(Operation.EMBEDDINGS, parse_embeddings),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the data port. loopback: whether only this pod can reach it."""

    max_body_bytes: int
    max_in_flight: int
    loopback: bool = True


class DataPort:
    """Answers the requests of the data port.

    clock: monotonic seconds. address: our own, for spans.
    """

    def __init__(
        self,
        *,
        live: LiveTable,
        forwarder: Forwarder,
        telemetry: Telemetry,
        events: Events,
        recent: RecentRequests,
        capabilities: Callable[[], Mapping[str, Any]],
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        """Tie the parts together."""
        self._live = live
        self._forwarder = forwarder
        self._telemetry = telemetry
        self._events = events
        self._recent = recent
        self._capabilities = capabilities
        self._limits = limits
        self._clock = clock
        self.address = ("127.0.0.1", 0)
        self.draining = False
        self._active: set[_Sent] = set()

    def handle(self, request: HttpRequest) -> Coroutine[Any, Any, Answer | StreamAnswer]:
        """Answer one request. Raises only CancelledError, when the caller has left."""
        path = request.path.rstrip("/")
        endpoint = _ENDPOINTS.get(path)
        if endpoint is not None and request.method == "POST":
            return self._infer(request, path, endpoint)
        return self._tell(request, path)

    def cut_off(self) -> None:
        """End what still runs: tell its callers, then cancel it."""
        for sent in list(self._active):
            sent.cut_off()
            sent.http.task.cancel()

    async def _tell(self, request: HttpRequest, path: str) -> Answer | StreamAnswer:
        """Answer what is no call of a model."""
        if path in _ENDPOINTS:
            return self._refuse(_method_not_allowed("POST"), path)
        if path == _CAPABILITIES:
            if request.method not in ("GET", "HEAD"):
                return self._refuse(_method_not_allowed("GET"), path)
            return self._whole(codec.encode(self._capabilities()))
        if path == _MODELS or path.startswith(f"{_MODELS}/"):
            if request.method not in ("GET", "HEAD"):
                return self._refuse(_method_not_allowed("GET"), _MODELS)
            return self._models(request, path)
        return self._refuse(
            RequestRejected(
                f"unknown path: {request.method} {_printable(path)}", status=404, code="unknown_url"
            ),
            "",
        )

    async def _infer(
        self, http: HttpRequest, path: str, endpoint: _Endpoint
    ) -> Answer | StreamAnswer:
        """Serve one call of a model, and tell everybody how it ended."""
        arrived_s = self._clock()
        span = self._span(http, path)
        sent = _Sent(_new_id(), http, closing=self.draining)
        self._events.publish(
            RequestStarted(at_s=arrived_s, request_id=sent.request_id, operation=endpoint.operation)
        )
        self._active.add(sent)
        outcome, error_type = RequestOutcome.FAILED, ""
        try:
            request = await self._parse(http, endpoint)
            exchange = self._match(request, span, arrived_s)
            if request.stream:
                outcome = await self._stream(exchange, sent)
            else:
                outcome = await self._complete(exchange, sent)
        except RequestRejected as rejection:
            outcome = RequestOutcome.REJECTED
            await sent.error(rejection, span)
        except NothingAvailable as nothing:
            outcome = RequestOutcome.REJECTED
            refusals = [skip.refusal for skip in nothing.skipped]
            await sent.error(reply.no_target(refusals), span)
        except UpstreamFailed as failure:
            if not span.flight.attempts:
                outcome = RequestOutcome.REJECTED
            await sent.error(failure, span)
        except (asyncio.CancelledError, ConnectionError):
            outcome = (
                RequestOutcome.DRAINED if sent.was_cut_off else RequestOutcome.CLIENT_CANCELLED
            )
            raise
        except Exception:
            log.exception("unexpected error while serving %s", path)
            error_type = "_OTHER"
            await sent.error(_UNEXPECTED, span)
        finally:
            self._active.discard(sent)
            span.end(outcome, sent.status, error_type)
            self._ended(span, sent, endpoint.operation, outcome)
        assert sent.response is not None
        return sent.response

    def _ended(
        self, span: RequestSpan, sent: _Sent, operation: Operation, outcome: RequestOutcome
    ) -> None:
        if outcome is _SERVED:
            assert sent.attempt is not None
            self._events.publish(
                RequestCompleted(
                    at_s=self._clock(),
                    request_id=sent.request_id,
                    operation=operation,
                    span=span,
                    usage=sent.attempt.usage,
                    cost=sent.attempt.cost,
                )
            )
            return
        self._events.publish(
            RequestFailed(
                at_s=self._clock(),
                request_id=sent.request_id,
                operation=operation,
                span=span,
                outcome=outcome,
                usage=None if sent.attempt is None else sent.attempt.usage,
                cost=None if sent.attempt is None else sent.attempt.cost,
            )
        )

    async def _parse(self, http: HttpRequest, endpoint: _Endpoint) -> Request:
        if self._recent.in_flight > self._limits.max_in_flight:
            raise UpstreamFailed(
                ErrorClass.OVERLOADED,
                f"more than {self._limits.max_in_flight} requests are in flight",
            )
        check_origin(http.headers, loopback=self._limits.loopback)
        return endpoint.parse(await read_body(http, self._limits.max_body_bytes))

    def _match(self, request: Request, span: RequestSpan, arrived_s: float) -> Exchange:
        table = self._live.table
        route = table.route_for(request.model)
        name = route.name if route is not None else ""
        span.matched(name, request.model, table.generation, stream=request.stream)
        if route is None:
            raise reply.unknown_model(request.model, table.model_names())
        if route.strict:
            request = replace(request, strict=True)
        return Exchange(request=request, table=table, route=route, span=span, arrived_s=arrived_s)

    async def _complete(self, exchange: Exchange, sent: _Sent) -> RequestOutcome:
        served: Served[Completed] = await self._forwarder.complete(exchange)
        sent.attempt = served.attempt
        span = exchange.span
        lines = headers.lines_of_served(
            sent.request_id,
            span,
            fallback_reason=served.fallback_reason,
            warnings=served.result.warnings,
        )
        span.first_byte()
        sent.served(served.result.answer.body, lines)
        if sent.http.writing_paused:
            await sent.http.drain()
        return _SERVED

    async def _stream(self, exchange: Exchange, sent: _Sent) -> RequestOutcome:
        served: Served[ServedStream] = await self._forwarder.stream(exchange)
        sent.attempt = served.attempt
        stream, span = served.result, exchange.span
        try:
            lines = headers.lines_of_served(
                sent.request_id,
                span,
                fallback_reason=served.fallback_reason,
                warnings=stream.warnings,
            )
            response = await sent.begin(lines)
            span.first_byte()
            batch = stream.head
            while True:
                if tail := _tail(batch):
                    await response.write(batch.data + tail)
                    break
                if batch.data:
                    await response.write(batch.data)
                batch = await stream.next()
            failed = batch.failure is not None
        except BaseException:
            # Not in a `finally`: compiled, that raises anew what somebody has caught before.
            await stream.aclose()
            raise
        await stream.aclose()
        return RequestOutcome.FAILED if failed else RequestOutcome.SERVED

    def _models(self, http: HttpRequest, path: str) -> Answer | StreamAnswer:
        names = self._live.table.model_names()
        if path == _MODELS:
            body = reply.models_body(names)
        else:
            name = unquote(http.raw_path.rstrip("/")[len(_MODELS) + 1 :])
            if self._live.table.route_for(name) is None:
                return self._refuse(reply.unknown_model(name, names), _MODELS_ROUTE)
            body = reply.model_body(name)
        return self._whole(body)

    def _whole(self, body: bytes) -> Answer | StreamAnswer:
        request_id = _new_id()
        return _answer(200, body, {"x-request-id": request_id, "request-id": request_id})

    def _refuse(self, rejection: RequestRejected, route: str) -> Answer | StreamAnswer:
        """Answer what never becomes a call of a model: a wrong path or method, an unknown model."""
        request_id = _new_id()
        status, extra, body = reply.error_body(rejection)
        if rejection.status == 405:
            extra["allow"] = "POST" if route in _ENDPOINTS else "GET"
        return _answer(
            status, body, {"x-request-id": request_id, "request-id": request_id, **extra}
        )

    def _span(self, http: HttpRequest, path: str) -> RequestSpan:
        host, port = self.address
        return self._telemetry.request(
            http.method,
            path,
            http.headers,
            path=path,
            scheme="http",
            server_address=host,
            server_port=port,
            user_agent=http.headers.get("user-agent", ""),
        )


class _Sent:
    """What has gone out to the caller.

    closing: whether the connection ends with the answer. attempt: the one that served. status: None
    until a status line went out.
    """

    __slots__ = (
        "attempt",
        "closing",
        "http",
        "request_id",
        "response",
        "status",
        "stream",
        "was_cut_off",
    )

    def __init__(self, request_id: str, http: HttpRequest, *, closing: bool) -> None:
        self.request_id = request_id
        self.http = http
        self.closing = closing
        self.attempt: Attempt | None = None
        self.status: int | None = None
        self.response: Answer | StreamAnswer | None = None
        self.stream: StreamAnswer | None = None
        self.was_cut_off = False

    def identity(self, span: RequestSpan) -> dict[str, str]:
        return headers.identity(self.request_id, span)

    async def begin(self, lines: str) -> StreamAnswer:
        """Commit to a stream: the status line goes out. lines: headers, each with its end."""
        answer = StreamAnswer(_STREAM_HEADERS, lines=lines, close=self.closing)
        await answer.prepare(self.http)
        self.status, self.response, self.stream = 200, answer, answer
        return answer

    def served(self, body: bytes, lines: str) -> None:
        """Send a whole good answer. lines: headers, each with its end."""
        answer = Answer(200, _NO_HEADERS, body, lines=_JSON_LINES + lines, close=self.closing)
        answer.send(self.http)
        self.status = 200
        self.response = answer

    async def whole(self, status: int, body: bytes, head: Mapping[str, str]) -> None:
        """Send a whole answer."""
        answer = _answer(status, body, head, close=self.closing)
        await answer.prepare(self.http)
        self.status, self.response = status, answer

    async def error(self, error: RequestRejected | UpstreamFailed, span: RequestSpan) -> None:
        """Send an error: with a status if none went out, else as an event of the stream."""
        trace_id = span.trace_id if span.recording else ""
        if self.stream is not None:
            await self.stream.write(reply.error_event(error, trace_id))
            return
        status, head, body = reply.error_body(error, trace_id)
        if span.flight.attempts:
            head |= headers.journey(span, fallback_reason="", warnings=())
        await self.whole(status, body, {**self.identity(span), **head})

    def cut_off(self) -> None:
        """Tell the caller, past everything that waits, that we stop and no answer will follow."""
        transport = self.http.transport
        self.was_cut_off = True
        if transport is None:
            return
        if self.stream is not None:
            event = reply.error_event(_STOPPING)
            transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))
        elif self.response is None:
            status, _, body = reply.error_body(_STOPPING)
            head = f"HTTP/1.1 {status} Stopping\r\ncontent-type: application/json\r\n"
            head += f"x-request-id: {self.request_id}\r\nconnection: close\r\n"
            transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            self.status = status


def _tail(batch: Batch) -> bytes:
    """Return what ends the caller's stream, or nothing if it goes on."""
    if batch.failure is not None:
        return reply.error_event(batch.failure)
    return reply.DONE if batch.done else b""


def _answer(status: int, body: bytes, head: Mapping[str, str], *, close: bool = False) -> Answer:
    return Answer(status, {**_JSON_HEADERS, **head}, body, close=close)


def _method_not_allowed(allowed: str) -> RequestRejected:
    return RequestRejected(f"this path takes {allowed} only", status=405)


def _new_id() -> str:
    return "req_" + _ids.draw(_ID_DIGITS)


def _printable(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text[:80])
