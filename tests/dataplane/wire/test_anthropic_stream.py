"""Section 12 of the rules: streams, whole and broken, cut anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.codec import encode
from dataplane.errors import ErrorClass
from dataplane.provider import Request
from tests.dataplane.wire.anthropic_kit import (
    ADAPTIVE,
    BUDGET,
    HIDDEN,
    OLDEST,
    answered,
    event,
    events_of,
    message,
    played,
    stream_of,
    text,
    thinking,
    tool_use,
    unary_of,
    with_parsed_arguments,
)
from tests.dataplane.wire.openai_kit import TOOL, Played, chat, check_shape
from tests.dataplane.wire.test_anthropic_answer import PAGE, PLACE
from tests.dataplane.wire.test_anthropic_request import json_schema

USAGE = {
    "input_tokens": 10,
    "output_tokens": 50,
    "cache_read_input_tokens": 3,
    "cache_creation_input_tokens": 2,
    "output_tokens_details": {"thinking_tokens": 4},
}
STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
PLAIN = chat(stream=True)
WITH_USAGE = chat(**STREAMED)
TOOLS = chat(tools=[TOOL], **STREAMED)
LEGACY = chat(functions=[{"name": "get_time"}], **STREAMED)
SCHEMA = chat(response_format=json_schema(), **STREAMED)
THINKS = chat(tools=[TOOL], reasoning_effort="low", **STREAMED)

# What answers come to, and who asked what.
ANSWERS: dict[str, tuple[Request, str, dict[str, Any]]] = {
    "text": (WITH_USAGE, BUDGET, message(text("Hello naïve 🙂 world."))),
    "two texts": (WITH_USAGE, BUDGET, message(text("a"), text(""), text("b"))),
    "nothing": (WITH_USAGE, BUDGET, message()),
    "no usage": (WITH_USAGE, BUDGET, message(text("a"), usage=None)),
    "usage": (WITH_USAGE, BUDGET, message(text("a"), usage=USAGE)),
    "tools": (TOOLS, BUDGET, message(
        text("So."), tool_use("a", tz="UTC", deep={"x": [1]}), tool_use("b"), stop="tool_use")),
    "same ids": (TOOLS, BUDGET, message(tool_use("a"), tool_use("a", n=1), stop="tool_use")),
    "legacy": (LEGACY, BUDGET, message(tool_use("a", tz="UTC"), tool_use("b"), stop="tool_use")),
    "thoughts": (THINKS, BUDGET, message(
        thinking("hm, "), HIDDEN, thinking("so."), text("Yes."), tool_use("a"), stop="tool_use")),
    "interleaved": (THINKS, BUDGET, message(
        thinking("1"), text("So."), thinking("2"), tool_use("a"), stop="tool_use")),
    "no thoughts": (THINKS, ADAPTIVE, message(tool_use("a"), stop="tool_use")),
    "omitted thoughts": (THINKS, ADAPTIVE, message(thinking(""), text("Yes."))),
    "citations": (WITH_USAGE, BUDGET, message(
        text("Naïve. "), text("See.", citations=[PAGE, PLACE]), text("End."))),
    "refusal": (WITH_USAGE, BUDGET, message(
        text("I"), stop="refusal", stop_details={"type": "refusal", "explanation": "Harm."})),
    "length": (TOOLS, BUDGET, message(text("I"), stop="max_tokens")),
    "stop sequence": (WITH_USAGE, BUDGET, message(text("I"), stop="stop_sequence")),
    "pause": (WITH_USAGE, BUDGET, message(text("I"), stop="pause_turn")),
    "server tools": (WITH_USAGE, BUDGET, message(
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}, text("Found."))),
    "schema": (SCHEMA, OLDEST, message(
        text("Here."), tool_use("a", "place", city="Paris"), stop="tool_use")),
    "schema without a call": (SCHEMA, OLDEST, message(text("No."), stop="max_tokens")),
    "odd end": (WITH_USAGE, BUDGET, message(text("x"), stop="odd")),
}  # fmt: skip
CASES = [pytest.param(*case, id=name) for name, case in ANSWERS.items()]


def pieces(stream: bytes, *cuts: int) -> Sequence[bytes]:
    bounds = [0, *sorted(cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(bounds)]


def parsed(whole: Any) -> Any:
    """A whole answer with all JSON in it decoded: the content too, if it is an emulated tool's."""
    whole = with_parsed_arguments(whole)
    content = whole["choices"][0]["message"]["content"]
    if content and content.startswith("{"):
        whole["choices"][0]["message"]["content"] = content.replace(": ", ":")
    return whole


