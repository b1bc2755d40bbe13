"""Sections 3, 4 and 17 of the rules: roles, order, parts, ids."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from dataplane.errors import RequestRejected
from dataplane.provider import Operation, Request
from tests.dataplane.wire.anthropic_kit import (
    ADAPTIVE,
    ALWAYS,
    BUDGET,
    HIDDEN,
    NEW,
    PDF,
    PNG,
    prepared,
    sent,
    thinking,
)
from tests.dataplane.wire.openai_kit import TOOL, chat

USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
SAID = {"role": "assistant", "content": "Yes."}
NOTE = "Instruction from the operator of this conversation, not from the user:\n"


def block(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def turn(role: str, *blocks: Any) -> dict[str, Any]:
    return {
        "role": role,
        "content": [block(each) if isinstance(each, str) else each for each in blocks],
    }


def called(*ids: str, content: Any = None, arguments: str = "{}", **more: Any) -> dict[str, Any]:
    calls = [
        {"id": each, "type": "function", "function": {"name": "get_time", "arguments": arguments}}
        for each in ids
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls, **more}


def result(call_id: str, content: Any = "noon") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def use(call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "get_time", "input": arguments}


def answer(call_id: str, words: str = "noon") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": [block(words)]}


def turns(*messages: Any, model: str = BUDGET, **fields: Any) -> list[Any]:
    body, _ = sent(chat(messages=list(messages), **fields), model)
    return list(body["messages"])


def rejected(*messages: Any, model: str = BUDGET, **fields: Any) -> RequestRejected:
    with pytest.raises(RequestRejected) as caught:
        sent(chat(messages=list(messages), **fields), model)
    assert 400 == caught.value.status
    return caught.value


def raw(*messages: Any) -> Request:
    """A request that went round the inbound checks."""
    return Request(operation=Operation.CHAT, model="route", body={"messages": list(messages)})


@pytest.mark.parametrize("role", ["system", "developer"])
def test_leading_system_messages_stand_beside_the_conversation(role: str) -> None:
    body, warnings = sent(
        chat(messages=[{"role": role, "content": "A"}, {"role": "system", "content": [
            {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}}]}, USER])
    )  # fmt: skip

    assert [block("A"), {**block("B"), "cache_control": {"type": "ephemeral"}}] == body["system"]
    assert [turn("user", "hi")] == body["messages"]
    assert [] == warnings


@pytest.mark.parametrize(
    ("messages", "expected", "warned"),
    [
        # It stays behind a user's turn, and a run of them is one.
        ([USER, SYSTEM], [turn("user", "hi"), turn("system", "Be brief.")], False),
        (
            [USER, SYSTEM, {"role": "developer", "content": "Now."}, SAID, USER],
            [turn("user", "hi"), turn("system", "Be brief.", "Now."), turn("assistant", "Yes."),
             turn("user", "hi")],
            False,
        ),
        (
            [USER, called("a"), result("a"), SYSTEM],
            [turn("user", "hi"), turn("assistant", use("a")), turn("user", answer("a")),
             turn("system", "Be brief.")],
            False,
        ),
        # Behind an assistant's turn it slides behind the next user's.
        (
            [USER, SAID, SYSTEM, USER],
            [turn("user", "hi"), turn("assistant", "Yes."), turn("user", "hi"),
             turn("system", "Be brief.")],
            True,
        ),
        # Without one it becomes the user's.
        (
            [USER, SAID, SYSTEM],
            [turn("user", "hi"), turn("assistant", "Yes."), turn("user", NOTE + "Be brief.")],
            True,
        ),
        ([USER, {"role": "system", "content": " "}, SAID, USER],
         [turn("user", "hi"), turn("assistant", "Yes."), turn("user", "hi")], False),
    ],
)  # fmt: skip
def test_a_later_system_message_keeps_its_place_at_new_models(
    messages: list[Any], expected: list[Any], *, warned: bool
) -> None:
    body, warnings = sent(chat(messages=messages, tools=[TOOL]), NEW)

    assert expected == body["messages"]
    assert (["mapped:messages"] if warned else []) == warnings


@pytest.mark.parametrize("model", [BUDGET, ADAPTIVE, "claude-unheard-9"])
def test_a_later_system_message_becomes_the_users_words_elsewhere(model: str) -> None:
    body, warnings = sent(
        chat(messages=[USER, called("a"), result("a"), SYSTEM, USER], tools=[TOOL]), model
    )

    assert [
        turn("user", "hi"),
        turn("assistant", use("a")),
        turn("user", answer("a"), NOTE + "Be brief.", "hi"),
    ] == body["messages"]
    assert ["mapped:messages"] == warnings
    assert "system" not in body


@pytest.mark.parametrize("model", [BUDGET, NEW])
def test_a_longer_conversation_begins_with_the_same_turns(model: str) -> None:
    """What comes later moves nothing, or the upstream's cache of the prompt would be lost."""
    conversation = [SYSTEM, USER, SYSTEM, SAID, SYSTEM, USER, called("a"), result("a"), SYSTEM,
                    called("a"), result("a"), SAID, USER]  # fmt: skip
    whole = turns(*conversation, model=model, tools=[TOOL])

    for end, message in enumerate(conversation):
        if message["role"] == "assistant":
            part = turns(*conversation[:end], model=model, tools=[TOOL])
            assert part == whole[: len(part)]


