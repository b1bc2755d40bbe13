"""Tenth: a vendor of OpenAI's format that the product does not know, as its one file would be.

It calls the limit of tokens `max_tokens`, takes no more than four efforts, and refuses with a code of its
own when it is full. Rejected: several choices, logprobs, files, audio. Dropped: logit_bias, user, store
and the like.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from dataplane.errors import ErrorClass
from dataplane.provider import Feature
from dataplane.providers.openai import OpenAIAdapter
from dataplane.wire.failure_tables import VLLM
from dataplane.wire.openai_reading import AnswerRules
from dataplane.wire.openai_rules import FOUR_EFFORTS, OPEN_MODEL_PARTS, SAMPLING, Rules


class TenthAdapter(OpenAIAdapter):
    """The adapter of one configured account."""

    FEATURES: ClassVar[frozenset[Feature]] = frozenset(
        {Feature.CHAT, Feature.TOOLS, Feature.JSON_OBJECT, Feature.IMAGE_DATA, Feature.REASONING}
    )
    ANSWERS: ClassVar[AnswerRules] = AnswerRules(
        table=replace(VLLM, codes={**VLLM.codes, "capacity_exceeded": ErrorClass.OVERLOADED})
    )

    def _rules_of(self, model: str) -> Rules:
        return Rules(
            passes=SAMPLING, parts=OPEN_MODEL_PARTS, max_tokens="max_tokens", efforts=FOUR_EFFORTS
        )
