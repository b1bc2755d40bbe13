"""Checks a text completions request, and brings it into canonical form.

Source: OpenAI API reference, create completion (legacy), read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from dataplane.provider import Feature, Operation, Request
from dataplane.wire.checks import (
    Check,
    boolean,
    check_fields,
    missing,
    text,
    whole,
    wrong_value,
)
from dataplane.wire.request_fields import SAMPLING, model_name, open_body, take_stop, take_stream
from dataplane.wire.request_inputs import has_tokens

_FIELDS: Final[Mapping[str, Check]] = {
    **SAMPLING,
    "logprobs": partial(whole, low=0, high=20),
    "best_of": partial(whole, low=1, high=128),
    "echo": boolean,
    "suffix": text,
}


def parse_completion(body: bytes) -> Request:
    """Check the body of a text completions request. Total: a Request, or RequestRejected."""
    fields = open_body(body)
    model = model_name(fields)
    if "prompt" not in fields:
        raise missing("prompt")
    check_fields(fields, _FIELDS)
    stream, include_usage = take_stream(fields)
    take_stop(fields)
    if fields.get("best_of", fields.get("n", 1)) < fields.get("n", 1):
        raise wrong_value("best_of", "must not be less than n")
    return Request(
        operation=Operation.COMPLETION,
        model=model,
        body=fields,
        stream=stream,
        include_usage=include_usage,
        features=_wanted(fields),
    )


def _wanted(fields: Mapping[str, Any]) -> frozenset[Feature]:
    features = {Feature.COMPLETIONS}
    if has_tokens(fields["prompt"], "prompt", allow_empty=True):
        features.add(Feature.TOKEN_INPUT)
    if "logprobs" in fields:
        features.add(Feature.LOGPROBS)
    if fields.get("n", 1) > 1:
        features.add(Feature.MULTIPLE_CHOICES)
    return frozenset(features)
