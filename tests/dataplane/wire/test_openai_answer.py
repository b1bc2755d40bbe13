from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpResponse, ModelInfo, Usage
from dataplane.record import replace
from dataplane.wire.embeddings import decode_base64_vector, encode_vector
from dataplane.wire.openai_answer import read_models
from tests.dataplane.wire.openai_kit import (
    OPENAI_LIKE,
    TOOL,
    USAGE,
    adapter,
    answered,
    chat,
    completion,
    embeddings,
)

OAI, AZ, VLL = ProviderType.OPENAI, ProviderType.AZURE_OPENAI, ProviderType.VLLM
OVH, SCW, MIS = ProviderType.OVHCLOUD, ProviderType.SCALEWAY, ProviderType.MISTRAL
NAMED = {"type": "function", "function": {"name": "get_time"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}


def answer(message: Any = None, finish: Any = "stop", **changes: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "m-2026",
        "choices": [
            {
                "index": 0,
                "message": message or {"role": "assistant", "content": "Hi"},
                "finish_reason": finish,
            }
        ],
        "usage": USAGE,
        **changes,
    }


def read(kind: ProviderType, body: Any, **fields: Any) -> dict[str, Any]:
    return decode(answered(kind, chat(**fields), encode(body))[0])


def said(kind: ProviderType, message: Any, finish: Any = "stop", **fields: Any) -> dict[str, Any]:
    return read(kind, answer(message, finish), **fields)["choices"][0]


def failed(kind: ProviderType, body: bytes, request: Any = None) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        answered(kind, request or chat(), body)
    return caught.value


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_a_clean_answer_is_relayed_byte_for_byte_but_for_the_model(kind: ProviderType) -> None:
    body = (
        b'{ "id":"x","object":"chat.completion","created":1,\n "model": "m-2026", "choices":'
        b'[{"index":0,"message":{"role":"assistant","content":"caf\\u00e9 \xc3\xa9"},'
        b'"finish_reason":"stop","n":1.50}],"timings":{"a":1.0},"unknown":null}'
    )

    relayed, facts = answered(kind, chat(), body)

    assert body.replace(b'"m-2026"', b'"route"') == relayed
    assert ("x", "m-2026", {0: "stop"}) == (
        facts.response_id,
        facts.response_model,
        facts.finish_reasons,
    )


def test_an_answer_whose_model_cannot_be_told_apart_is_written_anew() -> None:
    body = answer(metrics={"model": "m-2026"})

    assert {**body, "model": "route"} == read(VLL, body)


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_usage_is_kept_and_read(kind: ProviderType) -> None:
    usage = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    body, facts = answered(kind, chat(), encode(answer(usage=usage)))

    assert usage == decode(body)["usage"]
    assert facts.usage == Usage(
        input_tokens=9,
        output_tokens=2,
        cache_read_tokens=4,
        cache_write_tokens=1,
        reasoning_tokens=2,
    )


def test_vllms_name_for_written_cache_is_read_and_nonsense_is_not() -> None:
    usage = {"prompt_tokens": "9", "prompt_tokens_details": {"created_cache_tokens": 3}}
    _body, facts = answered(VLL, chat(), encode(answer(usage=usage)))
    _more, none = answered(VLL, chat(), encode(answer(usage={"prompt_tokens_details": None})))

    assert facts.usage == Usage(cache_write_tokens=3)
    assert none.usage == Usage()


def test_an_empty_list_of_calls_is_removed() -> None:
    message = {"role": "assistant", "content": "Hi", "tool_calls": []}

    assert {"role": "assistant", "content": "Hi"} == said(OVH, message)["message"]


def test_a_filtered_azure_choice_gets_a_message() -> None:
    body = answer()
    body["choices"] = [{"content_filter_results": {}, "finish_reason": "content_filter"}]

    assert {
        "finish_reason": "content_filter",
        "index": 0,
        "message": {"role": "assistant", "content": None},
    } == read(AZ, body)["choices"][0]


def test_lists_of_content_become_text_reasoning_and_annotations() -> None:
    reference = {"type": "reference", "reference_ids": [1]}
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Add"}, {"type": "x"}]},
        {"type": "thinking", "thinking": " them"},
        {"type": "text", "text": "8"},
        reference,
        "!",
        {"type": "hologram"},
    ]

    assert {
        "role": "assistant",
        "content": "8!",
        "reasoning_content": "Add them",
        "annotations": [reference],
    } == said(MIS, {"role": "assistant", "content": content})["message"]


