"""Writes canonical chat requests for OpenAI's Responses API.

Only for what chat completions refuses: functions for models that reason. The call is stateless,
nothing is stored; reasoning comes encrypted, and goes back with the messages that it produced.

Dropped here, besides what reasoning models drop anyway: seed, store, prediction, web_search_options
and names of speakers. Limits of tokens under 16 are raised to it, the least that is taken. The caller's
`reasoning: {"summary": "auto"}` asks for summaries, which chat completions does not have.

Source: OpenAI API reference, "Create a model response", read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.provider import Request
from dataplane.wire.openai_messages import write_messages
from dataplane.wire.openai_request import Serialized, clamped_tokens, write_effort
from dataplane.wire.openai_rules import Rules
from dataplane.wire.openai_tools import fitted_names, write_tools
from dataplane.wire.responses_replay import Item, Place, restored
from dataplane.wire.schemas import EMPTY_PARAMETERS
from dataplane.wire.taken_fields import Fields

_PASSES: Final = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "user",
    }
)
_SUMMARIES: Final = frozenset({"auto", "concise", "detailed"})
_LEAST_TOKENS: Final = 16


def serialize(request: Request, model: str, rules: Rules, place: Place) -> Serialized:
    """Write the body for the upstream's `model`.

    place: where the request goes, for the reasoning that may be restored there. Raises
    RequestRejected for what the upstream cannot be told.
    """
    # Speakers have no names here, and some efforts are known only here.
    rules = replace(rules, named_messages=False, efforts=rules.bridge_efforts)
    fields = Fields(request.body)
    fields.warn("mapped:endpoint")
    warnings: list[str] = []
    names = fitted_names(request.body["tools"], request.body["messages"])
    written: dict[str, Any] = {
        "model": model,
        "input": _input(fields.take("messages"), rules, names, place, warnings),
        **_tools(fields, rules, names, warnings),
        **_reasoning(fields, rules, warnings),
        **_text(fields),
        **_limit(fields, rules, warnings),
    }
    for name in request.body:
        if name in _PASSES & rules.passes:
            written[name] = fields.take(name)
    written |= {"store": False, "include": ["reasoning.encrypted_content"]}
    if request.stream:
        written["stream"] = True
        if "include_obfuscation" in (options := request.body.get("stream_options", {})):
            written["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}
    fields.warn(*warnings)
    return Serialized(
        body=encode(written),
        warnings=fields.finish(),
        names={fitted: name for name, fitted in names.items()},
    )


def _input(
    messages: Sequence[Mapping[str, Any]],
    rules: Rules,
    names: Mapping[str, str],
    place: Place,
    warnings: list[str],
) -> list[Item]:
    items: list[Item] = []
    custom: set[str] = set()
    # OpenAI's rules neither join nor leave out messages, so that the two lists go together.
    written = write_messages(messages, rules, names, warnings)
    for at, (message, original) in enumerate(zip(written, messages, strict=True)):
        path = f"messages[{at}]"
        match message["role"]:
            case "assistant":
                said = _said(message, path)
                calls = [_call(call) for call in message.get("tool_calls", ())]
                custom |= {call["call_id"] for call in calls if call["type"] == "custom_tool_call"}
                if not said and not calls:
                    warnings.append("dropped:messages")
                items += restored(original, said, calls, place)
            case "tool":
                call_id = message["tool_call_id"]
                kind = "custom_tool_call" if call_id in custom else "function_call"
                output = _content(message["content"])
                items.append({"type": f"{kind}_output", "call_id": call_id, "output": output})
            case role:
                content = _content(message["content"])
                items.append({"type": "message", "role": role, "content": content})
    return items


def _said(message: Mapping[str, Any], path: str) -> list[Item]:
    """Write what an assistant said as one message item, or none."""
    if message.get("audio") is not None:
        raise RequestRejected(
            "earlier audio answers do not go together with functions at this provider",
            param=f"{path}.audio",
            code="unsupported_parameter",
        )
    content = message.get("content") or ""
    if refusal := message.get("refusal"):
        before = [] if isinstance(content, str) else _output_parts(content)
        if content and isinstance(content, str):
            before = [{"type": "output_text", "text": content}]
        content = [*before, {"type": "refusal", "refusal": refusal}]
    elif not isinstance(content, str):
        content = _output_parts(content)
    return [{"type": "message", "role": "assistant", "content": content}] if content else []


def _output_parts(parts: Sequence[Mapping[str, Any]]) -> list[Item]:
    return [
        {"type": "output_text", "text": part["text"]} if part["type"] == "text" else dict(part)
        for part in parts
    ]


def _call(call: Mapping[str, Any]) -> Item:
    kind = call["type"]
    inner = call[kind]
    if kind == "custom":
        return {
            "type": "custom_tool_call",
            "call_id": call["id"],
            "name": inner["name"],
            "input": inner["input"],
        }
    return {
        "type": "function_call",
        "call_id": call["id"],
        "name": inner["name"],
        "arguments": inner["arguments"],
    }


def _content(content: Any) -> Any:
    return content if isinstance(content, str) else [_input_part(part) for part in content]


def _input_part(part: Mapping[str, Any]) -> Item:
    kind = part["type"]
    rest = {key: value for key, value in part.items() if key not in {"type", kind}}
    match kind:
        case "text":
            return {"type": "input_text", "text": part["text"], **rest}
        case "image_url":
            image = part["image_url"]
            detail = {"detail": image["detail"]} if "detail" in image else {}
            return {"type": "input_image", "image_url": image["url"], **detail, **rest}
        case "file":
            file = part["file"]
            known = ("file_id", "file_data", "filename")
            given = {key: file[key] for key in known if key in file}
            return {"type": "input_file", **given, **rest}
        case _:
            # Audio is written alike.
            return dict(part)


def _tools(
    fields: Fields, rules: Rules, names: Mapping[str, str], warnings: list[str]
) -> dict[str, Any]:
    body = {name: fields.take(name) for name in ("tools", "tool_choice", "parallel_tool_calls")}
    written = write_tools(body, rules, names, warnings)
    written["tools"] = [_tool(tool) for tool in written["tools"]]
    if isinstance(choice := written.get("tool_choice"), dict):
        written["tool_choice"] = _choice(choice)
    return written


def _tool(tool: Mapping[str, Any]) -> Item:
    """Write a tool flat. Strictness is said in any case, as here it is on unless told."""
    kind = tool["type"]
    inner = tool[kind]
    if kind == "custom":
        flat = {key: inner[key] for key in ("name", "description") if key in inner}
        if "format" in inner:
            flat["format"] = _custom_format(inner["format"])
        return {"type": kind, **flat}
    return {
        "type": kind,
        "name": inner["name"],
        **({"description": inner["description"]} if "description" in inner else {}),
        "parameters": inner.get("parameters", EMPTY_PARAMETERS),
        "strict": inner.get("strict", False),
    }


def _custom_format(value: Mapping[str, Any]) -> Mapping[str, Any]:
    match value:
        case {"type": "grammar", "grammar": dict(grammar)}:
            return {"type": "grammar", **grammar}
        case _:
            return value


def _choice(choice: Mapping[str, Any]) -> Item:
    kind = choice["type"]
    if kind == "allowed_tools":
        allowed = choice[kind]
        tools = [_choice(tool) for tool in allowed["tools"]]
        return {"type": kind, "mode": allowed["mode"], "tools": tools}
    return {"type": kind, "name": choice[kind]["name"]}


def _reasoning(fields: Fields, rules: Rules, warnings: list[str]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    # The same words under another name.
    write_effort(
        written, fields.take("reasoning_effort"), replace(rules, effort_field="effort"), warnings
    )
    match fields.take("reasoning"):
        case None:
            pass
        case {"summary": str(summary)} if summary in _SUMMARIES:
            written["summary"] = summary
        case _:
            warnings.append("dropped:reasoning")
    return {"reasoning": written} if written else {}


def _text(fields: Fields) -> dict[str, Any]:
    """Write the format of the answer's text, and how long-winded it is."""
    written: dict[str, Any] = {}
    match fields.take("response_format"):
        case {"type": "json_schema", "json_schema": dict(described)}:
            known = ("name", "description", "schema")
            written["format"] = {
                "type": "json_schema",
                "schema": {},
                **{key: described[key] for key in known if key in described},
                "strict": described.get("strict", False),
            }
        case {"type": "json_object"}:
            written["format"] = {"type": "json_object"}
        case _:
            pass
    if (verbosity := fields.take("verbosity")) is not None:
        written["verbosity"] = verbosity
    return {"text": written} if written else {}


def _limit(fields: Fields, rules: Rules, warnings: list[str]) -> dict[str, Any]:
    older, limit = fields.take("max_tokens"), fields.take("max_completion_tokens")
    limit = older if limit is None else limit
    if limit is None:
        return {}
    limit = clamped_tokens(limit, rules, warnings)
    if limit < _LEAST_TOKENS:
        warnings.append("clamped:max_tokens")
        limit = _LEAST_TOKENS
    return {"max_output_tokens": limit}
