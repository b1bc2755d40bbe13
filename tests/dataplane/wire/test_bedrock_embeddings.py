"""Each family of embedding models gets its own body, and all answers come to one form."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.codec import decode
from dataplane.errors import ErrorClass, RequestRejected, UpstreamFailed
from dataplane.wire.bedrock_embeddings import TOKEN_HEADER, read_answer, serialize, split
from dataplane.wire.bedrock_models import Embedder, model_of
from dataplane.wire.embeddings import decode_base64_vector
from tests.dataplane.wire.bedrock_kit import response
from tests.dataplane.wire.openai_kit import embeddings
from tests.doubles.bedrock_embeddings import answer as answered
from tests.doubles.bedrock_embeddings import vector

TITAN_1 = "amazon.titan-embed-text-v1"
TITAN_2 = "amazon.titan-embed-text-v2:0"
COHERE_3 = "cohere.embed-multilingual-v3"
COHERE_4 = "eu.cohere.embed-v4:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
COHERE = {"truncate": "NONE", "embedding_types": ["float"]}


def nova(dimension: int, purpose: str) -> dict[str, Any]:
    return {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {
            "embeddingPurpose": purpose,
            "embeddingDimension": dimension,
            "text": {"truncationMode": "NONE", "value": "a"},
        },
    }


@pytest.mark.parametrize(
    ("model", "fields", "body"),
    [
        (TITAN_1, {}, {"inputText": "a"}),
        (TITAN_1, {"dimensions": 1536}, {"inputText": "a"}),
        (TITAN_2, {}, {"inputText": "a", "normalize": True}),
        (TITAN_2, {"dimensions": 256}, {"inputText": "a", "normalize": True, "dimensions": 256}),
        (TITAN_2, {"encoding_format": "base64", "input": ["a"]},
         {"inputText": "a", "normalize": True}),
        (COHERE_3, {}, {"texts": ["a"], "input_type": "search_document", **COHERE}),
        (COHERE_3, {"input": ["a", "b"], "input_type": "search_query", "dimensions": 1024},
         {"texts": ["a", "b"], "input_type": "search_query", **COHERE}),
        (COHERE_4, {"dimensions": 512},
         {"texts": ["a"], "input_type": "search_document", "output_dimension": 512, **COHERE}),
        (NOVA, {}, nova(3072, "GENERIC_INDEX")),
        (NOVA, {"dimensions": 384, "input_type": "search_query"}, nova(384, "GENERIC_RETRIEVAL")),
    ],
)  # fmt: skip
def test_bodies(model: str, fields: Any, body: Any) -> None:
    serialized = serialize(embeddings(**fields), model_of(model))

    assert body == decode(serialized.body)
    assert () == tuple(serialized.warnings)
    answered(model, body)


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (TITAN_2, {"dimensions": 300}, "dimensions"),
        (TITAN_1, {"dimensions": 256}, "dimensions"),
        (COHERE_3, {"dimensions": 512}, "dimensions"),
        (NOVA, {"dimensions": 512}, "dimensions"),
        (TITAN_2, {"input": [1, 2]}, "input"),
        (COHERE_4, {"input_type": "poem"}, "input_type"),
        (TITAN_2, {"input": ["a", "b"]}, "input"),
        ("amazon.nova-pro-v1:0", {}, "model"),
    ],
)
def test_what_a_model_cannot_be_told_is_refused(model: str, fields: Any, param: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        serialize(embeddings(**fields), model_of(model))

    assert (param, 400) == (caught.value.param, caught.value.status)


def test_what_is_dropped_is_told() -> None:
    assert ("dropped:user",) == tuple(serialize(embeddings(user="u"), model_of(TITAN_2)).warnings)


@pytest.mark.parametrize(
    ("model", "count", "parts"),
    [(TITAN_2, 3, [1, 1, 1]), (NOVA, 2, [1, 1]), (COHERE_3, 100, [96, 4]), (COHERE_4, 96, [96])],
)
def test_a_request_is_split_where_that_is_needed(model: str, count: int, parts: list[int]) -> None:
    texts = [str(number) for number in range(count)]
    request = embeddings(input=texts, dimensions=1024, encoding_format="base64")
    found = split(request, model_of(model))

    assert parts == [len(each.body["input"]) for each in found]
    assert texts == [text for each in found for text in each.body["input"]]
    assert all(each.base64 and each.body["dimensions"] == 1024 for each in found)


def test_a_single_text_is_not_split() -> None:
    request = embeddings(input="abc")

    assert (request,) == tuple(split(request, model_of(TITAN_2)))


@pytest.mark.parametrize("model", [TITAN_1, TITAN_2, COHERE_3, COHERE_4, NOVA])
@pytest.mark.parametrize("base64", [False, True])
def test_answers_come_to_one_form(model: str, *, base64: bool) -> None:
    request = embeddings(input="two words", encoding_format="base64" if base64 else "float")
    known = model_of(model)
    native, tokens = answered(model, decode(serialize(request, known).body))
    headers = {TOKEN_HEADER: str(tokens)}

    answer = read_answer(response(native, headers=headers), request, known)
    body = decode(answer.body)
    (item,) = body["data"]
    found = decode_base64_vector(item["embedding"]) if base64 else item["embedding"]

    assert vector("two words", len(found)) == found
    assert len(found) == answer.facts.embedding_dimensions
    assert {"prompt_tokens": 2, "total_tokens": 2} == body["usage"]
    assert answer.facts.usage is not None
    assert 2 == answer.facts.usage.input_tokens


@pytest.mark.parametrize(
    ("native", "headers", "tokens"),
    [
        ({"embedding": [1.0], "inputTextTokenCount": 3}, {}, 3),
        ({"embedding": [1.0], "inputTextTokenCount": 3}, {TOKEN_HEADER: "4"}, 4),
        ({"embedding": [1.0]}, {TOKEN_HEADER: "x"}, None),
    ],
)
def test_tokens_are_counted_by_the_header_or_the_body(
    native: Any, headers: Any, tokens: int | None
) -> None:
    answer = read_answer(response(native, headers=headers), embeddings(), model_of(TITAN_2))
    usage = None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens}

    assert usage == decode(answer.body)["usage"]


@pytest.mark.parametrize(
    ("model", "native"),
    [
        (TITAN_2, {}),
        (TITAN_2, {"embedding": ["x"]}),
        (COHERE_3, {"embeddings": {"int8": [[1]]}}),
        (COHERE_3, {"embeddings": [[1.0], [2.0]]}),
        (COHERE_3, {"embeddings": []}),
        (NOVA, {"embeddings": [{"embedding": None}]}),
        (NOVA, {"embeddings": [1]}),
    ],
)
def test_what_holds_no_embeddings_is_bad(model: str, native: Any) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        read_answer(response(native), embeddings(), model_of(model))

    assert ErrorClass.BAD_RESPONSE is caught.value.error


def test_every_form_of_body_is_tested() -> None:
    models = (TITAN_1, TITAN_2, COHERE_3, COHERE_4, NOVA)

    assert set(Embedder) - {Embedder.NONE} == {model_of(model).embedder for model in models}
