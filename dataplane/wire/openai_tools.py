"""Writes tools, `tool_choice` and `response_format` in OpenAI's format, within an upstream's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataplane.errors import RequestRejected
from dataplane.wire.openai_rules import Rules
from dataplane.wire.schemas import EMPTY_PARAMETERS, with_refs_inlined, without_meta
from dataplane.wire.tool_ids import FUNCTION_NAME, fit_names


def fitted_names(
    tools: Sequence[Mapping[str, Any]], messages: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Map the names of functions that no upstream of this format takes to ones that all take.

    Those of earlier calls count too: another model, or another dialect, may have made them.
    """
    called = [call for message in messages for call in message.get("tool_calls", ())]
    names = (
        entry["function"]["name"] for entry in [*tools, *called] if entry["type"] == "function"
    )
    return fit_names(names, FUNCTION_NAME)


def write_tools(
    body: Mapping[str, Any], rules: Rules, names: Mapping[str, str], warnings: list[str]
) -> dict[str, Any]:
    """Write `tools`, `tool_choice` and `parallel_tool_calls`; nothing if there are no tools.

    Raises RequestRejected for kinds of tools or choices that the upstream lacks.
    """
    tools = body.get("tools")
    choice = body.get("tool_choice")
    if not tools:
        return {}
    if (
        isinstance(choice, dict)
        and choice.get("type") == "allowed_tools"
        and not rules.allowed_tools
    ):
        tools, choice = _only_allowed(tools, choice)
        warnings.append("emulated:tool_choice")
    written: dict[str, Any] = {
        "tools": [_write_tool(tool, rules, names, f"tools[{at}]") for at, tool in enumerate(tools)]
    }
    if choice is not None:
        written["tool_choice"] = _write_choice(choice, rules, names)
    parallel = body.get("parallel_tool_calls")
    if parallel is not None:
        if "parallel_tool_calls" in rules.passes:
            written["parallel_tool_calls"] = parallel
        elif parallel is False:
            warnings.append("dropped:parallel_tool_calls")
    return written


def write_response_format(
    value: dict[str, Any], rules: Rules, *, named_tool: bool
) -> dict[str, Any]:
    """Write `response_format`. Raises RequestRejected where the upstream cannot hold to it."""
    if value["type"] == "text":
        return value
    if named_tool and not rules.named_tool_with_format:
        raise RequestRejected(
            "response_format does not go together with a named tool_choice at this provider",
            param="response_format",
            code="unsupported_parameter",
        )
    inner = value.get("json_schema")
    if rules.full_schemas or inner is None or "schema" not in inner:
        return value
    return {**value, "json_schema": {**inner, "schema": _plain(inner["schema"])}}


def _write_tool(
    tool: Mapping[str, Any], rules: Rules, names: Mapping[str, str], path: str
) -> dict[str, Any]:
    kind = tool["type"]
    if kind == "custom":
        if not rules.custom_tools:
            raise RequestRejected(
                "custom tools are not supported by this provider",
                param=f"{path}.type",
                code="unsupported_value",
            )
        return {"type": kind, kind: tool[kind]}
    function = tool[kind]
    name = function["name"]
    written: dict[str, Any] = {"name": names.get(name, name)}
    if function.get("description") is not None:
        written["description"] = function["description"]
    parameters = function.get("parameters")
    if parameters is not None:
        written["parameters"] = parameters if rules.full_schemas else _plain(parameters)
    elif not rules.full_schemas:
        written["parameters"] = EMPTY_PARAMETERS
    if function.get("strict") is not None and rules.strict_tools:
        written["strict"] = function["strict"]
    return {"type": "function", "function": written}


def _write_choice(choice: Any, rules: Rules, names: Mapping[str, str]) -> Any:
    match choice:
        case "required":
            return rules.required
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "function", "function": {"name": names.get(name, name)}}
        case _:
            # Custom tools and allowed_tools have passed their own checks, the words are the same.
            return choice


def _only_allowed(
    tools: Sequence[Mapping[str, Any]], choice: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], str]:
    """Leave only the allowed tools in the request, which comes to the same."""
    allowed = choice["allowed_tools"]
    wanted = {_tool_key(tool) for tool in allowed["tools"]}
    return [tool for tool in tools if _tool_key(tool) in wanted], allowed["mode"]


def _tool_key(tool: Mapping[str, Any]) -> tuple[str, str]:
    kind = tool["type"]
    return kind, tool[kind]["name"]


def _plain(schema: Any) -> Any:
    return without_meta(with_refs_inlined(schema))
