"""Turns the events of a Responses stream into chunks of chat completions, one event at a time.

Texts come in pieces and once more whole; what the pieces left out is added from the whole, so that
a server that leaves pieces out loses nothing. What the chunks still lack of the one shape is given
to them afterwards, as to any upstream's.

Source: OpenAI API reference, "Streaming events" of responses, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from dataplane.provider import ResponseFacts
from dataplane.wire import side_data
from dataplane.wire.openai_reading import malformed
from dataplane.wire.responses_answer import (
    Bridged,
    End,
    call_of,
    chat_id,
    chat_usage,
    created_of,
    end_of,
    failed,
    note_end,
    output_of,
    thoughts_of,
    tier_of,
)
from dataplane.wire.responses_replay import BETWEEN_TEXTS, CALL_KINDS, keep

Chunk = dict[str, Any]
Event = Mapping[str, Any]

# An event with a piece, and the one with the whole -> what it is a piece of, the number of the
# part in the item, and where the text stands.
_PIECES: Final[Mapping[str, tuple[str, str, str]]] = {
    "response.output_text.delta": ("content", "content_index", "delta"),
    "response.output_text.done": ("content", "content_index", "text"),
    "response.refusal.delta": ("refusal", "content_index", "delta"),
    "response.refusal.done": ("refusal", "content_index", "refusal"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "delta"),
    "response.reasoning_summary_text.done": ("summary", "summary_index", "text"),
    "response.reasoning_text.delta": ("reasoning", "content_index", "delta"),
    "response.reasoning_text.done": ("reasoning", "content_index", "text"),
    "response.function_call_arguments.delta": ("call", "", "delta"),
    "response.function_call_arguments.done": ("call", "", "arguments"),
    "response.custom_tool_call_input.delta": ("call", "", "delta"),
    "response.custom_tool_call_input.done": ("call", "", "input"),
}
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class _Call:
    __slots__ = ("index", "kind", "spoke")

    def __init__(self, index: int, kind: str) -> None:
        self.index = index
        self.kind = kind
        self.spoke = False


class ResponsesChunks:
    """Reads the decoded events of one stream; fresh for each.

    ended: whether the event came that ends an answer. It is the stream's last.
    """

    def __init__(self, bridged: Bridged) -> None:
        self.ended = False
        self._bridged = bridged
        self._head: Chunk = {}
        self._native: Event = {}
        self._end = End(finish_reason="")
        self._said: dict[tuple[str, int, int], int] = {}
        self._last: dict[str, tuple[str, int, int]] = {}
        self._calls: dict[int, _Call] = {}
        self._items: dict[int, Event] = {}

    def read(self, kind: str, event: Event) -> Iterator[Chunk]:
        """Turn an event into chunks, maybe none; unknown events say nothing.

        Raises UpstreamFailed for an event that is a failure, or not in shape.
        """
        if kind == "error":
            raise failed(event, self._bridged.reading.rules.table)
        if kind in _PIECES:
            yield from self._piece(event, *_PIECES[kind], whole=kind.endswith(".done"))
        elif kind == "response.output_item.added":
            yield from self._added(_number(event, "output_index"), _item(event))
        elif kind == "response.output_item.done":
            yield from self._done(_number(event, "output_index"), _item(event))
        elif kind in _ENDS or kind == "response.created":
            response = event.get("response")
            if not isinstance(response, dict):
                raise malformed("an event of the stream has no response")
            yield from self._begin(response)
            if kind == "response.failed":
                raise failed(response, self._bridged.reading.rules.table)
            if kind in _ENDS:
                yield from self._finish(response)

    def note(self, facts: ResponseFacts) -> None:
        """Keep what the whole answer says of itself, as far as it is known."""
        note_end(self._native, self._end, facts)

    def _begin(self, response: Event) -> Iterator[Chunk]:
        if self._head:
            return
        self._native = response
        self._head = {
            "id": chat_id(response),
            "object": "chat.completion.chunk",
            "created": created_of(response),
            "model": response.get("model"),
        }
        yield self._chunk({"role": "assistant", "content": ""})

    def _piece(
        self, event: Event, what: str, number: str, key: str, *, whole: bool
    ) -> Iterator[Chunk]:
        text = event.get(key)
        if not isinstance(text, str):
            raise malformed("an event of the stream has no text")
        part = _number(event, number) if number else 0
        yield from self._say(what, _number(event, "output_index"), part, text, whole=whole)

    def _say(self, what: str, item: int, part: int, text: str, *, whole: bool) -> Iterator[Chunk]:
        """Pass text on; of a whole text only what its pieces have left out."""
        place = (what, item, part)
        before = self._said.get(place, 0)
        piece = text[before:] if whole else text
        if not piece:
            return
        self._said[place] = before + len(piece)
        if what == "call":
            yield from self._argue(item, piece)
            return
        name = "reasoning_content" if what in {"summary", "reasoning"} else what
        # Another message, or another thought, begins a new paragraph.
        here = (what, item, 0) if name == "content" else place
        if name != "refusal" and self._last.get(name, here) != here:
            piece = BETWEEN_TEXTS + piece
        self._last[name] = here
        yield self._chunk({name: piece})

    def _argue(self, item: int, piece: str) -> Iterator[Chunk]:
        call = self._calls.get(item)
        if call is None:
            raise malformed("arguments came before their call")
        call.spoke = True
        argument = "input" if call.kind == "custom" else "arguments"
        yield self._chunk({"tool_calls": [{"index": call.index, call.kind: {argument: piece}}]})

    def _added(self, at: int, item: Event) -> Iterator[Chunk]:
        if item.get("type") not in CALL_KINDS or at in self._calls:
            return
        written = call_of(item)
        kind = written["type"]
        argument = "input" if kind == "custom" else "arguments"
        text, written[kind][argument] = written[kind][argument], ""
        self._calls[at] = _Call(len(self._calls), kind)
        yield self._chunk({"tool_calls": [{"index": self._calls[at].index, **written}]})
        yield from self._say("call", at, 0, text, whole=True)

    def _done(self, at: int, item: Event) -> Iterator[Chunk]:
        """Keep a whole item, and say what was not said of it yet."""
        self._items[at] = item
        match item.get("type"):
            case "message":
                parts = item.get("content")
                for number, part in enumerate(parts if isinstance(parts, list) else ()):
                    match part:
                        case {"type": "output_text", "text": str(text)}:
                            yield from self._say("content", at, number, text, whole=True)
                        case {"type": "refusal", "refusal": str(text)}:
                            yield from self._say("refusal", at, number, text, whole=True)
                        case _:
                            pass
            case "reasoning":
                for key, number, text in thoughts_of(item):
                    what = "summary" if key == "summary" else "reasoning"
                    yield from self._say(what, at, number, text, whole=True)
            case str(kind) if kind in CALL_KINDS:
                yield from self._added(at, item)
                written = call_of(item)
                inner = written[written["type"]]
                text = inner.get("arguments", inner.get("input"))
                yield from self._say("call", at, 0, text, whole=True)
            case _:
                pass

    def _finish(self, response: Event) -> Iterator[Chunk]:
        self._native = response
        for at, item in enumerate(output_of(response)):
            yield from self._done(at, item)
        items = [self._items[at] for at in sorted(self._items)]
        self._end = end_of(response, items, self._bridged.reading)
        for call in self._calls.values():
            if not call.spoke and call.kind == "function":
                nothing = {"index": call.index, "function": {"arguments": "{}"}}
                yield self._chunk({"tool_calls": [nothing]})
        delta: dict[str, Any] = {}
        side_data.attach(delta, keep(items, self._bridged.place))
        yield {**self._chunk(delta, self._end.finish_reason), **tier_of(response)}
        if (usage := chat_usage(response.get("usage"))) is not None:
            yield {**self._head, "choices": [], "usage": usage}
        self.ended = True

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "choices": [choice]}


def _item(event: Event) -> Event:
    item = event.get("item")
    if not isinstance(item, dict):
        raise malformed("an event of the stream has no item")
    return item


def _number(event: Event, name: str) -> int:
    number = event.get(name, 0)
    return number if isinstance(number, int) else 0
