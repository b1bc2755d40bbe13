"""Reads answers of OpenAI's Responses API as the chat completions that they stand for.

shape: one choice. Texts of several messages are joined by an empty line, and so are summaries of
reasoning, which become `reasoning_content`; calls keep their order. Items that nobody asked for are
left out. Encrypted reasoning is kept in the message's side data.

Source: OpenAI API reference, "The response object", read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dataplane.codec import encode
from dataplane.errors import UpstreamFailed
from dataplane.provider import Answer, HttpResponse, ResponseFacts
from dataplane.wire import side_data
from dataplane.wire.failures import FailureTable, classify_event
from dataplane.wire.openai_answer import decode_answer, shape_answer
from dataplane.wire.openai_reading import Reading, malformed
from dataplane.wire.responses_replay import (
    BETWEEN_TEXTS,
    CALL_KINDS,
    Place,
    keep,
    message_text,
)

_INCOMPLETE: Final[Mapping[str, str]] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridged:
    """What reading a bridged answer needs to know. place: where it comes from."""

    reading: Reading
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an answer ended: the word for chat, and the upstream's if it says something else."""

    finish_reason: str
    native: str = ""


def read_answer(response: HttpResponse, bridged: Bridged) -> Answer:
    """Read a 2xx unary answer.

    errors: UpstreamFailed bad_response for what is no such answer, or the class of its `error`.
    """
    reading = bridged.reading
    native = decode_answer(response.body, reading.rules.table)
    items = output_of(native)
    end = end_of(native, items, reading)
    message = _message(items)
    side_data.attach(message, keep(items, bridged.place))
    completion: dict[str, Any] = {
        "id": chat_id(native),
        "object": "chat.completion",
        "created": created_of(native),
        "model": native.get("model"),
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": end.finish_reason}
        ],
        "usage": chat_usage(native.get("usage")),
        **tier_of(native),
    }
    facts = ResponseFacts()
    shape_answer(completion, reading, facts, response.body)
    note_end(native, end, facts)
    completion["model"] = reading.request.model
    return Answer(body=encode(completion), facts=facts)


def output_of(native: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the output items. Raises UpstreamFailed (bad_response) if there is no list of them."""
    items = native.get("output")
    if not isinstance(items, list):
        raise malformed("the answer has no output")
    if not all(isinstance(item, dict) for item in items):
        raise malformed("an item of the answer is not an object")
    return items


def end_of(native: Mapping[str, Any], items: Sequence[Mapping[str, Any]], reading: Reading) -> End:
    """Tell how an answer ended. Raises UpstreamFailed if it failed, or did not end."""
    match native:
        case {"status": "completed"}:
            called = any(item.get("type") in CALL_KINDS for item in items)
            # A forced function ends with `stop`, as in chat completions.
            calls = called and not reading.request.forced_tool
            return End(finish_reason="tool_calls" if calls else "stop")
        case {"status": "incomplete", "incomplete_details": {"reason": str(reason)}}:
            return End(finish_reason=_INCOMPLETE.get(reason, reason), native=reason)
        case {"status": "incomplete"}:
            return End(finish_reason="length", native="incomplete")
        case {"status": "failed"}:
            raise failed(native, reading.rules.table)
        case _:
            raise malformed("the answer did not come to an end")


def failed(native: Mapping[str, Any], table: FailureTable) -> UpstreamFailed:
    """Classify a response that failed, or an event that says so."""
    error = native.get("error")
    return classify_event(error or native, table)


def chat_id(native: Mapping[str, Any]) -> str:
    """Give the id that a caller gets; empty if the upstream gave none."""
    given = native.get("id")
    if not isinstance(given, str) or not given:
        return ""
    return f"chatcmpl-{given.removeprefix('resp_')}"


def created_of(native: Mapping[str, Any]) -> int:
    """Give the second in which the answer began, 0 if unknown."""
    created = native.get("created_at")
    return int(created) if isinstance(created, int | float) else 0


def tier_of(native: Mapping[str, Any]) -> dict[str, str]:
    """Give `service_tier`, if the upstream told it."""
    tier = native.get("service_tier")
    return {"service_tier": tier} if isinstance(tier, str) else {}


def chat_usage(usage: Any) -> dict[str, Any] | None:
    """Say usage in the words of chat completions; None if the upstream did not tell it."""
    match usage:
        case {"input_tokens": int(read), "output_tokens": int(written)}:
            pass
        case _:
            return None
    said: dict[str, Any] = {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
    for name, native in (("prompt", "input"), ("completion", "output")):
        if isinstance(details := usage.get(f"{native}_tokens_details"), dict):
            said[f"{name}_tokens_details"] = details
    return said


def note_end(native: Mapping[str, Any], end: End, facts: ResponseFacts) -> None:
    """Keep the upstream's own id and word for the end."""
    if isinstance(native.get("id"), str):
        facts.response_id = native["id"]
    facts.native_finish_reason = end.native


def thoughts_of(item: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """Give the texts of a reasoning item: (`summary` or `content`, index, text)."""
    thoughts: list[tuple[str, int, str]] = []
    for key in ("summary", "content"):
        parts = item.get(key)
        for at, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict) and isinstance(part.get("text"), str) and part["text"]:
                thoughts.append((key, at, part["text"]))
    return thoughts


def call_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Write a call's item as a tool call of chat completions, as far as it is known."""
    kind, argument = ("custom", "input")
    if item.get("type") == "function_call":
        kind, argument = ("function", "arguments")
    text = item.get(argument)
    inner = {"name": item.get("name"), argument: text if isinstance(text, str) else ""}
    return {"id": item.get("call_id"), "type": kind, kind: inner}


def _message(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for item in items:
        match item.get("type"):
            case "message":
                texts.append(message_text(item))
                refusals += _refusals(item)
            case "reasoning":
                thoughts += [text for _key, _at, text in thoughts_of(item)]
            case str(kind) if kind in CALL_KINDS:
                calls.append(call_of(item))
            case _:
                pass
    text = BETWEEN_TEXTS.join(filter(None, texts))
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    message["refusal"] = "".join(refusals) or None
    if not text and not calls and not refusals:
        message["content"] = ""
    if thoughts:
        message["reasoning_content"] = BETWEEN_TEXTS.join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _refusals(item: Mapping[str, Any]) -> list[str]:
    parts = item.get("content")
    return [
        part["refusal"]
        for part in (parts if isinstance(parts, list) else ())
        if isinstance(part, dict) and isinstance(part.get("refusal"), str)
    ]
