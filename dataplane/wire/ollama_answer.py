"""Read Ollama's whole answers into the canonical form, and what streams share with them.

Ollama gives no id, no creation second and no reason `tool_calls`: they are made here, from the
answer alone, so that the same answer always gives the same bytes.

Source: Ollama's docs/api.md and server 0.33.0, read 2026-11-22.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

from dataplane.codec import DecodeError, decode_object, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Answer, HttpResponse, Operation, Request, ResponseFacts, Usage
from dataplane.wire.embeddings import checked_vectors, embeddings_body
from dataplane.wire.failures import OLLAMA, classify_event

_FINISH_REASONS: Final[Mapping[str, str]] = {"stop": "stop", "length": "length"}
# Ends of something that is not a completion: the model was loaded or unloaded, or the connection
# to the runner broke.
_NO_FINISH: Final = frozenset({"load", "unload", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A function call as the canonical form has it; `arguments` is JSON text, never empty."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The id and creation time (Unix seconds) of an answer; 0 if the upstream gave none."""

    id: str
    created: int


class ToolCalls:
    """Gives the calls of one answer their ids, over all of its lines."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def read(self, value: Any) -> list[ToolCall]:
        """Read the `tool_calls` of a message; None and absent give none.

        Missing and repeated ids become `call_<running index>`. Raises UpstreamFailed
        (bad_response) for a call without a name.
        """
        if value is None:
            return []
        if not isinstance(value, list):
            raise malformed("tool_calls is not a list")
        return [self._call(item) for item in value]

    def _call(self, value: Any) -> ToolCall:
        match value:
            case {"function": {"name": str(name), **function}} if name:
                return ToolCall(
                    id=self._id(value.get("id")),
                    name=name,
                    arguments=_arguments_text(function.get("arguments")),
                )
            case _:
                raise malformed("a tool call has no name")

    def _id(self, given: Any) -> str:
        call_id = given if isinstance(given, str) and given else f"call_{len(self._ids)}"
        while call_id in self._ids:
            call_id = f"{call_id}_{len(self._ids)}"
        self._ids.add(call_id)
        return call_id


def read_answer(request: Request, response: HttpResponse, num_ctx: int | None) -> Answer:
    """Read a 2xx unary answer of /api/chat, /api/generate or /api/embed.

    num_ctx: the context size that was asked for; a prompt that fills it was probably cut, which
        gives a warning. Raises UpstreamFailed: bad_response for what is not such an answer,
        upstream_error for one that ended without finishing, or the class of its `error`.
    """
    try:
        native = decode_object(response.body)
    except DecodeError as error:
        raise malformed("the answer is not a JSON object") from error
    if native.get("error") is not None:
        raise classify_event(native["error"], OLLAMA)
    facts = ResponseFacts(response_model=model_of(native))
    match request.operation:
        case Operation.EMBEDDINGS:
            return _read_embeddings(request, native, facts)
        case Operation.CHAT:
            return _read_chat(request, native, facts, num_ctx)
        case Operation.COMPLETION:
            return _read_completion(request, native, facts, num_ctx)
        case _:
            assert_never(request.operation)


def identity_of(native: Mapping[str, Any], operation: Operation) -> Identity:
    """Make an id and a creation time from an answer's first object."""
    stamp = str(native.get("created_at", ""))
    digest = hashlib.sha256(f"{stamp}\0{model_of(native)}".encode()).hexdigest()[:24]
    prefix = "chatcmpl" if operation is Operation.CHAT else "cmpl"
    try:
        created = int(datetime.fromisoformat(stamp).timestamp())
    except (ValueError, OverflowError):
        created = 0
    return Identity(id=f"{prefix}-{digest}", created=max(created, 0))


def model_of(native: Mapping[str, Any]) -> str:
    """Give the upstream's name of the model, empty if it gave none."""
    model = native.get("model")
    return model if isinstance(model, str) else ""


def text_of(native: Mapping[str, Any], key: str) -> str:
    """Give a text field, empty if absent. Raises UpstreamFailed (bad_response) for a non-text."""
    value = native.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(f"{key} is not a string")
    return value


