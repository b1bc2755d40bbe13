"""What the caller gets when there is no answer to relay: errors, the list of models, the end mark.

All of it is in the dialect of OpenAI's API. The headers that belong to every answer (request id,
our own `x-switchgear-*`) are the server's.
"""

from __future__ import annotations

import difflib
import math
from bisect import bisect
from collections.abc import Iterable, Sequence
from typing import Final

from controlplane.table.outcome import Refusal, SkipReason
from dataplane.codec import encode
from dataplane.errors import ErrorClass, RequestRejected, UpstreamFailed
from dataplane.wire.checks import quoted
from dataplane.wire.hints import MAX_RETRY_AFTER_S
from dataplane.wire.masking import MAX_SHOWN_BYTES, cut, mask_secrets, one_line, shown

DONE: Final = b"data: [DONE]\n\n"
"""The end mark of a stream that ended well."""

MODELS_CREATED: Final = 1_767_225_600
"""`created` of every model, 2026-01-01: a constant, since clients compare lists."""

OWNER: Final = "switchgear"
"""`owned_by` of every model: callers are not told whose it is."""

_DEFAULT_RETRY_AFTER_S: Final = 1.0
"""What a caller is asked to wait when no upstream said how long."""

_MAX_KNOWN: Final = 100
"""Model names that are compared in search of the one that was meant: a hundred take 1 ms."""

# A later try can help; everything else has been tried as often as the budget allows, and the
# caller's own retries would multiply ours.
_RETRY_LATER: Final = frozenset(
    {ErrorClass.RATE_LIMIT, ErrorClass.OVERLOADED, ErrorClass.NOT_READY}
)

# Codes of OpenAI that say more than our class, and that clients act upon.
_SPECIFIC_CODES: Final = frozenset(
    {
        "invalid_value",
        "unsupported_parameter",
        "unsupported_value",
        "unknown_parameter",
        "missing_required_parameter",
        "invalid_type",
        "invalid_image_url",
        "invalid_function_parameters",
        "string_above_max_length",
        "array_above_max_length",
        "integer_below_min_value",
        "integer_above_max_value",
        "decimal_below_min_value",
        "decimal_above_max_value",
    }
)


def error_body(
    failure: RequestRejected | UpstreamFailed, trace_id: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """Build the status, the headers and the JSON body of an error.

    shape: `{"error": {"message", "type", "param", "code"}}`, with `trace_id` beside them if given.
    headers: `content-type`; `retry-after` (whole seconds) and `retry-after-ms` where waiting may
        help; `x-should-retry: false` where the caller's retries could not.

    Source: OpenAI API reference, error codes; openai-python 3.54, retry rules; read 2026-11-22.
    """
    headers = {"content-type": "application/json"}
    if isinstance(failure, UpstreamFailed):
        status = failure.policy.status
        headers |= _retry_headers(failure)
    else:
        status = failure.status
        if status == 401:
            headers["www-authenticate"] = "Bearer"
    return status, headers, encode({"error": _error(failure, trace_id)})


def error_event(failure: RequestRejected | UpstreamFailed, trace_id: str = "") -> bytes:
    """Build the event that ends a stream which broke; no end mark may follow it."""
    return b"data: " + encode({"error": _error(failure, trace_id)}) + b"\n\n"


def no_target(refusals: Sequence[Refusal]) -> RequestRejected | UpstreamFailed:
    """Build the error of a request whose targets were all skipped.

    Lacking features alone make it the caller's 400. All cooling down is a 429, everything else a
    503; both ask to wait until the first target may be tried again.
    """
    reasons = sorted({refusal.reason for refusal in refusals})
    if reasons == [SkipReason.CAPABILITY]:
        detail = refusals[0].detail
        return RequestRejected(
            "no target of this model supports the request" + (f": {detail}" if detail else ""),
            code="unsupported_parameter",
        )
    waits_s = [refusal.reopen_in_s for refusal in refusals if refusal.reopen_in_s is not None]
    retry_after_s = min(waits_s, default=None)
    if reasons == [SkipReason.COOLDOWN]:
        return UpstreamFailed(
            ErrorClass.RATE_LIMIT,
            "all targets of this model are rate limited",
            retry_after_s=retry_after_s,
        )
    why = f": {', '.join(reasons)}" if reasons else ""
    return UpstreamFailed(
        ErrorClass.OVERLOADED,
        f"no target of this model is available{why}",
        retry_after_s=retry_after_s,
    )


def unknown_model(model: str, known: Iterable[str]) -> RequestRejected:
    """Build the 404 for a model name that no route has, with the nearest known one.

    Among very many, it is sought where the name would stand: those that begin alike are there.
    """
    names = sorted(known)
    if len(names) > _MAX_KNOWN:
        first = max(0, bisect(names, model) - _MAX_KNOWN // 2)
        names = names[first : first + _MAX_KNOWN]
    near = difflib.get_close_matches(model, names, n=1)
    hint = f"; did you mean {quoted(near[0])}?" if near else ""
    return RequestRejected(
        f"the model {quoted(model)} does not exist{hint}",
        param="model",
        status=404,
        code="model_not_found",
    )


def models_body(names: Iterable[str]) -> bytes:
    """Build the list of models, in the order given."""
    return encode({"object": "list", "data": [_model(name) for name in names]})


def model_body(name: str) -> bytes:
    """Build one model."""
    return encode(_model(name))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": MODELS_CREATED, "owned_by": OWNER}


def _error(failure: RequestRejected | UpstreamFailed, trace_id: str) -> dict[str, object]:
    if isinstance(failure, UpstreamFailed):
        policy = failure.policy
        kind, code, message = policy.type, policy.code, shown(failure.message)
        unspecific = failure.error in {ErrorClass.BAD_REQUEST, ErrorClass.UNSUPPORTED}
        if unspecific and failure.provider_code in _SPECIFIC_CODES:
            code = failure.provider_code
    else:
        kind, code = failure.type, failure.code
        # Our words about the caller's text: an id in it must stay readable.
        message = cut(mask_secrets(one_line(failure.message)), MAX_SHOWN_BYTES)
    error: dict[str, object] = {
        "message": message,
        "type": kind,
        "param": failure.param,
        "code": code,
    }
    return error | {"trace_id": trace_id} if trace_id else error


def _retry_headers(failure: UpstreamFailed) -> dict[str, str]:
    if failure.error not in _RETRY_LATER:
        return {"x-should-retry": "false"}
    asked_s = failure.retry_after_s
    # A breaker may be just about to close: then there is nothing to wait for, but something to say.
    wait_s = asked_s if asked_s is not None and asked_s > 0 else _DEFAULT_RETRY_AFTER_S
    wait_s = min(wait_s, MAX_RETRY_AFTER_S)
    return {
        "retry-after": str(math.ceil(wait_s)),
        "retry-after-ms": str(math.ceil(wait_s * 1000)),
    }
