"""What can go wrong with a request, and what may be done next.

    RequestRejected   the caller's fault, found before any provider is called: a 4xx, no retry
    UpstreamFailed    one attempt failed; its `error` (an ErrorClass) decides everything else

An ErrorClass is a row of POLICIES: the caller's status, retry here, try the next target, and the
effect on breakers. Status and provider codes decide the class; text only where the wire has
nothing better. Messages never hold bodies, headers or secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from controlplane.table.outcome import OutcomeKind


class ErrorClass(StrEnum):
    """The canonical classes of failure, one for each way of going on."""

    BAD_REQUEST = "bad_request"
    UNSUPPORTED = "unsupported"
    CONTEXT_LENGTH = "context_length"
    CONTENT_POLICY = "content_policy"
    TOO_LARGE = "too_large"
    AUTH = "auth"
    PERMISSION = "permission"
    MODEL_NOT_FOUND = "model_not_found"
    CONFIG = "config"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    NOT_READY = "not_ready"
    TIMEOUT_CONNECT = "timeout.connect"
    TIMEOUT_FIRST_BYTE = "timeout.first_byte"
    TIMEOUT_IDLE = "timeout.idle"
    TIMEOUT_TOTAL = "timeout.total"
    TIMEOUT_UPSTREAM = "timeout.upstream"
    CONNECTION = "connection"
    UNREACHABLE = "unreachable"
    UPSTREAM_ERROR = "upstream_error"
    BAD_RESPONSE = "bad_response"
    CONFLICT = "conflict"
    CLIENT_CANCELLED = "client_cancelled"
    STREAM_ABORT = "stream_abort"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a class of failure means.

    status, type, code: of the error that the caller gets if this failure is the last word.
    retries_here: how often the same target may be tried again, at most; the budget bounds it too.
    try_next: whether another target may be tried.
    effect: what the failure says about the target.
    shows_message: whether the upstream's own words may reach the caller. They must not where they
        hold account ids, host names or parts of keys.
    """

    status: int
    type: str
    code: str | None
    retries_here: int
    try_next: bool
    effect: OutcomeKind
    shows_message: bool = False


_INVALID = "invalid_request_error"
_SERVER = "server_error"
_IGNORED = OutcomeKind.IGNORED
_FAILURE = OutcomeKind.FAILURE

# status, type, code, retries here, try next, effect, message shown
_ROWS: Mapping[ErrorClass, tuple[int, str, str | None, int, bool, OutcomeKind, bool]] = {
    ErrorClass.BAD_REQUEST: (400, _INVALID, None, 0, False, _IGNORED, True),
    ErrorClass.UNSUPPORTED: (400, _INVALID, "unsupported_parameter", 0, True, _IGNORED, True),
    ErrorClass.CONTEXT_LENGTH: (400, _INVALID, "context_length_exceeded", 0, True, _IGNORED, True),
    ErrorClass.CONTENT_POLICY: (
        400,
        _INVALID,
        "content_policy_violation",
        0,
        False,
        _IGNORED,
        True,
    ),
    ErrorClass.TOO_LARGE: (413, _INVALID, None, 0, False, _IGNORED, True),
    ErrorClass.AUTH: (
        502,
        _SERVER,
        "upstream_auth_error",
        0,
        True,
        OutcomeKind.CREDENTIAL_REFUSED,
        False,
    ),
    ErrorClass.PERMISSION: (
        502,
        _SERVER,
        "upstream_auth_error",
        0,
        True,
        OutcomeKind.TARGET_BROKEN,
        False,
    ),
    ErrorClass.MODEL_NOT_FOUND: (
        502,
        _SERVER,
        "upstream_model_not_found",
        0,
        True,
        OutcomeKind.TARGET_BROKEN,
        False,
    ),
    ErrorClass.CONFIG: (
        502,
        _SERVER,
        "upstream_config_error",
        0,
        True,
        OutcomeKind.TARGET_BROKEN,
        False,
    ),
    ErrorClass.RATE_LIMIT: (
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        1,
        True,
        OutcomeKind.RATE_LIMITED,
        False,
    ),
    ErrorClass.QUOTA: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        0,
        True,
        OutcomeKind.QUOTA_EXHAUSTED,
        False,
    ),
    ErrorClass.OVERLOADED: (503, _SERVER, "overloaded", 1, True, _FAILURE, False),
    ErrorClass.NOT_READY: (503, _SERVER, "overloaded", 1, True, OutcomeKind.NOT_READY, False),
    ErrorClass.TIMEOUT_CONNECT: (504, _SERVER, "timeout", 1, True, _FAILURE, False),
    ErrorClass.TIMEOUT_FIRST_BYTE: (504, _SERVER, "timeout", 0, True, _FAILURE, False),
    ErrorClass.TIMEOUT_IDLE: (504, _SERVER, "timeout", 0, False, _FAILURE, False),
    ErrorClass.TIMEOUT_TOTAL: (504, _SERVER, "timeout", 0, True, _FAILURE, False),
    # The upstream itself said so (408, 504): its timer, not one of ours.
    ErrorClass.TIMEOUT_UPSTREAM: (504, _SERVER, "timeout", 1, True, _FAILURE, False),
    ErrorClass.CONNECTION: (502, _SERVER, "upstream_error", 1, True, _FAILURE, False),
    ErrorClass.UNREACHABLE: (502, _SERVER, "upstream_error", 0, True, _FAILURE, False),
    ErrorClass.UPSTREAM_ERROR: (502, _SERVER, "upstream_error", 1, True, _FAILURE, False),
    ErrorClass.BAD_RESPONSE: (502, _SERVER, "upstream_error", 1, True, _FAILURE, False),
    ErrorClass.CONFLICT: (409, _INVALID, None, 1, True, _IGNORED, False),
    ErrorClass.CLIENT_CANCELLED: (499, _INVALID, None, 0, False, _IGNORED, False),
    ErrorClass.STREAM_ABORT: (502, _SERVER, "upstream_error", 0, False, _FAILURE, False),
    ErrorClass.CREDENTIAL: (502, _SERVER, "upstream_auth_error", 0, True, _IGNORED, False),
}

