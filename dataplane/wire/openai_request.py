"""Writes canonical requests as OpenAI's JSON, within the rules of one upstream.

They were checked when they came in, and are written by allow-list: strict servers refuse what they do not know, lenient ones ignore it without a word,
and both are cured by sending only what is known to be understood. Nulls are never sent: some
servers treat them differently from absence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, assert_never

from msgspec import Struct

from dataplane.codec import encode
from dataplane.errors import RequestRejected
from dataplane.provider import Operation, Request
from dataplane.wire.openai_messages import with_json_words, write_messages
from dataplane.wire.openai_rules import CONTRACT, Rules
from dataplane.wire.openai_tools import fitted_names, write_response_format, write_tools
from dataplane.wire.taken_fields import is_identity

# Fields that have a writer of their own, and those that are no business of the upstream.
_WRITTEN: Final = frozenset(
    {
        "function_call",
        "functions",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    }
)
_COMPLETION_WRITTEN: Final = frozenset(
    {"max_tokens", "model", "prompt", "stop", "stream", "stream_options"}
)
_EMBEDDING_WRITTEN: Final = frozenset({"dimensions", "encoding_format", "input", "model"})
_GUIDED: Final[Mapping[str, str]] = {
    "guided_json": "json",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
}
_LEAST_TOP_P: Final = 0.001
# Names of fields end up in a response header.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# How vLLM is asked to go on from a last message instead of answering it.
_CONTINUE: Final[Mapping[str, bool]] = {
    "continue_final_message": True,
    "add_generation_prompt": False,
}


class Serialized(Struct, frozen=True, kw_only=True):
    """A body for the upstream.

    warnings: what was changed on the way, each once. names: the upstream's names of tools -> the
    caller's, for those that were changed.
    """

    body: bytes
    warnings: Sequence[str] = ()
    names: Mapping[str, str] = {}


def serialize(request: Request, model: str, rules: Rules) -> Serialized:
    """Write the body for the upstream's `model`.

    shape: `model` first, then the input, then options, `stream` last; `stream` only for a stream.
    errors: RequestRejected names the field that the upstream cannot be told.
    """
    match request.operation:
        case Operation.CHAT:
            return _chat(request, model, rules)
        case Operation.COMPLETION:
            return _completion(request, model, rules)
        case Operation.EMBEDDINGS:
            return _embeddings(request, model, rules)
        case _:
            assert_never(request.operation)


def refuses_functions(request: Request, rules: Rules) -> bool:
    """Tell whether chat completions refuses a request's functions at its effort."""
    if rules.tools_at is None or not _has_functions(request.body):
        return False
    effort = request.body.get("reasoning_effort", "")
    return (rules.efforts or {}).get(effort, "") not in rules.tools_at


def _chat(request: Request, model: str, rules: Rules) -> Serialized:
    body = request.body
    warnings: list[str] = []
    names = fitted_names(body.get("tools", ()), body["messages"])
    written: dict[str, Any] = {
        "model": model,
        "messages": write_messages(body["messages"], rules, names, warnings),
    }
    if rules.asks_to_continue and body["messages"][-1]["role"] == "assistant":
        # What the caller says of it is written later, with all that passes.
        written |= _CONTINUE if not body.keys() & _CONTINUE.keys() else {}
    effort = write_effort(written, body.get("reasoning_effort"), rules, warnings)
    reasons = effort in rules.reasons_at
    passes = rules.passes if reasons else rules.passes | rules.quiet_passes
    written |= write_tools(body, rules, names, warnings)
    if rules.tools_at is not None and effort not in rules.tools_at and _has_functions(written):
        raise RequestRejected(
            f"model {model} does not call functions here while it reasons",
            param="reasoning_effort",
            code="unsupported_parameter",
        )
    _write_max_tokens(written, body, rules, warnings)
    _write_sampling(written, body, rules, passes, warnings)
    _write_stop(written, body, rules, passes)
    answer_format = body.get("response_format")
    if answer_format is not None:
        named = isinstance(written.get("tool_choice"), dict)
        written["response_format"] = write_response_format(answer_format, rules, named_tool=named)
        if rules.json_needs_words and written["response_format"].get("type") == "json_object":
            written["messages"] = with_json_words(written["messages"], warnings)
    tier = body.get("service_tier")
    if tier is not None:
        if "service_tier" in passes and (
            rules.service_tiers is None or tier in rules.service_tiers
        ):
            written["service_tier"] = tier
        else:
            _leave_out("service_tier", tier, warnings)
    _write_rest(written, body, rules, passes, done=_WRITTEN, warnings=warnings)
    _write_stream(written, request, rules, warnings)
    return Serialized(
        body=encode(written),
        warnings=tuple(dict.fromkeys(warnings)),
        names={fitted: name for name, fitted in names.items()},
    )


