"""What starts and ends spans: ids, the sampling decision, and where ended ones go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

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

_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_FIRST_TRACE: Final = "1".zfill(32)
_FIRST_SPAN: Final = "1".zfill(16)


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
        random_hex: Callable[[int], str],
    ) -> None:
        """Hand ended spans to `put`. random_hex: gives so many random hex digits."""
        self._sampler = sampler
        self._random_hex = random_hex
        self.end = put

    def decide(self, inbound: Inbound) -> SpanContext:
        """Continue the caller's trace, or begin one; the sampler sets the flag."""
        parent = inbound.parent
        if parent is None:
            trace_id = self._random_hex(32)
            if trace_id == _NO_TRACE:
                trace_id = _FIRST_TRACE
            flags = RANDOM | SAMPLED if self._sampler(None, trace_id) else RANDOM
            return SpanContext(trace_id, self.new_span_id(), flags, "", remote=False)
        trace_id = parent.trace_id
        flags = parent.flags & RANDOM
        if self._sampler(parent, trace_id):
            flags |= SAMPLED
        return SpanContext(trace_id, self.new_span_id(), flags, parent.state, remote=False)

    def new_span_id(self) -> str:
        """Give 16 random hex digits, not all zero."""
        span_id = self._random_hex(16)
        return span_id if span_id != _NO_SPAN else _FIRST_SPAN
