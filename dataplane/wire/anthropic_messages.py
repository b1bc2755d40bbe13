"""Writes a conversation as the Messages API wants it.

There, system messages stand beside the conversation, users and assistants alternate, and the
results of tools come first in the user's turn right after the calls. So the messages between two
of the assistant's become one turn. Where things stand is decided by what comes before them alone:
a longer conversation begins with the same bytes, which keeps the upstream's prompt cache warm.

Source: Anthropic API reference, "Messages", and the rules for system messages of LiteLLM 1.109.1,
read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from msgspec import Struct

from dataplane.codec import DecodeError, decode
from dataplane.errors import RequestRejected
from dataplane.wire.anthropic_models import Abilities
from dataplane.wire.anthropic_parts import Block, cache_mark, text_block, text_blocks, user_blocks
from dataplane.wire.anthropic_replay import Replay
from dataplane.wire.taken_fields import Fields
from dataplane.wire.tool_ids import IdRule, digest62, fit_ids

# Anything longer than this is not an id that the API gave.
_IDS: Final = IdRule(pattern=re.compile(r"[A-Za-z0-9_-]{1,128}"), length=32)
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
_FILLER: Final = "."
_NOTE: Final = "Instruction from the operator of this conversation, not from the user:\n"
_ROLES: Final[Mapping[str, str]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "tool": "user",
    "assistant": "assistant",
}


class Conversation(Struct, frozen=True, kw_only=True):
    """A conversation in the API's form; `system` may be empty, `messages` begins with a user's."""

    system: Sequence[Block]
    messages: Sequence[Mapping[str, Any]]


@dataclass(slots=True, kw_only=True)
class _Written:
    role: str
    path: str
    blocks: list[Block]


@dataclass(slots=True, kw_only=True)
class _Turn:
    role: str
    path: str
    blocks: list[Block] = field(default_factory=list)


def write_conversation(
    messages: Sequence[Any],
    model: Abilities,
    *,
    names: Mapping[str, str],
    replay: Replay | None,
    fields: Fields,
) -> Conversation:
    """Write canonical messages. Raises RequestRejected with the path of what cannot be said.

    names: tool names that must change. replay: restores reasoning; None where the model does not
    think, and reasoning is left out.
    """
    writer = _Writer(messages, names, replay, fields)
    written = list(writer.write(messages))
    leading = next((at for at, item in enumerate(written) if item.role != "system"), len(written))
    system = [block for item in written[:leading] for block in item.blocks]
    turns = list(_turns(written[leading:], model, fields))
    if not turns or turns[0].role == "assistant":
        fields.warn("emulated:messages")
        turns.insert(0, _Turn(role="user", path="messages", blocks=[text_block(_FILLER)]))
    _check_end(turns[-1], model, fields, thinks=replay is not None)
    return Conversation(
        system=system, messages=[{"role": turn.role, "content": turn.blocks} for turn in turns]
    )


def called_names(messages: Iterable[Any]) -> Sequence[str]:
    """Give the names of the tools that a conversation has called, each once, in order."""
    return tuple(
        dict.fromkeys(
            name
            for message in messages
            for call in message.get("tool_calls") or ()
            if isinstance(name := (call.get("function") or {}).get("name"), str)
        )
    )


class _Writer:
    """Writes messages one by one, and keeps the ids of calls apart."""

    def __init__(
        self,
        messages: Sequence[Any],
        names: Mapping[str, str],
        replay: Replay | None,
        fields: Fields,
    ) -> None:
        self._names = names
        self._replay = replay
        self._fields = fields
        self._fitted = fit_ids(_ids(messages), _IDS)
        self._used: set[str] = set()
        # The caller's id -> the one that its last call has got.
        self._current: dict[str, str] = {}

    def write(self, messages: Sequence[Any]) -> Iterator[_Written]:
        for at, message in enumerate(messages):
            path = f"messages[{at}]"
            role = _ROLES.get(str(message.get("role")))
            if role is None:
                raise RequestRejected("unknown role", param=f"{path}.role", code="invalid_value")
            if message.get("name") is not None:
                self._fields.warn("dropped:messages.name")
            blocks = self._blocks(message, path)
            if blocks or role == "user":
                yield _Written(role=role, path=path, blocks=blocks)
            elif role == "assistant":
                self._fields.warn("dropped:messages")

    def _blocks(self, message: Mapping[str, Any], path: str) -> list[Block]:
        content = message.get("content")
        match message["role"]:
            case "assistant":
                return self._assistant(message, path)
            case "tool":
                return [self._result(message, path)]
            case "user":
                return user_blocks(content, path, self._fields)
            case _:
                return text_blocks(content, path)

    def _assistant(self, message: Mapping[str, Any], path: str) -> list[Block]:
        if message.get("audio") is not None:
            raise RequestRejected(
                "earlier audio answers are not supported by this provider",
                param=f"{path}.audio",
                code="unsupported_parameter",
            )
        content = message.get("content")
        texts = text_blocks(content or message.get("refusal"), path)
        calls = [
            self._call(call, f"{path}.tool_calls[{at}]")
            for at, call in enumerate(message.get("tool_calls") or ())
        ]
        if self._replay is None or not (texts or calls):
            return [*texts, *calls]
        return self._replay.ordered(message, texts, calls)

    def _call(self, call: Any, path: str) -> Block:
        match call:
            case {"id": str(call_id), "function": {"name": str(name), **function}}:
                pass
            case _:
                raise RequestRejected(
                    "only calls of functions are supported by this provider",
                    param=path,
                    code="unsupported_value",
                )
        return {
            "type": "tool_use",
            "id": self._fresh_id(call_id),
            "name": self._names.get(name, name),
            "input": self._input(function.get("arguments")),
        }

    def _fresh_id(self, call_id: str) -> str:
        """Fit an id; the API wants it to be the only one of its kind in the whole conversation."""
        fitted = fresh = self._fitted.get(call_id, call_id)
        turn = 0
        while fresh in self._used:
            turn += 1
            fresh = digest62(f"{fitted}\0{turn}", _IDS.length)
        self._used.add(fresh)
        self._current[call_id] = fresh
        return fresh

    def _input(self, arguments: Any) -> Mapping[str, Any]:
        """Turn arguments into the object that the API demands, losing nothing of their text."""
        if isinstance(arguments, str):
            if not arguments.strip():
                return {}
            try:
                arguments = decode(arguments)
            except DecodeError:
                self._fields.warn("emulated:messages.tool_calls.function.arguments")
                return {"_raw": arguments}
        if arguments is None:
            return {}
        if isinstance(arguments, dict):
            return arguments
        self._fields.warn("emulated:messages.tool_calls.function.arguments")
        return {"value": arguments}

    def _result(self, message: Mapping[str, Any], path: str) -> Block:
        call_id = message.get("tool_call_id")
        answered = self._current.get(call_id) if isinstance(call_id, str) else None
        if answered is None:
            raise RequestRejected(
                f"{path} answers no tool call before it",
                param=f"{path}.tool_call_id",
                code="invalid_value",
            )
        block: Block = {"type": "tool_result", "tool_use_id": answered}
        if content := text_blocks(message.get("content"), path):
            block["content"] = content
        mark = cache_mark(message, path)
        return block if mark is None else {**block, "cache_control": mark}


def _turns(written: Sequence[_Written], model: Abilities, fields: Fields) -> Iterator[_Turn]:
    for spoken, group in groupby(written, key=lambda item: item.role == "assistant"):
        items = list(group)
        path = items[-1].path
        if spoken:
            blocks = [block for item in items for block in item.blocks]
            yield _Turn(role="assistant", path=path, blocks=_thoughts_first(blocks, fields))
        else:
            yield from _user_turns(items, model, fields)


def _thoughts_first(blocks: Sequence[Block], fields: Fields) -> list[Block]:
    """Let a turn that thinks begin with it, as it must, where an earlier message was joined to it."""
    first = next((at for at, block in enumerate(blocks) if block["type"] in _THOUGHTS), 0)
    if not first:
        return list(blocks)
    fields.warn("mapped:messages")
    end = next(
        (at for at in range(first, len(blocks)) if blocks[at]["type"] not in _THOUGHTS),
        len(blocks),
    )
    return [*blocks[first:end], *blocks[:first], *blocks[end:]]


def _user_turns(items: Sequence[_Written], model: Abilities, fields: Fields) -> Iterator[_Turn]:
    """Make the user's turn of all that stands between two of the assistant's.

    System messages of the operator come after it where the model knows them, all together; else
    they stay in their place as the user's words, with a note.
    """
    asked = [item for item in items if item.role == "user"]
    if asked and not any(item.blocks for item in asked):
        raise RequestRejected(
            f"{asked[0].path} has no content",
            param=f"{asked[0].path}.content",
            code="invalid_value",
        )
    path = items[-1].path
    if asked and model.system_anywhere:
        told = [block for item in items if item.role == "system" for block in item.blocks]
        if told and items[-1].role != "system":
            fields.warn("mapped:messages")
        yield _Turn(role="user", path=path, blocks=[b for item in asked for b in item.blocks])
        if told:
            yield _Turn(role="system", path=path, blocks=told)
        return
    blocks: list[Block] = []
    for item in items:
        if item.role == "system":
            fields.warn("mapped:messages")
            first, *more = item.blocks
            blocks += [{**first, "text": _NOTE + first["text"]}, *more]
        else:
            blocks += item.blocks
    yield _Turn(role="user", path=path, blocks=blocks)


def _check_end(turn: _Turn, model: Abilities, fields: Fields, *, thinks: bool) -> None:
    """See to it that a last turn of the assistant's can be gone on from."""
    if turn.role != "assistant":
        return
    if not model.prefill or thinks:
        raise RequestRejected(
            "this model cannot go on from a last message of the assistant's",
            param=turn.path,
            code="unsupported_value",
        )
    last = turn.blocks[-1]
    text = last.get("text", "")
    if text != text.rstrip():
        turn.blocks[-1] = {**last, "text": text.rstrip()}
        fields.warn("mapped:messages")


def _ids(messages: Iterable[Any]) -> Iterator[str]:
    for message in messages:
        for call in message.get("tool_calls") or ():
            if isinstance(call_id := call.get("id"), str):
                yield call_id
