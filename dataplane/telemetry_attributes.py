"""Facts to span attributes; pure and total.

Whatever a caller or an upstream put into a field, the result holds only what an exporter can
encode: no None, no int beyond 64 bits, no float that is not finite, no text that is not UTF-8.
Content never gets here: of a request's body only numbers and words of closed sets are taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import UNSET

from controlplane.table.schema import Provider, ProviderType
from dataplane import telemetry_names as names
from dataplane.errors import UpstreamFailed
from dataplane.flight import Decision, FlightRecord
from dataplane.plain import PlainChat
from dataplane.provider import Operation, Request, ResponseFacts

Attribute: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = dict[str, Attribute]
_Put: TypeAlias = Callable[[Attributes, Any], None]

MAX_USER_AGENT_CHARS: Final = 256
MAX_HEADER_CHARS: Final = 128
MAX_TEXT_CHARS: Final = 256
MAX_PATH_CHARS: Final = 1024

_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_INT: Final = 2**63
_MAX_REASON_CHARS: Final = 64
_OUTPUT_TYPES: Mapping[str, str] = {"text": "text", "json_object": "json", "json_schema": "json"}
_ENCODINGS: Final = frozenset({"float", "base64"})
# Members by a name of their own: looking one up in its class costs more than comparing it.
_AZURE: Final = ProviderType.AZURE_OPENAI
_BEDROCK: Final = ProviderType.AWS_BEDROCK
_CHAT: Final = Operation.CHAT
_EMBEDDINGS: Final = Operation.EMBEDDINGS
_TOO_LATE: Final = Decision.TOO_LATE
_OPENAI_TYPES: Final = frozenset({ProviderType.OPENAI, _AZURE})


def clean_text(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """Cut to `limit` characters and replace what UTF-8 cannot say.

    Header values come in as surrogate escapes where the client sent other bytes; one of them
    would fail the encoding of a whole batch.
    """
    text = text[:limit]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def as_int(value: Any) -> int | None:
    """Give an int of 64 bits, or None for anything else (True is no number)."""
    # Not isinstance: a bool is an int, too.
    return value if type(value) is int and -_MAX_INT <= value < _MAX_INT else None


def as_double(value: Any) -> float | None:
    """Give a finite float of an int or a float, or None for anything else."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_word(value: Any) -> str | None:
    """Give a machine-readable word of at most 64 characters, or None for anything else."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


@lru_cache(maxsize=1024)
def server_of(base_url: str) -> tuple[str, int]:
    """Give host and port of a provider's base URL; the port is the scheme's if it names none."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        return "", 0
    return clean_text(parts.hostname or ""), port or (80 if parts.scheme == "http" else 443)


def request_start(
    method: str,
    route: str,
    *,
    path: str,
    scheme: str,
    server_address: str,
    server_port: int,
    user_agent: str,
) -> Attributes:
    """Give the attributes of a new server span: all that samplers see.

    route: the template, empty if the path matched none. path: cut before a query.
    """
    attributes: Attributes = {
        names.HTTP_METHOD: method if method in names.METHODS else "_OTHER",
        names.URL_PATH: clean_text(path.partition("?")[0], MAX_PATH_CHARS),
        names.URL_SCHEME: scheme,
        names.SERVER_ADDRESS: server_address,
        names.SERVER_PORT: server_port,
        names.PROTOCOL_VERSION: "1.1",
    }
    if route:
        attributes[names.HTTP_ROUTE] = route
    if user_agent:
        attributes[names.USER_AGENT] = clean_text(user_agent, MAX_USER_AGENT_CHARS)
    return attributes


def request_end(flight: FlightRecord) -> Attributes:
    """Give what a server span gets just before its end but for its times; the flight has ended."""
    attributes: Attributes = {names.ATTEMPTS: flight.attempts}
    if flight.outcome is not None:
        attributes[names.OUTCOME] = flight.outcome.value
    if flight.status is not None:
        attributes[names.HTTP_STATUS] = flight.status
    if flight.error_type:
        attributes[names.ERROR_TYPE] = flight.error_type
    if flight.model:
        attributes[names.MODEL] = clean_text(flight.model)
    if flight.route:
        attributes[names.ROUTE] = flight.route
        attributes[names.GENERATION] = flight.generation
    if flight.stream:
        attributes[names.STREAM] = True
    if flight.targets_skipped:
        attributes[names.SKIPPED] = flight.targets_skipped
    if flight.served_by:
        attributes[names.ENDPOINT] = flight.served_by
        if flight.failover:
            attributes[names.FAILOVER] = True
    if flight.path:
        attributes[names.PATH] = flight.path
    return attributes


