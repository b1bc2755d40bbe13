"""Brings what a model said into the one shape, in whole messages and in deltas alike.

Upstreams differ in the name of the reasoning text, in lists where OpenAI has a string, in how a
call of a tool is written, and in the words for the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct

from dataplane.codec import encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Request, ResponseFacts, Usage
from dataplane.wire.failures import FailureTable
from dataplane.wire.side_data import Origin, SideData, attach
from dataplane.wire.thinking_tags import ThinkTags, split_thinking
from dataplane.wire.tool_ids import digest62
from dataplane.wire.vendor_keys import VendorKeys, Verdicts

_FINISH_REASONS: Final[Mapping[str, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "model_length": "length",
    "repetition": "length",
}
# What others call `reasoning_content`.
_REASONING_NAMES: Final = ("reasoning", "thinking")
# An end that is none: Mistral's `error`, vLLM's `abort`.
_FAILED: Final = frozenset({"error", "abort"})
_WARNED: Final = frozenset({"repetition"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRules:
    """What is peculiar to an upstream's answers.

    table: how it words failures. forced_tool_stops: a forced named tool ends with `stop`, as at
    OpenAI; elsewhere calls always end with `tool_calls`. redirects: it may serve another model
    than the one asked for, which is worth a warning. notice_header: where it says that a model is
    on its way out, which is worth another; empty if there is none. vendor_keys: what it adds to
    the format.
    """

    table: FailureTable
    forced_tool_stops: bool = False
    redirects: bool = False
    notice_header: str = ""
    vendor_keys: VendorKeys = field(default_factory=dict)


class Reading(Struct, frozen=True, kw_only=True):
    """What reading one answer needs to know.

    names: the upstream's tool names -> the caller's. tags: what is done about `<think>` in texts.
    provider_type: of whom the answer is, for its side data.
    """

    request: Request
    upstream_model: str
    rules: AnswerRules
    names: Mapping[str, str]
    tags: ThinkTags = ThinkTags.KEPT
    provider_type: str = ""


def malformed(message: str) -> UpstreamFailed:
    """Say that an answer cannot be read."""
    return UpstreamFailed(ErrorClass.BAD_RESPONSE, message)


def truncated(*, said: bool) -> UpstreamFailed:
    """Say that a stream broke off. said: whether it had said something before."""
    if said:
        return UpstreamFailed(
            ErrorClass.STREAM_ABORT,
            "the stream ended before the answer did",
            error_type="stream.truncated",
        )
    # Nothing was said, so the answer may still come from elsewhere.
    return UpstreamFailed(
        ErrorClass.BAD_RESPONSE,
        "the stream ended before it said anything",
        error_type="stream.truncated",
    )


def join_content(said: dict[str, Any]) -> bool:
    """Turn a list of content chunks into `content`, `reasoning_content` and `annotations`.

    shape of the list: `text`, `thinking` (a string or a list of text chunks) and `reference`
    chunks, as Mistral has them; unknown kinds are left out. Returns whether anything changed.
    """
    chunks = said.get("content")
    if not isinstance(chunks, list):
        return False
    texts: list[str] = []
    thoughts: list[str] = []
    references: list[Any] = []
    for chunk in chunks:
        match chunk:
            case str():
                texts.append(chunk)
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "thinking", "thinking": str(text)}:
                thoughts.append(text)
            case {"type": "thinking", "thinking": list(inner)}:
                thoughts += [
                    part["text"]
                    for part in inner
                    if isinstance(part, dict) and isinstance(part.get("text"), str)
                ]
            case {"type": "reference"}:
                references.append(chunk)
            case _:
                pass
    if texts or not thoughts:
        said["content"] = "".join(texts)
    else:
        said["content"] = None
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    if references:
        said["annotations"] = references
    return True


def rename_reasoning(said: dict[str, Any]) -> bool:
    """Write the reasoning text as `reasoning_content` only. Returns whether anything changed.

    A key that is null says nothing, and is left out.
    """
    changed = False
    for name in _REASONING_NAMES:
        if name not in said:
            continue
        reasoning = said[name]
        if isinstance(reasoning, str) and not said.get("reasoning_content"):
            said["reasoning_content"] = reasoning
        elif reasoning is not None and not isinstance(reasoning, str):
            continue
        del said[name]
        changed = True
    if "reasoning_content" in said and said["reasoning_content"] is None:
        del said["reasoning_content"]
        changed = True
    return changed


def attach_verdicts(said: dict[str, Any], verdicts: Verdicts, reading: Reading) -> bool:
    """Put what filters found into the side data of a message, or of a finishing delta.

    Returns whether there was anything.
    """
    kept = {about: found for about, found in verdicts.items() if found}
    if not kept:
        return False
    origin = Origin(type=reading.provider_type, model=reading.upstream_model)
    attach(said, SideData(origin=origin, content_filter=kept))
    return True


def split_content(said: dict[str, Any], tags: ThinkTags) -> bool:
    """Take tagged reasoning out of a whole message's text. Returns whether anything changed."""
    content = said.get("content")
    if tags is ThinkTags.KEPT or not isinstance(content, str):
        return False
    thought, text = split_thinking(content, tags)
    if text == content:
        return False
    said["content"] = text or None
    if thought:
        said["reasoning_content"] = (said.get("reasoning_content") or "") + thought
    return True


