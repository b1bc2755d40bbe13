"""Read whole answers of Converse into the canonical form, and what streams share with them.

An answer is a list of blocks in no certain order; texts are joined, calls are numbered, and the
reasoning that Claude wants to see again becomes side data. Converse names neither the answer nor
its model nor the time: the id is AWS' id of the request, the time that of the answer's head.

Source: Amazon Bedrock API reference, Converse, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from dataplane.codec import DecodeError, decode_object, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Answer, HttpResponse, Request, ResponseFacts, Usage
from dataplane.wire import side_data
from dataplane.wire.bedrock_models import BedrockModel, Family
from dataplane.wire.bedrock_replay import PROVIDER_TYPE
from dataplane.wire.creation import created
from dataplane.wire.failures import request_id
from dataplane.wire.side_data import Origin, SideData
from dataplane.wire.tool_ids import digest62

_FINISH_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
# What these say, the canonical words say too.
_PLAIN: Final = frozenset({"end_turn", "max_tokens", "tool_use"})
_MALFORMED: Final = frozenset({"malformed_model_output", "malformed_tool_use"})
_SERVER_TOOL: Final = "server_tool_use"


class Reading(Struct, frozen=True, kw_only=True):
    """What reading one answer needs to know.

    names: names of functions as they were sent -> the caller's, where they differ.
    answer_tool: the function whose arguments are the answer, empty if there is none.
    thinks: whether the model was free to think.
    """

    request: Request
    model: BedrockModel
    names: Mapping[str, str] = {}
    answer_tool: str = ""
    thinks: bool = False


@dataclass(slots=True)
class Call:
    """A tool call; `arguments` is JSON text, in the order of the answer's calls."""

    index: int
    id: str
    name: str
    arguments: str = ""


class Gathered:
    """What the blocks of one answer came to, whole or in pieces."""

    def __init__(self, reading: Reading, facts: ResponseFacts) -> None:
        self.calls: list[Call] = []
        self.answered = False  # by the tool that stands for the answer's schema
        self._reading = reading
        self._facts = facts
        self._reasoning: list[Mapping[str, Any]] = []
        self._layout: list[str | int] = []
        self._native_reason = ""

    def call(self, block: Mapping[str, Any]) -> Call | None:
        """Begin a tool call; None for the tool that stands for the answer's schema."""
        name, call_id = block.get("name"), block.get("toolUseId")
        if not isinstance(name, str) or not name:
            raise malformed("a tool call has no name")
        if name == self._reading.answer_tool:
            self.answered = True
            return None
        at = len(self.calls)
        if not isinstance(call_id, str) or not call_id or any(c.id == call_id for c in self.calls):
            call_id = f"call_{digest62(f'{self._facts.response_id}/{at}', 24)}"
        call = Call(index=at, id=call_id, name=self._reading.names.get(name, name))
        self.calls.append(call)
        self._layout.append(side_data.TOOL)
        return call

    def text(self, length: int) -> None:
        """Note where a block of text stood; length in characters."""
        if length:
            self._layout.append(length)

    def thought(self, content: Mapping[str, Any]) -> None:
        """Keep a block of reasoning as it must be sent back; only Claude wants it."""
        if self._reading.model.family is Family.CLAUDE:
            self._reasoning.append({"reasoningContent": content})
            self._layout.append(side_data.REASONING)

    def leave_out(self) -> None:
        """Note that a block has no place in the canonical form."""
        _warn(self._facts, "dropped:content")

    def usage(self, counters: Any) -> Mapping[str, Any] | None:
        """Give the canonical `usage`, and note it; None if the answer told nothing."""
        counted = counters if isinstance(counters, dict) else {}
        sent, written = _count(counted, "inputTokens"), _count(counted, "outputTokens")
        if sent is None and written is None:
            return None
        read = _count(counted, "cacheReadInputTokens")
        made = _count(counted, "cacheWriteInputTokens")
        prompt = (sent or 0) + (read or 0) + (made or 0)
        completion = written or 0
        self._facts.usage = Usage(
            input_tokens=prompt,
            output_tokens=completion,
            cache_read_tokens=read,
            cache_write_tokens=made,
        )
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        cached = {"cached_tokens": read, "cache_write_tokens": made}
        if details := {name: count for name, count in cached.items() if count is not None}:
            usage["prompt_tokens_details"] = details
        return usage

    def finish(self, native: Any) -> str:
        """Give the canonical finish reason, and note it.

        An unknown one is a `stop`, with a warning. Raises UpstreamFailed (upstream_error) if the
        model wrote something that cannot be read.
        """
        if isinstance(native, str) and native in _MALFORMED:
            raise UpstreamFailed(
                ErrorClass.UPSTREAM_ERROR, f"the answer ended with {native}", status=200
            )
        known = _FINISH_REASONS.get(native) if isinstance(native, str) else None
        if known is None:
            _warn(self._facts, "mapped:finish_reason")
        reason = known or "stop"
        if reason == "stop" and self.calls:
            reason = "tool_calls"
        elif reason == "tool_calls" and not self.calls:
            # The tool that stands for a schema is the answer, and nobody's call.
            if not self.answered:
                _warn(self._facts, "mapped:finish_reason")
            reason = "stop"
        self._native_reason = native if isinstance(native, str) else ""
        self._facts.finish_reasons[0] = reason
        self._facts.native_finish_reason = (
            "" if self._native_reason == reason else self._native_reason
        )
        if reason == "tool_calls" and self._reading.request.legacy_functions:
            if len(self.calls) > 1:
                # The old form knows a single call.
                _warn(self._facts, "dropped:tool_calls")
            return "function_call"
        return reason

    def side(self) -> SideData:
        """Give the side data; call it after `finish`."""
        native = self._native_reason
        return SideData(
            origin=Origin(type=PROVIDER_TYPE, model=self._reading.model.name),
            reasoning=self._reasoning,
            thought_nothing=self._reading.thinks and bool(self.calls) and not self._reasoning,
            layout=side_data.layout_of(self._layout),
            finish_reason="" if native in _PLAIN else native,
        )


