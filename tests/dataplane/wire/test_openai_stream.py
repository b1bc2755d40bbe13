"""Every variant of a stream that upstreams send, and the one shape that comes out."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.table.schema import ProviderType
from dataplane.codec import encode
from dataplane.errors import ErrorClass
from dataplane.provider import Usage
from dataplane.record import replace
from dataplane.wire.tool_ids import FUNCTION_NAME, fit_names
from tests.dataplane.wire.openai_kit import (
    OPENAI_LIKE,
    TOOL,
    USAGE,
    Played,
    chat,
    check_shape,
    chunk,
    completion,
    decoder,
    deltas,
    fold,
    play,
    usage_chunk,
    wire,
)

OAI, AZ, VLL = ProviderType.OPENAI, ProviderType.AZURE_OPENAI, ProviderType.VLLM
OVH, SCW, MIS = ProviderType.OVHCLOUD, ProviderType.SCALEWAY, ProviderType.MISTRAL
ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk(finish="stop")
STREAM = chat(stream=True)
ASKING = chat(stream=True, stream_options={"include_usage": True})
TOOLS = chat(stream=True, tools=[TOOL])


def text(content: str, **changes: Any) -> dict[str, Any]:
    return chunk({"content": content}, **changes)


def call(index: Any = 0, call_id: Any = None, name: Any = None, arguments: Any = "") -> Any:
    function = {"arguments": arguments} | ({} if name is None else {"name": name})
    entry: dict[str, Any] = {"function": function}
    if index is not None:
        entry["index"] = index
    if call_id is not None:
        entry |= {"id": call_id, "type": "function"}
    return entry


def calls(*entries: Any, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return chunk({**delta, "tool_calls": list(entries)}, finish)


def called(kind: ProviderType, *chunks: Any, request: Any = TOOLS) -> list[tuple[str, str, str]]:
    """Play a stream of calls, and return each call's id, name and arguments."""
    played = play(kind, request, ROLE, *chunks)
    assert played.failure is None
    check_shape(played.events, include_usage=False)
    return [
        (each["id"], each["function"]["name"], each["function"]["arguments"])
        for each in fold(played.events)[0]["tool_calls"]
    ]


# --- relaying


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_clean_chunks_are_relayed_byte_for_byte_but_for_the_model(kind: ProviderType) -> None:
    frames = [
        (
            b'{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}]'
            b',"created":1790000000,"id":"c-1","model":"up","system_fingerprint":"b1","object":"x"}'
        ),
        *(
            b'{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"%s"}}],'
            b'"created":1790000000,"id":"c-1","model":"up","object":"x","t":1.50}' % each
            for each in (b" one", b" tw\\u00f6", b' \\"three\\"', b"\\\\", b"", b"caf\xc3\xa9")
        ),
        (
            b'{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"created":1790000000,'
            b'"id":"c-1","model": "up","object":"x","timings":{"predicted_ms":2.0}}'
        ),
    ]

    played = play(kind, STREAM, *frames)

    expected = wire(*frames, done=False)
    expected = expected.replace(b'"model":"up"', b'"model":"route"')
    assert expected.replace(b'"model": "up"', b'"model": "route"') == played.data
    assert played.done
    assert {0: "stop"} == played.facts.finish_reasons
    assert ("c-1", "up") == (played.facts.response_id, played.facts.response_model)


def test_openais_chunks_lose_their_padding_and_the_usage_that_nobody_asked_for() -> None:
    frames = [
        encode({**each, "usage": None, "obfuscation": "x" * at})
        for at, each in enumerate([ROLE, *(text(f"t{n}") for n in range(6)), text('"q"'), STOP])
    ]

    plain = play(OAI, STREAM, *frames)
    asked = play(OAI, ASKING, *frames)

    check_shape(plain.events, include_usage=False)
    assert "t0t1t2t3t4t5" + '"q"' == fold(plain.events)[0]["content"]
    assert b"obfuscation" not in plain.data
    assert all(event["usage"] is None for event in asked.events)


def test_a_chunk_that_only_looks_like_the_last_one_is_still_read() -> None:
    """Everything here begins and ends with the bytes of a chunk of plain text."""

    def frame(delta: bytes) -> bytes:
        return (
            b'{"id":"a","object":"o","created":1,"model":"m","choices":[{"index":0,"delta":{"content":'
            + delta
            + b'},"finish_reason":null}]}'
        )

    frames = [
        frame(b'"","role":"assistant"'),
        frame(b'"one"'),
        frame(b'"two"'),
        frame(b'"th","role":"assistant","name":"ree"'),
        frame(b'"four\\\\","role":"assistant","name":"x"'),
        frame(b'"five"},"finish_reason":"stop"},{"index":1,"delta":{"content":"six"'),
        frame(b'"seven"'),
    ]

    played = play(OAI, STREAM, *frames)

    check_shape(played.events, include_usage=False)
    folded = fold(played.events)
    assert "onetwothfour\\five" == folded[0]["content"]
    assert "six" == folded[1]["content"]


