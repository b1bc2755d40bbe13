"""What a model's name tells of the rules that its upstream applies.

Vendors publish no flags for these, so the family is read from the name: OpenAI's own models by
prefix, open models by the words that their publishers put into every name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# `ft:` marks a fine-tune. The chat variants of gpt-5 do not reason.
_REASONING: Final = re.compile(
    r"(?:ft:)?(?:o[134](?![0-9a-z])|gpt-(?:[5-9]|1[0-9])(?![0-9]))(?!.*-chat)"
)
_GPT: Final = re.compile(r"(?:ft:)?gpt-(1?[0-9])(?:\.(\d+))?(?![0-9])")
_NOT_REASONING: Final = re.compile(r"(?:ft:)?(?:gpt-[34]|gpt-35|chatgpt-|gpt-5[.0-9]*-chat)")
_DATED: Final = re.compile(r"gpt-(?:3|4(?![.0-9a-z]))")
_MISTRAL: Final = re.compile(
    r"(?i)mistral|mixtral|ministral|magistral|devstral|codestral|voxtral|pixtral|mathstral"
)
_ALTERNATING: Final = re.compile(r"(?i)gemma")
_THINKS_AT_ONCE: Final = re.compile(r"(?i)deepseek-r1|(?:^|/)qwq")
_EMBEDDING: Final = re.compile(r"(?i)embed|(?:^|/)(?:bge|e5|gte)-")


def reasons(model: str) -> bool:
    """Tell whether OpenAI's rules for reasoning models hold: o1, o3, o4, gpt-5 and later."""
    return _REASONING.match(model) is not None


def never_reasons(model: str) -> bool:
    """Tell whether it is an OpenAI model that refuses `reasoning_effort`: gpt-4o and earlier."""
    return _NOT_REASONING.match(model) is not None


def efforts(model: str) -> Sequence[str]:
    """Return the values of `reasoning_effort` that Chat Completions takes, from least to most.

    Source: OpenAI API reference, `reasoning_effort`, and the models' pages, read 2026-11-22.
    """
    version = _version(model)
    if version is None:
        return ("low", "medium", "high")
    if "astra" in model:
        return ("low", "medium", "high", "xhigh")
    if version == (5, 0):
        return ("minimal", "low", "medium", "high")
    if version == (5, 1):
        return ("none", "low", "medium", "high")
    return ("none", "low", "medium", "high", "xhigh")


def reasons_by_default(model: str) -> bool:
    """Tell whether a reasoning model reasons if no effort is asked for; gpt-5.1 to 5.5 do not."""
    version = _version(model)
    return version is None or not (5, 1) <= version <= (5, 5)


def refuses_tools_while_reasoning(model: str) -> bool:
    """Tell whether Chat Completions refuses function tools while the model reasons: gpt-5.4 on."""
    version = _version(model)
    return version is not None and version >= (5, 4) and reasons(model)


def takes_cache_marks(model: str) -> bool:
    """Tell whether content parts may carry `prompt_cache_breakpoint`: gpt-5.6 and later."""
    version = _version(model)
    return version is not None and version >= (5, 6)


def is_dated(model: str) -> bool:
    """Tell whether it is older than gpt-4o: no role `developer`, and at Azure only `max_tokens`."""
    return _DATED.match(model) is not None


def is_mistral(model: str) -> bool:
    """Tell whether the chat template is Mistral's, with its rules of order and of tool ids."""
    return _MISTRAL.search(model) is not None


def must_alternate(model: str) -> bool:
    """Tell whether the chat template refuses neighbours of one role."""
    return is_mistral(model) or _ALTERNATING.search(model) is not None


def thinks_at_once(model: str) -> bool:
    """Tell whether the chat template opens `<think>` by itself, so that answers only close it."""
    return _THINKS_AT_ONCE.search(model) is not None


def embeds(model: str) -> bool:
    """Tell whether the name is that of an embedding model."""
    return _EMBEDDING.search(model) is not None


def _version(model: str) -> tuple[int, int] | None:
    found = _GPT.match(model)
    return (int(found[1]), int(found[2] or 0)) if found else None
