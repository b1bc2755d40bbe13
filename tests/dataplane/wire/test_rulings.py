"""The rulings on ambiguous cases (section 17 of the law), by number, for the seven types.

Types: OpenAI, AzureOpenAI, Mistral, Ollama, VLLM, OVHcloud, Scaleway. Rulings on Anthropic and
Bedrock alone have their tests beside those formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode, encode
from dataplane.errors import ErrorClass, RequestRejected
from dataplane.provider import HttpResponse, Request
from dataplane.record import replace
from dataplane.wire.request import parse_chat
from tests.dataplane.wire.openai_kit import (
    BASE_URLS,
    HELLO,
    TOOL,
    Played,
    adapter,
    answered,
    chat,
    chunk,
    decoder,
    play,
    sent,
    wire,
)

OAI, AZ, VLL = ProviderType.OPENAI, ProviderType.AZURE_OPENAI, ProviderType.VLLM
OVH, SCW, MIS = ProviderType.OVHCLOUD, ProviderType.SCALEWAY, ProviderType.MISTRAL
OLL = ProviderType.OLLAMA
SEVEN = tuple(BASE_URLS)
NAMED = {"type": "function", "function": {"name": "get_time"}}
SYSTEM = {"role": "system", "content": "Be brief."}
MESSAGE = {"role": "assistant", "content": "Hi", "reasoning_content": "hm"}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def calls(call_id: str) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": call_id, "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
        ],
    }


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "1"}


def rejected(kind: ProviderType, request: Request, model: str = "m") -> RequestRejected:
    with pytest.raises(RequestRejected) as caught:
        sent(kind, request, model)
    return caught.value


def native(kind: ProviderType, **changes: Any) -> bytes:
    """Write an answer that says `Hi` in a type's own format."""
    if kind is OLL:
        message = {"role": "assistant", "content": "Hi", "thinking": "hm"}
        done = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 2}
        return encode({"model": "m-2026", "message": message, **done, **changes})
    message = {"role": "assistant", "content": "Hi", "reasoning": "hm"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return encode({**chunk(), "object": "chat.completion", "choices": [choice], **changes})


def stream_of(kind: ProviderType) -> bytes:
    if kind is OLL:
        return native(OLL) + b"\n"
    return wire(chunk(MESSAGE), chunk(finish="stop"))


@pytest.mark.parametrize(
    ("kind", "model", "fields"),
    [
        (OAI, "gpt-5", {"stop": ["x"]}),
        (AZ, "gpt-5", {"stop": ["x"]}),
        (MIS, "m", {"logprobs": True}),
        (OLL, "m", {"n": 2}),
        (VLL, "m", {"audio": {"voice": "v"}}),
        (OVH, "m", {"logprobs": True}),
        (SCW, "m", {"n": 2}),
    ],
)
def test_17_01_a_missing_parameter_is_rejected_or_dropped_by_what_it_is(
    kind: ProviderType, model: str, fields: dict[str, Any]
) -> None:
    rejection = rejected(kind, chat(**fields), model)
    _body, warnings = sent(kind, chat(brand_new=1), model)

    assert (400, "unsupported_parameter") == (rejection.status, rejection.code)
    assert rejection.param in {*fields, "modalities"}
    assert ["dropped:brand_new"] == warnings


@pytest.mark.parametrize(("kind", "most"), [(MIS, 1.5), (OAI, 2), (VLL, 2), (OLL, 2)])
def test_17_03_a_temperature_over_the_range_is_clamped(kind: ProviderType, most: float) -> None:
    body, warnings = sent(kind, chat(temperature=2))

    assert most == body.get("temperature", body.get("options", {}).get("temperature"))
    assert ([] if most == 2 else ["clamped:temperature"]) == warnings


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_17_05_a_forced_tool_is_never_downgraded(choice: Any) -> None:
    request = chat(tools=[TOOL], tool_choice=choice)

    assert "tool_choice" == rejected(OLL, request).param
    # It is skipped before it is tried, too.
    assert request.features - adapter(OLL).capabilities("m")


@pytest.mark.parametrize("kind", [OAI, AZ])
def test_17_06_newest_models_are_bridged_and_reported_as_chat(kind: ProviderType) -> None:
    response = {"id": "resp_1", "status": "completed", "model": "x", "output": []}

    body, warnings = sent(kind, chat(tools=[TOOL]), "gpt-5.6")
    answer, _facts = answered(kind, chat(tools=[TOOL]), encode(response), "gpt-5.6")

    assert (False, ["mapped:endpoint"]) == (body["store"], warnings)
    assert ("chat.completion", "route") == (decode(answer)["object"], decode(answer)["model"])


def test_17_07_an_assistants_empty_turn_is_left_out_where_it_is_refused() -> None:
    turns = [user("1"), {"role": "assistant", "content": ""}, user("2")]

    body, warnings = sent(MIS, chat(messages=turns))

    assert [user("1"), user("2")] == body["messages"]
    assert ["dropped:messages"] == warnings


@pytest.mark.parametrize("kind", SEVEN)
def test_17_08_a_later_system_message_stays_where_it_is(kind: ProviderType) -> None:
    turns = [SYSTEM, user("1"), {"role": "assistant", "content": "2"}, SYSTEM, user("3")]

    messages = sent(kind, chat(messages=turns))[0]["messages"]

    assert SYSTEM == messages[0]
    if kind in (VLL, OVH, SCW):
        assert user("Be brief.\n\n3") == messages[3]
    else:
        assert turns == messages


@pytest.mark.parametrize(("kind", "model"), [(MIS, "m"), (VLL, "mistral-small"), (OVH, "Mixtral")])
def test_17_09_a_user_right_after_a_tool_gets_a_turn_before_it(
    kind: ProviderType, model: str
) -> None:
    turns = [user("1"), calls("abcdefghi"), result("abcdefghi"), user("2")]

    body, warnings = sent(kind, chat(messages=turns), model)

    assert ["user", "assistant", "tool", "assistant", "user"] == [
        message["role"] for message in body["messages"]
    ]
    assert ["emulated:messages"] == warnings


@pytest.mark.parametrize("kind", SEVEN)
def test_17_10_foreign_ids_become_the_same_in_every_request(kind: ProviderType) -> None:
    foreign = "toolu_01" + "x" * 70
    request = chat(messages=[user("1"), calls(foreign), result(foreign)])

    messages = sent(kind, request)[0]["messages"]

    given = messages[1]["tool_calls"][0]["id"]
    assert given == messages[2]["tool_call_id"]
    assert messages == sent(kind, request)[0]["messages"]
    lengths: Mapping[ProviderType, int] = {MIS: 9, OAI: 32, AZ: 32}
    assert lengths.get(kind, len(foreign)) == len(given)


def test_17_11_an_image_url_is_not_fetched_for_ollama() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}

    rejection = rejected(OLL, chat(messages=[user([part])]))

    assert "messages[0].content[0].image_url" == rejection.param


