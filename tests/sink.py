"""A collector for tests: OTLP over HTTP on an ephemeral loopback port, kept as it came.

Nothing is lost on the way: kind, flags, links, resource, scope and the types of attributes. Its
answers can be scripted, one for each request; when the script is over it answers 200.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2 as service,
)
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.trace.v1 import trace_pb2 as wire

Value: TypeAlias = str | bool | int | float | bytes | list[Any] | dict[str, Any] | None

SERVER = wire.Span.SPAN_KIND_SERVER
CLIENT = wire.Span.SPAN_KIND_CLIENT
UNSET = wire.Status.STATUS_CODE_UNSET
ERROR = wire.Status.STATUS_CODE_ERROR

_INFLATE: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How one request is answered.

    close: cut the connection instead. hang: say nothing until the sink is released.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = service.ExportTraceServiceResponse().SerializeToString()
    close: bool = False
    hang: bool = False


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request as it came: lower-case headers; `raw` is the body before it was inflated.

    message: its spans; empty if it brought metrics, which are in `readings`.
    """

    path: str
    headers: Mapping[str, str]
    raw: bytes
    message: service.ExportTraceServiceRequest


@dataclass(frozen=True, kw_only=True)
class Event:
    name: str
    attributes: Mapping[str, Value]
    time_ns: int


@dataclass(frozen=True, kw_only=True)
class SinkSpan:
    """A span as the wire said it. Ids are lower-case hex; `parent_id` is empty for a root."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    status: int
    description: str
    attributes: Mapping[str, Value]
    events: Sequence[Event]
    links: Sequence[tuple[str, str]]
    resource: Mapping[str, Value]
    scope: tuple[str, str]


class Sink:
    """The collector; see `running`."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self.readings: list[metrics_service.ExportMetricsServiceRequest] = []
        self.script: deque[Answer] = deque()
        self.forever: Answer | None = None
        self.released = asyncio.Event()
        self._changed = asyncio.Condition()
        self.seen = 0

    @property
    def spans(self) -> Sequence[SinkSpan]:
        """All spans that were accepted, by their start."""
        found = [span for received in self.received for span in _spans(received.message)]
        return sorted(found, key=lambda span: (span.start_ns, span.kind != SERVER))

    @property
    def servers(self) -> Sequence[SinkSpan]:
        return [span for span in self.spans if span.kind == SERVER]

    @property
    def attempts(self) -> Sequence[SinkSpan]:
        return [span for span in self.spans if span.kind == CLIENT]

    async def wait(self, condition: Callable[[], bool], deadline_s: float = 20.0) -> None:
        """Wait until the condition holds; it is looked at whenever a request came."""
        async with asyncio.timeout(deadline_s), self._changed:
            await self._changed.wait_for(condition)

    async def wait_for_spans(self, count: int, deadline_s: float = 20.0) -> None:
        await self.wait(lambda: len(self.spans) >= count, deadline_s)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.seen += 1
        answer = self.script.popleft() if self.script else self.forever or Answer()
        if answer.status == 200 and not (answer.close or answer.hang):
            inflate = _INFLATE[request.headers.get("content-encoding", "")]
            if request.path.endswith("/v1/metrics"):
                self.readings.append(
                    metrics_service.ExportMetricsServiceRequest.FromString(inflate(raw))
                )
                message = service.ExportTraceServiceRequest()
            else:
                message = service.ExportTraceServiceRequest.FromString(inflate(raw))
            self.received.append(
                Received(
                    path=request.path,
                    headers={k.lower(): v for k, v in request.headers.items()},
                    raw=raw,
                    message=message,
                )
            )
        async with self._changed:
            self._changed.notify_all()
        if answer.hang:
            await self.released.wait()
        if answer.close and request.transport is not None:
            request.transport.abort()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


@asynccontextmanager
async def running(port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Sink]:
    """Run a sink; `port` is only given to start one again at the same place."""
    sink = Sink()
    # aiohttp would inflate the body itself, and the raw length would be lost.
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/{path:.*}", sink.handle)
    runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        scheme = "http" if tls is None else "https"
        sink.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        yield sink
    finally:
        sink.released.set()
        await runner.cleanup()


def _spans(message: service.ExportTraceServiceRequest) -> Iterable[SinkSpan]:
    for group in message.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_spans:
            for span in scoped.spans:
                yield SinkSpan(
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    status=span.status.code,
                    description=span.status.message,
                    attributes=_attributes(span.attributes),
                    events=[
                        Event(
                            name=event.name,
                            attributes=_attributes(event.attributes),
                            time_ns=event.time_unix_nano,
                        )
                        for event in span.events
                    ],
                    links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    resource=resource,
                    scope=(scoped.scope.name, scoped.scope.version),
                )


def _attributes(pairs: Iterable[common.KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: common.AnyValue) -> Value:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case name:
            return getattr(value, name)  # type: ignore[no-any-return]  # one of the scalars
