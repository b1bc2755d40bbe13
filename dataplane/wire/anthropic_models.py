"""What Claude models can do and refuse, by the family in their names.

The same request succeeds on one generation and is a 400 on the next, so writing one starts here.
Names may carry dates, places and packaging, as Bedrock's do (`us.anthropic.claude-...-v1:0`).

Unknown models of the Claude line get the strictest rules that are known: nothing is sent that any
generation refuses. Names that are no Claude's belong to other servers of this format, which never
took anything away.

Source: Anthropic's model pages and the flags of LiteLLM 1.109.1's model map, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

from dataplane.wire.side_data import family


class Thinking(StrEnum):
    """How a model is told to think: not at all, within a budget, or by effort."""

    NONE = "none"
    BUDGET = "budget"
    ADAPTIVE = "adaptive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What one model takes.

    context_window, max_output_tokens: tokens; None where they are not known.
    sampling: takes temperature, top_p and top_k. sampling_together: the first two at once.
    forced_tool: takes a tool_choice that forces a call (never together with thinking).
    prefill: goes on from a last assistant turn.
    efforts: levels of effort, from the least; for adaptive thinking only.
    always_thinks: thinking cannot be disabled.
    system_anywhere: takes system messages in the middle of a conversation.
    structured: takes JSON schemas for answers, and strict tools.
    """

    context_window: int | None
    max_output_tokens: int | None
    sampling: bool = True
    sampling_together: bool = False
    forced_tool: bool = True
    prefill: bool = False
    thinking: Thinking = Thinking.ADAPTIVE
    efforts: tuple[str, ...] = ("low", "medium", "high", "xhigh", "max")
    always_thinks: bool = False
    system_anywhere: bool = False
    structured: bool = True


_ANTIQUE: Final = Abilities(
    context_window=200_000,
    max_output_tokens=4_096,
    sampling_together=True,
    prefill=True,
    thinking=Thinking.NONE,
    structured=False,
)
_CLAUDE_4: Final = replace(_ANTIQUE, max_output_tokens=64_000, thinking=Thinking.BUDGET)
_CLAUDE_4_5: Final = replace(_CLAUDE_4, sampling_together=False, structured=True)
_CLAUDE_4_6: Final = Abilities(
    context_window=1_000_000,
    max_output_tokens=128_000,
    efforts=("low", "medium", "high", "max"),
)
_CLAUDE_4_7: Final = replace(
    _CLAUDE_4_6, sampling=False, efforts=("low", "medium", "high", "xhigh", "max")
)
_CLAUDE_5: Final = replace(_CLAUDE_4_7, system_anywhere=True)
_ALWAYS: Final = replace(_CLAUDE_5, always_thinks=True)
_UNFORCED: Final = replace(_ALWAYS, forced_tool=False)

# Keyed by the name of the line and the version.
_KNOWN: Final[Mapping[tuple[str, int, int], Abilities]] = {
    ("opus", 4, 0): replace(_CLAUDE_4, max_output_tokens=32_000),
    ("sonnet", 4, 0): _CLAUDE_4,
    ("opus", 4, 1): replace(_CLAUDE_4_5, max_output_tokens=32_000),
    ("haiku", 4, 5): _CLAUDE_4_5,
    ("sonnet", 4, 5): _CLAUDE_4_5,
    ("opus", 4, 5): _CLAUDE_4_5,
    ("sonnet", 4, 6): _CLAUDE_4_6,
    ("opus", 4, 6): _CLAUDE_4_6,
    ("opus", 4, 7): _CLAUDE_4_7,
    ("opus", 4, 8): _CLAUDE_5,
    ("sonnet", 5, 0): _CLAUDE_5,
    ("opus", 5, 0): _CLAUDE_5,
    ("fable", 5, 0): _ALWAYS,
    ("mythos", 5, 0): _ALWAYS,
    ("sonnet", 5, 5): _UNFORCED,
    ("opus", 5, 5): _UNFORCED,
    ("fable", 5, 1): _UNFORCED,
    ("mythos", 5, 1): _UNFORCED,
    # Which levels of effort it has is not known.
    ("haiku", 5, 5): replace(_CLAUDE_5, efforts=("low", "medium", "high")),
}
_MYTHOS_PREVIEW: Final = replace(_ALWAYS, system_anywhere=False)
_UNKNOWN: Final = replace(_UNFORCED, efforts=("low", "medium", "high"), system_anywhere=False)
_FOREIGN: Final = replace(
    _ANTIQUE, context_window=None, max_output_tokens=None, thinking=Thinking.BUDGET
)

# `claude-sonnet-4-5`, and `claude-3-5-sonnet` as it was before; a date is no minor version.
_NAME: Final = re.compile(
    r"claude-(?:(?P<line>[a-z]+)-)?(?P<major>\d{1,2})(?!\d)(?:[-.](?P<minor>\d{1,2})(?!\d))?"
    r"(?:-(?P<old_line>[a-z]+))?"
)


@lru_cache(maxsize=256)
def abilities(model: str) -> Abilities:
    """Tell what a model takes; see the module for names that are not known."""
    name = family(model)
    if "claude" not in name:
        return _FOREIGN
    if "mythos-preview" in name:
        return _MYTHOS_PREVIEW
    found = _NAME.search(name)
    if found is None:
        return _UNKNOWN
    line = found["line"] or found["old_line"] or ""
    version = int(found["major"]), int(found["minor"] or 0)
    if version < (4, 0):
        return _older(version)
    return _KNOWN.get((line, *version), _UNKNOWN)


def _older(version: tuple[int, int]) -> Abilities:
    if version == (3, 7):
        return _CLAUDE_4
    return replace(_ANTIQUE, max_output_tokens=8_192) if version == (3, 5) else _ANTIQUE
