from __future__ import annotations

import pytest

from controlplane.table.schema import Model, ProviderType
from dataplane.provider import Feature
from tests.dataplane.wire.openai_kit import adapter, chat, completion, embeddings, sent

OAI = ProviderType.OPENAI


def test_each_operation_goes_to_its_path() -> None:
    made = adapter(OAI)

    urls = [made.prepare(each, "m", None).http.url for each in (chat(), completion(), embeddings())]

    base = "https://api.openai.com/v1"
    assert [f"{base}/chat/completions", f"{base}/completions", f"{base}/embeddings"] == urls


def test_the_headers_are_those_of_the_allow_list() -> None:
    made = adapter(OAI, headers={"OpenAI-Organization": "org_1"})

    assert {
        "accept": "application/json",
        "authorization": "Bearer key",
        "content-type": "application/json",
        "openai-organization": "org_1",
        "user-agent": "switchgear/0.1",
    } == made.prepare(chat(), "m", "key").http.headers
    stream = made.prepare(chat(stream=True), "m", "key").http.headers
    assert "text/event-stream" == stream["accept"]


def test_a_manifest_cannot_take_the_credentials_place() -> None:
    made = adapter(OAI, headers={"Authorization": "Bearer other", "Content-Type": "text/plain"})

    headers = made.prepare(chat(), "m", "key").http.headers

    assert "Bearer key" == headers["authorization"]
    assert "application/json" == headers["content-type"]


@pytest.mark.parametrize(
    ("base_url", "models", "expected"),
    [
        ("https://api.openai.com/v1", {}, "/models"),
        ("https://api.openai.com/v1", {"gpt-4o": Model(name="gpt-4o")}, "/models/gpt-4o"),
        ("https://eu.api.openai.com/v1", {"ft:x": Model(name="ft:x")}, "/models/ft%3Ax"),
        ("https://api.openai.com/v1", {"a/b": Model(name="a/b")}, "/models"),
        ("http://localhost:8081/v1", {"tiny": Model(name="tiny")}, "/models"),
        ("https://notopenai.com/v1", {"tiny": Model(name="tiny")}, "/models"),
    ],
)
def test_the_first_model_is_probed_at_openai_itself(
    base_url: str, models: dict[str, Model], expected: str
) -> None:
    made = adapter(OAI, base_url=base_url, models=models)

    assert base_url + expected == made.probe_request("key").url
    assert f"{base_url}/models" == made.models_request("key").url


@pytest.mark.parametrize(
    ("base_url", "model", "expected"),
    [
        ("https://api.openai.com/v1", "gpt-4o", "max_completion_tokens"),
        ("http://localhost:8081/v1", "tiny", "max_tokens"),
        ("http://localhost:8081/v1", "gpt-5", "max_completion_tokens"),
    ],
)
def test_a_limit_has_the_name_that_the_server_knows(
    base_url: str, model: str, expected: str
) -> None:
    body, _warnings = sent(OAI, chat(max_tokens=5), model, base_url=base_url)

    assert {"model", "messages", expected} == body.keys()


def test_capabilities_follow_the_model() -> None:
    made = adapter(OAI)

    assert set(Feature) == made.capabilities("gpt-4o")
    assert {Feature.EMBEDDINGS, Feature.TOKEN_INPUT, Feature.DIMENSIONS} == made.capabilities(
        "text-embedding-3-small"
    )
    assert {Feature.MULTIPLE_CHOICES, Feature.AUDIO_OUTPUT} == set(Feature) - made.capabilities(
        "gpt-5"
    )
