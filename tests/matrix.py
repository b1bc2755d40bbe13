"""The matrix of golden files: the same canonical requests, and each vendor's errors, for all nine types.

`tests/golden/README.md` tells the layout. What is written to the files is made here, for the tests
that compare them and for the page that is made of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.table.schema import CredentialKind, CredentialRef, ProviderType
from dataplane import registry
from dataplane.codec import decode, encode, encode_pretty
from dataplane.errors import RequestRejected, UpstreamFailed
from dataplane.features import describe
from dataplane.provider import Adapter, HttpResponse, Operation, Request, SplitsEmbeddings
from dataplane.wire import reply
from dataplane.wire.request import parse_chat, parse_completion, parse_embeddings
from tests.fakes import provider

GOLDEN = Path(__file__).parent / "golden"
FOLDERS: Mapping[ProviderType, str] = {
    ProviderType.OLLAMA: "ollama",
    ProviderType.VLLM: "vllm",
    ProviderType.OVHCLOUD: "ovhcloud",
    ProviderType.SCALEWAY: "scaleway",
    ProviderType.OPENAI: "openai",
    ProviderType.AZURE_OPENAI: "azure_openai",
    ProviderType.AWS_BEDROCK: "bedrock",
    ProviderType.ANTHROPIC: "anthropic",
    ProviderType.MISTRAL: "mistral",
}
MODES = ("unary", "stream")
_PARSERS = {"chat": parse_chat, "completion": parse_completion, "embeddings": parse_embeddings}


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models that stand for a type's others: in chat, when reasoning is asked for, for vectors."""

    chat: str
    reasons: str
    embeds: str
    url: str


