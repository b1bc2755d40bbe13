"""What Mistral's API has besides chats, in its own shapes: models, embeddings and errors.

Source: Mistral's published OpenAPI document (2026-08) and the models of its SDK 3.7.0, which reads
all of this strictly; error bodies as recorded from the API and from the gateway before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataplane.codec import encode
from tests.doubles.upstream_behaviours import CREATED, VECTOR
from tests.doubles.upstream_exchange import Exchange

MODELS = ("mistral-small-latest", "magistral-medium-2509", "mistral-embed")
_ORDER = "invalid_request_message_order"
_BY_WORDS = (
    ("Expected last role", _ORDER, "3230"),
    ("answers no call", _ORDER, "3230"),
    ("calls without a result", _ORDER, "3230"),
    ("call with the id", "invalid_function_call", "3280"),
)
UNAUTHORIZED: Mapping[str, Any] = {"detail": "Invalid API Key"}


async def models(exchange: Exchange) -> None:
    """Answer a GET: the list of models, or one of them."""
    path = exchange.request.path
    wanted = path.partition("/models")[2].removeprefix("/")
    if not wanted:
        data = [_model(name) for name in MODELS]
        exchange.whole(encode({"object": "list", "data": data}))
    elif wanted in MODELS:
        exchange.whole(encode(_model(wanted)))
    else:
        exchange.whole(encode({"detail": f"Model {wanted} not found"}), code=404)


def embeddings(exchange: Exchange) -> None:
    """Answer a request for embeddings. Only floats are given, and no other size."""
    body = exchange.request.body
    unknown = sorted(body.keys() - {"model", "input", "encoding_format", "metadata"})
    if unknown:
        status, refused = refusal(f"Extra inputs: {', '.join(unknown)}")
        exchange.whole(encode(refused), code=status)
        return
    given = body["input"]
    texts = given if isinstance(given, list) else [given]
    data = [
        {"object": "embedding", "index": index, "embedding": VECTOR} for index in range(len(texts))
    ]
    count = len(texts)
    usage = {"prompt_tokens": count, "completion_tokens": 0, "total_tokens": count}
    answer = {"id": "e1f2", "object": "list", "model": body["model"], "data": data, "usage": usage}
    exchange.whole(encode(answer))


def refusal(message: str) -> tuple[int, Mapping[str, Any]]:
    """Shape a refusal: its status and body. Of a 422 the message is an object."""
    for words, kind, code in _BY_WORDS:
        if words in message:
            error = {"object": "error", "message": message, "type": kind, "param": None}
            return 400, {**error, "code": code, "raw_status_code": 400}
    detail = [{"type": "extra_forbidden", "loc": ["body"], "msg": message, "input": None}]
    return 422, {
        "object": "error",
        "message": {"detail": detail},
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def _model(name: str) -> Mapping[str, Any]:
    embeds = "embed" in name
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": "mistralai",
        "capabilities": {
            "completion_chat": not embeds,
            "completion_fim": False,
            "function_calling": not embeds,
            "fine_tuning": False,
            "vision": not embeds,
            "classification": False,
        },
        "name": name,
        "description": None,
        "max_context_length": 8192 if embeds else 131072,
        "aliases": [],
        "deprecation": None,
        "default_model_temperature": None,
        "type": "base",
    }
