from typing import Any

import pytest

from dataplane.errors import RequestRejected
from dataplane.wire.ollama_messages import Converted, convert_messages, convert_tools

PNG = "iVBORw0KGgo="


def call(call_id: str, name: str, arguments: Any = "{}") -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def tool_turns(*calls: dict[str, Any]) -> list[dict[str, Any]]:
    """An assistant turn with calls, and an answer to each."""
    return [
        {"role": "assistant", "content": None, "tool_calls": list(calls)},
        *({"role": "tool", "tool_call_id": c["id"], "content": "ok"} for c in calls),
    ]


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            {"role": "developer", "content": "be brief"},
            {"role": "system", "content": "be brief"},
            id="developer is system",
        ),
        pytest.param(
            {"role": "system", "content": "be brief"},
            {"role": "system", "content": "be brief"},
            id="system",
        ),
        pytest.param(
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {"role": "user", "content": "a\nb"},
            id="text parts are joined by newline",
        ),
        pytest.param(
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    {"type": "image_url", "image_url": f"DATA:image/webp;x=y;BASE64,{PNG}"},
                ],
            },
            {"role": "user", "content": "what?", "images": [PNG, PNG]},
            id="images are bare base64",
        ),
        pytest.param(
            {"role": "assistant", "content": "hi", "reasoning_content": "hm", "refusal": None},
            {"role": "assistant", "content": "hi", "thinking": "hm"},
            id="reasoning_content goes back as thinking",
        ),
        pytest.param(
            {"role": "assistant", "content": "hi", "reasoning_content": "", "reasoning": "hm"},
            {"role": "assistant", "content": "hi", "thinking": "hm"},
            id="reasoning goes back as thinking",
        ),
        pytest.param(
            {"role": "assistant", "content": "hi", "thinking": "hm", "annotations": []},
            {"role": "assistant", "content": "hi", "thinking": "hm"},
            id="thinking stays, foreign keys are stripped",
        ),
        pytest.param(
            {"role": "assistant", "content": None, "refusal": "I will not"},
            {"role": "assistant", "content": "I will not"},
            id="a refusal is text",
        ),
        pytest.param(
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "assistant", "content": "no"},
            id="a refusal part is text",
        ),
        pytest.param(
            {"role": "assistant"},
            {"role": "assistant", "content": ""},
            id="absent content is empty",
        ),
        pytest.param(
            {"role": "assistant", "content": "hi", "tool_calls": []},
            {"role": "assistant", "content": "hi"},
            id="no tool calls",
        ),
    ],
)
def test_a_message_is_written_as_ollama_reads_it(
    message: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert Converted(items=[expected], warnings=[]) == convert_messages([message])


def test_an_answer_names_its_tool_and_arguments_are_objects() -> None:
    turns = tool_turns(call("call_a", "clock", '{"tz": "UTC"}'), call("call_b", "dice", ""))

    assert [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_a",
                    "function": {"index": 0, "name": "clock", "arguments": {"tz": "UTC"}},
                },
                {"id": "call_b", "function": {"index": 1, "name": "dice", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "ok", "tool_name": "clock", "tool_call_id": "call_a"},
        {"role": "tool", "content": "ok", "tool_name": "dice", "tool_call_id": "call_b"},
    ] == convert_messages(turns).items


@pytest.mark.parametrize(
    ("arguments", "expected", "warned"),
    [
        ("", {}, False),
        (" \n", {}, False),
        (None, {}, False),
        ("{}", {}, False),
        ('{"a":[1]}', {"a": [1]}, False),
        ({"a": 1}, {"a": 1}, False),
        ('{"a":', {"_raw": '{"a":'}, True),
        ("[1]", {"value": [1]}, True),
        ("7", {"value": 7}, True),
        ([1], {"value": [1]}, True),
        ("null", {}, False),
    ],
)
def test_arguments_become_an_object_and_lose_nothing(
    arguments: object, expected: dict[str, Any], warned: bool
) -> None:
    converted = convert_messages(tool_turns(call("call_a", "f", arguments)))

    assert expected == converted.items[0]["tool_calls"][0]["function"]["arguments"]
    assert warned == ("emulated:messages.tool_calls.function.arguments" in converted.warnings)


def test_answers_may_come_in_any_order_and_ids_may_return_in_later_turns() -> None:
    turns = tool_turns(call("call_0", "clock"), call("call_1", "dice"))
    turns[1:] = reversed(turns[1:])
    later = tool_turns(call("call_0", "weather"))

    names = [item.get("tool_name") for item in convert_messages([*turns, *later]).items]

    assert [None, "dice", "clock", None, "weather"] == names


@pytest.mark.parametrize(
    ("message", "warning"),
    [
        ({"role": "user", "content": "x", "name": "bob"}, "dropped:messages.name"),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
            },
            "dropped:cache_control",
        ),
        (
            {
                "role": "user",
                "content": [
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"},
                    }
                ],
            },
            "dropped:messages.content.image_url.detail",
        ),
    ],
)
def test_what_ollama_has_no_word_for_is_dropped_with_a_warning(
    message: dict[str, Any], warning: str
) -> None:
    assert [warning] == convert_messages([message]).warnings