def test_neighbours_of_one_role_are_one_turn() -> None:
    assert [
        turn("user", "a", "b"),
        turn("assistant", "c", "d"),
        turn("user", "e"),
    ] == turns(
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": "d"},
        {"role": "user", "content": "e"},
    )


def test_results_of_tools_are_one_turn_with_what_the_user_says_next() -> None:
    assert [
        turn("user", "hi"),
        turn("assistant", "Let me see.", use("a"), use("b")),
        turn("user", answer("a"), answer("b", "late"), "and?"),
    ] == turns(
        USER,
        called("a", "b", content="Let me see."),
        result("a"),
        result("b", [{"type": "text", "text": "late"}]),
        {"role": "user", "content": "and?"},
        tools=[TOOL],
    )


@pytest.mark.parametrize("content", ["", [], " \n"])
def test_a_result_without_words_has_no_content(content: Any) -> None:
    assert (
        turn("user", {"type": "tool_result", "tool_use_id": "a"})
        == (turns(USER, called("a"), result("a", content), tools=[TOOL])[-1])
    )


@pytest.mark.parametrize("messages", [[SAID, USER], [SYSTEM], [SYSTEM, SAID, USER]])
def test_a_conversation_that_no_user_begins_gets_a_beginning(messages: list[Any]) -> None:
    body, warnings = sent(chat(messages=messages))

    assert turn("user", ".") == body["messages"][0]
    assert ["emulated:messages"] == warnings


def test_legacy_calls_of_functions_become_tools() -> None:
    body, warnings = sent(
        chat(
            messages=[
                USER,
                {"role": "assistant", "content": None,
                 "function_call": {"name": "get_time", "arguments": '{"tz": "UTC"}'}},
                {"role": "function", "name": "get_time", "content": "noon"},
            ],
            functions=[{"name": "get_time"}],
            function_call="auto",
        )
    )  # fmt: skip

    assert [
        turn("user", "hi"),
        turn("assistant", use("call_legacy_1", tz="UTC")),
        turn("user", answer("call_legacy_1")),
    ] == body["messages"]
    assert ["get_time"] == [tool["name"] for tool in body["tools"]]
    assert {"type": "auto"} == body["tool_choice"]
    assert [] == warnings


def test_empty_turns_of_the_assistant_are_left_out_and_their_neighbours_merged() -> None:
    body, warnings = sent(
        chat(messages=[USER, {"role": "assistant", "content": ""}, USER, SYSTEM]), NEW
    )

    assert [turn("user", "hi", "hi"), turn("system", "Be brief.")] == body["messages"]
    assert ["dropped:messages"] == warnings


@pytest.mark.parametrize("content", ["", " ", [{"type": "text", "text": ""}]])
def test_a_user_who_says_nothing_is_rejected(content: Any) -> None:
    failure = rejected(USER, SAID, {"role": "user", "content": content})

    assert "messages[2].content" == failure.param


def test_blank_texts_beside_others_are_left_out() -> None:
    assert [turn("user", "hi", "ho")] == turns(
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": " "}, block("hi"), block("ho")]},
    )


def test_a_refusal_is_what_the_assistant_said() -> None:
    refused = [{"type": "refusal", "refusal": "No."}]

    assert (
        turn("assistant", "Never.")
        == (turns(USER, {"role": "assistant", "content": None, "refusal": "Never."}, USER)[1])
    )
    assert (
        turn("assistant", "No.")
        == (turns(USER, {"role": "assistant", "content": refused}, USER)[1])
    )


