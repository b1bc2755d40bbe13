"""Write canonical requests in Ollama's native format.

The native API is used, not its OpenAI shim, because the shim hides the context size and silent
truncation. Fields are serialised by allow-list:

* chat goes to /api/chat, completions to /api/generate, embeddings to /api/embed;
* sampling fields go into `options`, `reasoning_effort` becomes `think`, `response_format`
  becomes `format`;
* refused, because they change what the answer is: forced tool choices, n and best_of above 1,
  echo, audio, files, image URLs, custom tools, token input, several prompts;
* dropped with a warning: everything else that is not named here (user, metadata, logit_bias,
  service_tier, store, ...), unless its value is what happens anyway.

Absent sampling fields stay absent: the model file's own defaults hold.

Source: Ollama's docs/api.md and server 0.33.0, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.plain import whole_of
from dataplane.provider import Operation, Request
from dataplane.wire.ollama_messages import convert_messages, convert_tools, reject_unsupported
from dataplane.wire.openai_rules import IDENTITIES
from dataplane.wire.schemas import with_refs_inlined

PATHS: Final[Mapping[Operation, str]] = {
    Operation.CHAT: "/api/chat",
    Operation.COMPLETION: "/api/generate",
    Operation.EMBEDDINGS: "/api/embed",
}

# The caller's field -> Ollama's option. Of two names for one option the later wins.
_OPTIONS: Final[Mapping[str, str]] = {
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repetition_penalty": "repeat_penalty",
    "repeat_penalty": "repeat_penalty",
    "repeat_last_n": "repeat_last_n",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "stop": "stop",
}
_THINK: Final[Mapping[str, bool | str]] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "max": "max",
}
_ROUNDED_EFFORTS: Final = frozenset({"minimal", "xhigh"})
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serialized:
    """A body for Ollama. warnings: what was changed on the way, each once, in order."""

    body: bytes
    warnings: Sequence[str]


def serialize(
    request: Request,
    model: str,
    *,
    context_window: int | None = None,
    max_output_tokens: int | None = None,
) -> Serialized:
    """Write the body for `model`. Raises RequestRejected for what Ollama cannot do.

    context_window: tokens, sent as `num_ctx` so that the server does not choose a smaller one and
        cut the prompt to it without a word; None leaves the choice to the server.
    max_output_tokens: higher limits of the caller are clamped to it; None clamps nothing.
    """
    fields = _Fields(request.body)
    body: dict[str, Any] = {"model": model}
    match request.operation:
        case Operation.CHAT:
            _write_chat(body, fields)
        case Operation.COMPLETION:
            _write_completion(body, fields)
        case Operation.EMBEDDINGS:
            _write_embeddings(body, fields)
        case _:
            assert_never(request.operation)
    if request.operation is not Operation.EMBEDDINGS:
        _write_options(body, fields, max_output_tokens)
        _write_think(body, fields)
        body["stream"] = request.stream
        if request.strict:
            # The default cuts a conversation that is too long without a word.
            body["truncate"] = False
    if context_window is not None:
        body.setdefault("options", {})["num_ctx"] = context_window
    return Serialized(body=encode(body), warnings=tuple(dict.fromkeys(fields.all_warnings())))


class _Fields:
    """The caller's fields; what nobody took by the end has been dropped."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = whole_of(body)
        self._taken = {"model", "stream", "stream_options", "encoding_format"}
        self.warnings: list[str] = []

    def take(self, name: str) -> Any:
        """Give a field's value, None if absent."""
        self._taken.add(name)
        return self._body.get(name)

    def all_warnings(self) -> Sequence[str]:
        left = [
            f"dropped:{name if _SAFE_NAME.fullmatch(name) else 'unknown'}"
            for name, value in self._body.items()
            if name not in self._taken and not _is_identity(name, value)
        ]
        return [*self.warnings, *left]


def _is_identity(name: str, value: Any) -> bool:
    return value is None or (name in IDENTITIES and IDENTITIES[name] == value)


