"""What all operations' requests have in common: the envelope, the model, streams, sampling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from dataplane.codec import DecodeError, decode
from dataplane.errors import RequestRejected
from dataplane.wire.checks import (
    INT64_MAX,
    Check,
    boolean,
    label,
    mapping,
    missing,
    number,
    quoted,
    sequence,
    text,
    whole,
    without_nulls,
    wrong_type,
    wrong_value,
)

MAX_MODEL_NAME: Final = 256
"""Characters of a model's name."""

_MAX_STOPS: Final = 64
_MAX_BIASES: Final = 10_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def open_body(body: bytes) -> dict[str, Any]:
    """Decode a request's body and drop null members. Raises RequestRejected.

    The result is fresh, so that whoever gets it may change it.
    """
    try:
        value = decode(body)
    except DecodeError as error:
        raise RequestRejected(f"the body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestRejected("the body must be a JSON object")
    return without_nulls(value)


def model_name(fields: Mapping[str, Any]) -> str:
    """Return the model that the caller asks for."""
    if "model" not in fields:
        raise missing("model")
    found = text(fields["model"], "model")
    if not 0 < len(found) <= MAX_MODEL_NAME:
        raise wrong_value("model", f"must have 1 to {MAX_MODEL_NAME} characters")
    if _CONTROL.search(found):
        raise wrong_value("model", f"{quoted(found)} holds a control character")
    return found


def take_stream(fields: dict[str, Any]) -> tuple[bool, bool]:
    """Check `stream` and `stream_options`; return whether to stream, and whether with usage."""
    stream = boolean(fields.get("stream", False), "stream")
    if "stream_options" not in fields:
        return stream, False
    if not stream:
        raise wrong_value("stream_options", "is only allowed when stream is true")
    options = without_nulls(mapping(fields["stream_options"], "stream_options"))
    fields["stream_options"] = options
    usage = boolean(options.get("include_usage", False), "stream_options.include_usage")
    return stream, usage


def take_stop(fields: dict[str, Any]) -> None:
    """Make `stop` a list of texts that are not empty; an empty list is absent."""
    if "stop" not in fields:
        return
    value = fields.pop("stop")
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list):
        raise wrong_type("stop", "a string or a list of strings")
    for index, stop in enumerate(sequence(stops, "stop", most=_MAX_STOPS)):
        if not text(stop, f"stop[{index}]"):
            raise wrong_value(f"stop[{index}]", "must not be empty")
    if stops:
        fields["stop"] = stops


def logit_bias(value: Any, param: str) -> object:
    """Check a map from tokens to numbers."""
    biases = mapping(value, param)
    if len(biases) > _MAX_BIASES:
        raise wrong_value(param, f"has {len(biases)} entries, at most {_MAX_BIASES} are allowed")
    for bias in biases.values():
        number(bias, param, low=-100, high=100)
    return biases


SAMPLING: Final[Mapping[str, Check]] = {
    "temperature": partial(number, low=0, high=2),
    "top_p": partial(number, low=0, high=1),
    "presence_penalty": partial(number, low=-2, high=2),
    "frequency_penalty": partial(number, low=-2, high=2),
    "n": partial(whole, low=1, high=128),
    "max_tokens": partial(whole, low=1, high=INT64_MAX),
    "seed": whole,
    "logit_bias": logit_bias,
    "user": label,
}
"""The fields that chat and text completions share, each with its check."""