POLICIES: Mapping[ErrorClass, Policy] = {
    cls: Policy(
        status=status,
        type=kind,
        code=code,
        retries_here=retries,
        try_next=try_next,
        effect=effect,
        shows_message=shows,
    )
    for cls, (status, kind, code, retries, try_next, effect, shows) in _ROWS.items()
}


class RequestRejected(Exception):  # noqa: N818 - it is an outcome of the request, named as such
    """The request cannot be served as it is; nothing was sent to a provider.

    param: the path of the offending field, like `messages[0].role`, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        status: int = 400,
        type: str = _INVALID,  # noqa: A002 - the wire's own word
        code: str | None = None,
    ) -> None:
        """Keep what the caller's error object needs."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.status = status
        self.type = type
        self.code = code


class UpstreamFailed(Exception):  # noqa: N818 - one attempt's outcome
    """One attempt failed.

    error: the class, which decides what is done next.
    message: our own words, or the upstream's where the class allows them to be shown.
    status: the upstream's HTTP status, None if none came.
    retry_after_s: seconds the upstream asks us to wait, None if it does not say.
    provider_code: its machine-readable code, for logs and spans; empty if none.
    param: the field that it blames, if it names one.
    error_type: value of the span attribute `error.type`, from the closed list.
    should_retry: the upstream's `x-should-retry`, None if absent; False forbids a retry here.
    """

    def __init__(
        self,
        error: ErrorClass,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        provider_code: str = "",
        param: str | None = None,
        error_type: str = "",
        should_retry: bool | None = None,
        request_id: str = "",
    ) -> None:
        """Keep what retry, fail-over, breaker, telemetry and the caller's error need."""
        super().__init__(message)
        self.error = error
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s
        self.provider_code = provider_code
        self.param = param
        self.error_type = error_type or _error_type(error, status)
        self.should_retry = should_retry
        self.request_id = request_id

    @property
    def policy(self) -> Policy:
        """What this failure means; see POLICIES."""
        return POLICIES[self.error]


def _error_type(error: ErrorClass, status: int | None) -> str:
    if status is not None and status >= 400:
        return str(status)
    match error:
        case (
            ErrorClass.TIMEOUT_CONNECT
            | ErrorClass.TIMEOUT_FIRST_BYTE
            | ErrorClass.TIMEOUT_IDLE
            | ErrorClass.TIMEOUT_TOTAL
        ):
            return error.value
        case ErrorClass.CONNECTION | ErrorClass.UNREACHABLE:
            return "connection.reset" if error is ErrorClass.CONNECTION else "connection.dns"
        case ErrorClass.BAD_RESPONSE:
            return "response.malformed"
        case ErrorClass.STREAM_ABORT:
            return "stream.truncated"
        case ErrorClass.CREDENTIAL:
            return "credential"
        case _:
            return "stream.error" if status == 200 else "_OTHER"
