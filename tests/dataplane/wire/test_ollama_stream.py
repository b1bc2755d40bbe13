from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.codec import decode
from dataplane.errors import ErrorClass
from dataplane.provider import Request, Usage
from dataplane.wire.ollama_answer import read_answer
from dataplane.wire.ollama_stream import OllamaDecoder
from tests.dataplane.wire.ollama_samples import (
    CREATED,
    call,
    chat_request,
    done,
    fold,
    lines,
    native,
    native_text,
    read,
    response,
    text_request,
)

LOGPROBS = [{"token": "a", "logprob": -0.5, "bytes": [97]}]
HELLO = lines(
    native({"content": "Hello"}),
    native({"content": " naïve"}),
    native({"content": " 🙂"}),
    native(**done()),
)
TOOLS = lines(
    native({"thinking": "the clock"}),
    native({"content": "Let me see"}),
    native({"tool_calls": [call("clock", {"tz": "UTC"}, "call_ab"), call("dice")]}),
    native({"tool_calls": [call("dice")]}),
    native(**done()),
)


def test_a_chat_stream_has_the_one_shape() -> None:
    stream = read(chat_request(stream=True), HELLO)

    deltas = [event["choices"][0]["delta"] for event in stream.events]
    assert [
        {"role": "assistant", "content": ""},
        {"content": "Hello"},
        {"content": " naïve"},
        {"content": " 🙂"},
        {},
    ] == deltas
    assert [None, None, None, None, "stop"] == [
        event["choices"][0]["finish_reason"] for event in stream.events
    ]
    first = stream.events[0]
    assert first.pop("id").startswith("chatcmpl-")
    assert {
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": "route",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": ""},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
    } == first
    assert stream.batches[-1].done
    assert b"[DONE]" not in stream.data


def test_every_chunk_has_the_same_head_and_keys() -> None:
    """The glued chunks of plain text differ in nothing from the encoded ones."""
    events = read(chat_request(stream=True), HELLO).events

    assert 1 == len({(e["id"], e["object"], e["created"], e["model"]) for e in events})
    assert 1 == len({tuple(event) for event in events})
    assert 1 == len({tuple(event["choices"][0]) for event in events})


def test_asked_for_usage_comes_last_and_is_null_before() -> None:
    events = read(chat_request(stream=True, include_usage=True), HELLO).events

    assert [None] * 5 == [event["usage"] for event in events[:-1]]
    assert [] == events[-1]["choices"]
    assert {"prompt_tokens": 10, "completion_tokens": 16, "total_tokens": 26} == events[-1]["usage"]


def test_usage_that_was_not_asked_for_is_nowhere_but_in_the_facts() -> None:
    stream = read(chat_request(stream=True), HELLO)

    assert all("usage" not in event and event["choices"] for event in stream.events)
    assert Usage(input_tokens=10, output_tokens=16) == stream.facts.usage


def test_usage_that_the_upstream_does_not_tell_has_no_chunk() -> None:
    stream = lines(native({"content": "x"}), native(done=True, done_reason="stop"))
    events = read(chat_request(include_usage=True), stream).events

    assert all(event["choices"] for event in events)
    assert [None] * len(events) == [event["usage"] for event in events]


def test_thinking_text_and_tool_calls_come_in_order() -> None:
    stream = read(chat_request(stream=True), TOOLS)

    def tool(index: int, call_id: str, name: str, arguments: str) -> dict[str, Any]:
        function = {"name": name, "arguments": arguments}
        return {
            "tool_calls": [
                {"index": index, "id": call_id, "type": "function", "function": function}
            ]
        }

    assert [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "the clock"},
        {"content": "Let me see"},
        tool(0, "call_ab", "clock", '{"tz":"UTC"}'),
        tool(1, "call_1", "dice", "{}"),
        tool(2, "call_2", "dice", "{}"),
        {},
    ] == [event["choices"][0]["delta"] for event in stream.events]
    assert "tool_calls" == stream.events[-1]["choices"][0]["finish_reason"]
    assert {0: "tool_calls"} == stream.facts.finish_reasons
    assert "stop" == stream.facts.native_finish_reason


def test_a_legacy_caller_gets_the_first_call_only() -> None:
    stream = read(chat_request(stream=True, legacy_functions=True), TOOLS)

    assert [{"name": "clock", "arguments": '{"tz":"UTC"}'}] == [
        delta["function_call"]
        for event in stream.events
        if "function_call" in (delta := event["choices"][0]["delta"])
    ]
    assert b"tool_calls" not in stream.data
    assert "function_call" == stream.events[-1]["choices"][0]["finish_reason"]


