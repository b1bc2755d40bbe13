"""Azure OpenAI, on both of its surfaces.

The `v1` surface takes the deployment as `model`; the classic one takes it in the path, with a dated
api-version that also decides which fields exist. A deployment's name hides its model: set
`baseModel` in the manifest, or the rules of reasoning models are guessed from the name.

Functions of reasoning models from gpt-5.4 on go to the Responses API, which the classic surface has
since api-version 2025-03; before that such a request is rejected.

Dropped on old api-versions: `store`, `metadata` (before 2024-10), `parallel_tool_calls` (before
2024-08); usage of streams is asked for from 2024-09 on, and `developer` becomes `system` before
2024-12.

Source: Azure OpenAI REST reference and API version lifecycle, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar
from urllib.parse import quote, urlsplit

from controlplane.table.schema import Provider
from dataplane.provider import Feature, HttpRequest, HttpResponse, ModelInfo, Operation
from dataplane.providers.openai import (
    PATHS,
    RESPONSES_PATH,
    RULES,
    OpenAIAdapter,
    features_for,
    rules_for,
)
from dataplane.wire import vendor_keys
from dataplane.wire.failures import AZURE_OPENAI
from dataplane.wire.openai_families import is_dated, never_reasons
from dataplane.wire.openai_reading import AnswerRules
from dataplane.wire.openai_rules import Rules
from dataplane.wire.segments import path_segment

_LAST_CLASSIC_VERSION = "2024-10-21"
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}")
# An Entra ID token that somebody put in the key's place. With the option `azure.entra` no secret comes
# here at all: tokens that we get ourselves are put on when the request is sent, by dataplane.entra.
_TOKEN = re.compile(r"eyJ[^.]*\.[^.]+\.[^.]*")
_RULES = replace(RULES, passes=(RULES.passes | {"data_sources"}) - {"moderation"})


class AzureOpenAIAdapter(OpenAIAdapter):
    """The adapter of one configured resource."""

    ANSWERS: ClassVar[AnswerRules] = AnswerRules(
        table=AZURE_OPENAI, forced_tool_stops=True, vendor_keys=vendor_keys.AZURE_OPENAI
    )

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self._root = _root(provider.base_url)
        version = provider.options.get("azure.apiVersion", "")
        self._classic = provider.options.get("azure.surface", "v1") == "classic"
        if self._classic:
            version = version or _LAST_CLASSIC_VERSION
        elif _DATED.match(version):
            # Dates are the classic surface's; this one knows `preview` and `v1`.
            version = ""
        self._query = f"?api-version={quote(version, safe='')}" if version else ""
        # Comparable to dates; the v1 surface is always the newest.
        self._date = version if self._classic else "9999"

    def models_request(self, secret: str | None) -> HttpRequest:
        """Build the request that lists the base models of the region."""
        surface = "/openai" if self._classic else "/openai/v1"
        return self._get(f"{self._root}{surface}/models{self._query}", secret)

    def models(self, response: HttpResponse) -> Sequence[ModelInfo]:
        """Give the configured deployments; without any, the base models that the answer lists."""
        listed = super().models(response)
        deployments = [
            ModelInfo(id=model.name, context_window=model.context_window)
            for model in self._provider.models.values()
        ]
        return deployments or listed

    def probe_request(self, secret: str | None) -> HttpRequest:
        """List models: proves host and credential, not that a deployment exists."""
        return self.models_request(secret)

    def _base_model(self, deployment: str) -> str:
        declared = self._provider.models.get(deployment)
        return (declared.base_model if declared is not None else "") or deployment

    def _features_of(self, model: str) -> frozenset[Feature]:
        return features_for(self._base_model(model), self.FEATURES)

    def _rules_of(self, model: str) -> Rules:
        base = self._base_model(model)
        rules = rules_for(base, _RULES)
        missing: set[str] = set()
        if self._date < "2024-08":
            missing |= {"parallel_tool_calls"}
        if self._date < "2024-10":
            missing |= {"store", "metadata"}
        rules = replace(
            rules,
            passes=rules.passes - missing,
            stream_usage=self._date >= "2024-09",
            developer=rules.developer and self._date >= "2024-12",
            bridge_efforts=rules.bridge_efforts if self._date >= "2025-03" else None,
        )
        if not self._classic:
            return replace(rules, max_tokens="max_completion_tokens")
        if is_dated(base) or (self._date < "2024-09" and not rules.max_tokens):
            return replace(rules, max_tokens="max_tokens")
        if never_reasons(base):
            return replace(rules, max_tokens="max_completion_tokens")
        return rules

    def _url(self, operation: Operation, model: str) -> str:
        where = f"/openai/deployments/{path_segment(model)}" if self._classic else "/openai/v1"
        return f"{self._root}{where}{PATHS[operation]}{self._query}"

    def _responses_url(self) -> str:
        surface = "/openai" if self._classic else "/openai/v1"
        return f"{self._root}{surface}{RESPONSES_PATH}{self._query}"

    def _auth(self, secret: str | None) -> Mapping[str, str]:
        if secret is None:
            return {}
        if _TOKEN.fullmatch(secret):
            return {"authorization": f"Bearer {secret}"}
        return {"api-key": secret}


def _root(base_url: str) -> str:
    """Cut an endpoint to the resource: people copy it with `/openai` and more behind it."""
    parts = urlsplit(base_url)
    path = f"{parts.path}/"
    cut = path.find("/openai/")
    path = path[:cut] if cut >= 0 else path
    return f"{parts.scheme}://{parts.netloc}{path.rstrip('/')}"
