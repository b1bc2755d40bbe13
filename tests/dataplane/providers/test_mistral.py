from __future__ import annotations

import pytest

from controlplane.table.schema import Model, ProviderType
from dataplane.provider import Feature
from tests.dataplane.wire.openai_kit import adapter, chat, embeddings, sent

MIS = ProviderType.MISTRAL


@pytest.mark.parametrize("base", ["https://api.mistral.ai", "https://api.mistral.ai/v1"])
def test_the_version_is_added_to_the_base_url_once(base: str) -> None:
    made = adapter(MIS, base_url=base)

    assert "https://api.mistral.ai/v1/chat/completions" == made.prepare(chat(), "m", None).http.url
    assert "https://api.mistral.ai/v1/models" == made.models_request(None).url


def test_the_first_model_is_probed() -> None:
    models = {"mistral-small-latest": Model(name="mistral-small-latest")}

    assert "https://api.mistral.ai/v1/models/mistral-small-latest" == (
        adapter(MIS, models=models).probe_request(None).url
    )
    assert "https://api.mistral.ai/v1/models" == adapter(MIS).probe_request(None).url


def test_capabilities_follow_the_model() -> None:
    made = adapter(MIS)

    assert {Feature.EMBEDDINGS} == made.capabilities("mistral-embed")
    assert {Feature.EMBEDDINGS, Feature.DIMENSIONS} == made.capabilities("codestral-embed")
    assert Feature.LOGPROBS not in made.capabilities("mistral-small-latest")


def test_extensions_of_embeddings_pass() -> None:
    body, warnings = sent(MIS, embeddings(output_dtype="float"), "codestral-embed")

    assert "float" == body["output_dtype"]
    assert [] == warnings
