import base64
import struct
from typing import Any

import pytest

from dataplane.codec import decode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpResponse, Operation, Request, Usage
from dataplane.wire.ollama_answer import identity_of, read_answer
from tests.dataplane.wire.ollama_samples import (
    CREATED,
    STAMP,
    call,
    chat_request,
    done,
    embeddings_request,
    native,
    native_text,
    response,
    text_request,
)


def choice_of(request: Request, item: dict[str, Any]) -> dict[str, Any]:
    choice: dict[str, Any] = decode(read_answer(request, response(item), None).body)["choices"][0]
    return choice


def failure_of(request: Request, item: dict[str, Any]) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as failed:
        read_answer(request, response(item), None)
    return failed.value


def test_a_chat_answer_has_openais_shape() -> None:
    answer = read_answer(chat_request(), response(native({"content": "Hi 🙂"}, **done())), None)

    body = decode(answer.body)
    assert body.pop("id").startswith("chatcmpl-")
    assert {
        "object": "chat.completion",
        "created": CREATED,
        "model": "route",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi 🙂", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 16, "total_tokens": 26},
    } == body


def test_the_facts_tell_what_the_answer_said() -> None:
    answer = read_answer(chat_request(), response(native({"content": "Hi"}, **done())), None)

    facts = answer.facts
    assert decode(answer.body)["id"] == facts.response_id
    assert "tiny" == facts.response_model
    assert {0: "stop"} == facts.finish_reasons
    assert not facts.native_finish_reason
    assert Usage(input_tokens=10, output_tokens=16) == facts.usage
    assert [] == facts.warnings


def test_thinking_becomes_reasoning_content() -> None:
    item = native({"content": "4", "thinking": "2+2"}, **done())

    assert "2+2" == choice_of(chat_request(), item)["message"]["reasoning_content"]


def test_tool_calls_become_openais_and_end_the_turn() -> None:
    calls = [call("clock", {"tz": "UTC"}, "call_ab"), call("dice")]
    item = native({"tool_calls": calls}, **done())

    choice = choice_of(chat_request(), item)

    assert {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {
                "id": "call_ab",
                "type": "function",
                "function": {"name": "clock", "arguments": '{"tz":"UTC"}'},
            },
            {"id": "call_1", "type": "function", "function": {"name": "dice", "arguments": "{}"}},
        ],
    } == choice["message"]
    assert "tool_calls" == choice["finish_reason"]


def test_text_beside_a_tool_call_is_kept() -> None:
    item = native({"content": "let me see", "tool_calls": [call("f")]}, **done())

    assert "let me see" == choice_of(chat_request(), item)["message"]["content"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([None, None], ["call_0", "call_1"]),
        (["call_x", "call_x"], ["call_x", "call_x_1"]),
        (["call_1", None], ["call_1", "call_1_1"]),
        ([None, "call_0"], ["call_0", "call_0_1"]),
        (["", "b"], ["call_0", "b"]),
    ],
)
def test_missing_and_repeated_ids_are_made_unique(
    given: list[str | None], expected: list[str]
) -> None:
    item = native({"tool_calls": [call("f", {}, call_id) for call_id in given]}, **done())

    calls = choice_of(chat_request(), item)["message"]["tool_calls"]

    assert expected == [each["id"] for each in calls]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"a": 1}, '{"a":1}'),
        ({}, "{}"),
        (None, "{}"),
        ("", "{}"),
        ('{"a": 1}', '{"a": 1}'),
        ({"city": "Orléans"}, '{"city":"Orléans"}'),
        ([1], "[1]"),
    ],
)
def test_arguments_are_always_text(arguments: object, expected: str) -> None:
    item = native({"tool_calls": [call("f", arguments)]}, **done())

    calls = choice_of(chat_request(), item)["message"]["tool_calls"]

    assert expected == calls[0]["function"]["arguments"]


def test_a_legacy_caller_gets_its_first_call_as_function_call() -> None:
    item = native({"tool_calls": [call("f", {"a": 1}), call("g")]}, **done())

    choice = choice_of(chat_request(legacy_functions=True), item)

    assert {"name": "f", "arguments": '{"a":1}'} == choice["message"]["function_call"]
    assert "tool_calls" not in choice["message"]
    assert "function_call" == choice["finish_reason"]


