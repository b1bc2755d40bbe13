"""Honest upstreams of all nine provider types, and OpenAI's client whose every answer is kept raw."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import openai

from controlplane.table.schema import (
    CredentialKind,
    CredentialRef,
    Model,
    Provider,
    ProviderType,
    RetryPolicy,
    Route,
    StrategyName,
    Table,
    Target,
    index_models,
)
from dataplane import registry
from tests import shape
from tests.doubles import anthropic, bedrock, ollama
from tests.doubles.anthropic import AnthropicDouble
from tests.doubles.bedrock_talk import TalkingBedrock
from tests.doubles.ollama import OllamaDouble
from tests.doubles.upstream import Upstream, dies_after, status
from tests.doubles.vendors import KEY, vendor
from tests.e2e.rig import Rig, running
from tests.fakes import RETRY, provider

NINE: Sequence[ProviderType] = tuple(ProviderType)
REGION = "eu-west-3"
SECRETS: Mapping[str, str] = {
    "VENDOR_KEY": KEY,
    "ANTHROPIC_KEY": anthropic.KEY,
    "BEDROCK_KEY": "bedrock-api-key-example",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What a type's upstream has. embedder: empty if there are no embeddings."""

    model: str
    reasoner: str
    embedder: str = ""
    secret: str = "VENDOR_KEY"
    path: str = ""