def test_padding_that_is_not_last_is_dropped_too() -> None:
    frames = [{"p": "ab", **each} for each in (ROLE, text("a"), text("b"), text("c"), STOP)]
    numbers = [{**each, "obfuscation": 7} for each in (text("a"), text("b"))]

    assert "abc" == fold(play(MIS, STREAM, *frames).events)[0]["content"]
    played = play(OAI, STREAM, ROLE, *numbers, STOP)
    assert "ab" == fold(played.events)[0]["content"]
    assert b"obfuscation" not in played.data


def test_text_that_stands_twice_in_a_chunk_is_relayed_right() -> None:
    frames = [ROLE, text("content"), text("content"), text("m-2026"), text("x"), STOP]

    assert "contentcontentm-2026x" == fold(play(OAI, STREAM, *frames).events)[0]["content"]


def test_a_chunk_over_several_lines_is_written_on_one() -> None:
    pretty = b"\ndata: ".join(
        [
            b'{"id":"a","created":1,"object":"o","model":"m",',
            b'"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},',
            b'"finish_reason":null}]}',
        ]
    )

    played = play(OAI, STREAM, pretty, pretty)

    assert "HiHi" == fold(played.events)[0]["content"]


def test_a_bare_line_feed_in_text_never_breaks_an_event() -> None:
    head = (
        b'{"id":"a","object":"o","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"'
    )
    tail = b'"},"finish_reason":null}]}'
    frames = [head + each + tail for each in (b"a", b"b", b"c\ndata: d")]

    played = play(OAI, STREAM, ROLE, *frames)

    assert played.failure is not None
    assert ErrorClass.BAD_RESPONSE is played.failure.error
    assert "\n" not in fold(played.events)[0]["content"]


# --- identity


def test_id_and_time_are_those_of_the_first_chunk_that_has_any() -> None:
    frames = [
        {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []},
        {**ROLE, "id": "first", "created": 5},
        {**text("a"), "id": "second", "created": 6},
        {**text("b"), "id": "", "created": 0, "model": "", "object": ""},
        {**STOP, "id": "second", "created": 6},
    ]  # fmt: skip

    played = play(AZ, STREAM, *frames)

    check_shape(played.events, include_usage=False)
    assert {("first", 5)} == {(event["id"], event["created"]) for event in played.events}
    assert "ab" == fold(played.events)[0]["content"]
    assert "first" == played.facts.response_id


def test_a_stream_without_any_identity_gets_one_that_depends_on_nothing_else() -> None:
    bare = [{"choices": [{"delta": {"content": each}}]} for each in ("a", "b")]
    bare.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})

    first, second = play(OAI, STREAM, *bare), play(OAI, STREAM, *bare)

    check_shape(first.events, include_usage=False)
    assert first.data == second.data
    assert first.events[0]["id"].startswith("chatcmpl-")
    assert "chat.completion.chunk" == first.events[0]["object"]
    assert "" == first.facts.response_id


# --- roles and names


def test_a_role_comes_once_though_each_chunk_repeats_it() -> None:
    frames = [
        {"id": "a", "choices": [{"index": 0, "delta": delta}], "created": 1, "model": "m", "object": "o"}
        for delta in (
            {"role": "assistant", "content": ""},
            {"role": "assistant", "reasoning_content": "User", "name": "assistant"},
            {"role": "assistant", "content": "Paris", "name": "assistant"},
            {"role": "assistant", "content": " is", "name": "assistant"},
            {"role": "assistant", "content": " it", "name": "assistant"},
            {"role": "assistant", "name": "assistant"},
        )
    ]  # fmt: skip
    frames.append({**frames[0], "choices": [
        {"index": 0, "delta": {"role": "assistant", "name": "a"}, "finish_reason": "stop"}]})  # fmt: skip

    played = play(OVH, STREAM, *frames)

    check_shape(played.events, include_usage=False)
    assert {
        "role": "assistant",
        "content": "Paris is it",
        "reasoning_content": "User",
        "finish_reason": "stop",
    } == fold(played.events)[0]
    assert 6 == len(played.events)


