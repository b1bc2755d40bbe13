"""Read whole answers of the Messages API into the canonical form, and what streams share with them.

An answer is a list of blocks; texts are joined, calls are numbered, and what OpenAI's form has no
place for (signed reasoning, citations) becomes side data. The API tells no creation time: `created`
is the date of the answer's head, in streams too.

Source: Anthropic API reference, "Messages", read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from dataplane.codec import DecodeError, decode_object, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Answer, HttpResponse, ModelInfo, Request, ResponseFacts, Usage
from dataplane.wire import side_data
from dataplane.wire.creation import created
from dataplane.wire.failure_tables import ANTHROPIC
from dataplane.wire.failures import classify_event
from dataplane.wire.side_data import Origin, SideData
from dataplane.wire.tool_ids import digest62

_FINISH_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    # The server's own tools are still at work, and going on is not ours to decide.
    "pause_turn": "length",
}
# What these say, the canonical words say too.
_PLAIN: Final = frozenset({"end_turn", "max_tokens", "tool_use"})
_REFUSED: Final = "The provider's safeguards ended this answer."
_COUNTERS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


class Reading(Struct, frozen=True, kw_only=True):
    """What reading one answer needs to know.

    origin: whom signed blocks are from. names: the API's tool names -> the caller's.
    emulated: the tool whose arguments are the answer, empty if there is none.
    thinks: whether the model was free to think.
    """

    request: Request
    origin: Origin
    names: Mapping[str, str] = {}
    emulated: str = ""
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
        self.reasoning: list[Mapping[str, Any]] = []
        self.citations: list[Mapping[str, Any]] = []
        self.emulated = False
        self._reading = reading
        self._facts = facts
        self._layout: list[str | int] = []
        self._counters: dict[str, int] = {}
        self._thinking_tokens: int | None = None
        self._native_reason = ""

    def call(self, block: Mapping[str, Any]) -> Call | None:
        """Begin a tool call; None for the tool that stands for the answer's schema."""
        name, call_id = block.get("name"), block.get("id")
        if not isinstance(name, str) or not name:
            raise malformed("a tool call has no name")
        if name == self._reading.emulated:
            self.emulated = True
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

    def thought(self, block: Mapping[str, Any]) -> None:
        """Keep a block of reasoning as it must be sent back; without a signature it need not be."""
        if block.get("signature") or block.get("data"):
            self.reasoning.append(block)
            self._layout.append(side_data.REASONING)

    def leave_out(self) -> None:
        """Note that a block has no place in the canonical form."""
        warn(self._facts, "dropped:content")

    def count(self, usage: Any) -> None:
        """Take counters; they are running totals, and the last word on each counts."""
        if not isinstance(usage, dict):
            return
        for name in _COUNTERS:
            value = usage.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                self._counters[name] = value
        details = usage.get("output_tokens_details")
        if isinstance(details, dict) and isinstance(details.get("thinking_tokens"), int):
            self._thinking_tokens = details["thinking_tokens"]

    def usage(self) -> Mapping[str, Any] | None:
        """Give the canonical `usage`, and note it; None if the answer told nothing."""
        counted = self._counters
        if "input_tokens" not in counted and "output_tokens" not in counted:
            return None
        read = counted.get("cache_read_input_tokens")
        made = counted.get("cache_creation_input_tokens")
        prompt = counted.get("input_tokens", 0) + (read or 0) + (made or 0)
        completion = counted.get("output_tokens", 0)
        self._facts.usage = Usage(
            input_tokens=prompt,
            output_tokens=completion,
            cache_read_tokens=read,
            cache_write_tokens=made,
            reasoning_tokens=self._thinking_tokens,
        )
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        cached = {"cached_tokens": read, "cache_write_tokens": made}
        if details := {name: count for name, count in cached.items() if count is not None}:
            usage["prompt_tokens_details"] = details
        if self._thinking_tokens is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": self._thinking_tokens}
        return usage

    def finish(self, native: Any) -> str:
        """Give the canonical finish reason, and note it; an unknown one is a `stop`, with a warning."""
        known = _FINISH_REASONS.get(native) if isinstance(native, str) else None
        if known is None:
            warn(self._facts, "mapped:finish_reason")
        reason = known or "stop"
        if reason == "stop" and self.calls:
            reason = "tool_calls"
        elif reason == "tool_calls" and not self.calls:
            # The tool that stands for a schema is the answer, and nobody's call.
            if not self.emulated:
                warn(self._facts, "mapped:finish_reason")
            reason = "stop"
        self._native_reason = native if isinstance(native, str) else ""
        self._facts.finish_reasons[0] = reason
        self._facts.native_finish_reason = (
            "" if self._native_reason == reason else self._native_reason
        )
        if reason == "tool_calls" and self._reading.request.legacy_functions:
            if len(self.calls) > 1:
                # The old form knows a single call.
                warn(self._facts, "dropped:tool_calls")
            return "function_call"
        return reason

    def side(self) -> SideData:
        """Give the side data; call it after `finish`."""
        native = self._native_reason
        return SideData(
            origin=self._reading.origin,
            reasoning=self.reasoning,
            thought_nothing=self._reading.thinks and bool(self.calls) and not self.reasoning,
            layout=side_data.layout_of(self._layout),
            citations=self.citations,
            finish_reason="" if native in _PLAIN else native,
        )


