"""What the double of the Messages API refuses, with 400s in the words of the real server.

Sources of the rules: Anthropic API reference (Messages, Tool use, Extended thinking, Structured
outputs, Versions), and messages of recorded 400s as far as they were known, read 2026-11-22. The
table of models is the double's own, so that it judges ours.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.doubles import anthropic_model as model


class RefusedError(Exception):
    """Ends a request with an error in the API's shape."""

    def __init__(
        self, status: int, kind: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a model of the double takes. thinking: `budget`, `adaptive`, `always` or nothing."""

    max_tokens: int
    sampling: bool = True
    forced: bool = True
    prefill: bool = False
    thinking: str = "adaptive"
    system: bool = False
    structured: bool = True


MODELS: Mapping[str, Known] = {
    "claude-3-5-haiku-20241022": Known(
        max_tokens=8192, prefill=True, thinking="", structured=False
    ),
    "claude-haiku-4-5-20251001": Known(max_tokens=64000, prefill=True, thinking="budget"),
    "claude-sonnet-4-6": Known(max_tokens=128000),
    "claude-opus-4-7": Known(max_tokens=128000, sampling=False),
    "claude-opus-5": Known(max_tokens=128000, sampling=False, system=True),
    "claude-fable-5": Known(max_tokens=128000, sampling=False, system=True, thinking="always"),
    "claude-sonnet-5-5": Known(
        max_tokens=128000, sampling=False, forced=False, system=True, thinking="always"
    ),
}
_TOP = {
    "model", "messages", "max_tokens", "system", "stop_sequences", "stream", "temperature", "top_p",
    "top_k", "tools", "tool_choice", "thinking", "output_config", "metadata", "service_tier",
    "cache_control",
}  # fmt: skip
_BLOCK_KEYS: Mapping[str, set[str]] = {
    "text": {"text"},
    "image": {"source"},
    "document": {"source", "title", "context", "citations"},
    "tool_use": {"id", "name", "input"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}
_ROLES = {
    "user": {"text", "image", "document", "tool_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking"},
    "system": {"text"},
}
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_EFFORTS = {"low", "medium", "high", "xhigh", "max"}
_MAGIC: Mapping[str, bytes] = {
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
    "application/pdf": b"%PDF-",
}
_NEW_VERSION = "2026-10-21"


def check(body: Mapping[str, Any], headers: Mapping[str, str]) -> Known:
    """Check a whole body and give what its model takes. Raises RefusedError."""
    for name in body:
        _require(name in _TOP, f"{name}: Extra inputs are not permitted")
    for name in ("model", "max_tokens", "messages"):
        _require(name in body, f"{name}: Field required")
    known = MODELS.get(body["model"])
    if known is None:
        raise RefusedError(404, "not_found_error", f"model: {body['model']}")
    limit = body["max_tokens"]
    _require(type(limit) is int and limit >= 1, "max_tokens: Input should be a valid integer")
    _require(
        limit <= known.max_tokens,
        f"max_tokens: {limit} > {known.max_tokens}, which is the maximum allowed number of output "
        f"tokens for {body['model']}",
    )
    _check_sampling(body, known, headers)
    _check_tools(body, known)
    _check_thinking(body, known)
    _check_format(body, known)
    _check_others(body, headers)
    _check_messages(body, known)
    return known


def thinks(body: Mapping[str, Any], known: Known) -> bool:
    """Tell whether the model thinks."""
    kind = body.get("thinking", {}).get("type")
    return kind in {"enabled", "adaptive"} or known.thinking == "always"


def all_blocks(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give every block of a body, those of tool results too."""
    holders = [body.get("system"), *(message["content"] for message in body["messages"])]
    for holder in holders:
        for block in holder if isinstance(holder, list) else ():
            yield block
            inner = block.get("content")
            yield from inner if isinstance(inner, list) else ()


def _require(condition: object, message: str) -> None:
    if not condition:
        raise RefusedError(400, "invalid_request_error", message)


def _check_sampling(body: Mapping[str, Any], known: Known, headers: Mapping[str, str]) -> None:
    given = {name for name in ("temperature", "top_p", "top_k") if name in body}
    if headers["anthropic-version"] >= _NEW_VERSION:
        _require(not given, "sampling parameters are not supported in this API version")
    for name in given:
        tolerated = known.sampling or (name != "top_k" and body[name] == 1)
        _require(tolerated, f"`{name}` is deprecated for this model.")
    _require(0 <= body.get("temperature", 1) <= 1, "temperature: range: 0..1")
    if not (known.prefill and known.thinking == ""):
        _require(
            not {"temperature", "top_p"} <= given,
            "`temperature` and `top_p` cannot both be specified for this model.",
        )
    if "thinking" in body and body["thinking"]["type"] != "disabled":
        _require(
            "temperature" not in given and "top_k" not in given,
            "`temperature` may only be set to 1 when thinking is enabled",
        )
        _require(body.get("top_p", 1) >= 0.95, "`top_p` must be greater than 0.95 with thinking")


def _check_tools(body: Mapping[str, Any], known: Known) -> None:
    tools = body.get("tools", [])
    for at, tool in enumerate(tools):
        extra = set(tool) - {"name", "description", "input_schema", "strict", "cache_control"}
        _require(not extra, f"tools.{at}: Extra inputs are not permitted")
        _require(_NAME.fullmatch(tool["name"]), f"tools.{at}.name: String should match pattern")
        schema = tool.get("input_schema")
        _require(
            isinstance(schema, dict) and schema.get("type") == "object",
            f"tools.{at}.input_schema.type: Field required",
        )
        if tool.get("strict"):
            _require(known.structured, "strict tools are not supported by this model")
            _check_closed(schema, f"tools.{at}.input_schema")
    _require(
        len({tool["name"] for tool in tools}) == len(tools), "tools: Tool names must be unique."
    )
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type")
    _require(tools, "tool_choice may only be specified while providing tools.")
    _require(kind in {"auto", "any", "tool", "none"}, "tool_choice: Input tag is not expected")
    allowed = {"type"} | ({"name"} if kind == "tool" else set())
    allowed |= set() if kind == "none" else {"disable_parallel_tool_use"}
    _require(set(choice) <= allowed, f"tool_choice.{kind}: Extra inputs are not permitted")
    if kind in {"any", "tool"}:
        _require(known.forced, f"tool_choice: type {kind} is not supported for this model")
        asked = body.get("thinking", {}).get("type") in {"enabled", "adaptive"}
        _require(not asked, "Thinking may not be enabled when tool_choice forces tool use.")
    if kind == "tool":
        names = {tool["name"] for tool in tools}
        _require(choice["name"] in names, f"Tool '{choice['name']}' not found in provided tools")


def _check_thinking(body: Mapping[str, Any], known: Known) -> None:
    thinking = body.get("thinking")
    effort = body.get("output_config", {}).get("effort")
    if effort is not None:
        supported = known.thinking in {"adaptive", "always"} and effort in _EFFORTS
        _require(supported, f"This model does not support effort level '{effort}'.")
        _require(
            not (effort == "xhigh" and known.sampling),
            "This model does not support effort level 'xhigh'.",
        )
    if thinking is None:
        return
    match thinking:
        case {"type": "enabled", "budget_tokens": int(budget), **rest} if not rest:
            _require(known.thinking == "budget", "thinking.type.enabled is not supported")
            _require(budget >= 1024, "thinking.enabled.budget_tokens: Input should be >= 1024")
            _require(
                budget < body["max_tokens"],
                "`max_tokens` must be greater than `thinking.budget_tokens`.",
            )
        case {"type": "adaptive", **rest} if set(rest) <= {"display"}:
            _require(
                known.thinking in {"adaptive", "always"},
                "adaptive thinking is not supported on this model",
            )
        case {"type": "disabled", **rest} if not rest:
            _require(known.thinking != "always", "thinking cannot be disabled for this model")
        case _:
            _require(condition=False, message="thinking: Input should be a valid object")


def _check_format(body: Mapping[str, Any], known: Known) -> None:
    config = body.get("output_config", {})
    _require(set(config) <= {"effort", "format"}, "output_config: Extra inputs are not permitted")
    wanted = config.get("format")
    if wanted is None:
        return
    _require(known.structured, "output_config.format is not supported by this model")
    _require(
        set(wanted) == {"type", "schema"} and wanted["type"] == "json_schema",
        "output_config.format: Input should be a json_schema",
    )
    _check_closed(wanted["schema"], "output_config.format.schema")


def _check_closed(schema: Any, path: str) -> None:
    if isinstance(schema, list):
        for item in schema:
            _check_closed(item, path)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            _require(
                schema.get("additionalProperties") is False,
                f"{path}: For 'object' type, 'additionalProperties' must be explicitly false",
            )
        for value in schema.values():
            _check_closed(value, path)


def _check_others(body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    for stop in body.get("stop_sequences", ()):
        _require(stop.strip(), "stop_sequences: each stop sequence must contain non-whitespace")
    metadata = body.get("metadata", {})
    _require(set(metadata) <= {"user_id"}, "metadata: Extra inputs are not permitted")
    _require("@" not in metadata.get("user_id", ""), "metadata.user_id: must be opaque")
    tier = body.get("service_tier", "auto")
    _require(tier in {"auto", "standard_only"}, "service_tier: Input should be 'auto'")
    marks = [body, *body.get("tools", ()), *all_blocks(body)]
    count = sum("cache_control" in holder for holder in marks)
    _require(
        count <= 4, f"A maximum of 4 blocks with cache_control may be provided. Found {count}."
    )
    for block in all_blocks(body):
        if block.get("source", {}).get("type") == "file":
            beta = headers.get("anthropic-beta", "")
            _require("files-api-2025-04-14" in beta, "file sources need the files API beta")


def _check_messages(body: Mapping[str, Any], known: Known) -> None:
    messages = body["messages"]
    _require(messages, "messages: at least one message is required")
    _require(messages[0].get("role") == "user", "messages: first message must use the user role")
    for block in body.get("system", []) if isinstance(body.get("system"), list) else []:
        _check_block(block, "system", "system")
    waiting: set[str] = set()
    used: set[str] = set()
    before = ""
    for at, message in enumerate(messages):
        role = message.get("role")
        path = f"messages.{at}"
        _require(set(message) == {"role", "content"}, f"{path}: Extra inputs are not permitted")
        _require(role in _ROLES, f"{path}.role: Input should be 'user' or 'assistant'")
        _require(role != before, f"{path}: roles must alternate in this double")
        blocks = _blocks(message["content"])
        _require(blocks, f"{path}.content: must be non-empty")
        for number, block in enumerate(blocks):
            _check_block(block, str(role), f"{path}.content.{number}")
        if role == "system":
            _require(known.system, f"{path}.role: system is not supported by this model")
            follower = messages[at + 1]["role"] if at + 1 < len(messages) else "assistant"
            _require(
                before == "user" and follower == "assistant",
                f"{path}: system messages must stand between a user and an assistant turn",
            )
        elif role == "user":
            _check_results(blocks, waiting, path)
        else:
            _require(not waiting, f"{path}: `tool_use` ids were found without `tool_result` blocks")
            waiting = _calls(blocks, used, path)
        before = str(role)
    _require(not waiting, "messages: `tool_use` ids were found without `tool_result` blocks")
    _check_last(body, known)
    if any(block["type"] in {"tool_use", "tool_result"} for block in all_blocks(body)):
        _require(body.get("tools"), "Requests which include tool blocks must define tools")


def _blocks(content: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content if isinstance(content, list) else []


def _check_block(block: Mapping[str, Any], role: str, path: str) -> None:
    kind = str(block.get("type"))
    _require(kind in _ROLES[role], f"{path}: Input tag '{kind}' is not expected for role {role}")
    extra = set(block) - _BLOCK_KEYS[kind] - {"type", "cache_control"}
    _require(not extra, f"{path}.{kind}: Extra inputs are not permitted")
    match kind:
        case "text":
            _require(
                block["text"].strip(), f"{path}: text content blocks must contain non-whitespace"
            )
        case "image" | "document":
            _check_source(block["source"], f"{path}.{kind}.source")
        case "tool_use":
            _require(_ID.fullmatch(block["id"]), f"{path}.id: String should match pattern")
            _require(isinstance(block["input"], dict), f"{path}.input: should be a dictionary")
        case "tool_result":
            for number, inner in enumerate(_blocks(block.get("content", ""))):
                _check_block(inner, "user", f"{path}.content.{number}")
        case _:
            pass


def _check_source(source: Mapping[str, Any], path: str) -> None:
    match source:
        case {"type": "base64", "media_type": str(kind), "data": str(data), **rest} if not rest:
            _require(kind in _MAGIC, f"{path}.media_type: Input should be 'image/jpeg'")
            try:
                raw = base64.b64decode(data, validate=True)
            except (ValueError, binascii.Error):
                raise RefusedError(400, "invalid_request_error", f"{path}: bad base64") from None
            _require(
                raw.startswith(_MAGIC[kind]),
                f"{path}: The image was specified using the {kind} media type, but it is not one",
            )
        case {"type": "url", "url": str(), **rest} if not rest:
            pass
        case {"type": "file", "file_id": str(), **rest} if not rest:
            pass
        case {"type": "text", "media_type": "text/plain", "data": str(), **rest} if not rest:
            pass
        case _:
            _require(condition=False, message=f"{path}: Input tag is not expected")


def _check_results(blocks: Sequence[Mapping[str, Any]], waiting: set[str], path: str) -> None:
    first = 0
    for at, block in enumerate(blocks):
        if block["type"] != "tool_result":
            continue
        _require(at == first, f"{path}: tool_result blocks must come first")
        first += 1
        _require(
            block["tool_use_id"] in waiting,
            f"{path}.content.{at}: unexpected `tool_use_id` found in `tool_result` blocks: "
            f"{block['tool_use_id']}",
        )
        waiting.discard(block["tool_use_id"])
    _require(
        not waiting,
        f"{path}: `tool_use` ids were found without `tool_result` blocks immediately after",
    )


def _calls(blocks: Sequence[Mapping[str, Any]], used: set[str], path: str) -> set[str]:
    waiting = set()
    for block in blocks:
        if block["type"] == "tool_use":
            _require(block["id"] not in used, f"{path}: `tool_use` ids must be unique")
            used.add(block["id"])
            waiting.add(block["id"])
    return waiting


def _check_last(body: Mapping[str, Any], known: Known) -> None:
    messages = body["messages"]
    on = thinks(body, known)
    if messages[-1]["role"] == "assistant":
        _require(known.prefill and not on, "This model does not support assistant message prefill.")
        last = _blocks(messages[-1]["content"])[-1].get("text", "")
        _require(
            last == last.rstrip(), "final assistant content cannot end with trailing whitespace"
        )
    for at, message in enumerate(messages):
        for block in _blocks(message["content"]):
            if block["type"] in {"thinking", "redacted_thinking"}:
                _require(
                    model.is_signed(block, body["model"]),
                    f"messages.{at}: Invalid `signature` in `thinking` block",
                )
    turns = [message for message in messages if message["role"] == "assistant"]
    if not turns or not on or known.thinking == "always":
        return
    blocks = _blocks(turns[-1]["content"])
    if any(block["type"] == "tool_use" for block in blocks) and known.thinking == "budget":
        _require(
            blocks[0]["type"] in {"thinking", "redacted_thinking"},
            "Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is "
            "enabled, a final `assistant` message must start with a thinking block",
        )