def test_names_and_foreign_keys_of_messages_are_not_sent() -> None:
    body, warnings = sent(
        chat(
            messages=[
                {**USER, "name": "ann"},
                {**SAID, "reasoning_content": "hm", "reasoning": "hm", "thinking_blocks": [{}],
                 "annotations": [], "provider_specific_fields": {}},
                USER,
            ]
        )
    )  # fmt: skip

    assert [turn("user", "hi"), turn("assistant", "Yes."), turn("user", "hi")] == body["messages"]
    assert ["dropped:messages.name"] == warnings


# Prefill: a last turn of the assistant's.


@pytest.mark.parametrize("content", ["Yes", "Yes \n"])
def test_old_models_go_on_from_a_last_assistant_turn(content: str) -> None:
    body, warnings = sent(chat(messages=[USER, {"role": "assistant", "content": content}]))

    assert turn("assistant", "Yes") == body["messages"][-1]
    assert ([] if content == "Yes" else ["mapped:messages"]) == warnings


@pytest.mark.parametrize(
    ("model", "fields"),
    [(ADAPTIVE, {}), (NEW, {}), (ALWAYS, {}), (BUDGET, {"reasoning_effort": "low"})],
)
def test_a_last_assistant_turn_is_rejected_elsewhere(model: str, fields: dict[str, Any]) -> None:
    failure = rejected(USER, SAID, model=model, **fields)

    assert ("messages[1]", "unsupported_value") == (failure.param, failure.code)


# Parts.


def user_blocks(*parts: Any) -> list[Any]:
    found: list[Any] = turns({"role": "user", "content": list(parts)})[0]["content"]
    return found


