"""OpenTelemetry's SDK, built as an ExportPlan says: imported only when spans are exported.

Samplers, ids, resource, limits and propagators are the SDK's; the queue is ours
(`telemetry_export`). Nothing is made global: no one else in this process makes spans. A provider
that is global already, because the program runs under an instrumenting launcher, is used as it is.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from opentelemetry import trace  # noqa: TID251 - part of the door
from opentelemetry.context import Context  # noqa: TID251 - as above
from opentelemetry.propagators.composite import CompositePropagator  # noqa: TID251 - as above
from opentelemetry.propagators.textmap import TextMapPropagator  # noqa: TID251 - as above
from opentelemetry.sdk.resources import Resource  # noqa: TID251 - as above
from opentelemetry.sdk.trace import SpanLimits, TracerProvider, sampling  # noqa: TID251 - as above
from opentelemetry.sdk.trace.export import (  # noqa: TID251 - as above
    ConsoleSpanExporter,
    SpanExporter,
)
from opentelemetry.trace import Link, SpanKind  # noqa: TID251 - as above
from opentelemetry.util.re import parse_env_headers  # noqa: TID251 - as above

from dataplane import telemetry_names as names
from dataplane.flight import Clock, FlightRecord
from dataplane.telemetry import NoTelemetry, RequestSpan, Telemetry, UntracedRequest
from dataplane.telemetry_attributes import MAX_HEADER_CHARS, clean_text, request_start
from dataplane.telemetry_door import NO_CONTEXT, Door
from dataplane.telemetry_export import ExportLog, SpanQueue
from dataplane.telemetry_settings import (
    ExporterKind,
    ExportPlan,
    Inbound,
    SettingsError,
    TelemetrySettings,
)
from dataplane.telemetry_spans import TracedRequest

logger = logging.getLogger(__name__)

_SAMPLERS: Mapping[str, Callable[[float], sampling.Sampler]] = {
    "always_on": lambda _: sampling.ALWAYS_ON,
    "always_off": lambda _: sampling.ALWAYS_OFF,
    "traceidratio": sampling.TraceIdRatioBased,
    "parentbased_always_on": lambda _: sampling.DEFAULT_ON,
    "parentbased_always_off": lambda _: sampling.DEFAULT_OFF,
    "parentbased_traceidratio": sampling.ParentBasedTraceIdRatio,
}
_GRPC_EXPORTER = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"


def start(
    export: ExportPlan, *, version: str, settings: TelemetrySettings, clock: Clock
) -> Telemetry:
    """Build telemetry for a plan. Raises SettingsError for what is not installed."""
    already = trace.get_tracer_provider()
    if isinstance(already, TracerProvider):
        return _SdkTelemetry(export, already, None, version=version, settings=settings, clock=clock)
    if export.exporter is None:
        return NoTelemetry(clock)
    # Attached first, since reading the exporter's settings may log them.
    log = ExportLog(clock.now_s, export.shown_endpoint)
    log.attach()
    try:
        propagator = _propagator(export.propagators)
        provider = TracerProvider(
            sampler=_SAMPLERS[export.sampler](export.sampler_ratio),
            resource=Resource.create({"service.version": version, **export.resource}),
            shutdown_on_exit=False,
            span_limits=SpanLimits(**export.limits),
        )
        queue = SpanQueue(_exporter(export), export.queue, log)
    except BaseException:
        log.detach(mute=False)
        raise
    provider.add_span_processor(queue)
    return _SdkTelemetry(
        export,
        provider,
        queue,
        version=version,
        settings=settings,
        clock=clock,
        propagator=propagator,
    )


class _SdkTelemetry:
    """Telemetry over a tracer provider; `queue` is None for one that is not ours."""

    def __init__(
        self,
        export: ExportPlan,
        provider: TracerProvider,
        queue: SpanQueue | None,
        *,
        version: str,
        settings: TelemetrySettings,
        clock: Clock,
        propagator: TextMapPropagator | None = None,
    ) -> None:
        """Make the tracer: scope `switchgear`, without a schema URL while conventions are mixed."""
        self._export = export
        self._provider = provider
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._door = Door(
            provider.get_tracer(names.NS, version), propagator or _propagator(export.propagators)
        )
        self._closed = False

    def request(
        self,
        method: str,
        route: str,
        headers: Mapping[str, str],
        *,
        path: str,
        scheme: str,
        server_address: str,
        server_port: int,
        user_agent: str,
    ) -> RequestSpan:
        """Begin a server span, under the caller's context as the settings say."""
        flight = FlightRecord(self._clock)
        if route in names.UNTRACED_ROUTES:
            return UntracedRequest(flight)
        inbound, parent, links = self._context(headers)
        attributes = request_start(
            method,
            route,
            path=path,
            scheme=scheme,
            server_address=server_address,
            server_port=server_port,
            user_agent=user_agent,
        )
        if self._settings.openinference:
            attributes[names.OPENINFERENCE_KIND] = "CHAIN"
        known = method if method in names.METHODS else "HTTP"
        span = self._door.start(
            f"{known} {route}".rstrip(),
            SpanKind.SERVER,
            parent,
            attributes,
            start_ns=flight.started_ns,
            links=links,
        )
        given = {
            attribute: clean_text(value, MAX_HEADER_CHARS)
            for header, attribute in self._settings.header_attributes.items()
            if (value := headers.get(header))
        }
        return TracedRequest(self._door, self._settings, flight, span, inbound=inbound, given=given)

    def status(self) -> Mapping[str, Any]:
        """Tell what is exported, where to, and what became of the spans."""
        kind = self._export.exporter
        status: dict[str, Any] = {
            "enabled": True,
            "exporter": kind.value if kind is not None and self._queue is not None else "global",
            "sampler": self._export.sampler,
            "inbound": self._settings.inbound.value,
            "propagators": list(self._export.propagators),
            "content": "never",
            "errors": self._door.errors,
        }
        if kind is ExporterKind.OTLP and self._queue is not None:
            status["protocol"] = self._export.protocol
            status["endpoint"] = self._export.shown_endpoint
        if self._queue is not None:
            status["spans"] = dict(self._queue.counts())
        return status

    async def shutdown(self, flush_s: float) -> bool:
        """Flush our own queue; a provider that was global before us is left alone."""
        if self._queue is None or self._closed:
            return True
        self._closed = True
        return await self._queue.close(flush_s)

    def _context(self, headers: Mapping[str, str]) -> tuple[Context, Context, Sequence[Link]]:
        """Give the caller's context for its baggage, the parent's, and the links."""
        match self._settings.inbound:
            case Inbound.IGNORE:
                return NO_CONTEXT, NO_CONTEXT, ()
            case Inbound.CONTINUE:
                inbound = self._door.extract(headers)
                return inbound, inbound, ()
            case Inbound.LINK:
                caller = trace.get_current_span(self._door.extract(headers)).get_span_context()
                return NO_CONTEXT, NO_CONTEXT, (Link(caller),) if caller.is_valid else ()


