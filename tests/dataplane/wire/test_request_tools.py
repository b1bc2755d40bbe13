"""Tools, the choice among them, and the functions that came before them."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.provider import Feature
from tests.dataplane.wire.requests import CUSTOM, TOOL, chat, rejection

F = Feature
NAMED = {"type": "function", "function": {"name": "clock"}}
NAMED_CUSTOM = {"type": "custom", "custom": {"name": "shell"}}


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f"} | fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": [], "tool_choice": "auto"},
        {"tools": [], "tool_choice": "none", "parallel_tool_calls": False},
        {"tool_choice": "auto", "parallel_tool_calls": True},
    ],
)
def test_no_tools_are_absent_with_all_that_needs_them(fields: dict[str, Any]) -> None:
    request = chat(**fields)

    assert {"model", "messages"} == set(request.body)
    assert frozenset({F.CHAT}) == request.features


def test_tools_go_through_as_they_are() -> None:
    tools = [
        TOOL,
        CUSTOM | {"custom": {"name": "grep", "description": "d", "format": {"type": "text"}}},
        function(name="A_z-9", description="", strict=True, future=1),
    ]

    request = chat(tools=tools, parallel_tool_calls=False)

    assert tools == request.body["tools"]
    assert request.body["parallel_tool_calls"] is False


BAD_TOOLS: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": "x"}, "tools", "invalid_type"),
    ({"tools": [TOOL] * 129}, "tools", "invalid_value"),
    ({"tools": [7]}, "tools[0]", "invalid_type"),
    ({"tools": [{}]}, "tools[0].type", "missing_required_parameter"),
    ({"tools": [TOOL, {"type": "web_search"}]}, "tools[1].type", "invalid_value"),
    ({"tools": [{"type": []}]}, "tools[0].type", "invalid_type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
    ({"tools": [{"type": "custom"}]}, "tools[0].custom", "missing_required_parameter"),
    ({"tools": [{"type": "function", "function": []}]}, "tools[0].function", "invalid_type"),
    (
        {"tools": [{"type": "function", "function": {}}]},
        "tools[0].function.name",
        "missing_required_parameter",
    ),
    ({"tools": [function(name=1)]}, "tools[0].function.name", "invalid_type"),
    ({"tools": [function(name="")]}, "tools[0].function.name", "invalid_value"),
    ({"tools": [function(name="a.b")]}, "tools[0].function.name", "invalid_value"),
    ({"tools": [function(name="a\n")]}, "tools[0].function.name", "invalid_value"),
    ({"tools": [function(name="a" * 65)]}, "tools[0].function.name", "invalid_value"),
    ({"tools": [function(description=1)]}, "tools[0].function.description", "invalid_type"),
    ({"tools": [function(parameters=[])]}, "tools[0].function.parameters", "invalid_type"),
    ({"tools": [function(strict="yes")]}, "tools[0].function.strict", "invalid_type"),
    (
        {"tools": [{"type": "custom", "custom": {"name": "c", "format": "text"}}]},
        "tools[0].custom.format",
        "invalid_type",
    ),
    ({"tools": [TOOL], "parallel_tool_calls": 1}, "parallel_tool_calls", "invalid_type"),
    ({"parallel_tool_calls": "x"}, "parallel_tool_calls", "invalid_type"),
    ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
    ({"tool_choice": NAMED}, "tool_choice", "invalid_value"),
    ({"tools": [], "tool_choice": []}, "tool_choice", "invalid_value"),
    ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice", "invalid_value"),
    ({"tools": [TOOL], "tool_choice": 1}, "tool_choice", "invalid_type"),
    ({"tools": [TOOL], "tool_choice": {}}, "tool_choice.type", "missing_required_parameter"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.type", "invalid_value"),
    ({"tools": [TOOL], "tool_choice": {"type": {}}}, "tool_choice.type", "invalid_type"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function"}},
        "tool_choice.function",
        "invalid_type",
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {}}},
        "tool_choice.function.name",
        "invalid_type",
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "nope"}}},
        "tool_choice.function.name",
        "invalid_value",
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "custom", "custom": {"name": "clock"}}},
        "tool_choice.custom.name",
        "invalid_value",
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}},
        "tool_choice.allowed_tools",
        "missing_required_parameter",
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {}}},
        "tool_choice.allowed_tools.tools",
        "missing_required_parameter",
    ),
    (
        {
            "tools": [TOOL],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": []}},
        },
        "tool_choice.allowed_tools.tools",
        "invalid_value",
    ),
    (
        {
            "tools": [TOOL],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [1]}},
        },
        "tool_choice.allowed_tools.tools[0]",
        "invalid_type",
    ),
    (
        {
            "tools": [TOOL],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [NAMED, NAMED_CUSTOM]},
            },
        },
        "tool_choice.allowed_tools.tools[1].custom.name",
        "invalid_value",
    ),
    (
        {
            "tools": [TOOL],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "none", "tools": [NAMED]},
            },
        },
        "tool_choice.allowed_tools.mode",
        "invalid_value",
    ),
    ({"functions": {}}, "functions", "invalid_type"),
    ({"functions": [1]}, "functions[0]", "invalid_type"),
    ({"functions": [{}]}, "functions[0].name", "missing_required_parameter"),
    ({"functions": [{"name": "a b"}]}, "functions[0].name", "invalid_value"),
    ({"functions": [], "tools": []}, "functions", "invalid_value"),
    ({"function_call": "auto", "tool_choice": "auto"}, "function_call", "invalid_value"),
    ({"function_call": "required"}, "function_call", "invalid_value"),
    ({"function_call": 1}, "function_call", "invalid_type"),
    ({"function_call": {}}, "function_call.name", "missing_required_parameter"),
    ({"function_call": {"name": "a b"}}, "function_call.name", "invalid_value"),
    ({"function_call": {"name": "f"}}, "tool_choice", "invalid_value"),
]


@pytest.mark.parametrize(("fields", "param", "code"), BAD_TOOLS)
def test_bad_tools_are_refused_by_path(fields: dict[str, Any], param: str, code: str) -> None:
    error = rejection(chat, **fields)

    assert (param, code) == (error.param, error.code)


def test_a_named_tool_is_forced() -> None:
    request = chat(tools=[TOOL, CUSTOM], tool_choice=NAMED | {"x": None})

    assert "clock" == request.forced_tool
    assert NAMED == request.body["tool_choice"]
    assert {F.CHAT, F.TOOLS, F.CUSTOM_TOOLS, F.TOOL_CHOICE_NAMED} == request.features


def test_a_named_custom_tool_is_forced() -> None:
    assert "shell" == chat(tools=[TOOL, CUSTOM], tool_choice=NAMED_CUSTOM).forced_tool


@pytest.mark.parametrize(("mode", "required"), [("auto", False), ("required", True)])
def test_allowed_tools_force_none_in_particular(mode: str, required: bool) -> None:
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": mode, "tools": [NAMED, NAMED_CUSTOM]},
    }

    request = chat(tools=[TOOL, CUSTOM], tool_choice=choice)

    assert choice == request.body["tool_choice"]
    assert "" == request.forced_tool
    assert required is (F.TOOL_CHOICE_REQUIRED in request.features)
    assert F.TOOL_CHOICE_NAMED not in request.features


def test_functions_become_tools() -> None:
    functions = [{"name": "f", "description": None, "parameters": {}}, {"name": "g"}]

    request = chat(functions=functions, function_call={"name": "g"})

    assert [
        {"type": "function", "function": {"name": "f", "parameters": {}}},
        {"type": "function", "function": {"name": "g"}},
    ] == request.body["tools"]
    assert {"type": "function", "function": {"name": "g"}} == request.body["tool_choice"]
    assert "g" == request.forced_tool
    assert request.legacy_functions
    assert {"functions", "function_call"}.isdisjoint(request.body)


@pytest.mark.parametrize("word", ["auto", "none"])
def test_the_words_of_function_call_stay(word: str) -> None:
    assert word == chat(functions=[{"name": "f"}], function_call=word).body["tool_choice"]


def test_functions_need_no_choice() -> None:
    request = chat(functions=[{"name": "f"}])

    assert "tool_choice" not in request.body
    assert request.legacy_functions


def test_no_functions_are_absent() -> None:
    request = chat(functions=[], function_call="auto")

    assert {"model", "messages"} == set(request.body)
    assert request.legacy_functions


def test_tools_of_today_are_not_legacy() -> None:
    assert not chat(tools=[TOOL]).legacy_functions
