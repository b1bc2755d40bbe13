"""Turn the event streams of the Messages API into the caller's.

shape: a role chunk, then one chunk for each piece of reasoning, of text and of a call's arguments,
then the finish chunk with the side data, then the usage chunk if it was asked for. A call begins
with a chunk that has its id, its name and no arguments yet.

A stream is complete only by its `message_stop`. Texts are by far the most events, so their chunks
are glued from bytes made once, and only the text itself is encoded.

Source: Anthropic API reference, "Streaming", and openai-python 3.54's reading of chunks, read
2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataplane.codec import DecodeError, decode_object, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Batch, ResponseFacts
from dataplane.wire import side_data
from dataplane.wire.anthropic_answer import (
    Call,
    Gathered,
    Reading,
    annotation,
    malformed,
    note_message,
    refusal,
    text_of,
)
from dataplane.wire.creation import created
from dataplane.wire.failure_tables import ANTHROPIC
from dataplane.wire.failures import classify_event
from dataplane.wire.sse import Event, SseSplitter


@dataclass(slots=True, kw_only=True)
class _Block:
    """A block under way.

    start: characters of the answer before it. given: the arguments that its first event held.
    """

    kind: str
    native: dict[str, Any]
    start: int = 0
    length: int = 0
    call: Call | None = None
    given: Any = None
    pieces: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)
    citations: list[Mapping[str, Any]] = field(default_factory=list)


class AnthropicDecoder:
    """The decoder of one stream of /v1/messages; see StreamDecoder."""

    def __init__(self, reading: Reading, headers: Mapping[str, str]) -> None:
        self.facts = ResponseFacts()
        self._reading = reading
        self._created = created(headers)
        self._legacy = reading.request.legacy_functions
        self._gathered = Gathered(reading, self.facts)
        self._events = SseSplitter()
        self._blocks: dict[int, _Block] = {}
        self._chars = 0
        self._spoke = False
        self._stop: Mapping[str, Any] = {}
        # Text of an answer that should have been a tool's arguments: said only if none come.
        self._held: list[str] = []
        # Beginning and end of every chunk; the first is made from the first event.
        self._head = b""
        self._tail = b',"usage":null}\n\n' if reading.request.include_usage else b"}\n\n"
        self._text_head = b""
        self._text_tail = b'},"logprobs":null,"finish_reason":null}]' + self._tail

    def feed(self, data: bytes) -> Batch:
        """Take the next bytes, cut anywhere."""
        batch = Batch()
        out: list[bytes] = []
        try:
            for event in self._events.feed(data):
                self._read(_decoded(event), batch, out)
                if batch.done:
                    break
        except UpstreamFailed as failure:
            batch.failure = failure
        batch.data = b"".join(out)
        return batch

    def finish(self) -> Batch:
        """Take the end of the body; a last event may lack its blank line."""
        batch = Batch()
        out: list[bytes] = []
        try:
            for event in self._events.finish():
                self._read(self._decoded_last(event), batch, out)
            if not batch.done:
                raise self._truncated()
        except UpstreamFailed as failure:
            batch.failure = failure
        batch.data = b"".join(out)
        return batch

    def _decoded_last(self, event: Event) -> Mapping[str, Any]:
        try:
            return decode_object(event[1])
        except DecodeError as error:
            raise self._truncated() from error

    def _truncated(self) -> UpstreamFailed:
        # Before anything was said this is like an empty answer, and another target may be asked.
        error = ErrorClass.STREAM_ABORT if self._spoke else ErrorClass.BAD_RESPONSE
        return UpstreamFailed(
            error, "the stream ended before its message_stop", error_type="stream.truncated"
        )

    def _read(self, native: Mapping[str, Any], batch: Batch, out: list[bytes]) -> None:
        kind = native.get("type")
        said = False
        if kind == "content_block_delta":
            said = self._piece(native, out)
        elif kind == "content_block_start":
            said = self._open(native, out)
        elif kind == "content_block_stop":
            said = self._close(native, out)
        elif kind == "message_delta":
            self._note_stop(native)
        elif kind == "message_start":
            self._begin(native, out)
        elif kind == "message_stop":
            self._end(out)
            said = batch.done = True
        elif kind == "error":
            raise classify_event(native, ANTHROPIC)
        # Pings, and kinds of events that are yet to come, say nothing.
        if said:
            batch.chunks += 1
            batch.semantic = self._spoke = True

    def _begin(self, native: Mapping[str, Any], out: list[bytes]) -> None:
        message = native.get("message")
        if not isinstance(message, dict) or self._head:
            raise malformed("message_start has no message, or comes twice")
        note_message(message, self.facts)
        self._gathered.count(message.get("usage"))
        top = {
            "id": self.facts.response_id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._reading.request.model,
            "system_fingerprint": None,
        }
        self._head = b"data: " + encode(top)[:-1] + b',"choices":'
        self._text_head = self._head + b'[{"index":0,"delta":{"content":'
        out.append(self._delta({"role": "assistant", "content": ""}))

    # Each of these writes what an event says, and tells whether it says anything.

    def _open(self, native: Mapping[str, Any], out: list[bytes]) -> bool:
        block = native.get("content_block")
        index = native.get("index")
        if not isinstance(block, dict) or not isinstance(index, int) or not self._head:
            raise malformed("content_block_start has no block, or comes before message_start")
        kind = str(block.get("type"))
        opened = self._blocks[index] = _Block(kind=kind, native=block, start=self._chars)
        if kind == "text":
            opened.citations += _citations(block.get("citations"))
            return self._say(opened, text_of(block, "text"), out)
        if kind == "thinking":
            opened.signature.append(text_of(block, "signature"))
            return self._think(opened, text_of(block, "thinking"), out)
        if kind != "tool_use":
            return False
        opened.call = self._gathered.call(block)
        opened.given = block.get("input")
        if opened.call is None or not (call := self._call_start(opened.call)):
            return False
        out.append(self._delta(call))
        return True

    def _piece(self, native: Mapping[str, Any], out: list[bytes]) -> bool:
        delta = native.get("delta")
        block = self._block(native)
        if not isinstance(delta, dict):
            raise malformed("content_block_delta has no delta")
        kind = delta.get("type")
        if kind == "text_delta":
            return self._say(block, text_of(delta, "text"), out)
        if kind == "thinking_delta":
            return self._think(block, text_of(delta, "thinking"), out)
        if kind == "input_json_delta":
            return self._argue(block, text_of(delta, "partial_json"), out)
        if kind == "signature_delta":
            block.signature.append(text_of(delta, "signature"))
        elif kind == "citations_delta":
            block.citations += _citations([delta.get("citation")])
        return False

    def _close(self, native: Mapping[str, Any], out: list[bytes]) -> bool:
        block = self._block(native)
        del self._blocks[native["index"]]
        match block.kind:
            case "text":
                return self._close_text(block, out)
            case "thinking":
                whole = {"thinking": "".join(block.pieces), "signature": "".join(block.signature)}
                self._gathered.thought(block.native | whole)
            case "redacted_thinking":
                self._gathered.thought(block.native)
            case "tool_use":
                if not any(block.pieces):
                    # Calls without arguments come without any piece; some servers send all at once.
                    given = encode({} if block.given is None else block.given).decode()
                    return self._argue(block, given, out)
            case _:
                self._gathered.leave_out()
        return False

    def _note_stop(self, native: Mapping[str, Any]) -> None:
        delta = native.get("delta")
        if isinstance(delta, dict):
            self._stop = {**self._stop, **delta}
        self._gathered.count(native.get("usage"))

    def _say(self, block: _Block, text: str, out: list[bytes]) -> bool:
        if not text:
            return False
        block.length += len(text)
        self._chars += len(text)
        if self._reading.emulated:
            self._held.append(text)
            return False
        out.append(self._text_head + encode(text) + self._text_tail)
        return True

    def _think(self, block: _Block, text: str, out: list[bytes]) -> bool:
        if not text:
            return False
        block.pieces.append(text)
        out.append(self._delta({"reasoning_content": text}))
        return True

    def _argue(self, block: _Block, text: str, out: list[bytes]) -> bool:
        if not text:
            return False
        block.pieces.append(text)
        call = block.call
        if block.kind != "tool_use":
            # The server runs its own tools, and their arguments are nobody's business.
            return False
        if call is None:
            out.append(self._text_head + encode(text) + self._text_tail)
        elif not self._legacy:
            piece = {"index": call.index, "function": {"arguments": text}}
            out.append(self._delta({"tool_calls": [piece]}))
        elif call.index == 0:
            out.append(self._delta({"function_call": {"arguments": text}}))
        return True

    def _close_text(self, block: _Block, out: list[bytes]) -> bool:
        self._gathered.text(block.length)
        self._gathered.citations += block.citations
        end = block.start + block.length
        written = [
            each
            for citation in block.citations
            if (each := annotation(citation, block.start, end)) is not None
        ]
        if written:
            out.append(self._delta({"annotations": written}))
        return bool(written)

    def _call_start(self, call: Call) -> Mapping[str, Any]:
        function = {"name": call.name, "arguments": ""}
        if not self._legacy:
            entry = {"index": call.index, "id": call.id, "type": "function", "function": function}
            return {"tool_calls": [entry]}
        # The old form knows a single call.
        return {"function_call": function} if call.index == 0 else {}

    def _end(self, out: list[bytes]) -> None:
        if not self._head:
            raise malformed("message_stop comes before message_start")
        for index in sorted(self._blocks):
            self._close({"index": index}, out)
        reason = self._gathered.finish(self._stop.get("stop_reason"))
        if self._held and not self._gathered.emulated:
            out.append(self._delta({"content": "".join(self._held)}))
        if self._stop.get("stop_reason") == "refusal":
            out.append(self._delta({"refusal": refusal(self._stop)}))
        last: dict[str, Any] = {}
        side_data.attach(last, self._gathered.side())
        out.append(self._delta(last, finish_reason=reason))
        usage = self._gathered.usage()
        if self._reading.request.include_usage and usage is not None:
            out.append(self._head + b'[],"usage":' + encode(usage) + b"}\n\n")

    def _block(self, native: Mapping[str, Any]) -> _Block:
        index = native.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else None
        if block is None:
            raise malformed("an event speaks of a block that was not begun")
        return block

    def _delta(self, delta: Mapping[str, Any], *, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._head + encode([choice]) + self._tail


def _decoded(event: Event) -> Mapping[str, Any]:
    try:
        return decode_object(event[1])
    except DecodeError as error:
        raise malformed("an event of the stream is not a JSON object") from error


def _citations(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
