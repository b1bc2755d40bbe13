"""Recognises failures: an upstream's answer, of any shape, becomes one UpstreamFailed.

One order of recognition for all provider types; what differs are tables (`failure_tables`). The
provider's code decides first, then phrases that are bound to statuses, then the status. Transport
failures are not answers, and are classified where they are caught.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from controlplane.table.outcome import OutcomeKind
from dataplane.errors import POLICIES, ErrorClass, UpstreamFailed
from dataplane.provider import HttpResponse
from dataplane.wire import hints
from dataplane.wire.failure_bodies import Reported, read_body, read_value
from dataplane.wire.failure_tables import (
    AZURE_OPENAI,
    MISTRAL,
    OLLAMA,
    OPENAI,
    OVHCLOUD,
    SCALEWAY,
    VLLM,
    FailureTable,
    Phrase,
)
from dataplane.wire.masking import cut, holds_secret, mask, shown

__all__ = [
    "AZURE_OPENAI",
    "MISTRAL",
    "OLLAMA",
    "OPENAI",
    "OVHCLOUD",
    "PHRASES",
    "SCALEWAY",
    "VLLM",
    "FailureTable",
    "Phrase",
    "classify",
    "classify_event",
    "request_id",
]

PHRASES: Final[Mapping[ErrorClass, str]] = {
    ErrorClass.BAD_REQUEST: "the provider refused the request",
    ErrorClass.UNSUPPORTED: "the provider does not support the request",
    ErrorClass.CONTEXT_LENGTH: "the request exceeds the model's maximum context length",
    ErrorClass.CONTENT_POLICY: "the provider's content policy refused the request",
    ErrorClass.TOO_LARGE: "the request is too large for the provider",
    ErrorClass.AUTH: "the provider refused the configured credential",
    ErrorClass.PERMISSION: "the configured credential may not do this at the provider",
    ErrorClass.MODEL_NOT_FOUND: "the provider does not have the configured model",
    ErrorClass.CONFIG: "the provider does not know the configured address",
    ErrorClass.RATE_LIMIT: "the provider's rate limit is reached",
    ErrorClass.QUOTA: "the quota or credit at the provider is used up",
    ErrorClass.OVERLOADED: "the provider is overloaded",
    ErrorClass.NOT_READY: "the provider is not ready yet",
    ErrorClass.TIMEOUT_CONNECT: "connecting to the provider timed out",
    ErrorClass.TIMEOUT_FIRST_BYTE: "the provider did not begin to answer in time",
    ErrorClass.TIMEOUT_IDLE: "the provider stopped sending",
    ErrorClass.TIMEOUT_TOTAL: "the provider did not finish in time",
    ErrorClass.TIMEOUT_UPSTREAM: "the provider reported a timeout of its own",
    ErrorClass.CONNECTION: "the connection to the provider broke",
    ErrorClass.UNREACHABLE: "the provider cannot be reached",
    ErrorClass.UPSTREAM_ERROR: "the provider reported an internal error",
    ErrorClass.BAD_RESPONSE: "the provider's answer cannot be read",
    ErrorClass.CONFLICT: "the provider reported a conflict",
    ErrorClass.CLIENT_CANCELLED: "the request was cancelled",
    ErrorClass.STREAM_ABORT: "the provider's answer broke off",
    ErrorClass.CREDENTIAL: "the configured credential cannot be read",
}
"""What is said of each class where the upstream's own words may not be shown, or are missing."""

# Clients and agent frameworks look for one of these words before they shorten a conversation.
_CONTEXT_MARKS: Final = ("maximum context length", "prompt is too long", "context_length_exceeded")
_CONTEXT_SUFFIX: Final = " (maximum context length exceeded)"

# Types that say no more than a status does; for errors inside a stream, which have none.
_TYPES: Final[Mapping[str, ErrorClass]] = {
    "invalid_request_error": ErrorClass.BAD_REQUEST,
    "badrequesterror": ErrorClass.BAD_REQUEST,
    "bad request": ErrorClass.BAD_REQUEST,
    "authentication_error": ErrorClass.AUTH,
    "permission_error": ErrorClass.PERMISSION,
    "not_found_error": ErrorClass.MODEL_NOT_FOUND,
    "notfounderror": ErrorClass.MODEL_NOT_FOUND,
    "rate_limit_error": ErrorClass.RATE_LIMIT,
    "requests": ErrorClass.RATE_LIMIT,
    "tokens": ErrorClass.RATE_LIMIT,
    "timeout_error": ErrorClass.TIMEOUT_UPSTREAM,
    "overloaded_error": ErrorClass.OVERLOADED,
    "overloaded": ErrorClass.OVERLOADED,
    "serviceunavailableerror": ErrorClass.OVERLOADED,
    "unavailable_error": ErrorClass.NOT_READY,
    "validationexception": ErrorClass.BAD_REQUEST,
    "throttlingexception": ErrorClass.RATE_LIMIT,
    "accessdeniedexception": ErrorClass.PERMISSION,
}

_REQUEST_ID_HEADERS: Final = (
    "x-request-id",
    "request-id",
    "apim-request-id",
    "mistral-correlation-id",
    "inference-id",
    "x-kong-request-id",
    "x-amzn-requestid",
    "x-ms-client-request-id",
)

