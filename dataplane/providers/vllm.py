"""vLLM's OpenAI-compatible server.

It ignores what it does not know without a word, so only known fields are sent. `guided_*` of old
versions, which is ignored today, becomes `structured_outputs`. Reasoning comes under another key
and is renamed, both ways. Rejected: files, audio output, custom tools, and a response_format together with a
named tool_choice. Dropped: user, metadata, store, service_tier, prediction, verbosity and the like.

Source: vLLM 0.33.0, entrypoints/openai/protocol.py and docs, read 2026-11-22.
"""

from __future__ import annotations

from typing import ClassVar

from dataplane.provider import Feature, HttpRequest
from dataplane.providers.openai import OpenAIAdapter
from dataplane.wire import vendor_keys
from dataplane.wire.failures import VLLM
from dataplane.wire.openai_families import embeds
from dataplane.wire.openai_reading import AnswerRules
from dataplane.wire.openai_rules import (
    COMPLETION_FIELDS,
    OPEN_MODEL_PARTS,
    SAME_EFFORTS,
    SAMPLING,
    EmbeddingRules,
    Rules,
    for_open_model,
)

# Extensions that say how to sample, in chat and in text completions.
VLLM_SAMPLING = frozenset(
    {
        "allowed_token_ids",
        "bad_words",
        "cache_salt",
        "ignore_eos",
        "include_stop_str_in_output",
        "kv_transfer_params",
        "length_penalty",
        "min_p",
        "min_tokens",
        "priority",
        "prompt_logprobs",
        "repetition_penalty",
        "request_id",
        "return_token_ids",
        "session_id",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop_token_ids",
        "structured_outputs",
        "top_k",
        "truncate_prompt_tokens",
    }
)
_CHAT_FIELDS = (
    SAMPLING
    | VLLM_SAMPLING
    | {
        "add_generation_prompt",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "documents",
        "echo",
        "frequency_penalty",
        "include_reasoning",
        "logit_bias",
        "logprobs",
        "mm_processor_kwargs",
        "n",
        "parallel_tool_calls",
        "thinking_token_budget",
        "top_logprobs",
    }
)
RULES = Rules(
    passes=_CHAT_FIELDS,
    completion_passes=COMPLETION_FIELDS | VLLM_SAMPLING | {"response_format"},
    parts=OPEN_MODEL_PARTS,
    efforts=SAME_EFFORTS,
    thinking_switch=True,
    leading_system_only=True,
    asks_to_continue=True,
    reasoning_key="reasoning",
    named_tool_with_format=False,
    guided=True,
    embeddings=EmbeddingRules(
        dimensions="dimensions",
        tokens=True,
        passes=frozenset({"truncate_prompt_tokens", "priority", "cache_salt"}),
    ),
)
_EMBEDDING_FEATURES = frozenset({Feature.EMBEDDINGS, Feature.TOKEN_INPUT, Feature.DIMENSIONS})


class VllmAdapter(OpenAIAdapter):
    """The adapter of one configured vLLM server."""

    FEATURES: ClassVar[frozenset[Feature]] = frozenset(Feature) - {
        Feature.CUSTOM_TOOLS,
        Feature.AUDIO_OUTPUT,
        Feature.FILE,
    }
    ANSWERS: ClassVar[AnswerRules] = AnswerRules(
        table=VLLM, forced_tool_stops=True, vendor_keys=vendor_keys.VLLM
    )

    def probe_request(self, secret: str | None) -> HttpRequest:
        """Ask `/health`, which stands at the server's root: whether the engine lives."""
        return self._get(f"{self._provider.base_url.removesuffix('/v1')}/health", secret)

    def _features_of(self, model: str) -> frozenset[Feature]:
        return self.FEATURES & _EMBEDDING_FEATURES if embeds(model) else self.FEATURES

    def _rules_of(self, model: str) -> Rules:
        return for_open_model(RULES, model)
