"""How one upstream wants OpenAI's format written: the options that providers set.

A field that is named nowhere is not sent. What happens to it then is the same for all: a value
that asks for nothing is left out silently, one that only tunes the answer is dropped with a
warning, one that is a part of the answer's contract is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from controlplane.table.schema import Model
from dataplane.provider import Feature
from dataplane.wire.openai_families import is_mistral, must_alternate
from dataplane.wire.tool_ids import NINE_ALPHANUMERIC, IdRule

PartWriter: TypeAlias = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Writes a checked content part for the upstream."""

CONTRACT: Final = frozenset(
    {
        "audio",
        "best_of",
        "dimensions",
        "echo",
        "encoding_format",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "modalities",
        "n",
        "response_format",
        "stop",
        "suffix",
        "tool_choice",
        "tools",
        "top_logprobs",
    }
)
"""Fields that say what the answer must be: never dropped."""

IDENTITIES: Final[Mapping[str, Any]] = {
    "best_of": 1,
    "echo": False,
    "encoding_format": "float",
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "response_format": {"type": "text"},
    "stop": [],
    "store": False,
    "suffix": "",
    "temperature": 1,
    "top_logprobs": 0,
    "top_p": 1,
}
"""Values that ask for what happens anyway."""

SAMPLING: Final = frozenset({"temperature", "top_p", "presence_penalty", "seed", "stop"})
"""What every server of this format takes."""

COMPLETION_FIELDS: Final = SAMPLING | {
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "n",
    "suffix",
}
"""The options of a text completion."""

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The words of `reasoning_effort`, from the least to the most."""

SAME_EFFORTS: Final[Mapping[str, str]] = {effort: effort for effort in EFFORTS}
FOUR_EFFORTS: Final[Mapping[str, str]] = {
    **SAME_EFFORTS,
    "minimal": "low",
    "xhigh": "high",
    "max": "high",
}
"""For upstreams that are known to take none, low, medium and high."""


_FIELDS_OF: Final[Mapping[Feature, Sequence[str]]] = {
    Feature.LOGPROBS: ("logprobs", "top_logprobs"),
    Feature.MULTIPLE_CHOICES: ("n",),
    Feature.AUDIO_OUTPUT: ("modalities", "audio"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRules:
    """How an upstream wants embeddings asked for.

    dimensions: its name of the field, empty if it has none. tokens: takes token ids as input.
    base64: gives vectors as base64 of little-endian float32 when asked to.
    max_items, max_bytes: inputs, and bytes of text, of one call; more is split. None is no limit.
    """

    dimensions: str = ""
    tokens: bool = False
    base64: bool = False
    passes: frozenset[str] = frozenset()
    max_items: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How one upstream model wants requests written. The defaults are the least that all take.

    passes: chat fields that are sent as they are. renamed: the caller's name -> the upstream's.
    completion_passes: fields of a text completion; None if the upstream has none.
    parts: content parts by type. caches: parts may carry `prompt_cache_breakpoint`.
    image_detail: takes `detail` of images, else it is dropped.
    max_tokens: the upstream's name for it; empty sends the name that the caller chose.
    max_output_tokens: higher limits are clamped to this.
    max_temperature, top_p_above_zero, max_stops: ranges; out of range is clamped, too many stop
        sequences are rejected.
    efforts: `reasoning_effort` -> what is sent; efforts that are missing are rejected. None: the
        upstream has no efforts, the field is dropped.
    effort_field: the upstream's name of that field.
    thinking_switch: effort `none` also sends `chat_template_kwargs.enable_thinking: false`.
    reasons_at: efforts at which `quiet_passes` are not sent, the empty text for an absent effort.
    quiet_passes: fields that pass only while the model does not reason.
    tools_at: efforts at which function tools are accepted in chat; None means all.
    bridge_efforts: like `efforts`, for the Responses API, where requests with functions go at other
        efforts than those of `tools_at`. None: there is no such API, they are rejected.
    service_tiers: values that are sent, None for all.
    developer: takes the role `developer`, else it becomes `system`.
    leading_system_only: one system message, first; later ones become the user's words.
    alternates: neighbours of one role are merged. merges_assistants: only assistants are.
    fills_after_tool: no user message may follow a tool's; a short assistant turn goes between.
    says_something: assistant messages without content and calls are left out, and a last
        assistant message is marked as a prefix.
    prefill: goes on from a last message of the assistant's, else it is rejected; one that
        `asks_to_continue` is told so by `continue_final_message`, unless the caller says how.
    reasoning_key: under which an assistant's earlier reasoning is sent back; empty leaves it out.
    thinking_chunks: it is sent back as a first chunk of the content instead.
    named_messages: user and assistant messages may carry `name`.
    tool_ids: which ids are taken; None takes any.
    strict_tools: takes `strict` in functions. custom_tools, allowed_tools: OpenAI's own kinds.
    full_schemas: takes any JSON Schema and functions without parameters; else `$schema`, `$id`
        and references are written away, and parameters written out.
    required: its word for `tool_choice: required`.
    named_tool_with_format: takes a named tool_choice together with a response_format.
    json_needs_words: `json_object` needs an instruction in the messages, which is added.
    guided: vLLM's old `guided_*` fields are turned into `structured_outputs`.
    stream_usage: takes `stream_options.include_usage`; obfuscation: and `include_obfuscation`.
    """

    passes: frozenset[str] = SAMPLING
    renamed: Mapping[str, str] = field(default_factory=dict)
    completion_passes: frozenset[str] | None = None
    parts: Mapping[str, PartWriter] = field(default_factory=dict)
    caches: bool = False
    image_detail: bool = False
    max_tokens: str = ""
    max_output_tokens: int | None = None
    max_temperature: float = 2.0
    top_p_above_zero: bool = False
    max_stops: int | None = None
    efforts: Mapping[str, Any] | None = None
    effort_field: str = "reasoning_effort"
    thinking_switch: bool = False
    reasons_at: frozenset[str] = frozenset()
    quiet_passes: frozenset[str] = frozenset()
    tools_at: frozenset[str] | None = None
    bridge_efforts: Mapping[str, Any] | None = None
    service_tiers: frozenset[str] | None = None
    developer: bool = False
    leading_system_only: bool = False
    alternates: bool = False
    merges_assistants: bool = False
    fills_after_tool: bool = False
    says_something: bool = False
    prefill: bool = True
    asks_to_continue: bool = False
    reasoning_key: str = ""
    thinking_chunks: bool = False
    named_messages: bool = True
    tool_ids: IdRule | None = None
    strict_tools: bool = True
    custom_tools: bool = False
    allowed_tools: bool = False
    full_schemas: bool = True
    required: str = "required"
    named_tool_with_format: bool = True
    json_needs_words: bool = False
    guided: bool = False
    stream_usage: bool = True
    obfuscation: bool = False
    embeddings: EmbeddingRules = EmbeddingRules()


