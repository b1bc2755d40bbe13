"""Every row of what becomes of a conversation on its way to the six providers of OpenAI's format."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.table.schema import ProviderType
from dataplane.codec import decode
from dataplane.errors import RequestRejected
from dataplane.record import replace
from dataplane.wire.openai_request import serialize
from dataplane.wire.openai_rules import Rules
from dataplane.wire.tool_ids import digest62
from tests.dataplane.wire.openai_kit import OPENAI_LIKE, TOOL, chat, sent

OAI, AZ, VLL = ProviderType.OPENAI, ProviderType.AZURE_OPENAI, ProviderType.VLLM
OVH, SCW, MIS = ProviderType.OVHCLOUD, ProviderType.SCALEWAY, ProviderType.MISTRAL
OPEN = (VLL, OVH, SCW)
IMAGE: dict[str, Any] = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
PDF = {
    "type": "file",
    "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
}
FILE_ID = {"type": "file", "file": {"file_id": "file-1"}}
MARKED = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, *ids: str) -> dict[str, Any]:
    calls = [
        {"id": each, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for each in ids
    ]
    return {"role": "assistant", "content": content} | ({"tool_calls": calls} if calls else {})


def system(content: Any) -> dict[str, Any]:
    return {"role": "system", "content": content}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "1"}


def written(
    kind: ProviderType, *messages: dict[str, Any], model: str = "m"
) -> tuple[list[dict[str, Any]], list[str]]:
    body, warnings = sent(kind, chat(messages=list(messages)), model)
    return body["messages"], warnings


# --- section 3: roles and their order


def test_developers_pass_at_openai_and_are_systems_elsewhere() -> None:
    developer = {"role": "developer", "content": "Be brief."}

    for kind in OPENAI_LIKE:
        role = "developer" if kind in {OAI, AZ} else "system"
        assert ([{**developer, "role": role}, user("Hi")], []) == written(
            kind, developer, user("Hi")
        )


def test_developers_and_systems_are_never_mixed() -> None:
    messages, warnings = written(OAI, {"role": "developer", "content": "A"}, system("B"), user("1"))

    assert ["developer", "developer", "user"] == [message["role"] for message in messages]
    assert [] == warnings


def test_models_before_gpt_4o_know_no_developer() -> None:
    messages, _warnings = written(
        OAI, {"role": "developer", "content": "A"}, user("1"), model="gpt-3.5-turbo"
    )

    assert [system("A"), user("1")] == messages


@pytest.mark.parametrize("kind", OPEN)
def test_open_models_get_one_system_message_at_the_top(kind: ProviderType) -> None:
    messages, warnings = written(kind, system("A"), system("B"), user("Hi"))

    assert [system("A\n\nB"), user("Hi")] == messages
    assert ["mapped:messages"] == warnings


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([user("1"), system("S"), user("2")], [user("1\n\nS"), user("2")]),
        ([user("1"), assistant("a"), system("S"), user("2")],
         [user("1"), assistant("a"), user("S\n\n2")]),
        ([system("A"), user([{"type": "text", "text": "1"}]), system("S")],
         [system("A"), user([{"type": "text", "text": "1"}, {"type": "text", "text": "S"}])]),
        ([user("1"), assistant("a"), system("S")], [user("1"), assistant("a"), user("S")]),
        ([user("1"), assistant("a"), system("S"), assistant("b"), user("2")],
         [user("1"), assistant("a"), user("S"), assistant("b"), user("2")]),
        ([user("1"), assistant("a"), system("S"), system("T"), user([{"type": "text", "text": "2"}])],
         [user("1"), assistant("a"), user([{"type": "text", "text": "S\n\nT"},
                                           {"type": "text", "text": "2"}])]),
    ],
)  # fmt: skip
def test_later_systems_become_the_users_words_where_they_stand(
    before: list[Any], after: list[Any]
) -> None:
    for kind in OPEN:
        assert (after, ["mapped:messages"]) == written(kind, *before)
    for kind in (OAI, AZ, MIS):
        messages, warnings = written(kind, *before)
        assert [message["role"] for message in before] == [m["role"] for m in messages]
        assert [] == warnings


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("model", ["mistral-small-3.2", "google/gemma-3"])
def test_templates_that_want_turns_get_neighbours_merged(kind: ProviderType, model: str) -> None:
    turns = (user("1"), user("2"), assistant("a"), assistant("b"))

    assert ([user("1\n\n2"), assistant("a\n\nb")], ["mapped:messages"]) == written(
        kind, *turns, model=model
    )
    assert (list(turns), []) == written(kind, *turns, model="qwen3")


def test_mistral_merges_assistants_only() -> None:
    call_id = "abcdefghi"

    messages, warnings = written(
        MIS, user("1"), user("2"), assistant("a"), assistant(None, call_id), result(call_id)
    )

    assert [user("1"), user("2"), assistant("a", call_id), result(call_id)] == messages
    assert ["mapped:messages"] == warnings


@pytest.mark.parametrize(
    ("kind", "model"), [(MIS, "m"), (VLL, "mistral-small"), (OVH, "Mistral-7B"), (SCW, "devstral")]
)
def test_mistral_models_get_a_turn_between_tool_and_user(kind: ProviderType, model: str) -> None:
    call_id = "abcdefghi"
    turns = (user("1"), assistant(None, call_id), result(call_id), user("2"))

    messages, warnings = written(kind, *turns, model=model)

    assert ["user", "assistant", "tool", "assistant", "user"] == [m["role"] for m in messages]
    assert assistant(".") == messages[3]
    assert ["emulated:messages"] == warnings
    assert 4 == len(written(OAI, *turns)[0])


def test_an_assistant_that_speaks_after_it_was_silent_is_one() -> None:
    empty, spoken = assistant(""), assistant("b")

    messages, _warnings = written(VLL, user("1"), empty, spoken, user("2"), model="google/gemma-3")

    assert [user("1"), spoken, user("2")] == messages


def test_json_is_looked_for_in_parts_too() -> None:
    call_id = "abcdefghi"
    parts = [{"type": "text", "text": "as JSON"}, IMAGE]
    turns = [user("1"), assistant(None, call_id), result(call_id), assistant("a"), user(parts)]
    request = chat(messages=turns, response_format={"type": "json_object"})

    body, warnings = sent(MIS, request)

    assert 5 == len(body["messages"])
    assert [] == warnings


def test_mistral_gets_a_last_assistant_turn_as_a_prefix() -> None:
    messages, warnings = written(MIS, user("1"), assistant("The answer is"))

    assert {**assistant("The answer is"), "prefix": True} == messages[1]
    assert ["mapped:messages"] == warnings


@pytest.mark.parametrize(
    ("kind", "model"), [(OAI, "gpt-4o"), (OAI, "gpt-5.4"), (AZ, "gpt-4o"), (AZ, "gpt-5.4")]
)
@pytest.mark.parametrize("tools", [{}, {"tools": [TOOL]}])
def test_models_of_openai_do_not_go_on_from_an_assistant(
    kind: ProviderType, model: str, tools: dict[str, Any]
) -> None:
    """Nor where the request would go to the Responses API."""
    request = chat(messages=[user("1"), assistant("The answer is")], **tools)
    with pytest.raises(RequestRejected) as caught:
        sent(kind, request, model)

    assert ("messages[1]", "unsupported_value") == (caught.value.param, caught.value.code)


def test_what_stands_behind_another_url_may_go_on() -> None:
    request = chat(messages=[user("1"), assistant("The answer is")])
    body, _warnings = sent(OAI, request, base_url="http://llama.local/v1")

    assert assistant("The answer is") == body["messages"][1]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {"continue_final_message": True, "add_generation_prompt": False}),
        ({"continue_final_message": False}, {"continue_final_message": False}),
        ({"add_generation_prompt": True}, {"add_generation_prompt": True}),
    ],
)
def test_vllm_is_asked_to_go_on_unless_the_caller_says_how(
    said: dict[str, bool], expected: dict[str, bool]
) -> None:
    body, warnings = sent(VLL, chat(messages=[user("1"), assistant("The answer is")], **said))
    plain, _warnings = sent(VLL, chat(messages=[user("1")]))

    names = {"continue_final_message", "add_generation_prompt"}
    assert expected == {name: body[name] for name in names & body.keys()}
    assert [] == warnings
    assert not names & plain.keys()


def test_mistral_gets_no_assistant_that_says_nothing() -> None:
    assert ([user("1"), user("2")], ["dropped:messages"]) == written(
        MIS, user("1"), assistant(""), user("2")
    )


# --- keys of messages


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_what_frameworks_replay_is_left_out(kind: ProviderType) -> None:
    replayed = {
        **assistant("a"),
        "reasoning_content": "hm",
        "reasoning": "hm",
        "annotations": [],
        "thinking_blocks": [],
        "provider_specific_fields": {},
        "parsed": {},
    }

    messages, warnings = written(kind, user("1"), replayed, user("2"))

    known = {"reasoning": "hm"} if kind is VLL else {}
    assert [user("1"), {**assistant("a"), **known}, user("2")] == messages
    assert [] == warnings


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_earlier_reasoning_goes_back_to_vllm_under_its_own_name(name: str) -> None:
    messages, warnings = written(VLL, user("1"), {**assistant("a"), name: "hm"}, user("2"))

    assert {**assistant("a"), "reasoning": "hm"} == messages[1]
    assert [] == warnings


@pytest.mark.parametrize(
    ("content", "behind"),
    [
        ("a", [{"type": "text", "text": "a"}]),
        ([{"type": "text", "text": "a"}], [{"type": "text", "text": "a"}]),
        ("", []),
    ],
)
def test_earlier_reasoning_goes_back_to_magistral_as_a_first_chunk(
    content: Any, behind: list[Any]
) -> None:
    turn = {**assistant(content), "reasoning_content": "hm"}
    chunk = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}

    messages, warnings = written(MIS, user("1"), turn, user("2"), model="magistral-medium")

    assert assistant([chunk, *behind]) == messages[1]
    assert [] == warnings


def test_names_of_speakers_pass_but_at_mistral() -> None:
    named = {**user("1"), "name": "ann"}

    for kind in (OAI, AZ, *OPEN):
        assert ([named], []) == written(kind, named)
    assert ([user("1")], ["dropped:messages.name"]) == written(MIS, named)


def test_a_refusal_is_what_the_assistant_said() -> None:
    refused = {"role": "assistant", "content": None, "refusal": "No."}

    assert {"role": "assistant", "refusal": "No."} == written(OAI, user("1"), refused, user("2"))[
        0
    ][1]
    for kind in (*OPEN, MIS):
        assert assistant("No.") == written(kind, user("1"), refused, user("2"))[0][1]


def test_an_earlier_audio_answer_is_openais() -> None:
    spoken = {"role": "assistant", "audio": {"id": "audio_1"}}

    assert {"id": "audio_1"} == written(OAI, user("1"), spoken, user("2"))[0][1]["audio"]
    for kind in (*OPEN, MIS):
        with pytest.raises(RequestRejected) as caught:
            written(kind, user("1"), spoken, user("2"))
        assert "messages[1].audio" == caught.value.param


# --- section 5: calls in the history


def test_ids_are_rewritten_for_mistral_in_calls_and_results_alike() -> None:
    given, valid = "call_of_another_vendor", "abcdefghi"

    for kind, model in ((MIS, "m"), (VLL, "mistral-small"), (OVH, "Mistral-7B")):
        messages, warnings = written(
            kind, user("1"), assistant(None, given, valid), result(given), result(valid),
            model=model,
        )  # fmt: skip
        fitted = digest62(given, 9)
        assert [fitted, valid] == [call["id"] for call in messages[1]["tool_calls"]]
        assert [fitted, valid] == [message["tool_call_id"] for message in messages[2:4]]
        assert [] == warnings


def test_only_very_long_ids_are_rewritten_at_openai() -> None:
    short, long = "toolu_01", "x" * 65

    messages, _warnings = written(
        OAI, user("1"), assistant(None, short, long), result(short), result(long)
    )

    assert [short, digest62(long, 32)] == [call["id"] for call in messages[1]["tool_calls"]]


def test_empty_arguments_become_json_text() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}

    messages, _warnings = written(
        OAI, user("1"), {"role": "assistant", "tool_calls": [call]}, result("a")
    )

    assert "{}" == messages[1]["tool_calls"][0]["function"]["arguments"]


def test_a_custom_call_passes_at_openai() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}
    message = {"role": "assistant", "tool_calls": [call]}

    messages, _warnings = written(OAI, user("1"), message, result("a"))

    assert [call] == messages[1]["tool_calls"]
    for kind in (*OPEN, MIS):
        with pytest.raises(RequestRejected) as caught:
            written(kind, user("1"), message, result("a"))
        assert "messages[1].tool_calls[0].type" == caught.value.param


def test_names_that_do_not_fit_are_replaced_in_tools_choice_and_history() -> None:
    name = "server.tool/with dots"
    request = chat()
    body = {
        "messages": [
            user("1"),
            {"role": "assistant", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": name, "arguments": "{}"}}]},
            result("a"),
        ],
        "tools": [{"type": "function", "function": {"name": name}}],
        "tool_choice": {"type": "function", "function": {"name": name}},
    }  # fmt: skip
    serialized = serialize(replace(request, body=body), "m", Rules())
    out = decode(serialized.body)

    (fitted,) = serialized.names
    assert {fitted: name} == serialized.names
    assert fitted == out["tools"][0]["function"]["name"]
    assert fitted == out["tool_choice"]["function"]["name"]
    assert fitted == out["messages"][1]["tool_calls"][0]["function"]["name"]


# --- section 4: parts


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_texts_and_images_pass_without_unknown_keys(kind: ProviderType) -> None:
    parts = [{"type": "text", "text": "Hi", "junk": 1}, {**IMAGE, "junk": 1}]

    messages, warnings = written(kind, user(parts))

    # `detail` only says how closely to look, and is OpenAI's and Mistral's.
    plain = {"type": "image_url", "image_url": {"url": IMAGE["image_url"]["url"]}}
    image = plain if kind in OPEN else IMAGE
    assert [user([{"type": "text", "text": "Hi"}, image])] == messages
    assert (["dropped:messages.content.image_url.detail"] if kind in OPEN else []) == warnings


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_names_of_earlier_calls_are_fitted_too(kind: ProviderType) -> None:
    foreign = assistant(None, "abcdefghi")
    foreign["tool_calls"][0]["function"]["name"] = "server.tool"

    messages, _warnings = written(kind, user("1"), foreign, result("abcdefghi"))

    name = messages[1]["tool_calls"][0]["function"]["name"]
    assert name.startswith("server_tool_")
    assert len("server_tool_") + 6 == len(name)


def test_audio_passes_or_is_plain_text_at_mistral() -> None:
    for kind in (OAI, AZ, *OPEN):
        assert [AUDIO] == written(kind, user([AUDIO]))[0][0]["content"]
    assert [{"type": "input_audio", "input_audio": "AAAA"}] == written(MIS, user([AUDIO]))[0][0][
        "content"
    ]


def test_files_pass_become_documents_or_are_rejected() -> None:
    for part in (PDF, FILE_ID):
        assert [part] == written(OAI, user([part]))[0][0]["content"]
    assert [
        {
            "type": "document_url",
            "document_url": PDF["file"]["file_data"],
            "document_name": "a.pdf",
        },
        {"type": "file", "file_id": "file-1"},
    ] == written(MIS, user([PDF, FILE_ID]))[0][0]["content"]
    for kind in OPEN:
        with pytest.raises(RequestRejected) as caught:
            written(kind, user([{"type": "text", "text": "a"}, PDF]))
        assert "messages[0].content[1].type" == caught.value.param


def test_refusals_in_parts_are_text_elsewhere() -> None:
    part = {"type": "refusal", "refusal": "No."}
    turns = (user("1"), assistant([part]), user("2"))

    assert [part] == written(OAI, *turns)[0][1]["content"]
    for kind in (*OPEN, MIS):
        assert [{"type": "text", "text": "No."}] == written(kind, *turns)[0][1]["content"]


def test_cache_marks_pass_where_they_are_known_and_are_dropped_elsewhere() -> None:
    point = {"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}}

    for part in (MARKED, point):
        assert ([user([point])], []) == written(OAI, user([part]), model="gpt-5.6")
        for kind in OPENAI_LIKE:
            assert ([user([{"type": "text", "text": "Hi"}])], ["dropped:cache_control"]) == written(
                kind, user([part])
            )
