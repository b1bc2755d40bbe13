"""Writes a conversation in OpenAI's format, within the rules of one upstream.

That calls and results belong together was checked when the request came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from dataplane.errors import RequestRejected
from dataplane.wire.openai_rules import Rules
from dataplane.wire.tool_ids import fit_ids

_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "developer": frozenset({"role", "content", "name"}),
    "system": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset({"role", "content", "name", "refusal", "tool_calls", "audio"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}
# Names under which clients and frameworks send earlier reasoning back.
_REASONING_KEYS: Final = ("reasoning_content", "reasoning", "thinking")
_FILLER: Final = "."
_JSON_INSTRUCTION: Final = "Answer with valid JSON and nothing else."

Message = dict[str, Any]


def write_messages(
    messages: Sequence[Mapping[str, Any]],
    rules: Rules,
    names: Mapping[str, str],
    warnings: list[str],
) -> list[Message]:
    """Write the messages, and add to `warnings` what was changed.

    names: tool names that the upstream would not take -> those that it gets.
    Raises RequestRejected for what the upstream cannot be told.
    """
    if messages[-1]["role"] == "assistant" and not rules.prefill:
        raise RequestRejected(
            "this model cannot go on from a last message of the assistant's",
            param=f"messages[{len(messages) - 1}]",
            code="unsupported_value",
        )
    written = [
        _write(message, rules, f"messages[{at}]", warnings) for at, message in enumerate(messages)
    ]
    if rules.developer and {"system", "developer"} <= {message["role"] for message in written}:
        # The same to those who know both, but a request may not mix them.
        for message in written:
            if message["role"] == "system":
                message["role"] = "developer"
    if rules.tool_ids is not None or names:
        _rewrite_calls(written, rules, names)
    if rules.says_something:
        written = _saying_something(written, warnings)
    if rules.leading_system_only:
        written = _system_first(written, warnings)
    if rules.fills_after_tool:
        written = _filled(written, warnings)
    if rules.alternates or rules.merges_assistants:
        roles = {"user", "assistant"} if rules.alternates else {"assistant"}
        written = _merged(written, roles, warnings)
    return written


def with_json_words(messages: list[Message], warnings: list[str]) -> list[Message]:
    """Tell the model to write JSON, if no message speaks of it."""
    if any("json" in text.lower() for message in messages for text in _texts(message)):
        return messages
    warnings.append("emulated:response_format")
    first = messages[0]
    if first["role"] == "system":
        told = {"role": "system", "content": _JSON_INSTRUCTION}
        return [_join(first, told), *messages[1:]]
    return [{"role": "system", "content": _JSON_INSTRUCTION}, *messages]


def _write(message: Mapping[str, Any], rules: Rules, path: str, warnings: list[str]) -> Message:
    role = message["role"]
    keys = _KEYS[role]
    written = {key: value for key, value in message.items() if key in keys and value is not None}
    if role == "developer" and not rules.developer:
        written["role"] = "system"
    if "name" in written and not rules.named_messages:
        del written["name"]
        _warn(warnings, "dropped:messages.name")
    if not rules.custom_tools:
        # Only OpenAI's own models know these two; a refusal is what the assistant said.
        if "audio" in written:
            raise RequestRejected(
                "earlier audio answers are not supported by this provider",
                param=f"{path}.audio",
                code="unsupported_parameter",
            )
        refusal = written.pop("refusal", None)
        if refusal is not None and not written.get("content"):
            written["content"] = refusal
    content = written.get("content")
    if isinstance(content, list):
        written["content"] = [
            _write_part(part, rules, f"{path}.content[{at}]", warnings)
            for at, part in enumerate(content)
        ]
    if role == "assistant" and (thought := _thought(message)):
        if rules.reasoning_key:
            written[rules.reasoning_key] = thought
        elif rules.thinking_chunks:
            chunk = {"type": "thinking", "thinking": [{"type": "text", "text": thought}]}
            written["content"] = [chunk, *_as_parts(written.get("content"))]
    if "tool_calls" in written:
        written["tool_calls"] = [
            _write_call(call, rules, f"{path}.tool_calls[{at}]")
            for at, call in enumerate(written["tool_calls"])
        ]
    return written


def _thought(message: Mapping[str, Any]) -> str:
    """Give the reasoning that a client sends back with an assistant's message, or nothing."""
    for key in _REASONING_KEYS:
        if isinstance(text := message.get(key), str) and text:
            return text
    return ""


