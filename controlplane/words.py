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


class EntraFlow(StrEnum):
    """How a Microsoft Entra ID token is got, in place of an API key."""

    CLIENT_SECRET = "clientSecret"  # noqa: S105 - the name of a flow
    WORKLOAD_IDENTITY = "workloadIdentity"
    MANAGED_IDENTITY = "managedIdentity"


class RouteMode(StrEnum):
    """What happens to fields that a target lacks.

    LENIENT: what only tunes an answer is dropped, clamped or emulated, and named in a header.
    STRICT: such a target is skipped; if all are, the caller gets a 400.
    """

    LENIENT = "Lenient"
    STRICT = "Strict"


class AzureSurface(StrEnum):
    """V1: `/openai/v1`, no version needed. CLASSIC: `/openai/deployments/…?api-version=…`."""

    V1 = "v1"
    CLASSIC = "classic"