def _propagator(chosen: Sequence[str]) -> TextMapPropagator:
    found: list[TextMapPropagator] = []
    for name in chosen:
        matching = tuple(entry_points(group="opentelemetry_propagator", name=name))
        if not matching:
            raise SettingsError(f'OTEL_PROPAGATORS: "{name}" is unknown or not installed')
        try:
            found.append(matching[0].load()())
        except (ImportError, AttributeError) as error:
            raise SettingsError(f'OTEL_PROPAGATORS: "{name}" cannot be loaded: {error}') from error
    return CompositePropagator(found)


def _exporter(export: ExportPlan) -> SpanExporter:
    if export.exporter is ExporterKind.CONSOLE:
        # Looked up now: standard output may have been replaced since the SDK was imported.
        return ConsoleSpanExporter(out=sys.stdout)
    if export.protocol == "grpc":
        return _grpc_exporter()
    # Each of the two exporters is only loaded when it is chosen.
    from opentelemetry.exporter.otlp.proto.http import (  # noqa: PLC0415, TID251 - as above
        Compression,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415, TID251
        OTLPSpanExporter,
    )

    try:
        return OTLPSpanExporter(
            endpoint=export.endpoint,
            certificate_file=export.certificate or None,
            client_key_file=export.client_key or None,
            client_certificate_file=export.client_certificate or None,
            headers=parse_env_headers(export.headers, liberal=True),
            timeout=export.timeout_s,
            compression=Compression(export.compression),
        )
    except (ImportError, RuntimeError, ValueError, OSError) as error:
        raise SettingsError(f"the OTLP exporter cannot be built: {error}") from error


def _grpc_exporter() -> SpanExporter:
    try:
        module = importlib.import_module(_GRPC_EXPORTER)
    except ImportError as error:
        raise SettingsError(
            'OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" needs the package'
            " opentelemetry-exporter-otlp-proto-grpc, which is not installed; install it or use"
            " http/protobuf"
        ) from error
    # It reads the variables from the process's environment itself.
    exporter = module.OTLPSpanExporter()
    if not isinstance(exporter, SpanExporter):
        raise SettingsError(f"{_GRPC_EXPORTER}: OTLPSpanExporter is no span exporter")
    return exporter