def _completion(request: Request, model: str, rules: Rules) -> Serialized:
    passes = rules.completion_passes
    if passes is None:
        raise RequestRejected(
            "text completions are not supported by this provider",
            param="model",
            code="unsupported_parameter",
        )
    body = request.body
    warnings: list[str] = []
    written: dict[str, Any] = {"model": model, "prompt": body["prompt"]}
    if (limit := body.get("max_tokens")) is not None:
        written["max_tokens"] = clamped_tokens(limit, rules, warnings)
    _write_stop(written, body, rules, passes)
    _write_rest(written, body, rules, passes, done=_COMPLETION_WRITTEN, warnings=warnings)
    _write_stream(written, request, rules, warnings)
    return Serialized(body=encode(written), warnings=tuple(dict.fromkeys(warnings)))


def _embeddings(request: Request, model: str, rules: Rules) -> Serialized:
    how = rules.embeddings
    body = request.body
    warnings: list[str] = []
    given = body["input"]
    if not how.tokens and not _is_text(given):
        raise RequestRejected(
            "input of token ids is not supported by this provider, and cannot be turned into text",
            param="input",
            code="unsupported_value",
        )
    written: dict[str, Any] = {"model": model, "input": given}
    dimensions = body.get("dimensions")
    if dimensions is not None:
        if not how.dimensions:
            _leave_out("dimensions", dimensions, warnings)
        written[how.dimensions] = dimensions
    if request.base64 and how.base64:
        written["encoding_format"] = "base64"
    elif how.base64 and body.get("encoding_format") is not None:
        written["encoding_format"] = "float"
    _write_rest(written, body, rules, how.passes, done=_EMBEDDING_WRITTEN, warnings=warnings)
    return Serialized(body=encode(written), warnings=tuple(dict.fromkeys(warnings)))


def write_effort(written: dict[str, Any], effort: Any, rules: Rules, warnings: list[str]) -> str:
    """Write `reasoning_effort`, and return the one that the upstream sees; empty if none."""
    if effort is None:
        return ""
    if rules.efforts is None:
        if effort != "none":
            warnings.append("dropped:reasoning_effort")
        return ""
    if not isinstance(effort, str) or effort not in rules.efforts:
        raise RequestRejected(
            f"reasoning_effort {effort!r} is not supported by this model",
            param="reasoning_effort",
            code="unsupported_value",
        )
    sent = rules.efforts[effort]
    if sent is None:
        return effort
    written[rules.effort_field] = sent
    if sent != effort:
        warnings.append("mapped:reasoning_effort")
    if rules.thinking_switch and effort == "none":
        written["chat_template_kwargs"] = {"enable_thinking": False}
    return str(sent)


def _write_max_tokens(
    written: dict[str, Any], body: Mapping[str, Any], rules: Rules, warnings: list[str]
) -> None:
    for name in ("max_completion_tokens", "max_tokens"):
        # If both are given, the newer name wins.
        if (limit := body.get(name)) is not None:
            written[rules.max_tokens or name] = clamped_tokens(limit, rules, warnings)
            return


