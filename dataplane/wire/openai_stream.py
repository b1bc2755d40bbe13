"""The stream decoder of OpenAI's format: bytes of the upstream in, bytes for the caller out.

Most chunks of a stream differ from the one before in a single string. Once such a chunk was read,
its bytes around that string are kept; a chunk that begins and ends with the same bytes is known to
be the same but for the string, and is written without being decoded. All others are decoded, and
even then relayed as they came if nothing had to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dataplane.codec import DecodeError, decode, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Batch, ResponseFacts
from dataplane.wire.failures import classify_event
from dataplane.wire.openai_chunks import PADDING, ChunkNormalizer
from dataplane.wire.openai_reading import Reading, malformed, note_headers, truncated
from dataplane.wire.relay import with_model, without_null_usage
from dataplane.wire.sse import Event, SseSplitter

_DONE: Final = b"[DONE]"


@dataclass(frozen=True, slots=True)
class _Template:
    """What surrounds the one string that changes; both sides hold its quotation mark.

    padded: a second string changes, the last of the chunk, which the caller does not get.
    """

    head: bytes
    tail: bytes
    head_out: bytes
    tail_out: bytes
    padded: bool

    def text(self, payload: bytes) -> bytes | None:
        """Return the string's bytes as they are, or None if the chunk is another one."""
        if not payload.startswith(self.head):
            return None
        begin = len(self.head)
        if self.padded:
            end = payload.find(self.tail, begin)
            rest = end + len(self.tail)
            if end < 0 or payload.find(b'"', rest) != len(payload) - 2 or payload[-1:] != b"}":
                return None
        else:
            end = len(payload) - len(self.tail)
            if end < begin or not payload.endswith(self.tail):
                return None
        text = payload[begin:end]
        # A bare quotation mark would end the string, and more than the string had changed.
        if b'"' in text and text.count(b'"') != text.count(b'\\"'):
            return None
        # Nor may one end the line of data that it is written into.
        return None if b"\n" in text else text


class OpenAIStreamDecoder:
    """Decodes one stream of chat or text completion chunks; see StreamDecoder.

    shape: `data` holds whole events, `data: {...}` and a blank line each, and never `[DONE]`.
    errors: none are raised; they are the `failure` of a batch.
    """

    def __init__(self, reading: Reading, headers: Mapping[str, str]) -> None:
        """Start a stream. headers: of the answer."""
        self.facts = ResponseFacts()
        note_headers(headers, reading, self.facts)
        self._reading = reading
        self._splitter = SseSplitter()
        self._chunks = ChunkNormalizer(reading, self.facts)
        self._template: _Template | None = None
        self._semantic = False

    def feed(self, data: bytes) -> Batch:
        """Take the next bytes."""
        try:
            events = self._splitter.feed(data)
        except UpstreamFailed as failure:
            return Batch(failure=failure)
        return self._read(events)

    def finish(self) -> Batch:
        """Take the end of the body; without `[DONE]` it is one only if every choice finished."""
        batch = self._read(self._splitter.finish())
        if batch.done:
            return batch
        if self._chunks.complete and (batch.failure is None or _is_cut(batch.failure)):
            batch.failure = None
            batch.done = True
            batch.data += self._usage_owed()
        elif batch.failure is None or _is_cut(batch.failure):
            batch.failure = truncated(said=self._semantic)
        return batch

    def _read(self, events: list[Event]) -> Batch:
        batch = Batch()
        out: list[bytes] = []
        for name, payload in events:
            template = self._template
            text = template.text(payload) if template is not None else None
            if template is not None and text is not None:
                out += (template.head_out, text, template.tail_out)
                batch.chunks += 1
                if text:
                    batch.semantic = True
                continue
            if payload.startswith(_DONE):
                out.append(self._usage_owed())
                batch.done = True
                break
            try:
                self._decode(name, payload, batch, out)
            except UpstreamFailed as failure:
                batch.failure = failure
                break
        batch.data = b"".join(out)
        self._semantic = self._semantic or batch.semantic
        return batch

    def _decode(self, name: bytes, payload: bytes, batch: Batch, out: list[bytes]) -> None:
        self._template = None
        chunk = self._object(payload)
        if chunk.get("error"):
            raise classify_event(chunk["error"], self._reading.rules.table)
        if chunk.get("object") == "error" or name == b"error":
            raise classify_event(chunk, self._reading.rules.table)
        native = chunk.get("model")
        padding = next((chunk[key] for key in PADDING if key in chunk), None)
        # As far as the caller gets it, a null that was not asked for is nothing.
        usage_null = "usage" in chunk and chunk["usage"] is None
        written = self._chunks.read(chunk)
        if written:
            batch.chunks += 1
        batch.semantic = batch.semantic or self._chunks.semantic
        for each in written:
            whole = self._chunks.unchanged
            if self._reading.request.include_usage and each["choices"]:
                # OpenAI says it in every chunk, other servers of the format in the last alone.
                each["usage"] = None
                whole = whole and usage_null
            out.append(self._event(payload, each, native, whole=whole, usage_null=usage_null))
        if self._chunks.varies and len(written) == 1:
            self._template = _learn(payload, out[-1], self._chunks.varies, padding)

    def _object(self, payload: bytes) -> dict[str, Any]:
        try:
            chunk = decode(payload)
        except DecodeError as error:
            raise malformed("an event of the stream is not JSON") from error
        if not isinstance(chunk, dict):
            raise malformed("an event of the stream is not an object")
        return chunk

    def _event(
        self, payload: bytes, chunk: dict[str, Any], native: Any, *, whole: bool, usage_null: bool
    ) -> bytes:
        """Write a chunk; if it is as `whole` as it came, as it came."""
        if whole:
            relayed = with_model(payload, native, self._reading.request.model)
            if relayed is not None and usage_null and not self._reading.request.include_usage:
                relayed = without_null_usage(relayed)
            # A line feed would end the line of data.
            if relayed is not None and b"\n" not in relayed:
                return b"data: " + relayed + b"\n\n"
        return b"data: " + encode(chunk) + b"\n\n"

    def _usage_owed(self) -> bytes:
        chunk = self._chunks.usage_owed()
        return b"" if chunk is None else b"data: " + encode(chunk) + b"\n\n"


def _is_cut(failure: UpstreamFailed) -> bool:
    """Tell whether a failure of the last event only means that it is not whole."""
    return failure.error is ErrorClass.BAD_RESPONSE


def _learn(payload: bytes, event: bytes, text: str, padding: Any) -> _Template | None:
    """Keep what surrounds a string, if it can be told apart for sure."""
    literal = encode(text)
    if payload.count(literal) != 1 or event.count(literal) != 1:
        return None
    at, at_out = payload.index(literal), event.index(literal)
    end, end_out = at + len(literal) - 1, at_out + len(literal) - 1
    tail = payload[end:]
    if padding is not None:
        # Only where the padding is the last member of the chunk.
        last = encode(padding) + b"}"
        if not isinstance(padding, str) or not tail.endswith(last):
            return None
        tail = tail[: len(tail) - len(last) + 1]
    return _Template(
        head=payload[: at + 1],
        tail=tail,
        head_out=event[: at_out + 1],
        tail_out=event[end_out:],
        padded=padding is not None,
    )
