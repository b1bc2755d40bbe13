import base64
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.codec import decode
from dataplane.wire.embeddings import (
    checked_vectors,
    decode_base64_vector,
    embeddings_body,
    encode_vector,
)

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
