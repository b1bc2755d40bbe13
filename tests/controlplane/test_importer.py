from __future__ import annotations

from typing import Any

import pytest

from controlplane.importer import ImportRefused, import_json
from controlplane.table.schema import CredentialKind, ProviderType, StrategyName, Table
from dataplane.codec import encode
from tests.controlplane.texts import compiled, said

OLLAMA = {
    "Type": "Ollama",
    "Name": "local",
    "Enabled": True,
    "Priority": 1,
    "Configuration": {"BaseUrl": "http://localhost:11434", "DefaultModel": "llama3.1"},
}


def settings(*providers: Any, **routing: Any) -> bytes:
    return encode({"LLMProviders": {"Providers": providers, "Routing": routing}})


def openai(**configuration: Any) -> dict[str, Any]:
    return {
        "Type": "OpenAI",
        "Name": "openai",
        "Configuration": {"ApiKey": "${OPENAI_API_KEY}", "DefaultModel": "gpt-4o"} | configuration,
    }


def table(data: bytes) -> Table:
    """Import, and compile what came out, which must be without any problem."""
    result = compiled({"imported.yaml": import_json(data).text})
    assert [] == said(result)
    return result.table


def refusal(data: bytes) -> list[str]:
    with pytest.raises(ImportRefused) as refused:
        import_json(data)
    return str(refused.value).split("\n")


def test_a_whole_file_becomes_manifests() -> None:
    data = settings(
        OLLAMA,
        openai(MaxTokens=4096) | {"Priority": 3, "Enabled": False},
        {
            "Type": "AzureOpenAI",
            "Name": "azure-eu",
            "Priority": 2,
            "Configuration": {
                "Endpoint": "https://x.openai.azure.com/",
                "ApiKey": "${AZURE_KEY}",
                "DeploymentName": "gpt4o-eu",
                "DefaultModel": "gpt-4o",
                "ApiVersion": "2024-10-21",
            },
        },
        Strategy="PriorityWithFallback",
        HealthCheckInterval="00:00:30",
        FailoverThreshold=5,
    )

    assert () == tuple(import_json(data).warnings)
    result = table(data)
    assert {"azure-eu", "local", "openai"} == set(result.providers)
    route = result.routes["default"]
    assert StrategyName.PRIORITY_WITH_FALLBACK is route.strategy
    assert [("local", "llama3.1", 1), ("azure-eu", "gpt4o-eu", 2), ("openai", "gpt-4o", 3)] == [
        (target.provider, target.model, target.priority) for target in route.targets
    ]
    assert result.route_for("anything") is route
    azure, hosted = result.providers["azure-eu"], result.providers["openai"]
    assert "https://x.openai.azure.com" == azure.base_url
    assert ("classic", "2024-10-21") == (
        azure.options["azure.surface"],
        azure.options["azure.apiVersion"],
    )
    assert "gpt-4o" == azure.models["gpt4o-eu"].base_model
    assert hosted.suspend
    assert 4096 == hosted.models["gpt-4o"].max_output_tokens
    assert hosted.credential is not None
    assert (CredentialKind.ENV, "OPENAI_API_KEY") == (
        hosted.credential.kind,
        hosted.credential.name,
    )
    assert {(5, 30.0)} == {
        (item.breaker.consecutive_failures, item.health_check.interval_s)
        for item in result.providers.values()
    }


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("ollama", ProviderType.OLLAMA),
        ("OLLAMA", ProviderType.OLLAMA),
        ("Vllm", ProviderType.VLLM),
        ("vLLM", ProviderType.VLLM),
        ("OVHCloud", ProviderType.OVHCLOUD),
        ("ovhcloud", ProviderType.OVHCLOUD),
    ],
)
def test_types_are_taken_in_any_case(word: str, kind: ProviderType) -> None:
    data = settings(OLLAMA | {"Type": word, "Configuration": {"DefaultModel": "m"}})

    assert kind is table(data).providers["local"].type


def test_names_of_settings_are_taken_in_any_case_with_comments() -> None:
    text = b"""
    // a comment with "quotes"
    {"llmproviders": {"providers": [
      /* two
         lines */
      {"type": "ollama", "NAME": "local", "configuration": {"defaultmodel": "a//b", },},
    ]}}
    """

    assert ["a//b"] == [target.model for target in table(text).routes["default"].targets]


def test_a_name_becomes_one_that_kubernetes_takes() -> None:
    data = settings(OLLAMA | {"Name": "Ollama Local (GPU)"})

    assert [
        'LLMProviders.Providers[0].Name: "Ollama Local (GPU)" is now named "ollama-local-gpu"'
    ] == import_json(data).warnings
    assert ["ollama-local-gpu"] == list(table(data).providers)


def test_bedrock_is_carried_over_with_its_region() -> None:
    configuration = {"DefaultModel": "m", "Region": "eu-west-3"}
    data = settings({"Type": "AWSBedrock", "Name": "x", "Configuration": configuration})

    assert [] == import_json(data).warnings
    assert "eu-west-3" == table(data).providers["x"].options["region"]


def test_bedrock_without_a_region_is_refused() -> None:
    data = settings({"Type": "AWSBedrock", "Name": "x", "Configuration": {"DefaultModel": "m"}})

    with pytest.raises(ImportRefused, match=r"Region: is required"):
        import_json(data)


