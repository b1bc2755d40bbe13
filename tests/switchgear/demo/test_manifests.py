"""The demo's manifests: right by the project's own checks, and without any key in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from controlplane.compile import compile_table
from controlplane.document import Document
from controlplane.table.schema import CredentialKind, ProviderType, Table
from switchgear.demo import manifests

KEYS = {
    "OPENAI_API_KEY": "sk-very-secret",
    "MISTRAL_API_KEY": "sk-very-secret",
    "SCW_SECRET_KEY": "sk-very-secret",
    "OVH_AI_ENDPOINTS_ACCESS_TOKEN": "sk-very-secret",
    "AZURE_OPENAI_API_KEY": "sk-very-secret",
    "AZURE_OPENAI_ENDPOINT": "https://example.openai.azure.com",
    "AZURE_OPENAI_DEPLOYMENT": "my-deployment",
}
LOCAL = (
    manifests.local_providers("http://127.0.0.1:8001/v1", "http://127.0.0.1:8002/v1"),
    manifests.local_routes(),
)


def compiled(texts: Sequence[str]) -> Table:
    documents: list[Document] = []
    for number, text in enumerate(texts):
        contents: list[Any] = list(yaml.safe_load_all(text))
        documents += [
            Document(origin=f"{number}.yaml", index=index, content=content)
            for index, content in enumerate(contents, 1)
        ]
    result = compile_table(documents)
    assert [] == [str(problem) for problem in result.problems]
    return result.table


def test_local_manifests_compile_to_two_providers_and_two_routes() -> None:
    table = compiled(LOCAL)

    assert ["local-a", "local-b"] == sorted(table.providers)
    assert ["chat", "embed"] == list(table.model_names())
    route = table.route_for("chat")
    assert route is not None
    assert [("local-a", "tiny", 1), ("local-b", "tiny", 2)] == [
        (target.provider, target.model, target.priority) for target in route.targets
    ]


def test_the_live_edit_s_route_compiles_beside_them() -> None:
    added = manifests.route("quick", "quick", "LeastBusy", ["local-a", "local-b"])

    assert "quick" in compiled([*LOCAL, added]).routes


def test_without_keys_there_are_no_clouds() -> None:
    assert [] == manifests.clouds_in({"OPENAI_API_KEY": ""})


def test_azure_needs_its_endpoint_too() -> None:
    assert [] == manifests.clouds_in({"AZURE_OPENAI_API_KEY": "x"})


def test_each_cloud_with_a_key_gets_a_provider_and_a_route_by_reference() -> None:
    texts = [manifests.cloud_manifests(cloud, KEYS) for cloud in manifests.clouds_in(KEYS)]
    table = compiled(texts)

    assert {
        ProviderType.OPENAI,
        ProviderType.MISTRAL,
        ProviderType.SCALEWAY,
        ProviderType.OVHCLOUD,
        ProviderType.AZURE_OPENAI,
    } == {provider.type for provider in table.providers.values()}
    assert {CredentialKind.ENV} == {
        provider.credential.kind for provider in table.providers.values() if provider.credential
    }
    assert "azure/my-deployment" in table.model_names()
    assert "openai/gpt-4o-mini" in table.model_names()
    assert "sk-very-secret" not in "".join(texts)


@pytest.mark.parametrize("name", ["a: b", '"', "{x}", "# no", "*", "\\"])
def test_a_strange_deployment_name_stays_one_name(name: str) -> None:
    cloud = manifests.CLOUDS[-1]
    text = manifests.cloud_manifests(cloud, {**KEYS, "AZURE_OPENAI_DEPLOYMENT": name})
    route = list(yaml.safe_load_all(text))[1]

    assert name == route["spec"]["targets"][0]["model"]
    assert [f"azure/{name}"] == route["spec"]["models"]
