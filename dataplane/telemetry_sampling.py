"""Which traces are exported: the six samplers of OTEL_TRACES_SAMPLER; pure.

They decide as the SDK's samplers of the same names do, which a test holds. Our attempts always
follow the decision of their request: with each of the six the SDK decides the same for a child
of the same trace.

Source: OpenTelemetry specification, "Tracing SDK", section "Built-in samplers".
"""

from __future__ import annotations

from collections.abc import Callable

from dataplane.telemetry_records import SpanContext

Sampler = Callable[[SpanContext | None, str], bool]
"""Decide whether a new trace span is exported, given its parent and its trace's id."""

_PARENT_BASED = "parentbased_"


def sampler(name: str, ratio: float) -> Sampler:
    """Give the sampler of a name; `ratio` in [0, 1] only counts for those by the trace's id."""
    if name.startswith(_PARENT_BASED):
        return _parent_based(_root(name.removeprefix(_PARENT_BASED), ratio))
    return _root(name, ratio)


def _root(name: str, ratio: float) -> Sampler:
    match name:
        case "always_on":
            return _always_on
        case "always_off":
            return _always_off
        case "traceidratio":
            return _by_trace_id(ratio)
    raise ValueError(f'sampler "{name}" is unknown')


def _always_on(_parent: SpanContext | None, _trace_id: str) -> bool:
    return True


def _always_off(_parent: SpanContext | None, _trace_id: str) -> bool:
    return False


def _by_trace_id(ratio: float) -> Sampler:
    # The lower half of the id counts, for systems whose ids have 64 bits.
    bound = round(ratio * 2**64)

    def decide(_parent: SpanContext | None, trace_id: str) -> bool:
        return int(trace_id[16:], 16) < bound

    return decide


def _parent_based(root: Sampler) -> Sampler:
    def decide(parent: SpanContext | None, trace_id: str) -> bool:
        return root(None, trace_id) if parent is None else parent.sampled

    return decide
