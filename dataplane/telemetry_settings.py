"""What to export and how, read from the OTEL_* variables and our own settings; pure.

The variables mean what they mean to OpenTelemetry's Python SDK. They are read here, from a
mapping that is passed in, because the SDK would read the process's own environment and answer a
mistake with a traceback in the log. A value that cannot be meant at all (an exporter, a protocol,
an endpoint, a propagator, a limit) stops the start; a number or a sampler that does not parse is
warned of and takes its default, as the specification asks.

Source: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry
Protocol Exporter", with the SDK's own reading of them in opentelemetry-python 1.45.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import unquote, urlsplit, urlunsplit

SERVICE_NAME = "switchgear"

_FORBIDDEN_HEADER_PARTS = ("authorization", "cookie", "key", "token", "secret", "password")
_SAMPLERS = frozenset(
    {
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    }
)
_LIMITS: Mapping[str, str] = {
    "max_attributes": "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "max_attribute_length": "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "max_span_attributes": "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "max_span_attribute_length": "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "max_events": "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "max_links": "OTEL_SPAN_LINK_COUNT_LIMIT",
    "max_event_attributes": "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "max_link_attributes": "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
}
_DEFAULT_ENDPOINTS: Mapping[str, str] = {
    "http/protobuf": "http://localhost:4318",
    "http/json": "http://localhost:4318",
    "grpc": "http://localhost:4317",
}


class SettingsError(ValueError):
    """A setting cannot be meant; the message names it, its value and what would do."""


class Inbound(StrEnum):
    """What becomes of the caller's trace context: parent, link of a new trace, or nothing."""

    CONTINUE = "continue"
    LINK = "link"
    IGNORE = "ignore"


