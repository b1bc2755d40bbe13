"""A double of Anthropic's Messages API: a real socket, strict on requests, events sent one by one.

    async with AnthropicDouble() as anthropic:
        anthropic.next(failing(529, "overloaded_error", "Overloaded"))
        ...  # speak to anthropic.url

Sources of the shapes: the response and event types of the official Python SDK 2.13.0; Anthropic API
reference, "Messages", "Streaming", "Models" and "Errors"; order, pings and padding of recorded
streams; all read 2026-11-22. Faults are queued, one a message; nothing in it sleeps.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.doubles import anthropic_model as model
from tests.doubles.anthropic_checks import MODELS, Known, RefusedError, check, thinks

KEY = "sk-ant-double"
VERSIONS = {"2023-06-01", "2026-10-21"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one message.

    status: answered at once. Without one, `after` events are sent first, then `gate` is awaited,
    and then an error event goes out, or the connection is dropped, or the stream just ends.
    """

    status: int | None = None
    kind: str = ""
    message: str = ""
    details: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    gate: asyncio.Event | None = None
    drop: bool = False
    end: bool = False


NO_FAULT = Fault(after=-1)


def failing(
    status: int,
    kind: str,
    message: str,
    *,
    details: Mapping[str, Any] | None = None,
    **headers: str,
) -> Fault:
    """Answer with an error status."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status=status, kind=kind, message=message, details=details, headers=names)


def error_after(events: int, kind: str = "overloaded_error", message: str = "Overloaded") -> Fault:
    """Send an error event in the middle of a stream."""
    return Fault(after=events, kind=kind, message=message)


def dropped_after(events: int) -> Fault:
    """Break the connection in the middle of a stream."""
    return Fault(after=events, drop=True)


def ended_after(events: int) -> Fault:
    """End the stream well, but too early."""
    return Fault(after=events, end=True)


def held(gate: asyncio.Event, *, after: int = 0) -> Fault:
    """Go on when the gate is open."""
    return Fault(after=after, gate=gate)


@dataclass(slots=True, kw_only=True)
class Seen:
    """A request that came. Header names are lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any = None


