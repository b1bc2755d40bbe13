"""Writes plain chats in OpenAI's format, for those upstream models that take them as they are.

What comes out says the same as what `dataplane.wire.openai_request` writes, in fewer steps. Where a
rule would change anything but a name or the usage of a stream, the usual writer does it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

from msgspec import UNSET, UnsetType

from dataplane.codec import encode
from dataplane.plain import PlainChat, PlainStreamOptions
from dataplane.record import replace
from dataplane.wire.openai_rules import Rules

_OPTIONS: Final = (
    "temperature",
    "top_p",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "user",
)
_WITH_USAGE: Final = PlainStreamOptions(include_usage=True)


class PlainWriter:
    """Writes plain chats within the rules of one upstream model."""

    __slots__ = ("_distinct", "_refused", "_rules")

    def __init__(self, rules: Rules) -> None:
        """Work out once what the rules leave as it is."""
        self._rules = rules
        passes = rules.passes if "" in rules.reasons_at else rules.passes | rules.quiet_passes
        named = frozenset(rules.renamed)
        self._refused = tuple(name for name in _OPTIONS if name not in passes or name in named)
        self._distinct = rules.alternates or rules.merges_assistants

    def write(self, plain: PlainChat, model: str) -> bytes | None:
        """Write the body for the upstream's `model`; None if it takes the usual writer."""
        for name in self._refused:
            if getattr(plain, name) is not UNSET:
                return None
        if not self._within(plain):
            return None
        rules = self._rules
        stream: Literal[True] | UnsetType = True if plain.stream is True else UNSET
        options = _WITH_USAGE if stream is True and rules.stream_usage else UNSET
        limit = (
            plain.max_tokens
            if plain.max_completion_tokens is UNSET
            else plain.max_completion_tokens
        )
        if limit is UNSET or not rules.max_tokens:
            return encode(replace(plain, model=model, stream=stream, stream_options=options))
        newer = rules.max_tokens == "max_completion_tokens"
        return encode(
            replace(
                plain,
                model=model,
                stream=stream,
                stream_options=options,
                max_completion_tokens=limit if newer else UNSET,
                max_tokens=UNSET if newer else limit,
            )
        )

    def _within(self, plain: PlainChat) -> bool:
        """Tell whether all values are within the upstream's ranges."""
        rules = self._rules
        most = rules.max_output_tokens
        if most is not None:
            for limit in (plain.max_tokens, plain.max_completion_tokens):
                if limit is not UNSET and limit > most:
                    return False
        if plain.temperature is not UNSET and plain.temperature > rules.max_temperature:
            return False
        if plain.top_p == 0 and rules.top_p_above_zero:
            return False
        most = rules.max_stops
        if plain.stop is not UNSET and most is not None and len(plain.stop) > most:
            return False
        return not self._distinct or all(
            before.role != after.role for before, after in pairwise(plain.messages)
        )
