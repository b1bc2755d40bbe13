"""A double of an Ollama server: a real socket that replays what Ollama 0.33.0 sent.

    async with OllamaDouble() as ollama:
        ollama.next(busy())
        ...  # speak to ollama.url

It is as strict as the real one where that matters to a caller of its API: content must be a string,
arguments an object, images base64, and what a model cannot do is a 400. Faults are queued, one a
request for text or embeddings; nothing in it sleeps.

Source of the shapes: the API reference and the server's source at 0.33.0, and what such a server
answered; read 2026-11-22.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from dataplane.codec import DecodeError, decode_object, encode
from tests.doubles import ollama_model as model
from tests.doubles.ollama_checks import (
    SEEN,
    RefusedError,
    Seen,
    body_of,
    check_abilities,
    check_message,
    model_of,
    read_tokens,
    require_embedding,
    unmarshal,
)
from tests.doubles.ollama_faults import (
    NO_FAULT,
    Fault,
    busy,
    dropped_after,
    error_after,
    failing,
    held,
)
from tests.doubles.ollama_model import Installed, Written

__all__ = [
    "Fault",
    "OllamaDouble",
    "Seen",
    "busy",
    "dropped_after",
    "error_after",
    "failing",
    "held",
]

VERSION = "0.33.0"


@dataclass(slots=True)
class OllamaDouble:
    """The server. `url` has no trailing slash; `requests` and `gone` grow in order.

    gone: requests whose client went away before its answer was complete; `client_gone` is set
    with the first, as `arrived` is with the first request. loaded: names of the models in memory.
    """

    url: str = ""
    requests: list[Seen] = field(default_factory=list)
    gone: list[Seen] = field(default_factory=list)
    client_gone: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    loaded: set[str] = field(default_factory=set)
    answering: int = 0
    _faults: deque[Fault] = field(default_factory=deque)
    _ticks: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _runner: web.AppRunner | None = None

    def next(self, *faults: Fault) -> None:
        """Queue faults for the next requests, in order."""
        self._faults.extend(faults)

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._watched], client_max_size=64 * 2**20)
        app.add_routes(
            [
                web.get("/", self._root),
                web.get("/api/version", self._version),
                web.get("/api/tags", self._tags),
                web.get("/api/ps", self._ps),
                web.post("/api/show", self._show),
                web.post("/api/chat", self._chat),
                web.post("/api/generate", self._generate),
                web.post("/api/embed", self._embed),
                web.post("/api/embeddings", self._embed_old),
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

    @web.middleware
    async def _watched(self, request: web.Request, handler: Any) -> web.StreamResponse:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(method=request.method, path=request.path, headers=headers, raw=raw)
        request[SEEN] = seen
        self.requests.append(seen)
        with suppress(DecodeError):
            seen.body = decode_object(raw)
        self.answering += 1
        self.arrived.set()
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPNotFound:
            return web.Response(status=404, text="404 page not found")
        except web.HTTPMethodNotAllowed:
            return web.Response(status=405, text="405 method not allowed")
        except RefusedError as refused:
            return web.json_response(body=encode({"error": refused.error}), status=refused.status)
        except (asyncio.CancelledError, ConnectionError):
            self.gone.append(seen)
            self.client_gone.set()
            raise
        finally:
            self.answering -= 1
        return response

    async def _root(self, request: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def _version(self, request: web.Request) -> web.Response:
        return _json({"version": VERSION})

    async def _tags(self, request: web.Request) -> web.Response:
        return _json({"models": [each.tag for each in model.INSTALLED.values()]})

    async def _ps(self, request: web.Request) -> web.Response:
        in_memory = [model.INSTALLED[name].tag for name in sorted(self.loaded)]
        times = {"expires_at": "2026-11-22T19:47:21Z", "size_vram": 0}
        return _json({"models": [{**tag, **times} for tag in in_memory]})

    async def _show(self, request: web.Request) -> web.Response:
        found = model_of(body_of(request))
        return _json(
            {
                "modelfile": f"FROM {found.name}\n",
                "template": "{{ .Prompt }}",
                "details": found.details,
                "model_info": {
                    "general.architecture": "qwen2",
                    "qwen2.context_length": model.CONTEXT_LENGTH,
                    "qwen2.embedding_length": model.EMBEDDING_LENGTH,
                },
                "capabilities": found.capabilities,
                "modified_at": "2026-11-22T19:40:00.123456789Z",
            }
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = body_of(request)
        found = model_of(body)
        messages = body.get("messages") or []
        for message in messages:
            check_message(message)
        if not messages:
            return _json(self._load(found, body, message={"role": "assistant", "content": ""}))
        think = check_abilities(found, body, "chat")
        texts = [message.get("content", "") for message in messages]
        written = model.write(
            messages[-1],
            body.get("options") or {},
            tools=bool(body.get("tools")),
            think=think,
            formatted=bool(body.get("format")),
        )
        return await self._answer(request, found, written, read_tokens(texts, body), chat=True)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = body_of(request)
        found = model_of(body)
        prompt = body.get("prompt", "")
        if not isinstance(prompt, str):
            raise unmarshal(prompt, "GenerateRequest.prompt", "string")
        if not prompt:
            return _json(self._load(found, body, response=""))
        think = check_abilities(found, body, "generate")
        if body.get("suffix"):
            raise RefusedError(400, f"{found.name} does not support insert")
        written = model.write(
            {"role": "user", "content": prompt},
            body.get("options") or {},
            tools=False,
            think=think,
            formatted=bool(body.get("format")),
        )
        return await self._answer(request, found, written, read_tokens([prompt], body), chat=False)

    async def _embed(self, request: web.Request) -> web.Response:
        body = body_of(request)
        found = model_of(body)
        texts = body.get("input", [])
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or any(not isinstance(text, str) for text in texts):
            raise RefusedError(400, "invalid input type")
        require_embedding(found)
        tokens = sum(len(text.split()) + 1 for text in texts)
        num_ctx = (body.get("options") or {}).get("num_ctx", model.CONTEXT_LENGTH)
        if body.get("truncate") is False and any(len(text.split()) > num_ctx for text in texts):
            raise RefusedError(400, "the input length exceeds the context length")
        async with self._embedding(found):
            return _json(
                {
                    "model": body["model"],
                    "embeddings": [model.embed(text, body.get("dimensions")) for text in texts],
                    "total_duration": 14143917,
                    "load_duration": 1019500,
                    "prompt_eval_count": tokens,
                }
            )

    async def _embed_old(self, request: web.Request) -> web.Response:
        body = body_of(request)
        found = model_of(body)
        require_embedding(found)
        async with self._embedding(found):
            return _json({"embedding": model.embed(str(body.get("prompt", "")), None)})

    @asynccontextmanager
    async def _embedding(self, found: Installed) -> AsyncIterator[None]:
        fault = self._fault()
        if fault.gate is not None:
            await fault.gate.wait()
        if fault.error:
            raise RefusedError(500, fault.error)
        self.loaded.add(found.name)
        yield

    def _load(self, found: Installed, body: Mapping[str, Any], **empty: Any) -> Mapping[str, Any]:
        """Load or unload: an empty request does nothing else."""
        unload = body.get("keep_alive") in {0, "0"}
        if unload:
            self.loaded.discard(found.name)
        else:
            self.loaded.add(found.name)
        reason = "unload" if unload else "load"
        return {
            "model": body["model"],
            "created_at": self._stamp(),
            **empty,
            "done": True,
            "done_reason": reason,
        }

    async def _answer(
        self, request: web.Request, found: Installed, written: Written, read: int, *, chat: bool
    ) -> web.StreamResponse:
        fault = self._fault()
        body = body_of(request)
        self.loaded.add(found.name)
        lines = self._lines(body, written, read, chat=chat)
        if body.get("stream") is False:
            if fault.gate is not None:
                await fault.gate.wait()
            if fault.drop:
                return _drop(request)
            if fault.error:
                raise RefusedError(500, fault.error)
            return _json(_whole(lines, chat=chat))
        return await self._stream(request, lines, fault)

    async def _stream(
        self, request: web.Request, lines: Sequence[Mapping[str, Any]], fault: Fault
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
        response.enable_chunked_encoding()
        for number, line in enumerate(lines):
            if number == fault.after_lines:
                if fault.gate is not None:
                    await fault.gate.wait()
                if fault.drop:
                    return _drop(request)
                if fault.error and not response.prepared:
                    raise RefusedError(500, fault.error)
                if fault.error:
                    await response.write(encode({"error": fault.error}) + b"\n")
                    break
            if not response.prepared:
                await response.prepare(request)
            await response.write(encode(line) + b"\n")
            # One token, one write on the wire.
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    def _lines(
        self, body: Mapping[str, Any], written: Written, read: int, *, chat: bool
    ) -> list[Mapping[str, Any]]:
        def line(text: str = "", **more: Any) -> dict[str, Any]:
            says: dict[str, Any] = {"response": text, **more}
            if chat:
                says = {"message": {"role": "assistant", "content": text, **more}}
            top = {"model": body["model"], "created_at": self._stamp()}
            odds = _logprobs(text, body) if text else {}
            return {**top, **says, "done": False, **odds}

        lines: list[Mapping[str, Any]] = [line(thinking=text) for text in written.thinking]
        lines += [line(text) for text in written.pieces]
        for index, each in enumerate(written.calls):
            call = {"id": self._call_id(), "function": {"index": index, **each}}
            lines.append(line(tool_calls=[call]))
        end = {
            "done": True,
            "done_reason": written.done_reason,
            "total_duration": 22573357,
            "load_duration": 807853,
            "prompt_eval_count": read,
            "prompt_eval_duration": 17863000,
            "eval_count": written.tokens,
            "eval_duration": 2157000,
        }
        return [*lines, line() | end | ({} if chat else {"context": [1, 2, 3]})]

    def _fault(self) -> Fault:
        fault = self._faults.popleft() if self._faults else NO_FAULT
        if fault.status is not None:
            raise RefusedError(fault.status, fault.error)
        return fault

    def _stamp(self) -> str:
        return f"2026-11-22T19:42:21.{next(self._ticks):09d}Z"

    def _call_id(self) -> str:
        return f"call_{next(self._ticks):08x}"


def _json(value: Mapping[str, Any]) -> web.Response:
    return web.Response(
        body=encode(value), headers={"content-type": "application/json; charset=utf-8"}
    )


def _drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _whole(lines: Sequence[Mapping[str, Any]], *, chat: bool) -> Mapping[str, Any]:
    """Put the lines of a stream together as the server does for a unary answer."""
    parts = [line["message"] if chat else line for line in lines]
    text = "content" if chat else "response"
    whole: dict[str, Any] = {text: "".join(part[text] for part in parts)}
    if thinking := "".join(part.get("thinking", "") for part in parts):
        whole["thinking"] = thinking
    if calls := [call for part in parts for call in part.get("tool_calls", ())]:
        whole["tool_calls"] = calls
    says = {"message": {"role": "assistant", **whole}} if chat else whole
    odds = [entry for line in lines for entry in line.get("logprobs", ())]
    return {**lines[-1], **says, **({"logprobs": odds} if odds else {})}


def _logprobs(text: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    if not body.get("logprobs"):
        return {}
    token = {"token": text, "logprob": -0.0078125, "bytes": list(text.encode())}
    others = [token] if body.get("top_logprobs") else []
    return {"logprobs": [{**token, **({"top_logprobs": others} if others else {})}]}
