"""AWS Bedrock: Converse for chats, InvokeModel for embeddings.

Both hosts follow from the option `region`; with a base URL of one's own (a VPC endpoint) it serves
for both. Models are named by their ids, by the ids of inference profiles, or by ARNs; where an ARN
hides the model, set `baseModel` in the manifest. Further options: `bedrock.guardrailIdentifier` and
`bedrock.guardrailVersion`, and `bedrock.requestMetadata: "true"`, which lets callers' metadata into
AWS' logs. What is refused, emulated or dropped is told in `dataplane.wire.bedrock_request`.

The adapter writes an API key into its requests. Without one they go out unsigned from here, and are
signed on their way, which is I/O and not this file's.

Source: Amazon Bedrock API reference and user guide, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, assert_never
from urllib.parse import quote, urlsplit

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
from dataplane.providers.openai import USER_AGENT
from dataplane.wire import bedrock_embeddings, bedrock_models_list
from dataplane.wire.anthropic_models import Thinking, abilities
from dataplane.wire.bedrock_answer import Reading, read_answer
from dataplane.wire.bedrock_models import BedrockModel, Embedder, Family, model_of
from dataplane.wire.bedrock_request import Settings, serialize
from dataplane.wire.bedrock_stream import BedrockDecoder
from dataplane.wire.failure_tables import BEDROCK
from dataplane.wire.failures import classify

_READING: Final = "reading"
_RUNTIME: Final = "bedrock-runtime"
_CONTROL: Final = "bedrock"
# A runtime host of AWS' own, which has a twin for the control plane; FIPS and China included.
_AWS_HOST: Final = re.compile(
    r"bedrock-runtime(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
)
_FORCED: Final = frozenset({Feature.TOOL_CHOICE_REQUIRED, Feature.TOOL_CHOICE_NAMED})
_CHAT_FEATURES: Final = _FORCED | {
    Feature.CHAT,
    Feature.TOOLS,
    Feature.JSON_OBJECT,
    Feature.JSON_SCHEMA,
    Feature.IMAGE_DATA,
    Feature.AUDIO_INPUT,
    Feature.FILE,
    Feature.REASONING,
}
FEATURES: Final = _CHAT_FEATURES | {Feature.EMBEDDINGS, Feature.DIMENSIONS}
"""All that the wire can say. Which of it a model can do is the table's, or the manifest's word."""


class BedrockAdapter:
    """The adapter of one configured Bedrock; see Adapter.

    region: empty if the configuration does not tell it; then nothing can be signed.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.region = region_of(provider)
        self._runtime, self._control = _hosts(provider.base_url, self.region)
        self._settings: dict[str, Settings] = {}
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
        return _features(self._model(model))

    def prepare(self, request: Request, model: str, secret: str | None) -> Prepared:
        """Build the request. Raises RequestRejected for what the model cannot be told."""
        known = self._model(model)
        match request.operation:
            case Operation.CHAT:
                return self._prepare_chat(request, model, known, secret)
            case Operation.EMBEDDINGS:
                return self._prepare_embeddings(request, model, known, secret)
            case Operation.COMPLETION:
                raise RequestRejected(
                    "text completions are not supported by this provider",
                    param="model",
                    code="unsupported_value",
                )
            case _:
                assert_never(request.operation)

    def answer(self, request: Request, prepared: Prepared, response: HttpResponse) -> Answer:
        """Read a 2xx unary answer. Raises UpstreamFailed."""
        reading: Reading = prepared.context[_READING]
        if request.operation is Operation.EMBEDDINGS:
            return bedrock_embeddings.read_answer(response, request, reading.model)
        return read_answer(response, reading)

    def split(self, request: Request, model: str) -> Sequence[Request]:
        """Cut a request for embeddings into those that the model takes at once."""
        return bedrock_embeddings.split(request, self._model(model))

    def decoder(self, request: Request, prepared: Prepared) -> StreamDecoder:
        """Make the decoder for one 2xx stream."""
        return BedrockDecoder(prepared.context[_READING], prepared.answer_headers)

    def failure(self, response: HttpResponse) -> UpstreamFailed:
        """Classify an answer that is not 2xx."""
        return classify(response, BEDROCK)

    def models_request(self, secret: str | None) -> HttpRequest:
        """Build the request that lists foundation models."""
        return self._get("/foundation-models", secret)

    def models(self, response: HttpResponse) -> Sequence[ModelInfo]:
        """Read its 2xx answer: models that are called by their own ids.

        Raises UpstreamFailed (bad_response).
        """
        return bedrock_models_list.foundation_models(response)

    def profiles_request(self, secret: str | None, page: str = "") -> HttpRequest:
        """Build the request that lists inference profiles. page: what the last answer gave."""
        more = f"&nextToken={quote(page, safe='')}" if page else ""
        return self._get(f"/inference-profiles?maxResults=1000{more}", secret)

    def profiles(self, response: HttpResponse) -> tuple[Sequence[ModelInfo], str]:
        """Read its 2xx answer: profiles, and the next page or empty text."""
        return bedrock_models_list.profiles(response)

    def probe_request(self, secret: str | None) -> HttpRequest:
        """Ask for the models that write text: proves the credential, not access to a model."""
        return self._get("/foundation-models?byOutputModality=TEXT", secret)

    def _prepare_chat(
        self, request: Request, model: str, known: BedrockModel, secret: str | None
    ) -> Prepared:
        if known.embedder is not Embedder.NONE:
            raise RequestRejected(
                "this model makes embeddings only", param="model", code="unsupported_value"
            )
        serialized = serialize(request.body, known, self._settings_of(model))
        operation = "converse-stream" if request.stream else "converse"
        accept = "application/vnd.amazon.eventstream" if request.stream else "application/json"
        return Prepared(
            http=self._post(model, operation, serialized.body, secret, accept),
            warnings=serialized.warnings,
            context={
                _READING: Reading(
                    request=request,
                    model=known,
                    names=serialized.names,
                    answer_tool=serialized.answer_tool,
                    thinks=serialized.thinks,
                )
            },
        )

    def _prepare_embeddings(
        self, request: Request, model: str, known: BedrockModel, secret: str | None
    ) -> Prepared:
        serialized = bedrock_embeddings.serialize(request, known)
        return Prepared(
            http=self._post(model, "invoke", serialized.body, secret, "application/json"),
            warnings=serialized.warnings,
            context={_READING: Reading(request=request, model=known)},
        )

    def _model(self, model: str) -> BedrockModel:
        declared = self._provider.models.get(model)
        return model_of(model, declared.base_model if declared else "")

    def _settings_of(self, model: str) -> Settings:
        settings = self._settings.get(model)
        if settings is None:
            declared, options = self._provider.models.get(model), self._provider.options
            guardrail = {
                name: value
                for name in ("guardrailIdentifier", "guardrailVersion")
                if (value := options.get(f"bedrock.{name}"))
            }
            settings = Settings(
                max_output_tokens=None if declared is None else declared.max_output_tokens,
                guardrail=guardrail,
                metadata=options.get("bedrock.requestMetadata") == "true",
            )
            self._settings[model] = settings
        return settings

    def _post(
        self, model: str, operation: str, body: bytes, secret: str | None, accept: str
    ) -> HttpRequest:
        return HttpRequest(
            method="POST",
            url=f"{self._runtime}/model/{_label(model)}/{operation}",
            headers={
                **self._with_key(secret),
                "accept": accept,
                "content-type": "application/json",
            },
            body=body,
        )

    def _get(self, path: str, secret: str | None) -> HttpRequest:
        return HttpRequest(method="GET", url=self._control + path, headers=self._with_key(secret))

    def _with_key(self, secret: str | None) -> Mapping[str, str]:
        return (
            self._headers
            if secret is None
            else {**self._headers, "authorization": f"Bearer {secret}"}
        )


