"""Mistral AI.

The server refuses every field that it does not know, at the top and inside messages, so that the
allow-list is a must. Ids of tool calls are exactly nine letters or digits; a user may not speak
right after a tool, so a short assistant turn goes between; an assistant's last message is marked as
a prefix. `max_completion_tokens`, `seed` and `dimensions` have other names here. Temperatures
over 1.5 are clamped. Earlier reasoning goes back to magistral only, as it came. Many inputs of embeddings are
split, by their size. Schemas are sent without `$schema`, `$id` and references. Rejected: logprobs
(until a manifest declares them), audio output, custom tools. Dropped: user, store, logit_bias,
verbosity, web_search_options and the like.

Source: Mistral's OpenAPI document and docs, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from controlplane.table.schema import Provider
from dataplane.provider import Feature, HttpRequest
from dataplane.providers.openai import OpenAIAdapter
from dataplane.wire.failures import MISTRAL
from dataplane.wire.openai_families import embeds
from dataplane.wire.openai_reading import AnswerRules
from dataplane.wire.openai_rules import (
    SAME_EFFORTS,
    SAMPLING,
    EmbeddingRules,
    PartWriter,
    Rules,
    keep,
    write_text,
)
from dataplane.wire.segments import is_safe_segment, path_segment
from dataplane.wire.tool_ids import NINE_ALPHANUMERIC


def _write_audio(part: Mapping[str, Any]) -> dict[str, Any]:
    """Write audio as plain text, which here is a URL or base64."""
    return {"type": "input_audio", "input_audio": part["input_audio"]["data"]}


def _write_file(part: Mapping[str, Any]) -> dict[str, Any]:
    """Write a file: the id that this account gave it, or its data as a document."""
    file = part["file"]
    if "file_id" in file:
        return {"type": "file", "file_id": file["file_id"]}
    named = {"document_name": file["filename"]} if "filename" in file else {}
    return {"type": "document_url", "document_url": file["file_data"], **named}


_PARTS: Mapping[str, PartWriter] = {
    "text": write_text,
    "refusal": write_text,
    "image_url": keep("type", "image_url"),
    "input_audio": _write_audio,
    "file": _write_file,
}
# All inputs of one request together; text that is dense in tokens has few bytes for each.
_EMBEDDED_TOKENS = 16_000
_BYTES_OF_A_TOKEN = 2
_RULES = Rules(
    passes=(SAMPLING - {"seed"})
    | {
        "frequency_penalty",
        "guardrails",
        "metadata",
        "n",
        "parallel_tool_calls",
        "prediction",
        "prompt_cache_key",
        "prompt_mode",
        "safe_prompt",
        "service_tier",
    },
    renamed={"seed": "random_seed"},
    parts=_PARTS,
    image_detail=True,
    max_tokens="max_tokens",
    max_temperature=1.5,
    top_p_above_zero=True,
    efforts=SAME_EFFORTS,
    service_tiers=frozenset({"auto", "standard_only"}),
    merges_assistants=True,
    fills_after_tool=True,
    says_something=True,
    named_messages=False,
    tool_ids=NINE_ALPHANUMERIC,
    full_schemas=False,
    required="any",
    json_needs_words=True,
    stream_usage=False,
    embeddings=EmbeddingRules(
        base64=True,
        passes=frozenset({"metadata", "output_dtype"}),
        max_bytes=_EMBEDDED_TOKENS * _BYTES_OF_A_TOKEN,
    ),
)
# These take no effort: a mode of the prompt makes them think.
_PROMPT_MODES: Mapping[str, str | None] = {
    effort: None if effort == "none" else "reasoning" for effort in SAME_EFFORTS
}


class MistralAdapter(OpenAIAdapter):
    """The adapter of one configured Mistral workspace; its base URL may end in /v1 or not."""

    FEATURES: ClassVar[frozenset[Feature]] = frozenset(Feature) - {
        Feature.COMPLETIONS,
        Feature.TOKEN_INPUT,
        Feature.DIMENSIONS,
        Feature.CUSTOM_TOOLS,
        Feature.AUDIO_OUTPUT,
        Feature.LOGPROBS,
    }
    ANSWERS: ClassVar[AnswerRules] = AnswerRules(table=MISTRAL)

    def __init__(self, provider: Provider) -> None:
        if not provider.base_url.endswith("/v1"):
            provider = replace(provider, base_url=f"{provider.base_url}/v1")
        super().__init__(provider)

    def probe_request(self, secret: str | None) -> HttpRequest:
        """Ask for the first configured model, which is free and proves the key."""
        first = next(iter(self._provider.models), "")
        if is_safe_segment(first):
            return self._get(f"{self._provider.base_url}/models/{path_segment(first)}", secret)
        return self.models_request(secret)

    def _features_of(self, model: str) -> frozenset[Feature]:
        if not embeds(model):
            return self.FEATURES
        sized = {Feature.DIMENSIONS} if _takes_dimensions(model) else set()
        return frozenset({Feature.EMBEDDINGS, *sized})

    def _rules_of(self, model: str) -> Rules:
        if model.startswith("magistral"):
            return replace(
                _RULES, efforts=_PROMPT_MODES, effort_field="prompt_mode", thinking_chunks=True
            )
        if _takes_dimensions(model):
            how = replace(_RULES.embeddings, dimensions="output_dimension")
            return replace(_RULES, embeddings=how)
        return _RULES


def _takes_dimensions(model: str) -> bool:
    return model.startswith("codestral-embed")
