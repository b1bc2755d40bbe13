"""What the telemetry tests are made of: a clock that stands still, providers, requests."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from controlplane.table.schema import (
    BreakerMode,
    BreakerPolicy,
    HealthCheck,
    Provider,
    ProviderType,
    Target,
    Timeouts,
)
from dataplane.flight import Clock
from dataplane.provider import Operation, Request
from dataplane.telemetry import NO_TELEMETRY, RequestSpan, Telemetry, TelemetrySettings, build

if TYPE_CHECKING:
    # Not loaded at run time: a process without telemetry must not load OpenTelemetry through us.
    from tests.sink import Sink

START_NS = 1_790_000_000_000_000_000
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER_SPAN_ID = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{CALLER_SPAN_ID}-01"
UNSAMPLED = f"00-{TRACE_ID}-{CALLER_SPAN_ID}-00"

BASE_URLS: Mapping[ProviderType, str] = {
    ProviderType.OLLAMA: "http://ollama.llm.svc:11434",
    ProviderType.VLLM: "http://vllm.llm.svc:8000/v1",
    ProviderType.OVHCLOUD: "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    ProviderType.SCALEWAY: "https://api.scaleway.ai/v1",
    ProviderType.OPENAI: "https://api.openai.com/v1",
    ProviderType.AZURE_OPENAI: "https://example.openai.azure.com",
    ProviderType.MISTRAL: "https://api.mistral.ai/v1",
}


class Heard(logging.Handler):
    """What reaches the root logger, as the process's own handler would show it.

    pytest's caplog also listens at loggers that do not propagate, so it hears more.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    async def wait_for(self, logger: str, deadline_s: float = 20.0) -> None:
        """Wait until a logger has said something, on whatever thread."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: logger in self.names, deadline_s)

        assert await asyncio.to_thread(wait), f"{logger} said nothing"

    @property
    def names(self) -> list[str]:
        return [record.name for record in self.records]

    @property
    def text(self) -> str:
        return "\n".join(map(self.format, self.records))

    def lines(self, logger: str) -> list[str]:
        return [record.getMessage() for record in self.records if record.name == logger]


@contextmanager
def listening() -> Iterator[Heard]:
    heard = Heard()
    logging.getLogger().addHandler(heard)
    try:
        yield heard
    finally:
        logging.getLogger().removeHandler(heard)


class ManualClock:
    """Stands still until it is told to move; wall and monotonic time move together."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def advance(self, seconds: float) -> None:
        self.now_s += seconds

    @property
    def clock(self) -> Clock:
        return Clock(
            now_s=lambda: self.now_s,
            wall_ns=lambda: START_NS + round((self.now_s - 1000.0) * 1e9),
        )


def provider(
    kind: ProviderType = ProviderType.OPENAI,
    name: str = "openai-primary",
    options: Mapping[str, str] | None = None,
    base_url: str = "",
) -> Provider:
    return Provider(
        name=name,
        type=kind,
        base_url=base_url or BASE_URLS[kind],
        credential=None,
        models={},
        timeouts=Timeouts(connect_s=2, first_event_s=30, answer_s=60, idle_s=60, total_s=600),
        health_check=HealthCheck(
            interval_s=30, timeout_s=5, unhealthy_threshold=3, healthy_threshold=1
        ),
        breaker=BreakerPolicy(
            mode=BreakerMode.AUTO,
            consecutive_failures=3,
            failure_ratio=0.5,
            window_s=30,
            min_requests=20,
            open_s=15,
            max_open_s=300,
            half_open_requests=1,
            ramp_up=(),
        ),
        max_in_flight=256,
        options=options or {},
    )


def target(of: Provider, model: str = "gpt-5-mini") -> Target:
    return Target(provider=of.name, model=model, priority=1, weight=1, key=of.target_key(model))


def request(operation: Operation = Operation.CHAT, *, stream: bool = False, **body: Any) -> Request:
    return Request(operation=operation, model="chat", body=body, stream=stream)


@asynccontextmanager
async def telemetry(
    sink: Sink,
    time: ManualClock | None = None,
    settings: TelemetrySettings | None = None,
    **environ: str,
) -> AsyncIterator[Telemetry]:
    """Telemetry that exports to the sink; whatever ended is there when the block is left."""
    built = build(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, **environ},
        version="1.2.3",
        settings=settings or TelemetrySettings(),
        clock=(time or ManualClock()).clock,
    )
    try:
        yield built
    finally:
        await built.shutdown(5.0)


def begin(
    built: Telemetry,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    route: str = "/v1/chat/completions",
    path: str = "/v1/chat/completions",
    user_agent: str = "openai-python/3.50",
    stream: bool = False,
    match: bool = True,
) -> RequestSpan:
    """Begin a request as the handlers do, matched to route `chat` of generation 7."""
    span = built.request(
        method,
        route,
        headers or {},
        path=path,
        scheme="http",
        server_address="127.0.0.1",
        server_port=4141,
        user_agent=user_agent,
    )
    if match:
        span.matched("chat", "chat", 7, stream=stream)
    return span


def untraced() -> RequestSpan:
    """The span of a request where nothing is traced."""
    return NO_TELEMETRY.request(
        "POST",
        "/",
        {},
        path="/",
        scheme="http",
        server_address="",
        server_port=0,
        user_agent="",
    )
