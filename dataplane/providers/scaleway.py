"""Scaleway Generative APIs, serverless or dedicated.

A project is part of the base URL. Rejected: several choices, top_logprobs, files, image URLs, token
input of embeddings, and dimensions but for qwen3-embedding. Dropped: frequency_penalty, logit_bias,
user and the like. Reasoning comes under two keys. Old models are served by their successors without
a word, which gives a warning. Output limits differ by model, and higher ones are refused with 416:
set `maxOutputTokens` in the manifest, and they are clamped. Embeddings are asked for in batches
of 32.

Source: Scaleway's documentation of the Generative APIs, read 2026-11-22.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from dataplane.provider import Feature
from dataplane.providers.openai import OpenAIAdapter
from dataplane.wire import vendor_keys
from dataplane.wire.failures import SCALEWAY
from dataplane.wire.openai_families import embeds
from dataplane.wire.openai_reading import AnswerRules
from dataplane.wire.openai_rules import (
    FOUR_EFFORTS,
    OPEN_MODEL_PARTS,
    SAMPLING,
    EmbeddingRules,
    Rules,
    for_open_model,
)

_RULES = Rules(
    passes=SAMPLING | {"logprobs", "parallel_tool_calls"},
    parts=OPEN_MODEL_PARTS,
    max_tokens="max_tokens",
    efforts=FOUR_EFFORTS,
    leading_system_only=True,
    embeddings=EmbeddingRules(max_items=32),
)


class ScalewayAdapter(OpenAIAdapter):
    """The adapter of one configured Scaleway project."""

    FEATURES: ClassVar[frozenset[Feature]] = frozenset(
        {
            Feature.CHAT,
            Feature.EMBEDDINGS,
            Feature.TOOLS,
            Feature.TOOL_CHOICE_REQUIRED,
            Feature.TOOL_CHOICE_NAMED,
            Feature.JSON_OBJECT,
            Feature.JSON_SCHEMA,
            Feature.IMAGE_DATA,
            Feature.LOGPROBS,
            Feature.REASONING,
        }
    )
    ANSWERS: ClassVar[AnswerRules] = AnswerRules(
        table=SCALEWAY, redirects=True, vendor_keys=vendor_keys.VLLM
    )

    def _features_of(self, model: str) -> frozenset[Feature]:
        if embeds(model):
            sized = {Feature.DIMENSIONS} if _takes_dimensions(model) else set()
            return frozenset({Feature.EMBEDDINGS, *sized})
        return self.FEATURES | {Feature.AUDIO_INPUT} if "voxtral" in model else self.FEATURES

    def _rules_of(self, model: str) -> Rules:
        rules = for_open_model(_RULES, model)
        if _takes_dimensions(model):
            how = replace(rules.embeddings, dimensions="dimensions")
            return replace(rules, embeddings=how)
        return rules


def _takes_dimensions(model: str) -> bool:
    return model.startswith("qwen3-embedding")