def _write_chat(body: dict[str, Any], fields: _Fields) -> None:
    _refuse_several(fields, "n")
    if "audio" in (fields.take("modalities") or ()) or fields.take("audio"):
        reject_unsupported("modalities", "Ollama writes no audio")
    messages = fields.take("messages")
    if not isinstance(messages, list):
        raise RequestRejected("messages must be a list", param="messages")
    converted = convert_messages(messages)
    fields.warnings.extend(converted.warnings)
    body["messages"] = converted.items

    tools = convert_tools(fields.take("tools") or (), fields.take("tool_choice"))
    fields.warnings.extend(tools.warnings)
    if tools.items:
        body["tools"] = tools.items
    answer_format = _format(fields.take("response_format"))
    if answer_format is not None:
        body["format"] = answer_format
        if tools.items:
            # The format usually wins, and no tool is called.
            fields.warnings.append("mapped:response_format")
    if fields.take("logprobs"):
        body["logprobs"] = True
        if (top := fields.take("top_logprobs")) is not None:
            body["top_logprobs"] = top


def _write_completion(body: dict[str, Any], fields: _Fields) -> None:
    _refuse_several(fields, "n")
    _refuse_several(fields, "best_of")
    if fields.take("echo"):
        reject_unsupported("echo", "Ollama does not repeat the prompt")
    body["prompt"] = _prompt(fields.take("prompt"))
    if suffix := fields.take("suffix"):
        body["suffix"] = suffix
    # An integer here, how many alternatives to list; 0 still lists the chosen tokens.
    top = fields.take("logprobs")
    if top is not None and top is not False:
        body["logprobs"] = True
        body["top_logprobs"] = top


def _write_embeddings(body: dict[str, Any], fields: _Fields) -> None:
    texts = fields.take("input")
    if not isinstance(texts, str) and not (
        isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    ):
        reject_unsupported("input", "Ollama embeds texts, not tokens")
    body["input"] = texts
    # The default cuts what is too long without a word.
    body["truncate"] = False
    if (dimensions := fields.take("dimensions")) is not None:
        body["dimensions"] = dimensions


def _write_options(body: dict[str, Any], fields: _Fields, max_output_tokens: int | None) -> None:
    options: dict[str, Any] = {}
    for name, option in _OPTIONS.items():
        if (value := fields.take(name)) is not None:
            options[option] = value
    limit = options.get("num_predict")
    if max_output_tokens is not None and isinstance(limit, int) and limit > max_output_tokens:
        options["num_predict"] = max_output_tokens
        fields.warnings.append("clamped:max_tokens")
    if options:
        body["options"] = options


def _write_think(body: dict[str, Any], fields: _Fields) -> None:
    effort = fields.take("reasoning_effort")
    if effort is None:
        return
    if not isinstance(effort, str) or effort not in _THINK:
        raise RequestRejected(
            "unknown reasoning_effort", param="reasoning_effort", code="unsupported_value"
        )
    body["think"] = _THINK[effort]
    if effort in _ROUNDED_EFFORTS:
        fields.warnings.append("mapped:reasoning_effort")


def _refuse_several(fields: _Fields, name: str) -> None:
    if fields.take(name) not in (None, 1):
        reject_unsupported(name, f"Ollama writes one choice, {name} must be 1")


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, list):
        if any(not isinstance(item, str) for item in prompt):
            reject_unsupported("prompt", "Ollama takes text, not tokens")
        if len(prompt) > 1:
            reject_unsupported("prompt", "Ollama takes one prompt at a time")
        prompt = prompt[0] if prompt else ""
    if not isinstance(prompt, str) or not prompt:
        # An empty prompt would only load the model.
        raise RequestRejected("prompt must be a string that is not empty", param="prompt")
    return prompt


def _format(response_format: Any) -> Any:
    match response_format:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return "json"
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            # Whether references are followed depends on the server's version.
            return with_refs_inlined(schema)
        case {"type": "json_schema"}:
            return "json"
        case _:
            return reject_unsupported("response_format", "unknown type of response_format")
