"""Streams of Responses read as chunks of chat completions."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from dataplane.errors import ErrorClass
from dataplane.wire.sse import MAX_EVENT_BYTES
from tests.dataplane.wire.openai_kit import TOOL, Played, check_shape, deltas, fold
from tests.dataplane.wire.responses_kit import (
    call,
    custom,
    event,
    events,
    message,
    play,
    read,
    reasoning,
    refusal,
    response,
)

CUSTOM = {"type": "custom", "custom": {"name": "shell"}}
NAMED = {"type": "function", "function": {"name": "get_time"}}
USAGE_ASKED = {"stream_options": {"include_usage": True}}
CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
RICH = response(
    reasoning("rs_1", "Why é🙂", "then"),
    message("Let ", "me\n"),
    reasoning("rs_2", "so"),
    message("Look", item_id="msg_2"),
    call(arguments='{"tz":"UTC"}'),
    call("call_2", arguments=""),
)


def test_a_stream_has_the_one_shape() -> None:
    played = play(events(response(message("Hi!"), call(arguments='{"a":1}'))), **USAGE_ASKED)

    assert played.done
    check_shape(played.events, include_usage=True)
    assert [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {"content": "!"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_time", "arguments": ""},
                }
            ]
        },
        *(
            {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
            for text in ('{"', 'a"', ":1", "}")
        ),
        {},
    ] == deltas(played.events)
    assert {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "route",
        "choices": [],
        "usage": {
            "prompt_tokens": 40,
            "completion_tokens": 12,
            "total_tokens": 52,
            "prompt_tokens_details": {"cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    } == played.events[-1]


def test_usage_that_nobody_asked_for_is_in_the_facts_only() -> None:
    played = play(events(response(message("Hi"))))

    check_shape(played.events, include_usage=False)
    assert played.facts.usage is not None
    assert 12 == played.facts.usage.output_tokens


def test_the_role_says_nothing_and_a_summary_does() -> None:
    whole = events(response(reasoning("rs_1", "a"), message("b")))

    head = play(whole[:4])
    said = play(whole[:5])

    assert (False, 1) == (head.semantic, head.chunks)
    assert said.semantic


WHOLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rich": (RICH, {}),
    "text": (response(message("Hi")), {}),
    "nothing": (response(), {}),
    "refusal": (response(refusal("cannot")), {}),
    "forced": (response(call()), {"tool_choice": NAMED}),
    "cut": (response(message("a"), call(arguments='{"a'), **CUT), {}),
    "filtered": (
        response(message("a"), status="incomplete", incomplete_details={"reason": "content_filter"}),
        {},
    ),
    "tier": (response(message("a"), service_tier="flex"), {}),
    "same id twice": (response(call("c"), call("c")), {}),
    "open reasoning": (
        response(
            {**reasoning(), "content": [{"type": "reasoning_text", "text": "hm"}]}, message("a")
        ),
        {},
    ),
    "no usage": (response(message("a"), usage=None), {}),
    "unasked items": (response({"type": "web_search_call", "id": "ws"}, message("a")), {}),
}  # fmt: skip


def compare(played: Played, whole: dict[str, Any], fields: dict[str, Any]) -> None:
    completion, facts = read(whole, **fields)
    choice = completion["choices"][0]
    folded = fold(played.events)[0]
    assert played.done
    check_shape(played.events, include_usage=False)
    assert choice["finish_reason"] == folded.pop("finish_reason")
    expected = {key: value for key, value in choice["message"].items() if value}
    assert expected == {key: value for key, value in folded.items() if value}
    assert structs.asdict(facts) == structs.asdict(played.facts)
    assert all(completion["id"] == each["id"] for each in played.events)


@pytest.mark.parametrize("name", WHOLES)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_folded_stream_is_the_whole_answer(name: str, size: int) -> None:
    whole, fields = WHOLES[name]

    compare(play(events(whole, size=size), **fields), whole, fields)


@pytest.mark.parametrize("name", WHOLES)
@pytest.mark.parametrize("left_out", ["delta", "delta or done", "all but the end"])
def test_what_pieces_leave_out_is_taken_from_the_whole(name: str, left_out: str) -> None:
    whole, fields = WHOLES[name]
    kept = [
        each
        for each in events(whole)
        if not (left_out in {"delta", "delta or done"} and b".delta\n" in each)
        and not (left_out == "delta or done" and b"_text.done\n" in each)
        and not (left_out == "all but the end" and b"response.output_" in each.splitlines()[0])
        and not (left_out == "all but the end" and b"_arguments." in each)
    ]

    compare(play(kept, **fields), whole, fields)


@pytest.mark.parametrize("kept", [".delta", ".done"])
def test_custom_calls_stream_their_input(kept: str) -> None:
    whole = events(response(custom(text="ls -l")))
    pieces = [each for each in whole if b"_input." not in each or kept.encode() in each]

    played = play(pieces, tools=[TOOL, CUSTOM])

    entries = [delta["tool_calls"][0] for delta in deltas(played.events) if "tool_calls" in delta]
    assert {
        "index": 0,
        "id": "call_c",
        "type": "custom",
        "custom": {"name": "shell", "input": ""},
    } == (entries[0])
    assert "ls -l" == "".join(entry["custom"]["input"] for entry in entries)


def test_parts_of_an_unknown_kind_say_nothing() -> None:
    odd = {**message("Hi"), "content": [{"type": "odd"}, *message("Hi")["content"]]}

    played = play([events(response())[0], event("response.completed", response=response(odd))])

    assert "Hi" == fold(played.events)[0]["content"]


def test_side_data_is_on_the_delta_that_ends_the_stream() -> None:
    last = play(events(RICH)).events[-1]["choices"][0]

    assert "tool_calls" == last["finish_reason"]
    assert ["rs_1", "rs_2"] == [block["id"] for block in last["delta"]["switchgear"]["reasoning"]]


def test_the_old_form_of_calls_is_given_back() -> None:
    played = play(events(response(call())), tools=None, functions=[{"name": "get_time"}])

    assert "function_call" == played.events[-1]["choices"][0]["finish_reason"]
    assert "get_time" == next(
        delta["function_call"]["name"]
        for delta in deltas(played.events)
        if "function_call" in delta
    )


# --- cuts

STREAMS = {
    "rich": b"".join(events(RICH)),
    "crlf": b"".join(events(response(message("é🙂"), call()))).replace(b"\n", b"\r\n"),
    "dies": b"".join([*events(response(message("abc")))[:5], event("error", message="x")]),
    "ends": b"".join(events(response(message("abc")))[:5]),
    "done mark": b"".join(events(response(message("a")))[:-1]) + b"data: [DONE]\n\n",
    "named only": b"".join(events(response(message("abc")))).replace(b'"type":"response.', b'"kind":"response.'),
}  # fmt: skip


def outcome(played: Played) -> tuple[Any, ...]:
    failure = played.failure
    told = None if failure is None else (failure.error, failure.message)
    return (
        played.data,
        played.semantic,
        played.done,
        told,
        structs.asdict(played.facts),
        played.chunks,
    )


@pytest.mark.parametrize("name", STREAMS)
def test_every_cut_in_two_gives_the_same_stream(name: str) -> None:
    stream = STREAMS[name]
    whole = outcome(play([stream]))

    for cut in range(1, len(stream)):
        assert whole == outcome(play([stream[:cut], stream[cut:]])), cut


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, 6000), max_size=30))
def test_any_cuts_give_the_same_stream(name: str, cuts: list[int]) -> None:
    stream = STREAMS[name]
    marks = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(marks)]

    assert outcome(play([stream])) == outcome(play([piece for piece in pieces if piece]))


def test_events_may_be_told_apart_by_name_alone() -> None:
    assert play([STREAMS["named only"]]).done


# --- failures


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (event("error", code="rate_limit_exceeded", message="x"), ErrorClass.RATE_LIMIT),
        (event("error", code=None, message="x", param=None), ErrorClass.UPSTREAM_ERROR),
        (event("error", error={"code": "server_is_overloaded"}), ErrorClass.OVERLOADED),
        (b'data: {"error":{"code":"insufficient_quota"}}\n\n', ErrorClass.QUOTA),
        (
            event(
                "response.failed",
                response=response(status="failed", error={"code": "server_error", "message": "x"}),
            ),
            ErrorClass.UPSTREAM_ERROR,
        ),
        (
            event("response.failed", response={"error": {"code": "context_length_exceeded"}}),
            ErrorClass.CONTEXT_LENGTH,
        ),
        (event("response.failed"), ErrorClass.BAD_RESPONSE),
        (event("response.completed", response={"status": "completed"}), ErrorClass.BAD_RESPONSE),
        (
            event("response.completed", response=response(status="queued")),
            ErrorClass.BAD_RESPONSE,
        ),
        (event("response.output_item.added"), ErrorClass.BAD_RESPONSE),
        (event("response.output_text.delta", delta=1), ErrorClass.BAD_RESPONSE),
        (
            event("response.function_call_arguments.delta", output_index=7, delta="{"),
            ErrorClass.BAD_RESPONSE,
        ),
        (b"data: [1]\n\n", ErrorClass.BAD_RESPONSE),
        (b"data: {\n\n", ErrorClass.BAD_RESPONSE),
        (b"data: " + b"x" * MAX_EVENT_BYTES, ErrorClass.BAD_RESPONSE),
    ],
)
@pytest.mark.parametrize("said", [False, True])
def test_a_failure_at_the_head_or_later_is_one(last: bytes, error: ErrorClass, said: bool) -> None:
    before = events(response(message("Hi")))[: 4 if said else 0]

    played = play([*before, last, b"data: {}\n\n"])

    assert played.failure is not None
    assert error is played.failure.error
    assert said is played.semantic


@pytest.mark.parametrize(
    ("kept", "error"), [(1, ErrorClass.BAD_RESPONSE), (4, ErrorClass.STREAM_ABORT)]
)
@pytest.mark.parametrize("tail", [b"", b"data: {", b"data: [DONE]\n\n"])
def test_an_end_without_its_event_is_a_failure(kept: int, error: ErrorClass, tail: bytes) -> None:
    played = play([*events(response(message("Hi")))[:kept], tail or b": end\n\n"])

    assert played.failure is not None
    assert error is played.failure.error
    assert not played.done


def test_an_error_in_the_last_event_is_an_error() -> None:
    last = event("error", code="rate_limit_exceeded", message="x").rstrip(b"\n")

    played = play([*events(response(message("Hi")))[:4], last])

    assert played.failure is not None
    assert ErrorClass.RATE_LIMIT is played.failure.error


def test_a_last_event_without_its_blank_line_counts() -> None:
    assert play([b"".join(events(response(message("Hi")))).rstrip(b"\n")]).done


def test_what_follows_the_end_is_not_read() -> None:
    whole = response(message("Hi"))
    stream = b"".join([*events(whole), event("error", message="x")])

    played = play([stream])

    assert (True, None) == (played.done, played.failure)


def test_a_stream_that_never_says_that_it_began_is_read_all_the_same() -> None:
    whole = events(response(message("Hi")))[2:]

    played = play(whole)

    check_shape(played.events, include_usage=False)
    assert "Hi" == fold(played.events)[0]["content"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["id", "type", "output_index", "content", "item", "response", "output", "status", "text",
             "arguments", "usage", "model", "error", "delta", "summary", "call_id", "name"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=15,
)  # fmt: skip
KINDS = st.sampled_from(
    ["response.created", "response.completed", "response.output_item.added", "response.output_item.done",
     "response.output_text.delta", "response.function_call_arguments.done", "keepalive"]
)  # fmt: skip
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call", "reasoning"])},
    optional=dict.fromkeys(("content", "call_id", "name", "arguments", "summary", "id"), JSON),
)


@settings(max_examples=200)
@given(
    frames=st.lists(
        st.tuples(
            KINDS,
            st.fixed_dictionaries(
                {}, optional={"item": ITEM | JSON, "response": JSON, "delta": JSON}
            ),
        ),
        max_size=6,
    )
)
def test_whatever_comes_is_a_batch_and_keeps_the_shape(frames: list[Any]) -> None:
    played = play([event(kind, **fields) for kind, fields in frames] or [b": x\n\n"])

    assert played.done or played.failure is not None
    check_shape(played.events, include_usage=False)