@pytest.mark.parametrize("kind", [OLL, OVH, SCW])
def test_17_13_several_choices_are_never_faked(kind: ProviderType) -> None:
    assert "n" == rejected(kind, chat(n=2)).param


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", SEVEN)
def test_17_15_reasoning_has_one_name(kind: ProviderType, stream: bool) -> None:
    if stream:
        events = Played(decoder(kind, chat(stream=True)), [stream_of(kind)]).events
        said = {key for each in events for key in each["choices"][0]["delta"]}
    else:
        body = decode(answered(kind, chat(), native(kind))[0])
        said = set(body["choices"][0]["message"])

    assert "reasoning_content" in said
    assert said.isdisjoint({"reasoning", "thinking", "reasoning_details"})


@pytest.mark.parametrize("kind", [OAI, AZ, OLL])
def test_17_16_tokens_add_up(kind: ProviderType) -> None:
    """Where totals are made here: the bridge, and Ollama."""
    counts = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 99}
    response = {"id": "resp_1", "status": "completed", "output": [], "usage": counts}
    body = native(OLL) if kind is OLL else encode(response)
    request = chat() if kind is OLL else chat(tools=[TOOL])

    usage = decode(answered(kind, request, body, "gpt-5.6")[0])["usage"]

    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] == 11


@pytest.mark.parametrize("kind", SEVEN)
def test_17_18_a_stream_that_fails_midway_says_so_and_no_more(kind: ProviderType) -> None:
    if kind is OLL:
        begun = encode({"model": "m", "message": {"content": "Hi"}, "done": False})
        stream = begun + b'\n{"error":"boom"}\n'
    else:
        stream = wire(chunk(MESSAGE), {"error": {"message": "boom", "type": "server_error"}})

    played = Played(decoder(kind, chat(stream=True)), [stream])

    assert played.failure is not None
    assert (ErrorClass.UPSTREAM_ERROR, True, False) == (
        played.failure.error,
        played.semantic,
        played.done,
    )
    assert all(event["choices"][0]["finish_reason"] is None for event in played.events)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", SEVEN)
def test_17_19_an_upstreams_401_and_403_are_a_502_of_ours(kind: ProviderType, status: int) -> None:
    body = b'{"error":"no, sk-secret-0123456789abcdef"}'

    failure = adapter(kind).failure(HttpResponse(status=status, headers={}, body=body))

    assert (502, "upstream_auth_error", True) == (
        failure.policy.status,
        failure.policy.code,
        failure.policy.try_next,
    )
    assert "secret" not in failure.message