def image(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


@pytest.mark.parametrize(
    ("head", "data", "expected"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n" + b"x" * 40, "image/png"),
        ("image/png", b"\xff\xd8\xff\xe0" + b"x" * 40, "image/jpeg"),
        ("image/jpeg", b"GIF89a" + b"x" * 40, "image/gif"),
        ("image/png", b"RIFF\x00\x00\x00\x00WEBP" + b"x" * 40, "image/webp"),
    ],
)
def test_the_bytes_of_an_image_tell_its_media_type(head: str, data: bytes, expected: str) -> None:
    payload = base64.b64encode(data).decode()
    source = {"type": "base64", "media_type": expected, "data": payload}

    assert [{"type": "image", "source": source}] == user_blocks(
        image(f"data:{head};base64,{payload}")
    )


@pytest.mark.parametrize("data", [b"BM" + b"x" * 40, b"%PDF-1.4", b"RIFF\x00\x00\x00\x00AVI "])
def test_an_image_of_another_kind_is_rejected(data: bytes) -> None:
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    failure = rejected({"role": "user", "content": [image(url)]})

    assert "messages[0].content[0].image_url.url" == failure.param


def test_an_image_by_url_is_the_upstreams_to_fetch() -> None:
    source = {"type": "url", "url": "https://example.com/a.png"}

    assert [{"type": "image", "source": source}] == user_blocks(image("https://example.com/a.png"))


@pytest.mark.parametrize(("detail", "warned"), [("low", True), ("auto", False)])
def test_the_detail_of_an_image_is_dropped(detail: str, *, warned: bool) -> None:
    _, warnings = sent(
        chat(messages=[{"role": "user", "content": [image("https://a.b/c", detail=detail)]}])
    )

    assert (["dropped:messages.content.image_url.detail"] if warned else []) == warnings


def file(**fields: Any) -> dict[str, Any]:
    return {"type": "file", "file": fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"},
            {"type": "document", "title": "a.pdf", "source":
             {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        ),
        (
            {"file_data": f"data:application/octet-stream;base64,{PDF}"},
            {"type": "document", "source":
             {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        ),
        (
            {"file_data": "data:text/markdown;base64,TmHDr3Zl"},
            {"type": "document", "source":
             {"type": "text", "media_type": "text/plain", "data": "Naïve"}},
        ),
        (
            {"file_data": f"data:image/jpeg;base64,{PNG}", "filename": "a.jpg"},
            {"type": "image", "source":
             {"type": "base64", "media_type": "image/png", "data": PNG}},
        ),
        (
            {"file_id": "file_1"},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
    ],
)  # fmt: skip
def test_a_file_becomes_a_document(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert [expected] == user_blocks(file(**fields))


@pytest.mark.parametrize(
    "data", ["data:application/zip;base64,UEsDBA==", "data:text/plain;base64,/w=="]
)
def test_a_file_of_another_kind_is_rejected(data: str) -> None:
    failure = rejected({"role": "user", "content": [file(file_data=data)]})

    assert "messages[0].content[0].file.file_data" == failure.param


def test_naming_an_uploaded_file_asks_for_the_files_api() -> None:
    request = chat(messages=[{"role": "user", "content": [file(file_id="file_1")]}])
    plain = prepared(chat()).http.headers
    named = prepared(request).http.headers
    both = prepared(request, options={"anthropic.beta": "a, files-api-2025-04-14"}).http.headers

    assert "anthropic-beta" not in plain
    assert "files-api-2025-04-14" == named["anthropic-beta"]
    assert "a,files-api-2025-04-14" == both["anthropic-beta"]


def test_audio_is_rejected() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}

    assert "messages[0].content[0].type" == rejected({"role": "user", "content": [audio]}).param
    earlier = {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}
    assert "messages[1].audio" == rejected(USER, earlier, USER).param


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (
            [{"role": "user", "content": [{"type": "file", "file": {}}]}],
            "messages[0].content[0].file",
        ),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0].type"),
        (
            [{"role": "user", "content": [image("data:image/png;base64,AAAAA")]}],
            "messages[0].content[0].image_url.url",
        ),
        ([USER, {"role": "assistant", "tool_calls": [{"id": 3}]}], "messages[1].tool_calls[0]"),
        ([{"role": "user", "content": 3}], "messages[0].content"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([USER, {"role": "assistant", "tool_calls": [{"id": "a"}]}], "messages[1].tool_calls[0]"),
        ([USER, result("a")], "messages[1].tool_call_id"),
        ([USER, {"role": "tool", "content": "x"}], "messages[1].tool_call_id"),
    ],
)
def test_what_slipped_through_is_rejected_with_its_path(messages: list[Any], param: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        sent(raw(*messages))

    assert param == caught.value.param


def test_custom_calls_of_the_history_are_rejected() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "x", "input": "y"}}
    failure = rejected(USER, {"role": "assistant", "tool_calls": [call]}, result("a"))

    assert "messages[1].tool_calls[0]" == failure.param


# Cache marks.


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ({"cache_control": {"type": "ephemeral"}}, {"type": "ephemeral"}),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, {"type": "ephemeral", "ttl": "1h"}),
        ({"prompt_cache_breakpoint": {"mode": "explicit"}}, {"type": "ephemeral"}),
    ],
)
def test_cache_marks_of_parts_are_passed_on(mark: dict[str, Any], expected: Any) -> None:
    parts = [block("a") | mark, image("https://a.b/c") | mark]

    assert [expected, expected] == [each["cache_control"] for each in user_blocks(*parts)]


@pytest.mark.parametrize(
    "mark",
    ["x", {"type": "x"}, {"type": "ephemeral", "ttl": "2h"}, {"type": "ephemeral", "ttl": 5}],
)
def test_a_cache_mark_out_of_shape_is_rejected(mark: Any) -> None:
    failure = rejected({"role": "user", "content": [{**block("a"), "cache_control": mark}]})

    assert "messages[0].content[0].cache_control" == failure.param
    assert "cache_control" == rejected(USER, cache_control=mark).param


def test_more_cache_marks_than_four_leave_the_last_ones() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    request = chat(
        tools=[{**TOOL, **mark}],
        messages=[
            {"role": "system", "content": [block("s") | mark]},
            {"role": "user", "content": [block("a") | mark]},
            called("a"),
            {**result("a", [block("r") | mark]), **mark},
            {"role": "user", "content": [block("b") | mark]},
        ],
    )
    body, warnings = sent(request)
    topped, _ = sent(chat(**{**request.body, **mark}))

    assert "cache_control" not in body["tools"][0]
    assert "cache_control" not in body["system"][0]
    assert 4 == str(body).count("cache_control")
    assert ["dropped:cache_control"] == warnings
    assert {"type": "ephemeral"} == topped["cache_control"]
    assert 4 == str(topped).count("cache_control")


# Calls: ids and arguments.


