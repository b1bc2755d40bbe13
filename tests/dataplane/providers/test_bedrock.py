"""What is peculiar to Bedrock's adapter; the contract tests hold the rest."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode
from dataplane.errors import RequestRejected
from dataplane.provider import Feature
from dataplane.providers.bedrock import BedrockAdapter, region_of
from tests.dataplane.wire.bedrock_kit import (
    ALWAYS_THINKS,
    CLAUDE,
    GPT_OSS,
    LLAMA,
    NOVA,
    NOVA_2,
    OLD_CLAUDE,
    TITAN,
    VOXTRAL,
)
from tests.dataplane.wire.openai_kit import chat, completion, embeddings, provider

HOST = "https://bedrock-runtime.eu-west-3.amazonaws.com"
FORCED = {Feature.TOOL_CHOICE_REQUIRED, Feature.TOOL_CHOICE_NAMED}
PROFILE = "arn:aws:bedrock:eu-west-3:123456789012:application-inference-profile/abc123"


def adapter(base_url: str = HOST, options: Any = None, **changes: Any) -> BedrockAdapter:
    return BedrockAdapter(
        provider(ProviderType.AWS_BEDROCK, base_url=base_url, options=options or {}, **changes)
    )


@pytest.mark.parametrize(
    ("base_url", "region", "runtime", "control"),
    [
        (HOST, "", HOST, "https://bedrock.eu-west-3.amazonaws.com"),
        ("", "us-east-1", "https://bedrock-runtime.us-east-1.amazonaws.com",
         "https://bedrock.us-east-1.amazonaws.com"),
        ("", "cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn",
         "https://bedrock.cn-north-1.amazonaws.com.cn"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "",
         "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
         "https://bedrock-fips.us-gov-west-1.amazonaws.com"),
        ("https://vpce-1.bedrock-runtime.eu-west-3.vpce.amazonaws.com", "eu-west-3",
         "https://vpce-1.bedrock-runtime.eu-west-3.vpce.amazonaws.com",
         "https://vpce-1.bedrock-runtime.eu-west-3.vpce.amazonaws.com"),
        ("http://127.0.0.1:1234", "eu-west-3", "http://127.0.0.1:1234", "http://127.0.0.1:1234"),
    ],
)  # fmt: skip
def test_both_hosts_follow_from_the_region(
    base_url: str, region: str, runtime: str, control: str
) -> None:
    made = adapter(base_url, {"region": region} if region else {})

    assert f"{runtime}/model/m/converse" == made.prepare(chat(), "m", None).http.url
    assert f"{control}/foundation-models" == made.models_request(None).url
    assert f"{control}/inference-profiles?maxResults=1000" == made.profiles_request(None).url


def test_the_region_is_the_options_or_the_hosts() -> None:
    def of(base_url: str, **options: str) -> str:
        return region_of(provider(ProviderType.AWS_BEDROCK, base_url=base_url, options=options))

    assert ("eu-west-3", "us-east-1", "") == (
        of(HOST),
        of(HOST, region="us-east-1"),
        of("https://bedrock-runtime.evil.test"),
    )


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("anthropic.claude-x-v1:0", "anthropic.claude-x-v1%3A0"),
        (PROFILE, PROFILE.replace(":", "%3A").replace("/", "%2F")),
        ("../../admin?x=#y", "..%2F..%2Fadmin%3Fx%3D%23y"),
    ],
)
def test_a_model_is_one_label_of_the_path(model: str, label: str) -> None:
    made = adapter()

    assert f"{HOST}/model/{label}/converse" == made.prepare(chat(), model, None).http.url
    assert (
        f"{HOST}/model/{label}/converse-stream"
        == made.prepare(chat(stream=True), model, None).http.url
    )


@pytest.mark.parametrize("model", ["", ".", "..", "a\nb"])
def test_a_model_that_cannot_be_a_label_is_refused(model: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        adapter().prepare(chat(), model, None)

    assert "model" == caught.value.param


def test_heads_say_what_is_wanted() -> None:
    made = adapter()

    assert "application/json" == made.prepare(chat(), "m", None).http.headers["accept"]
    assert (
        "application/vnd.amazon.eventstream"
        == made.prepare(chat(stream=True), "m", None).http.headers["accept"]
    )


def test_embeddings_are_invoked() -> None:
    made = adapter()
    http = made.prepare(embeddings(), "amazon.titan-embed-text-v2:0", None).http

    assert f"{HOST}/model/amazon.titan-embed-text-v2%3A0/invoke" == http.url
    assert {"inputText": "a", "normalize": True} == decode(http.body)
    assert 2 == len(made.split(embeddings(input=["a", "b"]), "amazon.titan-embed-text-v2:0"))


@pytest.mark.parametrize(
    ("model", "has", "lacks"),
    [
        (
            CLAUDE,
            {*FORCED, Feature.JSON_SCHEMA, Feature.REASONING, Feature.FILE},
            {Feature.AUDIO_INPUT},
        ),
        (OLD_CLAUDE, {*FORCED, Feature.JSON_SCHEMA}, {Feature.REASONING}),
        (ALWAYS_THINKS, {Feature.TOOLS, Feature.JSON_SCHEMA}, FORCED),
        (NOVA, {*FORCED, Feature.JSON_SCHEMA, Feature.IMAGE_DATA}, {Feature.REASONING}),
        (NOVA_2, {Feature.REASONING}, set()),
        (GPT_OSS, {Feature.REASONING, Feature.JSON_SCHEMA}, {*FORCED, Feature.IMAGE_DATA}),
        (LLAMA, {Feature.TOOLS, Feature.JSON_OBJECT}, {*FORCED, Feature.JSON_SCHEMA}),
        (TITAN, {Feature.CHAT}, {Feature.TOOLS, Feature.IMAGE_DATA}),
        (VOXTRAL, {Feature.AUDIO_INPUT}, set()),
        ("cohere.embed-v4:0", {Feature.EMBEDDINGS, Feature.DIMENSIONS}, {Feature.CHAT}),
    ],
)
def test_features_are_the_models(model: str, has: set[Feature], lacks: set[Feature]) -> None:
    features = adapter().capabilities(model)

    assert has <= features
    assert features.isdisjoint(lacks)
    assert features.isdisjoint(
        {Feature.IMAGE_URL, Feature.LOGPROBS, Feature.MULTIPLE_CHOICES, Feature.COMPLETIONS}
    )


def test_the_manifest_tells_what_an_arn_hides() -> None:
    plain = adapter()
    told = adapter(models={PROFILE: Model(name=PROFILE, base_model=CLAUDE, max_output_tokens=100)})

    assert Feature.REASONING not in plain.capabilities(PROFILE)
    assert Feature.REASONING in told.capabilities(PROFILE)
    body = decode(told.prepare(chat(), PROFILE, None).http.body)
    assert {"maxTokens": 100} == body["inferenceConfig"]


def test_options_of_the_manifest() -> None:
    options = {
        "bedrock.guardrailIdentifier": "abc",
        "bedrock.guardrailVersion": "1",
        "bedrock.requestMetadata": "true",
    }
    body = decode(adapter(options=options).prepare(chat(metadata={"a": "b"}), "m", None).http.body)

    assert {"guardrailIdentifier": "abc", "guardrailVersion": "1"} == body["guardrailConfig"]
    assert {"a": "b"} == body["requestMetadata"]


@pytest.mark.parametrize(
    ("request_", "model"),
    [(completion(), "m"), (chat(), "amazon.titan-embed-text-v2:0"), (embeddings(), CLAUDE)],
)
def test_a_model_does_only_what_it_is_for(request_: Any, model: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        adapter().prepare(request_, model, None)

    assert "model" == caught.value.param


def test_pages_are_asked_for_by_their_mark() -> None:
    assert (
        adapter()
        .profiles_request(None, "a/b=")
        .url.endswith("/inference-profiles?maxResults=1000&nextToken=a%2Fb%3D")
    )
