"""Turn Ollama's streams of JSON lines into the caller's server-sent events.

shape, chat: a role chunk, then one chunk for each piece of thinking, of text and for each tool
call (whole, with its running index), then the finish chunk, then the usage chunk if it was asked
for. Text completions are the same without a role. `id`, `created` and `model` are those of the
first line in every chunk.

A stream is complete only by its `done` line. Texts are by far the most lines, so their chunks are
glued from bytes made once, and only the text itself is encoded.

Source: Ollama's docs/api.md and server 0.33.0; OpenAI API reference, "Streaming", read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataplane.codec import DecodeError, decode_object, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Batch, Operation, Request, ResponseFacts
from dataplane.wire.failures import OLLAMA, classify_event
from dataplane.wire.ndjson import MAX_LINE_BYTES, LineSplitter
from dataplane.wire.ollama_answer import (
    ToolCall,
    ToolCalls,
    chat_logprobs,
    completion_logprobs,
    finish,
    identity_of,
    malformed,
    message_of,
    model_of,
    note_usage,
    text_of,
)


class OllamaDecoder:
    """The decoder of one stream of /api/chat or /api/generate; see StreamDecoder.

    num_ctx: the context size that was asked for, None if none was.
    """

    def __init__(
        self, request: Request, num_ctx: int | None, max_line_bytes: int = MAX_LINE_BYTES
    ) -> None:
        self.facts = ResponseFacts()
        self._chat = request.operation is Operation.CHAT
        self._request = request
        self._num_ctx = num_ctx
        self._lines = LineSplitter(max_line_bytes)
        self._calls = ToolCalls()
        self._call_count = 0
        self._text_chars = 0
        self._spoke = False
        # Beginning and end of every chunk; the first is made from the first line.
        self._head = b""
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"
        self._text_head = b""
        self._text_tail = b""

    def feed(self, data: bytes) -> Batch:
        """Take the next bytes, cut anywhere."""
        batch = Batch()
        out: list[bytes] = []
        try:
            for line in self._lines.feed(data):
                self._read(_decoded(line), batch, out)
                if batch.done:
                    break
        except UpstreamFailed as failure:
            batch.failure = failure
        batch.data = b"".join(out)
        return batch

    def finish(self) -> Batch:
        """Take the end of the body; a last line may lack its newline."""
        batch = Batch()
        out: list[bytes] = []
        line = self._lines.finish()
        try:
            if line:
                self._read(self._decoded_last(line), batch, out)
            if not batch.done:
                raise self._truncated()
        except UpstreamFailed as failure:
            batch.failure = failure
        batch.data = b"".join(out)
        return batch

    def _decoded_last(self, line: bytes) -> Mapping[str, Any]:
        try:
            return decode_object(line)
        except DecodeError as error:
            raise self._truncated() from error

    def _truncated(self) -> UpstreamFailed:
        # Before anything was said this is like an empty answer, and another target may be asked.
        error = ErrorClass.STREAM_ABORT if self._spoke else ErrorClass.BAD_RESPONSE
        return UpstreamFailed(
            error, "the stream ended before it was done", error_type="stream.truncated"
        )

    def _read(self, native: Mapping[str, Any], batch: Batch, out: list[bytes]) -> None:
        if native.get("error") is not None:
            raise classify_event(native["error"], OLLAMA)
        if not self._head:
            self._begin(native, out)
        said = self._read_message(native, out) if self._chat else self._read_text(native, out)
        done = native.get("done") is True
        if said or done:
            batch.chunks += 1
        if said:
            batch.semantic = self._spoke = True
        if done:
            self._end(native, out)
            batch.semantic = batch.done = True

    def _begin(self, native: Mapping[str, Any], out: list[bytes]) -> None:
        identity = identity_of(native, self._request.operation)
        self.facts.response_id = identity.id
        self.facts.response_model = model_of(native)
        top = {
            "id": identity.id,
            "object": "chat.completion.chunk" if self._chat else "text_completion",
            "created": identity.created,
            "model": self._request.model,
            "system_fingerprint": None,
        }
        self._head = b"data: " + encode(top)[:-1] + b',"choices":'
        if self._chat:
            self._text_head = self._head + b'[{"index":0,"delta":{"content":'
            self._text_tail = b'},"logprobs":null,"finish_reason":null}]' + self._tail
            out.append(self._delta({"role": "assistant", "content": ""}))
        else:
            self._text_head = self._head + b'[{"index":0,"text":'
            self._text_tail = b',"logprobs":null,"finish_reason":null}]' + self._tail

    def _read_message(self, native: Mapping[str, Any], out: list[bytes]) -> bool:
        """Write what a chat line says; tell whether it says anything."""
        message = message_of(native)
        content = text_of(message, "content")
        thinking = text_of(message, "thinking")
        calls = self._calls.read(message.get("tool_calls"))
        if thinking:
            out.append(self._delta({"reasoning_content": thinking}))
        logprobs = chat_logprobs(native) if "logprobs" in native else None
        if logprobs is not None:
            out.append(self._delta({"content": content}, logprobs=logprobs))
        elif content:
            out.append(self._text_head + encode(content) + self._text_tail)
        for call in calls:
            self._write_call(call, out)
        return bool(content or thinking or calls)

    def _write_call(self, call: ToolCall, out: list[bytes]) -> None:
        function = {"name": call.name, "arguments": call.arguments}
        index = self._call_count
        self._call_count += 1
        if not self._request.legacy_functions:
            delta = {"index": index, "id": call.id, "type": "function", "function": function}
            out.append(self._delta({"tool_calls": [delta]}))
        elif index == 0:
            # The old form knows a single call.
            out.append(self._delta({"function_call": function}))

    def _read_text(self, native: Mapping[str, Any], out: list[bytes]) -> bool:
        """Write what a line of /api/generate says; tell whether it says anything."""
        text = text_of(native, "response")
        thinking = text_of(native, "thinking")
        if thinking:
            out.append(self._text_choice(reasoning_content=thinking))
        logprobs = completion_logprobs(native, self._text_chars) if "logprobs" in native else None
        if logprobs is not None:
            out.append(self._text_choice(text=text, logprobs=logprobs))
        elif text:
            out.append(self._text_head + encode(text) + self._text_tail)
        self._text_chars += len(text)
        return bool(text or thinking)

    def _end(self, native: Mapping[str, Any], out: list[bytes]) -> None:
        legacy = self._request.legacy_functions
        called = self._call_count > 0
        reason = finish(native, self.facts, called=called, legacy=legacy)
        if self._chat:
            out.append(self._delta({}, finish_reason=reason))
        else:
            out.append(self._text_choice(finish_reason=reason))
        usage = note_usage(native, self.facts, self._request.operation, self._num_ctx)
        if self._request.include_usage and usage is not None:
            out.append(self._head + b'[],"usage":' + encode(usage) + b"}\n\n")

    def _delta(
        self,
        delta: Mapping[str, Any],
        *,
        logprobs: Mapping[str, Any] | None = None,
        finish_reason: str | None = None,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return self._head + encode([choice]) + self._tail

    def _text_choice(self, **changes: Any) -> bytes:
        choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": None, **changes}
        return self._head + encode([choice]) + self._tail


def _decoded(line: bytes) -> Mapping[str, Any]:
    try:
        return decode_object(line)
    except DecodeError as error:
        raise malformed("a line of the stream is not a JSON object") from error