@pytest.mark.parametrize(
    ("arguments", "expected", "warned"),
    [
        ("", {}, False),
        (" ", {}, False),
        ('{"a": [1, null]}', {"a": [1, None]}, False),
        ("{broken", {"_raw": "{broken"}, True),
        ("[1]", {"value": [1]}, True),
        ('"x"', {"value": "x"}, True),
        ("null", {}, False),
    ],
)
def test_arguments_become_an_object(arguments: str, expected: Any, *, warned: bool) -> None:
    body, warnings = sent(
        chat(messages=[USER, called("a", arguments=arguments), result("a")], tools=[TOOL])
    )

    assert expected == body["messages"][1]["content"][0]["input"]
    assert (["emulated:messages.tool_calls.function.arguments"] if warned else []) == warnings


def test_arguments_that_are_an_object_already_stay() -> None:
    call = {"id": "a", "function": {"name": "get_time", "arguments": {"b": 1}}}
    body, _ = sent(raw(USER, {"role": "assistant", "tool_calls": [call]}, result("a")))

    assert {"b": 1} == body["messages"][1]["content"][0]["input"]


def test_foreign_ids_are_fitted_in_calls_and_results_alike() -> None:
    fitted = turns(USER, called("functions.a:0"), result("functions.a:0"), tools=[TOOL])
    again = turns(USER, called("functions.a:0"), result("functions.a:0"), tools=[TOOL])

    call_id = fitted[1]["content"][0]["id"]
    assert call_id.isalnum()
    assert call_id == fitted[2]["content"][0]["tool_use_id"]
    assert fitted == again


def test_an_id_that_comes_again_gets_another_one() -> None:
    """Servers that count their calls from 0 in each answer give the same ids in every turn."""
    conversation = [USER, called("call_0"), result("call_0", "one"), called("call_0"),
                    result("call_0", "two"), called("call_0"), result("call_0", "three")]  # fmt: skip
    body = turns(*conversation, tools=[TOOL])

    ids = [each["content"][0]["id"] for each in body if each["role"] == "assistant"]
    results = [each["content"][0] for each in body[2:] if each["role"] == "user"]
    assert "call_0" == ids[0]
    assert 3 == len(set(ids))
    assert ids == [each["tool_use_id"] for each in results]
    assert ["one", "two", "three"] == [each["content"][0]["text"] for each in results]


# Replay of reasoning.


def remembered(
    *blocks: Any, kind: str = "Anthropic", model: str = BUDGET, **more: Any
) -> dict[str, Any]:
    origin = {"type": kind, "model": model}
    return {"switchgear": {"origin": origin, "reasoning": list(blocks), **more}}


def test_signed_reasoning_comes_back_first_and_unchanged() -> None:
    message = called("a", content="So.") | remembered(thinking("hm"), HIDDEN)
    body, warnings = sent(
        chat(messages=[USER, message, result("a")], tools=[TOOL], reasoning_effort="low"), BUDGET
    )

    assert turn("assistant", thinking("hm"), HIDDEN, "So.", use("a")) == body["messages"][1]
    assert {"type": "enabled", "budget_tokens": 1024} == body["thinking"]
    assert [] == warnings


def test_reasoning_between_texts_and_calls_comes_back_in_its_place() -> None:
    layout = ["reasoning", 3, "reasoning", "tool", "reasoning", "tool"]
    message = called("a", "b", content="So.") | remembered(
        thinking("1"), thinking("2"), HIDDEN, layout=layout
    )
    messages = [USER, message, result("a"), result("b")]

    assert (
        turn("assistant", thinking("1"), "So.", thinking("2"), use("a"), HIDDEN, use("b"))
        == (turns(*messages, tools=[TOOL], reasoning_effort="low")[1])
    )


@pytest.mark.parametrize(
    "layout",
    [
        ["reasoning", 4, "tool", "reasoning"],
        ["reasoning", 3, "reasoning", "tool", "tool"],
        ["reasoning", 3, "tool"],
        ["reasoning", 6, -3, "reasoning", "tool"],
    ],
)
def test_a_layout_that_no_longer_fits_is_left_out(layout: list[Any]) -> None:
    message = called("a", content="So.") | remembered(thinking("1"), HIDDEN, layout=layout)

    assert (
        turn("assistant", thinking("1"), HIDDEN, "So.", use("a"))
        == (turns(USER, message, result("a"), tools=[TOOL], reasoning_effort="low")[1])
    )


