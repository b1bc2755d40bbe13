from __future__ import annotations

from typing import Any

import pytest

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.provider import Feature, HttpResponse, ModelInfo
from tests.dataplane.wire.openai_kit import adapter, chat, embeddings, sent

AZ = ProviderType.AZURE_OPENAI
CLASSIC = {"azure.surface": "classic", "azure.apiVersion": "2024-10-21"}
HOST = "https://res.openai.azure.com"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "/openai/v1/chat/completions"),
        ({"azure.surface": "v1"}, "/openai/v1/chat/completions"),
        (
            {"azure.surface": "v1", "azure.apiVersion": "preview"},
            "/openai/v1/chat/completions?api-version=preview",
        ),
        (
            {"azure.surface": "v1", "azure.apiVersion": "2024-10-21"},
            "/openai/v1/chat/completions",
        ),
        (CLASSIC, "/openai/deployments/my.gpt/chat/completions?api-version=2024-10-21"),
        (
            {"azure.surface": "classic"},
            "/openai/deployments/my.gpt/chat/completions?api-version=2024-10-21",
        ),
    ],
)
@pytest.mark.parametrize(
    "base_url",
    [
        HOST,
        f"{HOST}/",
        f"{HOST}/openai",
        f"{HOST}/openai/v1",
        f"{HOST}/openai/deployments/other/chat/completions",
    ],
)
def test_both_surfaces_are_built_from_any_endpoint(
    options: dict[str, str], expected: str, base_url: str
) -> None:
    made = adapter(AZ, options=options, base_url=base_url)

    assert HOST + expected == made.prepare(chat(), "my.gpt", None).http.url


def test_a_prefix_of_a_gateway_stays() -> None:
    made = adapter(AZ, base_url="https://openai.gateway/azure/openai")

    assert "https://openai.gateway/azure/openai/v1/embeddings" == (
        made.prepare(embeddings(), "m", None).http.url
    )


def test_a_deployment_is_one_segment_of_the_path() -> None:
    made = adapter(AZ, options=CLASSIC)

    assert "/deployments/gpt%3A4/" in made.prepare(chat(), "gpt:4", None).http.url
    with pytest.raises(RequestRejected) as caught:
        made.prepare(chat(), "a/../b", None)
    assert "model" == caught.value.param


def test_a_key_and_a_token_go_into_different_headers() -> None:
    made = adapter(AZ)
    token = "eyJhbGciOi.eyJhdWQi.c2ln"

    key = made.prepare(chat(), "m", "0123456789abcdef").http.headers
    entra = made.prepare(chat(), "m", token).http.headers

    assert "0123456789abcdef" == key["api-key"]
    assert "authorization" not in key
    assert f"Bearer {token}" == entra["authorization"]
    assert "api-key" not in entra


def limit(model: str, base_model: str = "", **options: str) -> str:
    models = {model: Model(name=model, base_model=base_model)}
    settings = {"azure." + name: value for name, value in options.items()}
    body, _warnings = sent(AZ, chat(max_tokens=5), model, models=models, options=settings)
    (name,) = body.keys() - {"model", "messages"}
    return name


@pytest.mark.parametrize(
    ("model", "base_model", "options", "expected"),
    [
        ("eu", "", {}, "max_completion_tokens"),
        ("eu", "gpt-4", {"surface": "v1"}, "max_completion_tokens"),
        ("eu", "gpt-4", {"surface": "classic"}, "max_tokens"),
        ("eu", "gpt-4o", {"surface": "classic"}, "max_completion_tokens"),
        ("eu", "gpt-4o", {"surface": "classic", "apiVersion": "2024-06-01"}, "max_tokens"),
        ("eu", "o3-mini", {"surface": "classic", "apiVersion": "2024-06-01"}, "max_completion_tokens"),
        ("gpt-5-mini", "", {"surface": "classic"}, "max_completion_tokens"),
        ("eu", "", {"surface": "classic"}, "max_tokens"),
    ],
)  # fmt: skip
def test_the_limit_of_tokens_is_named_by_model_and_version(
    model: str, base_model: str, options: dict[str, str], expected: str
) -> None:
    assert expected == limit(model, base_model, **options)


def test_an_unknown_deployment_gets_the_callers_name_of_the_limit() -> None:
    body, _warnings = sent(AZ, chat(max_completion_tokens=5), "eu", options=CLASSIC)

    assert 5 == body["max_completion_tokens"]


def test_a_base_model_decides_on_sampling() -> None:
    models = {"eu": Model(name="eu", base_model="gpt-5-mini")}

    _body, warnings = sent(AZ, chat(temperature=0.5), "eu", models=models)
    made = adapter(AZ, models=models)

    assert ["dropped:temperature"] == warnings
    assert Feature.MULTIPLE_CHOICES not in made.capabilities("eu")


@pytest.mark.parametrize(
    ("version", "lacks"),
    [
        ("2024-02-01", {"store", "metadata", "parallel_tool_calls", "stream_options"}),
        ("2024-08-01-preview", {"store", "metadata", "stream_options"}),
        ("2024-09-01-preview", {"store", "metadata"}),
        ("2024-10-21", set()),
    ],
)
def test_old_versions_lack_fields(version: str, lacks: set[str]) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    request: Any = chat(
        stream=True, store=True, metadata={"a": "b"}, tools=[tool], parallel_tool_calls=False
    )
    options = {"azure.surface": "classic", "azure.apiVersion": version}

    body, warnings = sent(AZ, request, options=options)

    every = {"store", "metadata", "parallel_tool_calls", "stream_options"}
    assert every - lacks == body.keys() & every
    assert {f"dropped:{name}" for name in lacks - {"stream_options"}} == set(warnings)


@pytest.mark.parametrize(
    ("version", "role"), [("2024-10-21", "system"), ("2024-12-01-preview", "developer")]
)
def test_old_versions_know_no_developer(version: str, role: str) -> None:
    request = chat(
        messages=[{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}]
    )
    options = {"azure.surface": "classic", "azure.apiVersion": version}

    assert role == sent(AZ, request, options=options)[0]["messages"][0]["role"]


def test_the_deployments_are_its_models() -> None:
    listed = HttpResponse(status=200, headers={}, body=encode({"data": [{"id": "gpt-4o"}]}))
    models = {"eu": Model(name="eu", context_window=128_000)}

    assert [ModelInfo(id="eu", context_window=128_000)] == adapter(AZ, models=models).models(listed)
    assert [ModelInfo(id="gpt-4o")] == adapter(AZ).models(listed)


def test_the_probe_lists_models() -> None:
    v1, classic = adapter(AZ), adapter(AZ, options=CLASSIC)

    assert f"{HOST}/openai/v1/models" == v1.probe_request("k").url
    assert f"{HOST}/openai/models?api-version=2024-10-21" == classic.probe_request("k").url
