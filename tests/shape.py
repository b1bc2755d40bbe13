"""The one shape of what callers get, as a judge of raw bytes: answers, streams, vectors, errors.

Every function returns what is wrong, in words, so that a test says `[] == complaints`. It knows
nothing of providers: the same rules hold whichever served. Keys that no client of OpenAI's API
knows are collected by `foreign_keys`: nobody knows all that a server of that format may add.

Source: OpenAI API reference, chat completion and chunk objects; what openai-python 3.54 and the
frameworks built on it demand of them; read 2026-11-22.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}
DONE = b"data: [DONE]\n\n"
ERROR_KEYS = {"message", "type", "param", "code"}
ERROR_TYPES = {
    400: {"invalid_request_error"},
    404: {"invalid_request_error"},
    409: {"invalid_request_error"},
    413: {"invalid_request_error"},
    429: {"rate_limit_error", "insufficient_quota"},
    502: {"server_error"},
    503: {"server_error"},
    504: {"server_error"},
}

_USAGE = {"prompt_tokens", "completion_tokens", "total_tokens"}
_DETAILS = {"prompt_tokens_details", "completion_tokens_details"}
_KNOWN: Mapping[str, set[str]] = {
    "": {"id", "object", "created", "model", "choices", "usage", "system_fingerprint"}
    | {"service_tier", "moderation"},
    "choices": {"index", "message", "delta", "finish_reason", "logprobs"},
    "message": {"role", "content", "refusal", "tool_calls", "reasoning_content", "switchgear"}
    | {"function_call", "annotations", "audio"},
    "usage": _USAGE | _DETAILS,
}
_SIDE_DATA = {"origin", "reasoning", "layout", "citations", "finish_reason", "content_filter"}


def answer_complaints(raw: bytes, model: str) -> list[str]:
    """Judge a whole chat answer. model: the name that the caller asked for."""
    return list(_answer(json.loads(raw), model))


def stream_complaints(
    raw: bytes, model: str, *, asked_usage: bool, dies: bool = False
) -> list[str]:
    """Judge all bytes of a chat stream.

    asked_usage: whether a usage chunk was asked for. dies: whether it must end in an error event.
    """
    return list(_stream(raw, model, asked_usage=asked_usage, dies=dies))


def vectors_complaints(raw: bytes, model: str, count: int, *, base64: bool) -> list[str]:
    """Judge a whole answer of embeddings for `count` inputs."""
    return list(_vectors(json.loads(raw), model, count, base64=base64))


def error_complaints(status: int, headers: Mapping[str, str], raw: bytes) -> list[str]:
    """Judge an error answer. headers: names in lower case."""
    return list(_error_answer(status, headers, raw))


def foreign_keys(documents: Sequence[Mapping[str, Any]]) -> set[str]:
    """Name the keys that are no part of the shape, as paths like `choices.stop_reason`."""
    found: set[str] = set()
    for document in documents:
        found |= document.keys() - _KNOWN[""]
        usage = document.get("usage") or {}
        found |= {f"usage.{key}" for key in usage.keys() - _KNOWN["usage"]}
        for choice in document["choices"]:
            found |= {f"choices.{key}" for key in choice.keys() - _KNOWN["choices"]}
            said = choice.get("message") or choice.get("delta") or {}
            found |= {f"message.{key}" for key in said.keys() - _KNOWN["message"]}
    return found


def events_of(raw: bytes) -> list[Mapping[str, Any]]:
    """Decode the events of a stream, without its end mark."""
    return [json.loads(event[6:]) for event in raw.removesuffix(DONE).split(b"\n\n") if event]


@dataclass(slots=True)
class Folded:
    """What the chunks of one choice come to, added up as clients do."""

    message: dict[str, Any] = field(default_factory=lambda: {"role": "", "content": None})
    finish_reason: str | None = None


def fold(events: Sequence[Mapping[str, Any]]) -> Folded:
    """Add up the deltas of the first choice: strings are joined, calls are kept by their index."""
    folded = Folded()
    message = folded.message
    for event in events:
        for choice in event.get("choices", ()):
            folded.finish_reason = choice.get("finish_reason") or folded.finish_reason
            for key, value in choice["delta"].items():
                if key == "tool_calls":
                    _fold_calls(message.setdefault(key, []), value)
                elif isinstance(value, str):
                    message[key] = (message.get(key) or "") + value
                elif value is not None:
                    message[key] = value
    return folded


def grammar(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tell what the events of a stream say, one word each, repetitions left out.

    Words: role, reasoning_content, content, call, arguments, finish, usage.
    """
    words: list[str] = []
    for event in events:
        for word in _words(event):
            if words[-1:] != [word]:
                words.append(word)
    return words


