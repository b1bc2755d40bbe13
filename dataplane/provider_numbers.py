"""What provider metrics have counted, as a plain record: for another process to add up.

Not to be compiled: it travels in the plain form of `controlplane.table.plain`, which reads the
types of its fields, and compiled classes do not tell them in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """One provider's numbers, without its breakers' history, for another process to add up.

    first_event, duration: counts by bucket of a Histogram. rate: buckets of a Rate.
    """

    attempts: int
    served: int
    failed: int
    cancelled: int
    input_tokens: int
    output_tokens: int
    cost: float
    first_event: Sequence[int]
    duration: Sequence[int]
    rate: Sequence[Sequence[int]]
    errors: Mapping[str, int]