def read_answer(response: HttpResponse, reading: Reading) -> Answer:
    """Read a 2xx answer of Converse.

    Raises UpstreamFailed: bad_response for what is none, upstream_error for a broken one.
    """
    native = decoded(response.body)
    match native.get("output"):
        case {"message": {"content": list(blocks)}}:
            pass
        case _:
            raise malformed("the answer has no message")
    facts = ResponseFacts(response_id=answer_id(response.headers, response.body))
    gathered = Gathered(reading, facts)
    message = _read_blocks(blocks, gathered, reading)
    reason = gathered.finish(native.get("stopReason"))
    side_data.attach(message, gathered.side())
    body = {
        "id": facts.response_id,
        "object": "chat.completion",
        "created": created(response.headers),
        "model": reading.request.model,
        "system_fingerprint": None,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": gathered.usage(native.get("usage")),
    }
    return Answer(body=encode(body), facts=facts)


def answer_id(headers: Mapping[str, str], first: bytes) -> str:
    """Name an answer after AWS' id of the request, or if there is none, after its first bytes."""
    return f"chatcmpl-{request_id(headers) or digest62(first.decode('utf-8', 'replace'), 24)}"


def decoded(payload: bytes) -> Mapping[str, Any]:
    """Decode a JSON object. Raises UpstreamFailed (bad_response) if it is none."""
    try:
        return decode_object(payload)
    except DecodeError as error:
        raise malformed("it is not a JSON object") from error


def text_of(block: Mapping[str, Any], key: str) -> str:
    """Give a text member, empty if absent. Raises UpstreamFailed (bad_response) for a non-text."""
    value = block.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(f"{key} is not a string")
    return value


def is_servers_own(use: Mapping[str, Any]) -> bool:
    """Tell whether a tool use is the server's own business, and no call of the caller's."""
    return use.get("type") == _SERVER_TOOL


def written_call(call: Call) -> Mapping[str, Any]:
    """Write a whole call in the canonical form."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def malformed(what: str) -> UpstreamFailed:
    """Make the failure for a 2xx answer that is not in Converse's format."""
    return UpstreamFailed(ErrorClass.BAD_RESPONSE, f"bad answer: {what}", status=200)


def _read_blocks(blocks: list[Any], gathered: Gathered, reading: Reading) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    answers: list[str] = []
    for block in blocks:
        match block:
            case {"text": str(text)}:
                texts.append(text)
                gathered.text(len(text))
            case {"citationsContent": {"content": list(pieces)}}:
                text = "".join(
                    text_of(piece, "text") for piece in pieces if isinstance(piece, dict)
                )
                texts.append(text)
                gathered.text(len(text))
            case {"reasoningContent": dict(thought)}:
                match thought:
                    case {"reasoningText": dict(reasoning)}:
                        thoughts.append(text_of(reasoning, "text"))
                gathered.thought(thought)
            case {"toolUse": dict(use)} if not is_servers_own(use):
                given = use.get("input")
                arguments = encode({} if given is None else given).decode()
                call = gathered.call(use)
                if call is None:
                    answers.append(arguments)
                else:
                    call.arguments = arguments
            case dict():
                gathered.leave_out()
            case _:
                raise malformed("a block of the answer is not an object")
    content = "".join(answers if gathered.answered else texts)
    calls = gathered.calls
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if calls and not content else content,
        "refusal": None,
    }
    if reasoning_text := "".join(thoughts):
        message["reasoning_content"] = reasoning_text
    if calls and reading.request.legacy_functions:
        message["function_call"] = written_call(calls[0])["function"]
    elif calls:
        message["tool_calls"] = [written_call(call) for call in calls]
    return message


def _count(counters: Mapping[str, Any], name: str) -> int | None:
    value = counters.get(name)
    # JSON's true is an int in Python.
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _warn(facts: ResponseFacts, warning: str) -> None:
    if warning not in facts.warnings:
        facts.warnings.append(warning)