def _words(event: Mapping[str, Any]) -> Iterator[str]:
    if not event["choices"]:
        yield "usage"
    for choice in event["choices"]:
        delta = choice["delta"]
        if "role" in delta:
            yield "role"
        for key in ("reasoning_content", "content"):
            if delta.get(key):
                yield key
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                yield "call"
            if call["function"]["arguments"]:
                yield "arguments"
        if choice["finish_reason"]:
            yield "finish"


def _fold_calls(calls: list[Any], entries: Sequence[Mapping[str, Any]]) -> None:
    for entry in entries:
        while len(calls) <= entry["index"]:
            calls.append({"id": "", "type": "", "function": {"name": "", "arguments": ""}})
        call = calls[entry["index"]]
        call["id"] += entry.get("id", "")
        call["type"] += entry.get("type", "")
        call["function"]["name"] += entry["function"].get("name", "")
        call["function"]["arguments"] += entry["function"]["arguments"] or ""


def _answer(answer: Mapping[str, Any], model: str) -> Iterator[str]:
    yield from _head(answer, model, "chat.completion")
    if "usage" not in answer:
        yield "the answer has no usage, not even null"
    yield from _usage(answer.get("usage"))
    for at, choice in enumerate(answer.get("choices", ())):
        if choice.get("index") != at:
            yield f"choice {at} has index {choice.get('index')}"
        if choice.get("finish_reason") not in FINISH_REASONS:
            yield f"choice {at} has finish_reason {choice.get('finish_reason')!r}"
        message = choice.get("message", {})
        if message.get("role") != "assistant":
            yield f"the message's role is {message.get('role')!r}"
        if "content" not in message:
            yield "the message has no content, not even null"
        elif not isinstance(message["content"], str | None):
            yield f"content is a {type(message['content']).__name__}"
        yield from _calls(message, choice.get("finish_reason"))
        yield from _texts(message)
        yield from _side_data(message)


def _head(document: Mapping[str, Any], model: str, kind: str) -> Iterator[str]:
    if not isinstance(document.get("id"), str) or not document["id"]:
        yield f"id is {document.get('id')!r}"
    if document.get("object") != kind:
        yield f"object is {document.get('object')!r}"
    if type(document.get("created")) is not int:
        yield f"created is {document.get('created')!r}"
    if document.get("model") != model:
        yield f"model is {document.get('model')!r}, not {model!r}"
    if not isinstance(document.get("choices"), list):
        yield "there is no list of choices"


def _usage(usage: Any) -> Iterator[str]:
    if usage is None:
        return
    if not usage.keys() >= _USAGE:
        yield f"usage has only {sorted(usage)}"
    elif usage["prompt_tokens"] + usage["completion_tokens"] != usage["total_tokens"]:
        yield f"usage does not add up: {usage}"
    for key in _DETAILS:
        if any(type(count) is not int for count in (usage.get(key) or {}).values() if count):
            yield f"{key} holds {usage[key]}"