def test_a_role_that_never_comes_is_added() -> None:
    played = play(VLL, STREAM, text("Hi"), STOP)

    assert [{"content": "Hi", "role": "assistant"}, {}] == deltas(played.events)


def test_a_role_and_a_call_in_one_chunk_are_two_steps() -> None:
    first = calls(call(0, "call_1", "f", "{}"), role="assistant", content=None, refusal=None)

    played = play(OAI, TOOLS, first, chunk(finish="tool_calls"))

    check_shape(played.events, include_usage=False)
    assert [
        {"role": "assistant", "content": None, "refusal": None},
        {"tool_calls": [call(0, "call_1", "f", "{}")]},
        {},
    ] == deltas(played.events)


# --- choices


def test_choices_may_interleave_and_each_ends_once() -> None:
    def of(index: int, delta: Any, finish: str | None = None) -> Any:
        return chunk(delta, finish, choice={"index": index})

    role = {"role": "assistant", "content": ""}
    both = {**chunk(), "choices": [*of(0, {"content": "a"})["choices"], *of(1, {"content": "b"})["choices"]]}  # fmt: skip
    frames = [of(1, role), of(0, role), both, of(1, {"content": "c"}), of(1, {}, "stop"),
              of(1, {"content": "late"}), of(0, {"content": "d"}), of(0, {}, "length")]  # fmt: skip

    played = play(OAI, chat(stream=True, n=2), *frames)

    check_shape(played.events, include_usage=False)
    folded = fold(played.events)
    assert ("ad", "length") == (folded[0]["content"], folded[0]["finish_reason"])
    assert ("bc", "stop") == (folded[1]["content"], folded[1]["finish_reason"])
    assert {0: "length", 1: "stop"} == played.facts.finish_reasons


def test_a_frame_may_lack_delta_finish_and_index() -> None:
    bare: list[Any] = [
        {"choices": [{"delta": None}]},
        {"choices": [{}]},
        {"choices": [{"delta": {"content": "a"}, "finish_reason": ""}]},
    ]
    frames = [{**chunk(), **each} for each in bare]

    played = play(AZ, STREAM, ROLE, *frames, STOP)

    check_shape(played.events, include_usage=False)
    assert [{"role": "assistant", "content": ""}, {"content": "a"}, {}] == deltas(played.events)


def test_annotations_are_swallowed_and_what_they_found_stands_at_the_finish() -> None:
    def noted(**verdicts: Any) -> dict[str, Any]:
        note = {"index": 0, "finish_reason": None, "content_filter_results": verdicts}
        return {"id": "", "object": "", "created": 0, "model": "", "choices": [note]}

    safe, found = {"filtered": False, "severity": "safe"}, {"filtered": False, "detected": True}
    attack = [{"prompt_index": 0, "content_filter_results": {"jailbreak": found}}]
    first = {"id": "", "model": "", "choices": [], "prompt_filter_results": attack}
    notes = [noted(hate=safe), noted(profanity=found)]

    played = play(AZ, STREAM, first, ROLE, text("a"), *notes, STOP, noted(violence=found))

    check_shape(played.events, include_usage=False)
    deltas = [event["choices"][0]["delta"] for event in played.events]
    origin = {"type": "AzureOpenAI", "model": "m"}
    filters = {"prompt": {"jailbreak": found}, "answer": {"profanity": found}}
    assert [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {"switchgear": {"origin": origin, "content_filter": filters}},
    ] == deltas


def test_chunks_that_repeat_a_vendors_keys_are_still_not_decoded() -> None:
    """The bytes around a text are known after the first chunk, whatever was cut out of them."""
    safe = {"hate": {"filtered": False, "severity": "safe"}}
    made = decoder(AZ, STREAM)
    frames = [
        chunk({"content": word}, choice={"content_filter_results": safe}) for word in ("a", "b")
    ]
    made.feed(b"".join(b"data: " + encode(frame) + b"\n\n" for frame in (ROLE, frames[0])))
    # Not JSON any more: decoding it would be a failure, but its ends are those that are known.
    broken = encode(frames[1]).replace(b'"b"', b'"\\q"')
    batch = made.feed(b"data: " + broken + b"\n\n")

    assert batch.failure is None
    assert b"content_filter" not in batch.data
    assert b'{"content":"\\q"}' in batch.data


def test_too_many_choices_are_refused() -> None:
    frames = [chunk({"content": "a"}, choice={"index": index}) for index in range(129)]

    failure = play(OAI, STREAM, *frames).failure

    assert failure is not None
    assert ErrorClass.BAD_RESPONSE is failure.error


# --- content


