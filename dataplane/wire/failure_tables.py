"""How each provider type spells its failures: codes, phrases and statuses.

A new type is one more table. What is common stands once, a type's own entries replace it.

Source: the error sections of the vendors' API references, the server sources of vLLM, Ollama and
llama.cpp, and recorded exchanges, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dataplane.errors import ErrorClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """Words of a message that tell a class, where the wire has nothing better.

    text: in lower case, looked for anywhere in the message.
    statuses: of the answers in which it is believed. Messages quote the caller's text, so a
        phrase must never turn an answer into something that it cannot be. An error inside a
        stream has no status and is searched for all phrases.
    leads: whether the message must begin with it.
    """

    text: str
    error: ErrorClass
    statuses: frozenset[int]
    leads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureTable:
    """One provider type's spelling.

    codes: machine-readable codes and types, in lower case.
    phrases: the first that fits counts.
    statuses: every status that does not mean what its range says: 4xx bad_request, 5xx
        upstream_error.
    """

    codes: Mapping[str, ErrorClass] = field(default_factory=dict)
    phrases: Sequence[Phrase] = ()
    statuses: Mapping[int, ErrorClass] = field(default_factory=dict)


def _phrase(text: str, error: ErrorClass, *statuses: int, leads: bool = False) -> Phrase:
    return Phrase(text=text, error=error, statuses=frozenset(statuses), leads=leads)


_CODES: Final[Mapping[str, ErrorClass]] = {
    "context_length_exceeded": ErrorClass.CONTEXT_LENGTH,
    "exceed_context_size_error": ErrorClass.CONTEXT_LENGTH,  # llama.cpp, behind many names
    "content_filter": ErrorClass.CONTENT_POLICY,
    "content_policy_violation": ErrorClass.CONTENT_POLICY,
    "image_content_policy_violation": ErrorClass.CONTENT_POLICY,
    "invalid_prompt": ErrorClass.CONTENT_POLICY,
    "bio_policy": ErrorClass.CONTENT_POLICY,
    "cyber_policy": ErrorClass.CONTENT_POLICY,
    "invalid_api_key": ErrorClass.AUTH,
    "insufficient_quota": ErrorClass.QUOTA,
    "billing_hard_limit_reached": ErrorClass.QUOTA,
    "billing_not_active": ErrorClass.QUOTA,
    "rate_limit_exceeded": ErrorClass.RATE_LIMIT,
    "model_not_found": ErrorClass.MODEL_NOT_FOUND,
}

# Reasoning of another organisation, which a client sent back: only others can do without it.
_RESPONSES_CODES: Final[Mapping[str, ErrorClass]] = {
    "invalid_encrypted_content": ErrorClass.UNSUPPORTED,
}

_STATUSES: Final[Mapping[int, ErrorClass]] = {
    401: ErrorClass.AUTH,
    402: ErrorClass.QUOTA,
    403: ErrorClass.PERMISSION,
    404: ErrorClass.MODEL_NOT_FOUND,
    405: ErrorClass.CONFIG,
    407: ErrorClass.CONFIG,
    408: ErrorClass.TIMEOUT_UPSTREAM,
    409: ErrorClass.CONFLICT,
    413: ErrorClass.TOO_LARGE,
    424: ErrorClass.UPSTREAM_ERROR,
    429: ErrorClass.RATE_LIMIT,
    503: ErrorClass.OVERLOADED,
    504: ErrorClass.TIMEOUT_UPSTREAM,
    529: ErrorClass.OVERLOADED,
}

# vLLM's own, and of all that put vLLM or llama.cpp behind a gateway.
_VLLM_CODES: Final[Mapping[str, ErrorClass]] = {
    **_CODES,
    "not_supported_error": ErrorClass.UNSUPPORTED,
    "notimplementederror": ErrorClass.UNSUPPORTED,
}
_VLLM_PHRASES: Final = (
    _phrase("maximum context length", ErrorClass.CONTEXT_LENGTH, 400),
    _phrase("maximum model length", ErrorClass.CONTEXT_LENGTH, 400),
    _phrase("requires --enable-auto-tool-choice", ErrorClass.UNSUPPORTED, 400),
    _phrase("loading model", ErrorClass.NOT_READY, 503),
    _phrase("file not found", ErrorClass.CONFIG, 404),
)
_VLLM_STATUSES: Final[Mapping[int, ErrorClass]] = {**_STATUSES, 501: ErrorClass.UNSUPPORTED}
_NO_ROUTE: Final = _phrase("no route matched", ErrorClass.CONFIG, 404)

OPENAI: Final = FailureTable(
    codes={
        **_CODES,
        **_RESPONSES_CODES,
        "server_is_overloaded": ErrorClass.OVERLOADED,
        "slow_down": ErrorClass.OVERLOADED,
        "overloaded": ErrorClass.OVERLOADED,
    },
    phrases=(
        _phrase("maximum context length", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("does not exist or you do not have access", ErrorClass.MODEL_NOT_FOUND, 404),
    ),
    # An unknown model has a code of its own; without it the path is wrong.
    statuses={**_STATUSES, 404: ErrorClass.CONFIG},
)

# A 429 of a provisioned deployment is back-pressure; nothing in it tells it from a rate limit, and
# the same is right for both: a short cooldown, and the next target at once.
AZURE_OPENAI: Final = FailureTable(
    codes={
        **_CODES,
        **_RESPONSES_CODES,
        "responsibleaipolicyviolation": ErrorClass.CONTENT_POLICY,
        "deploymentnotfound": ErrorClass.MODEL_NOT_FOUND,
        "operationnotsupported": ErrorClass.UNSUPPORTED,
        "ratelimitreached": ErrorClass.RATE_LIMIT,
    },
    phrases=(_phrase("maximum context length", ErrorClass.CONTEXT_LENGTH, 400),),
    # Not the deployment, which has a code of its own: the path, or the api-version.
    statuses={**_STATUSES, 404: ErrorClass.CONFIG},
)

# A code that is a type (`invalid_request_error`) says no more than the status, and is left out.
ANTHROPIC: Final = FailureTable(
    codes={
        **_CODES,
        "contract_spend_limit_reached": ErrorClass.QUOTA,
        "enforced_spend_limit_reached": ErrorClass.QUOTA,
        "ramp_limit_exceeded": ErrorClass.RATE_LIMIT,
        "authentication_error": ErrorClass.AUTH,
        "billing_error": ErrorClass.QUOTA,
        "conflict_error": ErrorClass.CONFLICT,
        "overloaded_error": ErrorClass.OVERLOADED,
        "permission_error": ErrorClass.PERMISSION,
        "rate_limit_error": ErrorClass.RATE_LIMIT,
        "request_too_large": ErrorClass.TOO_LARGE,
        "timeout_error": ErrorClass.TIMEOUT_UPSTREAM,
    },
    phrases=(
        _phrase("prompt is too long", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("exceed context limit", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("maximum context length", ErrorClass.CONTEXT_LENGTH, 400),
        # An empty account is a 400; further on in a message it may be the caller's own text.
        _phrase("your credit balance is too low", ErrorClass.QUOTA, 400, leads=True),
        _phrase("credit balance is too low", ErrorClass.QUOTA, 400, leads=True),
        _phrase("content filtering policy", ErrorClass.CONTENT_POLICY, 400),
        _phrase("does not support", ErrorClass.UNSUPPORTED, 400),
        _phrase("for this model", ErrorClass.UNSUPPORTED, 400),
        _phrase("model:", ErrorClass.MODEL_NOT_FOUND, 404, leads=True),
        # A file that the caller named, which must not take the target from everyone else.
        _phrase("file", ErrorClass.BAD_REQUEST, 404),
        # Seen as `api_error` inside streams, with nothing but this word.
        _phrase("overloaded", ErrorClass.OVERLOADED, 500, 503, 529),
    ),
    # An unknown model says so in its message; without it the path is wrong.
    statuses={**_STATUSES, 404: ErrorClass.CONFIG, 499: ErrorClass.CLIENT_CANCELLED},
)

MISTRAL: Final = FailureTable(
    codes={
        **_CODES,
        "1300": ErrorClass.RATE_LIMIT,
        "1500": ErrorClass.MODEL_NOT_FOUND,
        "3051": ErrorClass.CONTEXT_LENGTH,
        "3230": ErrorClass.BAD_REQUEST,
        "3280": ErrorClass.BAD_REQUEST,
        "3505": ErrorClass.OVERLOADED,
        "rate_limited": ErrorClass.RATE_LIMIT,
        "service_tier_capacity_exceeded": ErrorClass.OVERLOADED,
    },
    phrases=(
        _phrase("too large for model with", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("maximum context length", ErrorClass.CONTEXT_LENGTH, 400),
        # Further on in a 400's message it may be the caller's own text.
        _phrase("invalid model", ErrorClass.MODEL_NOT_FOUND, 400, leads=True),
        _phrase("service tier capacity exceeded", ErrorClass.OVERLOADED, 429, 503),
        _phrase("monthly", ErrorClass.QUOTA, 402, 429),
        _phrase("spend limit", ErrorClass.QUOTA, 402, 429),
        _phrase("moderation", ErrorClass.CONTENT_POLICY, 403),
        _NO_ROUTE,
    ),
    statuses=_STATUSES,
)

OLLAMA: Final = FailureTable(
    codes=_CODES,
    phrases=(
        _phrase("context length", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("context size", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("does not support", ErrorClass.UNSUPPORTED, 400),
        _phrase("loading model", ErrorClass.NOT_READY, 500, 503),
        _phrase("server busy", ErrorClass.OVERLOADED, 503),
    ),
    statuses={**_STATUSES, 499: ErrorClass.CLIENT_CANCELLED, 501: ErrorClass.UNSUPPORTED},
)

VLLM: Final = FailureTable(
    codes=_VLLM_CODES,
    phrases=_VLLM_PHRASES,
    statuses={**_VLLM_STATUSES, 499: ErrorClass.CLIENT_CANCELLED},
)

OVHCLOUD: Final = FailureTable(
    codes=_VLLM_CODES,
    phrases=(
        *_VLLM_PHRASES,
        # A project without a means of payment is kept to a free tag.
        _phrase("discovery", ErrorClass.PERMISSION, 403),
        _phrase("payment", ErrorClass.QUOTA, 402, 403, 429),
        _NO_ROUTE,
    ),
    # A revoked key is a 403 here.
    statuses={**_VLLM_STATUSES, 403: ErrorClass.AUTH},
)

SCALEWAY: Final = FailureTable(
    codes=_VLLM_CODES,
    phrases=(
        _phrase("maximum context window", ErrorClass.CONTEXT_LENGTH, 400),
        *_VLLM_PHRASES,
    ),
    # An unknown key, or a wrong project, is a 403; an unknown model is a 422; a 404 is the path.
    statuses={
        **_VLLM_STATUSES,
        403: ErrorClass.AUTH,
        404: ErrorClass.CONFIG,
        422: ErrorClass.MODEL_NOT_FOUND,
    },
)

BEDROCK: Final = FailureTable(
    codes={
        "conflictexception": ErrorClass.BAD_REQUEST,
        "expiredtoken": ErrorClass.AUTH,
        "expiredtokenexception": ErrorClass.AUTH,
        "incompletesignature": ErrorClass.AUTH,
        "incompletesignatureexception": ErrorClass.AUTH,
        "internalserverexception": ErrorClass.UPSTREAM_ERROR,
        "invalidclienttokenid": ErrorClass.AUTH,
        "invalidsignatureexception": ErrorClass.AUTH,
        "missingauthenticationtoken": ErrorClass.AUTH,
        "missingauthenticationtokenexception": ErrorClass.AUTH,
        "modelerrorexception": ErrorClass.UPSTREAM_ERROR,
        # An imported model that is cold, though its status says that there were too many requests.
        "modelnotreadyexception": ErrorClass.NOT_READY,
        "modelstreamerrorexception": ErrorClass.UPSTREAM_ERROR,
        "modeltimeoutexception": ErrorClass.TIMEOUT_UPSTREAM,
        "requestentitytoolargeexception": ErrorClass.TOO_LARGE,
        "resourcenotfoundexception": ErrorClass.MODEL_NOT_FOUND,
        "servicequotaexceededexception": ErrorClass.QUOTA,
        "serviceunavailableexception": ErrorClass.OVERLOADED,
        "signaturedoesnotmatch": ErrorClass.AUTH,
        "unknownoperationexception": ErrorClass.CONFIG,
        "unrecognizedclientexception": ErrorClass.AUTH,
    },
    phrases=(
        # Three codes say too little without their messages: ValidationException, of the request or
        # of the model's name; ThrottlingException, of a minute or of a day; AccessDeniedException,
        # of the model or of an API key.
        _phrase("input is too long", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("body is too large", ErrorClass.TOO_LARGE, 400),
        _phrase("input tokens exceeded", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("too many input tokens", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("prompt is too long", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("maximum tokens you requested exceed", ErrorClass.CONTEXT_LENGTH, 400),
        _phrase("exceed context limit", ErrorClass.CONTEXT_LENGTH, 400),
        # Further on in a message these may be the caller's own text.
        _phrase(
            "the provided model identifier is invalid", ErrorClass.MODEL_NOT_FOUND, 400, leads=True
        ),
        _phrase("invocation of model id", ErrorClass.MODEL_NOT_FOUND, 400, leads=True),
        _phrase("this model doesn't support", ErrorClass.UNSUPPORTED, 400, leads=True),
        _phrase("tokens per day", ErrorClass.QUOTA, 429),
        _phrase("authentication failed", ErrorClass.AUTH, 403, leads=True),
        _phrase("the security token included in the request", ErrorClass.AUTH, 403, leads=True),
    ),
    statuses=_STATUSES,
)