def request_times(flight: FlightRecord) -> Attributes:
    """Give the times of a flight that has ended."""
    attributes: Attributes = {names.OVERHEAD: flight.overhead_s}
    if flight.stream:
        first_s = flight.time_to_first_chunk_s
        if first_s is not None:
            attributes[names.TIME_TO_FIRST_CHUNK] = first_s
    if flight.wasted_s:
        attributes[names.WASTED] = flight.wasted_s
    return attributes


def attempt_start(
    provider: Provider,
    model: str,
    operation: Operation,
    *,
    route: str,
    number: int,
    stream: bool,
) -> Attributes:
    """Give the attributes of a new attempt span but for those of its request's body.

    Those that samplers may use come first.
    """
    address, port = server_of(provider.base_url)
    attributes: Attributes = {
        names.OPERATION: operation.value,
        names.PROVIDER: names.PROVIDER_NAMES[provider.type],
        names.REQUEST_MODEL: model,
        names.SERVER_ADDRESS: address,
        names.SERVER_PORT: port,
        names.ENDPOINT: provider.name,
        names.ATTEMPT: number,
    }
    if route:
        attributes[names.ROUTE] = route
    if number > 1:
        attributes[names.HTTP_RESEND_COUNT] = number - 1
    if stream:
        attributes[names.REQUEST_STREAM] = True
    if operation is _CHAT and provider.type in _OPENAI_TYPES:
        attributes[names.OPENAI_API] = "chat_completions"
    if provider.type is _AZURE:
        attributes[names.AZURE_NAMESPACE] = names.AZURE_NAMESPACE_VALUE
    return attributes


def request_parameters(provider: Provider, request: Request) -> Attributes:
    """Give the attributes of an attempt span that the request's body decides."""
    attributes: Attributes = {}
    plain = request.plain
    if plain is not None:
        # Its body would first have to be made.
        unset = UNSET
        for number, value in enumerate(_plain_values(plain)):
            if value is not unset:
                _PLAIN_PUTS[number](attributes, value)
        return attributes
    body = request.body
    for field, value in body.items():
        known = _PARAMETERS.get(field)
        if known is not None:
            known(attributes, value)
    if request.operation is _EMBEDDINGS:
        encoding = body.get("encoding_format")
        if isinstance(encoding, str) and encoding in _ENCODINGS:
            attributes[names.REQUEST_ENCODINGS] = (encoding,)
    if provider.type in _OPENAI_TYPES:
        tier = as_word(body.get("service_tier"))
        if tier is not None and tier != "auto":
            attributes[names.OPENAI_REQUEST_TIER] = tier
    return attributes


def attempt_result(
    decision: Decision, status: int | None, error: str, model: str, reasons: Sequence[str]
) -> Attributes:
    """Give what an attempt came to.

    error: its `error.type`, empty if it did not fail. model, reasons: as the upstream said them.
    """
    attributes: Attributes = {names.DECISION: decision.value}
    if status is not None:
        attributes[names.HTTP_STATUS] = status
    if error:
        attributes[names.ERROR_TYPE] = error
    if model:
        attributes[names.RESPONSE_MODEL] = clean_text(model)
    if reasons:
        attributes[names.RESPONSE_FINISH_REASONS] = tuple(
            clean_text(reason, _MAX_REASON_CHARS) for reason in reasons
        )
    return attributes


def attempt_end(
    provider: Provider,
    *,
    facts: ResponseFacts | None,
    request_id: str,
    compat: bool,
) -> Attributes:
    """Give what only one attempt says just before its end, but for its stream's times."""
    attributes: Attributes = {}
    if request_id:
        request_id = clean_text(request_id, MAX_HEADER_CHARS)
        attributes[names.PROVIDER_REQUEST_ID] = request_id
        if provider.type is _AZURE:
            attributes[names.AZURE_REQUEST_ID] = request_id
        elif provider.type is _BEDROCK:
            attributes[names.AWS_REQUEST_ID] = request_id
    if facts is not None:
        _put_facts(attributes, facts, compat=compat)
    return attributes


def failure_details(failure: UpstreamFailed) -> Attributes:
    """Give what a failure said beside its `error.type`."""
    attributes: Attributes = {}
    code = as_word(failure.provider_code)
    if code is not None:
        attributes[names.PROVIDER_ERROR_CODE] = code
    wait_s = as_double(failure.retry_after_s)
    if wait_s is not None:
        attributes[names.RETRY_AFTER] = wait_s
    return attributes


def error_type(failure: UpstreamFailed) -> str:
    """Give the failure's `error.type`; what the closed list does not hold is `_OTHER`."""
    return failure.error_type if failure.error_type in names.ERROR_TYPES else "_OTHER"


