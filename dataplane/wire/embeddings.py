"""Embeddings in the caller's format, for every provider whose own format differs.

Upstreams that speak only of floats, or whose byte order is uncertain, are always asked for
floats; what the caller wanted is made here.
"""

from __future__ import annotations

import base64 as base64_codec
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from dataplane.codec import encode

_BIG_ENDIAN = sys.byteorder == "big"


def embeddings_body(
    vectors: Sequence[Sequence[float]],
    *,
    model: str,
    input_tokens: int | None,
    base64: bool,
) -> bytes:
    """Build the JSON body of an embeddings answer, one entry a vector, in the order given.

    shape: `{"object":"list","data":[{"object":"embedding","index":0,"embedding":...}],"model",
    "usage"}`; an embedding is a list of floats, or with `base64` the text of encode_vector.
    `usage` is null if `input_tokens` is None: no totals are invented.

    Source: OpenAI API reference, "Create embeddings", read 2026-11-22.
    """
    usage = None
    if input_tokens is not None:
        usage = {"prompt_tokens": input_tokens, "total_tokens": input_tokens}
    return encode(
        {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": encode_vector(vector) if base64 else vector,
                }
                for index, vector in enumerate(vectors)
            ],
            "model": model,
            "usage": usage,
        }
    )


def encode_vector(vector: Sequence[float]) -> str:
    """Write a vector as base64 of little-endian float32, without line breaks.

    Values are rounded to float32. Raises TypeError if one is not a number.
    """
    return base64_codec.b64encode(_little_endian(array("f", vector)).tobytes()).decode("ascii")


def decode_base64_vector(text: str) -> list[float]:
    """Read what encode_vector writes. Raises ValueError if it is not base64 of whole float32s."""
    raw = base64_codec.b64decode(text, validate=True)
    values = array("f")
    values.frombytes(raw)
    return _little_endian(values).tolist()


def checked_vectors(value: Any) -> list[list[float]]:
    """Narrow decoded JSON to vectors. Raises ValueError if it is not a list of lists of numbers."""
    if not isinstance(value, list):
        raise ValueError("the embeddings are not a list")  # noqa: TRY004 - one path for bad input
    try:
        return [_checked_vector(item) for item in value]
    except TypeError as error:
        raise ValueError("an embedding is not a list of numbers") from error


def _checked_vector(value: Any) -> list[float]:
    # An array takes lists and strings of any kind of number-like thing; strings are not wanted.
    if not isinstance(value, list):
        raise TypeError("not a list")
    return array("d", value).tolist()


def _little_endian(values: array[float]) -> array[float]:
    if _BIG_ENDIAN:
        values.byteswap()
    return values