def _write_part(
    part: Mapping[str, Any], rules: Rules, path: str, warnings: list[str]
) -> dict[str, Any]:
    kind = part["type"]
    writer = rules.parts.get(kind)
    if writer is None:
        raise RequestRejected(
            f"content parts of type {kind!r} are not supported by this provider",
            param=f"{path}.type",
            code="unsupported_value",
        )
    written = writer(part)
    if kind == "image_url" and not rules.image_detail:
        image = {key: value for key, value in part[kind].items() if key != "detail"}
        written[kind] = image
        if part[kind].get("detail", "auto") != "auto":
            _warn(warnings, "dropped:messages.content.image_url.detail")
    if rules.caches:
        if part.get("cache_control") is not None:
            written.setdefault("prompt_cache_breakpoint", {"mode": "explicit"})
    elif "cache_control" in part or "prompt_cache_breakpoint" in part:
        written.pop("prompt_cache_breakpoint", None)
        _warn(warnings, "dropped:cache_control")
    return written


def _write_call(call: Mapping[str, Any], rules: Rules, path: str) -> dict[str, Any]:
    kind = call["type"]
    if kind == "custom":
        if not rules.custom_tools:
            raise RequestRejected(
                "calls of custom tools are not supported by this provider",
                param=f"{path}.type",
                code="unsupported_value",
            )
        return {"id": call["id"], "type": kind, kind: call[kind]}
    function = call[kind]
    # Empty text is not JSON; some clients replay it for a call without arguments.
    inner = {"name": function["name"], "arguments": function["arguments"] or "{}"}
    return {"id": call["id"], "type": kind, kind: inner}


def _rewrite_calls(messages: Sequence[Message], rules: Rules, names: Mapping[str, str]) -> None:
    """Fit ids and names, in the messages that were written here."""
    ids = fit_ids(_ids(messages), rules.tool_ids) if rules.tool_ids is not None else {}
    for message in messages:
        if message["role"] == "tool":
            given = message["tool_call_id"]
            message["tool_call_id"] = ids.get(given, given)
        for call in message.get("tool_calls", ()):
            call["id"] = ids.get(call["id"], call["id"])
            if (function := call.get("function")) is not None:
                function["name"] = names.get(function["name"], function["name"])


def _ids(messages: Iterable[Message]) -> Iterable[str]:
    for message in messages:
        for call in message.get("tool_calls", ()):
            yield call["id"]
        if message["role"] == "tool":
            yield message["tool_call_id"]


def _saying_something(messages: Sequence[Message], warnings: list[str]) -> list[Message]:
    kept = [
        message
        for message in messages
        if message["role"] != "assistant" or message.get("content") or message.get("tool_calls")
    ]
    if len(kept) != len(messages):
        _warn(warnings, "dropped:messages")
    if kept and kept[-1]["role"] == "assistant":
        kept[-1] = {**kept[-1], "prefix": True}
        _warn(warnings, "mapped:messages")
    return kept


def _system_first(messages: Sequence[Message], warnings: list[str]) -> list[Message]:
    """Join the leading system messages, and hand later ones to the user, where they stand.

    Moving them to the top would change their order, and every prefix that the upstream cached.
    """
    written: list[Message] = []
    leading = True
    folded_at = -1
    for message in messages:
        if message["role"] == "system":
            if not written:
                written.append(message)
                continue
            _warn(warnings, "mapped:messages")
            if leading:
                written[0] = _join(written[0], message)
                continue
            message = {**message, "role": "user"}  # noqa: PLW2901 - goes on as the user's
            if written[-1]["role"] == "user":
                written[-1] = _join(written[-1], message)
            else:
                folded_at = len(written)
                written.append(message)
            continue
        leading = False
        if message["role"] == "user" and folded_at == len(written) - 1 and written:
            written[-1] = _join(written[-1], message)
        else:
            written.append(message)
    return written


def _filled(messages: Sequence[Message], warnings: list[str]) -> list[Message]:
    written: list[Message] = []
    for message in messages:
        if message["role"] == "user" and written and written[-1]["role"] == "tool":
            written.append({"role": "assistant", "content": _FILLER})
            _warn(warnings, "emulated:messages")
        written.append(message)
    return written


def _merged(messages: Sequence[Message], roles: set[str], warnings: list[str]) -> list[Message]:
    written: list[Message] = []
    for message in messages:
        if written and message["role"] in roles and written[-1]["role"] == message["role"]:
            written[-1] = _join(written[-1], message)
            _warn(warnings, "mapped:messages")
        else:
            written.append(message)
    return written


def _join(first: Message, second: Message) -> Message:
    """Make one message of two of the same role."""
    joined = {**second, **first}
    before, after = first.get("content"), second.get("content")
    if before and after:
        if isinstance(before, str) and isinstance(after, str):
            joined["content"] = f"{before}\n\n{after}"
        else:
            joined["content"] = [*_as_parts(before), *_as_parts(after)]
    elif after:
        joined["content"] = after
    calls = [*first.get("tool_calls", ()), *second.get("tool_calls", ())]
    if calls:
        joined["tool_calls"] = calls
    return joined


def _as_parts(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content or []


def _texts(message: Message) -> Iterable[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif content:
        yield from (part["text"] for part in content if part["type"] == "text")


def _warn(warnings: list[str], warning: str) -> None:
    if warning not in warnings:
        warnings.append(warning)
