"""OpenAI, and the adapter that every provider of its format starts from.

At OpenAI itself all features of the format are there. What differs is the model: those that reason
refuse most sampling options, so tuning ones are dropped with a warning and others rejected; from
gpt-5.4 on chat completions calls no functions while they reason, so that such requests go to the
Responses API (`dataplane.wire.responses_request`), with the warning `mapped:endpoint`. Behind another base
URL (a gateway, a model server) the limit of tokens keeps the name that the caller chose.

Source: OpenAI API reference and model pages, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar
from urllib.parse import urlsplit

from controlplane.table.schema import Provider
from dataplane.errors import RequestRejected, UpstreamFailed
from dataplane.provider import (
    Answer,
    Feature,
    HttpRequest,
    HttpResponse,
    ModelInfo,
    Operation,
    Prepared,
    Request,
    StreamDecoder,
)
from dataplane.providers.openai_model import READING, Envelope, UpstreamModel
from dataplane.wire.embeddings import split_request
from dataplane.wire.failures import OPENAI, classify
from dataplane.wire.openai_answer import read_answer, read_models
from dataplane.wire.openai_families import (
    efforts,
    embeds,
    is_dated,
    never_reasons,
    reasons,
    reasons_by_default,
    refuses_tools_while_reasoning,
    takes_cache_marks,
    thinks_at_once,
)
from dataplane.wire.openai_reading import AnswerRules
from dataplane.wire.openai_rules import (
    COMPLETION_FIELDS,
    EFFORTS,
    OPENAI_PARTS,
    SAME_EFFORTS,
    SAMPLING,
    EmbeddingRules,
    Rules,
    widened,
)
from dataplane.wire.openai_stream import OpenAIStreamDecoder
from dataplane.wire.responses_answer import Bridged
from dataplane.wire.responses_answer import read_answer as read_response
from dataplane.wire.responses_replay import Place
from dataplane.wire.responses_stream import ResponsesStreamDecoder
from dataplane.wire.segments import is_safe_segment, path_segment
from dataplane.wire.side_data import Origin
from dataplane.wire.thinking_tags import ThinkTags
from dataplane.wire.tool_ids import ANY_UP_TO_64

USER_AGENT = "switchgear/0.1"
"""How we name ourselves to upstreams."""

PATHS: Mapping[Operation, str] = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETION: "/completions",
    Operation.EMBEDDINGS: "/embeddings",
}

RESPONSES_PATH = "/responses"
"""Where chat goes that chat completions refuses."""

CHAT_FIELDS = SAMPLING | {
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "metadata",
    "modalities",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "top_logprobs",
    "user",
    "verbosity",
    "web_search_options",
}
# Never by a model that reasons, whatever the effort, but for those that pass while it is `none`.
_NOT_REASONING = frozenset(
    {
        "audio",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "modalities",
        "n",
        "prediction",
        "presence_penalty",
        "stop",
        "temperature",
        "top_logprobs",
        "top_p",
    }
)
_QUIET = frozenset({"logprobs", "temperature", "top_logprobs", "top_p"})
_EMBEDDING_FEATURES = frozenset({Feature.EMBEDDINGS, Feature.TOKEN_INPUT, Feature.DIMENSIONS})
_NOT_REASONING_FEATURES = frozenset({Feature.MULTIPLE_CHOICES, Feature.AUDIO_OUTPUT})

RULES = Rules(
    passes=CHAT_FIELDS,
    completion_passes=COMPLETION_FIELDS | {"user"},
    parts=OPENAI_PARTS,
    image_detail=True,
    max_stops=4,
    efforts=SAME_EFFORTS,
    developer=True,
    tool_ids=ANY_UP_TO_64,
    prefill=False,
    custom_tools=True,
    allowed_tools=True,
    obfuscation=True,
    embeddings=EmbeddingRules(
        dimensions="dimensions", tokens=True, base64=True, passes=frozenset({"user"})
    ),
)


def rules_for(model: str, base: Rules) -> Rules:
    """Refine OpenAI's rules by the model's family; names of no known family change nothing."""
    base = replace(base, caches=takes_cache_marks(model), developer=not is_dated(model))
    if never_reasons(model):
        return replace(base, passes=base.passes - {"verbosity"}, efforts=None)
    if not reasons(model):
        return base
    available = efforts(model)
    quiet = {"none"} if reasons_by_default(model) else {"none", ""}
    return replace(
        base,
        passes=base.passes - _NOT_REASONING,
        quiet_passes=_QUIET & base.passes,
        efforts=_nearest(available),
        reasons_at=frozenset({"", *EFFORTS}) - quiet,
        tools_at=frozenset(quiet) if refuses_tools_while_reasoning(model) else None,
        # The highest effort exists there only.
        bridge_efforts=_nearest((*available, "max")),
        max_tokens="max_completion_tokens",
    )


def features_for(model: str, features: frozenset[Feature]) -> frozenset[Feature]:
    """Refine features by the model's family."""
    if embeds(model):
        return features & _EMBEDDING_FEATURES
    return features - _NOT_REASONING_FEATURES if reasons(model) else features