def keep(*keys: str) -> PartWriter:
    """Make a writer that keeps these keys of a part, where they have a value."""

    def write(part: Mapping[str, Any]) -> dict[str, Any]:
        return {key: part[key] for key in keys if part.get(key) is not None}

    return write


def write_text(part: Mapping[str, Any]) -> dict[str, Any]:
    """Write a text part, or a refusal as the text that it is."""
    return {"type": "text", "text": part[part["type"]]}


# File ids belong to the account that the file was uploaded to; a path that OpenAI's format has.
OPENAI_PARTS: Final[Mapping[str, PartWriter]] = {
    "text": keep("type", "text", "prompt_cache_breakpoint"),
    "image_url": keep("type", "image_url", "prompt_cache_breakpoint"),
    "input_audio": keep("type", "input_audio", "prompt_cache_breakpoint"),
    "file": keep("type", "file", "prompt_cache_breakpoint"),
    "refusal": keep("type", "refusal"),
}


OPEN_MODEL_PARTS: Final[Mapping[str, PartWriter]] = {
    "text": write_text,
    "refusal": write_text,
    "image_url": keep("type", "image_url"),
    "input_audio": keep("type", "input_audio"),
}
"""Parts that servers of open models take; files they do not."""


def for_open_model(rules: Rules, model: str) -> Rules:
    """Refine rules by what the chat templates of some open models demand."""
    if is_mistral(model):
        return replace(rules, alternates=True, fills_after_tool=True, tool_ids=NINE_ALPHANUMERIC)
    return replace(rules, alternates=True) if must_alternate(model) else rules


def widened(rules: Rules, declared: Model | None) -> Rules:
    """Add what the manifest says of a model: its output limit, and fields that it is known to take.

    A type's own rules are the least; a declared capability is the operator's word that there is more.
    """
    if declared is None:
        return rules
    rules = replace(rules, max_output_tokens=declared.max_output_tokens)
    said = declared.capabilities or frozenset()
    more = {name for feature, names in _FIELDS_OF.items() if feature in said for name in names}
    return replace(rules, passes=rules.passes | more) if more - rules.passes else rules
