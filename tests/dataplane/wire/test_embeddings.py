import base64
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.codec import decode, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Answer, ResponseFacts, Usage
from dataplane.wire.embeddings import (
    checked_vectors,
    decode_base64_vector,
    embeddings_body,
    encode_vector,
    merge_answers,
    split_request,
)
from tests.dataplane.wire.openai_kit import embeddings

FLOATS32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def test_floats_go_out_as_they_came_one_entry_a_vector() -> None:
    body = embeddings_body([[0.1, -2.0], [3.0, 4.5]], model="route", input_tokens=7, base64=False)

    assert {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.1, -2.0]},
            {"object": "embedding", "index": 1, "embedding": [3.0, 4.5]},
        ],
        "model": "route",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    } == decode(body)


def test_base64_is_of_little_endian_float32() -> None:
    body = embeddings_body([[1.0, -0.5]], model="route", input_tokens=1, base64=True)

    text = decode(body)["data"][0]["embedding"]
    assert struct.pack("<2f", 1.0, -0.5) == base64.b64decode(text, validate=True)


def test_unknown_usage_is_null_and_not_zero() -> None:
    body = embeddings_body([[1.0]], model="route", input_tokens=None, base64=False)

    assert decode(body)["usage"] is None


@settings(max_examples=100)
@given(st.lists(FLOATS32, max_size=50))
def test_a_vector_of_float32_survives_base64(vector: list[float]) -> None:
    assert vector == decode_base64_vector(encode_vector(vector))


@pytest.mark.parametrize("big_endian_machine", [True, False])
def test_the_byte_order_is_that_of_the_wire_on_any_machine(
    monkeypatch: pytest.MonkeyPatch, big_endian_machine: bool
) -> None:
    """On a machine of the other order the bytes come out swapped, and are read back swapped."""
    import sys

    from dataplane.wire import embeddings

    swapped = (sys.byteorder == "big") != big_endian_machine
    monkeypatch.setattr(embeddings, "_BIG_ENDIAN", big_endian_machine)
    text = encode_vector([1.0])

    assert struct.pack(">f" if swapped else "<f", 1.0) == base64.b64decode(text)
    assert [1.0] == decode_base64_vector(text)


@pytest.mark.parametrize("text", ["AAAA", "A", "not base64!", "AACAPw=="[:-1]])
def test_what_is_not_base64_of_whole_floats_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_base64_vector(text)


def test_a_vector_of_something_else_cannot_be_encoded() -> None:
    with pytest.raises(TypeError):
        encode_vector(["1"])  # type: ignore[list-item]


def test_lists_of_lists_of_numbers_are_vectors() -> None:
    assert [[1.0, 2.5], []] == checked_vectors([[1, 2.5], []])


@pytest.mark.parametrize("value", [None, {}, "x", [1.0], ["ab"], [["1"]], [[None]], [[[1.0]]]])
def test_anything_else_is_no_vectors(value: object) -> None:
    with pytest.raises(ValueError, match="not a list"):
        checked_vectors(value)


# --- section 15: batches


@pytest.mark.parametrize(
    ("texts", "items", "most", "expected"),
    [
        (["a", "b", "c"], 2, None, [["a", "b"], ["c"]]),
        (["a", "b"], 2, None, [["a", "b"]]),
        (["aa", "b", "c"], None, 2, [["aa"], ["b", "c"]]),
        (["a", "bbbb", "c"], None, 2, [["a"], ["bbbb"], ["c"]]),
        (["\u00e9", "b"], None, 2, [["\u00e9"], ["b"]]),
        (["a", "b", "c"], 2, 1, [["a"], ["b"], ["c"]]),
        (["a"] * 3, None, None, [["a"] * 3]),
    ],
)
def test_a_batch_is_cut_by_inputs_and_by_bytes(
    texts: list[str], items: int | None, most: int | None, expected: list[list[str]]
) -> None:
    request = embeddings(input=texts, dimensions=8)

    parts = split_request(request, max_items=items, max_bytes=most)

    assert expected == [part.body["input"] for part in parts]
    assert all({**request.body, "input": part.body["input"]} == part.body for part in parts)


@pytest.mark.parametrize("given", ["abc", [1, 2, 3], [[1], [2]]])
def test_what_is_one_input_or_tokens_is_never_cut(given: object) -> None:
    request = embeddings(input=given)

    assert (request,) == tuple(split_request(request, max_items=1, max_bytes=1))


def answered(*vectors: list[float], tokens: int | None = 3, **facts: object) -> Answer:
    usage = None if tokens is None else Usage(input_tokens=tokens)
    data = [{"object": "embedding", "index": at, "embedding": v} for at, v in enumerate(vectors)]
    body = {"object": "list", "data": data, "model": "route", "usage": {"prompt_tokens": tokens}}
    told = ResponseFacts(usage=usage, embedding_dimensions=len(vectors[0]), **facts)  # type: ignore[arg-type]
    return Answer(body=encode(body), facts=told)


def test_answers_are_joined_in_order_and_tokens_added_up() -> None:
    first = answered([1.0], [2.0], warnings=["mapped:model"], response_model="m")

    merged = merge_answers([first, answered([3.0], tokens=4, warnings=["mapped:model"])])

    body = decode(merged.body)
    assert [(0, [1.0]), (1, [2.0]), (2, [3.0])] == [
        (item["index"], item["embedding"]) for item in body["data"]
    ]
    assert {"prompt_tokens": 7, "total_tokens": 7} == body["usage"]
    assert ("route", "list") == (body["model"], body["object"])
    assert Usage(input_tokens=7) == merged.facts.usage
    assert ("m", 1, ["mapped:model"]) == (
        merged.facts.response_model,
        merged.facts.embedding_dimensions,
        merged.facts.warnings,
    )


def test_tokens_that_one_answer_does_not_tell_are_not_made_up() -> None:
    merged = merge_answers([answered([1.0]), answered([2.0], tokens=None)])

    assert decode(merged.body)["usage"] is None
    assert merged.facts.usage is None


def test_vectors_of_different_length_are_no_answer() -> None:
    with pytest.raises(UpstreamFailed) as caught:
        merge_answers([answered([1.0]), answered([1.0, 2.0])])

    assert ErrorClass.BAD_RESPONSE is caught.value.error