HOUSES: Mapping[ProviderType, House] = {
    ProviderType.OLLAMA: House(
        model="tiny", reasoner="tiny-thinker", embedder="tiny-embed", secret=""
    ),
    ProviderType.VLLM: House(model="llama-3.1-8b", reasoner="qwen3-thinker", embedder="bge-m3"),
    ProviderType.OVHCLOUD: House(model="llama-3.1-8b", reasoner="qwen3-thinker", embedder="bge-m3"),
    ProviderType.SCALEWAY: House(model="llama-3.1-8b", reasoner="qwen3-thinker", embedder="bge-m3"),
    # Behind another URL than OpenAI's own, where models are that show what they think.
    ProviderType.OPENAI: House(
        model="gpt-4o", reasoner="glm-thinker", embedder="text-embedding-3-small"
    ),
    # Its reasoning models call functions by the Responses API.
    ProviderType.AZURE_OPENAI: House(
        model="gpt-4o", reasoner="gpt-5.4", embedder="text-embedding-3-small"
    ),
    ProviderType.AWS_BEDROCK: House(
        model="amazon.nova-pro-v1:0",
        reasoner="anthropic.claude-haiku-4-5-20251001-v1:0",
        embedder="amazon.titan-embed-text-v2:0",
        secret="BEDROCK_KEY",
    ),
    ProviderType.ANTHROPIC: House(
        model="claude-sonnet-4-6", reasoner="claude-haiku-4-5-20251001", secret="ANTHROPIC_KEY"
    ),
    ProviderType.MISTRAL: House(
        model="mistral-small-latest", reasoner="magistral-medium-2509", embedder="mistral-embed"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """One upstream that runs. seen: the bodies of the calls so far, decoded.

    fail: lets the next call fail with a fault that is worth another target. die: lets the next
    stream break after its first words.
    """

    kind: ProviderType
    url: str
    seen: Callable[[], Sequence[Mapping[str, Any]]]
    fail: Callable[[], None]
    die: Callable[[], None]

    @property
    def house(self) -> House:
        return HOUSES[self.kind]

    def configured(self, name: str, **changes: Any) -> Provider:
        """The provider as a manifest would have it."""
        house = self.house
        ref = CredentialRef(kind=CredentialKind.ENV, name=house.secret) if house.secret else None
        options = {"region": REGION} if self.kind is ProviderType.AWS_BEDROCK else {}
        return provider(
            name, kind=self.kind, base_url=self.url, credential=ref, options=options, **changes
        )


@asynccontextmanager
async def entrance(kind: ProviderType) -> AsyncIterator[Entrance]:
    """Run the upstream of a type."""
    match kind:
        case ProviderType.OLLAMA:
            async with OllamaDouble() as local:
                yield Entrance(
                    kind=kind,
                    url=local.url,
                    seen=lambda: [seen.body for seen in local.requests if seen.body is not None],
                    fail=lambda: local.next(ollama.busy()),
                    die=lambda: local.next(ollama.dropped_after(2)),
                )
        case ProviderType.ANTHROPIC:
            async with AnthropicDouble() as claude:
                busy = anthropic.failing(529, "overloaded_error", "Overloaded")
                yield Entrance(
                    kind=kind,
                    url=claude.url,
                    seen=lambda: [seen.body for seen in claude.requests if seen.body is not None],
                    fail=lambda: claude.next(busy),
                    die=lambda: claude.next(anthropic.dropped_after(4)),
                )
        case ProviderType.AWS_BEDROCK:
            async with TalkingBedrock() as aws:
                full = bedrock.Fault(503, "ServiceUnavailableException", "try again")
                cut = bedrock.Said("Hello, world, this is cut", breaks=(3, "cut"))
                yield Entrance(
                    kind=kind,
                    url=aws.url,
                    seen=lambda: aws.bodies,
                    fail=lambda: aws.next(full),
                    die=lambda: aws.next(cut),
                )
        case _:
            async with vendor(kind) as double:
                yield of_vendor(kind, double)


def of_vendor(kind: ProviderType, double: Upstream) -> Entrance:
    """Describe a scripted upstream of OpenAI's format."""
    azure = kind is ProviderType.AZURE_OPENAI
    return Entrance(
        kind=kind,
        url=double.url.removesuffix("/v1") if azure else double.url,
        seen=lambda: [seen.body for seen in double.posts],
        fail=lambda: double.next(status(503)),
        die=lambda: double.next(dies_after(2)),
    )


def table_of(
    routes: Mapping[str, Sequence[tuple[Provider, str]]], *, retry: RetryPolicy = RETRY
) -> Table:
    """A table of routes, each over providers and the model there, in order of priority."""
    made: dict[str, Route] = {}
    for name, places in routes.items():
        targets = tuple(
            Target(
                provider=item.name,
                model=model,
                priority=number,
                weight=1,
                key=item.target_key(model),
            )
            for number, (item, model) in enumerate(places, start=1)
        )
        strategy = StrategyName.PRIORITY_WITH_FALLBACK
        made[name] = Route(
            name=name, models=(name,), strategy=strategy, targets=targets, retry=retry
        )
    exact, prefixes, wildcard = index_models(made)
    return Table(
        generation=1,
        version="test",
        providers={item.name: item for places in routes.values() for item, _ in places},
        routes=made,
        exact=exact,
        prefixes=prefixes,
        wildcard=wildcard,
    )


def thinking_model(house: House) -> Model:
    """What a manifest says of a model whose thoughts are wanted."""
    return Model(name=house.reasoner, max_output_tokens=8192)


@dataclass(slots=True, kw_only=True)
class Heard:
    """One exchange with the sidecar, raw. Header names are lower case."""

    path: str
    request: Mapping[str, Any]
    status: int
    headers: Mapping[str, str]
    raw: bytearray = field(default_factory=bytearray)

    @property
    def streamed(self) -> bool:
        return self.status == 200 and bool(self.request.get("stream"))

    @property
    def documents(self) -> list[Mapping[str, Any]]:
        """The answer, or the chunks of the stream; of errors nothing."""
        if self.status != 200 or self.path.endswith("/embeddings"):
            return []
        if self.streamed:
            return [event for event in shape.events_of(bytes(self.raw)) if "error" not in event]
        return [json.loads(self.raw)]

    def complaints(self, *, dies: bool = False) -> list[str]:
        """Judge the answer's shape."""
        raw, model = bytes(self.raw), str(self.request["model"])
        if self.status != 200:
            return shape.error_complaints(self.status, self.headers, raw)
        if self.path.endswith("/embeddings"):
            given = self.request["input"]
            count = len(given) if isinstance(given, list) else 1
            base64 = self.request.get("encoding_format") == "base64"
            return shape.vectors_complaints(raw, model, count, base64=base64)
        if self.streamed:
            asked = bool((self.request.get("stream_options") or {}).get("include_usage"))
            return shape.stream_complaints(raw, model, asked_usage=asked, dies=dies)
        return shape.answer_complaints(raw, model)


class Ear(httpx.AsyncHTTPTransport):
    """The client's transport, which keeps the bytes of every answer as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Heard] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        heard = Heard(
            path=request.url.path,
            request=json.loads(request.content) if request.content else {},
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
        )
        self.heard.append(heard)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Kept(response.stream, heard.raw)
        return response


class _Kept(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, raw: bytearray) -> None:
        self._stream = stream
        self._raw = raw

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._raw += piece
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """OpenAI's client before a sidecar, and what it heard."""

    client: openai.AsyncOpenAI
    rig: Rig
    heard: list[Heard]


@asynccontextmanager
async def calling(
    table: Table, *, adapters: registry.Adapters = registry.ADAPTERS
) -> AsyncIterator[Caller]:
    """Run a sidecar over the table, with a client before it."""
    ear = Ear()
    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(running(table, environ=SECRETS, adapters=adapters))
        http = await stack.enter_async_context(httpx.AsyncClient(transport=ear))
        client = openai.AsyncOpenAI(
            base_url=rig.base_url, api_key="unused", max_retries=0, http_client=http
        )
        yield Caller(client=client, rig=rig, heard=ear.heard)