def message_of(native: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the message of a chat object, empty if absent. Raises UpstreamFailed (bad_response)."""
    message = native.get("message")
    if message is None:
        return {}
    if not isinstance(message, dict):
        raise malformed("message is not an object")
    return message


def finish(native: Mapping[str, Any], facts: ResponseFacts, *, called: bool, legacy: bool) -> str:
    """Give the canonical finish reason of the object that ends an answer, and note it.

    called: whether a tool call was seen in any part of the answer. legacy: whether the caller
    speaks of `function_call`. A reason that nobody knows is a `stop` with a warning. Raises
    UpstreamFailed (upstream_error) if the answer ended without finishing.
    """
    native_reason = native.get("done_reason")
    if not isinstance(native_reason, str) or native_reason in _NO_FINISH:
        raise UpstreamFailed(
            ErrorClass.UPSTREAM_ERROR,
            f"the answer ended with done_reason {str(native_reason or '')[:40]!r}",
            status=200,
        )
    reason = _FINISH_REASONS.get(native_reason)
    if reason is None:
        reason = "stop"
        facts.warnings.append("mapped:finish_reason")
    if reason == "stop" and called:
        reason = "function_call" if legacy else "tool_calls"
    facts.finish_reasons[0] = reason
    facts.native_finish_reason = "" if native_reason == reason else native_reason
    return reason


def note_usage(
    native: Mapping[str, Any], facts: ResponseFacts, operation: Operation, num_ctx: int | None
) -> Mapping[str, int] | None:
    """Note the counters of the object that ends an answer, and give the canonical `usage`.

    A missing prompt_eval_count means that the whole prompt was cached (old servers) and counts as
    0; without both counters there is no usage. Cached and reasoning tokens are not told.
    """
    read, written = _count(native, "prompt_eval_count"), _count(native, "eval_count")
    if read is None and written is None:
        return None
    input_tokens, output_tokens = read or 0, written or 0
    facts.usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    if num_ctx is not None and input_tokens >= num_ctx - 1:
        # The server cuts without a word; this is its only trace.
        field = "messages" if operation is Operation.CHAT else "prompt"
        facts.warnings.append(f"clamped:{field}")
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }


def chat_logprobs(native: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the canonical `logprobs` of a chat choice, None if there are none."""
    entries = _entries(native, "logprobs")
    if not entries:
        return None
    return {
        "content": [
            {
                **_token(entry),
                "top_logprobs": [_token(other) for other in _entries(entry, "top_logprobs")],
            }
            for entry in entries
        ],
        "refusal": None,
    }


def completion_logprobs(native: Mapping[str, Any], offset: int) -> Mapping[str, Any] | None:
    """Give the canonical `logprobs` of a text completion, None if there are none.

    offset: characters of the completion before this object's.
    """
    entries = _entries(native, "logprobs")
    if not entries:
        return None
    tokens = [str(entry.get("token", "")) for entry in entries]
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": [entry.get("logprob") for entry in entries],
        "top_logprobs": [
            {
                str(other.get("token", "")): other.get("logprob")
                for other in _entries(entry, "top_logprobs")
            }
            for entry in entries
        ],
        "text_offset": offsets,
    }


def malformed(what: str) -> UpstreamFailed:
    """Make the failure for a 2xx answer that is not in Ollama's format."""
    return UpstreamFailed(ErrorClass.BAD_RESPONSE, f"bad answer: {what}", status=200)


def _read_chat(
    request: Request, native: Mapping[str, Any], facts: ResponseFacts, num_ctx: int | None
) -> Answer:
    message = message_of(native)
    calls = ToolCalls().read(message.get("tool_calls"))
    content = text_of(message, "content")
    canonical: dict[str, Any] = {
        "role": "assistant",
        "content": None if calls and not content else content,
        "refusal": None,
    }
    if thinking := text_of(message, "thinking"):
        canonical["reasoning_content"] = thinking
    if calls and request.legacy_functions:
        # The old form knows a single call.
        canonical["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        canonical["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    reason = _finish_whole(native, facts, called=bool(calls), legacy=request.legacy_functions)
    choice = {
        "index": 0,
        "message": canonical,
        "logprobs": chat_logprobs(native),
        "finish_reason": reason,
    }
    return _completed(
        request, native, facts, num_ctx=num_ctx, kind="chat.completion", choice=choice
    )


def _read_completion(
    request: Request, native: Mapping[str, Any], facts: ResponseFacts, num_ctx: int | None
) -> Answer:
    choice: dict[str, Any] = {
        "text": text_of(native, "response"),
        "index": 0,
        "logprobs": completion_logprobs(native, 0),
        "finish_reason": _finish_whole(native, facts, called=False, legacy=False),
    }
    if thinking := text_of(native, "thinking"):
        choice["reasoning_content"] = thinking
    return _completed(
        request, native, facts, num_ctx=num_ctx, kind="text_completion", choice=choice
    )


def _finish_whole(
    native: Mapping[str, Any], facts: ResponseFacts, *, called: bool, legacy: bool
) -> str:
    if native.get("done") is not True:
        raise malformed("it is not done")
    return finish(native, facts, called=called, legacy=legacy)


def _completed(
    request: Request,
    native: Mapping[str, Any],
    facts: ResponseFacts,
    *,
    num_ctx: int | None,
    kind: str,
    choice: Mapping[str, Any],
) -> Answer:
    identity = identity_of(native, request.operation)
    facts.response_id = identity.id
    body = {
        "id": identity.id,
        "object": kind,
        "created": identity.created,
        "model": request.model,
        "system_fingerprint": None,
        "choices": [choice],
        "usage": note_usage(native, facts, request.operation, num_ctx),
    }
    return Answer(body=encode(body), facts=facts)


def _read_embeddings(request: Request, native: Mapping[str, Any], facts: ResponseFacts) -> Answer:
    try:
        vectors = checked_vectors(native.get("embeddings"))
    except ValueError as error:
        raise malformed(str(error)) from error
    texts = request.body.get("input")
    wanted = len(texts) if isinstance(texts, list) else 1
    if len(vectors) != wanted:
        raise malformed(f"{len(vectors)} embeddings for {wanted} inputs")
    tokens = _count(native, "prompt_eval_count")
    if tokens is not None:
        facts.usage = Usage(input_tokens=tokens)
    if vectors:
        facts.embedding_dimensions = len(vectors[0])
    body = embeddings_body(vectors, model=request.model, input_tokens=tokens, base64=request.base64)
    return Answer(body=body, facts=facts)


def _arguments_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments if arguments.strip() else "{}"
    return "{}" if arguments is None else encode(arguments).decode()


def _count(native: Mapping[str, Any], key: str) -> int | None:
    value = native.get(key)
    # JSON's true is an int in Python.
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _entries(parent: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    entries = parent.get(key)
    if not isinstance(entries, list):
        return ()
    return [entry for entry in entries if isinstance(entry, dict)]


def _token(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    token = str(entry.get("token", ""))
    return {
        "token": token,
        "logprob": entry.get("logprob"),
        "bytes": entry.get("bytes") or list(token.encode()),
    }
