"""Writes tools, `tool_choice` and `response_format` as the Messages API wants them.

Source: Anthropic API reference, "Tool use" and "Structured outputs", read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dataplane.errors import RequestRejected
from dataplane.wire.anthropic_models import Abilities
from dataplane.wire.anthropic_parts import Block, cache_mark
from dataplane.wire.schemas import EMPTY_PARAMETERS
from dataplane.wire.taken_fields import Fields

JSON_INSTRUCTION: Final = "Answer with one valid JSON object and nothing else."
"""What stands in for `response_format` of type json_object, as the last words of the system."""

_EMULATION: Final = "Give the answer. Call this tool exactly once, with all of the answer."


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """What a request says of tools. emulated: the tool that stands for the answer's schema."""

    tools: Sequence[Block] = ()
    choice: Mapping[str, Any] | None = None
    emulated: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How the form of the answer is asked for; at most one of the three.

    native: the object for `output_config`. emulated: a tool that has to be called. instruction: words for the system.
    """

    native: Mapping[str, Any] | None = None
    emulated: Block | None = None
    instruction: str = ""


def write_tools(
    fields: Fields,
    model: Abilities,
    *,
    names: Mapping[str, str],
    called: Sequence[str],
    emulated: Block | None,
    thinks: bool,
) -> ToolUse:
    """Write `tools`, `tool_choice` and `parallel_tool_calls`.

    names: tool names that must change. called: names of tools in the history. emulated: the tool
    that stands for a schema. thinks: whether the model thinks because it was asked to.
    Raises RequestRejected for what the model cannot be told.
    """
    tools, choice = fields.take("tools") or [], fields.take("tool_choice")
    parallel = fields.take("parallel_tool_calls")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        tools, choice = _only_allowed(tools, choice)
        fields.warn("emulated:tool_choice")
    written = [_tool(tool, f"tools[{at}]", model, names, fields) for at, tool in enumerate(tools)]
    if emulated is not None:
        if written:
            raise RequestRejected(
                "this model cannot be held to a response_format and be given tools at once",
                param="response_format",
                code="unsupported_parameter",
            )
        forced = _forced(
            {"type": "tool", "name": emulated["name"]}, model, "response_format", thinks=thinks
        )
        choice_written = {**forced, "disable_parallel_tool_use": True}
        return ToolUse(
            tools=[*_from_history(called, names, fields), emulated],
            choice=choice_written,
            emulated=emulated["name"],
        )
    if not written:
        # A conversation with calls in it needs their tools; nothing may be called by that.
        history = _from_history(called, names, fields)
        return ToolUse(tools=history, choice={"type": "none"} if history else None)
    return ToolUse(tools=written, choice=_choice(choice, parallel, model, names, thinks=thinks))


def write_format(fields: Fields, model: Abilities) -> Format:
    """Write `response_format`. Raises RequestRejected where the model cannot be held to it."""
    wanted = fields.take("response_format")
    match wanted:
        case None | {"type": "text"}:
            return Format()
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return _schema_format(schema, wanted["json_schema"], model, fields)
        case {"type": "json_object" | "json_schema"}:
            fields.warn("emulated:response_format")
            return Format(instruction=JSON_INSTRUCTION)
        case _:
            raise RequestRejected(
                "unknown type of response_format",
                param="response_format",
                code="unsupported_value",
            )


def closed(schema: Any) -> Any:
    """Copy a schema with `additionalProperties: false` on each object that leaves it open."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {
        key: value if key in {"enum", "const", "default", "examples"} else closed(value)
        for key, value in schema.items()
    }
    kind = copy.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        copy.setdefault("additionalProperties", False)
    return copy


