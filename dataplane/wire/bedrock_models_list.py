"""Reads Bedrock's lists: foundation models, and inference profiles.

Only what can be called is a model: a foundation model by its own id if it is sold on demand, the
rest by a profile's id. Neither list tells what the account may use.

Source: Amazon Bedrock API reference, ListFoundationModels and ListInferenceProfiles, read
2026-11-22.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dataplane.provider import HttpResponse, ModelInfo
from dataplane.wire.bedrock_answer import decoded, malformed
from dataplane.wire.bedrock_models import bare_name

_READABLE: Final = frozenset({"TEXT", "EMBEDDING"})


def foundation_models(response: HttpResponse) -> Sequence[ModelInfo]:
    """Read a list of foundation models. Raises UpstreamFailed (bad_response)."""
    summaries = decoded(response.body).get("modelSummaries")
    if not isinstance(summaries, list):
        raise malformed("there is no list of models")
    return [
        ModelInfo(id=summary["modelId"], owned_by=_text(summary.get("providerName")))
        for summary in summaries
        if isinstance(summary, dict)
        and isinstance(summary.get("modelId"), str)
        and "ON_DEMAND" in _listed(summary, "inferenceTypesSupported")
        and not _READABLE.isdisjoint(_listed(summary, "outputModalities"))
    ]


def profiles(response: HttpResponse) -> tuple[Sequence[ModelInfo], str]:
    """Read a page of inference profiles, and the mark of the next page, empty after the last.

    A profile of an application is called by its ARN. Raises UpstreamFailed (bad_response).
    """
    native = decoded(response.body)
    summaries = native.get("inferenceProfileSummaries")
    if not isinstance(summaries, list):
        raise malformed("there is no list of inference profiles")
    found: list[ModelInfo] = []
    for summary in summaries:
        match summary:
            case {"type": "APPLICATION", "inferenceProfileArn": str(name)}:
                pass
            case {"inferenceProfileId": str(name)}:
                pass
            case _:
                continue
        if summary.get("status", "ACTIVE") == "ACTIVE":
            found.append(ModelInfo(id=name, owned_by=_owner(summary)))
    return found, _text(native.get("nextToken"))


def _owner(summary: dict[str, Any]) -> str:
    """Name the vendor of a profile's model, by the ARN of the first."""
    match summary.get("models"):
        case [{"modelArn": str(arn)}, *_]:
            return bare_name(arn).partition(".")[0]
        case _:
            return ""


def _listed(summary: dict[str, Any], key: str) -> Sequence[Any]:
    value = summary.get(key)
    return value if isinstance(value, list) else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