@dataclass(slots=True)
class AnthropicDouble:
    """The server. `url` has no trailing slash; `requests` and `gone` grow in order."""

    url: str = ""
    requests: list[Seen] = field(default_factory=list)
    gone: list[Seen] = field(default_factory=list)
    client_gone: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _faults: deque[Fault] = field(default_factory=deque)
    _ticks: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _runner: web.AppRunner | None = None

    def next(self, *faults: Fault) -> None:
        """Queue faults for the next messages, in order."""
        self._faults.extend(faults)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=32 * 2**20)
        app.add_routes(
            [
                web.post("/v1/messages", self._guarded(self._messages)),
                web.get("/v1/models", self._guarded(self._models)),
                web.get("/v1/models/{id}", self._guarded(self._model)),
            ]
        )
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _guarded(self, handler: Any) -> Any:
        async def guarded(request: web.Request) -> web.StreamResponse:
            seen = Seen(
                path=request.path,
                query=dict(request.query),
                headers={name.lower(): value for name, value in request.headers.items()},
            )
            self.requests.append(seen)
            try:
                raw = await request.read()
                self.arrived.set()
                _check_headers(seen.headers)
                if raw:
                    seen.body = _decoded(raw)
                response: web.StreamResponse = await handler(request, seen)
            except RefusedError as refused:
                return self._error(refused)
            except (asyncio.CancelledError, ConnectionError):
                self.gone.append(seen)
                self.client_gone.set()
                raise
            return response

        return guarded

    def _error(
        self, refused: RefusedError, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        request_id = f"req_{next(self._ticks):08d}"
        error: dict[str, Any] = {"type": refused.kind, "message": refused.message}
        if refused.details is not None:
            error["details"] = refused.details
        return web.json_response(
            {"type": "error", "error": error, "request_id": request_id},
            status=refused.status,
            headers={"request-id": request_id, **(headers or {})},
        )

    async def _models(self, request: web.Request, seen: Seen) -> web.Response:
        limit = int(seen.query.get("limit", "20"))
        listed = [_model_info(name, known) for name, known in MODELS.items()]
        data = listed[:limit]
        return web.json_response(
            {
                "data": data,
                "has_more": len(data) < len(listed),
                "first_id": data[0]["id"],
                "last_id": data[-1]["id"],
            }
        )

    async def _model(self, request: web.Request, seen: Seen) -> web.Response:
        name = request.match_info["id"]
        if name not in MODELS:
            raise RefusedError(404, "not_found_error", f"model: {name}")
        return web.json_response(_model_info(name, MODELS[name]))

    async def _messages(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        fault = self._faults.popleft() if self._faults else NO_FAULT
        if fault.status is not None:
            refused = RefusedError(fault.status, fault.kind, fault.message, fault.details)
            return self._error(refused, fault.headers)
        known = check(seen.body, seen.headers)
        ids = [f"toolu_{next(self._ticks):08d}" for _ in range(2)]
        written = model.write(seen.body, ids, thinks=thinks(seen.body, known))
        message = self._message(seen.body, written)
        if seen.body.get("stream"):
            return await self._stream(request, message, fault)
        if fault.gate is not None:
            await fault.gate.wait()
        if fault.drop:
            return _drop(request)
        return web.json_response(message, headers={"request-id": f"req_{next(self._ticks):08d}"})

    def _message(self, body: Mapping[str, Any], written: model.Written) -> dict[str, Any]:
        cached = 3 if "cache_control" in json.dumps(body) else 0
        usage: dict[str, Any] = {
            "input_tokens": 10,
            "cache_creation_input_tokens": cached,
            "cache_read_input_tokens": 2 * cached,
            "output_tokens": written.tokens,
            "service_tier": "standard",
        }
        if written.thinking_tokens:
            usage["output_tokens_details"] = {"thinking_tokens": written.thinking_tokens}
        return {
            "id": f"msg_{next(self._ticks):08d}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": list(written.blocks),
            "stop_reason": written.stop_reason,
            "stop_sequence": written.stop_sequence,
            "stop_details": written.stop_details,
            "usage": usage,
        }

    async def _stream(
        self, request: web.Request, message: Mapping[str, Any], fault: Fault
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                "content-type": "text/event-stream; charset=utf-8",
                "request-id": f"req_{next(self._ticks):08d}",
            }
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        for number, event in enumerate(events(message)):
            if number == fault.after:
                if fault.gate is not None:
                    await fault.gate.wait()
                if fault.drop:
                    return _drop(request)
                if fault.kind:
                    error = {"type": fault.kind, "message": fault.message}
                    await response.write(written_event({"type": "error", "error": error}))
                if fault.kind or fault.end:
                    break
            await response.write(written_event(event, padding=number % 3))
            # One event, one write on the wire.
            await asyncio.sleep(0)
        await response.write_eof()
        return response


def written_event(event: Mapping[str, Any], *, padding: int = 0) -> bytes:
    """Write an event as the server does, with blanks that hide how long it is."""
    data = json.dumps(event, ensure_ascii=False)
    return f"event: {event['type']}\ndata: {data}{' ' * padding}\n\n".encode()


def events(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the events of a stream that comes to this message."""
    usage = {**message["usage"], "output_tokens": 1}
    usage.pop("output_tokens_details", None)
    empty = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield {"type": "message_start", "message": {**message, **empty, "usage": usage}}
    for index, block in enumerate(message["content"]):
        started, deltas = _parts(block)
        yield {"type": "content_block_start", "index": index, "content_block": started}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    yield {"type": "message_delta", "delta": stop, "usage": message["usage"]}
    yield {"type": "message_stop"}


def _parts(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    match block["type"]:
        case "text":
            deltas: list[Mapping[str, Any]] = [
                {"type": "text_delta", "text": piece} for piece in model.pieces(block["text"])
            ]
            deltas += [
                {"type": "citations_delta", "citation": each} for each in block.get("citations", ())
            ]
            return {"type": "text", "text": ""}, deltas
        case "thinking":
            pieces = model.pieces(block["thinking"])
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case "tool_use":
            text = json.dumps(block["input"]) if block["input"] else ""
            cuts = [text[at : at + 5] for at in range(0, len(text), 5)]
            return {**block, "input": {}}, [
                {"type": "input_json_delta", "partial_json": piece} for piece in ["", *cuts]
            ]
        case _:
            return block, []


def _check_headers(headers: Mapping[str, str]) -> None:
    given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    if given != KEY:
        raise RefusedError(401, "authentication_error", "invalid x-api-key")
    if headers.get("anthropic-version") not in VERSIONS:
        raise RefusedError(400, "invalid_request_error", "anthropic-version: header is required")


def _decoded(raw: bytes) -> Any:
    try:
        body = json.loads(raw)
    except ValueError:
        raise RefusedError(400, "invalid_request_error", "The request body is not JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "invalid_request_error", "Input should be a valid dictionary")
    return body


def _model_info(name: str, known: Known) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name.title(),
        "created_at": "2026-05-01T00:00:00Z",
        "max_input_tokens": 200_000 if known.prefill else 1_000_000,
        "max_tokens": known.max_tokens,
        "lifecycle": "active",
    }


def _drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
