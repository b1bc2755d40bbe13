"""Each way in which Bedrock says no has its class."""

from __future__ import annotations

import json

import pytest

from dataplane.errors import ErrorClass
from dataplane.provider import HttpResponse
from dataplane.wire.failure_tables import BEDROCK
from dataplane.wire.failures import classify

AUTH = ErrorClass.AUTH
ROWS = [
    (400, "ValidationException", "1 validation error detected", ErrorClass.BAD_REQUEST),
    (400, "ValidationException", "Input is too long for requested model.", ErrorClass.CONTEXT_LENGTH),
    (400, "ValidationException", "Input Tokens Exceeded: 1 > 0", ErrorClass.CONTEXT_LENGTH),
    (400, "ValidationException", "Too many input tokens. Max input tokens: 8192", ErrorClass.CONTEXT_LENGTH),
    (400, "ValidationException", "prompt is too long: 300000 tokens > 200000 maximum", ErrorClass.CONTEXT_LENGTH),
    (400, "ValidationException", "The maximum tokens you requested exceeds the model limit of 5120.", ErrorClass.CONTEXT_LENGTH),
    (400, "ValidationException", "The provided model identifier is invalid.", ErrorClass.MODEL_NOT_FOUND),
    (400, "ValidationException", "Invocation of model ID anthropic.x with on-demand throughput isn\u2019t supported.", ErrorClass.MODEL_NOT_FOUND),
    (400, "ValidationException", "you wrote: the provided model identifier is invalid", ErrorClass.BAD_REQUEST),
    (400, "ValidationException", "This model doesn't support tool use.", ErrorClass.UNSUPPORTED),
    (400, "ServiceQuotaExceededException", "x", ErrorClass.QUOTA),
    (400, "ConflictException", "x", ErrorClass.BAD_REQUEST),
    (400, "IncompleteSignature", "x", AUTH),
    (400, "", "x", ErrorClass.BAD_REQUEST),
    (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.", ErrorClass.PERMISSION),
    (403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.", AUTH),
    (403, "UnrecognizedClientException", "The security token included in the request is invalid.", AUTH),
    (403, "", "The security token included in the request is expired", AUTH),
    (403, "ExpiredTokenException", "x", AUTH),
    (403, "InvalidSignatureException", "x", AUTH),
    (403, "MissingAuthenticationToken", "Missing Token", AUTH),
    (403, "", "x", ErrorClass.PERMISSION),
    (404, "ResourceNotFoundException", "x", ErrorClass.MODEL_NOT_FOUND),
    (404, "UnknownOperationException", "x", ErrorClass.CONFIG),
    (408, "ModelTimeoutException", "x", ErrorClass.TIMEOUT_UPSTREAM),
    (413, "RequestEntityTooLargeException", "x", ErrorClass.TOO_LARGE),
    (424, "ModelErrorException", "x", ErrorClass.UPSTREAM_ERROR),
    (429, "ThrottlingException", "Too many requests, please wait before trying again.", ErrorClass.RATE_LIMIT),
    (429, "ThrottlingException", "Too many tokens per day, please wait before trying again.", ErrorClass.QUOTA),
    (429, "ModelNotReadyException", "x", ErrorClass.NOT_READY),
    (500, "InternalServerException", "x", ErrorClass.UPSTREAM_ERROR),
    (503, "ServiceUnavailableException", "x", ErrorClass.OVERLOADED),
    (502, "", "x", ErrorClass.UPSTREAM_ERROR),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "message", "error"), ROWS)
@pytest.mark.parametrize("where", ["header", "namespaced", "type"])
@pytest.mark.parametrize("key", ["message", "Message"])
def test_every_exception_has_its_class(
    *, status: int, code: str, message: str, error: ErrorClass, where: str, key: str
) -> None:
    body, headers = {key: message}, {"x-amzn-requestid": "req-1"}
    if where == "type":
        body["__type"] = f"com.amazon.coral.service#{code}"
    elif code:
        headers["x-amzn-errortype"] = {
            "header": f"{code}:http://internal.amazon.com/coral/",
            "namespaced": f"com.amazon.coral.service#{code}",
        }[where]

    failure = classify(
        HttpResponse(status=status, headers=headers, body=json.dumps(body).encode()), BEDROCK
    )

    assert (error, code, "req-1", status) == (
        failure.error,
        failure.provider_code,
        failure.request_id,
        failure.status,
    )
    assert failure.retry_after_s is None


def test_a_page_instead_of_an_error_is_the_wrong_address() -> None:
    page = HttpResponse(status=404, headers={"content-type": "text/html"}, body=b"<html>")

    assert ErrorClass.CONFIG is classify(page, BEDROCK).error


def test_words_that_may_name_accounts_are_not_shown() -> None:
    arn = "User: arn:aws:iam::123456789012:user/x is not authorized"
    answer = HttpResponse(
        status=403,
        headers={"x-amzn-errortype": "AccessDeniedException"},
        body=json.dumps({"message": arn}).encode(),
    )

    assert "123456789012" not in classify(answer, BEDROCK).message
