"""Writes the options of a request for Converse: limits, sampling, effort, labels.

What Converse has words for goes into `inferenceConfig` and `outputConfig`; what only one family
knows into `additionalModelRequestFields`. For Claude the rules of its own API hold.

Source: Amazon Bedrock API reference, InferenceConfiguration, OutputConfig and RequestMetadata; Nova
2 user guide, "Extended thinking"; read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dataplane.wire.anthropic_models import Abilities, Thinking
from dataplane.wire.anthropic_thinking import Thoughts, think
from dataplane.wire.bedrock_models import BedrockModel, Family
from dataplane.wire.bedrock_parts import reject
from dataplane.wire.bedrock_replay import Replay
from dataplane.wire.taken_fields import Fields

_SERVICE_TIERS: Final = frozenset({"default", "flex", "priority", "reserved"})
_MIN_TOP_P_THINKING: Final = 0.95
_HIGHEST: Final = "high"
_NEXT_TO_HIGHEST: Final = "medium"
_MAX_METADATA: Final = 16
_METADATA_KEY: Final = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
_METADATA_VALUE: Final = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")


@dataclass(slots=True, kw_only=True)
class Options:
    """The options so far.

    inference, output: inferenceConfig and outputConfig. extra: additionalModelRequestFields.
    thinks: whether the model thinks, in Claude's sense. asked: whether it was asked to. unset: whether the model sets limits and
        sampling itself, and refuses others.
    """

    inference: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    thinks: bool = False
    asked: bool = False
    unset: bool = False


def write_options(
    fields: Fields,
    model: BedrockModel,
    claude: Abilities | None,
    *,
    max_output_tokens: int | None,
    replay: Replay,
) -> Options:
    """Write limits, effort and sampling. Raises RequestRejected for efforts that cannot be said.

    claude: what a Claude takes, None for all others. max_output_tokens: what the manifest says.
    replay: what is known of the reasoning that a model which thinks wants to see again.
    """
    options = Options()
    most = max_output_tokens
    if claude is not None and claude.max_output_tokens is not None:
        # Without a limit some models stop after a few thousand tokens.
        most = min(most or claude.max_output_tokens, claude.max_output_tokens)
    limit = _limit(fields, most)
    if limit is not None:
        options.inference["maxTokens"] = limit
    effort = fields.take("reasoning_effort")
    if claude is None:
        _write_effort(fields, effort, options, model)
    else:
        assert limit is not None, "every Claude has a limit of tokens"
        thoughts = think(effort, claude, max_tokens=limit, limit=most)
        _write_thoughts(fields, thoughts, options, claude, replay)
    _write_stops(fields, options, claude)
    _write_sampling(fields, options, model, claude)
    return options


def write_metadata(fields: Fields, *, wanted: bool) -> Mapping[str, str]:
    """Write requestMetadata, or drop it: AWS keeps it in logs, so an operator must want that."""
    given = fields.take("metadata")
    older, user = fields.take("user"), fields.take("safety_identifier")
    user = older if user is None else user
    if not wanted:
        if given:
            fields.warn("dropped:metadata")
        if user is not None:
            fields.warn("dropped:user")
        return {}
    entries = dict(given) if isinstance(given, dict) else {}
    if user is not None:
        entries.setdefault("user", user)
    kept = [
        (key, value)
        for key, value in entries.items()
        if isinstance(value, str)
        and _METADATA_KEY.fullmatch(key)
        and _METADATA_VALUE.fullmatch(value)
    ][:_MAX_METADATA]
    if len(kept) != len(entries):
        fields.warn("dropped:metadata")
    return dict(kept)


def write_service_tier(fields: Fields) -> Mapping[str, str]:
    """Write serviceTier; tiers that AWS does not have are dropped."""
    tier = fields.take("service_tier")
    if tier in _SERVICE_TIERS:
        return {"type": tier}
    if tier not in (None, "auto"):
        fields.warn("dropped:service_tier")
    return {}


def _limit(fields: Fields, most: int | None) -> int | None:
    older, wanted = fields.take("max_tokens"), fields.take("max_completion_tokens")
    wanted = older if wanted is None else wanted
    if wanted is None:
        return most
    if most is not None and wanted > most:
        fields.warn("clamped:max_tokens")
        return most
    return int(wanted)


def _write_thoughts(
    fields: Fields, thoughts: Thoughts, options: Options, claude: Abilities, replay: Replay
) -> None:
    # A model that decides by itself how much to think may have thought nothing; one with a budget
    # has not, and refuses its last turn without what belongs before the calls.
    adaptive = claude.thinking is Thinking.ADAPTIVE
    lost = replay is Replay.LOST or (replay is Replay.EMPTY and not adaptive)
    if thoughts.on and lost and not claude.always_thinks:
        fields.warn("dropped:reasoning_effort")
        if adaptive:
            options.extra["thinking"] = {"type": "disabled"}
        return
    fields.warn(*thoughts.warnings)
    options.thinks = thoughts.on
    options.inference["maxTokens"] = thoughts.max_tokens
    if thoughts.thinking is not None:
        options.asked = thoughts.on
        options.extra["thinking"] = thoughts.thinking
    if thoughts.effort:
        options.output["effort"] = thoughts.effort


def _write_effort(fields: Fields, effort: Any, options: Options, model: BedrockModel) -> None:
    """Say an effort to a model that is no Claude."""
    if effort is None or (effort == "none" and not model.efforts):
        return
    word = model.efforts.get(effort)
    if word is None:
        known = ", ".join(model.efforts)
        reject(
            f"this model takes the efforts {known}" if known else "this model takes no effort",
            "reasoning_effort",
            "unsupported_value" if known else "unsupported_parameter",
        )
    if not word:
        return
    if word != effort:
        fields.warn("mapped:reasoning_effort")
    if model.family is Family.GPT_OSS:
        options.extra["reasoning_effort"] = word
        return
    if word == _HIGHEST and "maxTokens" in options.inference:
        # There the model sets its limits itself and refuses others, but a limit is a promise.
        fields.warn("clamped:reasoning_effort")
        word = _NEXT_TO_HIGHEST
    options.extra["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": word}
    options.unset = word == _HIGHEST


def _write_stops(fields: Fields, options: Options, claude: Abilities | None) -> None:
    stops = fields.take("stop") or []
    if claude is not None:
        kept = [stop for stop in stops if stop.strip()]
        if len(kept) != len(stops):
            fields.warn("dropped:stop")
        stops = kept
    if stops:
        options.inference["stopSequences"] = stops


def _write_sampling(
    fields: Fields, options: Options, model: BedrockModel, claude: Abilities | None
) -> None:
    unset = options.unset or (claude is not None and not claude.sampling)
    temperature = _temperature(fields, unset=unset or options.thinks)
    if temperature is not None:
        options.inference["temperature"] = temperature
    together = claude is None or claude.sampling_together or temperature is None
    top_p = fields.take("top_p")
    if unset or not together:
        if top_p not in (None, 1):
            fields.warn("dropped:top_p")
    elif top_p is not None:
        if options.thinks and top_p < _MIN_TOP_P_THINKING:
            fields.warn("clamped:top_p")
            top_p = _MIN_TOP_P_THINKING
        options.inference["topP"] = top_p
    top_k = fields.take("top_k")
    if top_k is None:
        return
    match model.family:
        case Family.CLAUDE if not unset and not options.thinks:
            options.extra["top_k"] = top_k
        case Family.NOVA | Family.NOVA_2 if not unset:
            options.extra["inferenceConfig"] = {"topK": top_k}
        case _:
            fields.warn("dropped:top_k")


def _temperature(fields: Fields, *, unset: bool) -> Any:
    # As the caller wrote it: 1 is not made 1.0.
    temperature = fields.take("temperature")
    if temperature is None:
        return None
    if unset:
        # 1 is what happens anyway.
        if temperature != 1:
            fields.warn("dropped:temperature")
        return None
    if temperature > 1:
        fields.warn("clamped:temperature")
        return 1
    return temperature
