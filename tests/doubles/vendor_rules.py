"""What the doubles of the six vendors of OpenAI's format refuse, in each one's own shape of error.

They are stricter than the vendors where those would ignore a mistake without a word: a field that a
server does not know, an id that its template would trip over. The lists are the doubles' own, so
that they judge ours. Source: the vendors' API references as of 2026-11-22.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.table.schema import ProviderType
from tests.doubles import mistral

_SAMPLING = {"temperature", "top_p", "stop", "seed", "presence_penalty"}
_CALLING = {"model", "messages", "stream", "tools", "tool_choice", "response_format"}
_OPENAI = (
    _CALLING
    | _SAMPLING
    | {"audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens"}
    | {"max_tokens", "metadata", "modalities", "n", "parallel_tool_calls", "prediction"}
    | {"prompt_cache_key", "reasoning_effort", "safety_identifier", "service_tier", "store"}
    | {"stream_options", "top_logprobs", "user", "verbosity", "web_search_options"}
)
_VLLM = (
    _CALLING
    | _SAMPLING
    | {"chat_template_kwargs", "frequency_penalty", "logit_bias", "logprobs", "max_tokens"}
    | {"max_completion_tokens", "min_p", "n", "parallel_tool_calls", "reasoning_effort"}
    | {"repetition_penalty", "stream_options", "structured_outputs", "top_k", "top_logprobs"}
)
_MESSAGE = {"role", "content", "name", "tool_calls", "tool_call_id"}
_PARTS: Mapping[str, set[str]] = {
    "text": {"text"},
    "image_url": {"image_url"},
    "input_audio": {"input_audio"},
    "file": {"file"},
    "document_url": {"document_url", "document_name"},
    "thinking": {"thinking", "closed", "signature"},
    "refusal": {"refusal"},
}
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The rules of one vendor. ids: what an id of a tool call must look like."""

    top: set[str]
    message: set[str] = field(default_factory=lambda: _MESSAGE)
    parts: set[str] = field(default_factory=lambda: {"text", "image_url", "input_audio"})
    calls: set[str] = field(default_factory=lambda: {"id", "type", "function"})
    ids: re.Pattern[str] = re.compile(r"(?s).{1,64}")
    roles: set[str] = field(default_factory=lambda: {"system", "user", "assistant", "tool"})
    leading_system: bool = False
    user_after_tool: bool = True


HOUSES: Mapping[ProviderType, House] = {
    ProviderType.OPENAI: House(
        top=_OPENAI,
        message=_MESSAGE | {"refusal", "audio"},
        parts={"text", "image_url", "input_audio", "file", "refusal"},
        roles={"system", "developer", "user", "assistant", "tool"},
    ),
    ProviderType.AZURE_OPENAI: House(
        top=_OPENAI | {"data_sources"},
        message=_MESSAGE | {"refusal", "audio"},
        parts={"text", "image_url", "input_audio", "file", "refusal"},
        roles={"system", "developer", "user", "assistant", "tool"},
    ),
    ProviderType.VLLM: House(top=_VLLM, message=_MESSAGE | {"reasoning"}, leading_system=True),
    ProviderType.OVHCLOUD: House(
        top=_VLLM - {"parallel_tool_calls", "logprobs", "n", "chat_template_kwargs"},
        leading_system=True,
    ),
    ProviderType.SCALEWAY: House(
        top=_VLLM - {"max_completion_tokens", "top_k", "n", "chat_template_kwargs"},
        leading_system=True,
    ),
    ProviderType.MISTRAL: House(
        top=_CALLING
        | (_SAMPLING - {"seed"})
        | {"random_seed", "max_tokens", "frequency_penalty", "metadata", "n", "prediction"}
        | {"parallel_tool_calls", "prompt_mode", "reasoning_effort", "safe_prompt"}
        | {"prompt_cache_key", "service_tier"},
        message=(_MESSAGE - {"name"}) | {"prefix"},
        parts={"text", "image_url", "input_audio", "file", "document_url", "thinking"},
        # Its own client sends the index of a call back.
        calls={"id", "type", "function", "index"},
        ids=re.compile(r"[A-Za-z0-9]{9}"),
        user_after_tool=False,
    ),
}


def complaint(kind: ProviderType, body: Mapping[str, Any]) -> str:
    """Say what is wrong with a chat request, or nothing."""
    return next(_complaints(HOUSES[kind], body), "")


def refusal(kind: ProviderType, message: str) -> tuple[int, Mapping[str, Any]]:
    """Shape a refusal as the vendor does: its status and body."""
    match kind:
        case ProviderType.MISTRAL:
            return mistral.refusal(message)
        case ProviderType.OPENAI | ProviderType.AZURE_OPENAI:
            kinds = {"type": "invalid_request_error", "param": None, "code": None}
            return 400, {"error": {"message": message, **kinds}}
        case _:
            return 400, {"error": {"message": message, "type": "BadRequestError", "code": 400}}


def _complaints(house: House, body: Mapping[str, Any]) -> Iterator[str]:
    for name, value in body.items():
        if name not in house.top:
            yield f"Unrecognized request argument supplied: {name}"
        if value is None:
            yield f"{name} is null"
    if body.get("tools") == []:
        yield "tools is too short"
    before = ""
    open_ids: set[str] = set()
    for at, message in enumerate(body["messages"]):
        path, role = f"messages[{at}]", message["role"]
        # Where others may not be named, tools may.
        known = house.message | {"name"} if role == "tool" else house.message
        if extra := message.keys() - known:
            yield f"{path} has {sorted(extra)}"
        if role not in house.roles:
            yield f"{path} has role {role}"
        if house.leading_system and role == "system" and at:
            yield "the system message must be first"
        if role == "user" and before == "tool" and not house.user_after_tool:
            yield "Expected last role Assistant before User, but got tool"
        yield from _content(message.get("content"), house, path)
        if role == "tool":
            if message["tool_call_id"] not in open_ids:
                yield f"{path} answers no call: {message['tool_call_id']}"
            open_ids.discard(message["tool_call_id"])
        elif open_ids:
            yield f"{path}: calls without a result: {sorted(open_ids)}"
        open_ids |= {call["id"] for call in message.get("tool_calls", ())}
        yield from _calls(message.get("tool_calls", ()), house, path)
        before = role
    if open_ids:
        yield f"calls without a result: {sorted(open_ids)}"


def _content(content: Any, house: House, path: str) -> Iterator[str]:
    for part in content if isinstance(content, list) else ():
        kind = part["type"]
        if kind not in house.parts:
            yield f"{path} has a part of type {kind}"
        elif extra := part.keys() - {"type"} - _PARTS[kind]:
            yield f"{path} has a part with {sorted(extra)}"
        if kind == "image_url" and part["image_url"]["url"].startswith("data:"):
            try:
                raw = base64.b64decode(part["image_url"]["url"].partition(",")[2], validate=True)
            except binascii.Error:
                raw = b""
            if not raw.startswith(_MAGIC):
                yield f"{path} has an image that is none"


def _calls(calls: Sequence[Mapping[str, Any]], house: House, path: str) -> Iterator[str]:
    for call in calls:
        if call.keys() - house.calls:
            yield f"{path} has a call with {sorted(call)}"
        if not house.ids.fullmatch(call["id"]):
            yield f"{path} has a call with the id {call['id']}"
        if not isinstance(call["function"]["arguments"], str):
            yield f"{path} has arguments that are no text"
