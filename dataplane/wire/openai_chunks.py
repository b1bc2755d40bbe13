"""Brings the chunks of a stream into the one shape that callers get.

The shape: id, created and model are the same in every chunk; a role once per choice, in its first
chunk; dense tool indexes, ids and names once; one finish per choice, and nothing of that choice
after it; usage in a last chunk without choices, and only if it was asked for.

Source: OpenAI API reference, "Chat completion chunk object", read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dataplane.codec import encode
from dataplane.provider import Operation, ResponseFacts
from dataplane.wire.openai_reading import (
    Reading,
    attach_verdicts,
    finish_reason,
    join_content,
    malformed,
    note_model,
    read_usage,
    rename_reasoning,
    warn,
)
from dataplane.wire.openai_tool_deltas import ToolDeltas
from dataplane.wire.thinking_tags import ThinkSplitter, ThinkTags
from dataplane.wire.tool_ids import digest62
from dataplane.wire.vendor_keys import Verdicts, take_out

Chunk = dict[str, Any]
Choice = dict[str, Any]

_OBJECTS: Final[Mapping[Operation, str]] = {
    Operation.CHAT: "chat.completion.chunk",
    Operation.COMPLETION: "text_completion",
}
# Keys that only pad the length of a chunk: OpenAI's, and Mistral's.
PADDING: Final = ("obfuscation", "p")
_MAX_CHOICES: Final = 128
_FRAME: Final = frozenset({"index", "delta", "finish_reason"})
_SAYING: Final = ("content", "reasoning_content", "refusal", "audio", "tool_calls", "function_call")


class _ChoiceState:
    __slots__ = ("begun", "finished", "splitter", "tools", "verdicts")

    def __init__(self, names: Mapping[str, str], seed: str, tags: ThinkTags) -> None:
        self.begun = False
        self.finished = False
        self.tools = ToolDeltas(names, seed)
        self.verdicts: Verdicts = {}
        self.splitter = None if tags is ThinkTags.KEPT else ThinkSplitter(tags)


class ChunkNormalizer:
    """Reads the decoded chunks of one stream; fresh for each.

    After each `read`:
    semantic: whether it said anything: text, reasoning, a refusal, audio, a call, a finish.
    unchanged: whether the one chunk that it returned differs from what came in at most in
        `model`, and in a `usage: null` that was not asked for.
    varies: the text that is the only new thing in it, if the next chunk may differ from it in
        nothing else and would be treated alike; else empty.
    """

    def __init__(self, reading: Reading, facts: ResponseFacts) -> None:
        """Start with nothing said."""
        self.semantic = False
        self.unchanged = False
        self.varies = ""
        self._reading = reading
        self._facts = facts
        self._chat = reading.request.operation is Operation.CHAT
        self._asked = reading.request.include_usage
        self._id = ""
        self._created = 0
        self._envelope: Chunk = {}
        self._choices: dict[int, _ChoiceState] = {}
        self._usage: Any = None
        self._verdicts: Verdicts = {}

    @property
    def complete(self) -> bool:
        """Whether there was a choice, and every one has finished."""
        return bool(self._choices) and all(state.finished for state in self._choices.values())

    def read(self, chunk: Chunk) -> list[Chunk]:
        """Turn one chunk of the upstream into chunks for the caller, maybe none.

        `chunk` may be changed. Raises UpstreamFailed for what is no chunk (bad_response), and
        for a finish that is a failure (upstream_error).
        """
        self.semantic = False
        self.unchanged = True
        self.varies = ""
        if take_out(chunk, self._reading.rules.vendor_keys, self._verdicts):
            self.unchanged = False
        self._fix_identity(chunk)
        usage = chunk.pop("usage", None)
        if isinstance(usage, dict):
            self._facts.usage = read_usage(usage)
            self._usage = usage
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return self._without_choices(chunk, usage)
        if usage is not None:
            # Running totals, or those of a server that has no chunk for them: held for the end.
            self.unchanged = False
        written: list[list[Choice]] = []
        for choice in choices:
            if not isinstance(choice, dict):
                raise malformed("a choice of the stream is not an object")
            written.append(self._read_choice(choice))
        if len(written) != 1 or len(written[0]) != 1:
            self.varies = ""
        if all(len(steps) == 1 for steps in written):
            return [{**chunk, "choices": [steps[0] for steps in written]}]
        self.unchanged = False
        return [{**chunk, "choices": [step]} for steps in written for step in steps]

    def usage_owed(self) -> Chunk | None:
        """Return the usage chunk, if the caller asked for one and has not got it."""
        if not self._asked or self._usage is None:
            return None
        usage, self._usage = self._usage, None
        return {**self._envelope, "choices": [], "usage": usage}

    def _fix_identity(self, chunk: Chunk) -> None:
        """Give the chunk the identity of the whole stream."""
        note_model(chunk.get("model"), self._reading, self._facts)
        for key in PADDING:
            if key in chunk:
                del chunk[key]
                self.unchanged = False
        if not self._envelope:
            # An empty first frame, as Azure sends it, must not fix anything.
            if not chunk.get("choices"):
                return
            given = chunk.get("id")
            self._id = given if isinstance(given, str) else ""
            self._facts.response_id = self._id
            if not self._id:
                prefix = "chatcmpl" if self._chat else "cmpl"
                self._id = f"{prefix}-{digest62(encode(chunk).decode(), 24)}"
            created = chunk.get("created")
            self._created = created if isinstance(created, int) else 0
            kind = chunk.get("object") or _OBJECTS[self._reading.request.operation]
            self._envelope = {
                "id": self._id,
                "object": kind,
                "created": self._created,
                "model": self._reading.request.model,
            }
        if chunk.get("id") != self._id or chunk.get("created") != self._created:
            self.unchanged = False
        if not isinstance(chunk.get("model"), str) or not chunk.get("object"):
            self.unchanged = False
        chunk.update(self._envelope)

    def _without_choices(self, chunk: Chunk, usage: Any) -> list[Chunk]:
        if chunk.get("choices") != []:
            self.unchanged = False
        if isinstance(usage, dict):
            if not self._asked or not self.complete:
                # Held until every choice has finished: it must come last.
                return []
            self._usage = None
            return [{**chunk, "choices": [], "usage": usage}]
        # A verdict of OpenAI's inline moderation, which was asked for; all others are empty.
        said = chunk.get("moderation") is not None and self._envelope
        return [{**chunk, "choices": []}] if said else []

    def _read_choice(self, choice: Choice) -> list[Choice]:
        """Turn one choice of a chunk into the steps that it stands for."""
        index = choice.get("index")
        if not isinstance(index, int):
            index = choice["index"] = 0
            self.unchanged = False
        state = self._choices.get(index)
        if state is None:
            if len(self._choices) >= _MAX_CHOICES:
                raise malformed("the stream has too many choices")
            state = _ChoiceState(self._reading.names, f"{self._id}/{index}", self._reading.tags)
            self._choices[index] = state
        if take_out(choice, self._reading.rules.vendor_keys, state.verdicts):
            self.unchanged = False
        if state.finished:
            self.unchanged = False
            return []
        if not choice.get("finish_reason") and choice.get("finish_reason", "") is not None:
            # The key is absent, or empty where others have null.
            choice["finish_reason"] = None
            self.unchanged = False
        if self._chat:
            return self._read_delta(choice, state, index)
        return self._read_text(choice, state, index)

    def _read_text(self, choice: Choice, state: _ChoiceState, index: int) -> list[Choice]:
        text = choice.get("text")
        if not isinstance(text, str):
            text = choice["text"] = ""
            self.unchanged = False
        native = choice["finish_reason"]
        if text:
            self.semantic = True
            self.varies = "" if native else text
        if isinstance(native, str):
            self._finish(choice, state, index, native)
        return [choice]

    def _read_delta(self, choice: Choice, state: _ChoiceState, index: int) -> list[Choice]:
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice["delta"] = {}
            self.unchanged = False
        if join_content(delta):
            self.unchanged = False
            if delta["content"] is None:
                del delta["content"]
        if rename_reasoning(delta):
            self.unchanged = False
        if "name" in delta:
            del delta["name"]
            self.unchanged = False
        splits = state.splitter is not None
        if state.splitter is not None and self._split(
            delta, state.splitter, ends=isinstance(choice["finish_reason"], str)
        ):
            state.splitter = None
        first = not state.begun
        self._fix_role(delta, first=first)
        state.begun = True
        fresh_calls = self._fix_calls(delta, state)
        said = [key for key in _SAYING if delta.get(key)]
        native = choice["finish_reason"]
        ends = isinstance(native, str)
        if said or ends:
            self.semantic = True
        if len(said) == 1 and not (first or ends or fresh_calls or splits):
            self.varies = _varying(delta, said[0])
        if not said and not ends and not first:
            # Nothing may be left of it: what came was a repetition.
            extras = any(choice[key] for key in choice.keys() - _FRAME)
            if not self.unchanged and not delta and not extras:
                return []
            return [choice]
        return self._steps(choice, state, index)

    def _split(self, delta: Choice, splitter: ThinkSplitter, *, ends: bool) -> bool:
        """Take tagged reasoning out of a delta's text. Returns whether plain text is all to come."""
        content = delta.get("content")
        content = content if isinstance(content, str) else ""
        thought, text = splitter.feed(content)
        if ends:
            more_thought, more_text = splitter.finish()
            thought, text = thought + more_thought, text + more_text
        if text != content:
            self.unchanged = False
            if text:
                delta["content"] = text
            else:
                del delta["content"]
        if thought:
            self.unchanged = False
            delta["reasoning_content"] = (delta.get("reasoning_content") or "") + thought
        return splitter.over

    def _fix_role(self, delta: Choice, *, first: bool) -> None:
        if first:
            if not delta.get("role"):
                delta["role"] = "assistant"
                self.unchanged = False
        elif "role" in delta:
            del delta["role"]
            self.unchanged = False

    def _fix_calls(self, delta: Choice, state: _ChoiceState) -> bool:
        """Bring the calls of a delta into shape. Returns whether one of them is new."""
        if "tool_calls" not in delta:
            return False
        entries = delta["tool_calls"]
        written = state.tools.read(entries) if isinstance(entries, list) else []
        if not written:
            del delta["tool_calls"]
            self.unchanged = False
        elif written != entries:
            delta["tool_calls"] = written
            self.unchanged = False
        return any("id" in entry for entry in written)

    def _steps(self, choice: Choice, state: _ChoiceState, index: int) -> list[Choice]:
        """Split a delta that does several things which callers expect one after the other."""
        delta = choice["delta"]
        native = choice["finish_reason"]
        ends = isinstance(native, str)
        calls = delta.get("tool_calls")
        owed = state.tools.close() if ends else []
        steps: list[Choice] = []
        if (calls or owed) and "role" in delta:
            before = {key: value for key, value in delta.items() if key != "tool_calls"}
            before.setdefault("content", None)
            steps.append({**choice, "delta": before, "finish_reason": None})
            choice["delta"] = delta = {"tool_calls": calls} if calls else {}
        if ends:
            if (calls or owed) and delta:
                steps.append({**choice, "finish_reason": None})
                choice["delta"] = {}
            if owed:
                steps.append({**choice, "delta": {"tool_calls": owed}, "finish_reason": None})
            self._finish(choice, state, index, native)
        steps.append(choice)
        if self._reading.request.legacy_functions:
            steps = [step for step in steps if self._as_legacy(step)]
        return steps

    def _finish(self, choice: Choice, state: _ChoiceState, index: int, native: str) -> None:
        called = state.tools.called
        self.semantic = True
        state.finished = True
        word = finish_reason(native, self._reading, self._facts, index=index, called=called)
        if word != native:
            choice["finish_reason"] = word
            self.unchanged = False
        found = {**self._verdicts, **state.verdicts}
        if self._chat and attach_verdicts(choice["delta"], found, self._reading):
            self.unchanged = False

    def _as_legacy(self, step: Choice) -> bool:
        """Speak of `function_call` instead; False for a step that only other calls are in."""
        calls = step["delta"].pop("tool_calls", None)
        if calls is None:
            return True
        self.unchanged = False
        first = [call for call in calls if call["index"] == 0]
        if len(first) != len(calls):
            warn(self._facts, "dropped:tool_calls")
        if first:
            step["delta"]["function_call"] = first[0].get("function")
        return bool(first)


def _varying(delta: Choice, key: str) -> str:
    """Return the text of a delta that adds to one text, else nothing."""
    value = delta[key]
    if isinstance(value, str):
        return value
    if key == "tool_calls" and len(value) == 1:
        text = value[0].get("function", {}).get("arguments")
        return text if isinstance(text, str) else ""
    return ""
