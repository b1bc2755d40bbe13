"""The stream decoder of OpenAI's Responses API: its events in, chunks of chat completions out.

The events become chunks, and those are brought into the one shape as any upstream's chunks are.
"""

from __future__ import annotations

from typing import Any, Final

from dataplane.codec import DecodeError, decode, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Batch, ResponseFacts
from dataplane.wire.failures import classify_event
from dataplane.wire.openai_chunks import ChunkNormalizer
from dataplane.wire.openai_reading import malformed, truncated
from dataplane.wire.responses_answer import Bridged
from dataplane.wire.responses_chunks import ResponsesChunks
from dataplane.wire.sse import Event, SseSplitter

_DONE: Final = b"[DONE]"


class ResponsesStreamDecoder:
    """Decodes one stream of response events; see StreamDecoder.

    shape: `data` holds whole events, `data: {...}` and a blank line each, and never `[DONE]`.
    errors: none are raised; they are the `failure` of a batch.
    """

    def __init__(self, bridged: Bridged) -> None:
        """Start a stream."""
        self.facts = ResponseFacts()
        self._reading = bridged.reading
        self._splitter = SseSplitter()
        self._events = ResponsesChunks(bridged)
        self._shape = ChunkNormalizer(bridged.reading, self.facts)
        self._semantic = False

    def feed(self, data: bytes) -> Batch:
        """Take the next bytes."""
        try:
            events = self._splitter.feed(data)
        except UpstreamFailed as failure:
            return Batch(failure=failure)
        return self._read(events)

    def finish(self) -> Batch:
        """Take the end of the body; without the event that ends an answer it is a failure."""
        batch = self._read(self._splitter.finish())
        if not batch.done and (
            batch.failure is None or batch.failure.error is ErrorClass.BAD_RESPONSE
        ):
            # An event that is cut cannot be read either.
            batch.failure = truncated(said=self._semantic)
        return batch

    def _read(self, events: list[Event]) -> Batch:
        batch = Batch()
        out: list[bytes] = []
        for name, payload in events:
            if payload.startswith(_DONE):
                continue
            try:
                self._decode(name, payload, batch, out)
            except UpstreamFailed as failure:
                batch.failure = failure
                break
            self._events.note(self.facts)
            if self._events.ended:
                batch.done = True
                break
        batch.data = b"".join(out)
        self._semantic = self._semantic or batch.semantic
        return batch

    def _decode(self, name: bytes, payload: bytes, batch: Batch, out: list[bytes]) -> None:
        try:
            event = decode(payload)
        except DecodeError as error:
            raise malformed("an event of the stream is not JSON") from error
        if not isinstance(event, dict):
            raise malformed("an event of the stream is not an object")
        kind = event.get("type")
        if not isinstance(kind, str):
            kind = name.decode("ascii", "replace")
        if event.get("error"):
            raise classify_event(event["error"], self._reading.rules.table)
        for chunk in self._events.read(kind, event):
            written = self._shape.read(chunk)
            batch.semantic = batch.semantic or self._shape.semantic
            batch.chunks += bool(written)
            out += [self._event(each) for each in written]

    def _event(self, chunk: dict[str, Any]) -> bytes:
        if chunk["choices"] and self._reading.request.include_usage:
            chunk["usage"] = None
        return b"data: " + encode(chunk) + b"\n\n"