@pytest.mark.parametrize(
    ("native_reason", "called", "reason", "told", "warnings"),
    [
        ("stop", False, "stop", "", []),
        ("stop", True, "tool_calls", "stop", []),
        ("length", False, "length", "", []),
        ("length", True, "length", "", []),
        ("sunset", False, "stop", "sunset", ["mapped:finish_reason"]),
        ("sunset", True, "tool_calls", "sunset", ["mapped:finish_reason"]),
    ],
)
def test_finish_reasons(
    native_reason: str, called: bool, reason: str, told: str, warnings: list[str]
) -> None:
    message = {"tool_calls": [call("f")]} if called else {"content": "x"}
    answer = read_answer(chat_request(), response(native(message, **done(native_reason))), None)

    assert reason == decode(answer.body)["choices"][0]["finish_reason"]
    assert {0: reason} == answer.facts.finish_reasons
    assert told == answer.facts.native_finish_reason
    assert warnings == answer.facts.warnings


@pytest.mark.parametrize("reason", ["load", "unload", "", None])
@pytest.mark.parametrize("request_", [chat_request(), text_request()])
def test_an_answer_that_did_not_finish_is_an_upstream_error(
    request_: Request, reason: str | None
) -> None:
    item = native(**done()) | {"response": "", "done_reason": reason}

    failure = failure_of(request_, item)

    assert (ErrorClass.UPSTREAM_ERROR, 200) == (failure.error, failure.status)
    assert repr(reason or "") in failure.message


@pytest.mark.parametrize(
    ("counters", "usage"),
    [
        ({"prompt_eval_count": 3, "eval_count": 4}, (3, 4)),
        ({"eval_count": 4}, (0, 4)),
        ({"prompt_eval_count": 3}, (3, 0)),
        ({"prompt_eval_count": 0, "eval_count": 0}, (0, 0)),
        ({"prompt_eval_count": True, "eval_count": "4"}, None),
        ({}, None),
    ],
)
def test_usage_adds_up_or_is_null(counters: dict[str, Any], usage: tuple[int, int] | None) -> None:
    item = native({"content": "x"}, done=True, done_reason="stop", **counters)
    answer = read_answer(chat_request(), response(item), None)

    told = decode(answer.body)["usage"]
    if usage is None:
        assert told is None
        assert answer.facts.usage is None
    else:
        assert {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        } == told
        assert Usage(input_tokens=usage[0], output_tokens=usage[1]) == answer.facts.usage


@pytest.mark.parametrize(
    ("num_ctx", "read_tokens", "warned"),
    [(None, 4098, False), (4096, 4094, False), (4096, 4095, True), (4096, 4096, True)],
)
@pytest.mark.parametrize(
    ("request_", "warning"),
    [(chat_request(), "clamped:messages"), (text_request(), "clamped:prompt")],
)
def test_a_prompt_that_fills_the_context_was_probably_cut(
    request_: Request, warning: str, num_ctx: int | None, read_tokens: int, warned: bool
) -> None:
    item = native_text("x", **done(prompt_eval_count=read_tokens))

    answer = read_answer(request_, response(item), num_ctx)

    assert ([warning] if warned else []) == answer.facts.warnings


def test_a_text_completion_has_openais_shape() -> None:
    item = native_text("once", thinking="hm", **done("length"))
    answer = read_answer(text_request(), response(item), None)

    body = decode(answer.body)
    assert body.pop("id").startswith("cmpl-")
    assert {
        "object": "text_completion",
        "created": CREATED,
        "model": "route",
        "system_fingerprint": None,
        "choices": [
            {
                "text": "once",
                "index": 0,
                "logprobs": None,
                "finish_reason": "length",
                "reasoning_content": "hm",
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 16, "total_tokens": 26},
    } == body


TOKENS = [
    {
        "token": "Hé",
        "logprob": -0.1,
        "bytes": [72, 195, 169],
        "top_logprobs": [{"token": "Hé", "logprob": -0.1}, {"token": "Yo", "logprob": -2}, "x"],
    },
    {"token": "!", "logprob": -0.2},
    7,
]


def test_logprobs_of_a_chat_have_openais_shape() -> None:
    choice = choice_of(chat_request(), native({"content": "Hé!"}, logprobs=TOKENS, **done()))

    assert {
        "content": [
            {
                "token": "Hé",
                "logprob": -0.1,
                "bytes": [72, 195, 169],
                "top_logprobs": [
                    {"token": "Hé", "logprob": -0.1, "bytes": [72, 195, 169]},
                    {"token": "Yo", "logprob": -2, "bytes": [89, 111]},
                ],
            },
            {"token": "!", "logprob": -0.2, "bytes": [33], "top_logprobs": []},
        ],
        "refusal": None,
    } == choice["logprobs"]


def test_logprobs_of_a_completion_have_openais_old_shape() -> None:
    choice = choice_of(text_request(), native_text("Hé!", logprobs=TOKENS, **done()))

    assert {
        "tokens": ["Hé", "!"],
        "token_logprobs": [-0.1, -0.2],
        "top_logprobs": [{"Hé": -0.1, "Yo": -2}, {}],
        "text_offset": [0, 2],
    } == choice["logprobs"]


@pytest.mark.parametrize("nothing", [None, [], "x", [7]])
@pytest.mark.parametrize("request_", [chat_request(), text_request()])
def test_logprobs_that_are_none_are_null(request_: Request, nothing: object) -> None:
    item = native_text("x", logprobs=nothing, **done())

    assert choice_of(request_, item)["logprobs"] is None


def test_equal_answers_get_equal_ids_and_different_ones_do_not() -> None:
    here = {"model": "tiny", "created_at": STAMP}
    identity = identity_of(here, Operation.CHAT)

    assert identity == identity_of(dict(here), Operation.CHAT)
    assert identity.id != identity_of(here | {"model": "big"}, Operation.CHAT).id
    assert identity.id != identity_of(here | {"created_at": "2026"}, Operation.CHAT).id


@pytest.mark.parametrize(
    ("stamp", "created"),
    [
        (STAMP, CREATED),
        ("2026-11-22T20:42:21.9+01:00", CREATED),
        ("1970-01-01T00:00:07Z", 7),
        ("0001-01-01T00:00:00Z", 0),
        ("yesterday", 0),
        (None, 0),
        (7, 0),
    ],
)
def test_created_is_the_second_of_created_at(stamp: object, created: int) -> None:
    assert created == identity_of({"created_at": stamp}, Operation.CHAT).created


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"<html></html>", b'{"message":"\xff"}', b'{"done":false}', b"{}"]
)
def test_what_is_no_answer_is_a_bad_response(body: bytes) -> None:
    whole = HttpResponse(status=200, headers={}, body=body)
    with pytest.raises(UpstreamFailed) as failed:
        read_answer(chat_request(), whole, None)

    assert (ErrorClass.BAD_RESPONSE, 200) == (failed.value.error, failed.value.status)


