"""What a scripted upstream can be told to do with a request.

Source of the shapes: OpenAI API reference, "Chat", "Completions", "Embeddings" and "Models", read
2026-11-22.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from dataplane.codec import encode
from dataplane.wire.embeddings import encode_vector
from tests.doubles.upstream_exchange import Behaviour, Exchange, Seen

CREATED = 1790000000
VECTOR = [0.5, -0.5, 0.25, 0.75]
WORDS = ("Hello", ", ", "world")


def ok(*words: str, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer what is asked for: a chat, a completion or embeddings, whole or as a stream.

    Of a stream, each word is one event.
    """
    texts = words or WORDS

    async def behave(exchange: Exchange) -> None:
        if exchange.request.body.get("stream"):
            await stream(*texts, headers=headers)(exchange)
        else:
            exchange.whole(encode(_whole(exchange.request, "".join(texts))), headers=headers)

    return behave


def stream(
    *words: str,
    pace: asyncio.Semaphore | None = None,
    done: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """Stream one event a word. With `pace`, each waits until the semaphore lets it go.

    done: whether the stream ends with its finish, its usage if asked for, and `[DONE]`; without,
    the body just ends.
    """

    async def behave(exchange: Exchange) -> None:
        exchange.open_stream(headers)
        await _words(exchange, words, pace)
        if done:
            _end(exchange, len(words))
        exchange.close_stream()

    return behave


def stalls_after(*words: str) -> Behaviour:
    """Stream some words, then say nothing more and keep the connection."""

    async def behave(exchange: Exchange) -> None:
        exchange.open_stream()
        await _words(exchange, words, None)
        await _for_ever()

    return behave


def dies_after(count: int, *, reset: bool = False) -> Behaviour:
    """Stream `count` words, then close the socket in the middle of the body, or reset it."""

    async def behave(exchange: Exchange) -> None:
        exchange.open_stream()
        await _words(exchange, [f"word{number} " for number in range(count)], None)
        exchange.reset() if reset else exchange.close()

    return behave


def error_event(error: Mapping[str, Any] | str, *words: str, done: bool = False) -> Behaviour:
    """Send an error inside a 200 stream, after some words or as its first event."""

    async def behave(exchange: Exchange) -> None:
        exchange.open_stream()
        if words:
            await _words(exchange, words, None)
        exchange.event({"error": error})
        if done:
            exchange.event("[DONE]")
        exchange.close_stream()

    return behave


def status(
    code: int,
    message: str = "scripted failure",
    *,
    error: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """Answer with an error status in OpenAI's shape. `error` adds to the error object."""

    async def behave(exchange: Exchange) -> None:
        whole = {"message": message, "type": "scripted", "param": None, "code": None}
        body = encode({"error": whole | dict(error or {})})
        exchange.whole(body, code=code, headers=headers)

    return behave


def body(data: bytes, *, code: int = 200, kind: str = "application/json") -> Behaviour:
    """Answer with any bytes, framed correctly."""

    async def behave(exchange: Exchange) -> None:
        exchange.whole(data, code=code, kind=kind)

    return behave


def held(gate: asyncio.Event, then: Behaviour) -> Behaviour:
    """Wait for `gate` before the first byte of the answer."""

    async def behave(exchange: Exchange) -> None:
        await gate.wait()
        await then(exchange)

    return behave


def silent() -> Behaviour:
    """Take the request and never answer."""

    async def behave(_exchange: Exchange) -> None:
        await _for_ever()

    return behave


def hangs_up() -> Behaviour:
    """Close the connection without a byte."""

    async def behave(exchange: Exchange) -> None:
        exchange.close()

    return behave


def half_head() -> Behaviour:
    """Close in the middle of the head."""

    async def behave(exchange: Exchange) -> None:
        exchange.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
        exchange.close()

    return behave


def garbage() -> Behaviour:
    """Answer with what is not HTTP."""

    async def behave(exchange: Exchange) -> None:
        exchange.write(b"\x16\x03\x01 not http at all\r\n\r\n")
        exchange.close()

    return behave


def wrong_length() -> Behaviour:
    """Promise more bytes than come."""

    async def behave(exchange: Exchange) -> None:
        data = encode(_whole(exchange.request, "cut"))
        exchange.head(
            200, {"content-type": "application/json", "content-length": str(len(data) + 10)}
        )
        exchange.write(data)
        exchange.close()

    return behave


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _words(exchange: Exchange, words: Sequence[str], pace: asyncio.Semaphore | None) -> None:
    chat = _is_chat(exchange.request)
    if chat:
        exchange.event(_chunk(exchange.request, {"delta": {"role": "assistant", "content": ""}}))
    for word in words:
        if pace is not None:
            await pace.acquire()
        exchange.event(
            _chunk(exchange.request, {"delta": {"content": word}} if chat else {"text": word})
        )
        # One word, one write on the wire.
        await asyncio.sleep(0)


def _end(exchange: Exchange, words: int) -> None:
    request = exchange.request
    says: dict[str, Any] = {"delta": {}} if _is_chat(request) else {"text": ""}
    exchange.event(_chunk(request, says, "stop"))
    options = request.body.get("stream_options") or {}
    if options.get("include_usage"):
        exchange.event(_top(request, ".chunk") | {"choices": [], "usage": _usage(words)})
    exchange.event("[DONE]")


def _chunk(
    request: Seen, says: Mapping[str, Any], finish_reason: str | None = None
) -> Mapping[str, Any]:
    choice = {"index": 0, **says, "logprobs": None, "finish_reason": finish_reason}
    return {**_top(request, ".chunk"), "choices": [choice]}


def _whole(request: Seen, text: str) -> Mapping[str, Any]:
    model = request.body.get("model", "m")
    if request.method == "GET":
        return {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "test"}]}
    if request.path.endswith("/embeddings"):
        return _embeddings(request, model)
    says: Mapping[str, Any] = {"text": text}
    if _is_chat(request):
        says = {"message": {"role": "assistant", "content": text, "refusal": None}}
    choice = {"index": 0, **says, "logprobs": None, "finish_reason": "stop"}
    return {**_top(request, ""), "choices": [choice], "usage": _usage(3)}


def _embeddings(request: Seen, model: str) -> Mapping[str, Any]:
    given = request.body.get("input", "")
    texts = given if isinstance(given, list) else [given]
    base64 = request.body.get("encoding_format") == "base64"
    vector = encode_vector(VECTOR) if base64 else VECTOR
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index in range(len(texts))
    ]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _top(request: Seen, ending: str) -> dict[str, Any]:
    chat = _is_chat(request)
    return {
        "id": "chatcmpl-up" if chat else "cmpl-up",
        "object": f"chat.completion{ending}" if chat else "text_completion",
        "created": CREATED,
        "model": request.body.get("model", "m"),
    }


def _usage(words: int) -> Mapping[str, int]:
    return {"prompt_tokens": 7, "completion_tokens": words, "total_tokens": 7 + words}


def _is_chat(request: Seen) -> bool:
    return request.path.endswith("/chat/completions")
