"""Gives Claude back what it thought in earlier turns, from the side data of those messages.

While a model thinks, the turn whose tools are being answered must begin with its own thinking
blocks, signed and unchanged. They are restored or they are missing; none is ever made up.

Source: Anthropic's page on extended thinking with tool use, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataplane.wire import side_data
from dataplane.wire.anthropic_models import Abilities, Thinking
from dataplane.wire.anthropic_parts import Block, text_block


class Replay:
    """Restores the reasoning of messages for one target.

    provider_type, model: the target; what another one has signed is of no use to it.
    """

    def __init__(self, provider_type: str, model: str) -> None:
        self._type = provider_type
        self._model = model

    def reasoning(self, message: Mapping[str, Any]) -> Sequence[Block] | None:
        """Give the blocks of a message, in order; None if nothing is known of them."""
        side = self._side(message)
        if side is None or not (side.reasoning or side.thought_nothing):
            return None
        blocks = [_thinking_block(block) for block in side.reasoning]
        return None if None in blocks else [block for block in blocks if block is not None]

    def may_think(self, messages: Sequence[Any], model: Abilities) -> bool:
        """Tell whether thinking may be on: whether the last assistant turn can be replayed.

        Only a turn that called tools is looked at; others need not be replayed.
        """
        turn = last_turn(messages)
        if model.always_thinks or not any(message.get("tool_calls") for message in turn):
            return True
        blocks = self.reasoning(turn[0])
        # A model that decides by itself how much to think may have thought nothing.
        return blocks is not None and (bool(blocks) or model.thinking is Thinking.ADAPTIVE)

    def ordered(
        self, message: Mapping[str, Any], texts: Sequence[Block], calls: Sequence[Block]
    ) -> list[Block]:
        """Put the blocks of an assistant's message in the order in which they were written."""
        reasoning = self.reasoning(message) or []
        side = self._side(message)
        content = message.get("content")
        plain = content if isinstance(content, str) else ""
        if side is None or not _fits(side.layout, reasoning, plain, calls):
            return [*reasoning, *texts, *calls]
        thoughts, called, at = iter(reasoning), iter(calls), 0
        blocks: list[Block] = []
        for entry in side.layout:
            if isinstance(entry, int):
                text, at = plain[at : at + entry], at + entry
                if text.strip():
                    blocks.append(text_block(text))
            else:
                blocks.append(next(thoughts if entry == side_data.REASONING else called))
        return blocks

    def _side(self, message: Mapping[str, Any]) -> side_data.SideData | None:
        side = side_data.extract(message)
        if side is None or not side_data.restorable(side.origin, self._type, self._model):
            return None
        return side


def last_turn(messages: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
    """Give the last run of assistant messages that say something; they become one turn.

    What is no message is passed over: whoever writes them refuses it.
    """
    left = [message for message in messages if isinstance(message, dict) and not _is_empty(message)]
    end = len(left)
    while end and left[end - 1].get("role") != "assistant":
        end -= 1
    begin = end
    while begin and left[begin - 1].get("role") == "assistant":
        begin -= 1
    return left[begin:end]


def _is_empty(message: Mapping[str, Any]) -> bool:
    """Tell whether it is an assistant's message that will be left out."""
    if message.get("role") != "assistant" or message.get("tool_calls"):
        return False
    content = message.get("content") or message.get("refusal") or ""
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") or part.get("refusal") for part in parts if isinstance(part, dict)]
    return not any(text.strip() for text in texts if isinstance(text, str))


def _thinking_block(block: Mapping[str, Any]) -> Block | None:
    """Copy a native block with the members that it may have; None if it is no such block."""
    match block:
        case {"type": "thinking", "thinking": str(text), "signature": str(signature)} if signature:
            return {"type": "thinking", "thinking": text, "signature": signature}
        case {"type": "redacted_thinking", "data": str(data)}:
            return {"type": "redacted_thinking", "data": data}
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