@pytest.mark.parametrize(("request_", "model", "native"), CASES)
def test_a_stream_adds_up_to_the_whole_answer(
    request_: Request, model: str, native: dict[str, Any]
) -> None:
    whole, facts = answered(request_, native, model)
    read = played(request_, stream_of(native), model=model)

    assert read.done
    assert read.semantic
    if native["usage"]:
        check_shape(read.events, include_usage=True)
    assert parsed(whole) == parsed(unary_of(read.events))
    assert facts == read.facts


@pytest.mark.parametrize(("request_", "model", "native"), CASES)
def test_a_stream_may_be_cut_at_any_byte(
    request_: Request, model: str, native: dict[str, Any]
) -> None:
    stream = stream_of(native)
    whole = played(request_, stream, model=model)

    for cut in range(len(stream)):
        read = played(request_, *pieces(stream, cut), model=model)

        assert whole.data == read.data
        assert (whole.chunks, True, whole.facts) == (read.chunks, read.done, read.facts)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_lines_may_end_as_they_like(line_end: bytes) -> None:
    request, model, native = ANSWERS["tools"]
    whole = played(request, stream_of(native), model=model)
    stream = stream_of(native).replace(b"\n", line_end)

    for cut in range(len(stream)):
        assert whole.data == played(request, *pieces(stream, cut), model=model).data


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(ANSWERS)))
def test_a_stream_may_be_cut_at_many_bytes(data: st.DataObject, name: str) -> None:
    request, model, native = ANSWERS[name]
    stream = b"\xef\xbb\xbf: hello\n\n" + stream_of(native)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=40))

    assert played(request, stream, model=model).data == (
        played(request, *pieces(stream, *cuts), model=model).data
    )


