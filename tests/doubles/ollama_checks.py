"""What the double of Ollama refuses, in the words of the real server.

Source: the handlers of Ollama's server at 0.33.0, read 2026-11-22.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from dataplane.codec import encode
from tests.doubles import ollama_model as model
from tests.doubles.ollama_model import Installed

THINK_LEVELS = ("low", "medium", "high", "max")


@dataclass(slots=True, kw_only=True)
class Seen:
    """A request that came. Header names are lower case; body is decoded, None if it is not JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    body: Mapping[str, Any] | None = None


SEEN = web.RequestKey("SEEN", Seen)


class RefusedError(Exception):
    """Ends a request with an error in Ollama's shape."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


def body_of(request: web.Request) -> Mapping[str, Any]:
    seen = request[SEEN]
    if seen.body is None:
        raise RefusedError(400, "unexpected EOF" if seen.raw else "missing request body")
    return seen.body


def model_of(body: Mapping[str, Any]) -> Installed:
    name = body.get("model")
    if not name:
        raise RefusedError(400, "model is required")
    found = model.installed(str(name))
    if found is None:
        raise RefusedError(404, f"model '{name}' not found")
    return found


def check_message(message: Any) -> None:
    field_name = "ChatRequest.messages"
    if not isinstance(message, dict):
        raise unmarshal(message, field_name, "api.Message")
    if not isinstance(message.get("content", ""), str):
        raise unmarshal(message["content"], f"{field_name}.content", "string")
    if message.get("role") not in {"system", "user", "assistant", "tool"}:
        raise RefusedError(400, f"invalid role: {message.get('role')}")
    for call in message.get("tool_calls") or ():
        arguments = call["function"].get("arguments", {})
        if not isinstance(arguments, dict):
            where = f"{field_name}.tool_calls.function.arguments"
            raise unmarshal(arguments, where, "api.ToolCallFunctionArguments")
    for image in message.get("images") or ():
        try:
            base64.b64decode(image, validate=True)
        except ValueError as error:
            raise RefusedError(400, "illegal base64 data at input byte 4") from error


def check_abilities(found: Installed, body: Mapping[str, Any], operation: str) -> bool:
    """Check the model against the wishes, and tell whether it thinks. It does unless told not to."""
    able = found.capabilities
    if "completion" not in able:
        raise RefusedError(400, f'"{found.name}" does not support {operation}')
    if body.get("tools") and "tools" not in able:
        raise RefusedError(400, f"registry.ollama.ai/library/{found.name} does not support tools")
    think = body.get("think")
    if isinstance(think, str) and think not in THINK_LEVELS:
        raise RefusedError(400, f'invalid think value: "{think}" (must be "high", "medium", "low")')
    if think and "thinking" not in able:
        raise RefusedError(400, f'"{found.name}" does not support thinking')
    if body.get("top_logprobs", 0) > 20:
        raise RefusedError(400, "top_logprobs must be between 0 and 20")
    return "thinking" in able and think is not False


def require_embedding(found: Installed) -> None:
    if "embedding" not in found.capabilities:
        raise RefusedError(501, "this model does not support embeddings")


def read_tokens(texts: Sequence[str], body: Mapping[str, Any]) -> int:
    """Count what the model reads: cut to the context without a word, unless told not to."""
    tokens = model.count_tokens(texts)
    num_ctx: int = (body.get("options") or {}).get("num_ctx", 4096)
    if tokens > num_ctx and body.get("truncate") is False:
        inner = {
            "code": 400,
            "message": f"request ({tokens} tokens) exceeds the available context size ({num_ctx} "
            "tokens), try increasing it",
            "type": "exceed_context_size_error",
        }
        raise RefusedError(400, encode({"error": inner}).decode())
    return min(tokens, num_ctx)


def unmarshal(value: Any, where: str, wanted: str) -> RefusedError:
    kinds = {list: "array", dict: "object", str: "string", bool: "bool"}
    kind = kinds.get(type(value), "number")
    return RefusedError(
        400, f"json: cannot unmarshal {kind} into Go struct field {where} of type {wanted}"
    )
