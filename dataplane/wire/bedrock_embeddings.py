"""Embeddings at Bedrock: bodies for InvokeModel, and their answers.

Each family has a body of its own. Titan and Nova embed one text a call, Cohere up to 96; requests
for more are split before they get here. What is too long is refused, never cut.

Source: Amazon Bedrock user guide, "Amazon Titan Text Embeddings", "Cohere Embed" and "Amazon Nova
Multimodal Embeddings", read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from dataplane.codec import encode
from dataplane.provider import Answer, HttpResponse, Request, ResponseFacts, Usage
from dataplane.record import replace
from dataplane.wire.bedrock_answer import decoded, malformed
from dataplane.wire.bedrock_models import BedrockModel, Embedder
from dataplane.wire.bedrock_parts import reject
from dataplane.wire.embeddings import checked_vectors, embeddings_body
from dataplane.wire.taken_fields import Fields

TOKEN_HEADER: Final = "x-amzn-bedrock-input-token-count"  # noqa: S105 - counts tokens of text
"""Header of an answer that holds how many tokens were read."""

# Texts of one call, where it is not a single one.
_BATCHES: Final[Mapping[Embedder, int]] = {Embedder.COHERE_3: 96, Embedder.COHERE_4: 96}
_DIMENSIONS: Final[Mapping[Embedder, frozenset[int]]] = {
    Embedder.TITAN_1: frozenset({1536}),
    Embedder.TITAN_2: frozenset({256, 512, 1024}),
    Embedder.COHERE_3: frozenset({1024}),
    Embedder.COHERE_4: frozenset({256, 512, 1024, 1536}),
    Embedder.NOVA_2: frozenset({256, 384, 1024, 3072}),
}
# The one that is given where none is asked for, and whose name the wire may even lack.
_FIXED: Final = frozenset({Embedder.TITAN_1, Embedder.COHERE_3})
_NOVA_DIMENSION: Final = 3072
# What embeddings are for, in Cohere's words, and the same in Nova's.
_PURPOSES: Final[Mapping[str, str]] = {
    "search_document": "GENERIC_INDEX",
    "search_query": "GENERIC_RETRIEVAL",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
_DEFAULT_PURPOSE: Final = "search_document"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serialized:
    """A body for InvokeModel. warnings: what was changed on the way, each once, in order."""

    body: bytes
    warnings: Sequence[str]


def split(request: Request, model: BedrockModel) -> Sequence[Request]:
    """Cut a request into those that one call can serve, in order; often one."""
    texts = request.body.get("input")
    most = _BATCHES.get(model.embedder, 1)
    if not isinstance(texts, list) or len(texts) <= most:
        return (request,)
    return [
        replace(request, body={**request.body, "input": texts[start : start + most]})
        for start in range(0, len(texts), most)
    ]


def serialize(request: Request, model: BedrockModel) -> Serialized:
    """Write the body of one call. Raises RequestRejected for what the model cannot be told."""
    fields = Fields(request.body)
    fields.take("encoding_format")  # base64 is made here, of the floats that come
    texts = _texts(fields.take("input"))
    dimensions = _dimensions(fields.take("dimensions"), model.embedder)
    purpose = fields.take("input_type")
    if purpose is None:
        purpose = _DEFAULT_PURPOSE
    elif purpose not in _PURPOSES:
        reject(f"must be one of: {', '.join(_PURPOSES)}", "input_type", "unsupported_value")
    body = _body(texts, dimensions, purpose, model.embedder)
    return Serialized(body=encode(body), warnings=fields.finish())


def read_answer(response: HttpResponse, request: Request, model: BedrockModel) -> Answer:
    """Read the 2xx answer of one call. Raises UpstreamFailed (bad_response)."""
    native = decoded(response.body)
    vectors = _vectors(native, model.embedder)
    wanted = len(_texts(request.body.get("input")))
    if len(vectors) != wanted:
        raise malformed(f"{len(vectors)} embeddings for {wanted} inputs")
    facts = ResponseFacts(embedding_dimensions=len(vectors[0]))
    tokens = _tokens(native, response.headers)
    if tokens is not None:
        facts.usage = Usage(input_tokens=tokens)
    body = embeddings_body(vectors, model=request.model, input_tokens=tokens, base64=request.base64)
    return Answer(body=body, facts=facts)


def _texts(given: Any) -> Sequence[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        reject("Bedrock's models embed texts, not tokens", "input")
    return texts


def _dimensions(wanted: Any, embedder: Embedder) -> int | None:
    if wanted is None:
        return None
    known = _DIMENSIONS.get(embedder, frozenset())
    if wanted not in known:
        choices = ", ".join(str(number) for number in sorted(known))
        reject(f"this model has dimensions {choices}", "dimensions", "unsupported_value")
    return None if embedder in _FIXED else int(wanted)


def _body(
    texts: Sequence[str], dimensions: int | None, purpose: str, embedder: Embedder
) -> Mapping[str, Any]:
    if len(texts) > _BATCHES.get(embedder, 1):
        reject("this model embeds fewer texts at once", "input", "unsupported_value")
    match embedder:
        case Embedder.TITAN_1:
            return {"inputText": texts[0]}
        case Embedder.TITAN_2:
            body: dict[str, Any] = {"inputText": texts[0], "normalize": True}
            return body if dimensions is None else {**body, "dimensions": dimensions}
        case Embedder.COHERE_3 | Embedder.COHERE_4:
            body = {
                "texts": texts,
                "input_type": purpose,
                "truncate": "NONE",
                "embedding_types": ["float"],
            }
            return body if dimensions is None else {**body, "output_dimension": dimensions}
        case Embedder.NOVA_2:
            return {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": _PURPOSES[purpose],
                    "embeddingDimension": dimensions or _NOVA_DIMENSION,
                    "text": {"truncationMode": "NONE", "value": texts[0]},
                },
            }
        case Embedder.NONE:
            return reject("this model makes no embeddings", "model", "unsupported_value")
        case _:
            assert_never(embedder)


def _vectors(native: Mapping[str, Any], embedder: Embedder) -> list[list[float]]:
    match native, embedder:
        case {"embedding": list(vector)}, Embedder.TITAN_1 | Embedder.TITAN_2:
            found: Any = [vector]
        case {"embeddings": list(items)}, Embedder.NOVA_2:
            found = [item.get("embedding") for item in items if isinstance(item, dict)]
        case {"embeddings": {"float": list(items)} | list(items)}, _:
            found = items
        case _:
            raise malformed("the answer has no embeddings")
    try:
        return checked_vectors(found)
    except ValueError as error:
        raise malformed(str(error)) from error


def _tokens(native: Mapping[str, Any], headers: Mapping[str, str]) -> int | None:
    counted = headers.get(TOKEN_HEADER, "")
    if counted.isascii() and counted.isdigit():
        return int(counted)
    told = native.get("inputTextTokenCount")
    return told if isinstance(told, int) and not isinstance(told, bool) else None