def test_content_may_switch_between_lists_and_strings() -> None:
    def thought(content: str) -> Any:
        part = {"type": "thinking", "thinking": [{"type": "text", "text": content}], "closed": True}
        return {**chunk({"content": [part]}), "p": "abcdef"}

    frames = [ROLE, thought("Add"), thought(" th"), thought("em"), text("8", p="ab"), text("!", p="a"),
              chunk({"content": [{"type": "text", "text": "."}]}), STOP]  # fmt: skip

    played = play(MIS, STREAM, *frames)

    check_shape(played.events, include_usage=False)
    folded = fold(played.events)[0]
    assert ("8!.", "Add them") == (folded["content"], folded["reasoning_content"])


@pytest.mark.parametrize("kind", [VLL, SCW, OVH])
def test_reasoning_is_renamed_in_every_chunk(kind: ProviderType) -> None:
    frames = [ROLE, *(chunk({"reasoning": each}) for each in ("a", "b", "c")), text("8"), STOP]

    played = play(kind, STREAM, *frames)

    check_shape(played.events, include_usage=False)
    assert {"reasoning_content": "b"} == deltas(played.events)[2]
    assert "abc" == fold(played.events)[0]["reasoning_content"]
    assert b'"reasoning"' not in played.data


def test_refusals_and_audio_say_something() -> None:
    for delta in ({"refusal": "No."}, {"audio": {"data": "AA"}}, {"reasoning_content": "hm"}):
        stream = decoder(OAI, STREAM)
        assert not stream.feed(wire(ROLE, done=False)).semantic
        assert stream.feed(wire(chunk(delta), done=False)).semantic


# --- calls of tools


def test_calls_in_pieces_pass_unchanged() -> None:
    frames = [
        calls(call(0, "call_1", "f")),
        *(calls(call(0, arguments=each)) for each in ('{"a', '": ', "1}")),
        calls(call(1, "call_2", "g", "{")),
        calls(call(1, arguments="}")),
        calls(call(0, arguments=" ")),
        chunk(finish="tool_calls"),
    ]

    played = play(OAI, TOOLS, ROLE, *frames)

    assert wire(ROLE, *frames, done=False).replace(b"m-2026", b"route") == played.data
    check_shape(played.events, include_usage=False)


def test_a_whole_call_in_the_finishing_chunk_is_two_steps() -> None:
    whole = calls(
        call(0, "g6fVbXS8K", "weather", '{"city": "Oslo"}'), finish="tool_calls", content=""
    )

    played = play(MIS, TOOLS, ROLE, {**whole, "usage": USAGE})

    check_shape(played.events, include_usage=False)
    assert [
        {"role": "assistant", "content": ""},
        {"content": "", "tool_calls": [call(0, "g6fVbXS8K", "weather", '{"city": "Oslo"}')]},
        {},
    ] == deltas(played.events)
    assert Usage(input_tokens=9, output_tokens=2) == played.facts.usage


def test_repeated_ids_and_empty_names_are_ignored() -> None:
    assert [("a", "f", "{}")] == called(
        MIS,
        calls(call(0, "a", "f", "{")),
        calls(call(0, "a", "", "}")),
        calls(call(0, "a", "f", None)),
        chunk(finish="tool_calls"),
    )


def test_null_arguments_are_nothing_and_none_at_all_are_an_object() -> None:
    for finish in ("tool_calls", "stop"):
        assert [("a", "f", "{}"), ("b", "g", '{"x":1}')] == called(
            SCW,
            calls(call(0, "a", "f", None)),
            calls(call(1, "b", "g", None)),
            calls(call(1, arguments='{"x":1}')),
            calls(call(1, arguments=None)),
            chunk(finish=finish),
        )


def test_what_is_owed_goes_out_with_the_last_call() -> None:
    played = play(VLL, TOOLS, ROLE, calls(call(0, "a", "f")), calls(call(1, "b", "g", "{}"), finish="tool_calls"))  # fmt: skip

    check_shape(played.events, include_usage=False)
    assert ["{}", "{}"] == [
        each["function"]["arguments"] for each in fold(played.events)[0]["tool_calls"]
    ]


@pytest.mark.parametrize("numbers", [(0, 0), (None, None), (1, 2), (5, 0)])
def test_calls_are_numbered_from_nought_whatever_their_numbers(numbers: tuple[Any, Any]) -> None:
    first, second = numbers
    expected = [("a", "f", "{}"), ("b", "f", "[]")]

    assert expected == called(
        MIS,
        calls(call(first, "a", "f", "{"), call(first, None, None, "}")),
        calls(call(second, "b", "f", "["), call(second, None, None, "]")),
        chunk(finish="tool_calls"),
    )


