"""Checks an embeddings request.

Source: OpenAI API reference, create embeddings, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from dataplane.provider import Feature, Operation, Request
from dataplane.wire.checks import Check, check_fields, choice, label, missing, whole
from dataplane.wire.request_fields import model_name, open_body
from dataplane.wire.request_inputs import has_tokens

_FIELDS: Final[Mapping[str, Check]] = {
    "dimensions": partial(whole, low=1),
    "encoding_format": partial(choice, among=("float", "base64")),
    "user": label,
}


def parse_embeddings(body: bytes) -> Request:
    """Check the body of an embeddings request. Total: a Request, or RequestRejected."""
    fields = open_body(body)
    model = model_name(fields)
    if "input" not in fields:
        raise missing("input")
    check_fields(fields, _FIELDS)
    features = {Feature.EMBEDDINGS}
    if has_tokens(fields["input"], "input", allow_empty=False):
        features.add(Feature.TOKEN_INPUT)
    if "dimensions" in fields:
        features.add(Feature.DIMENSIONS)
    return Request(
        operation=Operation.EMBEDDINGS,
        model=model,
        body=fields,
        base64=fields.get("encoding_format") == "base64",
        features=frozenset(features),
    )
