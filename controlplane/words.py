"""Closed lists of words that only manifests use; those of the table are in its schema."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """What a model can do, as `models[].capabilities` says it."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    TOKEN_INPUT = "tokenInput"  # noqa: S105 - a feature, not a secret
    DIMENSIONS = "dimensions"
    TOOLS = "tools"
    CUSTOM_TOOLS = "customTools"
    TOOL_CHOICE_REQUIRED = "toolChoiceRequired"
    TOOL_CHOICE_NAMED = "toolChoiceNamed"
    JSON_OBJECT = "jsonObject"
    JSON_SCHEMA = "jsonSchema"
    IMAGE_DATA = "imageData"
    IMAGE_URL = "imageUrl"
    AUDIO_INPUT = "audioInput"
    AUDIO_OUTPUT = "audioOutput"
    FILE = "file"
    LOGPROBS = "logprobs"
    MULTIPLE_CHOICES = "multipleChoices"
    REASONING = "reasoning"


class Propagation(StrEnum):
    """Which tracing headers an upstream gets."""

    NONE = "none"
    TRACE = "trace"
    TRACE_AND_BAGGAGE = "traceAndBaggage"


class AzureSurface(StrEnum):
    """V1: `/openai/v1`, no version needed. CLASSIC: `/openai/deployments/…?api-version=…`."""

    V1 = "v1"
    CLASSIC = "classic"