def test_without_ids_another_name_is_another_call() -> None:
    (first, second) = called(
        SCW, calls(call(0, None, "f", "{}"), call(0, None, "g", "[]")), chunk(finish="tool_calls")
    )

    assert ("f", "{}", "g", "[]") == (*first[1:], *second[1:])
    assert first[0] != second[0]
    assert first[0].startswith("call_")


def test_without_numbers_an_id_finds_its_call() -> None:
    assert [("a", "f", "{}"), ("b", "g", "[]")] == called(
        SCW,
        calls(call(None, "a", "f", "{"), call(None, "b", "g", "[")),
        calls(call(None, "a", None, "}"), call(None, "b", None, "]")),
        chunk(finish="tool_calls"),
    )


def test_an_id_that_two_calls_share_is_repaired() -> None:
    (first, second) = called(
        OVH, calls(call(0, "a", "f", "{}"), call(1, "a", "g", "{}")),
        calls(call(1, "a", "g", " ")), chunk(finish="tool_calls"),
    )  # fmt: skip

    assert "a" == first[0]
    assert second[0] not in {"a", ""}
    assert "{} " == second[2]


def test_two_entries_of_one_call_in_one_chunk_are_one() -> None:
    played = play(VLL, TOOLS, ROLE, calls(call(0, "a", "f"), call(0, None, None, "{}")), STOP)

    assert [{"tool_calls": [call(0, "a", "f", "{}")]}] == deltas(played.events)[1:2]
    assert "tool_calls" == played.facts.finish_reasons[0]


def test_a_name_that_comes_late_is_waited_for() -> None:
    assert [("a", "f", '{"x":1}')] == called(
        VLL,
        calls(call(0, "a", "", '{"x"')),
        calls(call(0, None, None, ":")),
        calls(call(0, None, "f", "1}")),
        chunk(finish="tool_calls"),
    )


def test_a_name_that_never_comes_leaves_the_call_without_one() -> None:
    assert [("a", "", "[]"), ("b", "", "{}")] == called(
        VLL,
        calls(call(0, "a", "", "[]"), call(1, "b", None, None)),
        chunk(finish="tool_calls"),
    )


def test_pieces_of_no_call_are_left_out() -> None:
    played = play(VLL, TOOLS, ROLE, calls(call(None, None, None, "{}")), calls(), text("a"), STOP)

    check_shape(played.events, include_usage=False)
    assert [{"role": "assistant", "content": ""}, {"content": "a"}, {}] == deltas(played.events)


def test_calls_that_are_no_list_of_objects() -> None:
    assert "a" == fold(play(OAI, STREAM, ROLE, chunk({"content": "a", "tool_calls": None}), STOP).events)[0]["content"]  # fmt: skip
    failure = play(OAI, STREAM, ROLE, chunk({"tool_calls": ["x"]})).failure
    assert failure is not None
    assert ErrorClass.BAD_RESPONSE is failure.error


def test_arguments_that_are_objects_become_text_and_unknown_keys_pass() -> None:
    entry = {**call(0, "a", "f", {"x": 1}), "extra_content": {"signature": "s"}}

    played = play(MIS, TOOLS, ROLE, calls(entry), STOP)

    (out,) = deltas(played.events)[1]["tool_calls"]
    assert {**call(0, "a", "f", '{"x":1}'), "extra_content": {"signature": "s"}} == out


def test_custom_calls_stream_their_input() -> None:
    def custom(call_id: Any = None, **inner: Any) -> Any:
        head = {"id": call_id, "type": "custom"} if call_id else {}
        return {"index": 0, **head, "custom": inner}

    request = chat(stream=True, tools=[{"type": "custom", "custom": {"name": "g"}}])
    frames = [ROLE, calls(custom("a", name="g", input="")), calls(custom(input="x")), calls(custom(input="y")), chunk(finish="tool_calls")]  # fmt: skip

    played = play(OAI, request, *frames)

    assert wire(*frames, done=False).replace(b"m-2026", b"route") == played.data


def test_renamed_tools_get_their_names_back() -> None:
    name = "server.tool"
    body = {**TOOLS.body, "tools": [{"type": "function", "function": {"name": name}}]}
    request = replace(TOOLS, body=body)
    fitted = fit_names([name], FUNCTION_NAME)[name]

    assert [("a", name, "{}")] == called(
        OAI,
        calls(call(0, "a", fitted)),
        calls(call(0, "a", fitted, "{}")),
        chunk(finish="tool_calls"),
        request=request,
    )


