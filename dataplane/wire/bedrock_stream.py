"""Turn ConverseStream's frames into the caller's events.

shape: a role chunk, then one chunk for each piece of reasoning, of text and of a call's arguments,
then the finish chunk with the side data, then the usage chunk if it was asked for. A call begins
with a chunk that has its id, its name and no arguments yet.

Blocks of text and reasoning have no start. Usage comes in a frame after the one that ends the
message, so the finish is held until both have come, or the body ends. A stream is complete only
with its `messageStop`.

Source: Amazon Bedrock API reference, ConverseStream, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataplane.codec import encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Batch, ResponseFacts
from dataplane.wire import eventstream, side_data
from dataplane.wire.bedrock_answer import (
    Call,
    Gathered,
    Reading,
    answer_id,
    decoded,
    is_servers_own,
    malformed,
    text_of,
)
from dataplane.wire.creation import created
from dataplane.wire.eventstream import Frame, FrameSplitter
from dataplane.wire.failure_tables import BEDROCK
from dataplane.wire.failures import classify_event


@dataclass(slots=True, kw_only=True)
class _Block:
    """A block under way.

    kind: `text`, `reasoning`, `tool`, or anything else for what is left out.
    length: characters of text so far. argued: whether a call has got arguments.
    """

    kind: str
    call: Call | None = None
    length: int = 0
    argued: bool = False
    thoughts: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)


class BedrockDecoder:
    """The decoder of one stream of converse-stream; see StreamDecoder.

    headers: of the answer, for its id and time.
    """

    def __init__(self, reading: Reading, headers: Mapping[str, str]) -> None:
        self.facts = ResponseFacts()
        self._reading = reading
        self._headers = headers
        self._legacy = reading.request.legacy_functions
        self._gathered = Gathered(reading, self.facts)
        self._frames = FrameSplitter()
        self._blocks: dict[int, _Block] = {}
        self._spoke = False
        self._stop: Mapping[str, Any] | None = None
        self._metadata: Mapping[str, Any] | None = None
        # Text of an answer that should have been a tool's arguments: said only if none come.
        self._held: list[str] = []
        # Beginning and end of every chunk; the first is made from the first frame.
        self._head = b""
        self._tail = b',"usage":null}\n\n' if reading.request.include_usage else b"}\n\n"
        self._text_head = b""
        self._text_tail = b'},"logprobs":null,"finish_reason":null}]' + self._tail

    def feed(self, data: bytes) -> Batch:
        """Take the next bytes, cut anywhere."""
        batch = Batch()
        out: list[bytes] = []
        try:
            for frame in self._frames.feed(data):
                self._read(frame, batch, out)
                if batch.done:
                    break
        except UpstreamFailed as failure:
            batch.failure = failure
        batch.data = b"".join(out)
        return batch

    def finish(self) -> Batch:
        """Take the end of the body; usage may be missing, the end of the message may not."""
        batch = Batch()
        out: list[bytes] = []
        try:
            if self._stop is None or self._frames.within_frame:
                raise self._truncated()
            self._end(batch, out)
        except UpstreamFailed as failure:
            batch.failure = failure
        batch.data = b"".join(out)
        return batch

    def _truncated(self) -> UpstreamFailed:
        # Before anything was said this is like an empty answer, and another target may be asked.
        error = ErrorClass.STREAM_ABORT if self._spoke else ErrorClass.BAD_RESPONSE
        return UpstreamFailed(
            error, "the stream ended before its messageStop", error_type="stream.truncated"
        )

    def _read(self, frame: Frame, batch: Batch, out: list[bytes]) -> None:
        kind = frame.headers.get(eventstream.MESSAGE_TYPE)
        if kind != "event":
            raise _failure(frame)
        event = frame.headers.get(eventstream.EVENT_TYPE)
        said = False
        match event:
            case "contentBlockDelta":
                said = self._piece(decoded(frame.payload), out)
            case "contentBlockStart":
                said = self._open(decoded(frame.payload), out)
            case "contentBlockStop":
                said = self._close(decoded(frame.payload), out)
            case "messageStart":
                self._begin(frame.payload, out)
            case "messageStop":
                self._stop = decoded(frame.payload)
            case "metadata":
                self._metadata = decoded(frame.payload)
            case _:
                # Kinds of events that are yet to come say nothing.
                return
        if said:
            batch.chunks += 1
            batch.semantic = self._spoke = True
        if self._stop is not None and self._metadata is not None:
            self._end(batch, out)

    def _begin(self, payload: bytes, out: list[bytes]) -> None:
        if self._head:
            raise malformed("messageStart comes twice")
        self.facts.response_id = answer_id(self._headers, payload)
        top = {
            "id": self.facts.response_id,
            "object": "chat.completion.chunk",
            "created": created(self._headers),
            "model": self._reading.request.model,
            "system_fingerprint": None,
        }
        self._head = b"data: " + encode(top)[:-1] + b',"choices":'
        self._text_head = self._head + b'[{"index":0,"delta":{"content":'
        out.append(self._delta({"role": "assistant", "content": ""}))

    # Each of these writes what a frame says, and tells whether it says anything.

    def _open(self, native: Mapping[str, Any], out: list[bytes]) -> bool:
        index = self._index(native)
        start = native.get("start")
        match start:
            case {"toolUse": dict(use)} if not is_servers_own(use):
                call = self._gathered.call(use)
                self._blocks[index] = _Block(kind="tool", call=call)
                if call is None or not (delta := self._call_start(call)):
                    return False
                out.append(self._delta(delta))
                return True
            case {} if start:
                self._blocks[index] = _Block(kind="other")
        # Blocks of text and reasoning may have a start that says nothing.
        return False

    def _piece(self, native: Mapping[str, Any], out: list[bytes]) -> bool:
        index = self._index(native)
        match native.get("delta"):
            case {"text": str(text)}:
                return self._say(self._block(index, "text"), text, out)
            case {"reasoningContent": dict(content)}:
                return self._think(self._block(index, "reasoning"), content, out)
            case {"toolUse": dict(use)}:
                block = self._blocks.get(index)
                if block is None:
                    raise malformed("a call's arguments come before the call")
                return self._argue(block, text_of(use, "input"), out)
            case dict():
                return False
            case _:
                raise malformed("contentBlockDelta has no delta")

    def _close(self, native: Mapping[str, Any], out: list[bytes]) -> bool:
        block = self._blocks.pop(self._index(native), None)
        if block is None:
            return False
        match block.kind:
            case "text":
                self._gathered.text(block.length)
            case "reasoning":
                self._close_reasoning(block)
            case "tool":
                # A call without arguments comes with empty pieces, or none.
                return not block.argued and self._argue(block, "{}", out)
            case _:
                self._gathered.leave_out()
        return False

    def _say(self, block: _Block, text: str, out: list[bytes]) -> bool:
        if not text:
            return False
        block.length += len(text)
        if self._reading.answer_tool:
            self._held.append(text)
            return False
        out.append(self._text_head + encode(text) + self._text_tail)
        return True

    def _think(self, block: _Block, content: Mapping[str, Any], out: list[bytes]) -> bool:
        block.signature.append(text_of(content, "signature"))
        block.redacted.append(text_of(content, "redactedContent"))
        text = text_of(content, "text")
        if not text:
            return False
        block.thoughts.append(text)
        out.append(self._delta({"reasoning_content": text}))
        return True

    def _close_reasoning(self, block: _Block) -> None:
        text, signature = "".join(block.thoughts), "".join(block.signature)
        if text or signature:
            whole = {"text": text, **({"signature": signature} if signature else {})}
            self._gathered.thought({"reasoningText": whole})
        for redacted in block.redacted:
            if redacted:
                self._gathered.thought({"redactedContent": redacted})

    def _argue(self, block: _Block, text: str, out: list[bytes]) -> bool:
        if not text or block.kind != "tool":
            return False
        block.argued = True
        call = block.call
        if call is None:
            out.append(self._text_head + encode(text) + self._text_tail)
        elif not self._legacy:
            piece = {"index": call.index, "function": {"arguments": text}}
            out.append(self._delta({"tool_calls": [piece]}))
        elif call.index == 0:
            out.append(self._delta({"function_call": {"arguments": text}}))
        return True

    def _call_start(self, call: Call) -> Mapping[str, Any]:
        function = {"name": call.name, "arguments": ""}
        if not self._legacy:
            entry = {"index": call.index, "id": call.id, "type": "function", "function": function}
            return {"tool_calls": [entry]}
        # The old form knows a single call.
        return {"function_call": function} if call.index == 0 else {}

    def _end(self, batch: Batch, out: list[bytes]) -> None:
        assert self._stop is not None, "called once the message has ended"
        if not self._head:
            raise malformed("messageStop comes before messageStart")
        for index in sorted(self._blocks):
            self._close({"contentBlockIndex": index}, out)
        reason = self._gathered.finish(self._stop.get("stopReason"))
        if self._held and not self._gathered.answered:
            out.append(self._delta({"content": "".join(self._held)}))
        last: dict[str, Any] = {}
        side_data.attach(last, self._gathered.side())
        out.append(self._delta(last, finish_reason=reason))
        usage = self._gathered.usage((self._metadata or {}).get("usage"))
        if self._reading.request.include_usage and usage is not None:
            out.append(self._head + b'[],"usage":' + encode(usage) + b"}\n\n")
        batch.chunks += 1
        batch.semantic = batch.done = self._spoke = True

    def _block(self, index: int, kind: str) -> _Block:
        """Give the block of a piece; its first piece begins it."""
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(kind=kind)
        return block

    def _index(self, native: Mapping[str, Any]) -> int:
        index = native.get("contentBlockIndex")
        if not isinstance(index, int) or not self._head:
            raise malformed("a block has no index, or comes before messageStart")
        return index

    def _delta(self, delta: Mapping[str, Any], *, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._head + encode([choice]) + self._tail


def _failure(frame: Frame) -> UpstreamFailed:
    """Classify a frame that reports an exception, or an error outside the model of the API."""
    headers = frame.headers
    code = headers.get(eventstream.EXCEPTION_TYPE) or headers.get(eventstream.ERROR_CODE, "")
    message = headers.get(eventstream.ERROR_MESSAGE, "")
    if frame.payload:
        said = decoded(frame.payload)
        message = next(
            (text for key in ("message", "Message") if isinstance(text := said.get(key), str)),
            message,
        )
    return classify_event({"code": code, "message": message}, BEDROCK)
