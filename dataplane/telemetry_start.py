"""Telemetry built as an ExportPlan says, of our own parts or of OpenTelemetry's.

Our own: the W3C propagators, the six samplers, OTLP over HTTP. With these nothing of
OpenTelemetry is imported. Everything else is OpenTelemetry's own: another propagator by its API,
another exporter, a proxy, a plug-in for credentials or a resource detector by its SDK. Nothing is
made global: no one else in this process makes spans.
"""

from __future__ import annotations

import os
import random
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from dataplane import telemetry_names as names
from dataplane.flight import Clock
from dataplane.random_hex import RandomHex
from dataplane.telemetry import NoTelemetry, Telemetry
from dataplane.telemetry_attributes import clean_text
from dataplane.telemetry_export import ExportQueue
from dataplane.telemetry_guard import Guard
from dataplane.telemetry_http import Encoder, HttpExporter, World
from dataplane.telemetry_json import JsonEncoder
from dataplane.telemetry_limits import SpanBounds, bounds
from dataplane.telemetry_log import ExportLog
from dataplane.telemetry_protobuf import ProtobufEncoder
from dataplane.telemetry_records import Exporter, SpanRecord
from dataplane.telemetry_sampling import sampler
from dataplane.telemetry_settings import (
    ExporterKind,
    ExportPlan,
    SettingsError,
    TelemetrySettings,
)
from dataplane.telemetry_shared import SharedAttributes
from dataplane.telemetry_spans import Common
from dataplane.telemetry_tracer import RecordTracer
from dataplane.telemetry_traces import Traces
from dataplane.telemetry_w3c import Propagation, W3CPropagation

_JSON = "http/json"
_OWN_PROPAGATORS = frozenset({"tracecontext", "baggage"})
_CREDENTIAL_PLUGINS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)
_AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_DETECTORS = "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"

_WORLD = World(now_s=time.monotonic, now=lambda: datetime.now(UTC), random=random.random)


def start(
    export: ExportPlan,
    environ: Mapping[str, str],
    *,
    version: str,
    settings: TelemetrySettings,
    clock: Clock,
) -> Telemetry:
    """Build telemetry for a plan. Raises SettingsError for what cannot be built."""
    guard = Guard()
    if "opentelemetry.sdk.trace" in sys.modules:
        others = _launched(export, version=version, settings=settings, clock=clock, guard=guard)
        if others is not None:
            return others
    if export.exporter is None:
        return NoTelemetry(clock)
    # Attached first, since reading an exporter's settings may log them.
    log = ExportLog(clock.now_s, export.shown_endpoint)
    log.attach()
    try:
        propagation = _propagation(export, guard)
        queue = ExportQueue(_exporter(export, environ, version, log), export.queue, log)
    except BaseException:
        log.detach(mute=False)
        raise
    random_hex = RandomHex(os.urandom)
    tracer = RecordTracer(sampler(export.sampler, export.sampler_ratio), queue.put, random_hex.draw)
    common = Common(
        tracer=tracer,
        propagation=propagation,
        settings=settings,
        shared=SharedAttributes(openinference=settings.openinference),
    )
    return Traces(export, common, queue, guard=guard, clock=clock)


def resource(export: ExportPlan, environ: Mapping[str, str], version: str) -> Mapping[str, str]:
    """Give what describes this process: the environment's word over ours.

    The specification has anything but the SDK itself give another `telemetry.sdk.name`.
    """
    attributes = {"service.version": version, **export.resource}
    ours = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": names.NS,
        "telemetry.sdk.version": version,
    }
    detectors = {name.strip() for name in environ.get(_DETECTORS, "").split(",")}
    if detectors - {"", "otel", "service_instance"}:
        from dataplane.telemetry_sdk import detected  # noqa: PLC0415 - see the module

        found = {**detected(attributes), **ours}
    else:
        found = {"service.instance.id": str(uuid.uuid4()), **ours, **attributes}
    return {key: clean_text(value, len(value)) for key, value in found.items()}


def _launched(
    export: ExportPlan,
    *,
    version: str,
    settings: TelemetrySettings,
    clock: Clock,
    guard: Guard,
) -> Telemetry | None:
    """Give telemetry over the provider that a launcher has made global, None if there is none."""
    from dataplane.telemetry_door import (  # noqa: PLC0415 - see the module
        ApiPropagation,
        ApiTracer,
        propagator,
    )
    from dataplane.telemetry_sdk import launched  # noqa: PLC0415 - see the module

    provider = launched()
    if provider is None:
        return None
    common = Common(
        tracer=ApiTracer(provider.get_tracer(names.NS, version), guard),
        propagation=ApiPropagation(propagator(export.propagators), guard),
        settings=settings,
        shared=SharedAttributes(openinference=settings.openinference),
    )
    return Traces(export, common, None, guard=guard, clock=clock)


def _propagation(export: ExportPlan, guard: Guard) -> Propagation:
    if _OWN_PROPAGATORS.issuperset(export.propagators):
        return W3CPropagation(export.propagators)
    from dataplane.telemetry_door import (  # noqa: PLC0415 - see the module
        ApiPropagation,
        propagator,
    )

    return ApiPropagation(propagator(export.propagators), guard)


def _exporter(
    export: ExportPlan, environ: Mapping[str, str], version: str, log: ExportLog
) -> Exporter[SpanRecord]:
    limits = bounds(export.limits)
    described = resource(export, environ, version)
    reason = _official(export, environ)
    if not reason:
        return _http_exporter(export, described, version, limits, log)
    if export.protocol == _JSON and export.exporter is ExporterKind.OTLP:
        raise SettingsError(
            f'OTEL_EXPORTER_OTLP_PROTOCOL: "{_JSON}" cannot be used with {reason}; use http/protobuf'
        )
    from dataplane.telemetry_sdk import SdkExporter, exporter  # noqa: PLC0415 - see the module

    return SdkExporter(exporter(export), described, limits, scope=names.NS, version=version)


def _http_exporter(
    export: ExportPlan,
    described: Mapping[str, str],
    version: str,
    limits: SpanBounds,
    log: ExportLog,
) -> Exporter[SpanRecord]:
    encode = JsonEncoder if export.protocol == _JSON else ProtobufEncoder
    encoder: Encoder = encode(described, names.NS, version)
    try:
        return HttpExporter(
            export, encoder, limits, log, user_agent=f"{names.NS}/{version}", world=_WORLD
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"the OTLP exporter cannot be built: {error}") from error


def _official(export: ExportPlan, environ: Mapping[str, str]) -> str:
    """Say why the SDK's exporter is needed; empty if ours does."""
    if export.exporter is ExporterKind.CONSOLE or export.protocol == "grpc":
        return export.exporter.value if export.exporter is not None else ""
    for plugin in _CREDENTIAL_PLUGINS:
        if environ.get(plugin):
            return plugin
    parts = urlsplit(export.endpoint)
    if parts.scheme == "https" and not export.certificate:
        for bundle in _AUTHORITIES:
            if environ.get(bundle):
                return bundle
    for proxy in (f"{parts.scheme}_proxy", "all_proxy"):
        for name in (proxy, proxy.upper()):
            if environ.get(name) and not _bypassed(parts.hostname or "", environ):
                return name
    return ""


def _bypassed(host: str, environ: Mapping[str, str]) -> bool:
    # Whole hosts and domains only; what else it may say is left to the official exporter.
    spared = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").lower().split(",")
    names_ = [name.strip().lstrip(".") for name in spared]
    return "*" in names_ or any(
        host == name or host.endswith(f".{name}") for name in names_ if name
    )
