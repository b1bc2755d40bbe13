"""Write canonical chat requests for Anthropic's Messages API.

Fields are serialised by allow-list, within what the model takes (`anthropic_models`):

* `max_tokens` is demanded by the API: without the caller's, the model's own maximum is sent;
* refused, because they change what the answer is: n above 1, logprobs, audio, custom tools,
  forced tool choices where the model has none or reasons, a last assistant message where the model
  cannot go on from it, embeddings and text completions;
* emulated: json_object by an instruction, json_schema on old models by a forced tool, tools that
  only the history knows;
* dropped with a warning: what newer models no longer take (temperature, top_p, top_k), seed,
  penalties, logit_bias, metadata but for an opaque user id, and everything not named here.

Source: Anthropic API reference, "Messages", versions 2023-06-01 and 2026-10-21, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.provider import Operation, Request
from dataplane.wire.anthropic_messages import Conversation, called_names, write_conversation
from dataplane.wire.anthropic_models import Abilities
from dataplane.wire.anthropic_parts import FILES_BETA, Block, cache_mark, text_block
from dataplane.wire.anthropic_replay import Replay
from dataplane.wire.anthropic_thinking import Thoughts, think
from dataplane.wire.anthropic_tools import ToolUse, write_format, write_tools
from dataplane.wire.taken_fields import Fields, is_identity
from dataplane.wire.tool_ids import FUNCTION_NAME, fit_names

DEFAULT_MAX_TOKENS: Final = 8192
"""What is sent where neither the caller, the manifest nor the model's name tells a limit."""

_MAX_CACHE_MARKS: Final = 4
_SERVICE_TIERS: Final[Mapping[str, str]] = {
    "auto": "auto",
    "default": "standard_only",
    "standard_only": "standard_only",
}
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_MIN_THINKING_TOP_P: Final = 0.95
# Names, mail addresses and telephone numbers are refused.
_OPAQUE: Final = re.compile(r"(?!\+?[\d().-]{7,15}\Z)[A-Za-z0-9_.:|/+=-]{1,256}")


class Serialized(Struct, frozen=True, kw_only=True):
    """A body for the Messages API.

    warnings: what was changed on the way, each once, in order.
    betas: what the body needs of `anthropic-beta`.
    names: the API's tool names -> the caller's, where they differ.
    emulated: the tool whose arguments are the answer; empty if there is none.
    thinks: whether the model may think.
    """

    body: bytes
    warnings: Sequence[str] = ()
    betas: Sequence[str] = ()
    names: Mapping[str, str] = {}
    emulated: str = ""
    thinks: bool = False


def serialize(
    request: Request,
    model: str,
    abilities: Abilities,
    *,
    replay: Replay,
    max_output_tokens: int | None = None,
) -> Serialized:
    """Write the body for `model`. Raises RequestRejected for what it cannot be told.

    max_output_tokens: the operator's word for what the model writes at most; None asks the table.
    """
    if request.operation is not Operation.CHAT:
        raise RequestRejected(
            "Anthropic's models only chat", param="model", code="unsupported_parameter"
        )
    fields = Fields(request.body)
    messages = fields.take("messages")
    if not isinstance(messages, list):
        raise RequestRejected("messages must be a list", param="messages")
    thoughts = _thoughts(fields, messages, abilities, replay, max_output_tokens)
    answer_format = write_format(fields, abilities)
    called = called_names(messages)
    names = fit_names(called, FUNCTION_NAME)
    tools = write_tools(
        fields,
        abilities,
        names=names,
        called=called,
        emulated=answer_format.emulated,
        thinks=thoughts.thinking is not None and thoughts.on,
    )
    conversation = write_conversation(
        messages,
        abilities,
        names=names,
        replay=replay if thoughts.on else None,
        fields=fields,
    )
    system = list(conversation.system)
    if answer_format.instruction:
        system.append(text_block(answer_format.instruction))
    body: dict[str, Any] = {"model": model, "max_tokens": thoughts.max_tokens}
    mark = cache_mark({"cache_control": fields.take("cache_control")}, "")
    blocks = list(_blocks(conversation))
    _limit_marks([*tools.tools, *system, *blocks], mark, fields)
    if mark is not None:
        body["cache_control"] = mark
    if system:
        body["system"] = system
    body["messages"] = conversation.messages
    body |= _tool_fields(tools)
    body |= _thinking_fields(thoughts, answer_format.native)
    body |= _sampling(fields, abilities, thinks=thoughts.on)
    body |= _others(fields)
    body["stream"] = request.stream
    return Serialized(
        body=encode(body),
        warnings=fields.finish(),
        betas=(FILES_BETA,) if _names_files(blocks) else (),
        names={ours: theirs for theirs, ours in names.items()},
        emulated=tools.emulated,
        thinks=thoughts.on,
    )


