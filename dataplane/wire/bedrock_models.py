"""What is known of the models behind Bedrock: which family an id belongs to, and what it can do.

An id may be bare (`anthropic.claude-sonnet-4-6-v1:0`), a geographic profile (`eu.` before it), or
an ARN that ends in one of both. The ARN of an application profile, an imported or a provisioned
model hides the model; then the manifest's `baseModel` says which it is. A model that is not known
is taken for one that can do what most can.

Claude's own rules are those of `dataplane.wire.anthropic_models`; here stands what Bedrock adds.

Source: Amazon Bedrock user guide, "Supported models and model features" and "Get validated JSON
results from models", read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

_PLACES: Final = re.compile(r"(?:us|eu|apac|jp|au|ca|sa|us-gov|global)\.")
_NO_SYSTEM: Final = re.compile(r"mistral-7b-instruct|mixtral-8x7b|titan-text")
_NO_TOOLS: Final = re.compile(r"mistral-7b-instruct|mixtral-8x7b|titan-text|llama3-(?:8|70)b|\.r1")
_OPEN_WEIGHTS: Final = frozenset(
    {"qwen", "google", "nvidia", "minimax", "moonshot", "moonshotai", "zai"}
)


class Family(StrEnum):
    """Models that want the same of a request."""

    CLAUDE = "claude"
    NOVA = "nova"
    NOVA_2 = "nova-2"
    TITAN = "titan"
    COHERE = "cohere"
    GPT_OSS = "gpt-oss"
    MISTRAL = "mistral"
    LLAMA = "llama"
    DEEPSEEK = "deepseek"
    OPEN = "open"
    UNKNOWN = "unknown"


class Embedder(StrEnum):
    """Embedding models, by the form of their bodies."""

    NONE = "none"
    TITAN_1 = "titan-1"
    TITAN_2 = "titan-2"
    COHERE_3 = "cohere-3"
    COHERE_4 = "cohere-4"
    NOVA_2 = "nova-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockModel:
    """What one model takes.

    name: the bare id, for humans and for Claude's table: `anthropic.claude-sonnet-4-6-v1:0`.
    system: takes a system prompt. tools: calls functions. forced_tools: can be made to.
    images, audio, documents: kinds of content that it reads.
    json_schema: keeps to a schema by itself, in the answer and in `strict` tools.
    caches: takes cache points in messages and the system prompt; caches_tools: and after tools.
    efforts: `reasoning_effort` -> its own word; empty if it has no efforts.
    """

    name: str
    family: Family
    embedder: Embedder = Embedder.NONE
    system: bool = True
    tools: bool = True
    forced_tools: bool = False
    images: bool = True
    audio: bool = False
    documents: bool = True
    json_schema: bool = False
    caches: bool = False
    caches_tools: bool = False

    @property
    def efforts(self) -> Mapping[str, str]:
        """Map the words of `reasoning_effort` to the family's own; Claude's are its table's."""
        return _EFFORTS.get(self.family, {})


_THREE_EFFORTS: Final[Mapping[str, str]] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
_EFFORTS: Final[Mapping[Family, Mapping[str, str]]] = {
    # Reasoning is off unless asked for.
    Family.NOVA_2: {**_THREE_EFFORTS, "none": ""},
    # These always reason.
    Family.GPT_OSS: _THREE_EFFORTS,
}


@lru_cache(maxsize=256)
def model_of(model_id: str, base_model: str = "") -> BedrockModel:
    """Tell what is known of a model. base_model: what the manifest says it is, or empty."""
    name = bare_name(base_model or model_id)
    vendor, _, rest = name.partition(".")
    embedder = _embedder(name)
    if embedder is not Embedder.NONE:
        family = {"amazon": Family.TITAN, "cohere": Family.COHERE}.get(vendor, Family.UNKNOWN)
        return BedrockModel(name=name, family=family, embedder=embedder, tools=False)
    system = _NO_SYSTEM.search(name) is None
    tools = _NO_TOOLS.search(name) is None
    match vendor:
        case "anthropic":
            return BedrockModel(
                name=name,
                family=Family.CLAUDE,
                forced_tools=True,
                caches=True,
                caches_tools=True,
            )
        case "amazon" if rest.startswith("nova-2"):
            return BedrockModel(name=name, family=Family.NOVA_2, forced_tools=True, caches=True)
        case "amazon" if rest.startswith("nova"):
            sees = "micro" not in rest
            return BedrockModel(
                name=name,
                family=Family.NOVA,
                forced_tools=True,
                images=sees,
                documents=sees,
                caches=True,
            )
        case "amazon":
            return BedrockModel(
                name=name, family=Family.TITAN, system=system, tools=tools, images=False
            )
        case "cohere":
            return BedrockModel(name=name, family=Family.COHERE, images=False)
        case "openai":
            return BedrockModel(name=name, family=Family.GPT_OSS, images=False, json_schema=True)
        case "mistral":
            large = "large" in rest
            return BedrockModel(
                name=name,
                family=Family.MISTRAL,
                system=system,
                tools=tools,
                forced_tools=large,
                images="pixtral" in rest or "large-3" in rest,
                audio="voxtral" in rest,
            )
        case "meta":
            return BedrockModel(name=name, family=Family.LLAMA, tools=tools)
        case "deepseek":
            return BedrockModel(
                name=name,
                family=Family.DEEPSEEK,
                tools=tools,
                images=False,
                json_schema=tools,
            )
        case _ if vendor in _OPEN_WEIGHTS:
            return BedrockModel(name=name, family=Family.OPEN, json_schema=True)
        case _:
            return BedrockModel(name=name, family=Family.UNKNOWN)


def bare_name(model_id: str) -> str:
    """Return an id without ARN and place: `anthropic.claude-...` of any of its spellings."""
    name = model_id
    if name.startswith("arn:"):
        # The resource is the sixth piece; its own id may hold colons.
        name = name.split(":", 5)[-1].rpartition("/")[2]
    return _PLACES.sub("", name, count=1) if _PLACES.match(name) else name


def _embedder(name: str) -> Embedder:
    for start, embedder in (
        ("amazon.titan-embed-text-v2", Embedder.TITAN_2),
        ("amazon.titan-embed", Embedder.TITAN_1),
        ("amazon.nova-2-multimodal-embeddings", Embedder.NOVA_2),
        ("cohere.embed-v4", Embedder.COHERE_4),
        ("cohere.embed", Embedder.COHERE_3),
    ):
        if name.startswith(start):
            return embedder
    return Embedder.NONE
