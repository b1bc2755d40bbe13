"""Checks a chat completions request, and brings it into canonical form.

Source: OpenAI API reference, create chat completion, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from dataplane.provider import Feature, Operation, Request
from dataplane.wire.checks import (
    Check,
    boolean,
    check_fields,
    choice,
    label,
    mapping,
    missing,
    name,
    sequence,
    whole,
    without_nulls,
)
from dataplane.wire.plain_request import read_plain
from dataplane.wire.request_fields import SAMPLING, model_name, open_body, take_stop, take_stream
from dataplane.wire.request_messages import check_messages
from dataplane.wire.request_tools import take_legacy, take_tools

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The words of `reasoning_effort`, from the least."""

_FORMATS: Final = frozenset({"text", "json_object", "json_schema"})


def parse_chat(body: bytes) -> Request:
    """Check the body of a chat completions request. Total: a Request, or RequestRejected."""
    return read_plain(body) or parse_any_chat(body)


def parse_any_chat(body: bytes) -> Request:
    """Check it the usual way, plain or not."""
    fields = open_body(body)
    model = model_name(fields)
    if "messages" not in fields:
        raise missing("messages")
    features = {Feature.CHAT}
    fields["messages"] = check_messages(fields["messages"], features)
    check_fields(fields, _FIELDS)
    stream, include_usage = take_stream(fields)
    take_stop(fields)
    legacy = take_legacy(fields)
    tools = take_tools(fields)
    features |= tools.features
    features |= _take_format(fields)
    features |= _wanted(fields)
    if "max_completion_tokens" in fields:
        fields.pop("max_tokens", None)
    return Request(
        operation=Operation.CHAT,
        model=model,
        body=fields,
        stream=stream,
        include_usage=include_usage,
        legacy_functions=legacy,
        forced_tool=tools.forced,
        features=frozenset(features),
        pinned=_names_a_file(fields["messages"]),
    )


def _names_a_file(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether checked messages refer to a file that was uploaded to a provider before."""
    return any(
        part["type"] == "file" and "file_id" in part["file"]
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )


def _modalities(value: Any, param: str) -> object:
    for index, modality in enumerate(sequence(value, param, least=1, most=8)):
        choice(modality, f"{param}[{index}]", among={"text", "audio"})
    return value


_FIELDS: Final[Mapping[str, Check]] = {
    **SAMPLING,
    "max_completion_tokens": partial(whole, low=1),
    "logprobs": boolean,
    "top_logprobs": partial(whole, low=0, high=20),
    "reasoning_effort": partial(choice, among=EFFORTS),
    "verbosity": partial(choice, among=("low", "medium", "high")),
    "modalities": _modalities,
    "audio": mapping,
    "metadata": mapping,
    "prediction": mapping,
    "web_search_options": mapping,
    "store": boolean,
    "service_tier": label,
    "safety_identifier": label,
    "prompt_cache_key": label,
}


def _take_format(fields: dict[str, Any]) -> set[Feature]:
    if "response_format" not in fields:
        return set()
    param = "response_format"
    wanted = without_nulls(mapping(fields[param], param))
    fields[param] = wanted
    if "type" not in wanted:
        raise missing(f"{param}.type")
    match choice(wanted["type"], f"{param}.type", among=_FORMATS):
        case "json_object":
            return {Feature.JSON_OBJECT}
        case "json_schema":
            wanted["json_schema"] = _schema(wanted, f"{param}.json_schema")
            return {Feature.JSON_SCHEMA}
        case _:
            return set()


def _schema(wanted: Mapping[str, Any], param: str) -> dict[str, Any]:
    if "json_schema" not in wanted:
        raise missing(param)
    described = without_nulls(mapping(wanted["json_schema"], param))
    if "name" not in described:
        raise missing(f"{param}.name")
    name(described["name"], f"{param}.name")
    if "schema" in described:
        mapping(described["schema"], f"{param}.schema")
    if "strict" in described:
        boolean(described["strict"], f"{param}.strict")
    return described


def _wanted(fields: Mapping[str, Any]) -> set[Feature]:
    """Tell what the top-level fields need of a target."""
    features = set()
    if fields.get("logprobs") or fields.get("top_logprobs"):
        features.add(Feature.LOGPROBS)
    if fields.get("n", 1) > 1:
        features.add(Feature.MULTIPLE_CHOICES)
    if "audio" in fields or "audio" in fields.get("modalities", ()):
        features.add(Feature.AUDIO_OUTPUT)
    if fields.get("reasoning_effort", "none") != "none":
        features.add(Feature.REASONING)
    return features
