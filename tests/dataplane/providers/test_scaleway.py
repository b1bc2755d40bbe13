from __future__ import annotations

from controlplane.table.schema import ProviderType
from dataplane.provider import Feature
from tests.dataplane.wire.openai_kit import adapter, chat

SCW = ProviderType.SCALEWAY


def test_a_project_is_part_of_the_base_url() -> None:
    made = adapter(SCW, base_url="https://api.scaleway.ai/5d7a/v1")

    assert "https://api.scaleway.ai/5d7a/v1/chat/completions" == (
        made.prepare(chat(), "m", None).http.url
    )
    assert "https://api.scaleway.ai/5d7a/v1/models" == made.probe_request(None).url


def test_capabilities_follow_the_model() -> None:
    made = adapter(SCW)

    assert Feature.AUDIO_INPUT in made.capabilities("voxtral-small-24b-2507")
    assert Feature.AUDIO_INPUT not in made.capabilities("gpt-oss-120b")
    assert {Feature.EMBEDDINGS, Feature.DIMENSIONS} == made.capabilities("qwen3-embedding-8b")
    assert {Feature.EMBEDDINGS} == made.capabilities("bge-multilingual-gemma2")