def region_of(provider: Provider) -> str:
    """Tell a provider's region: its option, else what its host's name says, else empty."""
    found = _AWS_HOST.fullmatch(urlsplit(provider.base_url).hostname or "")
    return provider.options.get("region") or (found["region"] if found else "")


@lru_cache(maxsize=256)
def _label(model: str) -> str:
    """Write a model's id as one label of the path; ARNs hold colons and slashes."""
    if not model or model in {".", ".."} or not model.isprintable():
        raise RequestRejected(
            "this model's name cannot be part of a URL", param="model", code="invalid_value"
        )
    return quote(model, safe="")


def _features(model: BedrockModel) -> frozenset[Feature]:
    if model.embedder is not Embedder.NONE:
        return frozenset({Feature.EMBEDDINGS, Feature.DIMENSIONS})
    claude = abilities(model.name) if model.family is Family.CLAUDE else None
    forced = model.forced_tools if claude is None else claude.forced_tool
    structured = model.json_schema if claude is None else claude.structured
    reasons = bool(model.efforts) if claude is None else claude.thinking is not Thinking.NONE
    lacking = {
        feature
        for feature, has in (
            (Feature.TOOLS, model.tools),
            (Feature.TOOL_CHOICE_REQUIRED, forced),
            (Feature.TOOL_CHOICE_NAMED, forced),
            (Feature.JSON_SCHEMA, structured or forced),
            (Feature.IMAGE_DATA, model.images),
            (Feature.AUDIO_INPUT, model.audio),
            (Feature.FILE, model.documents),
            (Feature.REASONING, reasons),
        )
        if not has
    }
    return _CHAT_FEATURES - lacking


def _hosts(base_url: str, region: str) -> tuple[str, str]:
    """Give the base URLs of the runtime and of the control plane."""
    found = _AWS_HOST.fullmatch(urlsplit(base_url).hostname or "")
    if base_url and not found:
        return base_url, base_url
    fips = (found["fips"] or "") if found else ""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    control = f"https://{_CONTROL}{fips}.{region}.{domain}"
    return base_url or f"https://{_RUNTIME}.{region}.{domain}", control