def finish_reasons(
    request: Request, decision: Decision, facts: ResponseFacts | None
) -> tuple[str, ...]:
    """Give why each choice of an answer ended, in the choices' order; `error` where it is due."""
    reasons = facts.finish_reasons if facts is not None else {}
    if decision is not _TOO_LATE:
        return tuple([reasons[index][:_MAX_REASON_CHARS] for index in sorted(reasons)])
    # The answer had begun: each choice that has no reason yet was due one.
    choices = as_int(request.body.get("n")) or 1
    due = range(max(1, min(choices, 128)))
    return tuple([reasons.get(index, "error")[:_MAX_REASON_CHARS] for index in due])


def _put_double(name: str) -> _Put:
    def put(attributes: Attributes, value: Any) -> None:
        number = as_double(value)
        if number is not None:
            attributes[name] = number

    return put


def _put_int(name: str) -> _Put:
    def put(attributes: Attributes, value: Any) -> None:
        count = as_int(value)
        if count is not None:
            attributes[name] = count

    return put


def _put_max_tokens(attributes: Attributes, value: Any) -> None:
    count = as_int(value)
    if count is not None:
        # The newer name of this field wins, wherever it stands.
        attributes.setdefault(names.REQUEST_MAX_TOKENS, count)


def _put_choices(attributes: Attributes, value: Any) -> None:
    count = as_int(value)
    if count is not None and count != 1:
        attributes[names.REQUEST_CHOICES] = count


def _put_effort(attributes: Attributes, value: Any) -> None:
    effort = as_word(value)
    if effort is not None:
        attributes[names.REQUEST_REASONING_LEVEL] = effort


def _put_output(attributes: Attributes, value: Any) -> None:
    kind = value.get("type") if isinstance(value, Mapping) else None
    output = _OUTPUT_TYPES.get(kind) if isinstance(kind, str) else None
    if output is not None:
        attributes[names.OUTPUT_TYPE] = output


_PARAMETERS: Final[Mapping[str, _Put]] = {
    "temperature": _put_double(names.REQUEST_TEMPERATURE),
    "top_p": _put_double(names.REQUEST_TOP_P),
    "frequency_penalty": _put_double(names.REQUEST_FREQUENCY_PENALTY),
    "presence_penalty": _put_double(names.REQUEST_PRESENCE_PENALTY),
    "max_tokens": _put_max_tokens,
    "max_completion_tokens": _put_int(names.REQUEST_MAX_TOKENS),
    "top_k": _put_int(names.REQUEST_TOP_K),
    "seed": _put_int(names.REQUEST_SEED),
    "n": _put_choices,
    "reasoning_effort": _put_effort,
    "response_format": _put_output,
}
"""What becomes of the fields of a body; all others stay where they are."""

_PLAIN_FIELDS: Final = [name for name in PlainChat.__struct_fields__ if name in _PARAMETERS]
_PLAIN_PUTS: Final = [_PARAMETERS[name] for name in _PLAIN_FIELDS]
_plain_values: Final[Callable[[PlainChat], tuple[Any, ...]]] = attrgetter(*_PLAIN_FIELDS)
"""Reads all of them at once."""


# What upstreams count is looked at as anything: whatever is declared, no span is lost for it.


def _put_facts(attributes: Attributes, facts: ResponseFacts, *, compat: bool) -> None:
    counted: Any = facts
    if facts.response_id:
        attributes[names.RESPONSE_ID] = clean_text(facts.response_id)
    dimensions = as_int(counted.embedding_dimensions)
    if dimensions is not None:
        attributes[names.EMBEDDING_DIMENSIONS] = dimensions
    if facts.usage is not None:
        _put_usage(attributes, facts.usage, compat=compat)


def _put_usage(attributes: Attributes, usage: Any, *, compat: bool) -> None:
    _put_count(attributes, names.USAGE_INPUT, usage.input_tokens)
    _put_count(attributes, names.USAGE_OUTPUT, usage.output_tokens)
    _put_count(attributes, names.USAGE_CACHE_READ, usage.cache_read_tokens)
    _put_count(attributes, names.USAGE_CACHE_WRITE, usage.cache_write_tokens)
    _put_count(attributes, names.USAGE_REASONING, usage.reasoning_tokens)
    if compat and names.USAGE_CACHE_WRITE in attributes:
        attributes[names.USAGE_CACHE_CREATION] = attributes[names.USAGE_CACHE_WRITE]


def _put_count(attributes: Attributes, name: str, value: Any) -> None:
    count = as_int(value)
    if count is not None:
        attributes[name] = count
