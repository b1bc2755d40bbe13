"""A double of OpenAI's Responses API: checks a stateless request and writes its answer, or its events.

Reasoning comes encrypted for one account, and is refused if it is another's, or if it does not stand
right before what it led to. Source: OpenAI API reference, "Responses", read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.doubles.anthropic_model import sign
from tests.doubles.talk import Asked, Said, pieces
from tests.doubles.vendor_dialects import CREATED, json_of

Document = dict[str, Any]

_TOP = {
    "model", "input", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "store",
    "include", "stream", "max_output_tokens", "metadata", "prompt_cache_key", "user",
    "safety_identifier", "service_tier",
}  # fmt: skip
_ITEMS: Mapping[str, set[str]] = {
    "message": {"role", "content"},
    "function_call": {"call_id", "name", "arguments"},
    "function_call_output": {"call_id", "output"},
    "reasoning": {"id", "summary", "encrypted_content"},
}
_USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 15,
    "output_tokens_details": {"reasoning_tokens": 11},
    "total_tokens": 24,
}


def complaint(body: Mapping[str, Any], account: str) -> tuple[str, str]:
    """Say what is wrong with a request, and the code that goes with it; or nothing."""
    return next(_complaints(body, account), ("", ""))


def asked(body: Mapping[str, Any]) -> Asked:
    """Read a request as far as an answer depends on it."""
    last = body["input"][-1]
    result = last["type"] == "function_call_output"
    text = last["output"] if result else last["content"]
    parts = [] if isinstance(text, str) else text
    wanted = body.get("text", {}).get("format", {})
    choice = body.get("tool_choice", "auto")
    return Asked(
        text=text if isinstance(text, str) else " ".join(part.get("text", "") for part in parts),
        result=result,
        tools=[(tool["name"], tool["parameters"]) for tool in body.get("tools", ())],
        forced=choice["name"] if isinstance(choice, dict) else "",
        parallel=body.get("parallel_tool_calls", True),
        schema=wanted.get("schema"),
        picture=any(part["type"] == "input_image" for part in parts),
        thinks=True,
    )


def whole(said: Said, body: Mapping[str, Any], ids: Sequence[str], account: str) -> Document:
    """Write a whole answer."""
    return _response("completed", body, list(_output(said, body, ids, account)))


def events(
    said: Said, body: Mapping[str, Any], ids: Sequence[str], account: str
) -> Iterator[Document]:
    """Write the events of a stream, numbered as they come."""
    output = list(_output(said, body, ids, account))
    for number, event in enumerate(_events(output, body)):
        yield {**event, "sequence_number": number}


def _complaints(body: Mapping[str, Any], account: str) -> Iterator[tuple[str, str]]:
    for name in body.keys() - _TOP:
        yield f"Unknown parameter: '{name}'.", "unknown_parameter"
    if body.get("store") is not False or body.get("include") != ["reasoning.encrypted_content"]:
        yield "this double keeps nothing", "invalid_value"
    items = body["input"]
    open_ids: set[str] = set()
    for at, item in enumerate(items):
        if extra := item.keys() - {"type"} - _ITEMS.get(item["type"], set()):
            yield f"Unknown parameter: 'input[{at}].{min(extra)}'.", "unknown_parameter"
        match item["type"]:
            case "reasoning":
                if item["encrypted_content"] != sign("reasoning", account):
                    yield (
                        "The encrypted content could not be verified.",
                        "invalid_encrypted_content",
                    )
                follows = items[at + 1]["type"] if at + 1 < len(items) else ""
                if follows not in {"function_call", "message", "reasoning"}:
                    yield "Item of type 'reasoning' was provided without its required item.", ""
            case "function_call":
                open_ids.add(item["call_id"])
            case "function_call_output":
                if item["call_id"] not in open_ids:
                    yield f"No tool call found with call_id {item['call_id']}.", ""
                open_ids.discard(item["call_id"])
            case _:
                pass
    if open_ids:
        yield f"No tool output found for function call {min(open_ids)}.", ""


def _output(
    said: Said, body: Mapping[str, Any], ids: Sequence[str], account: str
) -> Iterator[Document]:
    shown = "summary" in body.get("reasoning", {})
    yield {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": said.thoughts}] if shown else [],
        "encrypted_content": sign("reasoning", account),
    }
    if said.text:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        ready = {"role": "assistant", "status": "completed", "content": [part]}
        yield {"type": "message", "id": "msg_1", **ready}
    for (name, arguments), call_id in zip(said.calls, ids, strict=False):
        call = {"call_id": call_id, "name": name, "arguments": json_of(arguments)}
        yield {"type": "function_call", "id": f"fc_{call_id}", "status": "completed", **call}


def _response(
    status: str, body: Mapping[str, Any], output: Sequence[Mapping[str, Any]]
) -> Document:
    return {
        "id": "resp_up",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "output": list(output),
        "service_tier": "default",
        "usage": _USAGE if status == "completed" else None,
    }


def _events(output: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> Iterator[Document]:
    yield {"type": "response.created", "response": _response("in_progress", body, [])}
    yield {"type": "response.in_progress", "response": _response("in_progress", body, [])}
    for index, item in enumerate(output):
        at = {"output_index": index, "item_id": item["id"]}
        yield {"type": "response.output_item.added", **at, "item": _begun(item)}
        match item["type"]:
            case "message":
                text = item["content"][0]["text"]
                for piece in pieces(text):
                    spoken = {**at, "content_index": 0, "delta": piece}
                    yield {"type": "response.output_text.delta", **spoken}
                yield {"type": "response.output_text.done", **at, "content_index": 0, "text": text}
            case "reasoning":
                for number, part in enumerate(item["summary"]):
                    for piece in pieces(part["text"]):
                        thought = {**at, "summary_index": number, "delta": piece}
                        yield {"type": "response.reasoning_summary_text.delta", **thought}
            case _:
                text = item["arguments"]
                for cut in range(0, len(text), 6):
                    piece = text[cut : cut + 6]
                    yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
                yield {"type": "response.function_call_arguments.done", **at, "arguments": text}
        yield {"type": "response.output_item.done", **at, "item": item}
    yield {"type": "response.completed", "response": _response("completed", body, output)}


def _begun(item: Mapping[str, Any]) -> Document:
    empty: Mapping[str, Document] = {
        "message": {"content": [], "status": "in_progress"},
        "reasoning": {"summary": [], "encrypted_content": ""},
        "function_call": {"arguments": "", "status": "in_progress"},
    }
    return {**item, **empty[item["type"]]}
