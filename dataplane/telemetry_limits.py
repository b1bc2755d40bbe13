"""The limits of OTEL_SPAN_*_LIMIT and OTEL_ATTRIBUTE_*_LIMIT, applied to ended spans; pure.

They mean what they mean to the SDK: of too many the latest are kept, a text that is too long is
cut, and what was lost is counted. Ours are rarely beyond any limit, so the common case is a few
comparisons.

Source: OpenTelemetry specification, "Attribute Limits" and "Span Limits"; the SDK's SpanLimits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dataplane.telemetry_attributes import Attribute, Attributes
from dataplane.telemetry_records import Dropped, SpanEvent, SpanRecord

_DEFAULT_COUNT = 128

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanBounds:
    """How many of each, and how many characters of a text; None for no limit.

    max_attribute_length counts for events, max_span_attribute_length for spans.
    """

    max_span_attributes: int | None = _DEFAULT_COUNT
    max_events: int | None = _DEFAULT_COUNT
    max_links: int | None = _DEFAULT_COUNT
    max_event_attributes: int | None = _DEFAULT_COUNT
    max_attribute_length: int | None = None
    max_span_attribute_length: int | None = None


def bounds(chosen: Mapping[str, int]) -> SpanBounds:
    """Resolve limits given by the SDK's names of them, -1 for none.

    A limit of its own beats the general one; a general one that is switched off leaves the
    default of the count.
    """

    def one(name: str, default: int | None) -> int | None:
        value = chosen.get(name)
        if value is None:
            return default
        return None if value == -1 else value

    general = one("max_attributes", None)
    count = _DEFAULT_COUNT if general is None else general
    length = one("max_attribute_length", None)
    return SpanBounds(
        max_span_attributes=one("max_span_attributes", count),
        max_events=one("max_events", _DEFAULT_COUNT),
        max_links=one("max_links", _DEFAULT_COUNT),
        max_event_attributes=one("max_event_attributes", count),
        max_attribute_length=length,
        max_span_attribute_length=one("max_span_attribute_length", length),
    )


def bounded(record: SpanRecord, limits: SpanBounds) -> SpanRecord:
    """Give the record as it is exported: itself if it is within all limits, else a cut copy."""
    if _fits(record, limits):
        return record
    attributes, attributes_lost = _attributes(
        record.all_attributes(), limits.max_span_attributes, limits.max_span_attribute_length
    )
    events, events_lost = _latest(record.events, limits.max_events)
    links, links_lost = _latest(record.links, limits.max_links)
    cut_events = [
        (
            event,
            *_attributes(
                event.attributes, limits.max_event_attributes, limits.max_attribute_length
            ),
        )
        for event in events
    ]
    cut = SpanRecord(
        record.name,
        record.kind,
        record.context,
        parent=record.parent,
        attributes=attributes,
        start_ns=record.start_ns,
        links=links,
    )
    cut.end_ns = record.end_ns
    cut.failed = record.failed
    cut.description = record.description
    cut.events = tuple(SpanEvent(event.name, event.at_ns, kept) for event, kept, _ in cut_events)
    cut.dropped = Dropped(
        attributes_lost, events_lost, links_lost, tuple(lost for _, _, lost in cut_events)
    )
    return cut


def _fits(record: SpanRecord, limits: SpanBounds) -> bool:
    return (
        limits.max_span_attribute_length is None
        and _within(_count(record), limits.max_span_attributes)
        and _within(len(record.links), limits.max_links)
        and (not record.events or _events_fit(record.events, limits))
    )


def _count(record: SpanRecord) -> int:
    shared = len(record.first.attributes) + len(record.last.attributes)
    return shared + len(record.attributes)


def _events_fit(events: Sequence[SpanEvent], limits: SpanBounds) -> bool:
    return (
        limits.max_attribute_length is None
        and _within(len(events), limits.max_events)
        and all(_within(len(event.attributes), limits.max_event_attributes) for event in events)
    )


def _within(count: int, limit: int | None) -> bool:
    return limit is None or count <= limit


def _latest(items: Sequence[Item], limit: int | None) -> tuple[Sequence[Item], int]:
    if limit is None or len(items) <= limit:
        return items, 0
    lost = len(items) - limit
    return items[lost:], lost


def _attributes(
    attributes: Attributes, limit: int | None, length: int | None
) -> tuple[Attributes, int]:
    kept, lost = _latest(tuple(attributes.items()), limit)
    return {name: _cut(value, length) for name, value in kept}, lost


def _cut(value: Attribute, length: int | None) -> Attribute:
    if length is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:length]
    return tuple(item[:length] for item in value)
