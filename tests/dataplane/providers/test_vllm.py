from __future__ import annotations

import pytest

from controlplane.table.schema import ProviderType
from dataplane.provider import Feature
from tests.dataplane.wire.openai_kit import adapter, completion, embeddings, sent


@pytest.mark.parametrize("base", ["http://gpu:8000", "http://gpu:8000/v1", "http://gpu:8000/x/v1"])
def test_health_stands_at_the_servers_root(base: str) -> None:
    made = adapter(ProviderType.VLLM, base_url=base)

    assert f"{base.removesuffix('/v1')}/health" == made.probe_request(None).url
    assert f"{base}/models" == made.models_request(None).url


def test_an_embedding_model_embeds() -> None:
    assert {Feature.EMBEDDINGS, Feature.TOKEN_INPUT, Feature.DIMENSIONS} == adapter(
        ProviderType.VLLM
    ).capabilities("BAAI/bge-m3")


def test_extensions_pass_in_text_completions_and_embeddings_too() -> None:
    text, _warnings = sent(ProviderType.VLLM, completion(top_k=5, min_tokens=1))
    vectors, _more = sent(ProviderType.VLLM, embeddings(truncate_prompt_tokens=8))

    assert (5, 1) == (text["top_k"], text["min_tokens"])
    assert 8 == vectors["truncate_prompt_tokens"]
