from __future__ import annotations

from controlplane.table.schema import ProviderType
from dataplane.provider import Feature
from tests.dataplane.wire.openai_kit import adapter, chat

OVH = ProviderType.OVHCLOUD


def test_an_anonymous_caller_sends_no_key_even_if_there_is_one() -> None:
    made = adapter(OVH, options={"anonymous": "true"})

    for http in (made.prepare(chat(), "m", "key").http, made.probe_request("key")):
        assert "authorization" not in http.headers


def test_a_key_is_sent_otherwise() -> None:
    assert "Bearer key" == adapter(OVH).prepare(chat(), "m", "key").http.headers["authorization"]


def test_the_probe_lists_models() -> None:
    assert adapter(OVH).probe_request(None).url.endswith("/v1/models")


def test_capabilities_start_at_the_least() -> None:
    unproved = {Feature.LOGPROBS, Feature.MULTIPLE_CHOICES, Feature.IMAGE_URL, Feature.DIMENSIONS}

    assert unproved.isdisjoint(adapter(OVH).capabilities("m"))
    assert {Feature.EMBEDDINGS} == adapter(OVH).capabilities("bge-multilingual-gemma2")
