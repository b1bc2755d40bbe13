"""Ollama, by its native API: local or cloud, plain or behind a proxy that wants a bearer token.

What it lacks and how the rest is said is told in `dataplane.wire.ollama_request`. Two of its habits
shape the settings. A model's context is small unless `num_ctx` says otherwise, and what does not fit
is cut without a word: give the model a context window in the manifest, and it is sent. And a cold
model is loaded before the first byte, which may take minutes: the first-event limit must allow it.

Source: Ollama's docs/api.md and server 0.33.0, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from controlplane.table.schema import Provider
from dataplane.codec import DecodeError, decode_object
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
from dataplane.wire.failures import OLLAMA, classify
from dataplane.wire.ollama_answer import malformed, read_answer
from dataplane.wire.ollama_request import PATHS, serialize
from dataplane.wire.ollama_stream import OllamaDecoder

# All that the wire can say. Which of it a model can do is the manifest's to refine.
FEATURES: Final = frozenset(
    {
        Feature.CHAT,
        Feature.COMPLETIONS,
        Feature.EMBEDDINGS,
        Feature.DIMENSIONS,
        Feature.TOOLS,
        Feature.JSON_OBJECT,
        Feature.JSON_SCHEMA,
        Feature.IMAGE_DATA,
        Feature.LOGPROBS,
        Feature.REASONING,
    }
)
_NUM_CTX: Final = "num_ctx"


class OllamaAdapter:
    """The adapter of one configured Ollama; see Adapter."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def capabilities(self, model: str) -> frozenset[Feature]:
        """Tell what the wire can say, cut to what the manifest declares for the model."""
        declared = self._provider.models.get(model)
        if declared is None or declared.capabilities is None:
            return FEATURES
        return frozenset(feature for feature in FEATURES if feature in declared.capabilities)

    def prepare(self, request: Request, model: str, secret: str | None) -> Prepared:
        """Build the upstream's request. Raises RequestRejected for what Ollama cannot do."""
        declared = self._provider.models.get(model)
        num_ctx = None if declared is None else declared.context_window
        serialized = serialize(
            request,
            model,
            context_window=num_ctx,
            max_output_tokens=None if declared is None else declared.max_output_tokens,
        )
        http = HttpRequest(
            method="POST",
            url=self._provider.base_url + PATHS[request.operation],
            headers={**self._headers(secret), "content-type": "application/json"},
            body=serialized.body,
        )
        return Prepared(http=http, warnings=serialized.warnings, context={_NUM_CTX: num_ctx})

    def answer(self, request: Request, prepared: Prepared, response: HttpResponse) -> Answer:
        """Read a 2xx unary answer. Raises UpstreamFailed."""
        return read_answer(request, response, prepared.context[_NUM_CTX])

    def decoder(self, request: Request, prepared: Prepared) -> StreamDecoder:
        """Make the decoder for one 2xx stream."""
        return OllamaDecoder(request, prepared.context[_NUM_CTX])

    def failure(self, response: HttpResponse) -> UpstreamFailed:
        """Classify an answer that is not 2xx."""
        return classify(response, OLLAMA)

    def models_request(self, secret: str | None) -> HttpRequest:
        """Build the request that lists the installed models."""
        return self._get("/api/tags", secret)

    def models(self, response: HttpResponse) -> Sequence[ModelInfo]:
        """Read the list of installed models. Raises UpstreamFailed (bad_response)."""
        try:
            entries = decode_object(response.body).get("models")
        except DecodeError as error:
            raise malformed("the list of models is not a JSON object") from error
        if not isinstance(entries, list):
            raise malformed("there is no list of models")
        return [_model_info(entry) for entry in entries]

    def probe_request(self, secret: str | None) -> HttpRequest:
        """Build a probe that loads no model."""
        return self._get("/api/version", secret)

    def _get(self, path: str, secret: str | None) -> HttpRequest:
        url = self._provider.base_url + path
        return HttpRequest(method="GET", url=url, headers=self._headers(secret))

    def _headers(self, secret: str | None) -> Mapping[str, str]:
        headers = {name.lower(): value for name, value in self._provider.headers.items()}
        return headers if secret is None else {**headers, "authorization": f"Bearer {secret}"}


def _model_info(entry: Any) -> ModelInfo:
    match entry:
        case {"name": str(name), "details": {"context_length": int(context_window)}}:
            return ModelInfo(id=name, context_window=context_window)
        case {"name": str(name)}:
            return ModelInfo(id=name)
        case _:
            raise malformed("a model has no name")
