"""Keys that one vendor adds to OpenAI's shape: what of them callers get, so that answers look alike.

A key that says nothing, because it is null or empty, is left out. One that says something is kept if
the caller must have asked for it in the vendor's own words, left out if it tells what other
providers do not tell either, and moved to the side data if it judges the answer (a content filter
that found something). Keys that are listed nowhere are relayed as they come.

Source: Azure OpenAI REST reference, "content filtering", and vLLM 0.33.0,
entrypoints/openai/protocol.py, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from enum import Enum
from typing import Any, Final, TypeAlias, assert_never


class Fate(Enum):
    """What becomes of a key."""

    ON_REQUEST = "left out while it says nothing"
    NEVER = "left out"
    OF_PROMPT = "what it finds in the prompt goes to the side data"
    OF_ANSWER = "what it finds in the answer goes to the side data"


VendorKeys: TypeAlias = Mapping[str, Fate]
"""The extra keys of one vendor, on answers, chunks and choices alike."""

Verdicts: TypeAlias = MutableMapping[str, dict[str, Any]]
"""What filters found: `prompt` and `answer` -> category -> the vendor's own verdict."""

VLLM: Final[VendorKeys] = {
    "kv_transfer_params": Fate.ON_REQUEST,
    "metrics": Fate.ON_REQUEST,
    "prompt_logprobs": Fate.ON_REQUEST,
    "prompt_token_ids": Fate.ON_REQUEST,
    "routed_experts": Fate.ON_REQUEST,
    "stop_reason": Fate.NEVER,
    "token_ids": Fate.ON_REQUEST,
}
AZURE_OPENAI: Final[VendorKeys] = {
    "content_filter_offsets": Fate.NEVER,
    "content_filter_result": Fate.OF_ANSWER,
    "content_filter_results": Fate.OF_ANSWER,
    "prompt_annotations": Fate.OF_PROMPT,
    "prompt_filter_results": Fate.OF_PROMPT,
}


def take_out(said: dict[str, Any], keys: VendorKeys, found: Verdicts) -> bool:
    """Take a vendor's keys out of an object, in place. Returns whether anything changed.

    found: gets what filters found.
    """
    if not keys:
        return False
    changed = False
    for name in keys.keys() & said.keys():
        value = said[name]
        match keys[name]:
            case Fate.ON_REQUEST:
                if value not in (None, [], {}):
                    continue
            case Fate.NEVER:
                pass
            case Fate.OF_PROMPT:
                _collect(value, found.setdefault("prompt", {}))
            case Fate.OF_ANSWER:
                _collect(value, found.setdefault("answer", {}))
            case never:
                assert_never(never)
        del said[name]
        changed = True
    return changed


def _collect(value: Any, found: dict[str, Any]) -> None:
    """Keep the categories of a verdict that found something, or could not look."""
    match value:
        case list():
            for item in value:
                _collect(item, found)
        case {"content_filter_results": results} | {"content_filter_result": results}:
            _collect(results, found)
        case dict():
            found |= {
                category: verdict
                for category, verdict in value.items()
                if isinstance(verdict, dict) and (category == "error" or _is_a_find(verdict))
            }
        case _:
            pass


def _is_a_find(verdict: Mapping[str, Any]) -> bool:
    return bool(verdict.get("filtered") or verdict.get("detected"))