class ExporterKind(StrEnum):
    """Where spans go; the value is that of OTEL_TRACES_EXPORTER."""

    OTLP = "otlp"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Our own settings, for what no OTEL_* variable exists.

    flush_s: seconds that the last spans get at shutdown.
    compat: also write the older name of the cache-write count, and `session.id` beside
        `gen_ai.conversation.id`; backends of 2026 read only these.
    openinference: add `openinference.span.kind` to spans, and nothing else of OpenInference.
    header_attributes: lower-case request header -> span attribute; values are cut to 128
        characters. Headers that may hold a secret are refused by `plan`.
    """

    inbound: Inbound = Inbound.CONTINUE
    flush_s: float = 3.0
    compat: bool = True
    openinference: bool = False
    header_attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Bounds of the queue of ended spans.

    Batches are small because encoding holds the interpreter lock: 64 spans push the loop back by
    a few milliseconds, the SDK's own 512 by 30.

    max_queue: spans that wait; above it the oldest is dropped. batch: spans an export.
    delay_s: the longest wait of a span before its export begins.
    """

    max_queue: int = 2048
    batch: int = 64
    delay_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """What the environment asks for.

    exporter: None if nothing is asked for; only a provider that is already global is used then.
    endpoint: the whole URL of the traces' endpoint. headers: as written, undecoded.
    timeout_s: of one export with its retries. certificate, client_key, client_certificate: file
    names, empty if unset. limits: by the arguments of the SDK's SpanLimits, -1 for no limit.
    resource: the attributes of OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME over ours.
    warnings: to be logged at start.
    """

    exporter: ExporterKind | None
    protocol: str = "http/protobuf"
    endpoint: str = ""
    headers: str = ""
    timeout_s: float = 10.0
    compression: str = "none"
    certificate: str = ""
    client_key: str = ""
    client_certificate: str = ""
    sampler: str = "parentbased_always_on"
    sampler_ratio: float = 1.0
    propagators: Sequence[str] = ("tracecontext", "baggage")
    queue: QueueLimits = QueueLimits()
    limits: Mapping[str, int] = field(default_factory=dict)
    resource: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    @property
    def shown_endpoint(self) -> str:
        """The endpoint without user, password, query: fit for logs and the status document."""
        parts = urlsplit(self.endpoint)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def plan(environ: Mapping[str, str], settings: TelemetrySettings) -> ExportPlan | None:
    """Read what is to be exported. None if traces are switched off by name.

    Traces are on if OTEL_TRACES_EXPORTER or an OTLP endpoint is set. Raises SettingsError.
    """
    _check(settings)
    if first(environ, "OTEL_SDK_DISABLED").lower() == "true":
        return None
    warnings = _general_warnings(environ)
    chosen = first(environ, "OTEL_TRACES_EXPORTER")
    endpoint = first(environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    base = first(environ, "OTEL_EXPORTER_OTLP_ENDPOINT")
    if chosen == "none":
        return None
    if not (chosen or endpoint or base):
        return ExportPlan(exporter=None, warnings=warnings)
    try:
        exporter = ExporterKind(chosen or ExporterKind.OTLP)
    except ValueError as error:
        raise SettingsError(
            f'OTEL_TRACES_EXPORTER: "{chosen}" is unknown; use otlp, console or none'
        ) from error
    return replace(
        otlp(environ, "TRACES", warnings, sends=exporter is ExporterKind.OTLP),
        exporter=exporter,
        sampler=_sampler(environ, warnings),
        sampler_ratio=_sampler_ratio(environ, warnings),
        propagators=_propagators(environ),
        queue=_queue(environ, warnings),
        limits=_limits(environ),
        resource=resource(environ, warnings),
        warnings=warnings,
    )


def otlp(
    environ: Mapping[str, str], signal: str, warnings: list[str], *, sends: bool = True
) -> ExportPlan:
    """Read how OTLP is sent for a signal, `TRACES` or `METRICS`. Raises SettingsError.

    sends: whether it is; without that there is no endpoint to be checked.
    """
    protocol = _protocol(environ, signal)
    endpoint = ""
    if sends:
        own = first(environ, f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        base = first(environ, "OTEL_EXPORTER_OTLP_ENDPOINT")
        endpoint = own or base or _DEFAULT_ENDPOINTS[protocol]
        warnings += _endpoint_warnings(endpoint, protocol)
        if not own and protocol != "grpc":
            endpoint = f"{endpoint.removesuffix('/')}/v1/{signal.lower()}"
    return ExportPlan(
        exporter=ExporterKind.OTLP,
        protocol=protocol,
        endpoint=endpoint,
        headers=_otlp(environ, signal, "HEADERS"),
        timeout_s=_timeout_s(environ, signal, warnings),
        compression=_compression(environ, signal, warnings),
        certificate=_otlp(environ, signal, "CERTIFICATE"),
        client_key=_otlp(environ, signal, "CLIENT_KEY"),
        client_certificate=_otlp(environ, signal, "CLIENT_CERTIFICATE"),
    )


def _check(settings: TelemetrySettings) -> None:
    if not (math.isfinite(settings.flush_s) and settings.flush_s >= 0):
        raise SettingsError(f"flushSeconds: {settings.flush_s} is not a number of seconds")
    for header, attribute in settings.header_attributes.items():
        for part in _FORBIDDEN_HEADER_PARTS:
            if part in header.lower():
                raise SettingsError(
                    f'headerAttributes: "{header}" may hold a secret ("{part}"), it cannot be'
                    " exported"
                )
        if not attribute:
            raise SettingsError(f'headerAttributes: "{header}" has no attribute name')


def _general_warnings(environ: Mapping[str, str]) -> list[str]:
    warnings = []
    if first(environ, "OTEL_CONFIG_FILE"):
        warnings.append("OTEL_CONFIG_FILE is ignored: use the other OTEL_* variables")
    capture = first(environ, "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")
    if capture and capture.upper() not in {"NO_CONTENT", "FALSE"}:
        warnings.append(
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is ignored: this version never"
            " exports content"
        )
    return warnings


def _protocol(environ: Mapping[str, str], signal: str) -> str:
    protocol = _otlp(environ, signal, "PROTOCOL") or "http/protobuf"
    if protocol not in _DEFAULT_ENDPOINTS:
        raise SettingsError(
            f'OTEL_EXPORTER_OTLP_PROTOCOL: "{protocol}" is unknown; use http/protobuf,'
            " http/json or grpc"
        )
    return protocol


def _endpoint_warnings(endpoint: str, protocol: str) -> list[str]:
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"OTEL_EXPORTER_OTLP_ENDPOINT: not a URL: {error}") from error
    if protocol == "grpc":
        at_http_port = port == 4318 or endpoint.endswith(":4318")
        return ["port 4318 is usually OTLP over HTTP, but gRPC is chosen"] if at_http_port else []
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL like http://collector:4318, with its scheme"
        )
    if port == 4317:
        return ["port 4317 is usually OTLP over gRPC, but HTTP is chosen: 4318 may be meant"]
    return []


