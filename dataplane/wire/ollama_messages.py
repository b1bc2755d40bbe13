"""Write a conversation and its tools the way Ollama's /api/chat reads them.

Content is one string, images are bare base64 beside it, arguments are objects, and a tool's answer
names its tool. What Ollama has no word for is refused with its path, or dropped with a warning.

Source: Ollama's docs/api.md, "Generate a chat completion", and server 0.33.0, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from dataplane.codec import DecodeError, decode
from dataplane.errors import RequestRejected
from dataplane.wire.schemas import EMPTY_PARAMETERS, without_meta

_ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_CACHE_KEYS: Final = frozenset({"cache_control", "prompt_cache_breakpoint"})
# Keys under which frameworks replay a turn's reasoning; the first that holds text is taken.
_REASONING_KEYS: Final = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """Items in Ollama's form, and what was lost on the way (`action:field`)."""

    items: Sequence[Mapping[str, Any]]
    warnings: Sequence[str] = ()


def convert_messages(messages: Sequence[Any]) -> Converted:
    """Convert canonical messages. Raises RequestRejected with the path of what cannot be said.

    An empty list is refused: Ollama takes it for a wish to load the model. So are tool calls
    without an answer and answers without a call, which it would accept and get wrong.
    """
    if not messages:
        raise RequestRejected("messages is empty", param="messages")
    conversation = _Conversation()
    for index, message in enumerate(messages):
        conversation.add(f"messages[{index}]", _as_mapping(message, f"messages[{index}]"))
    conversation.expect_no_open_call()
    return Converted(items=conversation.items, warnings=conversation.warnings)


def convert_tools(tools: Sequence[Any], tool_choice: Any) -> Converted:
    """Convert the tools that `tool_choice` leaves to the model; none for the choice `none`.

    Ollama has no tool_choice, its models always choose themselves: a choice that forces a call
    is refused.
    """
    allowed = _allowed_names(tool_choice)
    items: list[Mapping[str, Any]] = []
    warnings: list[str] = []
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        tool_map = _as_mapping(tool, path)
        if tool_map.get("type", "function") != "function":
            reject_unsupported(f"{path}.type", "Ollama has function tools only")
        function = _as_mapping(tool_map.get("function"), f"{path}.function")
        if allowed is not None and function.get("name") not in allowed:
            continue
        items.append({"type": "function", "function": _function(function, path)})
        if function.get("strict"):
            warnings.append("dropped:tools.function.strict")
    return Converted(items=items, warnings=warnings)


def reject_unsupported(param: str, message: str) -> NoReturn:
    """Refuse a feature that the wire lacks. Always raises RequestRejected."""
    raise RequestRejected(message, param=param, code="unsupported_parameter")