def _calls(message: Mapping[str, Any], finish: Any) -> Iterator[str]:
    if "tool_calls" not in message:
        if finish == "tool_calls":
            yield "finish_reason is tool_calls without a call"
        return
    calls = message["tool_calls"]
    if not calls:
        yield "tool_calls is empty: loops of agents spin on it"
        return
    ids = [call.get("id") for call in calls]
    if len(set(ids)) != len(ids) or not all(isinstance(each, str) and each for each in ids):
        yield f"ids of calls are {ids}"
    for call in calls:
        if call.keys() - {"id", "type", "function", "index"} or call.get("type") != "function":
            yield f"a call has {sorted(call)}"
        inner = call.get("function", {})
        if set(inner) != {"name", "arguments"}:
            yield f"a function of a call has {sorted(inner)}"
        elif not isinstance(inner["arguments"], str):
            yield f"arguments are a {type(inner['arguments']).__name__}"
        elif finish != "length" and not _is_object(inner["arguments"]):
            yield f"arguments are no JSON object: {inner['arguments']!r}"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _texts(said: Mapping[str, Any]) -> Iterator[str]:
    for key in ("reasoning", "thinking", "thinking_blocks", "reasoning_details", "name"):
        if said.get(key) is not None:
            yield f"{key} is not the name of anything that callers know"
    reasoning = said.get("reasoning_content")
    if not isinstance(reasoning, str | None):
        yield f"reasoning_content is a {type(reasoning).__name__}"


def _side_data(said: Mapping[str, Any]) -> Iterator[str]:
    if "switchgear" not in said:
        return
    side = said["switchgear"]
    if side.keys() - _SIDE_DATA or set(side.get("origin", {})) != {"type", "model"}:
        yield f"side data has {sorted(side)} of {side.get('origin')}"
    if set(side) == {"origin"}:
        yield "side data says nothing"


class _Choice:
    def __init__(self) -> None:
        self.finished = False
        self.calls = 0


def _stream(raw: bytes, model: str, *, asked_usage: bool, dies: bool) -> Iterator[str]:
    yield from _framing(raw)
    if raw.endswith(DONE) is dies:
        yield "a stream that died has an end mark" if dies else "the end mark is missing"
    events = events_of(raw)
    if not events:
        yield "there are no events"
        return
    if dies:
        *events, last = events
        yield from _error(last)
    choices: dict[int, _Choice] = {}
    for at, event in enumerate(events):
        if "error" in event:
            yield f"event {at} is an error"
            continue
        yield from _head(event, model, "chat.completion.chunk")
        for key in ("id", "created", "model", "object"):
            if event.get(key) != events[0].get(key):
                yield f"{key} changes to {event.get(key)!r} in event {at}"
        ends = at == len(events) - 1
        yield from _chunk_usage(event, asked=asked_usage, last=ends, dies=dies)
        for choice in event["choices"]:
            yield from _chunk_choice(choice, choices)
    if not dies and not all(choice.finished for choice in choices.values()):
        yield "a choice has no finish_reason"
    if not dies and events:
        message = fold(events)
        yield from _calls(message.message, message.finish_reason)


def _framing(raw: bytes) -> Iterator[str]:
    if not raw.endswith(b"\n\n"):
        yield "the stream does not end with a blank line"
    for event in raw.split(b"\n\n")[:-1]:
        if not event.startswith(b"data: ") or b"\n" in event or b"\r" in event:
            yield f"an event is not one line of data: {event[:60]!r}"


def _chunk_usage(event: Mapping[str, Any], *, asked: bool, last: bool, dies: bool) -> Iterator[str]:
    if not asked:
        if "usage" in event:
            yield "there is a usage key that was not asked for"
        if not event["choices"]:
            yield "there is a chunk without choices that was not asked for"
        return
    if event["choices"]:
        if event.get("usage", 0) is not None:
            yield f"usage is {event.get('usage', 'missing')!r} in a chunk with choices, not null"
        if last and not dies:
            yield "the last chunk is not the usage"
    elif not last or not event.get("usage"):
        yield "a chunk without choices is not the last, or has no usage"
    yield from _usage(event.get("usage"))


