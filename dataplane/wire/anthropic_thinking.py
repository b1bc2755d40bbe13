"""Says `reasoning_effort` in Claude's words: levels of effort, or a budget of tokens.

Source: Anthropic's pages on extended and adaptive thinking; the budgets are those that LiteLLM
1.109.1 sends; read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from dataplane.errors import RequestRejected
from dataplane.wire.anthropic_models import Abilities, Thinking

MIN_BUDGET: Final = 1024
"""Tokens of the least budget that is taken."""

_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": MIN_BUDGET,
    "low": MIN_BUDGET,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16384,
}
_LEVELS: Final[Mapping[str, str]] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thoughts:
    """How a request asks to think.

    thinking: the object of that name, None to leave it out. effort: the level, empty for none.
    on: whether the model thinks in this request.
    max_tokens: the limit, which covers a budget too.
    warnings: what was changed.
    """

    thinking: Mapping[str, Any] | None = None
    effort: str = ""
    on: bool = False
    max_tokens: int
    warnings: Sequence[str] = ()


def think(effort: str | None, model: Abilities, *, max_tokens: int, limit: int | None) -> Thoughts:
    """Say an effort, None if the caller asked for none.

    max_tokens: what will be asked for otherwise. limit: the most that may be, None if not known.
    Raises RequestRejected for `none` where the model always thinks, and for unknown words.
    """
    quiet = Thoughts(max_tokens=max_tokens, on=model.always_thinks)
    if effort is None:
        return quiet
    if effort != "none" and effort not in _LEVELS:
        raise RequestRejected(
            "unknown reasoning_effort", param="reasoning_effort", code="unsupported_value"
        )
    if effort == "none":
        return _disabled(model, quiet)
    match model.thinking:
        case Thinking.NONE:
            return Thoughts(max_tokens=max_tokens, warnings=("dropped:reasoning_effort",))
        case Thinking.BUDGET:
            return _budgeted(_BUDGETS[effort], max_tokens, limit)
        case Thinking.ADAPTIVE:
            return _adaptive(effort, model, max_tokens)
        case _:
            assert_never(model.thinking)


def _disabled(model: Abilities, quiet: Thoughts) -> Thoughts:
    if model.always_thinks:
        raise RequestRejected(
            "this model always reasons: reasoning_effort cannot be none",
            param="reasoning_effort",
            code="unsupported_value",
        )
    if model.thinking is Thinking.ADAPTIVE:
        return Thoughts(thinking={"type": "disabled"}, max_tokens=quiet.max_tokens)
    return quiet


def _adaptive(effort: str, model: Abilities, max_tokens: int) -> Thoughts:
    level = _LEVELS[effort]
    if level not in model.efforts:
        # Without `xhigh` its neighbour below is taken, without `max` the highest there is.
        level = model.efforts[-1] if level == "max" else "high"
    return Thoughts(
        # Without a wish for a summary the blocks come back empty, with nothing but a signature.
        thinking={"type": "adaptive", "display": "summarized"},
        effort=level,
        on=True,
        max_tokens=max_tokens,
        warnings=() if level == effort else ("mapped:reasoning_effort",),
    )


def _budgeted(budget: int, max_tokens: int, limit: int | None) -> Thoughts:
    """Make room for a budget, which must be smaller than the limit of tokens."""
    if budget < max_tokens:
        return Thoughts(thinking=_enabled(budget), on=True, max_tokens=max_tokens)
    raised = max_tokens + budget if limit is None else min(max_tokens + budget, limit)
    if raised <= MIN_BUDGET:
        return Thoughts(max_tokens=max_tokens, warnings=("dropped:reasoning_effort",))
    warnings = ["mapped:max_tokens"] if raised != max_tokens else []
    if budget >= raised:
        budget = max(MIN_BUDGET, raised // 2)
        warnings.append("clamped:reasoning_effort")
    return Thoughts(thinking=_enabled(budget), on=True, max_tokens=raised, warnings=tuple(warnings))


def _enabled(budget: int) -> Mapping[str, Any]:
    return {"type": "enabled", "budget_tokens": budget}