class _Conversation:
    """The messages so far, and the calls of the last assistant turn that wait for an answer."""

    def __init__(self) -> None:
        self.items: list[Mapping[str, Any]] = []
        self.warnings: list[str] = []
        self._open_calls: list[tuple[str, str]] = []  # id, name
        self._open_path = ""

    def add(self, path: str, message: Mapping[str, Any]) -> None:
        name = message.get("role")
        role = _ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            raise RequestRejected("unknown role", param=f"{path}.role")
        if role == "tool":
            self._add_tool_answer(path, message)
            return
        self.expect_no_open_call()
        if role == "assistant":
            self._add_assistant(path, message)
            return
        if message.get("name"):
            self.warnings.append("dropped:messages.name")
        self.items.append({"role": role, **self._content(path, message.get("content"))})

    def expect_no_open_call(self) -> None:
        if self._open_calls:
            raise RequestRejected(
                f"tool call {self._open_calls[0][0]!r} has no answer", param=self._open_path
            )

    def _add_assistant(self, path: str, message: Mapping[str, Any]) -> None:
        item: dict[str, Any] = {"role": "assistant"}
        content = message.get("content")
        item |= self._content(path, message.get("refusal") if content is None else content)
        for key in _REASONING_KEYS:
            text = message.get(key)
            if isinstance(text, str) and text:
                item["thinking"] = text
                break
        if message.get("audio"):
            reject_unsupported(f"{path}.audio", "Ollama does not know earlier audio answers")
        calls = message.get("tool_calls")
        if calls:
            item["tool_calls"] = self._tool_calls(f"{path}.tool_calls", calls)
        self.items.append(item)

    def _tool_calls(self, path: str, calls: Any) -> list[Mapping[str, Any]]:
        if not isinstance(calls, list):
            raise RequestRejected("tool_calls must be a list", param=path)
        self._open_path = path
        items: list[Mapping[str, Any]] = []
        for index, call in enumerate(calls):
            here = f"{path}[{index}]"
            call_map = _as_mapping(call, here)
            if call_map.get("type", "function") != "function":
                reject_unsupported(f"{here}.type", "Ollama has function tools only")
            function = _as_mapping(call_map.get("function"), f"{here}.function")
            name, call_id = str(function.get("name", "")), str(call_map.get("id", ""))
            arguments = self._arguments(function.get("arguments"))
            items.append(
                {
                    "id": call_id,
                    "function": {"index": index, "name": name, "arguments": arguments},
                }
            )
            self._open_calls.append((call_id, name))
        return items

    def _arguments(self, arguments: Any) -> Mapping[str, Any]:
        """Turn arguments into the object that Ollama demands, losing nothing of their text."""
        if isinstance(arguments, str):
            if not arguments.strip():
                return {}
            try:
                arguments = decode(arguments)
            except DecodeError:
                self.warnings.append("emulated:messages.tool_calls.function.arguments")
                return {"_raw": arguments}
        if arguments is None:
            return {}
        if isinstance(arguments, dict):
            return arguments
        self.warnings.append("emulated:messages.tool_calls.function.arguments")
        return {"value": arguments}

    def _add_tool_answer(self, path: str, message: Mapping[str, Any]) -> None:
        call_id = message.get("tool_call_id")
        call = next((call for call in self._open_calls if call[0] == call_id), None)
        if call is None:
            raise RequestRejected(
                f"no tool call {call_id!r} comes before its answer", param=f"{path}.tool_call_id"
            )
        self._open_calls.remove(call)
        self.items.append(
            {
                "role": "tool",
                **self._content(path, message.get("content")),
                "tool_name": call[1],
                "tool_call_id": call_id,
            }
        )

    def _content(self, path: str, content: Any) -> Mapping[str, Any]:
        """Give `content` as one string and, if there are any, `images`."""
        if content is None:
            return {"content": ""}
        if isinstance(content, str):
            return {"content": content}
        if not isinstance(content, list):
            raise RequestRejected("content must be a string or a list", param=f"{path}.content")
        texts: list[str] = []
        images: list[str] = []
        for index, part in enumerate(content):
            here = f"{path}.content[{index}]"
            part_map = _as_mapping(part, here)
            if not _CACHE_KEYS.isdisjoint(part_map):
                self.warnings.append("dropped:cache_control")
            match part_map.get("type"):
                case "text" | "refusal" as kind:
                    texts.append(_as_text(part_map.get(kind), f"{here}.{kind}"))
                case "image_url":
                    images.append(self._image(here, part_map.get("image_url")))
                case "input_audio" | "file" as kind:
                    reject_unsupported(f"{here}.{kind}", f"Ollama takes no {kind} parts")
                case _:
                    raise RequestRejected("unknown type of content part", param=f"{here}.type")
        joined = {"content": "\n".join(texts)}
        return {**joined, "images": images} if images else joined

    def _image(self, path: str, image: Any) -> str:
        here = f"{path}.image_url"
        if isinstance(image, dict):
            if image.get("detail", "auto") != "auto":
                self.warnings.append("dropped:messages.content.image_url.detail")
            image = image.get("url")
        url = _as_text(image, here)
        head, comma, payload = url.partition(",")
        head = head.lower()
        if head.startswith(("http:", "https:")):
            reject_unsupported(here, "Ollama does not fetch images: send a data URL")
        if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
            raise RequestRejected("not a base64 data URL of an image", param=here)
        return payload


def _allowed_names(tool_choice: Any) -> frozenset[str] | None:
    """Names of the tools that may be called, None for all."""
    match tool_choice:
        case None | "auto":
            return None
        case "none":
            return frozenset()
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [*tools]}}:
            return frozenset(
                name
                for tool in tools
                if isinstance(tool, dict)
                and isinstance(tool.get("function"), dict)
                and isinstance(name := tool["function"].get("name"), str)
            )
        case _:
            return reject_unsupported(
                "tool_choice", "Ollama's models cannot be made to call a tool"
            )


def _function(function: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    here = f"{path}.function"
    item: dict[str, Any] = {"name": _as_text(function.get("name"), f"{here}.name")}
    if isinstance(description := function.get("description"), str):
        item["description"] = description
    parameters = function.get("parameters")
    schema = {} if parameters is None else _as_mapping(parameters, f"{here}.parameters")
    item["parameters"] = {**EMPTY_PARAMETERS, **without_meta(schema)}
    return item


def _as_mapping(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RequestRejected(f"{path} must be an object", param=path)
    return value


def _as_text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise RequestRejected(f"{path} must be a string", param=path)
    return value
