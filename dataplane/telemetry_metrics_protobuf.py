"""Readings of metrics as OTLP in protobuf's wire format; pure. See `telemetry_protobuf`.

Source: opentelemetry-proto 1.9, metrics.proto and metrics_service.proto; read 2026-11-25.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import assert_never

from dataplane.metric_points import (
    Exemplar,
    Instrument,
    Kind,
    Labels,
    Metric,
    Point,
    Reading,
    Spread,
)
from dataplane.telemetry_fields import field, pair, text

CONTENT_TYPE = "application/x-protobuf"

_DELTA = 1
_CUMULATIVE = 2
_MONOTONIC = b"\x18\x01"

_SPAN = struct.Struct("<BQBQ").pack
_DOUBLE = struct.Struct("<Bd").pack
_FIXED = struct.Struct("<Bq").pack
_TIME_AND_DOUBLE = struct.Struct("<BQBd").pack


class MetricsEncoder:
    """Encodes readings of one resource and one scope. delta: what readings hold; see Difference.

    offset_ns: wall-clock nanoseconds at monotonic 0, for exemplars.
    """

    content_type = CONTENT_TYPE

    def __init__(
        self,
        resource: Mapping[str, str],
        scope: str,
        version: str,
        *,
        delta: bool,
        offset_ns: int,
    ) -> None:
        """Encode what is the same in each reading."""
        attributes = b"".join(field(b"\x0a", pair(key, value)) for key, value in resource.items())
        self._resource = field(b"\x0a", attributes)
        self._scope = field(b"\x0a", text(b"\x0a", scope) + text(b"\x12", version))
        self._temporality = _DELTA if delta else _CUMULATIVE
        self._offset_ns = offset_ns

    def encode(self, reading: Reading) -> bytes:
        """Give an ExportMetricsServiceRequest. Instruments without a series are left out."""
        metrics = [
            field(b"\x12", self._metric(metric, reading))
            for metric in reading.metrics
            if metric.points
        ]
        scoped = field(b"\x12", self._scope + b"".join(metrics))
        return field(b"\x0a", self._resource + scoped)

    def _metric(self, metric: Metric, reading: Reading) -> bytes:
        instrument = metric.instrument
        points = b"".join(
            field(b"\x0a", self._point(instrument, point, reading)) for point in metric.points
        )
        match instrument.kind:
            case Kind.HISTOGRAM:
                measured = field(b"\x4a", points + bytes((0x10, self._temporality)))
            case Kind.COUNTER:
                temporality = bytes((0x10, self._temporality))
                measured = field(b"\x3a", points + temporality + _MONOTONIC)
            case Kind.UP_DOWN:
                # The sum of all that was added, which a difference would not tell.
                measured = field(b"\x3a", points + bytes((0x10, _CUMULATIVE)))
            case Kind.GAUGE:
                measured = field(b"\x2a", points)
            case _:
                assert_never(instrument.kind)
        named = text(b"\x0a", instrument.name) + text(b"\x12", instrument.description)
        return named + text(b"\x1a", instrument.unit) + measured

    def _point(self, instrument: Instrument, point: Point, reading: Reading) -> bytes:
        since_ns = 0 if instrument.kind is Kind.GAUGE else reading.since_ns
        times = _SPAN(0x11, since_ns, 0x19, reading.at_ns)
        value = point.value
        if isinstance(value, Spread):
            return _labels(b"\x4a", point.labels) + times + self._spread(instrument, value)
        number = _FIXED(0x31, value) if isinstance(value, int) else _DOUBLE(0x21, value)
        return _labels(b"\x3a", point.labels) + times + number

    def _spread(self, instrument: Instrument, spread: Spread) -> bytes:
        counts, bounds = spread.counts, instrument.bounds
        exemplars = [field(b"\x42", self._exemplar(exemplar)) for exemplar in spread.exemplars]
        return (
            _FIXED(0x21, sum(counts))
            + _DOUBLE(0x29, spread.total)
            + field(b"\x32", struct.pack(f"<{len(counts)}Q", *counts))
            + field(b"\x3a", struct.pack(f"<{len(bounds)}d", *bounds))
            + b"".join(exemplars)
        )

    def _exemplar(self, exemplar: Exemplar) -> bytes:
        at_ns = self._offset_ns + round(exemplar.at_s * 1e9)
        ids = bytes.fromhex(f"2208{exemplar.span_id}2a10{exemplar.trace_id}")
        return _TIME_AND_DOUBLE(0x11, at_ns, 0x19, exemplar.value) + ids


def _labels(tag: bytes, labels: Labels) -> bytes:
    return b"".join(field(tag, pair(name, value)) for name, value in labels.items())
