"""An honest Bedrock on loopback: checks signatures, refuses what AWS refuses, frames its streams.

    async with Bedrock() as bedrock:
        bedrock.next(Said("Hello"), Fault(429, "ThrottlingException", "Too many requests"))
        ...  # speak to bedrock.url

Each call of a model takes the next reply, then `default`. One reply serves Converse and
ConverseStream alike. Streams are sent frame by frame; with `pace` each frame waits until the
semaphore lets it go, so nothing sleeps. Models are called by any id; embeddings are computed.

Source of the shapes: Amazon Bedrock API reference (Converse, ConverseStream, InvokeModel,
ListFoundationModels, ListInferenceProfiles, common errors), read 2026-11-22, and botocore's model of
the same, whose parser reads every answer in the double's own tests.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web

from tests.doubles import bedrock_embeddings, bedrock_frames
from tests.doubles.bedrock_rules import Refused, check_converse
from tests.doubles.bedrock_signature import Account, Refusal, verify

USAGE = {"inputTokens": 12, "outputTokens": 5, "totalTokens": 17}


@dataclass(frozen=True)
class Said:
    """An answer. Blocks are Converse's; a string is one block of text.

    usage: None leaves the metadata out of a stream. pace: each frame of a stream waits for it.
    breaks: what happens to the frame of that number, counted from 0: `cut` sends its half and ends,
    `corrupt` changes its last byte, or a whole frame that comes in its place and ends the stream.
    """

    blocks: str | Sequence[Mapping[str, Any]]
    stop: str = "end_turn"
    usage: Mapping[str, int] | None = field(default_factory=lambda: dict(USAGE))
    pace: asyncio.Semaphore | None = None
    breaks: tuple[int, str | bytes] | None = None

    @property
    def content(self) -> Sequence[Mapping[str, Any]]:
        return [{"text": self.blocks}] if isinstance(self.blocks, str) else self.blocks


@dataclass(frozen=True)
class Fault:
    """An error answer, as AWS shapes it; without a code there is no header that names one."""

    status: int
    code: str
    message: str
    key: str = "message"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request that was let in. model: the id, decoded. raw_path: as it came over the wire."""

    method: str
    raw_path: str
    operation: str
    model: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass
