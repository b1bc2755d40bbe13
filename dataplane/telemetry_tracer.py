"""What starts and ends spans: ids, the sampling decision, and where ended ones go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from dataplane.telemetry_attributes import Attributes
from dataplane.telemetry_records import RANDOM, SAMPLED, Kind, Shared, SpanContext, SpanRecord
from dataplane.telemetry_sampling import Sampler
from dataplane.telemetry_w3c import Inbound

_LOCAL = False
"""Of contexts: not from another process. Given by position, as these are made for each span."""

_new = tuple.__new__
"""Makes a context in a third of the time that its class takes, which unpacks and packs again."""

_CLIENT = Kind.CLIENT
_SERVER = Kind.SERVER


class Tracer(Protocol):
    """Makes the spans of requests; no call raises or waits."""

    def decide(self, inbound: Inbound) -> SpanContext | None:
        """Give a request's span its ids and flags; None if only starting it can tell them."""
        ...

    def start(
        self,
        name: str,
        decided: SpanContext | None,
        inbound: Inbound,
        *,
        first: Shared,
        start_ns: int,
        links: Sequence[SpanContext],
    ) -> SpanRecord:
        """Start the server span of a request that was not decided to be left out."""
        ...

    def child(
        self,
        name: str,
        parent: SpanRecord,
        *,
        first: Shared,
        attributes: Attributes,
        start_ns: int,
    ) -> SpanRecord:
        """Start the client span of an attempt."""
        ...

    def new_span_id(self) -> str:
        """Give 16 random hex digits, for an attempt that is passed on and not exported."""
        ...

    def end(self, record: SpanRecord) -> None:
        """Hand on a span whose end, status and attributes are set."""
        ...


class RecordTracer:
    """The tracer of our own: records, from here to the queue."""

    def __init__(
        self,
        sampler: Sampler,
        put: Callable[[SpanRecord], None],
        random_bits: Callable[[int], int],
    ) -> None:
        """Hand ended spans to `put`. random_bits: gives an int of so many random bits."""
        self._sampler = sampler
        self._random_bits = random_bits
        self.end = put

    def decide(self, inbound: Inbound) -> SpanContext:
        """Continue the caller's trace, or begin one; the sampler sets the flag."""
        parent = inbound.parent
        if parent is None:
            trace_id = (self._random_bits(128) or 1).to_bytes(16, "big").hex()
            flags = RANDOM | SAMPLED if self._sampler(None, trace_id) else RANDOM
            return _new(SpanContext, (trace_id, self.new_span_id(), flags, "", _LOCAL))
        trace_id = parent.trace_id
        flags = parent.flags & RANDOM
        if self._sampler(parent, trace_id):
            flags |= SAMPLED
        return _new(SpanContext, (trace_id, self.new_span_id(), flags, parent.state, _LOCAL))

    def start(
        self,
        name: str,
        decided: SpanContext | None,
        inbound: Inbound,
        *,
        first: Shared,
        start_ns: int,
        links: Sequence[SpanContext],
    ) -> SpanRecord:
        """Start a server span."""
        context = decided if decided is not None else self.decide(inbound)
        return SpanRecord(
            name,
            _SERVER,
            context,
            parent=inbound.parent,
            attributes={},
            start_ns=start_ns,
            first=first,
            links=links,
        )

    def child(
        self,
        name: str,
        parent: SpanRecord,
        *,
        first: Shared,
        attributes: Attributes,
        start_ns: int,
    ) -> SpanRecord:
        """Start a client span in the same trace, under the same decision."""
        above = parent.context
        trace_id, _, flags, state, _ = above
        context = _new(SpanContext, (trace_id, self.new_span_id(), flags, state, _LOCAL))
        return SpanRecord(
            name,
            _CLIENT,
            context,
            parent=above,
            attributes=attributes,
            start_ns=start_ns,
            first=first,
        )

    def new_span_id(self) -> str:
        """Give 16 random hex digits, not all zero."""
        return (self._random_bits(64) or 1).to_bytes(8, "big").hex()