def test_a_message_that_only_thinks_has_no_content() -> None:
    thinking = [{"type": "thinking", "thinking": "hm"}]

    assert said(MIS, {"role": "assistant", "content": thinking})["message"]["content"] is None
    assert "" == said(MIS, {"role": "assistant", "content": []})["message"]["content"]


@pytest.mark.parametrize("kind", [VLL, OVH, SCW])
@pytest.mark.parametrize(
    "keys",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_content": None},
        {"reasoning": "hm", "reasoning_content": "hm"},
    ],
)
def test_reasoning_comes_under_one_name(kind: ProviderType, keys: dict[str, Any]) -> None:
    message = said(kind, {"role": "assistant", "content": "8", **keys})["message"]

    assert {"role": "assistant", "content": "8", "reasoning_content": "hm"} == message


def test_reasoning_that_is_null_is_left_out() -> None:
    message = {"role": "assistant", "content": "8", "reasoning": None, "reasoning_content": None}

    assert {"role": "assistant", "content": "8"} == said(VLL, message)["message"]


def test_reasoning_in_no_known_form_is_left_alone() -> None:
    message = {"role": "assistant", "content": "8", "reasoning": {"steps": 2}}

    assert message == said(VLL, message)["message"]


def test_what_azures_filters_found_is_in_the_side_data() -> None:
    body = answer()
    body["choices"][0]["content_filter_results"] = {
        "hate": {"filtered": False, "severity": "safe"},
        "violence": {"filtered": True, "severity": "high"},
        "error": {"code": "content_filter_error"},
    }
    prompt = {"hate": {"filtered": False}, "jailbreak": {"filtered": False, "detected": True}}
    body["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": prompt}, 7]
    read_back = read(AZ, body)

    assert "prompt_filter_results" not in read_back
    assert "content_filter_results" not in read_back["choices"][0]
    assert {
        "origin": {"type": "AzureOpenAI", "model": "m"},
        "content_filter": {
            "prompt": {"jailbreak": {"filtered": False, "detected": True}},
            "answer": {
                "violence": {"filtered": True, "severity": "high"},
                "error": {"code": "content_filter_error"},
            },
        },
    } == read_back["choices"][0]["message"]["switchgear"]


@pytest.mark.parametrize("kind", [VLL, ProviderType.OVHCLOUD, ProviderType.SCALEWAY])
def test_vllms_own_keys_are_left_out_unless_they_were_asked_for(kind: ProviderType) -> None:
    body = answer() | {"prompt_logprobs": None, "kv_transfer_params": {}, "metrics": None}
    body["choices"][0] |= {"stop_reason": "\n", "token_ids": None}
    asked = answer() | {"prompt_logprobs": [{"1": 0.5}]}
    asked["choices"][0] |= {"token_ids": [1, 2]}

    assert answer() | {"model": "route"} == read(kind, body)
    assert asked | {"model": "route"} == read(kind, asked)


def test_keys_that_nobody_knows_are_relayed() -> None:
    body = answer() | {"timings": {"predicted_ms": 2}, "stop_reason": 1}

    assert {"predicted_ms": 2} == read(VLL, body)["timings"]
    assert 1 == read(ProviderType.OPENAI, body)["stop_reason"]


# --- calls of tools


def calls_of(*calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_calls_pass_unchanged(kind: ProviderType) -> None:
    call = {**CALL, "extra": 1}

    choice = said(kind, calls_of(call), "tool_calls", tools=[TOOL])

    assert calls_of(call) == choice["message"]
    assert "tool_calls" == choice["finish_reason"]


@pytest.mark.parametrize("arguments", ["", None, {}])
def test_arguments_are_always_json_text(arguments: Any) -> None:
    call = {"id": "a", "function": {"name": "get_time", "arguments": arguments}}
    lacking = {"id": "b", "function": {"name": "get_time"}}

    message = said(OVH, calls_of(call, lacking), "tool_calls", tools=[TOOL])["message"]

    assert [{**CALL, "id": "a"}, {**CALL, "id": "b"}] == message["tool_calls"]


def test_missing_and_repeated_ids_are_made_up_the_same_each_time() -> None:
    nameless = {"function": {"name": "get_time", "arguments": "{}"}}
    body = answer(calls_of(nameless, CALL, CALL, {**nameless, "id": ""}), "tool_calls")

    calls = read(OVH, body, tools=[TOOL])["choices"][0]["message"]["tool_calls"]

    ids = [call["id"] for call in calls]
    assert 4 == len(set(ids))
    assert "call_1" == ids[1]
    assert all(each.startswith("call_") for each in ids)
    again = read(OVH, body, tools=[TOOL])["choices"][0]["message"]["tool_calls"]
    assert calls == again


def test_custom_calls_pass() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "g", "input": "x"}}
    custom = {"type": "custom", "custom": {"name": "g"}}

    message = said(OAI, calls_of(call), "tool_calls", tools=[custom])["message"]

    assert [call] == message["tool_calls"]


