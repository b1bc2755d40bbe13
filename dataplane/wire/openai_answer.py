"""Reads whole answers in OpenAI's format: the upstream's bytes, with as little changed as can be.

What changes nearly always is the name of the model, which becomes the caller's. Everything else
is changed only where an upstream is known to differ from the one shape; unknown fields pass.
"""

from __future__ import annotations

from typing import Any, Final

from dataplane.codec import DecodeError, decode_object, encode
from dataplane.provider import Answer, HttpResponse, ModelInfo, Operation, ResponseFacts
from dataplane.wire.embeddings import checked_vectors, decode_base64_vector, encode_vector
from dataplane.wire.failures import FailureTable, classify_event
from dataplane.wire.openai_reading import (
    Reading,
    attach_verdicts,
    finish_reason,
    join_content,
    malformed,
    note_headers,
    note_model,
    read_usage,
    rename_reasoning,
    split_content,
    warn,
    whole_calls,
)
from dataplane.wire.plain_answer import facts_of, match_plain
from dataplane.wire.relay import with_model
from dataplane.wire.thinking_tags import ThinkTags
from dataplane.wire.tool_ids import digest62
from dataplane.wire.vendor_keys import Verdicts, take_out

_OBJECTS: Final = {Operation.CHAT: "chat.completion", Operation.COMPLETION: "text_completion"}
_ID_PREFIXES: Final = {Operation.CHAT: "chatcmpl", Operation.COMPLETION: "cmpl"}


def read_answer(response: HttpResponse, reading: Reading) -> Answer:
    """Read a 2xx answer of any operation.

    errors: UpstreamFailed bad_response for what is no such answer, an empty one included;
    upstream_error for one that ended in failure; or the class of an `error` in its body.
    """
    return _plain(response, reading) or read_any_answer(response, reading)


def read_any_answer(response: HttpResponse, reading: Reading) -> Answer:
    """Read it the usual way, plain or not."""
    answer = decode_answer(response.body, reading.rules.table)
    facts = ResponseFacts()
    note_headers(response.headers, reading, facts)
    changed = shape_answer(answer, reading, facts, response.body)
    body = _relayed(response.body, answer, reading.request.model, changed=changed)
    return Answer(body=body, facts=facts)


def _plain(response: HttpResponse, reading: Reading) -> Answer | None:
    """Read an answer that is plain, if that is all it takes."""
    request = reading.request
    if (
        request.operation is not Operation.CHAT
        or request.legacy_functions
        or reading.tags is not ThinkTags.KEPT
    ):
        return None
    plain = match_plain(response.body)
    if plain is None:
        return None
    body = with_model(response.body, plain.model, request.model)
    if body is None:
        return None
    facts = facts_of(plain)
    note_headers(response.headers, reading, facts)
    note_model(plain.model, reading, facts)
    return Answer(body=body, facts=facts)


def decode_answer(body: bytes, table: FailureTable) -> dict[str, Any]:
    """Decode a 2xx answer. Raises UpstreamFailed for one that is none, or holds an `error`."""
    if not body.strip():
        raise malformed("the answer is empty")
    try:
        answer = decode_object(body)
    except DecodeError as error:
        raise malformed("the answer is not a JSON object") from error
    if answer.get("error"):
        raise classify_event(answer["error"], table)
    if answer.get("object") == "error":
        raise classify_event(answer, table)
    return answer


def shape_answer(
    answer: dict[str, Any], reading: Reading, facts: ResponseFacts, body: bytes
) -> bool:
    """Bring a decoded answer into the one shape, in place, and keep what it says in `facts`.

    Its `model` is left to the caller. body: what missing ids are made from. Returns whether
    anything changed. Raises UpstreamFailed as `read_answer` does.
    """
    note_model(answer.get("model"), reading, facts)
    if isinstance(answer_id := answer.get("id"), str):
        facts.response_id = answer_id
    if isinstance(usage := answer.get("usage"), dict):
        facts.usage = read_usage(usage)
    verdicts: Verdicts = {}
    changed = take_out(answer, reading.rules.vendor_keys, verdicts)
    if reading.request.operation is Operation.EMBEDDINGS:
        return _read_vectors(answer, reading, facts) or changed
    return _read_choices(answer, reading, facts, body, verdicts) or changed


def read_models(response: HttpResponse) -> list[ModelInfo]:
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
            owned_by=owner if isinstance(owner := item.get("owned_by"), str) else "",
            context_window=_window(item),
        )
        for item in data
        if isinstance(item, dict) and isinstance(item.get("id"), str)
    ]


def _window(item: dict[str, Any]) -> int | None:
    # vLLM's name, Mistral's, and the one of several gateways.
    for name in ("max_model_len", "max_context_length", "context_length"):
        if isinstance(value := item.get(name), int):
            return value
    return None


