"""What an answer holds beyond OpenAI's shape, in one extra key that survives a round trip.

The key is `switchgear`, on the message of a whole answer, and on the delta that ends a stream. A
client that sends the assistant's message back with it lets us restore what the upstream demands to
see again: reasoning blocks with their signatures, unchanged and in order. Readable reasoning text
is in `reasoning_content`, as everywhere; this key is for the upstream, and opaque to callers.

shape: {"origin": {"type": "Anthropic", "model": "claude-sonnet-4-6"},
        "reasoning": [native blocks], "layout": [...], "citations": [...], "finish_reason": "...",
        "content_filter": {"prompt": {...}, "answer": {...}}}
All members but `origin` are left out where there is nothing to say; an empty list of `reasoning`
says that nothing was thought.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from dataplane.codec import encode

KEY: Final = "switchgear"
"""The extra key's name."""

MAX_BYTES: Final = 1024 * 1024
"""The longest side data of one message, as JSON; longer ones shrink, and are not taken back."""

_MAX_ENTRIES: Final = 4096
_MAX_NAME: Final = 256

TEXT: Final = "text"
REASONING: Final = "reasoning"
TOOL: Final = "tool"

# Parts of a model's name that say where and when, not which: `us.anthropic.`, an ARN, a date, a
# version of the packaging.
_PLACE: Final = re.compile(r"(?:[a-z]+(?:-[a-z]+)*\.)+")
_RELEASE: Final = re.compile(r"(?:-latest|[-@]\d{8})?(?:-v\d+(?::\d+)?(?::\w+)?)?$")


class Origin(Struct, frozen=True, kw_only=True):
    """Who wrote the blocks. type: the provider type's word; model: the upstream's name."""

    type: str
    model: str


class SideData(Struct, frozen=True, kw_only=True):
    """The side data of one assistant message.

    reasoning: the upstream's own blocks, in order, byte-identical values.
    thought_nothing: the model was free to think and did not, which is not the same as blocks that
        a client lost.
    layout: how blocks stood between texts and calls: `reasoning`, `tool`, or the length of a text
        in characters. Empty means: reasoning first, then text, then calls.
    citations: the upstream's own, as it gave them.
    finish_reason: the upstream's word, empty if the canonical one says the same.
    content_filter: what the upstream's filters found, for the caller to read; never sent back.
    """

    origin: Origin
    reasoning: Sequence[Mapping[str, Any]] = ()
    thought_nothing: bool = False
    layout: Sequence[str | int] = ()
    citations: Sequence[Mapping[str, Any]] = ()
    finish_reason: str = ""
    content_filter: Mapping[str, Any] = {}


def attach(said: dict[str, Any], side: SideData) -> None:
    """Put side data on a whole message, or on the finishing delta of a stream.

    Nothing is put if there is nothing but an origin. Beyond MAX_BYTES citations are left out, then
    the reasoning: half of it could not be sent back.
    """
    written = _written(side)
    for left_out in ((), ("citations",), ("reasoning", "layout")):
        for member in left_out:
            written.pop(member, None)
        if len(written) == 1:
            return
        if len(encode(written)) <= MAX_BYTES:
            said[KEY] = written
            return


def extract(message: Mapping[str, Any]) -> SideData | None:
    """Read the side data of a request's assistant message; None if there is none to be used.

    Total: a client may have changed it, and what is not in shape counts as absent. Its values are
    foreign all the same: only what an upstream knows may be sent to it.
    """
    value: Any = message.get(KEY)
    match value:
        case {"origin": {"type": str(kind), "model": str(model)}}:
            pass
        case _:
            return None
    if len(kind) > _MAX_NAME or len(model) > _MAX_NAME or len(encode(value)) > MAX_BYTES:
        return None
    reasoning, citations = value.get("reasoning", []), value.get("citations", [])
    if not _are_blocks(reasoning) or not _are_blocks(citations):
        return None
    layout = value.get("layout", [])
    finish = value.get("finish_reason", "")
    return SideData(
        origin=Origin(type=kind, model=model),
        reasoning=tuple(reasoning),
        thought_nothing="reasoning" in value and not reasoning,
        layout=tuple(layout) if _is_layout(layout) else (),
        citations=tuple(citations),
        finish_reason=finish if isinstance(finish, str) else "",
    )


def restorable(origin: Origin, provider_type: str, model: str) -> bool:
    """Tell whether blocks may be sent to this target: the same provider type and model family.

    Signatures are worth nothing elsewhere, and are refused there.
    """
    return origin.type == provider_type and family(origin.model) == family(model)


@lru_cache(maxsize=256)
def family(model: str) -> str:
    """Name a model without place, date and packaging: `us.anthropic.claude-x-20260101-v1:0` -> `claude-x`."""
    name = model.rpartition("/")[2].lower()
    found = _PLACE.match(name)
    return _RELEASE.sub("", name[found.end() :] if found else name)


def layout_of(kinds: Sequence[str | int]) -> Sequence[str | int]:
    """Give a layout worth keeping: empty if blocks stand in the order that is taken for granted."""
    ranks = [0 if kind == REASONING else 2 if kind == TOOL else 1 for kind in kinds]
    return () if REASONING not in kinds or ranks == sorted(ranks) else tuple(kinds)


def _written(side: SideData) -> dict[str, Any]:
    written: dict[str, Any] = {"origin": {"type": side.origin.type, "model": side.origin.model}}
    if side.reasoning or side.thought_nothing:
        written["reasoning"] = list(side.reasoning)
        if side.layout:
            written["layout"] = list(side.layout)
    if side.citations:
        written["citations"] = list(side.citations)
    if side.finish_reason:
        written["finish_reason"] = side.finish_reason
    if side.content_filter:
        written["content_filter"] = dict(side.content_filter)
    return written


def _are_blocks(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= _MAX_ENTRIES
        and all(isinstance(block, dict) for block in value)
    )


def _is_layout(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 2 * _MAX_ENTRIES
        and all(
            entry in {REASONING, TOOL} if isinstance(entry, str) else type(entry) is int
            for entry in value
        )
    )