def test_a_text_stream_has_no_role_and_its_own_object() -> None:
    stream = read(
        text_request(stream=True, include_usage=True),
        lines(
            native_text(thinking="hm"),
            native_text("on"),
            native_text("ce"),
            native_text(**done("length")),
        ),
    )

    assert ["", "on", "ce", ""] == [event["choices"][0]["text"] for event in stream.events[:-1]]
    assert "hm" == stream.events[0]["choices"][0]["reasoning_content"]
    assert "length" == stream.events[-2]["choices"][0]["finish_reason"]
    assert 26 == stream.events[-1]["usage"]["total_tokens"]
    assert {"text_completion"} == {event["object"] for event in stream.events}
    assert stream.facts.response_id.startswith("cmpl-")


@pytest.mark.parametrize(
    ("request_", "item", "semantic"),
    [
        (chat_request(), native(), False),
        (chat_request(), native({"content": None}), False),
        (chat_request(), {"model": "tiny"}, False),
        (chat_request(), native({"content": "x"}), True),
        (chat_request(), native({"thinking": "x"}), True),
        (chat_request(), native({"tool_calls": [call("f")]}), True),
        (chat_request(), native(**done()), True),
        (text_request(), native_text(), False),
        (text_request(), native_text("x"), True),
        (text_request(), native_text(thinking="x"), True),
        (text_request(), native_text(**done()), True),
    ],
)
def test_semantic_is_what_says_something(
    request_: Request, item: dict[str, Any], semantic: bool
) -> None:
    batch = OllamaDecoder(request_, None).feed(lines(item))

    assert semantic is batch.semantic
    assert int(semantic) == batch.chunks
    assert batch.failure is None


def test_the_role_chunk_waits_for_nothing_and_comes_once() -> None:
    decoder = OllamaDecoder(chat_request(), None)
    first = decoder.feed(lines(native()))
    second = decoder.feed(lines(native()))

    assert b'"role":"assistant"' in first.data
    assert b"" == second.data


def test_a_last_line_may_say_something_too() -> None:
    stream = read(
        chat_request(), lines(native({"content": "x"}), native({"content": "y"}, **done()))
    )

    assert "xy" == fold(stream.events)["choices"][0]["message"]["content"]


def test_what_follows_the_end_is_not_read() -> None:
    stream = read(chat_request(), HELLO + b"garbage\n")

    assert stream.batches[-1].done
    assert stream.failure is None


def test_the_last_line_may_lack_its_newline() -> None:
    stream = read(chat_request(), HELLO.rstrip())

    assert stream.batches[-1].done
    assert "stop" == stream.events[-1]["choices"][0]["finish_reason"]


@pytest.mark.parametrize(
    ("stream", "error", "said"),
    [
        (b"", ErrorClass.BAD_RESPONSE, 0),
        (lines(native()), ErrorClass.BAD_RESPONSE, 0),
        (lines(native({"content": "x"})), ErrorClass.STREAM_ABORT, 1),
        (HELLO[:-30], ErrorClass.STREAM_ABORT, 3),
        (HELLO[:20], ErrorClass.BAD_RESPONSE, 0),
    ],
)
def test_an_end_without_its_mark_is_a_failure(stream: bytes, error: ErrorClass, said: int) -> None:
    result = read(chat_request(), stream)

    assert result.failure is not None
    assert error is result.failure.error
    assert said == result.chunks
    assert "stream.truncated" == result.failure.error_type
    assert not any(batch.done for batch in result.batches)
    assert b'"finish_reason":"' not in result.data


def test_an_error_at_the_head_says_nothing() -> None:
    batch = OllamaDecoder(chat_request(), None).feed(lines({"error": "unexpectedly stopped"}))

    assert batch.failure is not None
    assert ErrorClass.UPSTREAM_ERROR is batch.failure.error
    assert "stream.error" == batch.failure.error_type
    assert (b"", False) == (batch.data, batch.semantic)


def test_an_error_in_the_middle_comes_after_what_was_said() -> None:
    stream = read(
        chat_request(), lines(native({"content": "x"}), {"error": "exceeds the context length"})
    )

    assert stream.failure is not None
    assert ErrorClass.CONTEXT_LENGTH is stream.failure.error
    assert "x" == stream.events[-1]["choices"][0]["delta"]["content"]


@pytest.mark.parametrize("reason", ["load", "unload", "", None])
def test_a_stream_that_did_not_finish_is_an_error_and_never_a_finish(reason: str | None) -> None:
    stream = read(
        chat_request(), lines(native({"content": "x"}), native(**done()) | {"done_reason": reason})
    )

    assert stream.failure is not None
    assert ErrorClass.UPSTREAM_ERROR is stream.failure.error
    assert "stream.error" == stream.failure.error_type
    assert {"content": "x"} == stream.events[-1]["choices"][0]["delta"]
    assert {} == stream.facts.finish_reasons


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[]\n",
        b'{"message":7}\n',
        b'{"message":{"content":7}}\n',
        b"\xff\n",
        b"x" * 300,
    ],
)
def test_what_is_not_ollamas_format_is_a_bad_response(line: bytes) -> None:
    stream = lines(native({"content": "x"})) + line

    result = read(chat_request(), stream, limit=290)

    assert result.failure is not None
    assert ErrorClass.BAD_RESPONSE is result.failure.error
    assert {"content": "x"} == result.events[-1]["choices"][0]["delta"]