def _timeout_s(environ: Mapping[str, str], signal: str, warnings: list[str]) -> float:
    text = _otlp(environ, signal, "TIMEOUT")
    if not text:
        return 10.0
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = math.nan
    if not (math.isfinite(timeout_s) and timeout_s > 0):
        warnings.append(f'OTEL_EXPORTER_OTLP_TIMEOUT: "{text}" is not a number of seconds, 10 used')
        return 10.0
    return timeout_s


def _compression(environ: Mapping[str, str], signal: str, warnings: list[str]) -> str:
    text = _otlp(environ, signal, "COMPRESSION").lower() or "none"
    if text not in {"none", "gzip", "deflate"}:
        warnings.append(f'OTEL_EXPORTER_OTLP_COMPRESSION: "{text}" is unknown, none used')
        return "none"
    return text


def _sampler(environ: Mapping[str, str], warnings: list[str]) -> str:
    text = first(environ, "OTEL_TRACES_SAMPLER").lower() or "parentbased_always_on"
    if text not in _SAMPLERS:
        warnings.append(f'OTEL_TRACES_SAMPLER: "{text}" is unknown, parentbased_always_on used')
        return "parentbased_always_on"
    return text


def _sampler_ratio(environ: Mapping[str, str], warnings: list[str]) -> float:
    if not _sampler(environ, []).endswith("traceidratio"):
        return 1.0
    text = first(environ, "OTEL_TRACES_SAMPLER_ARG")
    try:
        ratio = float(text)
    except ValueError:
        ratio = math.nan
    if not 0.0 <= ratio <= 1.0:
        warnings.append(f'OTEL_TRACES_SAMPLER_ARG: "{text}" is not within 0 and 1, 1 used')
        return 1.0
    return ratio


def _propagators(environ: Mapping[str, str]) -> Sequence[str]:
    text = first(environ, "OTEL_PROPAGATORS") or "tracecontext,baggage"
    chosen = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    return () if "none" in {name.lower() for name in chosen} else chosen


def _queue(environ: Mapping[str, str], warnings: list[str]) -> QueueLimits:
    default = QueueLimits()
    max_queue = positive(environ, "OTEL_BSP_MAX_QUEUE_SIZE", default.max_queue, warnings)
    batch = positive(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default.batch, warnings)
    delay_ms = positive(environ, "OTEL_BSP_SCHEDULE_DELAY", int(default.delay_s * 1000), warnings)
    return QueueLimits(max_queue=max_queue, batch=min(batch, max_queue), delay_s=delay_ms / 1000)


def positive(environ: Mapping[str, str], name: str, default: int, warnings: list[str]) -> int:
    """Read a positive number; anything else is warned of, and the default taken."""
    text = first(environ, name)
    if not text:
        return default
    # No more than 9 digits: enough for any queue, and int() of a longer one may raise.
    if text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0:
        return int(text)
    warnings.append(f'{name}: "{text}" is not a positive number, {default} used')
    return default


def _limits(environ: Mapping[str, str]) -> Mapping[str, int]:
    limits = {}
    for argument, name in _LIMITS.items():
        if name not in environ:
            continue
        text = environ[name].strip()
        if text and not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise SettingsError(f'{name}: "{text}" is not a non-negative number')
        limits[argument] = int(text) if text else -1
    return limits


def resource(environ: Mapping[str, str], warnings: list[str]) -> Mapping[str, str]:
    """Read what describes this process."""
    attributes = {"service.name": SERVICE_NAME}
    for item in first(environ, "OTEL_RESOURCE_ATTRIBUTES").split(","):
        if not item.strip():
            continue
        key, equals, value = item.partition("=")
        if not (equals and key.strip()):
            warnings.append(f'OTEL_RESOURCE_ATTRIBUTES: "{item.strip()}" is not key=value')
            continue
        attributes[key.strip()] = unquote(value.strip())
    service_name = first(environ, "OTEL_SERVICE_NAME")
    if service_name:
        attributes["service.name"] = service_name
    return attributes


def _otlp(environ: Mapping[str, str], signal: str, what: str) -> str:
    return first(environ, f"OTEL_EXPORTER_OTLP_{signal}_{what}", f"OTEL_EXPORTER_OTLP_{what}")


def first(environ: Mapping[str, str], *variables: str) -> str:
    """Give the first of some variables that is not empty, stripped; else an empty text."""
    for variable in variables:
        text = environ.get(variable, "").strip()
        if text:
            return text
    return ""