def _relayed(body: bytes, answer: dict[str, Any], model: str, *, changed: bool) -> bytes:
    native = answer.get("model")
    if not changed and isinstance(native, str):
        relayed = with_model(body, native, model)
        if relayed is not None:
            return relayed
    answer["model"] = model
    return encode(answer)


def _read_choices(
    answer: dict[str, Any], reading: Reading, facts: ResponseFacts, body: bytes, verdicts: Verdicts
) -> bool:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise malformed("the answer has no choices")
    operation = reading.request.operation
    changed = False
    if not facts.response_id:
        answer["id"] = f"{_ID_PREFIXES[operation]}-{digest62(body.decode(errors='replace'), 24)}"
        changed = True
    if not isinstance(answer.get("created"), int):
        answer["created"] = 0
        changed = True
    if not answer.get("object"):
        answer["object"] = _OBJECTS[operation]
        changed = True
    for at, choice in enumerate(choices):
        if not isinstance(choice, dict):
            raise malformed("a choice of the answer is not an object")
        if not isinstance(choice.get("index"), int):
            choice["index"] = at
            changed = True
        called = False
        found: Verdicts = dict(verdicts)
        changed = take_out(choice, reading.rules.vendor_keys, found) or changed
        if operation is Operation.CHAT:
            called, shaped = _shape_message(choice, reading, facts, f"{answer['id']}/{at}")
            changed = changed or shaped
            changed = attach_verdicts(choice["message"], found, reading) or changed
        native = choice.get("finish_reason")
        word = finish_reason(
            native if isinstance(native, str) else ("tool_calls" if called else "stop"),
            reading,
            facts,
            index=choice["index"],
            called=called,
        )
        if word != native:
            choice["finish_reason"] = word
            changed = True
    return changed


def _shape_message(
    choice: dict[str, Any], reading: Reading, facts: ResponseFacts, seed: str
) -> tuple[bool, bool]:
    """Bring a choice's message into shape. Returns whether it calls tools, and if it changed."""
    message = choice.get("message")
    changed = False
    if not isinstance(message, dict):
        # Azure leaves the message of a filtered choice out.
        message = choice["message"] = {"role": "assistant", "content": None}
        changed = True
    if not message.get("role"):
        message["role"] = "assistant"
        changed = True
    if "content" not in message:
        message["content"] = None
        changed = True
    changed = join_content(message) or changed
    changed = rename_reasoning(message) or changed
    changed = split_content(message, reading.tags) or changed
    given = message.get("tool_calls")
    if not given and "tool_calls" in message:
        # An empty list sends the loops of some agents round once more; Mistral says null.
        del message["tool_calls"]
        return False, True
    if not isinstance(given, list):
        return False, changed
    calls = whole_calls(given, reading.names, seed)
    if reading.request.legacy_functions:
        del message["tool_calls"]
        # The old form has room for one.
        message["function_call"] = calls[0].get("function")
        if len(calls) > 1:
            warn(facts, "dropped:tool_calls")
        return True, True
    if calls != given:
        message["tool_calls"] = calls
        changed = True
    return True, changed


def _read_vectors(answer: dict[str, Any], reading: Reading, facts: ResponseFacts) -> bool:
    """Bring vectors into the order of the inputs and the wanted encoding."""
    data = answer.get("data")
    if not isinstance(data, list) or not data:
        raise malformed("the answer has no embeddings")
    wanted = _input_count(reading.request.body.get("input"))
    if len(data) != wanted:
        raise malformed(f"the answer has {len(data)} embeddings for {wanted} inputs")
    changed = False
    indexes: list[int] = []
    for at, item in enumerate(data):
        if not isinstance(item, dict):
            raise malformed("an embedding of the answer is not an object")
        index = item.setdefault("index", at)
        indexes.append(index if isinstance(index, int) else -1)
        vector = item.get("embedding")
        numbers = _numbers(vector)
        if not numbers:
            raise malformed("an embedding of the answer is empty")
        facts.embedding_dimensions = len(numbers)
        if isinstance(vector, str) is not reading.request.base64:
            item["embedding"] = encode_vector(numbers) if reading.request.base64 else numbers
            changed = True
    if indexes != list(range(wanted)):
        if sorted(indexes) != list(range(wanted)):
            raise malformed("the embeddings of the answer have wrong indexes")
        data.sort(key=lambda item: int(item["index"]))
        changed = True
    if not answer.get("object"):
        answer["object"] = "list"
        changed = True
    return changed


def _numbers(vector: Any) -> list[float]:
    try:
        if isinstance(vector, str):
            return decode_base64_vector(vector)
        return checked_vectors([vector])[0]
    except ValueError as error:
        raise malformed("an embedding of the answer is no vector") from error


def _input_count(given: Any) -> int:
    # A list of numbers is one input, as tokens.
    if isinstance(given, list) and given and not isinstance(given[0], int):
        return len(given)
    return 1
