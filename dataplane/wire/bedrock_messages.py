"""Writes a conversation as Converse wants it: a system prompt, and turns of user and assistant.

Turns must alternate, begin with the user's, and hold no blank text; the results of one turn's tool
calls are one user turn. That calls and results belong together was checked when the request came in.

* leading system messages are the system prompt; where a model takes none, they begin the first
  user turn. Later ones stay where they are, as marked text of the user's turn: moving them to the
  top would change their order, and every prefix that was cached;
* an assistant's turn that says nothing is left out, a user's is refused;
* reasoning that came from this model is put back where it was; other reasoning is left out.

Source: Amazon Bedrock API reference, Converse, and recorded refusals, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from dataplane.codec import DecodeError, decode
from dataplane.errors import RequestRejected
from dataplane.wire.bedrock_models import BedrockModel
from dataplane.wire.bedrock_parts import Block, PartWriter, reject, text_block
from dataplane.wire.bedrock_replay import arranged
from dataplane.wire.taken_fields import Fields
from dataplane.wire.tool_ids import IdRule, digest62, fit_ids

_IDS: Final = IdRule(pattern=re.compile(r"[A-Za-z0-9_.:-]{1,64}"), length=32)
_FILLER: Final = "."
_COMPANION: Final = "See the attached document."
_NOTE: Final = "Instruction from the operator of this conversation, not from the user:\n"


class Conversation(Struct, frozen=True, kw_only=True):
    """A conversation in Converse's form.

    tools_used: names of the functions that were called in it, as they are sent, in order.
    prefilled: the path of a last message of the assistant's, or empty.
    """

    system: Sequence[Block]
    messages: Sequence[Block]
    tools_used: Sequence[str]
    prefilled: str


def write_conversation(
    messages: Sequence[Any],
    model: BedrockModel,
    *,
    names: Mapping[str, str],
    replays: bool,
    fields: Fields,
) -> Conversation:
    """Write the messages. Raises RequestRejected with the path of what cannot be said.

    names: functions that must be called something else. replays: whether the model thinks, and
    wants to see its reasoning again.
    """
    turns = _Turns(messages, model, names, fields, replays=replays)
    for index, message in enumerate(messages):
        turns.add(message, f"messages[{index}]")
    return turns.finished()


def called_names(messages: Iterable[Any]) -> Iterator[str]:
    """Give the names of all functions that were called in the messages."""
    for call in _calls(messages):
        function = call.get("function")
        if isinstance(function, dict) and isinstance(name := function.get("name"), str):
            yield name


def _call_ids(messages: Iterable[Any]) -> Iterator[str]:
    for call in _calls(messages):
        if isinstance(call_id := call.get("id"), str):
            yield call_id


def _calls(messages: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                yield call


class _Turns:
    """The turns so far."""

    def __init__(
        self,
        messages: Sequence[Any],
        model: BedrockModel,
        names: Mapping[str, str],
        fields: Fields,
        *,
        replays: bool,
    ) -> None:
        self._model = model
        self._parts = PartWriter(model, fields)
        self._names = names
        self._fields = fields
        self._replays = replays
        self._fitted = fit_ids(_call_ids(messages), _IDS)
        self._ids: set[str] = set()
        # The caller's id -> the one that its last call has got.
        self._current: dict[str, str] = {}
        self._system: list[Block] = []
        self._turns: list[Block] = []
        self._used: dict[str, None] = {}
        self._path = ""

    def add(self, message: Any, path: str) -> None:
        if not isinstance(message, dict):
            raise RequestRejected(f"{path} must be an object", param=path)
        match message.get("role"):
            case "system" | "developer":
                self._add_system(message, path)
            case "user":
                self._add_user(message, path)
            case "assistant":
                self._append("assistant", self._assistant(message, path))
            case "tool":
                self._append("user", self._result(message, path))
            case _:
                raise RequestRejected("unknown role", param=f"{path}.role")
        self._path = path
        if message.get("name") is not None:
            self._fields.warn("dropped:messages.name")

    def finished(self) -> Conversation:
        system, turns = self._system, self._turns
        if system and not self._model.system:
            self._fields.warn("emulated:messages")
            if turns and turns[0]["role"] == "user":
                first, *rest = turns
                turns = [{"role": "user", "content": [*system, *first["content"]]}, *rest]
            else:
                turns = [{"role": "user", "content": system}, *turns]
            system = []
        if not turns or turns[0]["role"] == "assistant":
            self._fields.warn("emulated:messages")
            turns = [{"role": "user", "content": [{"text": _FILLER}]}, *turns]
        prefilled = turns[-1]["role"] == "assistant"
        if prefilled:
            self._trim_end(turns[-1])
        return Conversation(
            system=system,
            messages=turns,
            tools_used=tuple(self._used),
            prefilled=self._path if prefilled else "",
        )

    def _add_system(self, message: Mapping[str, Any], path: str) -> None:
        blocks = self._content(message.get("content"), path)
        if not self._turns:
            self._system += blocks
            return
        self._fields.warn("mapped:messages")
        if blocks:
            first, *more = blocks
            self._append("user", [{**first, "text": _NOTE + first["text"]}, *more])

    def _add_user(self, message: Mapping[str, Any], path: str) -> None:
        blocks = self._content(message.get("content"), path)
        if not blocks:
            reject("a message must not be blank", f"{path}.content", "invalid_value")
        if any("document" in block for block in blocks) and not any(
            "text" in block for block in blocks
        ):
            blocks.append({"text": _COMPANION})
            self._fields.warn("emulated:messages.content")
        self._append("user", blocks)

    def _append(self, role: str, blocks: list[Block]) -> None:
        if not blocks:
            # Only an assistant's turn can be empty here; its neighbours become one.
            self._fields.warn("dropped:messages")
        elif self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"] += blocks
        else:
            self._turns.append({"role": role, "content": blocks})

    def _content(self, content: Any, path: str) -> list[Block]:
        if content is None:
            return []
        if isinstance(content, str):
            block = text_block(content, f"{path}.content")
            return [] if block is None else [block]
        if not isinstance(content, list):
            raise RequestRejected("content must be a string or a list", param=f"{path}.content")
        written: list[Block] = []
        for index, part in enumerate(content):
            written += self._parts.write(part, f"{path}.content[{index}]")
        return written

    def _assistant(self, message: Mapping[str, Any], path: str) -> list[Block]:
        if message.get("audio") is not None:
            reject("earlier audio answers are not supported by this provider", f"{path}.audio")
        content = message.get("content")
        said = self._content(content or message.get("refusal"), path)
        calls = [
            self._call(call, f"{path}.tool_calls[{index}]")
            for index, call in enumerate(message.get("tool_calls") or ())
        ]
        if not said and not calls:
            # Reasoning alone is no turn.
            return []
        if not self._replays:
            return [*said, *calls]
        return arranged(message, self._model, said, calls)

    def _call(self, call: Any, path: str) -> Block:
        match call:
            case {"id": str(call_id), "function": {"name": str(name), **function}}:
                pass
            case _:
                reject("only calls of functions are supported by this provider", path)
        sent = self._names.get(name, name)
        self._used[sent] = None
        return {
            "toolUse": {
                "toolUseId": self._fresh_id(call_id),
                "name": sent,
                "input": self._input(function.get("arguments")),
            }
        }

    def _fresh_id(self, call_id: str) -> str:
        """Fit an id; it must be the only one of its kind in the whole conversation."""
        fitted = fresh = self._fitted.get(call_id, call_id)
        turn = 0
        while fresh in self._ids:
            turn += 1
            fresh = digest62(f"{fitted}\0{turn}", _IDS.length)
        self._ids.add(fresh)
        self._current[call_id] = fresh
        return fresh

    def _input(self, arguments: Any) -> Mapping[str, Any]:
        """Turn arguments into the object that is demanded, losing nothing of their text."""
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

    def _result(self, message: Mapping[str, Any], path: str) -> list[Block]:
        call_id = message.get("tool_call_id")
        answered = self._current.get(call_id) if isinstance(call_id, str) else None
        if answered is None:
            reject(
                f"{path} answers no tool call before it", f"{path}.tool_call_id", "invalid_value"
            )
        content = self._content(message.get("content"), path)
        # A result may be empty. Cache points stand beside it, not in it.
        blocks = [block for block in content if "cachePoint" not in block]
        points = [block for block in content if "cachePoint" in block]
        result = {"toolUseId": answered, "content": blocks}
        return [{"toolResult": result}, *points, *self._parts.cache_point(message)]

    def _trim_end(self, turn: Block) -> None:
        """Cut the white space that a last text of the assistant's must not end with."""
        last = turn["content"][-1]
        text = last.get("text", "")
        if text != text.rstrip():
            last["text"] = text.rstrip()
            self._fields.warn("mapped:messages")
