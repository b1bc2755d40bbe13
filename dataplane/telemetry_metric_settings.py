"""Which metrics go out and how, read from the OTEL_* variables; pure.

They go out over OTLP if OTEL_METRICS_EXPORTER says so. What Prometheus scrapes from the admin port
is there in any case, and costs nothing until it does.

Source: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Metric
Exporter".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dataplane.telemetry_settings import (
    ExportPlan,
    QueueLimits,
    SettingsError,
    first,
    otlp,
    positive,
    resource,
)

_INTERVAL_MS = 60_000
_DELTA: Mapping[str, bool] = {"cumulative": False, "delta": True, "lowmemory": True}
_EXEMPLARS: Mapping[str, bool] = {"trace_based": True, "always_on": True, "always_off": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPlan:
    """What the environment asks for.

    interval_s: seconds between two exports. delta: whether counters and histograms tell what has
    happened since the last export, instead of all since the start. exemplars: whether histograms
    name traces.
    """

    export: ExportPlan
    interval_s: float
    delta: bool
    exemplars: bool


def metrics_plan(environ: Mapping[str, str]) -> MetricsPlan | None:
    """Read it. None if no metrics are to be sent. Raises SettingsError."""
    if first(environ, "OTEL_SDK_DISABLED").lower() == "true":
        return None
    chosen = {word.strip() for word in first(environ, "OTEL_METRICS_EXPORTER").split(",")}
    unknown = chosen - {"", "none", "otlp", "prometheus"}
    if unknown:
        raise SettingsError(
            f'OTEL_METRICS_EXPORTER: "{min(unknown)}" is unknown; use otlp, prometheus or none'
        )
    if "otlp" not in chosen:
        return None
    warnings: list[str] = []
    export = otlp(environ, "METRICS", warnings)
    if export.protocol != "http/protobuf":
        raise SettingsError(
            f'OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: metrics cannot go over "{export.protocol}";'
            " use http/protobuf"
        )
    interval_ms = positive(environ, "OTEL_METRIC_EXPORT_INTERVAL", _INTERVAL_MS, warnings)
    temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    delta = _word(environ, temporality, _DELTA, "cumulative", warnings)
    exemplars = _word(environ, "OTEL_METRICS_EXEMPLAR_FILTER", _EXEMPLARS, "trace_based", warnings)
    return MetricsPlan(
        export=replace(
            export,
            # A reading that waits is replaced by the next.
            queue=QueueLimits(max_queue=1, batch=1, delay_s=interval_ms / 1000),
            resource=resource(environ, warnings),
            warnings=warnings,
        ),
        interval_s=interval_ms / 1000,
        delta=delta,
        exemplars=exemplars,
    )


def _word(
    environ: Mapping[str, str],
    name: str,
    words: Mapping[str, bool],
    default: str,
    warnings: list[str],
) -> bool:
    text = first(environ, name).lower() or default
    if text not in words:
        warnings.append(f'{name}: "{text}" is unknown, {default} used')
        text = default
    return words[text]
