"""Answers InvokeModel for embedding models: strict about bodies, vectors by hash.

Source: Amazon Bedrock user guide, parameters of Titan, Cohere and Nova embeddings, read 2026-11-22.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.doubles.bedrock_rules import Refused


def vector(text: str, dimensions: int) -> list[float]:
    """A vector that is always the same for a text; its numbers survive float32."""
    digest = hashlib.sha256(text.encode()).digest()
    return [(digest[at % len(digest)] - 128) / 128 for at in range(dimensions)]


def tokens(text: str) -> int:
    return len(text.split())


def answer(model: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The answer and the count of tokens. Raises Refused for a body of another model."""
    if "titan-embed-text-v1" in model or "titan-embed-g1" in model:
        _only(body, {"inputText"})
        return _titan(body["inputText"], 1536)
    if "titan-embed-text-v2" in model:
        _only(body, {"inputText", "dimensions", "normalize", "embeddingTypes"})
        dimensions = body.get("dimensions", 1024)
        _among(dimensions, {256, 512, 1024})
        return _titan(body["inputText"], dimensions)
    if "cohere.embed" in model:
        return _cohere(body, newer="v4" in model)
    if "nova-2-multimodal-embeddings" in model:
        return _nova(body)
    raise Refused("The provided model identifier is invalid.")


def _titan(text: str, dimensions: int) -> tuple[dict[str, Any], int]:
    if not text:
        raise Refused("expected minLength: 1, actual: 0")
    count = tokens(text)
    return {"embedding": vector(text, dimensions), "inputTextTokenCount": count}, count


def _cohere(body: Mapping[str, Any], *, newer: bool) -> tuple[dict[str, Any], int]:
    known = {"texts", "input_type", "truncate", "embedding_types"}
    _only(body, known | ({"output_dimension"} if newer else set()))
    texts = body["texts"]
    _among(body["input_type"], {"search_document", "search_query", "classification", "clustering"})
    _among(body["truncate"], {"NONE", "START", "END"})
    if not 1 <= len(texts) <= 96:
        raise Refused("at most 96 texts")
    dimensions = body.get("output_dimension", 1536 if newer else 1024)
    vectors = [vector(text, dimensions) for text in texts]
    count = sum(map(tokens, texts))
    if newer:
        found: dict[str, Any] = {
            "embeddings": {"float": vectors},
            "response_type": "embeddings_by_type",
        }
    else:
        found = {"embeddings": vectors, "response_type": "embeddings_floats"}
    return {**found, "id": "embed-1", "texts": texts}, count


def _nova(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    _only(body, {"taskType", "singleEmbeddingParams"})
    params = body["singleEmbeddingParams"]
    _only(params, {"embeddingPurpose", "embeddingDimension", "text"})
    _among(params["embeddingDimension"], {256, 384, 1024, 3072})
    _among(
        params["embeddingPurpose"],
        {"GENERIC_INDEX", "GENERIC_RETRIEVAL", "CLASSIFICATION", "CLUSTERING"},
    )
    _only(params["text"], {"value", "truncationMode"})
    text = params["text"]["value"]
    found = {"embeddingType": "TEXT", "embedding": vector(text, params["embeddingDimension"])}
    return {"embeddings": [found]}, tokens(text)


def _only(body: Mapping[str, Any], known: set[str]) -> None:
    if unknown := body.keys() - known:
        raise Refused(f"extraneous key {sorted(unknown)} is not permitted")


def _among(value: Any, known: set[Any]) -> None:
    if value not in known:
        raise Refused(f"{value!r} is not one of {sorted(known)}")