def test_a_cut_prompt_is_warned_of_at_the_end() -> None:
    assert ["clamped:messages"] == read(chat_request(), HELLO, num_ctx=11).facts.warnings
    assert [] == read(chat_request(), HELLO, num_ctx=12).facts.warnings


CHAT_LINES = [
    native({"thinking": "h"}),
    native({"thinking": "m"}),
    native({"content": "a"}, logprobs=LOGPROBS),
    native({"content": "é🙂\u2028"}),
    native({"tool_calls": [call("f", {"x": "é"}, "call_q"), call("g")]}),
    native({"content": "b", "tool_calls": [call("g")]}, **done()),
]
CHAT_WHOLE = native(
    {
        "thinking": "hm",
        "content": "aé🙂\u2028b",
        "tool_calls": [call("f", {"x": "é"}, "call_q"), call("g"), call("g")],
    },
    logprobs=LOGPROBS,
    **done(),
)
TEXT_LINES = [
    native_text(thinking="hm"),
    native_text("xé"),
    native_text("a", logprobs=LOGPROBS),
    native_text("a", logprobs=LOGPROBS, **done("length")),
]
BOTH = [{**LOGPROBS[0]}, {**LOGPROBS[0]}]


@pytest.mark.parametrize("legacy", [False, True])
def test_a_folded_stream_is_the_unary_answer(legacy: bool) -> None:
    request = chat_request(include_usage=True, legacy_functions=legacy)
    stream = read(request, lines(*CHAT_LINES))
    answer = read_answer(request, response(CHAT_WHOLE), None)

    assert decode(answer.body) == fold(stream.events)
    assert answer.facts == stream.facts


def test_a_folded_call_without_text_is_the_unary_answer() -> None:
    request = chat_request(include_usage=True)
    stream = read(request, lines(native({"tool_calls": [call("f")]}), native(**done())))
    answer = read_answer(request, response(native({"tool_calls": [call("f")]}, **done())), None)

    assert decode(answer.body) == fold(stream.events)


def test_a_folded_text_stream_is_the_unary_answer_with_offsets_into_its_text() -> None:
    request = text_request(include_usage=True)
    folded = fold(read(request, lines(*TEXT_LINES)).events)
    whole = native_text("xéaa", thinking="hm", logprobs=BOTH, **done("length"))
    unary = decode(read_answer(request, response(whole), None).body)

    # A stream tells the offsets of its tokens, a whole answer's first two have no logprobs here.
    assert [2, 3] == folded["choices"][0]["logprobs"].pop("text_offset")
    del unary["choices"][0]["logprobs"]["text_offset"]
    assert unary == folded


@pytest.mark.parametrize(
    ("request_", "objects"), [(chat_request(), CHAT_LINES), (text_request(), TEXT_LINES)]
)
def test_the_callers_bytes_are_the_same_at_every_cut(
    request_: Request, objects: list[dict[str, Any]]
) -> None:
    stream = lines(*objects)
    whole = read(request_, stream)

    for cut in range(len(stream) + 1):
        parts = read(request_, stream, cut)
        assert whole.data == parts.data
        assert whole.chunks == parts.chunks
        assert whole.facts == parts.facts
        assert parts.batches[-1].done


BROKEN = lines(*CHAT_LINES[:3]) + lines({"error": "boom"}) + lines(*CHAT_LINES[3:])


@settings(max_examples=150, deadline=None)
@given(
    stream=st.sampled_from(
        [lines(*CHAT_LINES), BROKEN, TOOLS[:-40], HELLO.replace(b"\n", b"\r\n")]
    ),
    places=st.lists(st.floats(0, 1), max_size=12),
)
def test_the_callers_bytes_are_the_same_at_any_cuts(stream: bytes, places: list[float]) -> None:
    whole = read(chat_request(include_usage=True), stream)
    parts = read(
        chat_request(include_usage=True), stream, *(int(place * len(stream)) for place in places)
    )

    assert whole.data == parts.data
    assert whole.chunks == parts.chunks
    assert str(whole.failure) == str(parts.failure)
    assert whole.facts == parts.facts


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_done_or_in_a_failure(data: bytes) -> None:
    result = read(chat_request(), data)

    assert result.ended
    assert result.failure is not None
