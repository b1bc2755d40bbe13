"""Messages: roles, contents, parts, and that calls and results belong together."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.provider import Feature
from tests.dataplane.wire.requests import USER, call, calls, conversation, rejection, result

F = Feature
PNG = "data:image/png;base64,iVBORw0KGgo="


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def image(url: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url} | more}


def audio(data: Any = "AAAA", spelling: Any = "wav") -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": spelling}}


def file(**fields: Any) -> dict[str, Any]:
    return {"type": "file", "file": fields}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "d"},
        {"role": "system", "content": "s", "name": "n"},
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "", "cache_control": {"a": None}}]},
        {"role": "assistant", "content": "a", "reasoning_content": "r", "annotations": []},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": None, "audio": {"id": "a1"}},
        {"role": "assistant", "content": ""},
    ],
)
def test_good_messages_stay_as_they_are(message: dict[str, Any]) -> None:
    assert [message, USER] == conversation(message, USER).body["messages"]


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": []}])
def test_an_assistants_empty_turn_is_empty_text(content: dict[str, Any]) -> None:
    request = conversation({"role": "assistant", "reasoning": None} | content, USER)

    assert {"role": "assistant", "content": ""} == request.body["messages"][0]


def test_nulls_are_gone_from_messages_but_for_an_assistants_content() -> None:
    message = calls("c1") | {
        "tool_calls": [call("c1") | {"index": None}],
        "refusal": None,
        "audio": None,
        "function_call": None,
        "name": None,
    }

    request = conversation(USER | {"name": None}, message, result("c1"))

    assert [USER, calls("c1"), result("c1")] == request.body["messages"]


def test_an_empty_list_of_calls_is_absent() -> None:
    request = conversation({"role": "assistant", "content": "a", "tool_calls": []}, USER)

    assert {"role": "assistant", "content": "a"} == request.body["messages"][0]
    assert frozenset({F.CHAT}) == request.features


BAD_MESSAGES: list[tuple[Any, str, str]] = [
    (7, "messages[0]", "invalid_type"),
    ({}, "messages[0].role", "missing_required_parameter"),
    ({"role": 7}, "messages[0].role", "invalid_type"),
    ({"role": []}, "messages[0].role", "invalid_type"),
    ({"role": "bot", "content": "x"}, "messages[0].role", "invalid_value"),
    ({"role": "user"}, "messages[0].content", "missing_required_parameter"),
    ({"role": "user", "content": None}, "messages[0].content", "missing_required_parameter"),
    ({"role": "user", "content": 7}, "messages[0].content", "invalid_type"),
    ({"role": "user", "content": {}}, "messages[0].content", "invalid_type"),
    ({"role": "user", "content": []}, "messages[0].content", "invalid_value"),
    ({"role": "user", "content": "x", "name": 7}, "messages[0].name", "invalid_type"),
    ({"role": "user", "content": "x", "name": ""}, "messages[0].name", "invalid_value"),
    (user(7), "messages[0].content[0]", "invalid_type"),
    (user({}), "messages[0].content[0].type", "missing_required_parameter"),
    (user({"type": 7}), "messages[0].content[0].type", "invalid_type"),
    (user({"type": "video"}), "messages[0].content[0].type", "invalid_value"),
    (user({"type": "refusal"}), "messages[0].content[0].type", "invalid_value"),
    (user({"type": "text"}), "messages[0].content[0].text", "missing_required_parameter"),
    (user({"type": "text", "text": 7}), "messages[0].content[0].text", "invalid_type"),
    (
        user({"type": "text", "text": "a"}, {"type": "image_url"}),
        "messages[0].content[1].image_url",
        "missing_required_parameter",
    ),
    (
        user({"type": "image_url", "image_url": PNG}),
        "messages[0].content[0].image_url",
        "invalid_type",
    ),
    (
        user({"type": "image_url", "image_url": {}}),
        "messages[0].content[0].image_url.url",
        "missing_required_parameter",
    ),
    (user(image(PNG, detail="best")), "messages[0].content[0].image_url.detail", "invalid_value"),
    (
        user({"type": "input_audio", "input_audio": "AAAA"}),
        "messages[0].content[0].input_audio",
        "invalid_type",
    ),
    (user(audio(data="A")), "messages[0].content[0].input_audio.data", "invalid_value"),
    (user(audio(spelling="")), "messages[0].content[0].input_audio.format", "invalid_value"),
    (user(audio(spelling=7)), "messages[0].content[0].input_audio.format", "invalid_type"),
    (
        user({"type": "input_audio", "input_audio": {"data": "AAAA"}}),
        "messages[0].content[0].input_audio.format",
        "missing_required_parameter",
    ),
    (user(file()), "messages[0].content[0].file", "invalid_value"),
    (user(file(file_id="")), "messages[0].content[0].file.file_id", "invalid_value"),
    (user(file(file_data=7)), "messages[0].content[0].file.file_data", "invalid_type"),
    (user(file(file_data="AAAA")), "messages[0].content[0].file.file_data", "invalid_value"),
    (
        user(file(file_id="f", filename=7)),
        "messages[0].content[0].file.filename",
        "invalid_type",
    ),
    (
        {"role": "system", "content": [image(PNG)]},
        "messages[0].content[0].type",
        "invalid_value",
    ),
    ({"role": "developer"}, "messages[0].content", "missing_required_parameter"),
    (
        {"role": "assistant", "content": [image(PNG)]},
        "messages[0].content[0].type",
        "invalid_value",
    ),
    ({"role": "assistant", "content": 7}, "messages[0].content", "invalid_type"),
    ({"role": "assistant", "refusal": 7}, "messages[0].refusal", "invalid_type"),
    ({"role": "assistant", "audio": "a"}, "messages[0].audio", "invalid_type"),
    ({"role": "assistant", "tool_calls": {}}, "messages[0].tool_calls", "invalid_type"),
    ({"role": "assistant", "tool_calls": [7]}, "messages[0].tool_calls[0]", "invalid_type"),
    (
        {"role": "assistant", "tool_calls": [{}]},
        "messages[0].tool_calls[0].id",
        "missing_required_parameter",
    ),
    (
        {"role": "assistant", "tool_calls": [{"id": ""}]},
        "messages[0].tool_calls[0].id",
        "invalid_value",
    ),
    (
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "magic"}]},
        "messages[0].tool_calls[0].type",
        "invalid_value",
    ),
    (
        {"role": "assistant", "tool_calls": [{"id": "c"}]},
        "messages[0].tool_calls[0].function",
        "invalid_type",
    ),
    (
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]},
        "messages[0].tool_calls[0].function.name",
        "missing_required_parameter",
    ),
    (
        {"role": "assistant", "tool_calls": [call("c", arguments={"a": 1})]},  # type: ignore[arg-type]
        "messages[0].tool_calls[0].function.arguments",
        "invalid_type",
    ),
    (
        {"role": "assistant", "tool_calls": [call("c")], "function_call": {"name": "f"}},
        "messages[0].function_call",
        "invalid_value",
    ),
    ({"role": "assistant", "function_call": 7}, "messages[0].function_call", "invalid_type"),
    ({"role": "tool", "content": "x"}, "messages[0].tool_call_id", "missing_required_parameter"),
    (result("", "x"), "messages[0].tool_call_id", "invalid_value"),
    (result("c", None), "messages[0].content", "missing_required_parameter"),
    (result("c", [image(PNG)]), "messages[0].content[0].type", "invalid_value"),
    ({"role": "function", "content": "x"}, "messages[0].name", "missing_required_parameter"),
    ({"role": "function", "name": "f", "content": []}, "messages[0].content", "invalid_type"),
]


@pytest.mark.parametrize(("message", "param", "code"), BAD_MESSAGES)
def test_bad_messages_are_refused_by_path(message: Any, param: str, code: str) -> None:
    error = rejection(conversation, message)

    assert (param, code) == (error.param, error.code)


def test_there_is_an_end_to_messages() -> None:
    assert "messages" == rejection(conversation, *[USER] * 100_001).param


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        (image(PNG), F.IMAGE_DATA),
        (image("DATA:image/svg+xml;base64,AAAA", detail="low"), F.IMAGE_DATA),
        (image("https://example.com/a.png?b=c"), F.IMAGE_URL),
        (image("HTTP://example.com/ä.png"), F.IMAGE_URL),
        (audio(), F.AUDIO_INPUT),
        (file(file_data="data:application/pdf;base64,AAA=", filename="a.pdf"), F.FILE),
        (file(file_id="file-1"), F.FILE),
    ],
)
def test_parts_stay_and_tell_what_they_need(part: dict[str, Any], feature: Feature) -> None:
    message = user({"type": "text", "text": "look"}, part)

    request = conversation(message)

    assert [message] == request.body["messages"]
    assert frozenset({F.CHAT, feature}) == request.features


def test_nulls_are_gone_from_parts() -> None:
    part = image(PNG, detail=None) | {"cache_control": None}

    assert [user(image(PNG))] == conversation(user(part)).body["messages"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        7,
        "cat.png",
        "file:///etc/passwd",
        "ftp://example.com/a.png",
        "http://",
        "http://a b",
        "http://a\nb",
        "http://" + "a" * 8192,
        "data:",
        "data:,hello",
        "data:image/png,AAAA",
        "data:image/png;base64,",
        "data:image/png;base64,AAA",
        "data:image/png;base64,A===",
        "data:image/png;base64,AA=A",
        "data:image/png;base64,=AAA",
        "data:image/png;base64,AAA\n",
        "data:image/png;base64,AA-_",
        "data:image/png;base64,ÄÄÄÄ",
        "data:image/png;charset=x;base64,AAAA",
        "data:text/plain;base64,AAAA",
        "data:" + "x" * 10_000 + ";base64,AAAA",
    ],
)
def test_image_urls_are_well_formed(url: Any) -> None:
    assert "messages[0].content[0].image_url.url" == rejection(conversation, user(image(url))).param


def test_calls_and_results_belong_together() -> None:
    messages = [
        USER,
        calls("c1", "c2"),
        result("c2"),
        result("c1", [{"type": "text", "text": "noon"}]),
        calls("c1"),
        result("c1"),
        USER,
    ]

    request = conversation(*messages)

    assert messages == request.body["messages"]
    assert frozenset({F.CHAT, F.TOOLS}) == request.features


def test_a_custom_call_is_a_call() -> None:
    custom = {"id": "c1", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    turn = {"role": "assistant", "content": None, "tool_calls": [custom]}

    request = conversation(turn, result("c1"))

    assert turn == request.body["messages"][0]
    assert F.CUSTOM_TOOLS in request.features


def test_what_a_call_leaves_out_is_filled_in() -> None:
    turn = {
        "role": "assistant",
        "tool_calls": [
            {"id": "c1", "function": {"name": "clock", "arguments": None}},
            {"id": "c2", "type": "custom", "custom": {"name": "shell"}},
        ],
    }

    request = conversation(turn, result("c1", []), result("c2", ""))

    assert {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            call("c1"),
            {"id": "c2", "type": "custom", "custom": {"name": "shell", "input": ""}},
        ],
    } == request.body["messages"][0]
    assert "" == request.body["messages"][1]["content"]


@pytest.mark.parametrize(
    ("messages", "param", "named"),
    [
        ([USER, result("c9")], "messages[1].tool_call_id", '"c9"'),
        ([calls("c1"), result("c2")], "messages[1].tool_call_id", '"c2"'),
        ([calls("c1"), result("c1"), result("c1")], "messages[2].tool_call_id", '"c1"'),
        (
            [calls("c1"), result("c1"), USER, result("c1")],
            "messages[3].tool_call_id",
            '"c1"',
        ),
        ([calls("c1"), USER], "messages[0].tool_calls[0].id", '"c1"'),
        ([calls("c1", "c2"), result("c1"), USER], "messages[0].tool_calls[1].id", '"c2"'),
        ([calls("c1"), calls("c2")], "messages[0].tool_calls[0].id", '"c1"'),
        ([USER, calls("c1")], "messages[1].tool_calls[0].id", '"c1"'),
        ([calls("c1", "c1"), result("c1")], "messages[0].tool_calls[1].id", '"c1"'),
    ],
)
def test_calls_and_results_without_each_other_are_refused_by_id(
    messages: list[Any], param: str, named: str
) -> None:
    error = rejection(conversation, *messages)

    assert param == error.param
    assert named in error.message


def test_function_messages_become_tool_messages_with_the_same_id() -> None:
    request = conversation(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": "now", "function_call": {"name": "f"}},
        {"role": "function", "name": "f", "content": None},
    )

    assert [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call("call_legacy_1", "f")]},
        {"role": "tool", "tool_call_id": "call_legacy_1", "content": "1"},
        {"role": "assistant", "content": "now", "tool_calls": [call("call_legacy_3", "f")]},
        {"role": "tool", "tool_call_id": "call_legacy_3", "content": ""},
    ] == request.body["messages"]
    assert F.TOOLS in request.features
    assert not request.legacy_functions


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "function", "name": "f", "content": "x"}], "messages[0].name"),
        (
            [
                {"role": "assistant", "function_call": {"name": "f"}},
                {"role": "function", "name": "g", "content": "x"},
            ],
            "messages[1].name",
        ),
        (
            [
                {"role": "assistant", "function_call": {"name": "f"}},
                {"role": "function", "name": "f", "content": "x"},
                {"role": "function", "name": "f", "content": "x"},
            ],
            "messages[2].tool_call_id",
        ),
        (
            [{"role": "assistant", "function_call": {"name": "f"}}, USER],
            "messages[0].tool_calls[0].id",
        ),
    ],
)
def test_function_calls_and_results_belong_together_too(messages: list[Any], param: str) -> None:
    assert param == rejection(conversation, *messages).param


def test_a_foreign_function_call_is_left_alone() -> None:
    message = USER | {"function_call": 7}

    assert [message] == conversation(message).body["messages"]