def finish_reason(
    native: str, reading: Reading, facts: ResponseFacts, *, index: int, called: bool
) -> str:
    """Give the canonical word for an end, and keep both words in `facts`.

    called: whether a tool was called. Raises UpstreamFailed (upstream_error) for an end that is
    a failure.
    """
    if native in _FAILED:
        raise UpstreamFailed(
            ErrorClass.UPSTREAM_ERROR,
            f"the provider ended the answer with finish_reason {native}",
            error_type="stream.error",
        )
    word = _FINISH_REASONS.get(native)
    if word is None or native in _WARNED:
        warn(facts, "mapped:finish_reason")
    word = word or "stop"
    if called and word == "stop":
        forced = reading.request.forced_tool and reading.rules.forced_tool_stops
        word = "stop" if forced else "tool_calls"
    elif word == "tool_calls" and not called:
        warn(facts, "mapped:finish_reason")
        word = "stop"
    facts.finish_reasons[index] = word
    if index == 0 and native != word:
        facts.native_finish_reason = native
    return "function_call" if word == "tool_calls" and reading.request.legacy_functions else word


def whole_calls(calls: Sequence[Any], names: Mapping[str, str], seed: str) -> list[dict[str, Any]]:
    """Bring the calls of a whole message into shape: each with id, type, name and JSON arguments.

    Missing and repeated ids are made from `seed`, so that the same answer gives the same ids.
    """
    written: list[dict[str, Any]] = []
    ids: set[str] = set()
    for at, call in enumerate(calls):
        if not isinstance(call, dict):
            raise malformed("a tool call of the answer is not an object")
        call_id = call.get("id")
        if not isinstance(call_id, str) or not call_id or call_id in ids:
            call_id = invented_id(seed, at)
        ids.add(call_id)
        if isinstance(call.get("custom"), dict):
            written.append({**call, "id": call_id, "type": "custom"})
            continue
        function = call.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise malformed("a tool call of the answer has no name")
        name = function["name"]
        fixed = {
            **function,
            "name": names.get(name, name),
            "arguments": arguments_text(function.get("arguments")) or "{}",
        }
        written.append({**call, "id": call_id, "type": "function", "function": fixed})
    return written


def arguments_text(value: Any) -> str:
    """Give arguments as text: a string as it is, null as nothing, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else encode(value).decode()


def invented_id(seed: str, at: int) -> str:
    """Make the id of a tool call that came without one."""
    return f"call_{digest62(f'{seed}/{at}', 24)}"


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Read a usage object; what is absent or no number stays None."""
    prompt = usage.get("prompt_tokens_details")
    completion = usage.get("completion_tokens_details")
    prompt = prompt if isinstance(prompt, dict) else {}
    completion = completion if isinstance(completion, dict) else {}
    written = _count(prompt, "cache_write_tokens")
    return Usage(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        cache_read_tokens=_count(prompt, "cached_tokens"),
        cache_write_tokens=_count(prompt, "created_cache_tokens") if written is None else written,
        reasoning_tokens=_count(completion, "reasoning_tokens"),
    )


def note_model(native: Any, reading: Reading, facts: ResponseFacts) -> None:
    """Keep the upstream's own name of the model, and warn if it is another than asked for."""
    if not isinstance(native, str) or not native or facts.response_model:
        return
    facts.response_model = native
    if reading.rules.redirects and native != reading.upstream_model:
        warn(facts, "mapped:model")


def note_headers(headers: Mapping[str, str], reading: Reading, facts: ResponseFacts) -> None:
    """Warn if the upstream's headers say something of the model's future."""
    if headers.get(reading.rules.notice_header):
        warn(facts, "notice:model")


def warn(facts: ResponseFacts, warning: str) -> None:
    """Add a warning, once."""
    if warning not in facts.warnings:
        facts.warnings.append(warning)


def _count(holder: Mapping[str, Any], name: str) -> int | None:
    value = holder.get(name)
    return value if isinstance(value, int) and value >= 0 else None