_MODEL_PARAMS: Final = frozenset({"model", "deployment"})
_LIMIT_CLASSES: Final = frozenset({ErrorClass.RATE_LIMIT, ErrorClass.QUOTA})
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_MAX_PARAM_BYTES: Final = 128


def classify(response: HttpResponse, table: FailureTable) -> UpstreamFailed:
    """Classify an answer that is not the one asked for. Total: any status and bytes give a class.

    Statuses below 400 are accepted too: a redirection is `config` (the base URL is wrong), an
    error object inside a 2xx is read like one inside a stream, the rest is `bad_response`.
    """
    reported = read_body(response.body, response.headers)
    status = response.status
    if status >= 400:
        error = _by_status(reported, status, table)
    elif 300 <= status:
        error = ErrorClass.CONFIG
    elif reported.message or reported.codes:
        error = _by_event(reported, table)
    else:
        error = ErrorClass.BAD_RESPONSE
    wait_s = hints.retry_after_s if error in _LIMIT_CLASSES else hints.asked_wait_s
    return UpstreamFailed(
        error,
        _shown(reported.message, error),
        status=status,
        retry_after_s=wait_s(response.headers),
        provider_code=_provider_code(reported.codes),
        param=_shown_param(reported.param),
        should_retry=hints.should_retry(response.headers),
        request_id=request_id(response.headers) or _safe_id(reported.request_id),
    )


def classify_event(error: Any, table: FailureTable) -> UpstreamFailed:
    """Classify an error that came inside a 200 stream. Total: any JSON value gives a class.

    error: the value under `error`, or the whole object that holds it. `status` of the result is
    the object's numeric code if that is an HTTP status, else None.
    """
    reported = read_value(error if _is_frame(error) else {"error": error})
    found = _by_event(reported, table)
    return UpstreamFailed(
        found,
        _shown(reported.message, found),
        status=_status_in(reported.codes),
        provider_code=_provider_code(reported.codes),
        param=_shown_param(reported.param),
        error_type="stream.error",
        request_id=_safe_id(reported.request_id),
    )


def request_id(headers: Mapping[str, str]) -> str:
    """Return the upstream's name for the request, whichever header it uses; empty if none."""
    for name in _REQUEST_ID_HEADERS:
        # Most answers have none of them.
        if name in headers and (found := _safe_id(headers[name])):
            return found
    return ""


def _by_status(reported: Reported, status: int, table: FailureTable) -> ErrorClass:
    told = _by_words(reported, status, table)
    if told is not None:
        return told
    if status == 404 and not reported.is_json:
        # Model servers answer in JSON; this is a web server in front of, or instead of one.
        return ErrorClass.CONFIG
    default = ErrorClass.UPSTREAM_ERROR if status >= 500 else ErrorClass.BAD_REQUEST
    error = table.statuses.get(status, default)
    param = reported.param
    if POLICIES[error].effect is OutcomeKind.TARGET_BROKEN and status in {404, 422}:
        # Something else was not found or not valid. That is the request's fault: a caller must
        # not be able to take the target from everyone else.
        return ErrorClass.BAD_REQUEST if param and param not in _MODEL_PARAMS else error
    return error


def _by_event(reported: Reported, table: FailureTable) -> ErrorClass:
    status = _status_in(reported.codes)
    told = _by_words(reported, status, table)
    if told is not None:
        return told
    if status is not None:
        return _by_status(reported, status, table)
    for code in reported.codes:
        error = _TYPES.get(code.lower())
        if error is not None:
            return error
    return ErrorClass.UPSTREAM_ERROR


def _by_words(reported: Reported, status: int | None, table: FailureTable) -> ErrorClass | None:
    """Ask the table of codes, then that of phrases."""
    for code in reported.codes:
        error = table.codes.get(code.lower())
        if error is not None:
            return error
    text = reported.message.lower()
    for phrase in table.phrases:
        if status is None or status in phrase.statuses:
            found = text.startswith(phrase.text) if phrase.leads else phrase.text in text
            if found:
                return phrase.error
    return None


def _is_frame(error: Any) -> bool:
    return isinstance(error, dict) and "error" in error


def _status_in(codes: Sequence[str]) -> int | None:
    """Return the HTTP status among the codes, or None."""
    for code in codes:
        if len(code) == 3 and code.isascii() and code.isdigit() and 400 <= int(code) <= 599:
            return int(code)
    return None


def _shown(message: str, error: ErrorClass) -> str:
    """Return the upstream's words where they may be shown, else ours."""
    words = shown(message) if POLICIES[error].shows_message else ""
    if not words:
        return PHRASES[error]
    if error is ErrorClass.CONTEXT_LENGTH and not _has_context_mark(words):
        return words + _CONTEXT_SUFFIX
    return words


def _has_context_mark(text: str) -> bool:
    lowered = text.lower()
    return any(mark in lowered for mark in _CONTEXT_MARKS)


def _provider_code(codes: Sequence[str]) -> str:
    for code in codes:
        if _CODE.fullmatch(code) and mask(code) == code:
            return code
    return ""


def _shown_param(param: str) -> str | None:
    return cut(shown(param), _MAX_PARAM_BYTES) or None


def _safe_id(value: str) -> str:
    return value if _REQUEST_ID.fullmatch(value) and not holds_secret(value) else ""