def test_17_20_azures_filtered_choice_gets_a_message() -> None:
    choice = {"index": 0, "finish_reason": "content_filter", "content_filter_results": {}}

    said = decode(answered(AZ, chat(), encode({**chunk(), "choices": [choice]}))[0])["choices"][0]

    assert {"role": "assistant", "content": None} == said["message"]
    assert "content_filter" == said["finish_reason"]


@pytest.mark.parametrize("kind", SEVEN)
def test_17_21_the_model_is_the_callers_name_and_the_native_one_is_kept(
    kind: ProviderType,
) -> None:
    body, facts = answered(kind, chat(), native(kind))
    played = Played(decoder(kind, chat(stream=True)), [stream_of(kind)])

    assert ("route", "m-2026") == (decode(body)["model"], facts.response_model)
    assert {"route"} == {event["model"] for event in played.events}
    assert "m-2026" == played.facts.response_model


@pytest.mark.parametrize("kind", [OAI, AZ])
def test_17_22_more_than_four_stops_are_rejected(kind: ProviderType) -> None:
    assert "stop" == rejected(kind, chat(stop=list("abcde"))).param


@pytest.mark.parametrize("kind", SEVEN)
def test_17_23_an_empty_list_of_tools_is_absent(kind: ProviderType) -> None:
    assert sent(kind, chat()) == sent(kind, chat(tools=[], tool_choice="auto"))


def test_17_26_an_unknown_type_of_part_is_rejected_whatever_the_target() -> None:
    body = {"model": "route", "messages": [user([{"type": "video_url", "video_url": "x"}])]}

    with pytest.raises(RequestRejected) as caught:
        parse_chat(encode(body))

    assert "messages[0].content[0].type" == caught.value.param


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "header", "expected"),
    [
        (OVH, {"x-warning": "soon gone"}, {"notice:model", "mapped:model"}),
        (OVH, {}, {"mapped:model"}),
        (SCW, {"x-warning": "soon gone"}, {"mapped:model"}),
        (OAI, {}, set()),
    ],
)
def test_17_28_a_silent_change_of_model_is_told(
    kind: ProviderType, header: dict[str, str], expected: set[str], stream: bool
) -> None:
    request, made = chat(stream=stream), adapter(kind)
    prepared = made.prepare(request, "m", None)
    if stream:
        told = made.decoder(request, replace(prepared, answer_headers=header))
        facts = Played(told, [stream_of(kind)]).facts
    else:
        response = HttpResponse(status=200, headers=header, body=native(kind))
        facts = made.answer(request, prepared, response).facts

    assert expected == set(facts.warnings)


@pytest.mark.parametrize("strict", [False, True])
def test_17_29_ollamas_context_is_said_and_never_cut_in_silence(strict: bool) -> None:
    models = {"m": Model(name="m", context_window=8192)}
    request = replace(chat(), strict=strict)

    body, _warnings = sent(OLL, request, models=models)
    _answer, facts = answered(OLL, request, native(OLL, prompt_eval_count=8191), models=models)
    _small, fits = answered(OLL, request, native(OLL, prompt_eval_count=8190), models=models)

    assert 8192 == body["options"]["num_ctx"]
    assert (False if strict else None) == body.get("truncate")
    assert facts.warnings
    assert [] == fits.warnings


@pytest.mark.parametrize("kind", SEVEN)
def test_17_30_keys_with_a_null_are_stripped(kind: ProviderType) -> None:
    nulls = dict.fromkeys(("temperature", "tools", "tool_choice", "response_format", "stop"))
    messages = [{**HELLO[0], "name": None}]

    assert sent(kind, chat()) == sent(kind, chat(messages=messages, **nulls))


@pytest.mark.parametrize("kind", SEVEN)
def test_a_conversation_may_begin_with_the_assistant(kind: ProviderType) -> None:
    """Section 3: nobody of the seven minds, so nothing is put before it."""
    turns = [{"role": "assistant", "content": "Welcome."}, user("Hello")]

    body, warnings = sent(kind, chat(messages=turns))

    assert (turns, []) == (body["messages"], warnings)


def test_a_forced_function_keeps_stop_where_openai_says_it() -> None:
    """Section 10, first ruling: by name only, and in streams alike."""
    delta = {"tool_calls": [{"index": 0, "id": "c", "type": "function",
                             "function": {"name": "get_time", "arguments": "{}"}}]}  # fmt: skip
    for kind, choice, expected in (
        (VLL, NAMED, "stop"),
        (VLL, "required", "tool_calls"),
        (MIS, NAMED, "tool_calls"),
    ):
        request = chat(stream=True, tools=[TOOL], tool_choice=choice)
        played = play(kind, request, chunk(delta), chunk(finish="stop"))

        assert expected == played.events[-1]["choices"][0]["finish_reason"]