def test_the_callers_chunks_are_those_of_the_dialect() -> None:
    native = message(thinking("hm"), text("Hi"), tool_use("a", n=1), stop="tool_use", usage=USAGE)
    events = played(THINKS, stream_of(native, cut=9)).events

    assert [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "Hi"},
        {"tool_calls": [{"index": 0, "id": "a", "type": "function",
                         "function": {"name": "get_time", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"n": 1}'}}]},
        {"switchgear": {"origin": {"type": "Anthropic", "model": BUDGET},
                        "reasoning": [thinking("hm")]}},
    ] == [event["choices"][0]["delta"] for event in events[:-1]]  # fmt: skip
    assert [None] * 5 + ["tool_calls"] == [
        event["choices"][0]["finish_reason"] for event in events[:-1]
    ]
    assert {
        "id": "msg_1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "route",
        "system_fingerprint": None,
        "choices": [],
        "usage": {
            "prompt_tokens": 15,
            "completion_tokens": 50,
            "total_tokens": 65,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
    } == events[-1]
    assert all(event["usage"] is None for event in events[:-1])


def test_usage_that_the_upstream_does_not_tell_has_no_chunk() -> None:
    events = played(WITH_USAGE, stream_of(message(text("a"), usage=None)), model=BUDGET).events

    assert all(event["choices"] for event in events)
    assert [None] * len(events) == [event["usage"] for event in events]


def test_without_a_wish_for_usage_there_is_no_trace_of_it() -> None:
    read = played(PLAIN, stream_of(message(text("Hi"), usage=USAGE)))

    assert not any("usage" in each for each in read.events)
    assert all(each["choices"] for each in read.events)
    assert read.facts.usage is not None
    assert b"[DONE]" not in read.data


def test_counters_are_overwritten_and_never_added() -> None:
    events = events_of(message(text("Hi"), usage=USAGE))
    events[-2]["usage"] = {"output_tokens": 7, "input_tokens": None}
    read = played(WITH_USAGE, *map(event, events))

    assert {"prompt_tokens": 15, "completion_tokens": 7} == {
        name: read.events[-1]["usage"][name] for name in ("prompt_tokens", "completion_tokens")
    }


def test_nothing_is_said_before_the_first_text() -> None:
    events = events_of(message(text("Hi")))
    read = played(PLAIN, *map(event, events[:3]))

    assert [{"role": "assistant", "content": ""}] == [
        each["choices"][0]["delta"] for each in read.events
    ]
    assert not read.semantic
    assert 0 == read.chunks


@pytest.mark.parametrize(
    ("request_", "model", "native", "chunks"),
    [
        (PLAIN, BUDGET, message(text("Hello.")), 3),
        (TOOLS, BUDGET, message(tool_use("a"), stop="tool_use"), 3),
        (PLAIN, BUDGET, message(thinking("hm")), 2),
        (SCHEMA, OLDEST, message(text("Hello.")), 1),
    ],
)
def test_chunks_are_the_events_that_say_something(
    request_: Request, model: str, native: dict[str, Any], chunks: int
) -> None:
    assert chunks == played(request_, stream_of(native), model=model).chunks


# Variants.


def test_pings_and_unknown_events_and_deltas_say_nothing() -> None:
    events = events_of(message(text("Hello.")))
    plain = played(WITH_USAGE, *map(event, events))
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "odd_delta", "x": 1}}
    more = [events[0], {"type": "ping"}, {"type": "odd"}, *events[1:4], delta, *events[4:]]
    read = played(WITH_USAGE, *map(event, more))

    assert plain.data == read.data
    assert plain.facts == read.facts


def test_padding_and_missing_names_of_events_do_not_matter() -> None:
    events = events_of(message(text("Hello."), tool_use("a"), stop="tool_use"))
    padded = b"".join(b"data:" + encode(each) + b"   \n\n" for each in events)

    assert played(TOOLS, *map(event, events)).data == played(TOOLS, padded).data


def test_blocks_that_begin_with_what_they_hold_are_read_too() -> None:
    """Other servers of the format send a block at once, or call its parts what they like."""
    native = message(thinking("hm"), text("Hi"), tool_use("a", n=1), stop="tool_use")
    events = [each for each in events_of(native) if each["type"] != "content_block_delta"]
    for each in events:
        if each["type"] == "content_block_start":
            each["content_block"] = native["content"][each["index"]]
    events[2]["content_block"] = {**thinking("hm"), "thinking": "hm"}
    read = played(THINKS, *map(event, events))

    assert parsed(answered(THINKS, native)[0]) == parsed(unary_of(read.events))


def test_citations_may_come_with_the_beginning_of_a_text() -> None:
    native = message(text("See.", citations=[PAGE]))
    events = events_of(native)
    events[2]["content_block"]["citations"] = [PAGE]
    events = [e for e in events if e.get("delta", {}).get("type") != "citations_delta"]

    assert (
        played(WITH_USAGE, stream_of(native)).data == played(WITH_USAGE, *map(event, events)).data
    )


def test_blocks_that_nobody_closed_are_closed_at_the_end() -> None:
    native = message(thinking("hm"), tool_use("a"), stop="tool_use")
    events = events_of(native)
    assert "content_block_stop" == events.pop(-3)["type"]

    assert parsed(answered(THINKS, native)[0]) == (
        parsed(unary_of(played(THINKS, *map(event, events)).events))
    )


def test_half_a_call_is_passed_on_unchanged() -> None:
    events = events_of(message(tool_use("a", city="Paris"), stop="max_tokens"), cut=4)
    del events[5:-3]
    read = played(TOOLS, *map(event, events))

    choice = unary_of(read.events)["choices"][0]
    assert "length" == choice["finish_reason"]
    assert '{"ci' == choice["message"]["tool_calls"][0]["function"]["arguments"]


def test_arguments_of_the_servers_own_tools_stay_there() -> None:
    native = message({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
    events = events_of(native)
    piece = {"type": "input_json_delta", "partial_json": '{"query": "x"}'}
    events.insert(3, {"type": "content_block_delta", "index": 0, "delta": piece})
    read = played(WITH_USAGE, *map(event, events))

    assert "" == unary_of(read.events)["choices"][0]["message"]["content"]
    assert ["dropped:content"] == read.facts.warnings


def test_what_follows_the_end_is_left_alone() -> None:
    stream = stream_of(message(text("Hi")))

    assert played(PLAIN, stream).data == played(PLAIN, stream + b"data: garbage\n\n").data


def test_the_last_event_may_lack_its_blank_line() -> None:
    stream = stream_of(message(text("Hi")))
    read = played(PLAIN, stream.rstrip())

    assert read.done
    assert played(PLAIN, stream).data == read.data


# Failures.


def broken(read: Played) -> tuple[ErrorClass, str]:
    assert read.failure is not None
    assert not read.done
    return read.failure.error, read.failure.error_type


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, ErrorClass.OVERLOADED),
        ({"type": "api_error", "message": "Overloaded"}, ErrorClass.OVERLOADED),
        ({"type": "api_error", "message": "Internal server error"}, ErrorClass.UPSTREAM_ERROR),
        ({"type": "rate_limit_error", "message": "x"}, ErrorClass.RATE_LIMIT),
        ({"type": "timeout_error", "message": "x"}, ErrorClass.TIMEOUT_UPSTREAM),
        ({"type": "authentication_error", "message": "x"}, ErrorClass.AUTH),
        (
            {"type": "invalid_request_error",
             "message": "Output blocked by content filtering policy"},
            ErrorClass.CONTENT_POLICY,
        ),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
         ErrorClass.CONTEXT_LENGTH),
        ({"type": "invalid_request_error", "message": "x"}, ErrorClass.BAD_REQUEST),
    ],
)  # fmt: skip
@pytest.mark.parametrize("after", [0, 5])
def test_an_error_event_has_its_class(
    error: dict[str, Any], expected: ErrorClass, after: int
) -> None:
    events = events_of(message(text("Hello.")))[:after]
    read = played(PLAIN, *map(event, [*events, {"type": "error", "error": error}]))

    assert (expected, "stream.error") == broken(read)
    assert (after > 0) is read.semantic
    assert read.failure is not None
    assert read.failure.status is None


