"""Conversations become turns that Bedrock takes, whatever their order."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.errors import RequestRejected
from dataplane.wire.bedrock_models import model_of
from dataplane.wire.bedrock_request import Settings, serialize
from tests.dataplane.wire.bedrock_kit import (
    ADAPTIVE,
    CLAUDE,
    JPEG,
    LLAMA,
    NEW_CLAUDE,
    NOVA,
    PDF,
    PNG,
    TITAN,
    VOXTRAL,
    assistant,
    call,
    result,
    tool,
    turns,
    user,
    written,
)

HI = user("Hi")
NOTE = "Instruction from the operator of this conversation, not from the user:\n"


def system(content: Any, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": content}


def file(data: str = PDF, **fields: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, **fields}}


def image(url: str = PNG, **fields: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def test_leading_system_messages_are_the_system_prompt() -> None:
    body, warnings = written(
        messages=[
            system("Be brief."),
            system([{"type": "text", "text": "Be kind."}], "developer"),
            HI,
        ]
    )

    assert [{"text": "Be brief."}, {"text": "Be kind."}] == body["system"]
    assert [{"role": "user", "content": [{"text": "Hi"}]}] == body["messages"]
    assert () == tuple(warnings)


def test_a_blank_system_message_is_left_out() -> None:
    body, _ = written(messages=[system("  "), HI])

    assert "system" not in body


def test_a_model_without_a_system_prompt_reads_it_first() -> None:
    body, warnings = written(TITAN, messages=[system("Be brief."), HI])

    assert [{"text": "Be brief."}, {"text": "Hi"}] == body["messages"][0]["content"]
    assert ("emulated:messages",) == tuple(warnings)


def test_and_even_if_an_assistant_speaks_first() -> None:
    messages = [system("Be brief."), assistant("Hello."), HI]

    assert [[{"text": "Be brief."}], [{"text": "Hello."}], [{"text": "Hi"}]] == [
        turn["content"] for turn in turns(TITAN, *messages)
    ]


def test_a_later_system_message_stays_where_it_is() -> None:
    body, warnings = written(
        messages=[HI, assistant("Hello."), system("Now in French."), user("And you?")]
    )

    assert [{"text": NOTE + "Now in French."}, {"text": "And you?"}] == body["messages"][2][
        "content"
    ]
    assert "system" not in body
    assert ("mapped:messages",) == tuple(warnings)


def test_a_longer_conversation_begins_with_the_same_turns() -> None:
    """The upstream's prompt cache is only good for an unchanged beginning."""
    messages = [system("a"), HI, assistant("b"), system("c"), user("d"), assistant("e"), user("f")]
    whole = turns(CLAUDE, *messages)

    for length in (2, 5, 7):
        shorter = turns(CLAUDE, *messages[:length])
        assert whole[: len(shorter)] == shorter


def test_neighbours_of_one_role_become_one_turn() -> None:
    found = turns(CLAUDE, user("a"), user("b"), assistant("c"), assistant("d"), user("e"))

    assert [("user", ["a", "b"]), ("assistant", ["c", "d"]), ("user", ["e"])] == [
        (turn["role"], [block["text"] for block in turn["content"]]) for turn in found
    ]


def test_an_assistant_that_speaks_first_is_asked_something() -> None:
    body, warnings = written(messages=[assistant("Hello."), HI])

    assert {"role": "user", "content": [{"text": "."}]} == body["messages"][0]
    assert ("emulated:messages",) == tuple(warnings)


def test_system_messages_alone_are_a_conversation() -> None:
    body, _ = written(messages=[system("Say hello.")])

    assert [{"text": "Say hello."}] == body["system"]
    assert [{"role": "user", "content": [{"text": "."}]}] == body["messages"]


def test_an_assistant_that_says_nothing_is_left_out() -> None:
    body, warnings = written(messages=[HI, assistant(" \n"), user("Still there?")])

    assert [[{"text": "Hi"}, {"text": "Still there?"}]] == [t["content"] for t in body["messages"]]
    assert ("dropped:messages",) == tuple(warnings)


def test_a_refusal_is_what_the_assistant_said() -> None:
    found = turns(CLAUDE, HI, assistant(None, refusal="I will not."), user("Please"))

    assert [{"text": "I will not."}] == found[1]["content"]


