"""What the tests of the bridge to Responses share: items, whole responses, and their events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controlplane.table.schema import ProviderType
from dataplane.codec import decode, encode
from dataplane.provider import Adapter, HttpResponse, Prepared, Request, ResponseFacts
from tests.dataplane.wire.openai_kit import TOOL, Played, adapter, chat

OAI, AZ = ProviderType.OPENAI, ProviderType.AZURE_OPENAI
MODEL = "gpt-5.6"
USAGE = {
    "input_tokens": 40,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 52,
}


def bridged(kind: ProviderType = OAI, **fields: Any) -> tuple[Adapter, Request, Prepared]:
    """Prepare a request with a function for a model that reasons."""
    made = adapter(kind)
    request = chat(**{"tools": [TOOL], **fields})
    return made, request, made.prepare(request, MODEL, "key")


def sent(kind: ProviderType = OAI, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the body that is sent, decoded, and the warnings but the one of the endpoint."""
    _made, _request, prepared = bridged(kind, **fields)
    assert prepared.http.url.endswith("/responses")
    assert "mapped:endpoint" == prepared.warnings[0]
    return decode(prepared.http.body), list(prepared.warnings[1:])


def response(*output: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Make a whole response."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1790000000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "gpt-5.6-2026-09-01",
        "output": list(output),
        "usage": USAGE,
        **changes,
    }


def message(*texts: str, item_id: str = "msg_1", **changes: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": parts,
        **changes,
    }


def refusal(text: str) -> dict[str, Any]:
    return {**message(), "content": [{"type": "refusal", "refusal": text}]}


def call(call_id: str = "call_1", arguments: str = "{}", name: str = "get_time") -> dict[str, Any]:
    return {
        "id": f"fc_{call_id}",
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def custom(call_id: str = "call_c", text: str = "ls") -> dict[str, Any]:
    return {
        "id": "ctc_1",
        "type": "custom_tool_call",
        "call_id": call_id,
        "name": "shell",
        "input": text,
    }


def reasoning(item_id: str = "rs_1", *summary: str, sealed: str = "sealed") -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in summary],
        "encrypted_content": sealed,
    }


def read(body: Any, kind: ProviderType = OAI, **fields: Any) -> tuple[Any, ResponseFacts]:
    """Read a unary answer: the completion that the caller gets, decoded, and its facts."""
    made, request, prepared = bridged(kind, **fields)
    raw = body if isinstance(body, bytes) else encode(body)
    answer = made.answer(request, prepared, HttpResponse(status=200, headers={}, body=raw))
    return decode(answer.body), answer.facts


def play(pieces: Sequence[bytes], kind: ProviderType = OAI, **fields: Any) -> Played:
    """Feed a stream in pieces."""
    made, request, prepared = bridged(kind, stream=True, **fields)
    return Played(made.decoder(request, prepared), pieces)


def event(kind: str, **fields: Any) -> bytes:
    data = encode({"type": kind, "sequence_number": 0, **fields})
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def events(whole: dict[str, Any], *, size: int = 2) -> list[bytes]:
    """Stream a response as OpenAI does, texts in pieces of `size` characters."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    written = [
        event("response.created", response=begun),
        event("response.in_progress", response=begun),
    ]
    for at, item in enumerate(whole["output"]):
        place = {"item_id": item["id"], "output_index": at}
        written.append(event("response.output_item.added", output_index=at, item=_empty(item)))
        match item["type"]:
            case "message":
                for number, part in enumerate(item["content"]):
                    word = "output_text" if part["type"] == "output_text" else "refusal"
                    key = "text" if word == "output_text" else "refusal"
                    here = {**place, "content_index": number}
                    written += [
                        event(f"response.{word}.delta", **here, delta=piece)
                        for piece in _pieces(part[key], size)
                    ]
                    written.append(event(f"response.{word}.done", **here, **{key: part[key]}))
            case "reasoning":
                for number, part in enumerate(item["summary"]):
                    here = {**place, "summary_index": number}
                    written.append(event("response.reasoning_summary_part.added", **here, part={}))
                    written += [
                        event("response.reasoning_summary_text.delta", **here, delta=piece)
                        for piece in _pieces(part["text"], size)
                    ]
                    written.append(
                        event("response.reasoning_summary_text.done", **here, text=part["text"])
                    )
            case "function_call":
                written += [
                    event("response.function_call_arguments.delta", **place, delta=piece)
                    for piece in _pieces(item["arguments"], size)
                ]
                written.append(
                    event(
                        "response.function_call_arguments.done",
                        **place,
                        arguments=item["arguments"],
                    )
                )
            case "custom_tool_call":
                written += [
                    event("response.custom_tool_call_input.delta", **place, delta=piece)
                    for piece in _pieces(item["input"], size)
                ]
        written.append(event("response.output_item.done", output_index=at, item=item))
    return [*written, event(f"response.{whole['status']}", response=whole)]


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _empty(item: dict[str, Any]) -> dict[str, Any]:
    blank = {"content": [], "summary": [], "arguments": "", "input": ""}
    return {key: blank.get(key, value) for key, value in item.items()} | {"status": "in_progress"}