@pytest.mark.parametrize("call", ["x", {}, {"id": "a"}, {"id": "a", "function": {"name": 1}}])
def test_a_call_without_a_name_is_no_answer(call: Any) -> None:
    body = encode(answer(calls_of(call), "tool_calls"))

    assert ErrorClass.BAD_RESPONSE is failed(OAI, body).error


def test_the_old_form_of_calls_is_given_back_to_those_who_asked_in_it() -> None:
    request = chat(functions=[{"name": "get_time"}])
    second = {**CALL, "id": "call_2"}

    body, facts = answered(OAI, request, encode(answer(calls_of(CALL, second), "tool_calls")))
    choice = decode(body)["choices"][0]

    assert {
        "role": "assistant",
        "content": None,
        "function_call": CALL["function"],
    } == choice["message"]
    assert "function_call" == choice["finish_reason"]
    assert {0: "tool_calls"} == facts.finish_reasons
    assert ["dropped:tool_calls"] == facts.warnings


# --- section 10: finish reasons

FINISHES = [
    (OAI, "stop", "stop", []),
    (OAI, "length", "length", []),
    (OAI, "content_filter", "content_filter", []),
    (MIS, "model_length", "length", []),
    (VLL, "repetition", "length", ["mapped:finish_reason"]),
    (OAI, "brand_new", "stop", ["mapped:finish_reason"]),
    (OAI, "tool_calls", "stop", ["mapped:finish_reason"]),
    (OAI, None, "stop", []),
]


@pytest.mark.parametrize(("kind", "native", "expected", "warnings"), FINISHES)
def test_a_finish_without_calls(
    kind: ProviderType, native: Any, expected: str, warnings: list[str]
) -> None:
    body, facts = answered(kind, chat(), encode(answer(finish=native)))

    assert expected == decode(body)["choices"][0]["finish_reason"]
    assert {0: expected} == facts.finish_reasons
    assert (native if native not in {expected, None} else "") == facts.native_finish_reason
    assert warnings == facts.warnings


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_calls_end_with_tool_calls_unless_one_was_forced_by_name(kind: ProviderType) -> None:
    free = said(kind, calls_of(CALL), "stop", tools=[TOOL])
    forced = said(kind, calls_of(CALL), "stop", tools=[TOOL], tool_choice=NAMED)
    missing = said(kind, calls_of(CALL), None, tools=[TOOL])

    assert "tool_calls" == free["finish_reason"]
    assert ("stop" if kind in {OAI, AZ, VLL} else "tool_calls") == forced["finish_reason"]
    assert "tool_calls" == missing["finish_reason"]


@pytest.mark.parametrize("native", ["tool_calls", "function_call"])
def test_a_call_ends_with_tool_calls(native: str) -> None:
    assert "tool_calls" == said(OAI, calls_of(CALL), native, tools=[TOOL])["finish_reason"]


def test_a_cut_call_stays_cut() -> None:
    cut = {**CALL, "function": {"name": "get_time", "arguments": '{"tz": "U'}}

    choice = said(VLL, calls_of(cut), "length", tools=[TOOL])

    assert "length" == choice["finish_reason"]
    assert [cut] == choice["message"]["tool_calls"]


@pytest.mark.parametrize(("kind", "native"), [(MIS, "error"), (VLL, "abort")])
def test_an_end_that_is_a_failure_is_one(kind: ProviderType, native: str) -> None:
    assert ErrorClass.UPSTREAM_ERROR is failed(kind, encode(answer(finish=native))).error


# --- what is no answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":{}}',
        b'{"choices":[1]}',
        b'{"choices":[{"message":{}}',
        b'{"x":"\xff"}',
        b"[" * 5000,
    ],
)
@pytest.mark.parametrize("kind", [OAI, MIS])
def test_what_cannot_be_read_is_a_bad_response(kind: ProviderType, body: bytes) -> None:
    assert ErrorClass.BAD_RESPONSE is failed(kind, body).error


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "overloaded", "type": "overloaded_error", "code": 503}},
        {"object": "error", "message": "overloaded", "type": "ServiceUnavailable", "code": 503},
    ],
)
def test_an_error_inside_a_200_is_classified(body: Any) -> None:
    assert ErrorClass.OVERLOADED is failed(VLL, encode(body)).error


