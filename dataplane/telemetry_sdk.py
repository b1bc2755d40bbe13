"""OpenTelemetry's SDK, imported only for what is not done here: other exporters and detectors.

gRPC, the console, a proxy, a plug-in for credentials: the SDK's exporters do these, and our
records become its ReadableSpans in the thread that exports. An attributes' limit is the SDK's own
there. A provider that is global already, because the program runs under an instrumenting
launcher, is used as it is.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence

from opentelemetry import trace  # noqa: TID251 - part of the door
from opentelemetry.attributes import BoundedAttributes  # noqa: TID251 - as above
from opentelemetry.context import (  # noqa: TID251 - as above
    _SUPPRESS_INSTRUMENTATION_KEY,
    attach,
    detach,
    set_value,
)
from opentelemetry.sdk.resources import Resource  # noqa: TID251 - as above
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider  # noqa: TID251 - as above
from opentelemetry.sdk.trace.export import (  # noqa: TID251 - as above
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.util import BoundedList  # noqa: TID251 - as above
from opentelemetry.sdk.util.instrumentation import (  # noqa: TID251 - as above
    InstrumentationScope,
)
from opentelemetry.trace import Link, SpanKind, Status, StatusCode  # noqa: TID251 - as above
from opentelemetry.util.re import parse_env_headers  # noqa: TID251 - as above

from dataplane.telemetry_door import api_context
from dataplane.telemetry_limits import SpanBounds
from dataplane.telemetry_records import SpanRecord
from dataplane.telemetry_settings import ExporterKind, ExportPlan, SettingsError

_GRPC_EXPORTER = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"


def launched() -> TracerProvider | None:
    """Give the provider of the SDK that someone has made global before us."""
    provider = trace.get_tracer_provider()
    return provider if isinstance(provider, TracerProvider) else None


def detected(attributes: Mapping[str, str]) -> Mapping[str, str]:
    """Give resource attributes over those that OTEL_EXPERIMENTAL_RESOURCE_DETECTORS finds."""
    found = Resource.create(dict(attributes)).attributes
    return {key: value if isinstance(value, str) else str(value) for key, value in found.items()}


class SdkExporter:
    """Hands records to an exporter of the SDK."""

    def __init__(
        self,
        exporter: SpanExporter,
        resource: Mapping[str, str],
        limits: SpanBounds,
        *,
        scope: str,
        version: str,
    ) -> None:
        """Use this exporter; resource, scope and limits are those of all spans."""
        self._exporter = exporter
        self._resource = Resource(dict(resource))
        self._limits = limits
        self._scope = InstrumentationScope(scope, version)

    def export(self, batch: Sequence[SpanRecord]) -> bool:
        """Convert and export."""
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
        try:
            spans = [self.readable(record) for record in batch]
            return self._exporter.export(spans) is SpanExportResult.SUCCESS
        finally:
            detach(token)

    def shutdown(self) -> None:
        """Shut the exporter down: ends the pause between two tries, closes idle connections."""
        self._exporter.shutdown()

    def readable(self, record: SpanRecord) -> ReadableSpan:
        """Give the SDK's form of an ended span."""
        limits = self._limits
        events: BoundedList[Event] = BoundedList(limits.max_events)
        for event in record.events:
            attributes = BoundedAttributes(
                limits.max_event_attributes,
                event.attributes,
                max_value_len=limits.max_attribute_length,
            )
            events.append(Event(event.name, attributes, event.at_ns))
        links = BoundedList.from_seq(
            limits.max_links, [Link(api_context(link)) for link in record.links]
        )
        return ReadableSpan(
            record.name,
            context=api_context(record.context),
            parent=api_context(record.parent) if record.parent is not None else None,
            resource=self._resource,
            attributes=BoundedAttributes(
                limits.max_span_attributes,
                record.all_attributes(),
                max_value_len=limits.max_span_attribute_length,
            ),
            events=events,
            links=links,
            kind=SpanKind[record.kind.name],
            status=(
                Status(StatusCode.ERROR, record.description or None)
                if record.failed
                else Status(StatusCode.UNSET)
            ),
            start_time=record.start_ns,
            end_time=record.end_ns,
            instrumentation_scope=self._scope,
        )


def exporter(export: ExportPlan) -> SpanExporter:
    """Build the SDK's exporter for a plan. Raises SettingsError for what is not installed."""
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
