"""Answers and streams of Converse come to the same, and to what OpenAI's clients take."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.codec import decode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpResponse, Usage
from dataplane.wire import side_data
from dataplane.wire.bedrock_answer import read_answer
from dataplane.wire.bedrock_stream import BedrockDecoder
from tests.dataplane.wire.bedrock_kit import (
    CLAUDE,
    CREATED,
    HEADERS,
    ID,
    NOVA,
    USAGE,
    call,
    chat,
    converse,
    folded,
    frames,
    read,
    reading,
    response,
)
from tests.doubles import bedrock_frames
from tests.doubles.bedrock_frames import corrupted, error, event, exception

TEXT = {"text": "Checking the time."}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Need clock", "signature": "EqAB"}}}
REDACTED = {"reasoningContent": {"redactedContent": "AAAA"}}
USE = {"toolUse": {"toolUseId": "tooluse_1", "name": "get_time", "input": {"tz": "UTC"}}}
BARE = {"toolUse": {"toolUseId": "tooluse_2", "name": "ping", "input": {}}}
START = event("messageStart", {"role": "assistant"})
STOP = event("messageStop", {"stopReason": "end_turn"})
METADATA = event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}})


def delta(piece: Any, index: int = 0) -> bytes:
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": piece})


def begin(start: Any, index: int = 0) -> bytes:
    return event("contentBlockStart", {"contentBlockIndex": index, "start": start})


def end(index: int = 0) -> bytes:
    return event("contentBlockStop", {"contentBlockIndex": index})


def whole(answer: HttpResponse, **more: Any) -> Any:
    return decode(read_answer(answer, reading(**more)).body)


def unary(blocks: list[Any], stop: str = "end_turn", **more: Any) -> Any:
    (choice,) = whole(converse(blocks, stop), **more)["choices"]
    return {"message": choice["message"], "finish_reason": choice["finish_reason"]}


def test_a_whole_answer() -> None:
    answer = read_answer(converse([TEXT]), reading())

    assert {
        "id": ID,
        "object": "chat.completion",
        "created": CREATED,
        "model": "route",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Checking the time.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17},
    } == decode(answer.body)
    assert Usage(input_tokens=12, output_tokens=5) == answer.facts.usage
    assert ({0: "stop"}, "end_turn") == (
        answer.facts.finish_reasons,
        answer.facts.native_finish_reason,
    )
    assert ID == answer.facts.response_id


def test_a_stream_has_the_shape_that_clients_expect() -> None:
    stream = frames([THOUGHT, TEXT, USE, BARE], "tool_use")
    result = read(
        stream, reading(request=chat(stream=True, stream_options={"include_usage": True}))
    )

    def at(index: int, **function: Any) -> Any:
        return {"tool_calls": [{"index": index, **function}]}

    assert result.done
    assert [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Need"},
        {"reasoning_content": " clock"},
        {"content": "Checking"},
        {"content": " the"},
        {"content": " time."},
        at(0, id="tooluse_1", type="function", function={"name": "get_time", "arguments": ""}),
        at(0, function={"arguments": '{"tz":'}),
        at(0, function={"arguments": ' "UTC"}'}),
        at(1, id="tooluse_2", type="function", function={"name": "ping", "arguments": ""}),
        at(1, function={"arguments": "{}"}),
    ] == result.deltas[:-1]
    assert {(ID, CREATED, "route", "chat.completion.chunk")} == {
        (each["id"], each["created"], each["model"], each["object"]) for each in result.events
    }
    *chunks, usage = result.events
    assert all(each["usage"] is None for each in chunks)
    assert ([], {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}) == (
        usage["choices"],
        usage["usage"],
    )
    assert [None] * (len(chunks) - 1) + ["tool_calls"] == [
        each["choices"][0]["finish_reason"] for each in chunks
    ]


def test_usage_that_nobody_asked_for_is_only_noted() -> None:
    result = read(frames([TEXT]), reading())

    assert not any("usage" in each for each in result.events)
    assert all(each["choices"] for each in result.events)
    assert Usage(input_tokens=12, output_tokens=5) == result.facts.usage


ANSWERS: dict[str, tuple[list[Any], str]] = {
    "text": ([TEXT], "end_turn"),
    "nothing": ([], "end_turn"),
    "two texts": ([TEXT, {"text": " Done."}], "max_tokens"),
    "tools": ([TEXT, USE, BARE], "tool_use"),
    "reasoning": ([THOUGHT, REDACTED, TEXT, USE], "tool_use"),
    "reasoning late": ([TEXT, THOUGHT, USE], "tool_use"),
    "reasoning alone": ([THOUGHT], "stop_sequence"),
    "filtered": ([TEXT], "guardrail_intervened"),
    "odd end": ([USE], "end_turn"),
    "lost calls": ([TEXT], "tool_use"),
    "new reason": ([TEXT], "new_reason"),
    "twice one id": ([USE, USE], "tool_use"),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("model", [CLAUDE, NOVA])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_stream_folds_to_the_whole_answer(name: str, model: str, *, legacy: bool) -> None:
    blocks, stop = ANSWERS[name]
    functions = {"functions": [{"name": "get_time"}]} if legacy else {}
    request = chat(**functions)
    streamed = folded(read(frames(blocks, stop), reading(model, request)))
    expected = unary(blocks, stop, model=model, request=request)

    for call_ in (
        *streamed["message"].get("tool_calls", ()),
        *expected["message"].get("tool_calls", ()),
        *(
            m["function_call"]
            for m in (streamed["message"], expected["message"])
            if "function_call" in m
        ),
    ):
        holder = call_.get("function", call_)
        holder["arguments"] = json.loads(holder["arguments"])
    if expected["message"]["content"] is None:
        expected["message"]["content"] = ""
    del expected["message"]["refusal"]
    assert expected == streamed


@pytest.mark.parametrize(
    ("native", "reason", "warned"),
    [
        ("end_turn", "stop", False),
        ("stop_sequence", "stop", False),
        ("max_tokens", "length", False),
        ("model_context_window_exceeded", "length", False),
        ("guardrail_intervened", "content_filter", False),
        ("content_filtered", "content_filter", False),
        ("tool_use", "stop", True),
        ("something_new", "stop", True),
    ],
)
def test_finish_reasons(native: str, reason: str, *, warned: bool) -> None:
    answer = read_answer(converse([TEXT], native), reading())
    streamed = read(frames([TEXT], native), reading())

    for facts in (answer.facts, streamed.facts):
        assert {0: reason} == facts.finish_reasons
        assert native == facts.native_finish_reason
        assert (["mapped:finish_reason"] if warned else []) == facts.warnings


def test_calls_make_the_reason_whatever_is_said() -> None:
    assert "tool_calls" == unary([USE])["finish_reason"]
    assert "length" == unary([USE], "max_tokens")["finish_reason"]
    assert "tool_calls" == read(frames([USE]), reading()).events[-1]["choices"][0]["finish_reason"]


@pytest.mark.parametrize("native", ["malformed_model_output", "malformed_tool_use"])
def test_what_a_model_garbled_is_no_answer(native: str) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        read_answer(converse([TEXT], native), reading())
    streamed = read(frames([TEXT], native), reading())

    assert ErrorClass.UPSTREAM_ERROR is caught.value.error
    assert streamed.failure is not None
    assert ErrorClass.UPSTREAM_ERROR is streamed.failure.error
    assert not streamed.done


def test_usage_counts_what_was_cached() -> None:
    usage = {
        "inputTokens": 12,
        "cacheReadInputTokens": 1028,
        "cacheReadInputTokenCount": 1028,
        "cacheWriteInputTokens": 0,
        "outputTokens": 185,
        "totalTokens": 1225,
    }
    answer = read_answer(converse([TEXT], usage=usage), reading())
    written = decode(answer.body)["usage"]

    assert (1040, 185, 1225) == tuple(
        written[f"{name}_tokens"] for name in ("prompt", "completion", "total")
    )
    assert {"cached_tokens": 1028, "cache_write_tokens": 0} == written["prompt_tokens_details"]
    assert (1028, 0) == (
        answer.facts.usage and answer.facts.usage.cache_read_tokens,
        answer.facts.usage and answer.facts.usage.cache_write_tokens,
    )


@pytest.mark.parametrize("usage", [None, {}, {"inputTokens": True}, "x"])
def test_usage_that_was_not_told_is_null(usage: Any) -> None:
    answer = read_answer(converse([TEXT], usage=usage), reading())

    assert decode(answer.body)["usage"] is None
    assert answer.facts.usage is None


def test_reasoning_of_claude_comes_back_as_side_data() -> None:
    message = unary([THOUGHT, REDACTED, TEXT, USE], "tool_use", model=CLAUDE)["message"]
    side = side_data.extract(message)

    assert "Need clock" == message["reasoning_content"]
    assert side is not None
    assert ("AWSBedrock", [THOUGHT, REDACTED]) == (side.origin.type, list(side.reasoning))
    assert side_data.restorable(side.origin, "AWSBedrock", "us." + CLAUDE.removeprefix("eu."))


def test_reasoning_of_others_is_only_text() -> None:
    message = unary([THOUGHT, TEXT], model=NOVA)["message"]

    assert "Need clock" == message["reasoning_content"]
    assert side_data.KEY not in message


def test_that_nothing_was_thought_is_told_too() -> None:
    message = unary([USE], "tool_use", model=CLAUDE, thinks=True)["message"]

    assert [] == message[side_data.KEY]["reasoning"]


def test_sent_names_are_turned_back() -> None:
    names = {"get_time": "1.time"}
    message = unary([USE], "tool_use", names=names)["message"]
    (streamed,) = folded(read(frames([USE], "tool_use"), reading(names=names)))["message"][
        "tool_calls"
    ]

    assert "1.time" == message["tool_calls"][0]["function"]["name"]
    assert "1.time" == streamed["function"]["name"]


def test_the_tool_that_stands_for_a_schema_is_the_answer() -> None:
    blocks = [TEXT, USE]
    more = {"answer_tool": "get_time"}
    answer = unary(blocks, "tool_use", **more)
    streamed = folded(read(frames(blocks, "tool_use"), reading(**more)))

    for found in (answer, streamed):
        assert ({"tz": "UTC"}, "stop") == (
            json.loads(found["message"]["content"]),
            found["finish_reason"],
        )
        assert "tool_calls" not in found["message"]


def test_unless_the_model_did_not_call_it() -> None:
    more = {"answer_tool": "get_time"}

    for found in (unary([TEXT], **more), folded(read(frames([TEXT]), reading(**more)))):
        assert "Checking the time." == found["message"]["content"]


def test_citations_hold_text_and_tools_of_the_server_are_its_own() -> None:
    cited = {
        "citationsContent": {"content": [{"text": "So it is."}, {"text": " Yes."}], "citations": []}
    }
    own = {"toolUse": {**USE["toolUse"], "type": "server_tool_use"}}
    answer = read_answer(converse([own, {"toolResult": {}}, cited]), reading())
    (choice,) = decode(answer.body)["choices"]

    assert ("So it is. Yes.", "stop") == (choice["message"]["content"], choice["finish_reason"])
    assert ["dropped:content"] == answer.facts.warnings


def test_blocks_of_the_server_are_left_out_of_streams() -> None:
    stream = (
        START
        + begin({"toolUse": {"toolUseId": "a", "name": "search", "type": "server_tool_use"}}, 0)
        + delta({"toolUse": {"input": "{}"}}, 0)
        + end(0)
        + begin({"toolResult": {"toolUseId": "a"}}, 1)
        + delta({"toolResult": [{"text": "found"}]}, 1)
        + end(1)
        + begin({}, 2)
        + delta({"text": "So"}, 2)
        + delta({"citation": {"title": "t"}}, 2)
        + end(2)
        + event("brandNew", {"x": 1})
        + STOP
        + METADATA
    )
    result = read(stream, reading())

    assert result.done
    assert ["", "So", None] == [each.get("content") for each in result.deltas]
    assert ["dropped:content"] == result.facts.warnings


@pytest.mark.parametrize("block", [1, {"text": 1}, {"toolUse": {"toolUseId": "a"}}])
def test_answers_with_broken_blocks_are_bad_or_leave_them_out(block: Any) -> None:
    if isinstance(block, dict) and "text" in block:
        assert ["dropped:content"] == read_answer(converse([block]), reading()).facts.warnings
        return
    with pytest.raises(UpstreamFailed) as caught:
        read_answer(converse([block]), reading())

    assert ErrorClass.BAD_RESPONSE is caught.value.error


@pytest.mark.parametrize("body", [{}, {"output": {}}, {"output": {"message": {"content": "x"}}}])
def test_an_answer_without_a_message_is_bad(body: Any) -> None:
    with pytest.raises(UpstreamFailed, match="no message"):
        read_answer(response(body), reading())


def test_an_answer_without_headers_has_an_id_all_the_same() -> None:
    body = whole(HttpResponse(status=200, headers={}, body=converse([TEXT]).body))

    assert body["id"].startswith("chatcmpl-")
    assert 0 == body["created"]
    assert 0 == whole(response(decode(converse([]).body), headers={"date": "soon"}))["created"]


# Streams: cuts, order, ends, failures.

STREAMS = [frames([THOUGHT, TEXT, USE, BARE], "tool_use"), START + METADATA + STOP]


@pytest.mark.parametrize("stream", STREAMS)
def test_it_does_not_matter_how_the_bytes_were_cut(stream: bytes) -> None:
    expected = read(stream, reading()).data

    for cut in range(len(stream)):
        assert expected == read(stream, reading(), cut).data
    assert expected == read(stream, reading(), *range(len(stream))).data


def test_the_finish_waits_for_the_usage() -> None:
    decoder = BedrockDecoder(reading(), HEADERS)

    before, last = decoder.feed(START + STOP), decoder.feed(METADATA)

    assert (False, False) == (before.done, b'"stop"' in before.data)
    assert (True, True) == (last.done, b'"finish_reason":"stop"' in last.data)


def test_usage_may_come_first_or_not_at_all() -> None:
    first = read(START + delta({"text": "Hi"}) + METADATA + STOP, reading())
    never = read(START + delta({"text": "Hi"}) + STOP, reading())

    assert (True, True) == (first.done, never.done)
    assert (USAGE["inputTokens"], None) == (
        first.facts.usage and first.facts.usage.input_tokens,
        never.facts.usage,
    )


def test_a_role_alone_says_nothing() -> None:
    assert not read(START, reading()).semantic
    assert read(START + delta({"text": "H"}), reading()).semantic
    assert read(START + begin({"toolUse": {"toolUseId": "a", "name": "f"}}), reading()).semantic
    assert not read(START + delta({"text": ""}), reading()).semantic


@pytest.mark.parametrize(
    ("stream", "error_class"),
    [
        (b"", ErrorClass.BAD_RESPONSE),
        (START, ErrorClass.BAD_RESPONSE),
        (START + delta({"text": "H"}), ErrorClass.STREAM_ABORT),
        (START + delta({"text": "H"}) + STOP[:-1], ErrorClass.STREAM_ABORT),
        (START + delta({"text": "H"}) + STOP + METADATA[:-1], ErrorClass.STREAM_ABORT),
    ],
)
def test_a_stream_that_breaks_off_is_not_complete(stream: bytes, error_class: ErrorClass) -> None:
    result = read(stream, reading())

    assert not result.done
    assert result.failure is not None
    assert (error_class, "stream.truncated") == (result.failure.error, result.failure.error_type)


def test_a_corrupted_frame_ends_the_stream_after_what_came_before() -> None:
    result = read(START + delta({"text": "H"}) + corrupted(delta({"text": "i"})), reading())

    assert [{"role": "assistant", "content": ""}, {"content": "H"}] == result.deltas
    assert result.failure is not None
    assert ErrorClass.BAD_RESPONSE is result.failure.error


@pytest.mark.parametrize(
    ("frame", "error_class"),
    [
        (exception("throttlingException", "slow down"), ErrorClass.RATE_LIMIT),
        (exception("throttlingException", "Too many tokens per day"), ErrorClass.QUOTA),
        (exception("serviceUnavailableException", "x"), ErrorClass.OVERLOADED),
        (exception("internalServerException", "x"), ErrorClass.UPSTREAM_ERROR),
        (exception("modelStreamErrorException", "x", originalStatusCode=500), ErrorClass.UPSTREAM_ERROR),
        (exception("validationException", "x"), ErrorClass.BAD_REQUEST),
        (exception("validationException", "Input is too long for requested model."),
         ErrorClass.CONTEXT_LENGTH),
        (exception("modelTimeoutException", "x"), ErrorClass.TIMEOUT_UPSTREAM),
        (exception("somethingElse", "x"), ErrorClass.UPSTREAM_ERROR),
        (error("InternalError", "An internal server error occurred"), ErrorClass.UPSTREAM_ERROR),
        (bedrock_frames.frame({":message-type": "exception", ":exception-type": "throttlingException"}, b""),
         ErrorClass.RATE_LIMIT),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [b"", START, START + delta({"text": "H"})])
def test_exceptions_in_a_stream_have_their_class(
    frame: bytes, error_class: ErrorClass, before: bytes
) -> None:
    result = read(before + frame + STOP, reading())

    assert result.failure is not None
    assert (error_class, "stream.error") == (result.failure.error, result.failure.error_type)
    assert not result.done


@pytest.mark.parametrize(
    "stream",
    [
        START + START,
        delta({"text": "early"}),
        STOP + METADATA,
        START + delta({"toolUse": {"input": "{}"}}),
        START + delta("x"),
        START + event("contentBlockDelta", {"delta": {"text": "x"}}),
        START + begin({"toolUse": {"toolUseId": "a"}}),
        START + delta({"toolUse": {"input": 1}}),
        bedrock_frames.frame({":message-type": "event", ":event-type": "messageStop"}, b"x"),
        START
        + begin({"toolUse": {"toolUseId": "a", "name": "f"}})
        + delta({"toolUse": {"input": 1}}),
        exception("validationException", "x")[:0]
        + bedrock_frames.frame({":message-type": "exception"}, b"x"),
    ],
)
def test_what_is_no_stream_of_converse_is_bad(stream: bytes) -> None:
    result = read(stream, reading())

    assert result.failure is not None
    assert ErrorClass.BAD_RESPONSE is result.failure.error


def test_a_block_that_never_began_may_be_closed() -> None:
    assert read(START + end(3) + STOP + METADATA, reading()).done


def test_a_block_that_is_not_closed_is_closed_by_the_end() -> None:
    stream = START + begin({"toolUse": {"toolUseId": "a", "name": "f"}}) + STOP + METADATA
    (made,) = folded(read(stream, reading()))["message"]["tool_calls"]

    assert call("a", "f") == made


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
BLOCKS = st.lists(
    st.one_of(
        TEXTS.map(lambda text: {"text": text}),
        st.tuples(TEXTS, TEXTS).map(
            lambda pair: {
                "reasoningContent": {"reasoningText": {"text": pair[0], "signature": pair[1]}}
            }
        ),
        st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=2).map(
            lambda given_: {"toolUse": {"toolUseId": "t", "name": "f", "input": given_}}
        ),
    ),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(BLOCKS, st.lists(st.integers(0, 3000), max_size=4))
def test_any_stream_folds_to_the_whole_answer(blocks: list[Any], cuts: list[int]) -> None:
    stream = frames(blocks, "tool_use")
    result = folded(read(stream, reading(NOVA), *(cut % (len(stream) + 1) for cut in cuts)))
    expected = unary(blocks, "tool_use", model=NOVA)

    message, plain = result["message"], expected["message"]
    assert (plain["content"] or "") == message["content"]
    assert plain.get("reasoning_content") == message.get("reasoning_content")
    assert [json.loads(each["function"]["arguments"]) for each in plain.get("tool_calls", ())] == [
        json.loads(each["function"]["arguments"]) for each in message.get("tool_calls", ())
    ]
    assert expected["finish_reason"] == result["finish_reason"]
