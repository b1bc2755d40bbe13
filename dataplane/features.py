"""Whether a target can serve what a request needs, and how to say that it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dataplane.provider import Feature, Provider

_PARAMS: Final[Mapping[Feature, tuple[str | None, str]]] = {
    Feature.CHAT: ("model", "chat"),
    Feature.COMPLETIONS: ("model", "text completion"),
    Feature.EMBEDDINGS: ("model", "embedding"),
    Feature.TOKEN_INPUT: ("input", "input of token ids"),
    Feature.DIMENSIONS: ("dimensions", "the choice of dimensions"),
    Feature.TOOLS: ("tools", "tool calling"),
    Feature.CUSTOM_TOOLS: ("tools", "the custom tool type"),
    Feature.TOOL_CHOICE_REQUIRED: ("tool_choice", 'tool_choice "required"'),
    Feature.TOOL_CHOICE_NAMED: ("tool_choice", "a named tool_choice"),
    Feature.JSON_OBJECT: ("response_format", "response_format json_object"),
    Feature.JSON_SCHEMA: ("response_format", "response_format json_schema"),
    Feature.IMAGE_DATA: ("messages", "image input"),
    Feature.IMAGE_URL: ("messages", "image input by URL"),
    Feature.AUDIO_INPUT: ("messages", "audio input"),
    Feature.AUDIO_OUTPUT: ("modalities", "audio output"),
    Feature.FILE: ("messages", "file input"),
    Feature.LOGPROBS: ("logprobs", "logprobs"),
    Feature.MULTIPLE_CHOICES: ("n", "more than one choice"),
    Feature.REASONING: ("reasoning_effort", "reasoning"),
}


def missing(features: frozenset[Feature], provider: Provider, model: str) -> Feature | None:
    """Return a feature that the request needs and the target lacks, the same each time, or None."""
    known = provider.capabilities(model)
    return None if features <= known else min(features - known)


def describe(feature: Feature) -> tuple[str | None, str]:
    """Return the request's field that asks for the feature, and a phrase for people."""
    return _PARAMS[feature]