def _thoughts(
    fields: Fields,
    messages: Sequence[Any],
    model: Abilities,
    replay: Replay,
    max_output_tokens: int | None,
) -> Thoughts:
    limit = max_output_tokens or model.max_output_tokens
    max_tokens = _max_tokens(fields, limit)
    effort = fields.take("reasoning_effort")
    thoughts = think(effort, model, max_tokens=max_tokens, limit=limit)
    if thoughts.on and not replay.may_think(messages, model):
        # Its last turn would have to begin with what the client has lost.
        fields.warn("dropped:reasoning_effort")
        return Thoughts(max_tokens=max_tokens)
    fields.warn(*thoughts.warnings)
    return thoughts


def _max_tokens(fields: Fields, limit: int | None) -> int:
    older, wanted = fields.take("max_tokens"), fields.take("max_completion_tokens")
    wanted = older if wanted is None else wanted
    if wanted is None:
        if limit is None:
            fields.warn("mapped:max_tokens")
        return limit or DEFAULT_MAX_TOKENS
    if not isinstance(wanted, int):
        raise RequestRejected("max_tokens must be an integer", param="max_tokens")
    if limit is not None and wanted > limit:
        fields.warn("clamped:max_tokens")
        return limit
    return wanted


def _tool_fields(use: ToolUse) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if use.tools:
        written["tools"] = use.tools
    if use.choice is not None:
        written["tool_choice"] = use.choice
    return written


def _thinking_fields(thoughts: Thoughts, answer_format: Mapping[str, Any] | None) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if thoughts.thinking is not None:
        written["thinking"] = thoughts.thinking
    output: dict[str, Any] = {}
    if thoughts.effort:
        output["effort"] = thoughts.effort
    if answer_format is not None:
        output["format"] = answer_format
    if output:
        written["output_config"] = output
    return written


def _sampling(fields: Fields, model: Abilities, *, thinks: bool) -> dict[str, Any]:
    """Write how to sample, as far as the model still lets anybody choose."""
    given = {name: fields.take(name) for name in _SAMPLING}
    asked = {name: value for name, value in given.items() if not is_identity(name, value)}
    if not model.sampling:
        fields.warn(*(f"dropped:{name}" for name in asked))
        return {}
    if isinstance(asked.get("temperature"), (int, float)) and asked["temperature"] > 1:
        asked["temperature"] = 1
        fields.warn("clamped:temperature")
    refused = []
    if thinks:
        refused = ["temperature", "top_k"]
        if asked.get("top_p", 1) < _MIN_THINKING_TOP_P:
            refused.append("top_p")
    elif "temperature" in asked and not model.sampling_together:
        refused = ["top_p"]
    for name in refused:
        if asked.pop(name, None) is not None:
            fields.warn(f"dropped:{name}")
    return asked


def _others(fields: Fields) -> dict[str, Any]:
    written: dict[str, Any] = {}
    stops = fields.take("stop") or ()
    kept = [stop for stop in stops if isinstance(stop, str) and stop.strip()]
    if len(kept) != len(stops):
        fields.warn("dropped:stop")
    if kept:
        written["stop_sequences"] = kept
    if user_id := _user_id(fields):
        written["metadata"] = {"user_id": user_id}
    tier = fields.take("service_tier")
    if tier in _SERVICE_TIERS:
        written["service_tier"] = _SERVICE_TIERS[tier]
    elif tier is not None:
        fields.warn("dropped:service_tier")
    return written


def _user_id(fields: Fields) -> str:
    """Choose a user id that says nothing of a person; the API refuses others."""
    metadata = fields.take("metadata") or {}
    given = metadata.get("user_id")
    if len(metadata) > (1 if isinstance(given, str) else 0):
        fields.warn("dropped:metadata")
    chosen = ""
    for name, value in (
        ("safety_identifier", fields.take("safety_identifier")),
        ("user", fields.take("user")),
        ("metadata", given if isinstance(given, str) else None),
    ):
        if value is None or (chosen and chosen == value):
            continue
        if not chosen and _OPAQUE.fullmatch(value):
            chosen = value
        else:
            fields.warn(f"dropped:{name}")
    return chosen


def _blocks(conversation: Conversation) -> Iterator[Block]:
    for message in conversation.messages:
        for block in message["content"]:
            if block["type"] == "tool_result":
                yield from block.get("content", ())
            yield block


def _limit_marks(blocks: Sequence[Block], top: Mapping[str, Any] | None, fields: Fields) -> None:
    """Leave as many cache marks as the API takes, the last ones: they cover the most.

    `blocks` were made here, in this order in the request; the mark at the top counts too.
    """
    marked = [block for block in blocks if "cache_control" in block]
    room = _MAX_CACHE_MARKS - (top is not None)
    for block in marked[: max(0, len(marked) - room)]:
        del block["cache_control"]
        fields.warn("dropped:cache_control")


def _names_files(blocks: Sequence[Block]) -> bool:
    return any("source" in block and block["source"].get("type") == "file" for block in blocks)
