"""Checks the messages of a conversation, one by one, and that calls and results belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dataplane.provider import Feature
from dataplane.wire.checks import (
    choice,
    label,
    mapping,
    missing,
    quoted,
    sequence,
    text,
    without_nulls,
    wrong_type,
    wrong_value,
)
from dataplane.wire.request_parts import ASSISTANT_PARTS, TEXT_ONLY, USER_PARTS, check_parts

MAX_MESSAGES: Final = 100_000

_MAX_CALLS: Final = 1024
_CALL_KINDS: Final = frozenset({"function", "custom"})


def check_messages(value: Any, features: set[Feature]) -> list[dict[str, Any]]:
    """Check a conversation and return it in canonical form. Raises RequestRejected.

    shape: null members are gone, but an assistant's `content` may be null beside tool calls, a
        refusal or audio. `function_call` and role `function` are tool calls and results, with
        made-up ids. Members that are not known stay.
    features: gets what the messages need of a target.
    """
    messages = []
    for index, entry in enumerate(sequence(value, "messages", least=1, most=MAX_MESSAGES)):
        param = f"messages[{index}]"
        message = without_nulls(mapping(entry, param))
        if "role" not in message:
            raise missing(f"{param}.role")
        role = choice(message["role"], f"{param}.role", among=_ROLES.keys())
        if "name" in message:
            label(message["name"], f"{param}.name")
        messages.append(_ROLES[role](message, param, features))
    return _paired(messages)


def _system(message: dict[str, Any], param: str, features: set[Feature]) -> dict[str, Any]:
    return message | {"content": _content(message, param, TEXT_ONLY, features)}


def _user(message: dict[str, Any], param: str, features: set[Feature]) -> dict[str, Any]:
    return message | {"content": _content(message, param, USER_PARTS, features)}


def _tool(message: dict[str, Any], param: str, features: set[Feature]) -> dict[str, Any]:
    if "tool_call_id" not in message:
        raise missing(f"{param}.tool_call_id")
    label(message["tool_call_id"], f"{param}.tool_call_id")
    features.add(Feature.TOOLS)
    if message.get("content") == []:
        # Tools without a result come like this, and nothing is a legal result.
        return message | {"content": ""}
    return message | {"content": _content(message, param, TEXT_ONLY, features)}


def _function_result(message: dict[str, Any], param: str, features: set[Feature]) -> dict[str, Any]:
    if "name" not in message:
        raise missing(f"{param}.name")
    features.add(Feature.TOOLS)
    return message | {"content": text(message.get("content", ""), f"{param}.content")}


def _assistant(message: dict[str, Any], param: str, features: set[Feature]) -> dict[str, Any]:
    if "refusal" in message:
        text(message["refusal"], f"{param}.refusal")
    if "audio" in message:
        mapping(message["audio"], f"{param}.audio")
        features.add(Feature.AUDIO_OUTPUT)
    calls = _calls(message.pop("tool_calls", []), f"{param}.tool_calls", features)
    if "function_call" in message:
        if calls:
            raise wrong_value(f"{param}.function_call", "cannot be combined with tool_calls")
        call = _call(message["function_call"], f"{param}.function_call", "arguments")
        message = message | {"function_call": call}
        features.add(Feature.TOOLS)
    if calls:
        message = message | {"tool_calls": calls}
    if message.get("content") in (None, []):
        # An answer without any text, like a filtered one, comes back from its client as it was.
        speechless = {"tool_calls", "function_call", "refusal", "audio"}.isdisjoint(message)
        return message | {"content": "" if speechless else None}
    return message | {"content": _content(message, param, ASSISTANT_PARTS, features)}


_ROLES: Final[Mapping[str, Callable[[dict[str, Any], str, set[Feature]], dict[str, Any]]]] = {
    "developer": _system,
    "system": _system,
    "user": _user,
    "assistant": _assistant,
    "tool": _tool,
    "function": _function_result,
}


def _content(
    message: dict[str, Any], param: str, known: frozenset[str], features: set[Feature]
) -> str | list[dict[str, Any]]:
    path = f"{param}.content"
    if "content" not in message:
        raise missing(path)
    content = message["content"]
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong_type(path, "a string or a list of parts")
    if not content:
        raise wrong_value(path, "must not be empty")
    return check_parts(content, path, known, features)


def _calls(value: Any, param: str, features: set[Feature]) -> list[dict[str, Any]]:
    calls = []
    for index, entry in enumerate(sequence(value, param, most=_MAX_CALLS)):
        path = f"{param}[{index}]"
        call = without_nulls(mapping(entry, path))
        if "id" not in call:
            raise missing(f"{path}.id")
        label(call["id"], f"{path}.id")
        kind = choice(call.get("type", "function"), f"{path}.type", among=_CALL_KINDS)
        argument = "arguments" if kind == "function" else "input"
        call |= {"type": kind, kind: _call(call.get(kind), f"{path}.{kind}", argument)}
        features.add(Feature.TOOLS if kind == "function" else Feature.CUSTOM_TOOLS)
        calls.append(call)
    return calls


def _call(value: Any, param: str, argument: str) -> dict[str, Any]:
    """Check the name and the arguments of a call; arguments that are absent are none."""
    call = without_nulls(mapping(value, param))
    if "name" not in call:
        raise missing(f"{param}.name")
    label(call["name"], f"{param}.name")
    call.setdefault(argument, "{}" if argument == "arguments" else "")
    text(call[argument], f"{param}.{argument}")
    return call


def _paired(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check that each call has one result, right after it, and each result a call.

    Upstreams refuse such a conversation in their own words, or go on and answer oddly; nothing is
    repaired here, since that would put words into somebody's mouth.
    """
    paired = []
    waiting: dict[str, str] = {}  # id of a call that has no result yet -> where it stands
    legacy: tuple[str, str] = ("", "")  # name and made-up id of the last `function_call`
    for index, original in enumerate(messages):
        param = f"messages[{index}]"
        message = original
        if message["role"] == "function":
            message = _as_tool_result(message, param, legacy)
        if message["role"] == "tool":
            _settle(message["tool_call_id"], param, waiting)
        else:
            _require_results(waiting)
            if "function_call" in message and message["role"] == "assistant":
                message, legacy = _as_tool_calls(message, index)
            if message["role"] == "assistant":
                waiting = _opened(message, param)
        paired.append(message)
    _require_results(waiting)
    return paired


