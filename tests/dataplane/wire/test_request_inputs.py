"""Embeddings and text completions: their inputs and their few fields."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.provider import Feature, Operation
from tests.dataplane.wire.requests import completion, embeddings, rejection

F = Feature
BIG = 2**63


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("text", False),
        (["a", "b"], False),
        (["a"] * 2048, False),
        ([1, 2, 0], True),
        ([1] * 5000, True),
        ([[1], [2, 3]], True),
        ([[1]] * 2048, True),
    ],
)
def test_inputs_are_taken_in_four_shapes(value: Any, tokens: bool) -> None:
    embedded, completed = embeddings(input=value), completion(prompt=value)

    assert value == embedded.body["input"]
    assert value == completed.body["prompt"]
    assert tokens is (F.TOKEN_INPUT in embedded.features)
    assert tokens is (F.TOKEN_INPUT in completed.features)


BAD_INPUTS: list[tuple[Any, str, str]] = [
    (None, "", "missing_required_parameter"),
    (7, "", "invalid_type"),
    ({}, "", "invalid_type"),
    (True, "", "invalid_type"),
    ([], "", "invalid_value"),
    (["a"] * 2049, "", "invalid_value"),
    ([[1]] * 2049, "", "invalid_value"),
    ([None], "[0]", "invalid_type"),
    ([True], "[0]", "invalid_type"),
    ([1.5], "[0]", "invalid_type"),
    (["a", 1], "[1]", "invalid_type"),
    (["a", ["b"]], "[1]", "invalid_type"),
    ([1, "a"], "[1]", "invalid_type"),
    ([1, True], "[1]", "invalid_type"),
    ([1, -1], "[1]", "invalid_value"),
    ([1, BIG], "[1]", "invalid_value"),
    ([[1], []], "[1]", "invalid_value"),
    ([[1], 2], "[1]", "invalid_type"),
    ([["a"]], "[0][0]", "invalid_type"),
    ([[1, -5]], "[0][1]", "invalid_value"),
]


@pytest.mark.parametrize(("value", "place", "code"), BAD_INPUTS)
def test_bad_inputs_are_refused_by_path(value: Any, place: str, code: str) -> None:
    embedded = rejection(embeddings, input=value)
    completed = rejection(completion, prompt=value)

    assert ("input" + place, code) == (embedded.param, embedded.code)
    assert ("prompt" + place, code) == (completed.param, completed.code)


def test_nothing_can_be_completed_but_not_embedded() -> None:
    assert "" == completion(prompt="").body["prompt"]
    assert ["", "a"] == completion(prompt=["", "a"]).body["prompt"]
    assert "input" == rejection(embeddings, input="").param
    assert "input[1]" == rejection(embeddings, input=["a", ""]).param


def test_an_embeddings_request_is_read() -> None:
    request = embeddings(dimensions=256, user="u", encoding_format=None, future=1)

    assert Operation.EMBEDDINGS is request.operation
    assert {
        "model": "m",
        "input": "text",
        "dimensions": 256,
        "user": "u",
        "future": 1,
    } == request.body
    assert frozenset({F.EMBEDDINGS, F.DIMENSIONS}) == request.features
    assert not request.base64
    assert not request.stream


@pytest.mark.parametrize(("encoding", "base64"), [("float", False), ("base64", True)])
def test_the_encoding_of_vectors_is_kept(encoding: str, base64: bool) -> None:
    request = embeddings(encoding_format=encoding)

    assert base64 is request.base64
    assert encoding == request.body["encoding_format"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 1.0}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
        ({"dimensions": BIG}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"encoding_format": []}, "encoding_format"),
        ({"user": 1}, "user"),
    ],
)
def test_bad_fields_of_embeddings_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    assert param == rejection(embeddings, **fields).param


def test_a_completion_request_is_read() -> None:
    request = completion(
        stream=True,
        stream_options={"include_usage": True},
        stop="x",
        n=2,
        best_of=2,
        logprobs=0,
        echo=True,
        suffix="",
        max_tokens=3,
    )

    assert Operation.COMPLETION is request.operation
    assert (True, True) == (request.stream, request.include_usage)
    assert ["x"] == request.body["stop"]
    assert frozenset({F.COMPLETIONS, F.LOGPROBS, F.MULTIPLE_CHOICES}) == request.features


def test_a_plain_completion_needs_nothing_else() -> None:
    assert frozenset({F.COMPLETIONS}) == completion(n=1, best_of=1).features


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"best_of": 0}, "best_of"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"echo": 1}, "echo"),
        ({"suffix": 1}, "suffix"),
        ({"stop": [""]}, "stop[0]"),
        ({"stream_options": {}}, "stream_options"),
    ],
)
def test_bad_fields_of_completions_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    assert param == rejection(completion, **fields).param