def _tool(
    tool: Any, path: str, model: Abilities, names: Mapping[str, str], fields: Fields
) -> Block:
    match tool:
        case {"type": "function", "function": {"name": str(name)}}:
            function = tool["function"]
        case _:
            raise RequestRejected(
                "only tools of type function are supported by this provider",
                param=f"{path}.type",
                code="unsupported_value",
            )
    written: Block = {"name": names.get(name, name)}
    if isinstance(description := function.get("description"), str) and description:
        written["description"] = description
    written["input_schema"] = _parameters(function.get("parameters"))
    if function.get("strict") is True:
        if model.structured:
            written["strict"] = True
            written["input_schema"] = closed(written["input_schema"])
        else:
            fields.warn("dropped:tools.function.strict")
    mark = cache_mark(tool, path) or cache_mark(function, f"{path}.function")
    return written if mark is None else {**written, "cache_control": mark}


def _parameters(schema: Any) -> Mapping[str, Any]:
    return {**EMPTY_PARAMETERS, **schema} if isinstance(schema, dict) else EMPTY_PARAMETERS


def _from_history(called: Sequence[str], names: Mapping[str, str], fields: Fields) -> list[Block]:
    if called:
        fields.warn("emulated:tools")
    return [{"name": names.get(name, name), "input_schema": EMPTY_PARAMETERS} for name in called]


def _choice(
    choice: Any,
    parallel: Any,
    model: Abilities,
    names: Mapping[str, str],
    *,
    thinks: bool,
) -> Mapping[str, Any] | None:
    match choice:
        case None | "auto":
            written = None if choice is None and parallel is not False else {"type": "auto"}
        case "none":
            return {"type": "none"}
        case "required":
            written = _forced({"type": "any"}, model, "tool_choice", thinks=thinks)
        case {"type": "function", "function": {"name": str(name)}}:
            forced = {"type": "tool", "name": names.get(name, name)}
            written = _forced(forced, model, "tool_choice", thinks=thinks)
        case _:
            raise RequestRejected(
                "this tool_choice is not supported by this provider",
                param="tool_choice",
                code="unsupported_value",
            )
    if written is None or parallel is not False:
        return written
    return {**written, "disable_parallel_tool_use": True}


def _forced(
    choice: dict[str, Any], model: Abilities, param: str, *, thinks: bool
) -> dict[str, Any]:
    """Force a call, which is a part of the answer's contract: it is never downgraded."""
    if not model.forced_tool:
        raise RequestRejected(
            "this model cannot be made to call a tool", param=param, code="unsupported_value"
        )
    if thinks:
        raise RequestRejected(
            "this model cannot be made to call a tool while it reasons: leave reasoning_effort out",
            param=param,
            code="unsupported_value",
        )
    return choice


def _only_allowed(tools: Sequence[Any], choice: Mapping[str, Any]) -> tuple[list[Any], str]:
    """Leave only the allowed tools in the request, which comes to the same."""
    match choice:
        case {"allowed_tools": {"tools": list(allowed), "mode": "auto" | "required" as mode}}:
            wanted = [_name(tool) for tool in allowed]
        case _:
            raise RequestRejected(
                "allowed_tools needs a mode and tools", param="tool_choice", code="invalid_value"
            )
    left = [tool for tool in tools if _name(tool) in wanted]
    if not left:
        raise RequestRejected(
            "allowed_tools names none of the tools", param="tool_choice", code="invalid_value"
        )
    return left, mode


def _name(tool: Any) -> str:
    match tool:
        case {"type": "function", "function": {"name": str(name)}}:
            return name
        case _:
            return ""


def _schema_format(
    schema: dict[str, Any], described: Mapping[str, Any], model: Abilities, fields: Fields
) -> Format:
    if model.structured:
        written = closed(schema)
        if written != schema:
            fields.warn("mapped:response_format")
        return Format(native={"type": "json_schema", "schema": written})
    if schema.get("type", "object") != "object":
        raise RequestRejected(
            "this model can be held to schemas of objects only",
            param="response_format.json_schema.schema",
            code="unsupported_value",
        )
    fields.warn("emulated:response_format")
    description = described.get("description")
    tool: Block = {
        "name": str(described.get("name", "answer")),
        "description": f"{description}\n{_EMULATION}" if description else _EMULATION,
        "input_schema": _parameters(schema),
    }
    return Format(emulated=tool)