def test_the_old_form_of_calls_is_given_back_to_those_who_asked_in_it() -> None:
    request = chat(stream=True, functions=[{"name": "f"}])
    frames = [ROLE, calls(call(0, "a", "f")), *(calls(call(0, arguments=e)) for e in ("{", " ", "}")),
              calls(call(1, "b", "g", "{}")), chunk(finish="tool_calls")]  # fmt: skip

    played = play(OAI, request, *frames)

    assert [
        {"role": "assistant", "content": ""},
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{"}},
        {"function_call": {"arguments": " "}},
        {"function_call": {"arguments": "}"}},
        {},
    ] == deltas(played.events)
    assert "function_call" == played.events[-1]["choices"][0]["finish_reason"]
    assert ["dropped:tool_calls"] == played.facts.warnings


# --- finishes

FINISHES = [
    (OAI, "stop", "stop", []),
    (MIS, "model_length", "length", []),
    (VLL, "repetition", "length", ["mapped:finish_reason"]),
    (OAI, "brand_new", "stop", ["mapped:finish_reason"]),
    (OAI, "tool_calls", "stop", ["mapped:finish_reason"]),
    (AZ, "content_filter", "content_filter", []),
]


@pytest.mark.parametrize(("kind", "native", "expected", "warnings"), FINISHES)
def test_a_finish_without_calls(
    kind: ProviderType, native: str, expected: str, warnings: list[str]
) -> None:
    played = play(kind, STREAM, ROLE, text("a"), chunk(finish=native))

    assert expected == played.events[-1]["choices"][0]["finish_reason"]
    assert (native if native != expected else "") == played.facts.native_finish_reason
    assert warnings == played.facts.warnings


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_a_forced_call_ends_as_it_does_in_whole_answers(kind: ProviderType) -> None:
    forced = chat(stream=True, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "get_time"}})  # fmt: skip
    frames = [ROLE, calls(call(0, "a", "get_time", "{}")), STOP]

    expected = "stop" if kind in {OAI, AZ, VLL} else "tool_calls"
    assert {0: expected} == play(kind, forced, *frames).facts.finish_reasons
    assert {0: "tool_calls"} == play(kind, TOOLS, *frames).facts.finish_reasons


@pytest.mark.parametrize(("kind", "native"), [(MIS, "error"), (VLL, "abort")])
def test_an_end_that_is_a_failure_is_one(kind: ProviderType, native: str) -> None:
    played = play(kind, STREAM, ROLE, text("a"), chunk(finish=native))

    assert played.failure is not None
    assert ErrorClass.UPSTREAM_ERROR is played.failure.error
    assert "a" == fold(played.events)[0]["content"]
    assert not play(kind, STREAM, ROLE, chunk(finish=native)).semantic


def test_content_in_the_finishing_chunk_stays_there() -> None:
    played = play(VLL, STREAM, ROLE, chunk({"content": "end"}, "length"))

    assert ({"content": "end"}, "length") == (
        deltas(played.events)[-1],
        played.events[-1]["choices"][0]["finish_reason"],
    )


# --- usage


@pytest.mark.parametrize("kind", OPENAI_LIKE)
def test_the_usage_chunk_is_only_for_those_who_asked(kind: ProviderType) -> None:
    frames = [ROLE, text("a"), STOP, {**usage_chunk(), "timings": {"a": 1}}]

    plain, asked = play(kind, STREAM, *frames), play(kind, ASKING, *frames)

    check_shape(plain.events, include_usage=False)
    check_shape(asked.events, include_usage=True)
    assert b"usage" not in plain.data
    # The others say that there is none yet, whether the upstream did or not.
    nulled = [each if each is frames[-1] else {**each, "usage": None} for each in frames]
    assert wire(*nulled, done=False).replace(b"m-2026", b"route") == asked.data
    for played in (plain, asked):
        assert Usage(input_tokens=9, output_tokens=2) == played.facts.usage


def test_usage_on_the_finishing_chunk_moves_to_one_of_its_own() -> None:
    frames = [ROLE, text("a"), {**STOP, "usage": USAGE}]

    plain, asked = play(MIS, STREAM, *frames), play(MIS, ASKING, *frames)

    check_shape(plain.events, include_usage=False)
    check_shape(asked.events, include_usage=True)
    assert USAGE == asked.events[-1]["usage"]
    assert Usage(input_tokens=9, output_tokens=2) == plain.facts.usage