def test_a_layouts_blank_text_is_left_out_of_the_content() -> None:
    message = called("a", content="\n\nSo.") | remembered(
        thinking("1"), thinking("2"), layout=[2, "reasoning", 3, "reasoning", "tool"]
    )

    assert (
        turn("assistant", thinking("1"), "So.", thinking("2"), use("a"))
        == (turns(USER, message, result("a"), tools=[TOOL], reasoning_effort="low")[1])
    )


LOST: list[dict[str, Any]] = [
    {},
    {"reasoning_content": "hm", "thinking_blocks": [thinking("hm")]},
    remembered(thinking("hm"), kind="AWSBedrock"),
    remembered(thinking("hm"), model="claude-opus-4-5"),
    remembered({"type": "thinking", "thinking": "unsigned"}),
    remembered(thinking("hm", "")),
    remembered({"type": "text", "text": "smuggled"}),
    remembered(),
]


@pytest.mark.parametrize("lost", LOST)
def test_lost_reasoning_turns_thinking_off_where_it_must_be_sent_back(
    lost: dict[str, Any],
) -> None:
    body, warnings = sent(
        chat(messages=[USER, called("a") | lost, result("a")], tools=[TOOL],
             reasoning_effort="high", max_completion_tokens=100)
    )  # fmt: skip

    assert "thinking" not in body
    assert turn("assistant", use("a")) == body["messages"][1]
    assert 100 == body["max_tokens"]
    assert ["dropped:reasoning_effort"] == warnings


@pytest.mark.parametrize("model", [ADAPTIVE, NEW])
@pytest.mark.parametrize(("known", "on"), [(True, True), (False, False)])
def test_a_model_that_thought_nothing_may_go_on_thinking(
    model: str, *, known: bool, on: bool
) -> None:
    """An adaptive model may call a tool without a thought; then there is nothing to send back."""
    message = called("a") | (remembered(model=model) if known else {})
    body, warnings = sent(
        chat(messages=[USER, message, result("a")], tools=[TOOL], reasoning_effort="low"), model
    )

    assert on is ("thinking" in body)
    assert ([] if on else ["dropped:reasoning_effort"]) == warnings


def test_a_model_that_always_thinks_goes_on_without_what_was_lost() -> None:
    body, warnings = sent(
        chat(messages=[USER, called("a"), result("a")], tools=[TOOL], reasoning_effort="low"),
        ALWAYS,
    )
    message = called("a") | remembered(thinking("hm"), model=ALWAYS)
    kept, _ = sent(chat(messages=[USER, message, result("a")], tools=[TOOL]), ALWAYS)

    assert {"type": "adaptive", "display": "summarized"} == body["thinking"]
    assert [] == warnings
    assert turn("assistant", thinking("hm"), use("a")) == kept["messages"][1]


def test_lost_reasoning_of_turns_without_tools_does_not_matter() -> None:
    body, warnings = sent(
        chat(
            messages=[USER, called("a"), result("a"), SAID, USER],
            tools=[TOOL], reasoning_effort="low",
        )
    )  # fmt: skip

    assert {"type": "enabled", "budget_tokens": 1024} == body["thinking"]
    assert [] == warnings


@pytest.mark.parametrize("fields", [{}, {"reasoning_effort": "none"}])
def test_reasoning_is_not_sent_to_a_model_that_does_not_think(fields: dict[str, Any]) -> None:
    message = called("a") | remembered(thinking("hm"))

    assert (
        turn("assistant", use("a"))
        == (turns(USER, message, result("a"), tools=[TOOL], **fields)[1])
    )


def test_reasoning_alone_is_no_turn() -> None:
    message = {"role": "assistant", "content": ""} | remembered(thinking("hm"))

    assert [turn("user", "hi", "hi")] == turns(USER, message, USER, reasoning_effort="low")


def test_an_empty_turn_does_not_hide_the_lost_reasoning_before_it() -> None:
    for empty in ("", " ", [{"type": "text", "text": ""}], [{"type": "refusal", "refusal": ""}]):
        body, warnings = sent(
            chat(
                messages=[USER, called("a"), result("a"), {"role": "assistant", "content": empty}],
                tools=[TOOL], reasoning_effort="low",
            )
        )  # fmt: skip

        assert "thinking" not in body
        assert ["dropped:reasoning_effort", "dropped:messages"] == warnings
