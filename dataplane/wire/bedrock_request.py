"""Write canonical chat requests as the body of Converse and ConverseStream, by allow-list.

* refused, because they change what the answer is: n above 1, logprobs, audio answers, forced tool
  choices and schemas that the model cannot hold to, image URLs, files by id;
* clamped: temperature to 1, limits of tokens to the model's;
* dropped with a warning: what only tunes or labels the answer (seed, penalties, logit_bias, user,
  metadata, verbosity, prompt_cache_key, ...), and top_k where the model has none.

Source: Amazon Bedrock API reference, Converse, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct

from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.wire.anthropic_models import abilities
from dataplane.wire.bedrock_messages import called_names, write_conversation
from dataplane.wire.bedrock_models import BedrockModel, Family
from dataplane.wire.bedrock_options import write_metadata, write_options, write_service_tier
from dataplane.wire.bedrock_parts import reject
from dataplane.wire.bedrock_replay import last_replay
from dataplane.wire.bedrock_tools import ToolRules, write_format, write_tools
from dataplane.wire.taken_fields import Fields
from dataplane.wire.tool_ids import NameRule, fit_names

# Some models want a letter first.
_NAMES: Final = NameRule(pattern=re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}"), max_length=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the manifest says of a target.

    max_output_tokens: the most that may be asked for, None if not said.
    guardrail: Converse's guardrailConfig, empty for none.
    metadata: whether `metadata` and `user` become requestMetadata, which AWS writes into logs.
    """

    max_output_tokens: int | None = None
    guardrail: Mapping[str, str] = field(default_factory=dict)
    metadata: bool = False


class Serialized(Struct, frozen=True, kw_only=True):
    """A body for Converse, and what is needed to read the answer.

    warnings: what was changed on the way, each once, in order.
    names: names of functions as they were sent -> as the caller knows them, where they differ.
    answer_tool: the function whose arguments are the answer itself, empty if there is none.
    thinks: whether the model is free to think, in Claude's sense.
    """

    body: bytes
    warnings: Sequence[str]
    names: Mapping[str, str]
    answer_tool: str
    thinks: bool


def serialize(body: Mapping[str, Any], model: BedrockModel, settings: Settings) -> Serialized:
    """Write the body. Raises RequestRejected for what Bedrock or the model cannot be told."""
    fields = Fields(body)
    claude = abilities(model.name) if model.family is Family.CLAUDE else None
    messages = fields.take("messages")
    if not isinstance(messages, list):
        raise RequestRejected("messages must be a list", param="messages")
    names = fit_names([*_declared(fields.take("tools")), *called_names(messages)], _NAMES)
    options = write_options(
        fields,
        model,
        claude,
        max_output_tokens=settings.max_output_tokens,
        replay=last_replay(messages, model),
    )
    conversation = write_conversation(
        messages, model, names=names, replays=options.thinks, fields=fields
    )
    if conversation.prefilled and claude and (options.thinks or not claude.prefill):
        reject(
            "this model cannot go on from a last message of the assistant's",
            conversation.prefilled,
            "unsupported_value",
        )
    forced = model.forced_tools if claude is None else claude.forced_tool
    rules = ToolRules(
        forced=forced and not options.asked,
        structured=model.json_schema if claude is None else claude.structured,
        closes=claude is not None,
    )
    config = write_tools(fields, model, rules, names=names, tools_used=conversation.tools_used)
    answer = write_format(fields, rules, has_tools=config is not None)
    output = options.output
    if answer.text_format is not None:
        output = {**output, "textFormat": answer.text_format}
    system, turns = list(conversation.system), conversation.messages
    if answer.instruction and model.system:
        system.append({"text": answer.instruction})
    elif answer.instruction:
        first, *rest = turns
        turns = [{**first, "content": [{"text": answer.instruction}, *first["content"]]}, *rest]
    written = {
        "messages": turns,
        "system": system,
        "inferenceConfig": options.inference,
        "toolConfig": config or answer.tool,
        "additionalModelRequestFields": options.extra,
        "outputConfig": output,
        "guardrailConfig": settings.guardrail,
        "requestMetadata": write_metadata(fields, wanted=settings.metadata),
        "serviceTier": write_service_tier(fields),
    }
    warnings = fields.finish()
    return Serialized(
        body=encode({key: value for key, value in written.items() if value}),
        warnings=warnings,
        names={sent: name for name, sent in names.items()},
        answer_tool=answer.answer_tool,
        thinks=options.thinks,
    )


def _declared(tools: Any) -> Sequence[str]:
    return [
        name
        for tool in tools or ()
        if isinstance(tool, dict)
        and isinstance(function := tool.get("function"), dict)
        and isinstance(name := function.get("name"), str)
    ]
