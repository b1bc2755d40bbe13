"""Streams are the same however they were cut, fold to the whole answer, and keep their shape."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode, encode
from dataplane.provider import Request
from tests.dataplane.wire.openai_kit import (
    OPENAI_LIKE,
    TOOL,
    USAGE,
    Played,
    answered,
    chat,
    check_shape,
    chunk,
    completion,
    decoder,
    fold,
    play,
    usage_chunk,
    wire,
)

OAI, VLL, OVH = ProviderType.OPENAI, ProviderType.VLLM, ProviderType.OVHCLOUD
AZ, MIS = ProviderType.AZURE_OPENAI, ProviderType.MISTRAL
ROLE = {"role": "assistant", "content": ""}


def tool_delta(index: int, arguments: str | None, **first: str) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": arguments}
    if "name" in first:
        function["name"] = first["name"]
    head = {"id": first["id"], "type": "function"} if "id" in first else {}
    return {"tool_calls": [{"index": index, **head, "function": function}]}


SAMPLES: dict[str, tuple[ProviderType, bytes]] = {
    "openai": (
        OAI,
        wire(
            *({**each, "usage": None, "obfuscation": "x" * (at % 3)} for at, each in enumerate([
                chunk(ROLE),
                *(chunk({"content": each}) for each in ("Caf", "é 🙂", " ok", '"q"')),
                chunk(tool_delta(0, "", id="call_1", name="f")),
                *(chunk(tool_delta(0, each)) for each in ('{"a":', " 1", "}")),
                chunk(finish="tool_calls"),
            ])),
            usage_chunk(),
        ),
    ),
    "azure": (
        AZ,
        wire(
            {"choices": [], "created": 0, "id": "", "model": "", "object": ""},
            chunk(ROLE | tool_delta(0, "", id="c", name="f")),
            {**chunk(), "choices": [{"index": 0, "content_filter_results": {}}]},
            chunk(finish="content_filter"),
            chunk({"content": "late"}),
        ),
    ),
    "ovh": (
        OVH,
        wire(
            *({"id": "a", "created": 1, "choices": [{"index": 0, "delta": {**delta, "role": "assistant", "name": "assistant"}}]}
              for delta in ({}, {"reasoning": "hm"}, {"reasoning": " ok"}, {"content": "8"}, {"content": "9"})),
            chunk(finish="stop"),
        ).replace(b"\n", b"\r\n"),
    ),
    "mistral": (
        MIS,
        wire(
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Ü"}]}]}, p="a"),
            *(chunk({"content": each}, p="b" * at) for at, each in enumerate("xyz")),
            {**chunk(tool_delta(0, "{}", id="abcdefghi", name="f"), "tool_calls"), "usage": USAGE},
        ),
    ),
    "dies": (VLL, wire(chunk(ROLE), chunk({"content": "a"}), {"error": {"message": "x", "code": 500}})),
    "ends": (VLL, wire(chunk(ROLE), chunk({"content": "a"}), chunk({"content": "b"}), done=False)),
}  # fmt: skip
REQUEST = chat(stream=True, tools=[TOOL], stream_options={"include_usage": True})


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


@pytest.mark.parametrize("name", SAMPLES)
def test_every_cut_in_two_gives_the_same_stream(name: str) -> None:
    kind, stream = SAMPLES[name]
    whole = outcome(Played(decoder(kind, REQUEST), [stream]))

    for cut in range(1, len(stream)):
        assert whole == outcome(Played(decoder(kind, REQUEST), [stream[:cut], stream[cut:]])), cut


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=50)
@given(cuts=st.lists(st.integers(0, 4000), max_size=30))
def test_any_cuts_give_the_same_stream(name: str, cuts: list[int]) -> None:
    kind, stream = SAMPLES[name]
    marks = [0, *sorted(cuts), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(marks)]

    assert outcome(Played(decoder(kind, REQUEST), [stream])) == outcome(
        Played(decoder(kind, REQUEST), [piece for piece in pieces if piece])
    )


THINKS = {"models": {"m": Model(name="m", split_thinking=True)}}


@pytest.mark.parametrize("finish_apart", [False, True])
@settings(max_examples=150)
@given(
    pieces=st.lists(
        st.sampled_from(["<think>", "</think>", "</thi", "nk>", "a", " ", "\n"]), max_size=8
    ),
    reasoning=st.sampled_from(["", "so "]),
)
def test_tagged_reasoning_streams_as_it_is_read_whole(
    pieces: list[str], reasoning: str, finish_apart: bool
) -> None:
    chunks = [chunk(ROLE), *(chunk({"content": piece}) for piece in pieces)]
    if reasoning:
        chunks.insert(1, chunk({"reasoning_content": reasoning}))
    if finish_apart or not pieces:
        chunks.append(chunk(finish="stop"))
    else:
        chunks[-1]["choices"][0]["finish_reason"] = "stop"
    message = {"role": "assistant", "content": "".join(pieces), "reasoning_content": reasoning}
    body = {**chunk(), "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}

    played = play(VLL, chat(stream=True), *chunks, **THINKS)
    whole, _facts = answered(VLL, chat(), encode(body), **THINKS)

    check_shape(played.events, include_usage=False)
    said = decode(whole)["choices"][0]["message"]
    folded = fold(played.events)[0]
    for key in ("content", "reasoning_content"):
        assert (said[key] or "") == (folded.get(key) or "")


def test_text_behind_the_tags_is_relayed_again() -> None:
    texts = ["<think>", "hm", "</think>", "a", "b", "c"]

    played = play(
        VLL,
        chat(stream=True),
        *(chunk({"content": text}) for text in texts),
        chunk(finish="stop"),
        **THINKS,
    )

    assert ["hm", "a", "b", "c"] == [
        text
        for event in played.events
        for key, text in event["choices"][0]["delta"].items()
        if key != "role"
    ]


# --- a message, and the many ways in which it is streamed

TEXT = st.text(st.sampled_from('ab"\\ \né🙂\u2028{}'), min_size=1, max_size=6)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Give a whole message, as an upstream would send it."""
    message: dict[str, Any] = {"role": "assistant", "content": draw(TEXT | st.just(""))}
    if draw(st.booleans()):
        message["reasoning_content"] = draw(TEXT)
    names = draw(st.lists(st.sampled_from(["f", "g", "get_time"]), max_size=3))
    if names:
        message["tool_calls"] = [
            {
                "id": f"call_{at}",
                "type": "function",
                "function": {"name": name, "arguments": draw(st.sampled_from(["{}", '{"a":"b c"}']))},
            }
            for at, name in enumerate(names)
        ]  # fmt: skip
    return message