def read_answer(response: HttpResponse, reading: Reading) -> Answer:
    """Read a 2xx unary answer.

    Raises UpstreamFailed: bad_response for what is no message, or the class of its error.
    """
    try:
        native = decode_object(response.body)
    except DecodeError as error:
        raise malformed("the answer is not a JSON object") from error
    if native.get("type") == "error":
        raise classify_event(native, ANTHROPIC)
    facts = ResponseFacts()
    note_message(native, facts)
    gathered = Gathered(reading, facts)
    message = _read_blocks(native.get("content"), gathered, reading)
    gathered.count(native.get("usage"))
    reason = gathered.finish(native.get("stop_reason"))
    if native.get("stop_reason") == "refusal":
        message["refusal"] = refusal(native)
    side_data.attach(message, gathered.side())
    body = {
        "id": facts.response_id,
        "object": "chat.completion",
        "created": created(response.headers),
        "model": reading.request.model,
        "system_fingerprint": None,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": gathered.usage(),
    }
    return Answer(body=encode(body), facts=facts)


def read_models(response: HttpResponse) -> Sequence[ModelInfo]:
    """Read a list of models. Raises UpstreamFailed (bad_response)."""
    try:
        data = decode_object(response.body).get("data")
    except DecodeError as error:
        raise malformed("the list of models is not a JSON object") from error
    if not isinstance(data, list):
        raise malformed("the list of models has no data")
    return [
        ModelInfo(
            id=item["id"],
            owned_by="anthropic",
            context_window=window
            if isinstance(window := item.get("max_input_tokens"), int)
            else None,
        )
        for item in data
        if isinstance(item, dict) and isinstance(item.get("id"), str)
    ]


def note_message(native: Mapping[str, Any], facts: ResponseFacts) -> None:
    """Note a message's id and model. An answer without an id gets one that is always the same."""
    given, model = native.get("id"), native.get("model")
    facts.response_model = model if isinstance(model, str) else ""
    if not isinstance(given, str) or not given:
        given = f"msg_{digest62(encode(native).decode(), 24)}"
    facts.response_id = given


def refusal(holder: Mapping[str, Any]) -> str:
    """Give the words for a refusal: the upstream's explanation, else ours."""
    match holder.get("stop_details"):
        case {"explanation": str(explanation)} if explanation:
            return explanation
        case _:
            return _REFUSED


def annotation(citation: Mapping[str, Any], start: int, end: int) -> Mapping[str, Any] | None:
    """Write a citation of a web page as an annotation of content[start:end]; None for others."""
    match citation:
        case {"type": "web_search_result_location", "url": str(url)}:
            title = citation.get("title")
            return {
                "type": "url_citation",
                "url_citation": {
                    "url": url,
                    "title": title if isinstance(title, str) else "",
                    "start_index": start,
                    "end_index": end,
                },
            }
        case _:
            return None


def written_call(call: Call) -> Mapping[str, Any]:
    """Write a whole call in the canonical form."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def text_of(block: Mapping[str, Any], key: str) -> str:
    """Give a text member, empty if absent. Raises UpstreamFailed (bad_response) for a non-text."""
    value = block.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(f"{key} is not a string")
    return value


def malformed(what: str) -> UpstreamFailed:
    """Make the failure for a 2xx answer that is not in the API's format."""
    return UpstreamFailed(ErrorClass.BAD_RESPONSE, f"bad answer: {what}", status=200)


def warn(facts: ResponseFacts, warning: str) -> None:
    """Note a warning once."""
    if warning not in facts.warnings:
        facts.warnings.append(warning)


def _read_blocks(blocks: Any, gathered: Gathered, reading: Reading) -> dict[str, Any]:
    if not isinstance(blocks, list):
        raise malformed("the answer has no content")
    texts: list[str] = []
    thoughts: list[str] = []
    answers: list[str] = []
    annotations: list[Mapping[str, Any]] = []
    at = 0
    for block in blocks:
        if not isinstance(block, dict):
            raise malformed("a block of the answer is not an object")
        match block.get("type"):
            case "text":
                text = text_of(block, "text")
                gathered.text(len(text))
                texts.append(text)
                annotations += _cited(block, gathered, at, at + len(text))
                at += len(text)
            case "thinking":
                thoughts.append(text_of(block, "thinking"))
                gathered.thought(block)
            case "redacted_thinking":
                gathered.thought(block)
            case "tool_use":
                given = block.get("input")
                arguments = encode({} if given is None else given).decode()
                call = gathered.call(block)
                if call is None:
                    answers.append(arguments)
                else:
                    call.arguments = arguments
            case _:
                gathered.leave_out()
    content = "".join(answers if gathered.emulated else texts)
    calls = gathered.calls
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if calls and not content else content,
        "refusal": None,
    }
    if reasoning := "".join(thoughts):
        message["reasoning_content"] = reasoning
    if annotations:
        message["annotations"] = annotations
    if calls and reading.request.legacy_functions:
        message["function_call"] = written_call(calls[0])["function"]
    elif calls:
        message["tool_calls"] = [written_call(call) for call in calls]
    return message


def _cited(
    block: Mapping[str, Any], gathered: Gathered, start: int, end: int
) -> list[Mapping[str, Any]]:
    """Keep a text's citations, and give those that the canonical form knows."""
    citations = block.get("citations")
    found = (
        [each for each in citations if isinstance(each, dict)]
        if isinstance(citations, list)
        else []
    )
    gathered.citations += found
    return [each for citation in found if (each := annotation(citation, start, end)) is not None]