def test_what_is_missing_around_the_choices_is_made_up() -> None:
    body = encode({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})

    made = decode(answered(OAI, chat(), body)[0])

    assert made.pop("id").startswith("chatcmpl-")
    assert {
        "object": "chat.completion",
        "created": 0,
        "model": "route",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        ],
    } == made


def test_a_message_without_content_gets_null() -> None:
    assert said(OAI, {"role": "assistant", "refusal": "No."})["message"]["content"] is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["id", "index", "message", "choices", "content", "tool_calls", "function",
                         "name", "arguments", "usage", "model", "error", "object", "type", "data",
                         "embedding", "finish_reason", "text", "thinking", "reasoning", "custom"]),
        inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200)
@given(value=JSON, kind=st.sampled_from(OPENAI_LIKE), what=st.sampled_from(["chat", "text", "emb"]))
def test_any_json_is_an_answer_or_a_failure(value: Any, kind: ProviderType, what: str) -> None:
    request = {"chat": chat(), "text": completion(), "emb": embeddings()}[what]
    if what == "text" and kind in {SCW, MIS}:
        request = chat()
    try:
        body, _facts = answered(kind, request, encode({"choices": value, "data": value}))
    except UpstreamFailed:
        return
    assert "route" == decode(body)["model"]


# --- text completions


def test_a_text_completion_is_relayed() -> None:
    body = (
        b'{"id":"cmpl-1","object":"text_completion","created":1,"model":"up","choices":'
        b'[{"index":0,"text":" upon","logprobs":null,"finish_reason":"length"}]}'
    )

    relayed, facts = answered(OAI, completion(), body)

    assert body.replace(b'"up"', b'"route"') == relayed
    assert {0: "length"} == facts.finish_reasons


# --- embeddings

VECTOR = [0.5, -1.5, 2.0]
TEXT = encode_vector(VECTOR)


def vectors(*items: Any, **changes: Any) -> bytes:
    data = [
        item
        if isinstance(item, dict) and "embedding" in item
        else {"object": "embedding", "index": at, "embedding": item}
        for at, item in enumerate(items)
    ]
    return encode({"object": "list", "data": data, "model": "m", **changes})


@pytest.mark.parametrize("kind", OPENAI_LIKE)
@pytest.mark.parametrize("wanted", [None, "float", "base64"])
@pytest.mark.parametrize("given_vector", [VECTOR, TEXT])
def test_vectors_come_as_the_caller_wants_them(
    kind: ProviderType, wanted: str | None, given_vector: Any
) -> None:
    request = embeddings(encoding_format=wanted)

    body, facts = answered(kind, request, vectors(given_vector, usage={"prompt_tokens": 1}))

    expected = TEXT if wanted == "base64" else VECTOR
    assert {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": expected}],
        "model": "route",
        "usage": {"prompt_tokens": 1},
    } == decode(body)
    assert 3 == facts.embedding_dimensions


