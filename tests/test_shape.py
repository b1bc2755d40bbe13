"""The judge of shapes finds what is wrong: each rule, broken once."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests import shape

Chunks = list[dict[str, Any]]


def chunk(delta: Any = None, finish: str | None = None, **choice: Any) -> dict[str, Any]:
    said = {"index": 0, "delta": delta or {}, "finish_reason": finish, **choice}
    top = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**top, "choices": [said]}


def call(index: int, **more: Any) -> dict[str, Any]:
    return {"index": index, **more}


def first(index: int, arguments: str = "") -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return call(index, id=f"call_{index}", type="function", function=function)


GOOD: Chunks = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "hm"}),
    chunk({"content": "Hi"}),
    chunk({"tool_calls": [first(0)]}),
    chunk({"tool_calls": [call(0, function={"arguments": "{}"})]}),
    chunk({"tool_calls": [first(1, "{}")]}),
    chunk({}, "tool_calls"),
]
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
ANSWER: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi"},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
ERROR = {"error": {"message": "no", "type": "server_error", "param": None, "code": None}}


def written(chunks: Chunks, *, done: bool = True) -> bytes:
    events = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks)
    return events + (shape.DONE if done else b"")


def with_usage(chunks: Chunks) -> Chunks:
    last = {**chunk(), "choices": [], "usage": USAGE}
    return [*({**each, "usage": None} for each in chunks), last]


def delta_of(chunks: Chunks, at: int) -> dict[str, Any]:
    found: dict[str, Any] = chunks[at]["choices"][0]["delta"]
    return found


def test_good_ones_pass() -> None:
    plain = shape.stream_complaints(written(GOOD), "m", asked_usage=False)
    asked = shape.stream_complaints(written(with_usage(GOOD)), "m", asked_usage=True)
    dead = written([*GOOD[:3], ERROR], done=False)

    assert [[], [], []] == [plain, asked, shape.answer_complaints(json.dumps(ANSWER).encode(), "m")]
    assert [] == shape.stream_complaints(dead, "m", asked_usage=False, dies=True)
    assert set() == shape.foreign_keys([*GOOD, ANSWER])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: c[2].update(id="c2"), "id changes"),
        (lambda c: c[2].update(created=2), "created changes"),
        (lambda c: c[2].update(model="gpt"), "model is 'gpt'"),
        (lambda c: c[0].update(object="x"), "object is 'x'"),
        (lambda c: delta_of(c, 2).update(role="assistant"), "a role comes again"),
        (lambda c: delta_of(c, 0).pop("role"), "a role is missing"),
        (lambda c: delta_of(c, 2).update(content=["Hi"]), "content is a list"),
        (lambda c: delta_of(c, 2).update(reasoning="hm"), "reasoning is not the name"),
        (lambda c: delta_of(c, 3)["tool_calls"][0].update(index=1), "call 0 has index 1"),
        (lambda c: delta_of(c, 4)["tool_calls"][0].update(id="call_0"), "call 1 has index 0"),
        (
            lambda c: delta_of(c, 4)["tool_calls"][0]["function"].update(name="f"),
            "repeats something",
        ),
        (
            lambda c: delta_of(c, 4)["tool_calls"][0]["function"].update(arguments=None),
            "arguments of a delta are None",
        ),
        (lambda c: delta_of(c, 5).update(tool_calls=[]), "tool_calls of a delta is empty"),
        (lambda c: c.pop(4), "arguments are no JSON object"),
        (lambda c: c.append(chunk({"content": "more"})), "something follows the finish"),
        (lambda c: c.append(chunk({}, "stop")), "something follows the finish"),
        (lambda c: c.pop(), "no finish_reason"),
        (lambda c: c[6]["choices"][0].update(finish_reason="eos"), "finish_reason is 'eos'"),
        (lambda c: c[2]["choices"][0].pop("finish_reason"), "finish_reason is missing"),
        (lambda c: c[2].update(usage=None), "usage key that was not asked for"),
        (lambda c: c.append({**chunk(), "choices": []}), "without choices"),
        (lambda c: c.insert(3, ERROR), "is an error"),
        (
            lambda c: delta_of(c, 2).update(switchgear={"origin": {"type": "a", "model": "b"}}),
            "side data",
        ),
    ],
)
def test_a_stream_with_a_fault_is_found_out(spoil: Callable[[Chunks], Any], words: str) -> None:
    chunks = deepcopy(GOOD)
    spoil(chunks)

    found = shape.stream_complaints(written(chunks), "m", asked_usage=False)

    assert any(words in each for each in found), found


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: c[2].pop("usage"), "usage is 'missing'"),
        (lambda c: c[2].update(usage=USAGE), "not null"),
        (lambda c: c.pop(), "the last chunk is not the usage"),
        (lambda c: c.insert(0, c.pop()), "not the last"),
        (lambda c: c[-1].update(usage={**USAGE, "total_tokens": 9}), "does not add up"),
    ],
)
def test_usage_with_a_fault_is_found_out(spoil: Callable[[Chunks], Any], words: str) -> None:
    chunks = deepcopy(with_usage(GOOD))
    spoil(chunks)

    found = shape.stream_complaints(written(chunks), "m", asked_usage=True)

    assert any(words in each for each in found), found


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (written(GOOD, done=False), "the end mark is missing"),
        (b"event: x\n" + written(GOOD), "not one line of data"),
        (b": ping\n\n" + written(GOOD), "not one line of data"),
    ],
)
def test_framing_with_a_fault_is_found_out(raw: bytes, words: str) -> None:
    found = list(shape._framing(raw))
    if not found:
        found = shape.stream_complaints(raw, "m", asked_usage=False)

    assert any(words in each for each in found), found


def test_a_dead_stream_has_an_error_and_no_end_mark() -> None:
    ended = written([*GOOD[:3], ERROR])
    silent = written(GOOD[:3], done=False)

    for raw in (ended, silent):
        assert shape.stream_complaints(raw, "m", asked_usage=False, dies=True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: a.pop("id"), "id is None"),
        (lambda a: a.update(created=1.5), "created is 1.5"),
        (lambda a: a.pop("usage"), "no usage"),
        (lambda a: a["choices"][0].update(finish_reason="end_turn"), "finish_reason 'end_turn'"),
        (lambda a: a["choices"][0].update(finish_reason="tool_calls"), "without a call"),
        (lambda a: a["choices"][0]["message"].pop("content"), "no content"),
        (lambda a: a["choices"][0]["message"].update(tool_calls=[]), "tool_calls is empty"),
        (
            lambda a: a["choices"][0]["message"].update(tool_calls=[first(0), first(0)]),
            "ids of calls",
        ),
        (lambda a: a["choices"][0]["message"].update(reasoning="hm"), "reasoning is not the name"),
    ],
)
def test_an_answer_with_a_fault_is_found_out(
    spoil: Callable[[dict[str, Any]], Any], words: str
) -> None:
    answer = deepcopy(ANSWER)
    spoil(answer)

    found = shape.answer_complaints(json.dumps(answer).encode(), "m")

    assert any(words in each for each in found), found


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (418, {}, ERROR),
        (400, {}, ERROR),
        (502, {"x-should-retry": ""}, ERROR),
        (502, {}, {"error": {"message": "no", "type": "server_error"}}),
        (502, {}, {"error": "no"}),
        (502, {}, {**ERROR, "type": "error"}),
        (502, {"content-type": "text/html"}, ERROR),
        (502, {"x-request-id": ""}, ERROR),
    ],
)
def test_an_error_with_a_fault_is_found_out(
    status: int, headers: dict[str, str], body: Any
) -> None:
    good = {
        "content-type": "application/json",
        "x-request-id": "r",
        "x-should-retry": "false",
    }
    raw = json.dumps(body).encode()

    assert [] == shape.error_complaints(502, good, json.dumps(ERROR).encode())
    assert shape.error_complaints(status, {**good, **headers}, raw)


def test_vectors_with_a_fault_are_found_out() -> None:
    entry = {"object": "embedding", "index": 0, "embedding": [0.5]}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    good = {"object": "list", "model": "m", "data": [entry], "usage": usage}

    def judged(document: Any, count: int = 1, *, base64: bool = False) -> list[str]:
        return shape.vectors_complaints(json.dumps(document).encode(), "m", count, base64=base64)

    assert [] == judged(good)
    assert judged(good, 2)
    assert judged(good, base64=True)
    assert judged({**good, "model": "x"})
    assert judged({**good, "usage": None})


def test_keys_that_nobody_knows_are_named() -> None:
    odd = {**ANSWER, "x_vendor": 1, "usage": {**USAGE, "x": 1}}
    odd["choices"] = [{**ANSWER["choices"][0], "stop_reason": None}]

    assert {"x_vendor", "usage.x", "choices.stop_reason"} == shape.foreign_keys([odd])


def test_the_grammar_of_a_stream() -> None:
    words = shape.grammar(with_usage(GOOD))

    assert [
        "role",
        "reasoning_content",
        "content",
        "call",
        "arguments",
        "call",
        "arguments",
        "finish",
        "usage",
    ] == words