class Bedrock:
    """The server.

    account: whose signatures are good. api_key: a bearer token that is good too.
    models, profiles: what the lists hold; `page_size` profiles a page.
    refusals: why requests were not let in, in order. gate: embeddings wait for it if there is one.
    most_at_once: the most calls of models that were being answered together.
    """

    account: Account = field(default_factory=Account)
    api_key: str = "bedrock-api-key-example"
    default: Said | Fault = field(default_factory=lambda: Said("Hello, world"))
    models: Sequence[Mapping[str, Any]] = ()
    profiles: Sequence[Mapping[str, Any]] = ()
    page_size: int = 2
    lists: Mapping[str, Fault] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    gate: asyncio.Semaphore | None = None
    url: str = ""
    answering: int = 0
    most_at_once: int = 0
    client_gone: asyncio.Event = field(default_factory=asyncio.Event)
    _script: deque[Said | Fault] = field(default_factory=deque)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _runner: web.AppRunner | None = None

    def next(self, *replies: Said | Fault) -> None:
        """Queue what the next calls of models get, in order."""
        self._script.extend(replies)

    @property
    def bodies(self) -> Sequence[Mapping[str, Any]]:
        """The bodies of the calls of models, in order of arrival."""
        return [seen.body for seen in self.requests if seen.method == "POST"]

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=64 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
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

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        raw_path = request.raw_path
        refusal = self._admitted(request.method, raw_path, headers, body)
        if refusal is not None:
            self.refusals.append(refusal)
            return self._failed(Fault(refusal.status, refusal.code, refusal.message))
        path, _, _ = raw_path.partition("?")
        match path.split("/")[1:]:
            case ["model", model, "converse" | "converse-stream" | "invoke" as operation]:
                name = unquote(model)
            case ["foundation-models" | "inference-profiles" as operation]:
                name = ""
            case _:
                return self._failed(Fault(404, "UnknownOperationException", "no such operation"))
        seen = Seen(
            method=request.method,
            raw_path=raw_path,
            operation=operation,
            model=name,
            headers=headers,
            body=json.loads(body) if body else {},
        )
        self.requests.append(seen)
        if not name:
            return self._list(operation, request.query)
        self.answering += 1
        self.most_at_once = max(self.most_at_once, self.answering)
        try:
            return await self._call(seen, request)
        except Refused as refused:
            return self._failed(Fault(400, "ValidationException", str(refused)))
        except asyncio.CancelledError:
            self.client_gone.set()
            raise
        finally:
            self.answering -= 1

    def _admitted(
        self, method: str, raw_path: str, headers: Mapping[str, str], body: bytes
    ) -> Refusal | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme == "Bearer":
            if token == self.api_key:
                return None
            return Refusal(
                code="AccessDeniedException",
                message="Authentication failed: Please make sure your API Key is valid.",
            )
        return verify(self.account, method, f"http://{headers['host']}{raw_path}", headers, body)

    async def _call(self, seen: Seen, request: web.Request) -> web.StreamResponse:
        reply = self._script.popleft() if self._script else self.default
        if isinstance(reply, Fault):
            return self._failed(reply)
        if seen.operation == "invoke":
            if self.gate is not None:
                await self.gate.acquire()
            answer, count = bedrock_embeddings.answer(seen.model, seen.body)
            return self._json(answer, {"X-Amzn-Bedrock-Input-Token-Count": str(count)})
        streamed = seen.operation == "converse-stream"
        check_converse(seen.model, seen.body, stream=streamed)
        if streamed:
            return await self._stream(reply, request)
        return self._json(
            {
                "output": {"message": {"role": "assistant", "content": reply.content}},
                "stopReason": reply.stop,
                "usage": reply.usage,
                "metrics": {"latencyMs": 7},
            }
        )

    async def _stream(self, reply: Said, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                "content-type": "application/vnd.amazon.eventstream",
                "x-amzn-requestid": self._id(),
            }
        )
        await response.prepare(request)
        events = bedrock_frames.events_of(reply.content, stop=reply.stop, usage=reply.usage)
        at, how = reply.breaks or (-1, "")
        for number, (kind, body) in enumerate(events):
            if reply.pace is not None:
                await reply.pace.acquire()
            whole = bedrock_frames.event(kind, body)
            if number != at:
                await response.write(whole)
                continue
            if isinstance(how, bytes):
                await response.write(how)
                return response
            if how == "cut":
                await response.write(whole[: len(whole) // 2])
                return response
            await response.write(bedrock_frames.corrupted(whole))
        return response

    def _list(self, operation: str, query: Mapping[str, str]) -> web.Response:
        if operation in self.lists:
            return self._failed(self.lists[operation])
        if operation == "foundation-models":
            wanted = query.get("byOutputModality")
            return self._json(
                {
                    "modelSummaries": [
                        model
                        for model in self.models
                        if wanted is None or wanted in model["outputModalities"]
                    ]
                }
            )
        start = int(query.get("nextToken", "0"))
        page = list(self.profiles[start : start + self.page_size])
        body: dict[str, Any] = {"inferenceProfileSummaries": page}
        if start + self.page_size < len(self.profiles):
            body["nextToken"] = str(start + self.page_size)
        return self._json(body)

    def _json(
        self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> web.Response:
        return web.json_response(body, headers={"x-amzn-RequestId": self._id(), **(headers or {})})

    def _failed(self, fault: Fault) -> web.Response:
        headers = {"x-amzn-RequestId": self._id()}
        if fault.code:
            headers["x-amzn-ErrorType"] = f"{fault.code}:http://internal.amazon.com/coral/"
        return web.json_response({fault.key: fault.message}, status=fault.status, headers=headers)

    def _id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._numbers):012d}"