@pytest.mark.parametrize(
    "item",
    [
        {"message": "hi"},
        {"message": {"content": 7}},
        {"message": {"thinking": []}},
        {"message": {"tool_calls": {}}},
        {"message": {"tool_calls": ["f"]}},
        {"message": {"tool_calls": [{"id": "a"}]}},
        {"message": {"tool_calls": [{"function": {"arguments": {}}}]}},
        {"message": {"tool_calls": [{"function": {"name": ""}}]}},
    ],
)
def test_a_message_in_another_format_is_a_bad_response(item: dict[str, Any]) -> None:
    assert ErrorClass.BAD_RESPONSE is failure_of(chat_request(), {**item, **done()}).error


def test_an_answer_without_a_message_is_empty() -> None:
    assert not choice_of(chat_request(), done())["message"]["content"]


def test_an_error_in_a_200_is_classified() -> None:
    failure = failure_of(chat_request(), {"error": "model requires more system memory"})

    assert ErrorClass.UPSTREAM_ERROR is failure.error


def test_a_null_error_is_none() -> None:
    assert (
        "x"
        == choice_of(chat_request(), native({"content": "x"}, error=None, **done()))["message"][
            "content"
        ]
    )


def test_embeddings_come_in_order_with_their_tokens() -> None:
    item = {"model": "tiny-embed", "embeddings": [[0.5, 1], [2, -3.5]], "prompt_eval_count": 6}
    answer = read_answer(embeddings_request(["a", "b"]), response(item), None)

    assert {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, 1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0, -3.5]},
        ],
        "model": "route",
        "usage": {"prompt_tokens": 6, "total_tokens": 6},
    } == decode(answer.body)
    assert 2 == answer.facts.embedding_dimensions
    assert "tiny-embed" == answer.facts.response_model
    assert Usage(input_tokens=6) == answer.facts.usage


def test_embeddings_go_out_as_base64_if_asked_for() -> None:
    answer = read_answer(
        embeddings_request("a", base64=True), response({"embeddings": [[0.5, 1.0]]}), None
    )

    body = decode(answer.body)
    assert struct.pack("<2f", 0.5, 1.0) == base64.b64decode(body["data"][0]["embedding"])
    assert body["usage"] is None
    assert answer.facts.usage is None


def test_no_inputs_give_no_embeddings() -> None:
    answer = read_answer(embeddings_request([]), response({"embeddings": []}), None)

    assert [] == decode(answer.body)["data"]
    assert answer.facts.embedding_dimensions is None


@pytest.mark.parametrize(
    "item",
    [
        {"embeddings": [[1.0]]},
        {"embeddings": [[1.0], ["x"]]},
        {"embeddings": None},
        {},
    ],
)
def test_embeddings_that_are_not_one_for_each_input_are_a_bad_response(
    item: dict[str, Any],
) -> None:
    failure = failure_of(embeddings_request(["a", "b"]), item)

    assert ErrorClass.BAD_RESPONSE is failure.error