@pytest.mark.parametrize("content", ["", "  ", [{"type": "text", "text": " "}]])
def test_a_blank_user_message_is_refused(content: Any) -> None:
    with pytest.raises(RequestRejected) as caught:
        written(messages=[HI, assistant("Hello."), user(content)])

    assert "messages[2].content" == caught.value.param


def test_blank_parts_are_left_out() -> None:
    parts = [{"type": "text", "text": " "}, {"type": "text", "text": "Hi"}]

    assert [{"text": "Hi"}] == turns(CLAUDE, user(parts))[0]["content"]


def test_a_tool_loop() -> None:
    found = turns(
        CLAUDE,
        HI,
        assistant("Looking.", call("call_1", arguments='{"tz": "UTC"}'), call("call_2")),
        result("12:00", "call_1"),
        result([{"type": "text", "text": "13:00"}], "call_2"),
        user("Thanks"),
        tools=[tool()],
    )

    assert [
        {"text": "Looking."},
        {"toolUse": {"toolUseId": "call_1", "name": "get_time", "input": {"tz": "UTC"}}},
        {"toolUse": {"toolUseId": "call_2", "name": "get_time", "input": {}}},
    ] == found[1]["content"]
    assert [
        {"toolResult": {"toolUseId": "call_1", "content": [{"text": "12:00"}]}},
        {"toolResult": {"toolUseId": "call_2", "content": [{"text": "13:00"}]}},
        {"text": "Thanks"},
    ] == found[2]["content"]


def test_a_tool_may_have_no_result() -> None:
    found = turns(CLAUDE, HI, assistant(None, call()), result(""), tools=[tool()])

    assert {"toolUseId": "call_1", "content": []} == found[2]["content"][0]["toolResult"]


def test_foreign_ids_are_fitted_the_same_way_each_time() -> None:
    odd = "call/" + "x" * 80
    found = turns(CLAUDE, HI, assistant(None, call(odd)), result("a", odd), tools=[tool()])
    use = found[1]["content"][0]["toolUse"]["toolUseId"]

    assert use == found[2]["content"][0]["toolResult"]["toolUseId"]
    assert use.isalnum()
    assert found == turns(CLAUDE, HI, assistant(None, call(odd)), result("a", odd), tools=[tool()])


def test_ids_that_come_again_in_a_later_turn_are_told_apart() -> None:
    loop = [assistant(None, call("call_0")), result("a", "call_0")]
    found = turns(CLAUDE, HI, *loop, *loop, tools=[tool()])
    ids = [
        block["toolUse"]["toolUseId"]
        for turn in found
        for block in turn["content"]
        if "toolUse" in block
    ]

    assert "call_0" == ids[0]
    assert 2 == len(set(ids))
    assert ids[1] == found[4]["content"][0]["toolResult"]["toolUseId"]


@pytest.mark.parametrize(
    ("arguments", "sent", "warned"),
    [
        ("", {}, False),
        (" \n", {}, False),
        ('{"a": 1}', {"a": 1}, False),
        ("[1]", {"value": [1]}, True),
        ("null", {}, False),
        ('{"a": ', {"_raw": '{"a": '}, True),
    ],
)
def test_arguments_become_an_object(arguments: str, sent: Any, warned: bool) -> None:
    body, warnings = written(
        messages=[HI, assistant(None, call(arguments=arguments)), result()], tools=[tool()]
    )

    assert sent == body["messages"][1]["content"][0]["toolUse"]["input"]
    assert warned == ("emulated:messages.tool_calls.function.arguments" in warnings)


def test_prefill_goes_on_without_trailing_space_where_it_is_known() -> None:
    body, warnings = written(CLAUDE, messages=[HI, assistant("The answer is \n")])

    assert [{"text": "The answer is"}] == body["messages"][1]["content"]
    assert ("mapped:messages",) == tuple(warnings)