MODELS: Mapping[ProviderType, Models] = {
    ProviderType.OLLAMA: Models(
        chat="llama3.1",
        reasons="qwen3",
        embeds="nomic-embed-text",
        url="http://localhost:11434",
    ),
    ProviderType.VLLM: Models(
        chat="llama-3.1-8b",
        reasons="qwen3-8b",
        embeds="bge-m3",
        url="http://localhost:8000/v1",
    ),
    ProviderType.OVHCLOUD: Models(
        chat="llama-3.1-8b",
        reasons="qwen3-32b",
        embeds="bge-m3",
        url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    ),
    ProviderType.SCALEWAY: Models(
        chat="llama-3.1-8b",
        reasons="qwen3-235b",
        embeds="qwen3-embedding-8b",
        url="https://api.scaleway.ai/v1",
    ),
    ProviderType.OPENAI: Models(
        chat="gpt-4o",
        reasons="gpt-5.4",
        embeds="text-embedding-3-small",
        url="https://api.openai.com/v1",
    ),
    ProviderType.AZURE_OPENAI: Models(
        chat="gpt-4o",
        reasons="gpt-5.4",
        embeds="text-embedding-3-small",
        url="https://res.openai.azure.com",
    ),
    ProviderType.AWS_BEDROCK: Models(
        chat="anthropic.claude-sonnet-4-6",
        reasons="anthropic.claude-sonnet-4-6",
        embeds="amazon.titan-embed-text-v2:0",
        url="https://bedrock-runtime.eu-west-3.amazonaws.com",
    ),
    ProviderType.ANTHROPIC: Models(
        chat="claude-sonnet-4-6",
        reasons="claude-sonnet-4-6",
        embeds="claude-sonnet-4-6",
        url="https://api.anthropic.com",
    ),
    ProviderType.MISTRAL: Models(
        chat="mistral-large-latest",
        reasons="mistral-medium-latest",
        embeds="mistral-embed",
        url="https://api.mistral.ai/v1",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Canonical:
    """A canonical request: what it asks for, in words, and the body as a caller sends it."""

    name: str
    feature: str
    operation: str
    reasons: bool
    body: Mapping[str, Any]

    def request(self, *, stream: bool) -> Request:
        """The request as it comes in; streams ask for usage."""
        more: Mapping[str, Any] = {}
        if stream:
            more = {"stream": True, "stream_options": {"include_usage": True}}
        return _PARSERS[self.operation](encode({"model": "route", **self.body, **more}))

    def model(self, kind: ProviderType) -> str:
        """The upstream's model that is asked."""
        models = MODELS[kind]
        if self.operation == "embeddings":
            return models.embeds
        return models.reasons if self.reasons else models.chat


def canonical() -> Sequence[Canonical]:
    """All canonical requests, by name."""
    found = []
    for path in sorted((GOLDEN / "canonical").glob("*.json")):
        case = decode(path.read_bytes())
        found.append(
            Canonical(
                name=path.stem,
                feature=case["feature"],
                operation=case.get("operation", "chat"),
                reasons=case.get("reasons", False),
                body=case["body"],
            )
        )
    return found


def adapter(kind: ProviderType) -> Adapter:
    """The adapter of a type, at its vendor's own address."""
    ref = CredentialRef(kind=CredentialKind.ENV, name="KEY")
    options = {"region": "eu-west-3"} if kind is ProviderType.AWS_BEDROCK else {}
    url = MODELS[kind].url
    return registry.build(provider("up", kind=kind, base_url=url, credential=ref, options=options))


def golden_of(kind: ProviderType, case: Canonical) -> Path:
    """Where it is written what a type makes of a canonical request."""
    return GOLDEN / FOLDERS[kind] / "canonical" / f"{case.name}.json"


def written(kind: ProviderType, case: Canonical) -> Mapping[str, Any]:
    """What a type makes of a canonical request, whole and as a stream; embeddings have no stream."""
    modes = MODES[:1] if case.operation == "embeddings" else MODES
    model = case.model(kind)
    return {
        "model": model,
        **{mode: _written(kind, case.request(stream=mode == "stream"), model) for mode in modes},
    }


def _written(kind: ProviderType, request: Request, model: str) -> Mapping[str, Any]:
    made = adapter(kind)
    if lacking := request.features - made.capabilities(model):
        param, words = describe(min(lacking))
        return {"rejected": {"param": param, "lacks": str(min(lacking)), "message": words}}
    calls = made.split(request, model) if isinstance(made, SplitsEmbeddings) else [request]
    if request.operation is Operation.EMBEDDINGS and len(calls) > 1:
        return {"warnings": [], "calls": [_written(kind, call, model) for call in calls]}
    try:
        prepared = made.prepare(request, model, "test-key")
    except RequestRejected as rejected:
        refused = {"param": rejected.param, "code": rejected.code, "message": rejected.message}
        return {"rejected": refused}
    http = prepared.http
    body = decode(http.body)
    # Keys keep their order, so equal text is equal bytes.
    assert encode(body) == http.body
    return {
        "warnings": list(prepared.warnings),
        "url": http.url,
        "headers": dict(http.headers),
        "body": body,
    }


def errors(kind: ProviderType) -> Iterator[Path]:
    """The native errors of a type."""
    yield from sorted((GOLDEN / FOLDERS[kind] / "errors").glob("*.in.json"))


def native(path: Path) -> HttpResponse:
    """The answer that a file of errors holds. Text that is no JSON stands as a string."""
    case = decode(path.read_bytes())
    body = case["body"]
    raw = body.encode() if isinstance(body, str) else encode(body)
    return HttpResponse(status=case["status"], headers=case["headers"], body=raw)


def failed(kind: ProviderType, path: Path) -> UpstreamFailed:
    """What a type makes of a native error."""
    return adapter(kind).failure(native(path))


def told(failure: UpstreamFailed) -> Mapping[str, Any]:
    """What a failure leads to, and what the caller gets if it is the last word."""
    status, headers, body = reply.error_body(failure)
    policy = failure.policy
    return {
        "class": failure.error.value,
        "retried_here": bool(policy.retries_here) and failure.should_retry is not False,
        "next_target": policy.try_next,
        "breaker": policy.effect.value,
        "retry_after_s": failure.retry_after_s,
        "caller": {"status": status, "headers": headers, "body": decode(body)},
    }


def compare(path: Path, actual: Any) -> None:
    """Hold a value against a golden file, or write it there with SWITCHGEAR_GOLDEN=write."""
    text = encode_pretty(actual) + b"\n"
    if os.environ.get("SWITCHGEAR_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text)

    assert path.read_bytes() == text