@pytest.mark.parametrize("after", range(8))
def test_a_stream_without_its_end_is_broken(after: int) -> None:
    events = events_of(message(text("Hello.")))
    assert "message_stop" == events[7]["type"]
    read = played(PLAIN, *map(event, events[:after]))

    # Until something was said, another target may be asked.
    expected = ErrorClass.STREAM_ABORT if after > 3 else ErrorClass.BAD_RESPONSE
    assert (expected, "stream.truncated") == broken(read)


def test_an_event_that_was_cut_off_is_a_broken_stream() -> None:
    events = events_of(message(text("Hello.")))
    read = played(PLAIN, *map(event, events[:5]), b'event: content_block_delta\ndata: {"type":"con')

    assert (ErrorClass.STREAM_ABORT, "stream.truncated") == broken(read)


@pytest.mark.parametrize(
    "bad",
    [
        b"data: garbage\n\n",
        b"data: [1]\n\n",
        event({"type": "message_start", "message": message()}),
        event({"type": "message_start"}),
        event({"type": "content_block_start", "index": 1}),
        event({"type": "content_block_start", "content_block": text("")}),
        event({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use"}}),
        event({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": 1}}),
        event({"type": "content_block_delta", "index": 0}),
        event({"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta"}}),
        event({"type": "content_block_delta", "index": "x", "delta": {"type": "text_delta"}}),
        event({"type": "content_block_delta", "index": 0,
               "delta": {"type": "text_delta", "text": 3}}),
        event({"type": "content_block_stop", "index": 7}),
    ],
)  # fmt: skip
def test_what_is_no_event_of_the_format_is_a_bad_response(bad: bytes) -> None:
    events = events_of(message(text("Hello.")))
    read = played(PLAIN, *map(event, events[:4]), bad)

    assert ErrorClass.BAD_RESPONSE is broken(read)[0]


@pytest.mark.parametrize(
    "first",
    [
        {"type": "content_block_start", "index": 0, "content_block": text("x")},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "message_stop"},
    ],
)
def test_a_stream_that_does_not_begin_is_a_bad_response(first: dict[str, Any]) -> None:
    assert ErrorClass.BAD_RESPONSE is broken(played(PLAIN, event(first)))[0]


@pytest.mark.parametrize("delta", [{}, {"type": "text_delta"}, {"type": "input_json_delta"}])
def test_deltas_without_anything_say_nothing(delta: dict[str, Any]) -> None:
    events = events_of(message(text("Hello.")))
    empty = {"type": "content_block_delta", "index": 0, "delta": delta}

    assert played(PLAIN, *map(event, events)).data == (
        played(PLAIN, *map(event, [*events[:4], empty, *events[4:]])).data
    )


def test_a_stop_without_a_delta_ends_all_the_same() -> None:
    events = events_of(message(text("Hello.")))
    read = played(PLAIN, *map(event, [*events[:-2], {"type": "message_delta"}, events[-1]]))

    assert read.done
    assert ["mapped:finish_reason"] == read.facts.warnings


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(
                ["message_start", "content_block_start", "content_block_delta",
                 "content_block_stop", "message_delta", "message_stop", "error", "x", 3])},
            optional={
                "index": st.sampled_from([0, 1, "x", None]),
                "message": st.sampled_from([message(), {}, 3]),
                "content_block": st.sampled_from(
                    [text("x"), thinking("x"), HIDDEN, tool_use("a"), {"type": "tool_use"}, {}, 3]),
                "delta": st.sampled_from(
                    [{}, 3, {"type": "text_delta", "text": "x"}, {"type": "signature_delta"},
                     {"type": "thinking_delta", "thinking": "x"},
                     {"type": "input_json_delta", "partial_json": "{"},
                     {"type": "citations_delta", "citation": PAGE},
                     {"stop_reason": "end_turn"}, {"stop_reason": 3}]),
                "usage": st.sampled_from([{}, 3, USAGE, {"output_tokens_details": 3}]),
            },
        ),
        max_size=8,
    )
)  # fmt: skip
def test_no_events_break_the_decoder(values: list[dict[str, Any]]) -> None:
    read = played(TOOLS, *map(event, [{"type": "message_start", "message": message()}, *values]))

    assert read.done is (read.failure is None)
