"""Metrics as Prometheus reads them; pure.

Names and units are changed as OpenTelemetry's exporter for Prometheus changes them, but for
`_ratio` of unit 1, as ours of that unit are states and numbers. Exemplars are left out: the text
format has no place for them.

Source: Prometheus, "Exposition formats", text format 0.0.4; OpenTelemetry specification,
"Prometheus and OpenMetrics Compatibility"; read 2026-11-25.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from dataplane.metric_points import Instrument, Kind, Labels, Metric, Spread

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NO_NAME = re.compile(r"[^a-zA-Z0-9_]")
_TYPES: Mapping[Kind, str] = {
    Kind.HISTOGRAM: "histogram",
    Kind.COUNTER: "counter",
    Kind.UP_DOWN: "gauge",
    Kind.GAUGE: "gauge",
}
_UNITS: Mapping[str, str] = {"s": "_seconds"}


def exposition(metrics: Iterable[Metric]) -> bytes:
    """Give the body of a scrape. Instruments without a series are left out."""
    return "".join(line for metric in metrics if metric.points for line in _lines(metric)).encode(
        "utf-8", "replace"
    )


def name_of(instrument: Instrument) -> str:
    """Give the name by which Prometheus knows an instrument."""
    total = "_total" if instrument.kind is Kind.COUNTER else ""
    return f"{_plain(instrument.name)}{_UNITS.get(instrument.unit, '')}{total}"


def _lines(metric: Metric) -> Iterator[str]:
    instrument = metric.instrument
    name = name_of(instrument)
    yield f"# HELP {name} {_escaped(instrument.description)}\n"
    yield f"# TYPE {name} {_TYPES[instrument.kind]}\n"
    for labels, value in metric.points:
        if not isinstance(value, Spread):
            yield f"{name}{_braces(labels)} {_number(value)}\n"
            continue
        below = 0
        for bound, count in zip((*instrument.bounds, None), value.counts, strict=True):
            below += count
            limit = "+Inf" if bound is None else _number(bound)
            yield f"{name}_bucket{_braces({**labels, 'le': limit})} {below}\n"
        yield f"{name}_sum{_braces(labels)} {_number(value.total)}\n"
        yield f"{name}_count{_braces(labels)} {below}\n"


def _braces(labels: Labels) -> str:
    inner = ",".join(
        f'{_plain(name)}="{_escaped(str(value)).replace(chr(34), chr(92) + chr(34))}"'
        for name, value in labels.items()
    )
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _plain(name: str) -> str:
    return _NO_NAME.sub("_", name)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