@st.composite
def streamed(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Give a message and chunks that say the same, with the oddities of any upstream."""
    message = draw(messages())
    calls = message.get("tool_calls", [])
    repeats_role = draw(st.booleans())
    numbering = draw(st.sampled_from(["dense", "from one", "all nought", "none"]))
    key = draw(st.sampled_from(["reasoning", "reasoning_content"]))
    thoughts = _pieces(draw, message.get("reasoning_content", ""))
    steps: list[dict[str, Any]] = [{key: piece} for piece in thoughts]
    as_list = draw(st.booleans())
    for piece in _pieces(draw, message["content"]):
        listed = as_list and draw(st.booleans())
        steps.append({"content": [{"type": "text", "text": piece}] if listed else piece})
    for at, call in enumerate(calls):
        steps += _call_steps(draw, at, call, numbering)
    first = {"role": "assistant"} if draw(st.booleans()) else {"role": "assistant", "content": ""}
    if steps and draw(st.booleans()):
        steps[0] = {**first, **steps[0]}
    else:
        steps.insert(0, first)
    if repeats_role:
        steps = [{**step, "role": "assistant", "name": "assistant"} for step in steps]
    chunks = [chunk(step) for step in steps]
    if draw(st.booleans()):
        for each in chunks:
            del each["choices"][0]["finish_reason"]
    finish = draw(st.sampled_from(["tool_calls", "stop"])) if calls else "stop"
    if draw(st.booleans()):
        chunks[-1]["choices"][0]["finish_reason"] = finish
    else:
        chunks.append(chunk(draw(st.sampled_from([{}, {"content": ""}])), finish))
    return message, _with_usage(draw, chunks)


def _pieces(draw: st.DrawFn, text: str) -> Sequence[str]:
    marks = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    ends = [0, *marks, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(ends)]


def _call_steps(draw: st.DrawFn, at: int, call: Any, numbering: str) -> list[dict[str, Any]]:
    function = call["function"]
    head = {"id": call["id"], "type": "function"}
    number = {"dense": {"index": at}, "from one": {"index": at + 1}, "all nought": {"index": 0}}
    index = number.get(numbering, {})
    pieces = list(_pieces(draw, function["arguments"]))
    if draw(st.booleans()):
        pieces.insert(0, draw(st.sampled_from(["", None])))
    repeats = draw(st.sampled_from([{}, {"name": ""}, {"name": function["name"]}]))
    # Without a number only an id tells that a named delta goes on with a call.
    again = head if draw(st.booleans()) or (not index and repeats) else {}
    steps = [
        {**index, **head, "function": {"name": function["name"], "arguments": pieces[0]}},
        *({**index, **again, "function": {**repeats, "arguments": piece}} for piece in pieces[1:]),
    ]
    if draw(st.booleans()):
        return [{"tool_calls": steps}]
    return [{"tool_calls": [step]} for step in steps]


def _with_usage(draw: st.DrawFn, chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    match draw(st.sampled_from(["none", "null", "last", "finish", "running"])):
        case "null":
            return [{**each, "usage": None} for each in chunks] + [usage_chunk()]
        case "last":
            return [*chunks, usage_chunk()]
        case "finish":
            return [*chunks[:-1], {**chunks[-1], "usage": USAGE}]
        case "running":
            return [{**each, "usage": USAGE} for each in chunks]
        case _:
            return chunks


@pytest.mark.parametrize("asks", [False, True])
@settings(max_examples=200)
@given(case=streamed(), kind=st.sampled_from(OPENAI_LIKE), done=st.booleans())
def test_a_folded_stream_is_the_whole_answer(
    asks: bool, case: tuple[dict[str, Any], list[dict[str, Any]]], kind: ProviderType, done: bool
) -> None:
    message, chunks = case
    options = {"stream_options": {"include_usage": True}} if asks else {}
    tools = {"tools": [TOOL]} if "tool_calls" in message else {}
    body = {
        **chunk(),
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }

    played = play(kind, chat(stream=True, **tools, **options), *chunks, done=done)
    whole, facts = answered(kind, chat(**tools), encode(body))

    assert played.failure is None
    assert played.done
    check_shape(played.events, include_usage=asks)
    folded = fold(played.events)[0]
    choice = decode(whole)["choices"][0]
    assert choice["finish_reason"] == folded.pop("finish_reason")
    expected = {key: value for key, value in choice["message"].items() if value}
    assert expected == {key: value for key, value in folded.items() if value}
    assert facts.finish_reasons == played.facts.finish_reasons


DELTAS = st.dictionaries(
    st.sampled_from(["role", "content", "reasoning", "name", "tool_calls", "refusal"]),
    st.none() | st.sampled_from(["assistant", "", "a"]),
    max_size=3,
) | st.builds(
    lambda *entries: {"tool_calls": list(entries)},
    *[
        st.fixed_dictionaries(
            {"index": st.sampled_from([0, 1, 3, None])},
            optional={
                "id": st.sampled_from(["a", "b", "", None]),
                "function": st.fixed_dictionaries(
                    {},
                    optional={
                        "name": st.sampled_from(["f", "g", "", None]),
                        "arguments": st.sampled_from(["{", "}", "", None]),
                    },
                ),
            },
        )
    ]
    * 2,
)
FRAMES = st.builds(
    lambda delta, finish, index, usage, identity: {
        **chunk(delta, finish, choice={"index": index}),
        **usage,
        **identity,
    },
    st.none() | DELTAS,
    st.sampled_from([None] * 6 + ["stop", "tool_calls"]),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([{}, {"usage": None}, {"usage": USAGE}]),
    st.sampled_from([{}, {}, {"id": ""}, {"created": 5}, {"model": None}, {"obfuscation": "ab"}]),
)


@settings(max_examples=300)
@given(frames=st.lists(FRAMES, max_size=12), asks=st.booleans(), kind=st.sampled_from(OPENAI_LIKE))
def test_whatever_comes_in_the_shape_is_kept(
    frames: list[dict[str, Any]], asks: bool, kind: ProviderType
) -> None:
    options = {"stream_options": {"include_usage": True}} if asks else {}

    played = play(kind, chat(stream=True, **options), *frames)

    check_shape(played.events, include_usage=asks)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["id", "index", "delta", "choices", "content", "tool_calls", "function", "name", "text",
             "arguments", "usage", "model", "error", "object", "finish_reason", "role", "created"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200)
@given(
    values=st.lists(JSON, max_size=4),
    cut=st.integers(0, 300),
    request_=st.sampled_from([chat(stream=True), completion(stream=True)]),
)
def test_any_json_is_a_batch_never_an_exception(
    values: list[Any], cut: int, request_: Request
) -> None:
    stream = wire(*values, *({"choices": value} for value in values))

    played = Played(decoder(OAI, request_), [stream[:cut] or b": x\n", stream[cut:] or b": y\n"])

    assert played.done or played.failure is not None
