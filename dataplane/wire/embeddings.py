"""Embeddings in the caller's format, for every provider whose own format differs.

Upstreams that speak only of floats, or whose byte order is uncertain, are always asked for
floats; what the caller wanted is made here.
"""

from __future__ import annotations

import base64 as base64_codec
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Final

from dataplane.codec import decode_object, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Answer, Request, Usage
from dataplane.record import replace

_BIG_ENDIAN: Final = sys.byteorder == "big"


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


def split_request(
    request: Request, *, max_items: int | None, max_bytes: int | None
) -> Sequence[Request]:
    """Cut a request's list of texts into requests of at most so many, and of so many bytes.

    shape: one request at least, inputs in order. A text that is longer alone goes alone, and a
    single text, or one of token ids, is never cut. None is no limit.
    """
    given = request.body.get("input")
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        return (request,)
    parts: list[list[str]] = []
    size = 0
    for text in given:
        length = len(text.encode("utf-8", "surrogatepass")) if max_bytes is not None else 0
        full = not parts or (max_items is not None and len(parts[-1]) >= max_items)
        if full or (max_bytes is not None and size + length > max_bytes):
            parts.append([])
            size = 0
        parts[-1].append(text)
        size += length
    if len(parts) < 2:
        return (request,)
    return [replace(request, body={**request.body, "input": part}) for part in parts]


def merge_answers(answers: Sequence[Answer]) -> Answer:
    """Join the answers to the parts of one request: vectors in order, tokens added up.

    `usage` is null if one of them told none. Raises UpstreamFailed (bad_response) if vectors differ
    in length: another model has answered in between.
    """
    sizes = {answer.facts.embedding_dimensions for answer in answers}
    if len(sizes) > 1:
        raise UpstreamFailed(
            ErrorClass.BAD_RESPONSE, "the embeddings of one request differ in length"
        )
    bodies = [decode_object(answer.body) for answer in answers]
    data = [
        {**item, "index": index}
        for index, item in enumerate(item for body in bodies for item in body["data"])
    ]
    facts = replace(
        answers[0].facts,
        usage=_added([answer.facts.usage for answer in answers]),
        warnings=list(dict.fromkeys(text for each in answers for text in each.facts.warnings)),
    )
    usage = None
    if facts.usage is not None:
        tokens = facts.usage.input_tokens
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Answer(body=encode({**bodies[0], "data": data, "usage": usage}), facts=facts)


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


def _added(usages: Sequence[Usage | None]) -> Usage | None:
    tokens = 0
    for usage in usages:
        if usage is None or usage.input_tokens is None:
            return None
        tokens += usage.input_tokens
    return Usage(input_tokens=tokens)


def _checked_vector(value: Any) -> list[float]:
    # An array takes lists and strings of any kind of number-like thing; strings are not wanted.
    if not isinstance(value, list):
        raise TypeError("not a list")
    return array("d", value).tolist()


def _little_endian(values: array[float]) -> array[float]:
    if _BIG_ENDIAN:
        values.byteswap()
    return values
