"""OVHcloud AI Endpoints.

Deltas repeat the role, carry a `name` and leave `finish_reason` out; all of it is mended. Without a
key the service answers anonymously, at two requests a minute: that mode must be chosen, and sends
no key at all. Rejected until somebody proves them: logprobs, several choices, image URLs, files,
dimensions and token input of embeddings. Dropped: `parallel_tool_calls: false`, logit_bias, user
and the like. Old models are served by another one, which gives the warning `mapped:model`, and a
header says that a model is on its way out, which gives `notice:model`. Embeddings are asked for in
batches of 32.

Source: OVHcloud's AI Endpoints guides, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dataplane.provider import Feature
from dataplane.providers.openai import OpenAIAdapter
from dataplane.wire import vendor_keys
from dataplane.wire.failures import OVHCLOUD
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
    passes=SAMPLING | {"frequency_penalty", "min_p", "repetition_penalty", "top_k"},
    completion_passes=SAMPLING | {"frequency_penalty"},
    parts=OPEN_MODEL_PARTS,
    efforts=FOUR_EFFORTS,
    leading_system_only=True,
    # Ours: no limit of inputs is published, but a body may have 2 MB.
    embeddings=EmbeddingRules(max_items=32, max_bytes=1_500_000),
)


class OvhcloudAdapter(OpenAIAdapter):
    """The adapter of one configured OVHcloud account."""

    FEATURES: ClassVar[frozenset[Feature]] = frozenset(
        {
            Feature.CHAT,
            Feature.COMPLETIONS,
            Feature.EMBEDDINGS,
            Feature.TOOLS,
            Feature.TOOL_CHOICE_REQUIRED,
            Feature.TOOL_CHOICE_NAMED,
            Feature.JSON_OBJECT,
            Feature.JSON_SCHEMA,
            Feature.IMAGE_DATA,
            Feature.AUDIO_INPUT,
            Feature.REASONING,
        }
    )
    ANSWERS: ClassVar[AnswerRules] = AnswerRules(
        table=OVHCLOUD,
        redirects=True,
        notice_header="x-warning",
        vendor_keys=vendor_keys.VLLM,
    )

    def _features_of(self, model: str) -> frozenset[Feature]:
        return frozenset({Feature.EMBEDDINGS}) if embeds(model) else self.FEATURES

    def _rules_of(self, model: str) -> Rules:
        return for_open_model(_RULES, model)

    def _auth(self, secret: str | None) -> Mapping[str, str]:
        if self._provider.options.get("anonymous") == "true":
            return {}
        return super()._auth(secret)
