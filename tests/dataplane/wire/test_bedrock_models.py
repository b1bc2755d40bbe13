"""Ids, in all their spellings, and what is known of the models behind them."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import ModelInfo
from dataplane.wire.bedrock_models import Family, bare_name, model_of
from dataplane.wire.bedrock_models_list import foundation_models, profiles
from tests.dataplane.wire.bedrock_kit import response

ARN = "arn:aws:bedrock:eu-west-3"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    "model_id",
    [
        SONNET,
        f"eu.{SONNET}",
        f"us-gov.{SONNET}",
        f"global.{SONNET}",
        f"apac.{SONNET}",
        f"{ARN}::foundation-model/{SONNET}",
        f"{ARN}:123456789012:inference-profile/eu.{SONNET}",
        f"arn:aws-cn:bedrock:cn-north-1:123456789012:inference-profile/{SONNET}",
    ],
)
def test_every_spelling_of_an_id_is_one_model(model_id: str) -> None:
    assert SONNET == bare_name(model_id)
    assert Family.CLAUDE is model_of(model_id).family


@pytest.mark.parametrize(
    ("model_id", "family"),
    [
        ("amazon.nova-lite-v1:0", Family.NOVA),
        ("us.amazon.nova-2-lite-v1:0", Family.NOVA_2),
        ("amazon.titan-text-express-v1", Family.TITAN),
        ("cohere.command-r-v1:0", Family.COHERE),
        ("openai.gpt-oss-20b-1:0", Family.GPT_OSS),
        ("eu.mistral.pixtral-large-2502-v1:0", Family.MISTRAL),
        ("us.meta.llama4-scout-17b-instruct-v1:0", Family.LLAMA),
        ("us.deepseek.r1-v1:0", Family.DEEPSEEK),
        ("qwen.qwen3-32b-v1:0", Family.OPEN),
        ("ai21.jamba-1-5-large-v1:0", Family.UNKNOWN),
        (f"{ARN}:123456789012:application-inference-profile/abc123", Family.UNKNOWN),
    ],
)
def test_families(model_id: str, family: Family) -> None:
    assert family is model_of(model_id).family


def test_an_arn_that_hides_its_model_is_told_by_the_manifest() -> None:
    hidden = f"{ARN}:123456789012:application-inference-profile/abc123"

    assert model_of(SONNET) == model_of(hidden, f"eu.{SONNET}")


@pytest.mark.parametrize(
    ("model_id", "lacks"),
    [
        ("amazon.nova-micro-v1:0", {"images", "documents"}),
        ("mistral.mistral-7b-instruct-v0:2", {"system", "tools", "images", "forced_tools"}),
        ("mistral.mistral-small-2402-v1:0", {"images", "forced_tools"}),
        ("us.deepseek.r1-v1:0", {"tools", "images", "json_schema", "forced_tools"}),
        ("meta.llama3-8b-instruct-v1:0", {"tools", "forced_tools"}),
    ],
)
def test_what_a_model_lacks(model_id: str, lacks: set[str]) -> None:
    model = model_of(model_id)

    assert not any(getattr(model, name) for name in lacks)


def summary(model_id: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "modelId": model_id,
        "providerName": "Vendor",
        "outputModalities": ["TEXT"],
        "inferenceTypesSupported": ["ON_DEMAND"],
    }
    return {**fields, **changes}


def test_only_foundation_models_that_can_be_called_are_listed() -> None:
    summaries = [
        summary("a.text"),
        summary("b.embed", outputModalities=["EMBEDDING"]),
        summary("c.image", outputModalities=["IMAGE"]),
        summary("d.profile-only", inferenceTypesSupported=["INFERENCE_PROFILE"]),
        summary("e.odd", inferenceTypesSupported=None),
        {"modelName": "nameless"},
        1,
    ]

    assert [
        ModelInfo(id="a.text", owned_by="Vendor"),
        ModelInfo(id="b.embed", owned_by="Vendor"),
    ] == list(foundation_models(response({"modelSummaries": summaries})))


def test_profiles_are_called_by_id_and_those_of_applications_by_arn() -> None:
    arn = f"{ARN}:123456789012:application-inference-profile/abc"
    model = {"modelArn": f"{ARN}::foundation-model/{SONNET}"}
    summaries = [
        {"inferenceProfileId": f"eu.{SONNET}", "type": "SYSTEM_DEFINED", "models": [model]},
        {"inferenceProfileId": "abc", "inferenceProfileArn": arn, "type": "APPLICATION"},
        {"inferenceProfileId": "old", "status": "DELETED"},
        {"type": "APPLICATION"},
        1,
    ]

    assert (
        [ModelInfo(id=f"eu.{SONNET}", owned_by="anthropic"), ModelInfo(id=arn)],
        "more",
    ) == profiles(response({"inferenceProfileSummaries": summaries, "nextToken": "more"}))


def test_the_last_page_has_no_mark() -> None:
    assert ([], "") == profiles(response({"inferenceProfileSummaries": [], "nextToken": None}))


@pytest.mark.parametrize("read", [foundation_models, profiles])
@pytest.mark.parametrize("body", [{}, {"modelSummaries": 1, "inferenceProfileSummaries": 1}, []])
def test_what_is_no_list_is_bad(read: Any, body: Any) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        read(response(body))

    assert ErrorClass.BAD_RESPONSE is caught.value.error