@pytest.mark.parametrize("model", [ADAPTIVE, NEW_CLAUDE])
def test_prefill_is_refused_by_newer_claudes(model: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        written(model, messages=[HI, assistant("The answer is")])

    assert "messages[1]" == caught.value.param


def test_prefill_does_not_go_with_thinking() -> None:
    with pytest.raises(RequestRejected, match="go on"):
        written(CLAUDE, messages=[HI, assistant("So")], reasoning_effort="low")


def test_images_are_what_their_bytes_are() -> None:
    found = turns(NOVA, user([image(PNG), image(JPEG.replace("jpeg", "png"))]))

    assert [
        {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
        {"image": {"format": "jpeg", "source": {"bytes": "/9j/4AAQ"}}},
    ] == found[0]["content"]


@pytest.mark.parametrize(
    ("head", "kind"),
    [("R0lGODlh", "gif"), ("UklGRgAAAABXRUJQ", "webp"), ("UklGRgAAAABXQVZF", None), ("AAAA", None)],
)
def test_the_first_bytes_tell_the_format(head: str, kind: str | None) -> None:
    url = f"data:image/tiff;base64,{head}"
    if kind is None:
        with pytest.raises(RequestRejected, match="PNG"):
            turns(CLAUDE, user([image(url)]))
    else:
        assert kind == turns(CLAUDE, user([image(url)]))[0]["content"][0]["image"]["format"]


def test_unknown_bytes_are_what_they_are_said_to_be() -> None:
    body = serialize(
        {"messages": [user([image("data:image/jpg;base64,AAAA")])]}, model_of(CLAUDE), Settings()
    ).body

    assert b'"format":"jpeg"' in body


def test_bytes_that_are_no_base64_are_left_to_bedrock() -> None:
    body = serialize(
        {"messages": [user([image("data:image/png;base64,A")])]}, model_of(CLAUDE), Settings()
    ).body

    assert b'"format":"png"' in body


def test_arguments_may_be_an_object_already() -> None:
    odd: Any = {"a": 1}
    body = serialize(
        {"messages": [HI, assistant(None, call(arguments=odd)), result()]},
        model_of(CLAUDE),
        Settings(),
    ).body

    assert b'"input":{"a":1}' in body


@pytest.mark.parametrize(
    ("model", "part", "param"),
    [
        (CLAUDE, image("https://a.test/b.png"), "messages[0].content[0].image_url"),
        (LLAMA, {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
         "messages[0].content[0].input_audio"),
        (VOXTRAL, {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "xyz"}},
         "messages[0].content[0].input_audio"),
        (TITAN, image(), "messages[0].content[0].image_url"),
        ("amazon.nova-micro-v1:0", file(), "messages[0].content[0].file"),
        (CLAUDE, {"type": "file", "file": {"file_id": "file-1"}}, "messages[0].content[0].file"),
        (CLAUDE, file("data:application/zip;base64,AAAA"), "messages[0].content[0].file"),
    ],
)  # fmt: skip
def test_what_a_model_cannot_be_shown_is_refused(model: str, part: Any, param: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        written(model, messages=[user([part])])

    assert (param, 400) == (caught.value.param, caught.value.status)


def test_audio_where_the_model_hears() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}

    assert [{"audio": {"format": "wav", "source": {"bytes": "AAAA"}}}] == turns(
        VOXTRAL, user([part])
    )[0]["content"]


def test_a_detail_is_dropped_unless_it_asks_for_nothing() -> None:
    _, loud = written(messages=[user([image(detail="high")])])
    _, quiet = written(messages=[user([image(detail="auto")])])

    assert ("dropped:messages.content.image_url.detail",) == tuple(loud)
    assert () == tuple(quiet)


def test_documents_have_clean_names_of_their_own_and_a_text_beside_them() -> None:
    body, warnings = written(
        messages=[
            user(
                [
                    file(filename="Q3_report  (final).v2.pdf"),
                    file(filename="Q3 report (final) v2.pdf"),
                ]
            ),
            assistant("Read."),
            user(
                [
                    file(filename="Q3 report (final) v2.txt", data="data:text/plain;base64,YQ=="),
                    {"type": "text", "text": "And?"},
                ]
            ),
            assistant("Read."),
            user([file(filename="???.pdf"), file()]),
        ]
    )
    documents = [b["document"] for t in body["messages"] for b in t["content"] if "document" in b]

    assert [
        "Q3 report (final) v2",
        "Q3 report (final) v2 2",
        "Q3 report (final) v2 3",
        "document",
        "document 2",
    ] == [document["name"] for document in documents]
    assert ["pdf", "pdf", "txt", "pdf", "pdf"] == [document["format"] for document in documents]
    assert {"text": "See the attached document."} == body["messages"][0]["content"][-1]
    assert {"text": "And?"} == body["messages"][2]["content"][-1]
    assert ("emulated:messages.content",) == tuple(warnings)


def test_long_names_stay_within_their_limit_and_apart() -> None:
    found = turns(
        CLAUDE, user([file(filename="n" * 250 + ".pdf"), file(filename="n" * 250 + ".pdf")])
    )
    names = [block["document"]["name"] for block in found[0]["content"] if "document" in block]

    assert [200, 200] == [len(name) for name in names]
    assert "n 2" == names[1][-3:]


def test_an_ending_tells_the_format_where_the_media_type_does_not() -> None:
    part = file("data:application/octet-stream;base64,AAAA", filename="a.docx")

    assert "docx" == turns(CLAUDE, user([part]))[0]["content"][0]["document"]["format"]


@pytest.mark.parametrize(
    "mark",
    [
        {"cache_control": {"type": "ephemeral"}},
        {"cachePoint": {"type": "default"}},
        {"prompt_cache_breakpoint": {"mode": "explicit"}},
    ],
)
def test_cache_marks_become_cache_points(mark: Any) -> None:
    part = {"type": "text", "text": "long", **mark}
    body, warnings = written(messages=[system([part]), user([part])])

    assert [{"text": "long"}, {"cachePoint": {"type": "default"}}] == body["system"]
    assert [{"text": "long"}, {"cachePoint": {"type": "default"}}] == body["messages"][0]["content"]
    assert () == tuple(warnings)


def test_an_hour_is_kept_where_it_is_known() -> None:
    part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}

    assert {"type": "default", "ttl": "1h"} == turns(CLAUDE, user([part]))[0]["content"][1][
        "cachePoint"
    ]
    assert {"type": "default"} == turns(NOVA, user([part]))[0]["content"][1]["cachePoint"]


def test_cache_marks_are_dropped_where_nothing_is_cached() -> None:
    part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    body, warnings = written(LLAMA, messages=[user([part])])

    assert [{"text": "x"}] == body["messages"][0]["content"]
    assert ("dropped:cache_control",) == tuple(warnings)


def test_a_cache_point_stands_beside_a_result_not_in_it() -> None:
    part = {"type": "text", "text": "12:00", "cache_control": {"type": "ephemeral"}}
    found = turns(CLAUDE, HI, assistant(None, call()), result([part]), tools=[tool()])

    assert ["toolResult", "cachePoint"] == [key for block in found[2]["content"] for key in block]


def test_names_of_people_are_dropped() -> None:
    _, warnings = written(messages=[{**HI, "name": "ann"}])

    assert ("dropped:messages.name",) == tuple(warnings)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ("x", "messages"),
        ([1], "messages[0]"),
        ([{"role": "king", "content": "x"}], "messages[0].role"),
        ([user({"a": 1})], "messages[0].content"),
        ([user([1])], "messages[0].content[0]"),
        ([user([{"type": "video"}])], "messages[0].content[0].type"),
        ([user([{"type": "text", "text": 1}])], "messages[0].content[0].text"),
        ([user([{"type": "image_url", "image_url": 1}])], "messages[0].content[0].image_url"),
        ([user([{"type": "file", "file": {"file_data": 1}}])],
         "messages[0].content[0].file.file_data"),
        ([HI, assistant(None, {"id": "c", "type": "custom", "custom": {}})],
         "messages[1].tool_calls[0]"),
        ([HI, assistant("x", audio={"id": "a"})], "messages[1].audio"),
        ([HI, {"role": "tool", "tool_call_id": 1, "content": "x"}], "messages[1].tool_call_id"),
        ([HI, result()], "messages[1].tool_call_id"),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_refused_with_its_path(messages: Any, param: str) -> None:
    """Most of it is caught when a request comes in; here nothing is taken on trust."""
    with pytest.raises(RequestRejected) as caught:
        serialize({"messages": messages}, model_of(CLAUDE), Settings())

    assert param == caught.value.param