class OpenAIAdapter:
    """The adapter of one configured provider that speaks OpenAI's format; see Adapter.

    FEATURES: what the type can do at all. ANSWERS: what is peculiar to its answers.
    """

    FEATURES: ClassVar[frozenset[Feature]] = frozenset(Feature)
    ANSWERS: ClassVar[AnswerRules] = AnswerRules(table=OPENAI, forced_tool_stops=True)

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._known: dict[str, UpstreamModel] = {}
        self._features: dict[str, frozenset[Feature]] = {}
        self._headers: Mapping[str, str] = {
            "accept": "application/json",
            "user-agent": USER_AGENT,
            **{name.lower(): value for name, value in provider.headers.items()},
        }

    def capabilities(self, model: str) -> frozenset[Feature]:
        """Tell what the model can do: what the manifest declares, else what its type does."""
        known = self._features.get(model)
        if known is None:
            declared = self._provider.models.get(model)
            if declared is not None and declared.capabilities is not None:
                known = frozenset(
                    feature for feature in Feature if feature in declared.capabilities
                )
            else:
                known = self._features_of(model)
            self._features[model] = known
        return known

    def prepare(self, request: Request, model: str, secret: str | None) -> Prepared:
        """Build the request. Raises RequestRejected for what this upstream cannot be told."""
        return self._model(model).prepare(request, secret)

    def address(
        self, operation: Operation, model: str, secret: str | None, *, stream: bool, bridged: bool
    ) -> Envelope:
        """Give URL and headers of all requests of a kind; see Addressing."""
        headers = {**self._headers, "content-type": "application/json", **self._auth(secret)}
        if stream:
            headers["accept"] = "text/event-stream"
        try:
            return self._responses_url() if bridged else self._url(operation, model), headers
        except ValueError as error:
            raise RequestRejected(str(error), param="model", code="invalid_value") from error

    def split(self, request: Request, model: str) -> Sequence[Request]:
        """Cut a request for embeddings into those that the upstream takes, in order."""
        how = self._model(model).rules.embeddings
        if how.max_items is None and how.max_bytes is None:
            return (request,)
        return split_request(request, max_items=how.max_items, max_bytes=how.max_bytes)

    def answer(self, request: Request, prepared: Prepared, response: HttpResponse) -> Answer:
        """Read a 2xx unary answer. Raises UpstreamFailed."""
        reading = prepared.context[READING]
        if isinstance(reading, Bridged):
            return read_response(response, reading)
        return read_answer(response, reading)

    def decoder(self, request: Request, prepared: Prepared) -> StreamDecoder:
        """Make the decoder for one 2xx stream."""
        reading = prepared.context[READING]
        if isinstance(reading, Bridged):
            return ResponsesStreamDecoder(reading)
        return OpenAIStreamDecoder(reading, prepared.answer_headers)

    def failure(self, response: HttpResponse) -> UpstreamFailed:
        """Classify an answer that is not 2xx."""
        return classify(response, self.ANSWERS.table)

    def models_request(self, secret: str | None) -> HttpRequest:
        """Build the request that lists models."""
        return self._get(f"{self._provider.base_url}/models", secret)

    def models(self, response: HttpResponse) -> Sequence[ModelInfo]:
        """Read its 2xx answer. Raises UpstreamFailed (bad_response)."""
        return read_models(response)

    def probe_request(self, secret: str | None) -> HttpRequest:
        """Ask for the first configured model at OpenAI itself, elsewhere for the list of models.

        Other servers of the format often have no page for a single model. Proves the key, not
        that there is credit left.
        """
        first = next(iter(self._provider.models), "")
        if self._official and is_safe_segment(first):
            return self._get(f"{self._provider.base_url}/models/{path_segment(first)}", secret)
        return self.models_request(secret)

    @property
    def _official(self) -> bool:
        host = urlsplit(self._provider.base_url).hostname or ""
        return host == "openai.com" or host.endswith(".openai.com")

    def _model(self, model: str) -> UpstreamModel:
        known = self._known.get(model)
        if known is None:
            known = self._known[model] = UpstreamModel(
                model,
                widened(self._rules_of(model), self._provider.models.get(model)),
                answers=self.ANSWERS,
                tags=self._tags(model),
                place=Place(
                    origin=Origin(type=self._provider.type, model=model),
                    scope=self._provider.credential_key,
                ),
                addressing=self,
            )
        return known

    def _tags(self, model: str) -> ThinkTags:
        declared = self._provider.models.get(model)
        if declared is None or not declared.split_thinking:
            return ThinkTags.KEPT
        return ThinkTags.BEGUN if thinks_at_once(model) else ThinkTags.SPLIT

    def _features_of(self, model: str) -> frozenset[Feature]:
        return features_for(model, self.FEATURES)

    def _rules_of(self, model: str) -> Rules:
        rules = rules_for(model, RULES)
        if self._official:
            return replace(rules, max_tokens="max_completion_tokens")
        # What stands behind another URL may do what OpenAI's own server refuses.
        return replace(rules, tools_at=None, prefill=True)

    def _url(self, operation: Operation, model: str) -> str:
        """Say where to send. Raises ValueError for a model that cannot be part of a URL."""
        return self._provider.base_url + PATHS[operation]

    def _responses_url(self) -> str:
        return self._provider.base_url + RESPONSES_PATH

    def _auth(self, secret: str | None) -> Mapping[str, str]:
        return {} if secret is None else {"authorization": f"Bearer {secret}"}

    def _get(self, url: str, secret: str | None) -> HttpRequest:
        return HttpRequest(method="GET", url=url, headers={**self._headers, **self._auth(secret)})


def _nearest(available: Sequence[str]) -> dict[str, str]:
    """Map each effort to the nearest that a model has; `none` has no neighbour."""
    ranks = [EFFORTS.index(word) for word in available if word != "none"]
    nearest: dict[str, str] = {}
    for at, effort in enumerate(EFFORTS[1:], start=1):
        _distance, rank = min((abs(rank - at), rank) for rank in ranks)
        nearest[effort] = EFFORTS[rank]
    if "none" in available:
        nearest["none"] = "none"
    return nearest