def user(*parts: object) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        ([], "messages", None),
        (["hi"], "messages[0]", None),
        ([{"content": "x"}], "messages[0].role", None),
        ([{"role": "tester", "content": "x"}], "messages[0].role", None),
        ([{"role": ["user"], "content": "x"}], "messages[0].role", None),
        ([{"role": "user", "content": 7}], "messages[0].content", None),
        ([user("x")], "messages[0].content[0]", None),
        ([user({"type": "text"})], "messages[0].content[0].text", None),
        ([user({"type": "video"})], "messages[0].content[0].type", None),
        (
            [user({"type": "input_audio", "input_audio": {}})],
            "messages[0].content[0].input_audio",
            "unsupported_parameter",
        ),
        (
            [user({"type": "text", "text": "x"}, {"type": "file", "file": {}})],
            "messages[0].content[1].file",
            "unsupported_parameter",
        ),
        (
            [user({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})],
            "messages[0].content[0].image_url",
            "unsupported_parameter",
        ),
        (
            [user({"type": "image_url", "image_url": {"url": "data:text/plain;base64,aGk="}})],
            "messages[0].content[0].image_url",
            None,
        ),
        (
            [user({"type": "image_url", "image_url": {"url": "data:image/png,raw"}})],
            "messages[0].content[0].image_url",
            None,
        ),
        (
            [user({"type": "image_url", "image_url": {"url": "data:image/png;base64"}})],
            "messages[0].content[0].image_url",
            None,
        ),
        ([user({"type": "image_url"})], "messages[0].content[0].image_url", None),
        (
            [{"role": "assistant", "content": None, "audio": {"id": "a"}}],
            "messages[0].audio",
            "unsupported_parameter",
        ),
        (
            [{"role": "assistant", "tool_calls": {"id": "a"}}],
            "messages[0].tool_calls",
            None,
        ),
        ([{"role": "assistant", "tool_calls": ["a"]}], "messages[0].tool_calls[0]", None),
        (
            [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function"}]}],
            "messages[0].tool_calls[0].function",
            None,
        ),
        (
            [{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]}],
            "messages[0].tool_calls[0].type",
            "unsupported_parameter",
        ),
    ],
)
def test_what_cannot_be_said_is_rejected_with_its_path(
    messages: list[Any], param: str, code: str | None
) -> None:
    with pytest.raises(RequestRejected) as rejected:
        convert_messages(messages)

    assert (400, param, code) == (rejected.value.status, rejected.value.param, rejected.value.code)


def test_an_answer_without_a_call_is_rejected_by_its_id() -> None:
    with pytest.raises(RequestRejected, match="'call_x'") as rejected:
        convert_messages([{"role": "tool", "tool_call_id": "call_x", "content": "ok"}])

    assert "messages[0].tool_call_id" == rejected.value.param


def test_a_second_answer_to_one_call_is_rejected() -> None:
    turns = tool_turns(call("call_a", "f"))

    with pytest.raises(RequestRejected, match="'call_a'"):
        convert_messages([*turns, turns[1]])


@pytest.mark.parametrize("follow_up", [[], [{"role": "user", "content": "well?"}]])
def test_a_call_without_an_answer_is_rejected_by_its_id(follow_up: list[dict[str, Any]]) -> None:
    turns = tool_turns(call("call_a", "f"), call("call_b", "g"))[:-1]

    with pytest.raises(RequestRejected, match="'call_b'") as rejected:
        convert_messages([*turns, *follow_up])

    assert "messages[0].tool_calls" == rejected.value.param


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            function("f"),
            function("f", parameters={"type": "object", "properties": {}}),
        ),
        (
            function("f", description="d", parameters=None),
            function("f", description="d", parameters={"type": "object", "properties": {}}),
        ),
        (
            function(
                "f",
                strict=False,
                parameters={
                    "$schema": "s",
                    "$id": "i",
                    "type": "object",
                    "properties": {"a": {"type": "string"}},
                    "required": ["a"],
                    "$defs": {},
                },
            ),
            function(
                "f",
                parameters={
                    "type": "object",
                    "properties": {"a": {"type": "string"}},
                    "required": ["a"],
                    "$defs": {},
                },
            ),
        ),
    ],
)
def test_a_tool_is_written_with_whole_parameters(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert Converted(items=[expected], warnings=[]) == convert_tools([given], None)


def test_strictness_is_dropped_with_a_warning() -> None:
    assert ["dropped:tools.function.strict"] == convert_tools(
        [function("f", strict=True)], "auto"
    ).warnings


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["f", "g"]),
        ("auto", ["f", "g"]),
        ("none", []),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [function("g"), {"type": "x"}, 7]},
            },
            ["g"],
        ),
    ],
)
def test_the_choice_leaves_some_tools(choice: object, names: list[str]) -> None:
    converted = convert_tools([function("f"), function("g")], choice)

    assert names == [item["function"]["name"] for item in converted.items]


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        function("f"),
        {"type": "custom", "custom": {"name": "f"}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [function("f")]}},
    ],
)
def test_a_forced_call_is_rejected(choice: object) -> None:
    with pytest.raises(RequestRejected) as rejected:
        convert_tools([function("f")], choice)

    assert ("tool_choice", "unsupported_parameter") == (rejected.value.param, rejected.value.code)


@pytest.mark.parametrize(
    ("tool", "param", "code"),
    [
        ("f", "tools[0]", None),
        ({"type": "custom", "custom": {"name": "f"}}, "tools[0].type", "unsupported_parameter"),
        ({"type": "function"}, "tools[0].function", None),
        ({"type": "function", "function": {}}, "tools[0].function.name", None),
        (function("f", parameters=[]), "tools[0].function.parameters", None),
    ],
)
def test_a_tool_that_is_none_is_rejected_with_its_path(
    tool: Any, param: str, code: str | None
) -> None:
    with pytest.raises(RequestRejected) as rejected:
        convert_tools([tool], None)

    assert (param, code) == (rejected.value.param, rejected.value.code)