def clamped_tokens(limit: Any, rules: Rules, warnings: list[str]) -> Any:
    """Keep a limit of tokens within what the manifest says that the model writes."""
    most = rules.max_output_tokens
    if most is not None and isinstance(limit, int) and limit > most:
        warnings.append("clamped:max_tokens")
        return most
    return limit


def _write_sampling(
    written: dict[str, Any],
    body: Mapping[str, Any],
    rules: Rules,
    passes: frozenset[str],
    warnings: list[str],
) -> None:
    temperature = body.get("temperature")
    if temperature is not None:
        if "temperature" not in passes:
            _leave_out("temperature", temperature, warnings)
        elif isinstance(temperature, int | float) and temperature > rules.max_temperature:
            written["temperature"] = rules.max_temperature
            warnings.append("clamped:temperature")
        else:
            written["temperature"] = temperature
    top_p = body.get("top_p")
    if top_p is not None:
        if "top_p" not in passes:
            _leave_out("top_p", top_p, warnings)
        elif rules.top_p_above_zero and top_p == 0:
            written["top_p"] = _LEAST_TOP_P
            warnings.append("clamped:top_p")
        else:
            written["top_p"] = top_p


def _write_stop(
    written: dict[str, Any], body: Mapping[str, Any], rules: Rules, passes: frozenset[str]
) -> None:
    stop = body.get("stop")
    if not stop:
        return
    if "stop" not in passes:
        raise _unsupported("stop")
    if rules.max_stops is not None and isinstance(stop, list) and len(stop) > rules.max_stops:
        raise RequestRejected(
            f"at most {rules.max_stops} stop sequences are supported by this provider",
            param="stop",
            code="unsupported_value",
        )
    written["stop"] = stop


def _write_rest(
    written: dict[str, Any],
    body: Mapping[str, Any],
    rules: Rules,
    passes: frozenset[str],
    *,
    done: Iterable[str],
    warnings: list[str],
) -> None:
    """Write the fields that need no thought, and account for those that are not sent."""
    for name, value in body.items():
        if value is None or name in done:
            continue
        if name in rules.renamed:
            written[rules.renamed[name]] = value
        elif name in passes:
            # A switch that was set on the way stays, what the caller set beside it too.
            if isinstance(value, dict) and isinstance(set_here := written.get(name), dict):
                value = {**set_here, **value}  # noqa: PLW2901 - the field's new value
            written[name] = value
        elif name in _GUIDED and rules.guided:
            written.setdefault("structured_outputs", {})[_GUIDED[name]] = value
            warnings.append(f"mapped:{name}")
        else:
            _leave_out(name, value, warnings)


def _write_stream(
    written: dict[str, Any], request: Request, rules: Rules, warnings: list[str]
) -> None:
    """Ask for a stream, and for its usage, which telemetry wants even if the caller does not."""
    if not request.stream:
        return
    written["stream"] = True
    if not rules.stream_usage:
        return
    options: dict[str, Any] = {"include_usage": True}
    for name, value in (request.body.get("stream_options") or {}).items():
        if name == "include_obfuscation" and rules.obfuscation:
            options[name] = value
        elif name != "include_usage" and value:
            _leave_out(f"stream_options.{name}", value, warnings)
    written["stream_options"] = options


def _leave_out(name: str, value: Any, warnings: list[str]) -> None:
    """Account for a field that is not sent: silently, with a warning, or not at all."""
    if is_identity(name, value):
        return
    if name in CONTRACT:
        raise _unsupported(name)
    warnings.append(f"dropped:{name if _PLAIN_NAME.fullmatch(name) else 'unknown'}")


def _unsupported(name: str) -> RequestRejected:
    return RequestRejected(
        f"{name} is not supported by this provider",
        param=name,
        code="unsupported_parameter",
    )


def _has_functions(written: Mapping[str, Any]) -> bool:
    return any(tool["type"] == "function" for tool in written.get("tools", ()))


def _is_text(given: Any) -> bool:
    return isinstance(given, str) or (
        isinstance(given, list) and all(isinstance(item, str) for item in given)
    )
