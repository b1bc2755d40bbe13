"""What Bedrock refuses: shapes by botocore's own model of the API, and rules that it does not know.

`Refused` is what AWS would answer with a 400.

Source of the rules: Amazon Bedrock API reference, "Converse", and the user guide's pages on tool use and
models, read 2026-11-22.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

_ALLOWED_IN_NAMES = re.compile(r"[A-Za-z0-9\[\]()-]+(?: [A-Za-z0-9\[\]()-]+)*")
_SIGNATURES = {
    "png": b"\x89PNG",
    "jpeg": b"\xff\xd8\xff",
    "gif": b"GIF8",
    "webp": b"RIFF",
}
_FORCES = re.compile(r"anthropic\.|amazon\.nova|mistral\.mistral-large")
_NO_SYSTEM = re.compile(r"titan-text|mistral-7b|mixtral")
_SAMPLES_NOT = re.compile(r"claude-(?:opus-4-[78]|sonnet-5|opus-5|haiku-5|fable|mythos)")
_CLAUDE_ADAPTIVE = re.compile(r"claude-(?:\w+-4-[6-9]|\w+-5)")


class Refused(Exception):  # noqa: N818 - says what happened
    """A ValidationException."""


@cache
def service(name: str = "bedrock-runtime") -> ServiceModel:
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


def check_converse(model: str, body: Mapping[str, Any], *, stream: bool = False) -> None:
    """Raise Refused for a body that Bedrock would not take."""
    operation = service().operation_model("ConverseStream" if stream else "Converse")
    shape = operation.input_shape
    report = ParamValidator().validate({**body, "modelId": model}, shape)
    if report.has_errors():
        raise Refused(report.generate_report())
    _walk(shape, {**body, "modelId": model}, "")
    messages = body.get("messages") or []
    _check_turns(messages)
    _check_tools(messages, body.get("toolConfig"))
    _check_documents(messages)
    _check_model(model, body)


def _walk(shape: Shape, value: Any, path: str) -> None:
    """Check what botocore leaves to the service: enumerations, patterns, lengths, base64."""
    meta = shape.metadata
    match shape.type_name:
        case "structure" if not getattr(shape, "is_document_type", False):
            for name, inner in value.items():
                _walk(shape.members[name], inner, f"{path}.{name}")
        case "list":
            for index, inner in enumerate(value):
                _walk(shape.member, inner, f"{path}[{index}]")
        case "map":
            for name, inner in value.items():
                _walk(shape.key, name, f"{path}.{name}")
                _walk(shape.value, inner, f"{path}.{name}")
        case "string":
            if "enum" in meta and value not in meta["enum"]:
                raise Refused(f"{path}: {value!r} is not one of {meta['enum']}")
            if "pattern" in meta and not re.fullmatch(meta["pattern"], value):
                raise Refused(f"{path}: {value!r} does not match {meta['pattern']}")
        case "blob":
            if not isinstance(value, str):
                raise Refused(f"{path}: not base64")
            base64.b64decode(value, validate=True)
    if "max" in meta:
        size = value if shape.type_name in {"integer", "float", "long"} else len(value)
        if size > meta["max"]:
            raise Refused(f"{path}: {size} is greater than {meta['max']}")


def _check_turns(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages or messages[0]["role"] != "user":
        raise Refused("A conversation must start with a user message.")
    for before, after in itertools.pairwise(messages):
        if before["role"] == after["role"]:
            raise Refused("A conversation must alternate between user and assistant roles.")
    for index, message in enumerate(messages):
        if not message["content"]:
            raise Refused(f"messages.{index}.content is empty")
        for block in message["content"]:
            inner = block.get("toolResult", {}).get("content", [])
            for each in (block, *inner):
                if "text" in each and not each["text"].strip():
                    raise Refused(
                        f"The text field in the ContentBlock at messages.{index} is blank."
                    )
                if "image" in each:
                    _check_image(each["image"])
    last = messages[-1]
    if last["role"] == "assistant" and last["content"][-1].get("text", "x")[-1].isspace():
        raise Refused("final assistant content cannot end with trailing whitespace")


def _check_image(image: Mapping[str, Any]) -> None:
    head = base64.b64decode(image["source"]["bytes"])[:8]
    if not head.startswith(_SIGNATURES[image["format"]]):
        raise Refused("Could not process image")


def _check_tools(messages: Sequence[Mapping[str, Any]], config: Any) -> None:
    seen: set[str] = set()
    open_ids: set[str] = set()
    for message in messages:
        blocks = message["content"]
        results = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
        if set(results) != open_ids or len(results) != len(open_ids):
            raise Refused(
                "Expected toolResult blocks for exactly the toolUse ids of the last turn."
            )
        first_other = next((i for i, b in enumerate(blocks) if "toolResult" not in b), len(blocks))
        if any("toolResult" in block for block in blocks[first_other + 1 :]) and results:
            texts = [
                b for b in blocks[first_other:] if "toolResult" not in b and "cachePoint" not in b
            ]
            if texts:
                raise Refused("extraneous key [toolResult] is not permitted")
        uses = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
        if seen & set(uses) or len(set(uses)) != len(uses):
            raise Refused("`tool_use` ids must be unique")
        seen |= set(uses)
        open_ids = set(uses)
    if seen and not config:
        raise Refused(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )


def _check_documents(messages: Sequence[Mapping[str, Any]]) -> None:
    names: set[str] = set()
    for message in messages:
        documents = [b["document"] for b in message["content"] if "document" in b]
        if documents and not any("text" in block for block in message["content"]):
            raise Refused("A text block must be included with document blocks.")
        for document in documents:
            name = document["name"]
            if not _ALLOWED_IN_NAMES.fullmatch(name):
                raise Refused(
                    "The document file name can only contain alphanumeric characters, ..."
                )
            if name in names:
                raise Refused("messages contains duplicate document names")
            names.add(name)


def _check_model(model: str, body: Mapping[str, Any]) -> None:
    inference = body.get("inferenceConfig", {})
    extra = body.get("additionalModelRequestFields", {})
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    forced = "any" in choice or "tool" in choice
    if forced and not _FORCES.search(model):
        raise Refused("This model doesn't support the toolConfig.toolChoice.any field.")
    if body.get("system") and _NO_SYSTEM.search(model):
        raise Refused("This model doesn't support system messages.")
    thinking = extra.get("thinking", {})
    thinks = thinking.get("type") in {"enabled", "adaptive"}
    if forced and thinks:
        raise Refused("Thinking may not be enabled when tool_choice forces tool use.")
    if _SAMPLES_NOT.search(model) and {"temperature", "topP"} & inference.keys():
        raise Refused("`temperature` is deprecated for this model.")
    if thinks and inference.get("temperature", 1) != 1:
        raise Refused("`temperature` may only be set to 1 when thinking is enabled.")
    if thinking.get("type") == "enabled":
        if not 1024 <= thinking["budget_tokens"] < inference["maxTokens"]:
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
        _check_replay(body["messages"])
    if thinking.get("type") == "adaptive" and not _CLAUDE_ADAPTIVE.search(model):
        raise Refused("adaptive thinking is not supported on this model")
    prefilled = body["messages"][-1]["role"] == "assistant"
    if "anthropic." in model and _CLAUDE_ADAPTIVE.search(model) and prefilled:
        raise Refused("This model does not support assistant message prefill.")
    if "anthropic." not in model:
        for message in body["messages"]:
            if any("reasoningContent" in block for block in message["content"]):
                raise Refused("This model doesn't support the reasoningContent field.")
    reasoning = extra.get("reasoningConfig", {})
    if reasoning.get("maxReasoningEffort") == "high" and inference.keys() & {
        "maxTokens",
        "temperature",
        "topP",
    }:
        raise Refused("maxTokens, temperature and topP must be unset with high reasoning effort")


def _check_replay(messages: Sequence[Mapping[str, Any]]) -> None:
    turns = [message for message in messages if message["role"] == "assistant"]
    last = turns[-1]["content"] if turns else []
    called = any("toolUse" in block for block in last)
    if called and "reasoningContent" not in last[0]:
        raise Refused("Expected `thinking` or `redacted_thinking`, but found `tool_use`.")