def _as_tool_calls(message: dict[str, Any], index: int) -> tuple[dict[str, Any], tuple[str, str]]:
    message = dict(message)
    function = message.pop("function_call")
    made_up = f"call_legacy_{index}"
    call = {"id": made_up, "type": "function", "function": function}
    return message | {"tool_calls": [call]}, (function["name"], made_up)


def _as_tool_result(message: dict[str, Any], param: str, legacy: tuple[str, str]) -> dict[str, Any]:
    name, made_up = legacy
    if message["name"] != name:
        raise wrong_value(f"{param}.name", f"{quoted(message['name'])} answers no function call")
    return {"role": "tool", "tool_call_id": made_up, "content": message["content"]}


def _settle(call_id: str, param: str, waiting: dict[str, str]) -> None:
    if waiting.pop(call_id, None) is None:
        raise wrong_value(
            f"{param}.tool_call_id",
            f"{quoted(call_id)} answers no tool call of the assistant's last turn",
        )


def _require_results(waiting: dict[str, str]) -> None:
    for call_id, where in waiting.items():
        raise wrong_value(where, f"{quoted(call_id)} has no tool message right after it")


def _opened(message: dict[str, Any], param: str) -> dict[str, str]:
    waiting: dict[str, str] = {}
    for index, call in enumerate(message.get("tool_calls", ())):
        where = f"{param}.tool_calls[{index}].id"
        if call["id"] in waiting:
            raise wrong_value(where, f"{quoted(call['id'])} is used twice in one turn")
        waiting[call["id"]] = where
    return waiting