def test_what_has_no_place_is_named() -> None:
    data = encode(
        {
            "LLMProviders": {
                "Cache": {},
                "Routing": {"Sticky": True},
                "Providers": [
                    OLLAMA | {"Region": "eu"},
                    openai(
                        Temperature=0.2, DeploymentName="d", ApiVersion="2024-10-21", Region="eu"
                    ),
                    {"Type": "VLLM", "Name": "v", "Configuration": {}},
                ],
            }
        }
    )

    assert [
        'LLMProviders.Providers[0]: setting "region" is not carried over',
        'LLMProviders.Providers[1].Configuration: setting "temperature" is not carried over',
        "LLMProviders.Providers[1].Configuration.DeploymentName: is not carried over for OpenAI",
        "LLMProviders.Providers[1].Configuration.ApiVersion: is not carried over for OpenAI",
        "LLMProviders.Providers[1].Configuration.Region: is not carried over for OpenAI",
        "LLMProviders.Providers[2].Configuration: has no DefaultModel; v is no target of the route",
        'LLMProviders: setting "cache" is not carried over',
        'LLMProviders.Routing: setting "sticky" is not carried over',
    ] == import_json(data).warnings
    assert ["local", "openai", "v"] == sorted(table(data).providers)


@pytest.mark.parametrize(
    "key", ["sk-live-1", "${A}sk-live-1", "$sk-live-1", "${sk-live-1}", 123456789, ["sk-live-1"]]
)
def test_a_literal_key_is_refused_and_never_repeated(key: Any) -> None:
    (line,) = refusal(settings(OLLAMA, openai(ApiKey=key)))

    assert line == (
        "LLMProviders.Providers[1].Configuration.ApiKey: holds the key itself, which is never"
        " copied: put it in an environment variable, and write its name here,"
        " like ${OPENAI_API_KEY}"
    )


def test_a_key_in_a_url_is_refused_and_never_repeated() -> None:
    lines = refusal(settings(openai(BaseUrl="https://me:sk-live-1@host/v1")))

    assert [
        (
            "LLMProviders.Providers[0].Configuration: its URL must not hold a user name or password;"
            " use credentials"
        )
    ] == lines


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"{", "the file is not JSON, see line 1"),
        (b'{\n"a": sk-live-1}', "the file is not JSON, see line 2"),
        (b"\xff", "the file is not JSON"),
        (b"[]", "LLMProviders.Providers: is required: a list of providers"),
        (b'{"LLMProviders": 3}', "LLMProviders.Providers: is required: a list of providers"),
        (settings(), "LLMProviders.Providers: no provider can be a target of a route"),
        (
            settings(OLLAMA, OLLAMA),
            (
                'LLMProviders.Providers[1].Name: "local" comes to "local", and so does'
                " LLMProviders.Providers[0].Name"
            ),
        ),
        (settings(OLLAMA | {"Name": ""}), "LLMProviders.Providers[0].Name: is required"),
        (
            settings(OLLAMA | {"Name": "***"}),
            (
                'LLMProviders.Providers[0].Name: "***" cannot be made a name of letters, digits and'
                " dashes"
            ),
        ),
        (
            settings(OLLAMA | {"Priority": "high"}),
            "LLMProviders.Providers[0].Priority: must be a whole number from 0",
        ),
        (
            settings(openai(MaxTokens=0)),
            "LLMProviders.Providers[0].Configuration.MaxTokens: must be a whole number from 1",
        ),
        (
            settings(OLLAMA, Strategy="Random"),
            (
                "LLMProviders.Routing.Strategy: must be one of PriorityWithFallback, Weighted,"
                " RoundRobin, LeastBusy, LowestLatency, LowestCost"
            ),
        ),
        (
            settings(OLLAMA, HealthCheckInterval="30s"),
            "LLMProviders.Routing.HealthCheckInterval: must be like 00:00:30",
        ),
        (
            settings(OLLAMA, HealthCheckInterval="00:99:00"),
            "LLMProviders.Routing.HealthCheckInterval: must be like 00:00:30",
        ),
        (
            settings(OLLAMA, FailoverThreshold=True),
            "LLMProviders.Routing.FailoverThreshold: must be a whole number from 1",
        ),
    ],
)
def test_what_cannot_be_carried_at_all_is_refused(data: bytes, line: str) -> None:
    assert line in refusal(data)


def test_an_unknown_type_is_refused_with_the_nearest() -> None:
    (line, *_) = refusal(settings(OLLAMA | {"Type": "Olama"}))

    assert line.startswith("LLMProviders.Providers[0].Type: must be one of Ollama, VLLM,")
    assert line.endswith('; did you mean "Ollama"?')


@pytest.mark.parametrize(
    ("span", "seconds"),
    [("00:01:30", 90.0), ("01:00:00", 3600.0), ("0.00:00:30", 30.0), ("00:00:01.5", 1.5)],
)
def test_time_spans_are_read(span: str, seconds: float) -> None:
    result = table(settings(OLLAMA, HealthCheckInterval=span))

    assert seconds == result.providers["local"].health_check.interval_s


def test_ovhcloud_without_a_key_is_anonymous() -> None:
    data = settings(OLLAMA | {"Type": "OVHcloud", "Configuration": {"DefaultModel": "m"}})

    assert "true" == table(data).providers["local"].options["anonymous"]