def test_running_usage_is_not_added_up() -> None:
    frames = [
        {**each, "usage": {"prompt_tokens": 9, "completion_tokens": at, "total_tokens": 9 + at}}
        for at, each in enumerate([ROLE, text("a"), text("b"), text("c"), STOP])
    ]

    asked = play(VLL, ASKING, *frames)
    plain = play(VLL, STREAM, *frames, usage_chunk(prompt_tokens=9, completion_tokens=5))

    check_shape(asked.events, include_usage=True)
    check_shape(plain.events, include_usage=False)
    assert 4 == asked.events[-1]["usage"]["completion_tokens"]
    assert Usage(input_tokens=9, output_tokens=5) == plain.facts.usage


def test_usage_that_comes_too_early_waits_for_the_end() -> None:
    played = play(OAI, ASKING, usage_chunk(), ROLE, text("a"), usage_chunk(), STOP)

    check_shape(played.events, include_usage=True)
    assert USAGE == played.events[-1]["usage"]


def test_no_usage_is_not_made_up() -> None:
    played = play(OAI, ASKING, ROLE, text("a"), STOP)

    check_shape(played.events, include_usage=True)
    assert played.events[-1]["choices"]
    assert played.facts.usage is None


def test_a_frame_without_choices_and_usage_says_nothing_unless_it_was_asked_for() -> None:
    empty = {**chunk(), "choices": []}
    nothing = {**chunk(), "choices": None}
    verdict = {**empty, "moderation": {"flagged": False}}

    played = play(OAI, STREAM, empty, ROLE, text("a"), empty, nothing, STOP, verdict)

    assert 4 == len(played.events)
    assert {"flagged": False} == played.events[-1]["moderation"]


# --- errors and ends


def test_a_padded_chunk_that_is_not_like_the_last_one_is_read() -> None:
    def padded(chunk_: dict[str, Any], padding: str) -> dict[str, Any]:
        return {**chunk_, "obfuscation": padding}

    frames = [
        padded(ROLE, "x"),
        padded(text("a"), "xy"),
        padded({**text("b"), "service_tier": "flex"}, "x"),
        padded(text("c"), "xy"),
        {**padded(text("d"), "x"), "later": 1},
        padded(text("e"), 'q"q'),
        padded(STOP, "x"),
    ]

    played = play(OAI, STREAM, *frames)

    check_shape(played.events, include_usage=False)
    assert "abcde" == fold(played.events)[0]["content"]
    assert 1 == played.events[4]["later"]
    assert b"obfuscation" not in played.data


def test_the_mark_of_the_end_may_lack_its_blank_line() -> None:
    played = Played(decoder(OAI, STREAM), [wire(ROLE, text("a"), STOP).removesuffix(b"\n\n")])

    assert (True, None) == (played.done, played.failure)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"error":{"message":"x","type":"InternalServerError","param":null,"code":500}}',
        b'{"error":"broken"}',
        b'{"object":"error","message":"x","type":"InternalServerError","code":500}',
    ],
)
@pytest.mark.parametrize("kind", [OAI, VLL])
def test_an_error_at_the_head_or_later_is_a_failure(kind: ProviderType, frame: bytes) -> None:
    head = play(kind, STREAM, frame)
    later = play(kind, STREAM, ROLE, text("a"), frame)

    for played in (head, later):
        assert played.failure is not None
        assert ErrorClass.UPSTREAM_ERROR is played.failure.error
        assert "stream.error" == played.failure.error_type
        assert not played.done
    assert (b"", False) == (head.data, head.semantic)
    assert "a" == fold(later.events)[0]["content"]


def test_an_event_named_error_is_one() -> None:
    stream = decoder(OAI, STREAM)

    batch = stream.feed(b'event: error\ndata: {"message":"slow down","code":429}\n\n')

    assert batch.failure is not None
    assert ErrorClass.RATE_LIMIT is batch.failure.error


def test_the_mark_of_the_end_is_not_passed_on() -> None:
    stream = decoder(OAI, STREAM)

    batch = stream.feed(wire(ROLE, text("a"), STOP) + b"data: after\n\n")

    assert batch.done
    assert b"[DONE]" not in batch.data
    assert 3 == batch.chunks
    assert batch.semantic


def test_an_end_without_its_mark_is_one_if_every_choice_has_finished() -> None:
    done = play(OAI, ASKING, ROLE, text("a"), {**STOP, "usage": USAGE}, done=False)

    assert (True, None) == (done.done, done.failure)
    check_shape(done.events, include_usage=True)


@pytest.mark.parametrize("tail", [b"", b'data: {"id":"chatcm', b"data: {", b": bye"])
def test_an_end_in_the_middle_is_an_abort(tail: bytes) -> None:
    stream = decoder(OAI, STREAM)

    played = Played(stream, [wire(ROLE, text("a"), done=False) + tail])

    assert not played.done
    assert played.failure is not None
    assert ErrorClass.STREAM_ABORT is played.failure.error
    assert "stream.truncated" == played.failure.error_type


