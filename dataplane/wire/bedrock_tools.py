"""Writes tools, `tool_choice` and `response_format` for Converse.

A history that holds calls must come with a toolConfig, so one is made up of the names that were
called where the request brings no tools. There is no choice `none`: without such a history tools
are left out, with it they stay, and the model could call one.

Source: Amazon Bedrock API reference, ToolConfiguration and OutputConfig, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.wire.bedrock_models import BedrockModel
from dataplane.wire.bedrock_parts import Block, cache_point, reject
from dataplane.wire.schemas import EMPTY_PARAMETERS, without_meta
from dataplane.wire.taken_fields import Fields

JSON_INSTRUCTION: Final = "Answer with a valid JSON object and nothing else."
"""What stands in for `json_object`, which Converse lacks."""

_ANSWER_TOOL: Final = "answer"


class ToolRules(Struct, frozen=True, kw_only=True):
    """What a model takes in this request.

    forced: a choice that forces a call. structured: schemas of its own, and strict tools.
    closes: objects in schemas must say that they have no further properties.
    """

    forced: bool
    structured: bool
    closes: bool


class AnswerFormat(Struct, frozen=True, kw_only=True):
    """What a response_format comes to.

    text_format: Converse's own. instruction: a sentence for the system prompt.
    tool: the toolConfig that forces the answer into a call, and its name in `answer_tool`.
    """

    text_format: Mapping[str, Any] | None = None
    instruction: str = ""
    tool: Mapping[str, Any] | None = None
    answer_tool: str = ""


def write_tools(
    fields: Fields,
    model: BedrockModel,
    rules: ToolRules,
    *,
    names: Mapping[str, str],
    tools_used: Sequence[str],
) -> Mapping[str, Any] | None:
    """Write the toolConfig, None if there is none to be sent.

    tools_used: names that the history calls, as they are sent. Raises RequestRejected for kinds
    of tools and choices that the model lacks.
    """
    tools = fields.take("tools") or []
    if not isinstance(tools, list):
        raise RequestRejected("tools must be a list", param="tools")
    if tools and not model.tools:
        reject("this model calls no functions", "tools")
    choice = fields.take("tool_choice")
    parallel = fields.take("parallel_tool_calls")
    if choice == "none":
        if not tools_used:
            return None
        choice = None
        fields.warn("emulated:tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        tools, choice = _only_allowed(tools, choice)
        fields.warn("emulated:tool_choice")
    specs: list[Block] = []
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        specs.append(_spec(tool, rules, names, path, fields))
        specs += cache_point(tool, fields, takes=model.caches_tools, model=model)
    if not specs:
        if not tools_used:
            return None
        specs = [_made_up(name) for name in tools_used]
        fields.warn("emulated:tools")
    config: dict[str, Any] = {"tools": specs}
    if choice is not None:
        config["toolChoice"] = _choice(choice, rules, names)
    if parallel is False:
        fields.warn("dropped:parallel_tool_calls")
    return config


def write_format(fields: Fields, rules: ToolRules, *, has_tools: bool) -> AnswerFormat:
    """Write a response_format. Raises RequestRejected where the model cannot hold to it."""
    match fields.take("response_format"):
        case None | {"type": "text"}:
            return AnswerFormat()
        case {"type": "json_schema", "json_schema": {"schema": dict(schema), **described}}:
            name = str(described.get("name") or _ANSWER_TOOL)
            text = described.get("description")
            description = {"description": text} if isinstance(text, str) and text else {}
        case {"type": "json_object" | "json_schema"}:
            fields.warn("emulated:response_format")
            return AnswerFormat(instruction=JSON_INSTRUCTION)
        case _:
            reject("unknown type of response_format", "response_format")
    if rules.structured:
        plain = _closed(without_meta(schema)) if rules.closes else without_meta(schema)
        written = {"schema": encode(plain).decode(), "name": name, **description}
        return AnswerFormat(
            text_format={"type": "json_schema", "structure": {"jsonSchema": written}}
        )
    if has_tools or not rules.forced:
        reject(
            "response_format json_schema is not supported by this model"
            + (" together with tools" if has_tools else ""),
            "response_format",
        )
    fields.warn("emulated:response_format")
    spec = {"name": name, **description, "inputSchema": {"json": _object_schema(schema)}}
    return AnswerFormat(
        tool={"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": name}}},
        answer_tool=name,
    )


def _spec(
    tool: Any, rules: ToolRules, names: Mapping[str, str], path: str, fields: Fields
) -> Block:
    match tool:
        case {"type": "function", "function": {"name": str(name), **function}}:
            pass
        case _:
            reject("only function tools are supported", f"{path}.type", "unsupported_value")
    spec: dict[str, Any] = {"name": names.get(name, name)}
    description = function.get("description")
    # An empty one is refused.
    if isinstance(description, str) and description:
        spec["description"] = description
    schema = _object_schema(function.get("parameters"))
    if function.get("strict"):
        if rules.structured:
            spec["strict"] = True
            schema = _closed(schema) if rules.closes else schema
        else:
            fields.warn("dropped:tools.function.strict")
    spec["inputSchema"] = {"json": schema}
    return {"toolSpec": spec}


def _made_up(name: str) -> Block:
    return {"toolSpec": {"name": name, "inputSchema": {"json": EMPTY_PARAMETERS}}}


def _choice(choice: Any, rules: ToolRules, names: Mapping[str, str]) -> Mapping[str, Any]:
    match choice:
        case "auto":
            return {"auto": {}}
        case "required":
            written: Mapping[str, Any] = {"any": {}}
        case {"type": "function", "function": {"name": str(name)}}:
            written = {"tool": {"name": names.get(name, name)}}
        case _:
            reject("this tool_choice is not supported", "tool_choice", "unsupported_value")
    if not rules.forced:
        reject(
            "this model cannot be made to call a tool in this request",
            "tool_choice",
            "unsupported_value",
        )
    return written


def _only_allowed(tools: Sequence[Any], choice: Mapping[str, Any]) -> tuple[list[Any], str]:
    """Leave only the allowed tools in the request, which comes to the same."""
    match choice:
        case {"allowed_tools": {"tools": list(allowed), "mode": "auto" | "required" as mode}}:
            wanted = {name for each in allowed if (name := _name_of(each))}
        case _:
            reject("allowed_tools needs a mode and tools", "tool_choice", "invalid_value")
    left = [tool for tool in tools if _name_of(tool) in wanted]
    if not left:
        reject("allowed_tools names none of the tools", "tool_choice", "invalid_value")
    return left, mode


def _name_of(tool: Any) -> str:
    match tool:
        case {"function": {"name": str(name)}}:
            return name
        case _:
            return ""


def _object_schema(schema: Any) -> Mapping[str, Any]:
    plain = without_meta(schema) if isinstance(schema, dict) else {}
    return {**EMPTY_PARAMETERS, **plain, "type": "object"}


def _closed(node: Any) -> Any:
    """Copy a schema whose objects all say that they have no further properties."""
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {
        key: value if key in {"enum", "const", "default", "examples"} else _closed(value)
        for key, value in node.items()
    }
    if node.get("type") == "object" or isinstance(node.get("properties"), dict):
        copy["additionalProperties"] = False
    return copy
