"""Checks `tools` and `tool_choice`, and converts their predecessors `functions`/`function_call`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dataplane.provider import Feature
from dataplane.wire.checks import (
    boolean,
    choice,
    mapping,
    missing,
    name,
    quoted,
    sequence,
    text,
    without_nulls,
    wrong_type,
    wrong_value,
)

MAX_TOOLS: Final = 128

_KINDS: Final = frozenset({"function", "custom"})
_WORDS: Final = frozenset({"none", "auto", "required"})
_MODES: Final = frozenset({"auto", "required"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a request says of tools.

    forced: the name that `tool_choice` names, or empty.
    features: what they need of a target.
    """

    forced: str = ""
    features: frozenset[Feature] = frozenset()


def take_legacy(fields: dict[str, Any]) -> bool:
    """Replace `functions` and `function_call` by what they are called today.

    Returns whether they were there: then the answer must speak of `function_call` again.
    """
    legacy = "functions" in fields or "function_call" in fields
    if not legacy:
        return False
    for old, new in (("functions", "tools"), ("function_call", "tool_choice")):
        if old in fields and new in fields:
            raise wrong_value(old, f"cannot be combined with {new}")
    if "functions" in fields:
        functions = sequence(fields.pop("functions"), "functions", most=MAX_TOOLS)
        fields["tools"] = [
            {"type": "function", "function": _function(function, f"functions[{index}]")}
            for index, function in enumerate(functions)
        ]
    if "function_call" in fields:
        fields["tool_choice"] = _legacy_choice(fields.pop("function_call"))
    return True


def take_tools(fields: dict[str, Any]) -> Tools:
    """Check `tools`, `tool_choice` and `parallel_tool_calls`. Raises RequestRejected.

    An empty list of tools is absent, and with it whatever only makes sense with tools.
    """
    if "parallel_tool_calls" in fields:
        boolean(fields["parallel_tool_calls"], "parallel_tool_calls")
    entries = sequence(fields.pop("tools", []), "tools", most=MAX_TOOLS)
    if not entries:
        fields.pop("parallel_tool_calls", None)
        _drop_idle_choice(fields)
        return Tools()
    tools = [_tool(entry, f"tools[{index}]") for index, entry in enumerate(entries)]
    names = {(tool["type"], tool[tool["type"]]["name"]) for tool in tools}
    fields["tools"] = tools
    features = {Feature.TOOLS}
    if any(kind == "custom" for kind, _ in names):
        features.add(Feature.CUSTOM_TOOLS)
    if "tool_choice" not in fields:
        return Tools(features=frozenset(features))
    fields["tool_choice"], forced, required = _choice(fields["tool_choice"], names)
    if forced:
        features.add(Feature.TOOL_CHOICE_NAMED)
    if required:
        features.add(Feature.TOOL_CHOICE_REQUIRED)
    return Tools(forced=forced, features=frozenset(features))


def _legacy_choice(value: Any) -> Any:
    if isinstance(value, str):
        return choice(value, "function_call", among={"none", "auto"})
    wanted = mapping(value, "function_call")
    if "name" not in wanted:
        raise missing("function_call.name")
    return {
        "type": "function",
        "function": {"name": name(wanted["name"], "function_call.name")},
    }


def _drop_idle_choice(fields: dict[str, Any]) -> None:
    if "tool_choice" in fields and fields.pop("tool_choice") not in ("none", "auto"):
        raise wrong_value("tool_choice", "is only allowed with tools")


def _tool(value: Any, param: str) -> dict[str, Any]:
    tool = without_nulls(mapping(value, param))
    if "type" not in tool:
        raise missing(f"{param}.type")
    kind = choice(tool["type"], f"{param}.type", among=_KINDS)
    if kind not in tool:
        raise missing(f"{param}.{kind}")
    inner = f"{param}.{kind}"
    check = _function if kind == "function" else _custom
    return tool | {kind: check(tool[kind], inner)}


def _function(value: Any, param: str) -> dict[str, Any]:
    function = _named(value, param)
    if "parameters" in function:
        mapping(function["parameters"], f"{param}.parameters")
    if "strict" in function:
        boolean(function["strict"], f"{param}.strict")
    return function


def _custom(value: Any, param: str) -> dict[str, Any]:
    custom = _named(value, param)
    if "format" in custom:
        mapping(custom["format"], f"{param}.format")
    return custom


def _named(value: Any, param: str) -> dict[str, Any]:
    fields = without_nulls(mapping(value, param))
    if "name" not in fields:
        raise missing(f"{param}.name")
    name(fields["name"], f"{param}.name")
    if "description" in fields:
        text(fields["description"], f"{param}.description")
    return fields


def _choice(value: Any, names: set[tuple[str, str]]) -> tuple[Any, str, bool]:
    """Check a choice; return it, the tool that it names, and whether some tool must be called."""
    if isinstance(value, str):
        word = choice(value, "tool_choice", among=_WORDS)
        return word, "", word == "required"
    if not isinstance(value, dict):
        raise wrong_type("tool_choice", "a string or an object")
    wanted = without_nulls(value)
    kind = wanted.get("type")
    if kind == "allowed_tools":
        mode = _allowed(wanted, names)
        return wanted, "", mode == "required"
    return wanted, _reference(wanted, "tool_choice", names), False


def _allowed(wanted: dict[str, Any], names: set[tuple[str, str]]) -> str:
    param = "tool_choice.allowed_tools"
    if "allowed_tools" not in wanted:
        raise missing(param)
    allowed = mapping(wanted["allowed_tools"], param)
    if "tools" not in allowed:
        raise missing(f"{param}.tools")
    entries = sequence(allowed["tools"], f"{param}.tools", least=1, most=MAX_TOOLS)
    for index, entry in enumerate(entries):
        path = f"{param}.tools[{index}]"
        _reference(mapping(entry, path), path, names)
    return choice(allowed.get("mode"), f"{param}.mode", among=_MODES)


def _reference(wanted: dict[str, Any], param: str, names: set[tuple[str, str]]) -> str:
    """Check an object that names one of the request's tools, and return the name."""
    if "type" not in wanted:
        raise missing(f"{param}.type")
    kind = choice(wanted["type"], f"{param}.type", among=_KINDS)
    inner = mapping(wanted.get(kind), f"{param}.{kind}")
    found = name(inner.get("name"), f"{param}.{kind}.name")
    if (kind, found) not in names:
        raise wrong_value(f"{param}.{kind}.name", f"{quoted(found)} is not among the tools")
    return found
