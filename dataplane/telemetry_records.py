"""Spans as they are kept on the request path: plain records, encoded after they have ended.

A record costs a microsecond where the SDK's span costs ten. What the SDK does at once (limits,
checks of types, copies) is done by whoever exports the record, in a thread of its own. The
attributes put in are those of `telemetry_attributes`, which hold only what can be encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, Protocol, TypeVar

from dataplane.telemetry_attributes import Attribute, Attributes

Told_co = TypeVar("Told_co", covariant=True)
Taken_contra = TypeVar("Taken_contra", contravariant=True)

SAMPLED: Final = 0x01
"""The flag of a trace that is exported."""

RANDOM: Final = 0x02
"""The flag of a trace whose id is random; W3C Trace Context, level 2."""


class Kind(IntEnum):
    """The kind of a span; the value is OTLP's."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


class SpanContext:
    """What identifies a span to others.

    trace_id: 32 lower-case hex digits, not all zero. span_id: 16 of them. flags: of W3C Trace
    Context. state: a `tracestate` header in its normal form, empty for none. remote: whether it
    came in from another process.
    """

    __slots__ = ("flags", "remote", "span_id", "state", "trace_id")

    def __init__(
        self, trace_id: str, span_id: str, flags: int, state: str, *, remote: bool
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.state = state
        self.remote = remote

    def __eq__(self, other: object) -> bool:
        """Whether all of it is the same."""
        return isinstance(other, SpanContext) and self._all() == other._all()

    def __hash__(self) -> int:
        """Hash all of it."""
        return hash(self._all())

    def __repr__(self) -> str:
        """Show all of it."""
        return f"SpanContext{self._all()}"

    def child(self, span_id: str) -> SpanContext:
        """Give the context of a span of ours in the same trace."""
        return SpanContext(self.trace_id, span_id, self.flags, self.state, remote=False)

    def _all(self) -> tuple[str, str, int, str, bool]:
        return self.trace_id, self.span_id, self.flags, self.state, self.remote

    @property
    def sampled(self) -> bool:
        """Whether the trace is exported."""
        return self.flags & SAMPLED != 0


class SpanEvent(NamedTuple):
    """Something that happened during a span. at_ns: wall-clock nanoseconds."""

    name: str
    at_ns: int
    attributes: Attributes


class Dropped(NamedTuple):
    """How much a span lost to limits."""

    attributes: int = 0
    events: int = 0
    links: int = 0
    event_attributes: Sequence[int] = ()
    """By event; empty if none lost any."""


NOTHING_DROPPED: Final = Dropped()


class Shared:
    """Attributes that many spans have in common, put together once; never changed.

    Most of what a span says is the same for each request of a route and each call of a target, so
    it is looked up instead of being put together, and its encoding is kept here, too.

    protobuf: kept by the encoder of that format, empty until it has been asked for.
    """

    __slots__ = ("attributes", "protobuf")

    def __init__(self, attributes: Mapping[str, Attribute]) -> None:
        """Share these attributes, which become its own."""
        self.attributes = attributes
        self.protobuf = b""


NOTHING_SHARED: Final = Shared({})


class SpanRecord:
    """One span as it is exported.

    first, last: what it has in common with others, set before and after its own attributes.
    attributes: its own. None of the three has a name of another.
    parent: None for a root. links: contexts of other spans, without attributes.
    start_ns, end_ns: wall-clock nanoseconds. failed: whether its status is ERROR, it is UNSET
    otherwise and never OK. description: of a failure, empty for none.
    dropped: what limits took away; only set on the bounded copy that is encoded.
    """

    __slots__ = (
        "attributes",
        "context",
        "description",
        "dropped",
        "end_ns",
        "events",
        "failed",
        "first",
        "kind",
        "last",
        "links",
        "name",
        "parent",
        "start_ns",
    )

    def __init__(
        self,
        name: str,
        kind: Kind,
        context: SpanContext,
        *,
        parent: SpanContext | None,
        attributes: Attributes,
        start_ns: int,
        first: Shared = NOTHING_SHARED,
        links: Sequence[SpanContext] = (),
    ) -> None:
        """Start a span. `attributes` becomes the record's own."""
        self.first = first
        self.last = NOTHING_SHARED
        self.name = name
        self.kind = kind
        self.context = context
        self.parent = parent
        self.attributes = attributes
        self.start_ns = start_ns
        self.links = links
        self.end_ns = start_ns
        self.events: Sequence[SpanEvent] = ()
        self.failed = False
        self.description = ""
        self.dropped = NOTHING_DROPPED

    def all_attributes(self) -> Attributes:
        """Give every attribute, in the order in which they were set."""
        return {**self.first.attributes, **self.attributes, **self.last.attributes}


class Recorded(Protocol[Told_co]):
    """Something that waits for its export: a span that has ended, or a reading of metrics."""

    def record(self) -> Told_co:
        """Put together what is exported of it. Called once, maybe by another thread."""
        ...


class Exporter(Protocol[Taken_contra]):
    """Sends what was recorded somewhere; used by one thread at a time."""

    def export(self, batch: Sequence[Taken_contra]) -> bool:
        """Send a batch; whether it arrived. May block for as long as its settings allow."""
        ...

    def shutdown(self) -> None:
        """Stop, and cut short an export under way. Called from another thread, once."""
        ...
