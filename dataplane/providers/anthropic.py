"""Anthropic, by its Messages API, or any server that imitates it.

What a model takes is read from its name (`dataplane.wire.anthropic_models`); if the name hides it,
set `baseModel` in the manifest. Options: `anthropic.version` (2023-06-01 by default; under
2026-10-21 no model takes temperature, top_p or top_k any more), and `anthropic.beta`, a comma list.
The base URL is the host's, with or without /v1. There are no embeddings and no text completions. What else
is refused, emulated or dropped is told in `dataplane.wire.anthropic_request`.

Source: Anthropic API reference and its page on API versions, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from controlplane.table.schema import Provider
from dataplane.errors import UpstreamFailed
from dataplane.provider import (
    Answer,
    Feature,
    HttpRequest,
    HttpResponse,
    ModelInfo,
    Prepared,
    Request,
    StreamDecoder,
)
from dataplane.providers.openai import USER_AGENT
from dataplane.wire.anthropic_answer import Reading, read_answer, read_models
from dataplane.wire.anthropic_models import Abilities, Thinking, abilities
from dataplane.wire.anthropic_replay import Replay
from dataplane.wire.anthropic_request import serialize
from dataplane.wire.anthropic_stream import AnthropicDecoder
from dataplane.wire.failure_tables import ANTHROPIC
from dataplane.wire.failures import classify
from dataplane.wire.side_data import Origin

DEFAULT_VERSION: Final = "2023-06-01"
"""The API version that is spoken unless the manifest says otherwise."""

_NO_SAMPLING_SINCE: Final = "2026-10-21"
_FORCED: Final = frozenset({Feature.TOOL_CHOICE_REQUIRED, Feature.TOOL_CHOICE_NAMED})
# All that the wire can say. Which of it a model can do is the table's, or the manifest's word.
FEATURES: Final = _FORCED | {
    Feature.CHAT,
    Feature.TOOLS,
    Feature.JSON_OBJECT,
    Feature.JSON_SCHEMA,
    Feature.IMAGE_DATA,
    Feature.IMAGE_URL,
    Feature.FILE,
    Feature.REASONING,
}
_READING: Final = "reading"


class AnthropicAdapter:
    """The adapter of one configured Anthropic; see Adapter."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._root = provider.base_url.removesuffix("/v1")
        self._version = provider.options.get("anthropic.version", DEFAULT_VERSION)
        self._betas = _words(provider.options.get("anthropic.beta", ""))
        self._abilities: dict[str, Abilities] = {}
        self._headers: Mapping[str, str] = {
            "accept": "application/json",
            "user-agent": USER_AGENT,
            **{name.lower(): value for name, value in provider.headers.items()},
        }

    def capabilities(self, model: str) -> frozenset[Feature]:
        """Tell what the manifest declares, within what the wire can say; else the model's own."""
        declared = self._provider.models.get(model)
        if declared is not None and declared.capabilities is not None:
            return frozenset(feature for feature in FEATURES if feature in declared.capabilities)
        able = self._abilities_of(model)
        lacking: set[Feature] = set()
        if not able.forced_tool:
            lacking |= _FORCED
        if able.thinking is Thinking.NONE:
            lacking.add(Feature.REASONING)
        return FEATURES - lacking

    def prepare(self, request: Request, model: str, secret: str | None) -> Prepared:
        """Build the request. Raises RequestRejected for what the model cannot be told."""
        able = self._abilities_of(model)
        declared = self._provider.models.get(model)
        serialized = serialize(
            request,
            model,
            able,
            replay=Replay(self._provider.type, model),
            max_output_tokens=None if declared is None else declared.max_output_tokens,
        )
        headers = {
            **self._with_auth(secret, serialized.betas),
            "content-type": "application/json",
        }
        if request.stream:
            headers["accept"] = "text/event-stream"
        return Prepared(
            http=HttpRequest(
                method="POST",
                url=f"{self._root}/v1/messages",
                headers=headers,
                body=serialized.body,
            ),
            warnings=serialized.warnings,
            context={
                _READING: Reading(
                    request=request,
                    origin=Origin(type=self._provider.type, model=model),
                    names=serialized.names,
                    emulated=serialized.emulated,
                    thinks=serialized.thinks,
                )
            },
        )

    def answer(self, request: Request, prepared: Prepared, response: HttpResponse) -> Answer:
        """Read a 2xx unary answer. Raises UpstreamFailed."""
        return read_answer(response, prepared.context[_READING])

    def decoder(self, request: Request, prepared: Prepared) -> StreamDecoder:
        """Make the decoder for one 2xx stream."""
        return AnthropicDecoder(prepared.context[_READING], prepared.answer_headers)

    def failure(self, response: HttpResponse) -> UpstreamFailed:
        """Classify an answer that is not 2xx."""
        return classify(response, ANTHROPIC)

    def models_request(self, secret: str | None) -> HttpRequest:
        """Build the request that lists models, all on one page."""
        return self._get("/v1/models?limit=1000", secret)

    def models(self, response: HttpResponse) -> Sequence[ModelInfo]:
        """Read its 2xx answer. Raises UpstreamFailed (bad_response)."""
        return read_models(response)

    def probe_request(self, secret: str | None) -> HttpRequest:
        """Ask for one model of the list: proves the key, not that there is credit left."""
        return self._get("/v1/models?limit=1", secret)

    def _abilities_of(self, model: str) -> Abilities:
        known = self._abilities.get(model)
        if known is None:
            declared = self._provider.models.get(model)
            known = abilities((declared.base_model if declared else "") or model)
            if declared is not None and _FORCED & (declared.capabilities or frozenset()):
                # The operator's word that there is more than the table knows.
                known = replace(known, forced_tool=True)
            if self._version >= _NO_SAMPLING_SINCE:
                known = replace(known, sampling=False)
            self._abilities[model] = known
        return known

    def _get(self, path: str, secret: str | None) -> HttpRequest:
        return HttpRequest(method="GET", url=self._root + path, headers=self._with_auth(secret, ()))

    def _with_auth(self, secret: str | None, betas: Sequence[str]) -> Mapping[str, str]:
        headers = {**self._headers, "anthropic-version": self._version}
        if wanted := dict.fromkeys([*self._betas, *betas]):
            headers["anthropic-beta"] = ",".join(wanted)
        return headers if secret is None else {**headers, "x-api-key": secret}


def _words(text: str) -> Sequence[str]:
    return [word for part in text.split(",") if (word := part.strip())]
