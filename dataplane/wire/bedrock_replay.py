"""Gives Claude behind Converse back what it thought in earlier turns, from side data.

While it thinks, the turn whose tools are being answered must begin with its own reasoning blocks,
signed and unchanged. They are restored, or they are missing; none is ever made up. Other families
refuse such blocks, their own included, and get none.

Source: Amazon Bedrock user guide, "Extended thinking", read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from dataplane.wire import side_data
from dataplane.wire.anthropic_replay import last_turn
from dataplane.wire.bedrock_models import BedrockModel, Family

Block = dict[str, Any]

PROVIDER_TYPE: Final = "AWSBedrock"
"""Who wrote the blocks, in side data."""


class Replay(StrEnum):
    """What can be given back of the reasoning before the last assistant turn.

    FREE: the turn called nothing, so nothing need be. WHOLE: all of it. EMPTY: the model was free
    to think, and did not. LOST: nothing is known of it.
    """

    FREE = "free"
    WHOLE = "whole"
    EMPTY = "empty"
    LOST = "lost"


def last_replay(messages: Sequence[Any], model: BedrockModel) -> Replay:
    """Tell what is known of the last assistant turn, which may be several messages."""
    turn = last_turn(messages)
    if not any(message.get("tool_calls") for message in turn):
        return Replay.FREE
    blocks = restored(turn[0], model)
    if blocks is None:
        return Replay.LOST
    return Replay.WHOLE if blocks else Replay.EMPTY


def restored(message: Mapping[str, Any], model: BedrockModel) -> Sequence[Block] | None:
    """Give the reasoning blocks of a message, in order; None if nothing is known of them."""
    side = _side(message, model)
    if side is None or not (side.reasoning or side.thought_nothing):
        return None
    blocks = [_checked(block) for block in side.reasoning]
    return None if None in blocks else [block for block in blocks if block is not None]


def arranged(
    message: Mapping[str, Any], model: BedrockModel, said: Sequence[Block], calls: Sequence[Block]
) -> list[Block]:
    """Put an assistant's blocks in the order in which they were written, as far as it is known."""
    reasoning = restored(message, model) or []
    side = _side(message, model)
    content = message.get("content")
    text = content if isinstance(content, str) else ""
    if side is None or not _fits(side.layout, reasoning, text, calls):
        return [*reasoning, *said, *calls]
    blocks: list[Block] = []
    thoughts, called, at = iter(reasoning), iter(calls), 0
    for entry in side.layout:
        if isinstance(entry, int):
            piece, at = text[at : at + entry], at + entry
            if piece.strip():
                blocks.append({"text": piece})
        else:
            blocks.append(next(thoughts if entry == side_data.REASONING else called))
    return blocks


def _side(message: Mapping[str, Any], model: BedrockModel) -> side_data.SideData | None:
    if model.family is not Family.CLAUDE:
        return None
    side = side_data.extract(message)
    if side is None or not side_data.restorable(side.origin, PROVIDER_TYPE, model.name):
        return None
    return side


def _checked(block: Mapping[str, Any]) -> Block | None:
    """Copy a block that went through the caller's hands; None if it is not Bedrock's."""
    match block:
        case {"reasoningContent": {"reasoningText": {"text": str(text), "signature": str(sign)}}}:
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": sign}}}
        case {"reasoningContent": {"redactedContent": str(data)}}:
            return {"reasoningContent": {"redactedContent": data}}
        case _:
            return None


def _fits(
    layout: Sequence[str | int], reasoning: Sequence[Block], text: str, calls: Sequence[Block]
) -> bool:
    """Tell whether a layout still speaks of the message as it came back."""
    lengths = [entry for entry in layout if isinstance(entry, int)]
    return (
        bool(layout)
        and all(length >= 0 for length in lengths)
        and sum(lengths) == len(text)
        and layout.count(side_data.REASONING) == len(reasoning)
        and layout.count(side_data.TOOL) == len(calls)
    )