def _chunk_choice(choice: Mapping[str, Any], choices: dict[int, _Choice]) -> Iterator[str]:
    index, delta = choice.get("index"), choice.get("delta")
    if not isinstance(index, int) or not isinstance(delta, dict):
        yield f"a choice has index {index!r} and delta {delta!r}"
        return
    first = index not in choices
    state = choices.setdefault(index, _Choice())
    if state.finished:
        yield f"something follows the finish: {choice}"
    if ("role" in delta) is not first:
        yield f"a role {'is missing at first' if first else 'comes again'}"
    if delta.get("role", "assistant") != "assistant":
        yield f"the role is {delta['role']!r}"
    if not isinstance(delta.get("content"), str | None):
        yield f"content is a {type(delta['content']).__name__}"
    yield from _texts(delta)
    yield from _call_deltas(delta, state)
    if "finish_reason" not in choice:
        yield "finish_reason is missing, not even null"
    elif choice["finish_reason"] is not None:
        state.finished = True
        if choice["finish_reason"] not in FINISH_REASONS:
            yield f"finish_reason is {choice['finish_reason']!r}"
    if "switchgear" in delta and choice.get("finish_reason") is None:
        yield "side data comes before the finish"
    yield from _side_data(delta)


def _call_deltas(delta: Mapping[str, Any], state: _Choice) -> Iterator[str]:
    if "tool_calls" not in delta:
        return
    if not delta["tool_calls"]:
        yield "tool_calls of a delta is empty"
    for entry in delta["tool_calls"]:
        function = entry.get("function", {})
        if not isinstance(function.get("arguments"), str):
            yield f"arguments of a delta are {function.get('arguments')!r}"
        if "id" not in entry:
            if entry.keys() - {"index", "function"} or "name" in function:
                yield f"a later delta of a call repeats something: {entry}"
            if not 0 <= entry.get("index", -1) < state.calls:
                yield f"a delta belongs to no call: {entry}"
            continue
        if entry.get("index") != state.calls:
            yield f"call {state.calls} has index {entry.get('index')!r}"
        if not entry["id"] or entry.get("type") != "function" or not function.get("name"):
            yield f"the first delta of a call lacks something: {entry}"
        state.calls += 1


def _vectors(answer: Mapping[str, Any], model: str, count: int, *, base64: bool) -> Iterator[str]:
    if answer.get("object") != "list" or answer.get("model") != model:
        yield f"the answer is a {answer.get('object')!r} of {answer.get('model')!r}"
    data = answer.get("data", [])
    if [item.get("index") for item in data] != list(range(count)):
        yield f"indexes are {[item.get('index') for item in data]} for {count} inputs"
    for item in data:
        if item.get("object") != "embedding" or not item.get("embedding"):
            yield f"an entry is {item}"
        if not isinstance(item.get("embedding"), str if base64 else list):
            yield f"a vector is a {type(item.get('embedding')).__name__}"
    usage = answer.get("usage")
    if not isinstance(usage, dict) or not usage.keys() >= {"prompt_tokens", "total_tokens"}:
        yield f"usage is {usage}"


def _error_answer(status: int, headers: Mapping[str, str], raw: bytes) -> Iterator[str]:
    if headers.get("content-type") != "application/json":
        yield f"content-type is {headers.get('content-type')}"
    if not headers.get("x-request-id"):
        yield "there is no x-request-id"
    if status not in ERROR_TYPES:
        yield f"status {status} is no caller's"
    if "retry-after" not in headers and headers.get("x-should-retry") != "false" and status > 400:
        yield "neither retry-after nor x-should-retry is set"
    document = json.loads(raw)
    yield from _error(document)
    error = document.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    if kind not in ERROR_TYPES.get(status, {kind}):
        yield f"type {kind!r} does not go with status {status}"


def _error(document: Mapping[str, Any]) -> Iterator[str]:
    error = document.get("error")
    if set(document) != {"error"} or not isinstance(error, dict):
        yield f"the document has {sorted(document)}"
        return
    if set(error) != ERROR_KEYS:
        yield f"the error has {sorted(error)}"
    if not isinstance(error.get("message"), str) or not error["message"]:
        yield f"the message is {error.get('message')!r}"
    for key in ("param", "code"):
        if not isinstance(error.get(key), str | None):
            yield f"{key} is {error.get(key)!r}"