def test_vectors_that_are_right_are_relayed() -> None:
    body = b'{"object":"list","data":[{"index":0,"embedding":[1.50,2]}],"model": "m"}'

    assert body.replace(b'"m"', b'"route"') == answered(OAI, embeddings(), body)[0]


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    second, first = ({"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]})

    body, _facts = answered(OAI, embeddings(input=["a", "b"]), vectors(second, first))

    assert [[1.0], [2.0]] == [item["embedding"] for item in decode(body)["data"]]


def test_missing_indexes_and_kinds_are_added() -> None:
    body, _facts = answered(OAI, embeddings(), encode({"data": [{"embedding": [1.0]}]}))

    assert {
        "data": [{"embedding": [1.0], "index": 0}],
        "object": "list",
        "model": "route",
    } == decode(body)


@pytest.mark.parametrize(
    "items",
    [
        [],
        [[1.0], [2.0]],
        [[]],
        [""],
        ["no base64!"],
        ["AAA="],
        [["x"]],
        [None],
        [{"index": 1, "embedding": [1.0]}],
        [{"index": "0", "embedding": [1.0]}],
    ],
)
def test_vectors_that_are_none_or_too_many_are_a_bad_response(items: list[Any]) -> None:
    assert ErrorClass.BAD_RESPONSE is failed(OAI, vectors(*items), embeddings()).error


def test_data_that_is_no_list_of_objects_is_a_bad_response() -> None:
    for data in ({}, ["x"], None):
        body = encode({"data": data})
        assert ErrorClass.BAD_RESPONSE is failed(OAI, body, embeddings()).error


def test_a_list_of_tokens_is_one_input() -> None:
    _body, facts = answered(OAI, embeddings(input=[1, 2, 3]), vectors([1.0]))
    _more, two = answered(OAI, embeddings(input=[[1], [2]]), vectors([1.0], [2.0, 3.0]))

    assert 1 == facts.embedding_dimensions
    assert 2 == two.embedding_dimensions


def test_base64_is_little_endian_float32() -> None:
    assert "AAAAPwAAwL8AAABA" == TEXT
    assert VECTOR == decode_base64_vector(TEXT)


# --- models


def models(body: Any) -> Any:
    return read_models(HttpResponse(status=200, headers={}, body=encode(body)))


def test_a_list_of_models_is_read() -> None:
    listed = models(
        {
            "data": [
                {"id": "a", "owned_by": "vllm", "max_model_len": 4096},
                {"id": "b", "max_context_length": 8192, "owned_by": 7},
                {"id": "c"},
                {"name": "no id"},
                "x",
            ]
        }
    )

    assert [
        ModelInfo(id="a", owned_by="vllm", context_window=4096),
        ModelInfo(id="b", context_window=8192),
        ModelInfo(id="c"),
    ] == listed


@pytest.mark.parametrize("body", [{}, {"data": {}}, [], "x"])
def test_what_is_no_list_of_models_is_a_bad_response(body: Any) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        models(body)
    assert ErrorClass.BAD_RESPONSE is caught.value.error


# --- redirects


@pytest.mark.parametrize(("kind", "warned"), [(OVH, True), (SCW, True), (OAI, False), (MIS, False)])
def test_another_model_than_asked_for_is_worth_a_warning(kind: ProviderType, warned: bool) -> None:
    _body, facts = answered(kind, chat(), encode(answer()))
    _same, none = answered(kind, chat(), encode(answer(model="m")))

    assert (["mapped:model"] if warned else []) == facts.warnings
    assert [] == none.warnings


def test_a_notice_in_the_headers_is_worth_a_warning() -> None:
    headers = {"x-warning": "this model will be gone"}
    request = chat()
    for kind, expected in ((OVH, ["notice:model"]), (OAI, []), (VLL, [])):
        made = adapter(kind)
        prepared = made.prepare(request, "m-2026", None)
        response = HttpResponse(status=200, headers=headers, body=encode(answer()))

        assert expected == made.answer(request, prepared, response).facts.warnings
        stream = made.decoder(request, replace(prepared, answer_headers=headers))
        assert expected == stream.facts.warnings


# --- reasoning between tags

THINKS = {"models": {"m": Model(name="m", split_thinking=True)}}


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_tagged_reasoning_is_split_only_if_the_manifest_says_so(kind: ProviderType) -> None:
    text = "<think>\nhm\n</think>\n\nHi"
    message = {"role": "assistant", "content": text}
    body = encode(answer(message))

    kept = decode(answered(kind, chat(), body)[0])["choices"][0]["message"]
    split = decode(answered(kind, chat(), body, **THINKS)[0])["choices"][0]["message"]

    assert message == kept
    assert {"role": "assistant", "content": "Hi", "reasoning_content": "hm"} == split


def test_reasoning_that_nothing_follows_leaves_no_content() -> None:
    message = {"role": "assistant", "content": "<think>hm", "reasoning_content": "so "}
    body = encode(answer(message))

    split = decode(answered(VLL, chat(), body, **THINKS)[0])["choices"][0]["message"]

    assert {"role": "assistant", "content": None, "reasoning_content": "so hm"} == split


def test_a_template_may_have_opened_the_tag_already() -> None:
    models = {"deepseek-r1": Model(name="deepseek-r1", split_thinking=True)}
    body = encode(answer({"role": "assistant", "content": "hm</think>Hi"}))

    said = decode(answered(SCW, chat(), body, "deepseek-r1", models=models)[0])

    assert {"role": "assistant", "content": "Hi", "reasoning_content": "hm"} == (
        said["choices"][0]["message"]
    )


@pytest.mark.parametrize("name", ["reasoning", "thinking"])
def test_other_names_of_reasoning_are_read(name: str) -> None:
    choice = said(VLL, {"role": "assistant", "content": "Hi", name: "hm"})

    assert {"role": "assistant", "content": "Hi", "reasoning_content": "hm"} == choice["message"]