def test_a_cut_event_after_the_finish_does_no_harm() -> None:
    stream = decoder(OAI, STREAM)

    played = Played(stream, [wire(ROLE, text("a"), STOP, done=False) + b'data: {"id":'])

    assert (True, None) == (played.done, played.failure)


@pytest.mark.parametrize("data", [b"", b": hello\n\n", wire(ROLE, done=False), b"<html></html>"])
def test_an_end_before_anything_was_said_may_be_tried_elsewhere(data: bytes) -> None:
    played = Played(decoder(OAI, STREAM), [data])

    assert played.failure is not None
    assert ErrorClass.BAD_RESPONSE is played.failure.error
    assert played.failure.policy.try_next


def test_a_last_event_without_its_blank_line_counts() -> None:
    stream = decoder(OAI, STREAM)

    played = Played(stream, [wire(ROLE, text("a"), done=False) + b"data: " + encode(STOP)])

    assert played.done
    assert "stop" == fold(played.events)[0]["finish_reason"]


def test_an_error_in_the_last_event_is_an_error() -> None:
    stream = decoder(OAI, STREAM)
    error = b'data: {"error":{"message":"x","code":429}}'

    played = Played(stream, [wire(ROLE, text("a"), done=False) + error])

    assert played.failure is not None
    assert ErrorClass.RATE_LIMIT is played.failure.error


@pytest.mark.parametrize(
    "frame", [b"nonsense", b"[]", b"7", b'"x"', b'{"choices":[1]}', b'{"x":"\xff"}']
)
def test_what_is_no_chunk_is_a_bad_response(frame: bytes) -> None:
    played = play(OAI, STREAM, ROLE, text("a"), frame)

    assert played.failure is not None
    assert ErrorClass.BAD_RESPONSE is played.failure.error
    assert "a" == fold(played.events)[0]["content"]


def test_an_event_beyond_measure_is_a_bad_response() -> None:
    batch = decoder(OAI, STREAM).feed(b"data: " + b"x" * (16 * 1024 * 1024))

    assert batch.failure is not None
    assert ErrorClass.BAD_RESPONSE is batch.failure.error


def test_nothing_is_semantic_before_something_was_said() -> None:
    stream = decoder(OAI, STREAM)

    first, second = stream.feed(wire(ROLE, done=False)), stream.feed(wire(text(""), done=False))
    third = stream.feed(wire(text("a"), done=False))

    assert [False, False, True] == [first.semantic, second.semantic, third.semantic]
    assert first.data
    # A finish says something too: an empty answer is an answer.
    assert decoder(OAI, STREAM).feed(wire(STOP, done=False)).semantic


def test_templates_know_empty_text_from_text() -> None:
    stream = decoder(OAI, STREAM)
    stream.feed(wire(ROLE, text("a"), done=False))

    assert not stream.feed(wire(text(""), done=False)).semantic
    assert stream.feed(wire(text("b"), done=False)).semantic


# --- text completions


@pytest.mark.parametrize("kind", [OAI, AZ, VLL, OVH])
def test_a_text_completion_streams(kind: ProviderType) -> None:
    def part(content: Any, finish: str | None = None) -> Any:
        choice = {"text": content, "index": 0, "logprobs": None, "finish_reason": finish}
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m-2026",
                "choices": [choice]}  # fmt: skip

    frames = [part(" upon"), part(" a"), part(" time"), part("", "length")]

    played = play(
        kind, completion(stream=True), *frames, {**part(""), "choices": [], "usage": USAGE}
    )

    assert wire(*frames, done=False).replace(b"m-2026", b"route") == played.data
    assert {0: "length"} == played.facts.finish_reasons
    assert Usage(input_tokens=9, output_tokens=2) == played.facts.usage


def test_a_text_completion_swallows_what_comes_after_its_end() -> None:
    frames = [
        {"id": "c", "choices": [{"index": 0, "text": "a"}]},
        {"id": "c", "choices": [{"index": 0, "text": None, "finish_reason": "stop"}]},
        {"id": "c", "choices": [{"index": 0, "text": "late"}]},
    ]

    played = play(OAI, completion(stream=True), *frames)

    assert ["a", ""] == [event["choices"][0]["text"] for event in played.events]
    assert "text_completion" == played.events[0]["object"]
    assert [None, "stop"] == [event["choices"][0]["finish_reason"] for event in played.events]
