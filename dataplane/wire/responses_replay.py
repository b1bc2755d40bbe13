"""Gives OpenAI back what its models thought in earlier turns, from the side data of those messages.

Over the Responses API, reasoning comes as items with encrypted content. They may be sent back only
to whom they came from, and only right before the item that they produced: anything else is refused
with a 400. So each is kept with the mark of its credential and of what followed it, and left out
where either does not fit; that costs the model its memory of a thought, no more.

shape of a kept block: {"type": "reasoning", "id", "summary", "encrypted_content", "scope", "next"};
`next` is the id of the call that followed, or `message`.

Source: OpenAI API reference, "Responses", reasoning items, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dataplane.wire import side_data
from dataplane.wire.side_data import Origin, SideData

Item = dict[str, Any]

BETWEEN_TEXTS: Final = "\n\n"
"""Stands between the texts of two messages, and of two thoughts, of one answer."""

CALL_KINDS: Final = ("function_call", "custom_tool_call")
"""Items that call a tool. No set: what a server sends as a type may be anything, and is compared."""

_MESSAGE: Final = "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where reasoning can be read: the target, and a digest of address and credential."""

    origin: Origin
    scope: str


def keep(items: Sequence[Any], place: Place) -> SideData:
    """Make the side data of an answer from its output items."""
    blocks: list[Item] = []
    layout: list[str | int] = []
    spoken = False
    for at, item in enumerate(items):
        match item:
            case {"type": "reasoning", "encrypted_content": str(content)} if content:
                following = _produced(items[at + 1 :])
                if following:
                    blocks.append(_block(item, content, following, place))
                    layout.append(side_data.REASONING)
            case {"type": "message"} if text := message_text(item):
                layout.append(len(text) + (len(BETWEEN_TEXTS) if spoken else 0))
                spoken = True
            case {"type": str(kind)} if kind in CALL_KINDS:
                layout.append(side_data.TOOL)
            case _:
                pass
    return SideData(origin=place.origin, reasoning=blocks, layout=side_data.layout_of(layout))


def message_text(item: Mapping[str, Any]) -> str:
    """Join the texts of a message item; refusals are none."""
    parts = item.get("content")
    if not isinstance(parts, list):
        return ""
    return "".join(
        part["text"]
        for part in parts
        if isinstance(part, dict)
        and part.get("type") == "output_text"
        and isinstance(part.get("text"), str)
    )


def restored(
    message: Mapping[str, Any], said: Sequence[Item], calls: Sequence[Item], place: Place
) -> list[Item]:
    """Put the items of an assistant's message in order, with its reasoning where that may stand.

    said: its message item, if any. calls: those of its tools, whose ids stand in `message`.
    """
    blocks = _blocks(message, place)
    if not blocks:
        return [*said, *calls]
    ids = [call["id"] for call in message.get("tool_calls", ())]
    marked = list(zip(ids, calls, strict=True))
    content = said[0]["content"] if said else ""
    text = content if isinstance(content, str) else ""
    side = side_data.extract(message)
    layout = side.layout if side is not None else ()
    ordered: list[tuple[str, Item]] = []
    if _fits(layout, len(blocks), text, len(calls)):
        waiting, called, at = iter(blocks), iter(marked), 0
        for entry in layout:
            if isinstance(entry, int):
                piece = text[at : at + entry].removeprefix(BETWEEN_TEXTS if at else "")
                ordered.append((_MESSAGE, {**said[0], "content": piece}))
                at += entry
            elif entry == side_data.TOOL:
                ordered.append(next(called))
            else:
                ordered.append(("", next(waiting)))
    else:
        ordered = [
            *(("", block) for block in blocks),
            *((_MESSAGE, item) for item in said),
            *marked,
        ]
    return _with_fitting(ordered)


def _blocks(message: Mapping[str, Any], place: Place) -> list[Item]:
    """Give the blocks that are readable at a place, as they were kept."""
    side = side_data.extract(message)
    if side is None or not side_data.restorable(side.origin, place.origin.type, place.origin.model):
        return []
    blocks: list[Item] = []
    for block in side.reasoning:
        match block:
            case {
                "type": "reasoning",
                "encrypted_content": str(),
                "summary": list(),
                "scope": place.scope,
                "next": str(),
            }:
                blocks.append(dict(block))
            case _:
                # One is not ours, so the order of the others is not known either.
                return []
    return blocks


def _with_fitting(ordered: Sequence[tuple[str, Item]]) -> list[Item]:
    """Write the items, reasoning only where it stands before the item that it produced."""
    written: list[Item] = []
    following = ""
    for mark, item in reversed(ordered):
        if mark:
            following = mark
            written.append(item)
        elif item["next"] == following:
            written.append(_native(item))
    written.reverse()
    return written


def _block(item: Mapping[str, Any], content: str, following: str, place: Place) -> Item:
    summary = item.get("summary")
    block: Item = {
        "type": "reasoning",
        "summary": summary if isinstance(summary, list) else [],
        "encrypted_content": content,
        "scope": place.scope,
        "next": following,
    }
    return {**block, "id": item["id"]} if isinstance(item.get("id"), str) else block


def _native(block: Mapping[str, Any]) -> Item:
    """Leave in a block what the upstream knows."""
    known = ("type", "id", "summary", "encrypted_content")
    return {key: block[key] for key in known if key in block}


def _produced(items: Sequence[Any]) -> str:
    """Name the first item that is not reasoning; empty if it could not be sent back."""
    for item in items:
        match item:
            case {"type": "reasoning"}:
                continue
            case {"type": "message", "content": [_, *_]}:
                return _MESSAGE
            case {"type": str(kind), "call_id": str(call_id)} if kind in CALL_KINDS:
                return call_id
            case _:
                return ""
    return ""


def _fits(layout: Sequence[str | int], blocks: int, text: str, calls: int) -> bool:
    """Tell whether a layout still speaks of the message as it came back."""
    lengths = [entry for entry in layout if isinstance(entry, int)]
    return (
        bool(layout)
        and all(length > 0 for length in lengths)
        and sum(lengths) == len(text)
        and layout.count(side_data.REASONING) == blocks
        and layout.count(side_data.TOOL) == calls
    )
