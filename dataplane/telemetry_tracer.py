"""What starts and ends spans: ids, the sampling decision, and where ended ones go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from dataplane.telemetry_records import (
    RANDOM,
    SAMPLED,
    Recorded,
    Shared,
    SpanContext,
    SpanRecord,
)
from dataplane.telemetry_sampling import Sampler
from dataplane.telemetry_w3c import Inbound


class Followed(Protocol):
    """A span that a stranger's provider keeps."""

    @property
    def context(self) -> SpanContext:
        """What identifies it."""
        ...


class Follower(Protocol):
    """Has a stranger's provider make a span of each of ours; no call raises or waits."""

    def start(
        self,
        name: str,
        inbound: Inbound,
        *,
        first: Shared,
        start_ns: int,
        links: Sequence[SpanContext],
    ) -> Followed:
        """Start the server span of a request; the provider's sampler decides what becomes of it."""
        ...

    def child(self, above: Followed, start: SpanRecord) -> Followed:
        """Start the client span of an attempt, of which the context is not known yet."""
        ...

    def new_span_id(self) -> str:
        """Give an id for an attempt without a span; it is not valid, as each has one."""
        ...

    def end(self, followed: Followed, record: SpanRecord) -> None:
        """End a span as ours has ended."""
        ...


class RecordTracer:
    """The tracer of our own: from ids to the queue of ended spans."""

    def __init__(
        self,
        sampler: Sampler,
        put: Callable[[Recorded[SpanRecord]], None],
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
            return SpanContext(trace_id, self.new_span_id(), flags, "", remote=False)
        trace_id = parent.trace_id
        flags = parent.flags & RANDOM
        if self._sampler(parent, trace_id):
            flags |= SAMPLED
        return SpanContext(trace_id, self.new_span_id(), flags, parent.state, remote=False)

    def new_span_id(self) -> str:
        """Give 16 random hex digits, not all zero."""
        return (self._random_bits(64) or 1).to_bytes(8, "big").hex()
