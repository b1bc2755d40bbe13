"""Doubles of the six vendors of OpenAI's format, on raw sockets: strict, and each with its quirks.

    async with vendor(ProviderType.MISTRAL) as mistral:
        mistral.next(status(503))
        ...  # speak to mistral.url

Faults are queued as for any scripted upstream. Chats are checked by `vendor_rules`, answered by `talk`
and written by `vendor_dialects`; Azure's reasoning models call functions by the Responses API only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from controlplane.table.schema import ProviderType
from dataplane.codec import encode
from tests.doubles import mistral, responses, vendor_dialects, vendor_rules
from tests.doubles.talk import Asked, Said, talk
from tests.doubles.upstream import Behaviour, Exchange, Upstream, ok

KEY = "sk-vendor-double"
_UNKNOWN_KEY: Mapping[str, Any] = {"error": {"message": "Unauthorized", "code": 401}}
_UNAUTHORIZED = {ProviderType.MISTRAL: mistral.UNAUTHORIZED}
_THINKERS = ("think", "magistral", "gpt-5")


def vendor(kind: ProviderType) -> Upstream:
    """Make the double of a vendor; open it with `async with`."""
    numbers = itertools.count(1)
    account = f"{kind}/{id(numbers)}"
    double = Upstream(default=_behaviour(kind, numbers, account))
    if kind is ProviderType.MISTRAL:
        double.probe = mistral.models
    return double


def asked_of(body: Mapping[str, Any]) -> Asked:
    """Read a chat request as far as an answer depends on it."""
    last = body["messages"][-1]
    content = last.get("content") or ""
    parts = [] if isinstance(content, str) else content
    text = content if isinstance(content, str) else " ".join(p.get("text", "") for p in parts)
    wanted = body.get("response_format", {})
    choice = body.get("tool_choice", "auto")
    tools = [
        (tool["function"]["name"], tool["function"].get("parameters", {"type": "object"}))
        for tool in body.get("tools", ())
    ]
    return Asked(
        text=text,
        result=last["role"] == "tool",
        tools=[] if choice == "none" else tools,
        forced=_forced(choice, tools),
        parallel=body.get("parallel_tool_calls", True),
        schema=wanted["json_schema"]["schema"] if wanted.get("type") == "json_schema" else None,
        picture=any(part["type"] == "image_url" for part in parts),
        thinks=any(word in body["model"] for word in _THINKERS)
        and body.get("reasoning_effort") != "none",
    )


def _forced(choice: Any, tools: list[tuple[str, Any]]) -> str:
    if isinstance(choice, dict):
        name: str = choice["function"]["name"]
        return name
    return tools[0][0] if choice in {"required", "any"} else ""


def _behaviour(kind: ProviderType, numbers: itertools.count[int], account: str) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        request = exchange.request
        if not _is_known(kind, request.headers):
            _refuse(exchange, 401, _UNAUTHORIZED.get(kind, _UNKNOWN_KEY))
            return
        if request.path.partition("?")[0].endswith("/embeddings"):
            if kind is ProviderType.MISTRAL:
                mistral.embeddings(exchange)
                return
            await ok()(exchange)
            return
        ids = [vendor_dialects.CALL_IDS[kind].format(next(numbers)) for _ in range(2)]
        if request.path.partition("?")[0].endswith("/responses"):
            await _respond(exchange, ids, account)
            return
        complaint = vendor_rules.complaint(kind, request.body)
        if not complaint and "gpt-5" in request.body["model"] and "tools" in request.body:
            complaint = "Function tools with reasoning_effort are not supported in this endpoint."
        if complaint:
            _refuse(exchange, *vendor_rules.refusal(kind, complaint))
            return
        await _answer(exchange, kind, ids, talk(asked_of(request.body)))

    return behave


async def _answer(exchange: Exchange, kind: ProviderType, ids: list[str], said: Said) -> None:
    body = exchange.request.body
    if kind in {ProviderType.OPENAI, ProviderType.AZURE_OPENAI} and "gpt-5" in body["model"]:
        # Chat completions of OpenAI's own models keep their thoughts to themselves.
        said = Said(text=said.text, calls=said.calls)
    if not body.get("stream"):
        exchange.whole(encode(vendor_dialects.whole(kind, said, body["model"], ids)))
        return
    usage = body.get("stream_options", {}).get("include_usage", False)
    exchange.open_stream()
    for chunk in vendor_dialects.chunks(kind, said, body["model"], ids, usage=usage):
        exchange.event(chunk)
    exchange.event("[DONE]")
    exchange.close_stream()


async def _respond(exchange: Exchange, ids: list[str], account: str) -> None:
    body = exchange.request.body
    complaint, code = responses.complaint(body, account)
    if complaint:
        error = {"message": complaint, "type": "invalid_request_error", "param": "input"}
        _refuse(exchange, 400, {"error": {**error, "code": code or None}})
        return
    said = talk(responses.asked(body))
    if not body.get("stream"):
        exchange.whole(encode(responses.whole(said, body, ids, account)))
        return
    exchange.open_stream()
    for event in responses.events(said, body, ids, account):
        exchange.event(event)
    exchange.close_stream()


def _refuse(exchange: Exchange, status: int, body: Mapping[str, Any]) -> None:
    exchange.whole(encode(body), code=status)


def _is_known(kind: ProviderType, headers: Mapping[str, str]) -> bool:
    if kind is ProviderType.AZURE_OPENAI:
        return headers.get("api-key") == KEY
    return headers.get("authorization") == f"Bearer {KEY}"
