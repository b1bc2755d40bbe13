"""Recognition of failures: each row of the tables, for each provider type that has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.table.outcome import OutcomeKind
from dataplane.codec import encode
from dataplane.errors import POLICIES, ErrorClass, UpstreamFailed
from dataplane.provider import HttpResponse
from dataplane.wire.failures import (
    AZURE_OPENAI,
    MISTRAL,
    OLLAMA,
    OPENAI,
    OVHCLOUD,
    PHRASES,
    SCALEWAY,
    VLLM,
    FailureTable,
    classify,
    classify_event,
    request_id,
)

TABLES = {
    "OpenAI": OPENAI,
    "AzureOpenAI": AZURE_OPENAI,
    "Mistral": MISTRAL,
    "Ollama": OLLAMA,
    "VLLM": VLLM,
    "OVHcloud": OVHCLOUD,
    "Scaleway": SCALEWAY,
}
VLLM_LIKE = ("VLLM", "OVHcloud", "Scaleway")
OPENAI_LIKE = ("OpenAI", "AzureOpenAI")
ALL = tuple(TABLES)
KEY = "sk-proj-Ab12Cd34Ef56"


def openai(message: str = "no", code: Any = None, kind: Any = None, **more: Any) -> bytes:
    return encode({"error": {"message": message, "type": kind, "param": None, "code": code} | more})


def flat(message: Any, code: Any, kind: str = "BadRequestError", **more: Any) -> bytes:
    return encode(
        {"object": "error", "message": message, "type": kind, "param": None, "code": code} | more
    )


def answer(status: int, body: bytes, **headers: str) -> HttpResponse:
    return HttpResponse(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=body,
    )


@dataclass(frozen=True)
class Row:
    """One failure as an upstream reports it, and the class that it must get."""

    types: tuple[str, ...]
    status: int
    body: bytes
    error: ErrorClass
    headers: dict[str, str] = field(default_factory=dict)


HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"
E = ErrorClass
TOO_LONG = "This model's maximum context length is 8192 tokens. However, you requested 9000"

ROWS = [
    # context_length
    Row(OPENAI_LIKE, 400, openai("too long", "context_length_exceeded"), E.CONTEXT_LENGTH),
    Row(OPENAI_LIKE, 400, openai(TOO_LONG, None, "invalid_request_error"), E.CONTEXT_LENGTH),
    Row(
        ("Mistral",),
        400,
        flat(
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 "
            "maximum context length",
            None,
            "invalid_request_error",
        ),
        E.CONTEXT_LENGTH,
    ),
    Row(("Mistral",), 400, flat("prompt", "3051"), E.CONTEXT_LENGTH),
    Row(("Mistral",), 400, flat("prompt", 3051), E.CONTEXT_LENGTH),
    Row(
        ("Ollama",),
        400,
        b'{"error":"the input length exceeds the context length"}',
        E.CONTEXT_LENGTH,
    ),
    Row(
        ("Ollama",),
        400,
        b'{"error":"prompt is longer than the context length"}',
        E.CONTEXT_LENGTH,
    ),
    Row(
        ("Ollama",),
        400,
        b'{"error":"request (5000 tokens) exceeds the available context size"}',
        E.CONTEXT_LENGTH,
    ),
    Row(VLLM_LIKE, 400, openai(TOO_LONG, 400, "BadRequestError"), E.CONTEXT_LENGTH),
    Row(VLLM_LIKE, 400, flat(TOO_LONG, 400), E.CONTEXT_LENGTH),
    Row(
        VLLM_LIKE,
        400,
        openai("the request exceeds", 400, "exceed_context_size_error", n_ctx=512),
        E.CONTEXT_LENGTH,
    ),
    Row(
        ("Scaleway",),
        400,
        encode(
            {"error": "Bad Request", "status": 400, "message": "exceeded maximum context window"}
        ),
        E.CONTEXT_LENGTH,
    ),
    # content_policy
    Row(OPENAI_LIKE, 400, openai("no", "content_policy_violation"), E.CONTENT_POLICY),
    Row(OPENAI_LIKE, 400, openai("no", "invalid_prompt"), E.CONTENT_POLICY),
    Row(("OpenAI",), 400, openai("no", "image_content_policy_violation"), E.CONTENT_POLICY),
    Row(("OpenAI",), 400, openai("no", "bio_policy"), E.CONTENT_POLICY),
    Row(("AzureOpenAI",), 400, openai("filtered", "content_filter"), E.CONTENT_POLICY),
    Row(
        ("AzureOpenAI",),
        400,
        openai("x", None, innererror={"code": "ResponsibleAIPolicyViolation"}),
        E.CONTENT_POLICY,
    ),
    Row(
        ("AzureOpenAI",),
        400,
        openai("x", "BadRequest", inner_error={"code": "ResponsibleAIPolicyViolation"}),
        E.CONTENT_POLICY,
    ),
    Row(
        ("AzureOpenAI",),
        400,
        openai("x", None, innererror={"content_filter_result": {"hate": {"filtered": True}}}),
        E.CONTENT_POLICY,
    ),
    Row(("AzureOpenAI",), 400, openai("x", content_filter_results={}), E.CONTENT_POLICY),
    Row(("Mistral",), 403, encode({"message": "blocked by moderation"}), E.CONTENT_POLICY),
    # auth
    Row(
        OPENAI_LIKE,
        401,
        openai(f"Incorrect API key provided: {KEY}", "invalid_api_key", "invalid_request_error"),
        E.AUTH,
    ),
    Row(("AzureOpenAI",), 401, encode({"error": {"code": "401", "message": "denied"}}), E.AUTH),
    Row(("AzureOpenAI",), 401, encode({"error": {"code": "PermissionDenied"}}), E.AUTH),
    Row(("Mistral",), 401, b'{"detail":"Invalid API Key"}', E.AUTH),
    Row(("Mistral",), 401, b'{"message":"Unauthorized","request_id":"r1"}', E.AUTH),
    Row(("Ollama",), 401, b'{"error":"unauthorized","signin_url":"https://x"}', E.AUTH),
    Row(VLLM_LIKE, 401, b'{"error":"Unauthorized"}', E.AUTH),
    Row(("VLLM",), 401, openai("Invalid API Key", 401, "authentication_error"), E.AUTH),
    Row(("OVHcloud",), 403, b'{"message":"Authentication Failed"}', E.AUTH),
    Row(("Scaleway",), 403, encode({"error": "Forbidden", "status": 403, "message": "no"}), E.AUTH),
    # permission
    Row(
        ("OpenAI",),
        403,
        openai("no", "unsupported_country_region_territory", "request_forbidden"),
        E.PERMISSION,
    ),
    Row(("AzureOpenAI",), 403, encode({"error": {"code": "403"}}), E.PERMISSION),
    Row(("Mistral",), 403, b'{"message":"forbidden"}', E.PERMISSION),
    Row(("Ollama",), 403, b'{"error":"ollama cloud is disabled"}', E.PERMISSION),
    Row(
        ("OVHcloud",),
        403,
        b'{"message":"Resource tag \'discovery\' is forbidden, add a payment method"}',
        E.PERMISSION,
    ),
    # model_not_found
    Row(("OpenAI",), 404, openai("no model", "model_not_found"), E.MODEL_NOT_FOUND),
    Row(("OpenAI",), 400, openai("no model", "model_not_found"), E.MODEL_NOT_FOUND),
    Row(
        ("OpenAI",),
        404,
        openai("The model `x` does not exist or you do not have access to it."),
        E.MODEL_NOT_FOUND,
    ),
    Row(
        ("AzureOpenAI",),
        404,
        openai("no", "DeploymentNotFound", "invalid_request_error"),
        E.MODEL_NOT_FOUND,
    ),
    Row(("Mistral",), 400, flat("Invalid model: x", "1500", "invalid_model"), E.MODEL_NOT_FOUND),
    Row(("Mistral",), 400, flat("Invalid model: x", None), E.MODEL_NOT_FOUND),
    Row(("Mistral",), 404, b'{"detail":"Model not found"}', E.MODEL_NOT_FOUND),
    Row(("Ollama",), 404, b'{"error":"model \'x\' not found, try pulling it"}', E.MODEL_NOT_FOUND),
    Row(
        ("VLLM", "OVHcloud"),
        404,
        openai("The model `x` does not exist.", 404, "NotFoundError", param="model"),
        E.MODEL_NOT_FOUND,
    ),
    Row(("OVHcloud",), 404, b'{"message":"unknown model"}', E.MODEL_NOT_FOUND),
    Row(("Scaleway",), 422, b'{"error":"model not found","status":422}', E.MODEL_NOT_FOUND),
    Row(
        ("Scaleway",),
        422,
        encode({"detail": [{"loc": ["body", "model"], "msg": "required", "type": "missing"}]}),
        E.MODEL_NOT_FOUND,
    ),
    # config
    Row(("OpenAI",), 404, openai("Invalid URL (POST /v1/x)"), E.CONFIG),
    Row(
        ("AzureOpenAI",),
        404,
        encode({"error": {"code": "404", "message": "Resource not found"}}),
        E.CONFIG,
    ),
    Row(("Scaleway",), 404, b'{"message":"not found"}', E.CONFIG),
    Row(("Ollama", *VLLM_LIKE), 404, b"404 page not found", E.CONFIG),
    Row(("VLLM",), 404, openai("File Not Found", 404, "not_found_error"), E.CONFIG),
    Row(
        ("Mistral", "OVHcloud"),
        404,
        b'{"message":"no Route matched with those values"}',
        E.CONFIG,
    ),
    Row(ALL, 405, b'{"detail":"Method Not Allowed"}', E.CONFIG),
    Row(ALL, 307, b"", E.CONFIG),
    # rate_limit
    Row(OPENAI_LIKE, 429, openai("slow", "rate_limit_exceeded", "requests"), E.RATE_LIMIT),
    Row(("OpenAI",), 429, openai("flex", "resource_unavailable"), E.RATE_LIMIT),
    Row(("AzureOpenAI",), 429, encode({"error": {"code": "429", "message": "x"}}), E.RATE_LIMIT),
    Row(("AzureOpenAI",), 429, encode({"error": {"code": "RateLimitReached"}}), E.RATE_LIMIT),
    Row(("Mistral",), 429, flat("Rate limit exceeded", "1300", "rate_limited"), E.RATE_LIMIT),
    Row(("Mistral",), 429, b'{"message":"Requests rate limit exceeded"}', E.RATE_LIMIT),
    Row(("Ollama",), 429, b'{"error":"too many requests"}', E.RATE_LIMIT),
    Row(("OVHcloud",), 429, b'{"message":"API rate limit exceeded"}', E.RATE_LIMIT),
    Row(
        ("Scaleway",),
        429,
        b'{"error":"quota of concurrent requests exceeded","status":429}',
        E.RATE_LIMIT,
    ),
    Row(VLLM_LIKE, 429, b"", E.RATE_LIMIT),
    # quota
    Row(
        OPENAI_LIKE,
        429,
        openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
        E.QUOTA,
    ),
    Row(("OpenAI",), 429, openai("x", None, "insufficient_quota"), E.QUOTA),
    Row(("OpenAI",), 400, openai("x", "billing_hard_limit_reached"), E.QUOTA),
    Row(("Mistral",), 429, b'{"message":"Monthly spending limit reached"}', E.QUOTA),
    Row(("Mistral",), 402, b'{"detail":"payment required"}', E.QUOTA),
    Row(("OVHcloud",), 403, b'{"message":"payment method missing"}', E.QUOTA),
    # overloaded
    Row(OPENAI_LIKE, 503, openai("Slow down", None, "server_error"), E.OVERLOADED),
    Row(("OpenAI",), 500, openai("x", "server_is_overloaded"), E.OVERLOADED),
    Row(
        ("Mistral",),
        429,
        flat("Service tier capacity exceeded for this model.", "3505"),
        E.OVERLOADED,
    ),
    Row(
        ("Mistral",),
        503,
        b'{"message":"Service tier capacity exceeded for this model."}',
        E.OVERLOADED,
    ),
    Row(
        ("Mistral",),
        429,
        flat("x", None, "service_tier_capacity_exceeded"),
        E.OVERLOADED,
    ),
    Row(
        ("Ollama",),
        503,
        b'{"error":"server busy, please try again.  maximum pending requests exceeded"}',
        E.OVERLOADED,
    ),
    Row(VLLM_LIKE, 503, openai("queue full", 503, "ServiceUnavailableError"), E.OVERLOADED),
    Row(ALL, 503, HTML, E.OVERLOADED),
    Row(ALL, 529, b"", E.OVERLOADED),
    # not_ready
    Row(VLLM_LIKE, 503, openai("Loading model", 503, "unavailable_error"), E.NOT_READY),
    Row(("Ollama",), 500, b'{"error":"llm server loading model"}', E.NOT_READY),
    # timeout
    Row(ALL, 408, b"", E.TIMEOUT_UPSTREAM),
    Row(
        ("AzureOpenAI",),
        408,
        encode({"error": {"code": "Timeout", "message": "The operation was timeout."}}),
        E.TIMEOUT_UPSTREAM,
    ),
    Row(ALL, 504, HTML, E.TIMEOUT_UPSTREAM),
    # upstream_error
    Row(OPENAI_LIKE, 500, openai("oops", None, "server_error"), E.UPSTREAM_ERROR),
    Row(
        ("AzureOpenAI",), 500, encode({"error": {"code": "InternalServerError"}}), E.UPSTREAM_ERROR
    ),
    Row(("AzureOpenAI",), 424, openai("failed dependency"), E.UPSTREAM_ERROR),
    Row(("Mistral",), 500, HTML, E.UPSTREAM_ERROR),
    Row(("Ollama",), 500, b'{"error":"model requires more system memory"}', E.UPSTREAM_ERROR),
    Row(("Ollama",), 502, b'{"error":"ollama cloud is unreachable"}', E.UPSTREAM_ERROR),
    Row(VLLM_LIKE, 500, openai("dead", 500, "InternalServerError"), E.UPSTREAM_ERROR),
    Row(("OVHcloud",), 502, b'{"message":"An invalid response was received"}', E.UPSTREAM_ERROR),
    Row(ALL, 502, HTML, E.UPSTREAM_ERROR),
    # Words of the caller's mistakes do not count in an answer that blames the server.
    Row(ALL, 500, openai("maximum context length is 10; invalid model"), E.UPSTREAM_ERROR),
    # too_large
    Row(ALL, 413, HTML, E.TOO_LARGE),
    # conflict
    Row(ALL, 409, openai("locked"), E.CONFLICT),
    # unsupported
    Row(("Ollama",), 400, b'{"error":"\\"x\\" does not support tools"}', E.UNSUPPORTED),
    Row(("Ollama", *VLLM_LIKE), 501, openai("no", 501, "NotImplementedError"), E.UNSUPPORTED),
    Row(VLLM_LIKE, 500, openai("no embeddings", 501, "not_supported_error"), E.UNSUPPORTED),
    Row(
        ("VLLM",),
        400,
        openai('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser'),
        E.UNSUPPORTED,
    ),
    Row(("AzureOpenAI",), 400, openai("x", "OperationNotSupported"), E.UNSUPPORTED),
    # client
    Row(("Ollama", "VLLM"), 499, b'{"error":"request canceled"}', E.CLIENT_CANCELLED),
    # bad_request
    Row(
        OPENAI_LIKE, 400, openai("bad", "unsupported_parameter", param="max_tokens"), E.BAD_REQUEST
    ),
    Row(ALL, 400, b"", E.BAD_REQUEST),
    Row(ALL, 400, HTML, E.BAD_REQUEST),
    Row(("OpenAI", "AzureOpenAI", "Ollama", "OVHcloud"), 422, openai("schema"), E.BAD_REQUEST),
    Row(("Mistral",), 400, flat("order", "3230", "invalid_request_message_order"), E.BAD_REQUEST),
    Row(("Mistral",), 400, flat("tool id", "3280", "invalid_function_call"), E.BAD_REQUEST),
    Row(("Mistral",), 400, flat("role: an invalid model", None), E.BAD_REQUEST),
    Row(
        ("Mistral",),
        422,
        flat(
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "x"], "msg": "Extra inputs"}]},
            None,
        ),
        E.BAD_REQUEST,
    ),
    Row(
        ("Mistral",),
        422,
        encode({"object": "Error", "detail": [], "message": ["a", "b"], "code": 3001}),
        E.BAD_REQUEST,
    ),
    Row(("VLLM",), 400, flat("conversation roles must alternate", 400), E.BAD_REQUEST),
    Row(("Scaleway",), 416, openai("max_completion_tokens too high", 416), E.BAD_REQUEST),
    # The request's fault, though the status would blame the target: it must stay in use.
    Row(
        ("Scaleway",),
        422,
        encode({"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "bad"}]}),
        E.BAD_REQUEST,
    ),
    Row(("OpenAI", "VLLM"), 404, openai("no such file", param="file"), E.BAD_REQUEST),
    # bad_response
    Row(ALL, 200, b"", E.BAD_RESPONSE),
    Row(ALL, 204, b"{}", E.BAD_RESPONSE),
    Row(ALL, 200, openai("oops", None, "server_error"), E.UPSTREAM_ERROR),
    Row(ALL, 200, openai("slow", 429), E.RATE_LIMIT),
]

CASES = [(name, row) for row in ROWS for name in row.types]


@pytest.mark.parametrize(
    ("name", "row"),
    CASES,
    ids=[f"{name}-{row.status}-{row.error}-{i}" for i, (name, row) in enumerate(CASES)],
)
def test_each_row_gets_its_class(name: str, row: Row) -> None:
    failure = classify(answer(row.status, row.body), TABLES[name])

    assert row.error is failure.error
    assert row.status == failure.status
    assert failure.message
    assert KEY not in failure.message


F, N = OutcomeKind.FAILURE, OutcomeKind.IGNORED
BROKEN = OutcomeKind.TARGET_BROKEN
INVALID, SERVER = "invalid_request_error", "server_error"

# class: caller's status, type, code, retries here, tries the next, effect, shows the message
CONSEQUENCES: dict[ErrorClass, tuple[int, str, str | None, int, bool, OutcomeKind, bool]] = {
    E.BAD_REQUEST: (400, INVALID, None, 0, False, N, True),
    E.UNSUPPORTED: (400, INVALID, "unsupported_parameter", 0, True, N, True),
    E.CONTEXT_LENGTH: (400, INVALID, "context_length_exceeded", 0, True, N, True),
    E.CONTENT_POLICY: (400, INVALID, "content_policy_violation", 0, False, N, True),
    E.TOO_LARGE: (413, INVALID, None, 0, False, N, True),
    E.AUTH: (502, SERVER, "upstream_auth_error", 0, True, OutcomeKind.CREDENTIAL_REFUSED, False),
    E.PERMISSION: (502, SERVER, "upstream_auth_error", 0, True, BROKEN, False),
    E.MODEL_NOT_FOUND: (502, SERVER, "upstream_model_not_found", 0, True, BROKEN, False),
    E.CONFIG: (502, SERVER, "upstream_config_error", 0, True, BROKEN, False),
    E.RATE_LIMIT: (
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        1,
        True,
        OutcomeKind.RATE_LIMITED,
        False,
    ),
    E.QUOTA: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        0,
        True,
        OutcomeKind.QUOTA_EXHAUSTED,
        False,
    ),
    E.OVERLOADED: (503, SERVER, "overloaded", 1, True, F, False),
    E.NOT_READY: (503, SERVER, "overloaded", 1, True, OutcomeKind.NOT_READY, False),
    E.TIMEOUT_UPSTREAM: (504, SERVER, "timeout", 1, True, F, False),
    E.UPSTREAM_ERROR: (502, SERVER, "upstream_error", 1, True, F, False),
    E.BAD_RESPONSE: (502, SERVER, "upstream_error", 1, True, F, False),
    E.CONFLICT: (409, INVALID, None, 1, True, N, False),
    E.CLIENT_CANCELLED: (499, INVALID, None, 0, False, N, False),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.status}-{row.error}")
def test_each_row_has_its_consequences(row: Row) -> None:
    policy = classify(answer(row.status, row.body), TABLES[row.types[0]]).policy

    assert CONSEQUENCES[row.error] == (
        policy.status,
        policy.type,
        policy.code,
        policy.retries_here,
        policy.try_next,
        policy.effect,
        policy.shows_message,
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_without_a_body_has_a_class(status: int, table: FailureTable) -> None:
    failure = classify(answer(status, b""), table)

    if 500 <= status:
        # A server's failure is never the caller's fault; 501 is nobody's.
        assert 500 <= failure.policy.status or failure.error is E.UNSUPPORTED
    assert PHRASES[failure.error] in failure.message


@pytest.mark.parametrize("error", ErrorClass)
def test_every_class_has_a_policy_and_a_phrase(error: ErrorClass) -> None:
    assert 400 <= POLICIES[error].status < 600
    assert PHRASES[error]
    assert "." != PHRASES[error][-1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (openai("from error.message"), "from error.message"),
        (b'{"error":"from error"}', "from error"),
        (b'{"message":"from message"}', "from message"),
        (b'{"Message":"from Message"}', "from Message"),
        (b'{"message":{"detail":[{"msg":"one"},{"msg":"two"}]}}', "one; two"),
        (b'{"message":{"message":"inner"}}', "inner"),
        (b'{"message":{"detail":"inner"}}', "inner"),
        (b'{"message":["a",{"message":"b"},{"x":1},"d"]}', "a; b"),
        (b'{"detail":"from detail"}', "from detail"),
        (b'{"detail":[{"msg":"from msg"},7]}', "from msg"),
        (b'{"error":{"detail":"from error.detail"}}', "from error.detail"),
        (b'{"errors":[{"message":"first"},"second"]}', "first; second"),
        (b'{"error":"short","status":400,"message":"the sentence"}', "short: the sentence"),
        (b'{"error":"same","message":"same"}', "same"),
        (b'{"error":{"message":"inner"},"message":"outer"}', "inner"),
        (b'[{"error":{"message":"in a list"}}]', "in a list"),
        (b'"just text"', "just text"),
        (b"plain text", "plain text"),
        (b"\xef\xbb\xbf" + openai("after a BOM"), "after a BOM"),
        (b"word " + b"y" * 300, "word"),
        (b"word " * 60, "word " * 39 + "word"),
        ("é".encode() * 3 + b"\xff", "ééé\ufffd"),
        (HTML, PHRASES[E.BAD_REQUEST]),
        (b"", PHRASES[E.BAD_REQUEST]),
        (b"[]", PHRASES[E.BAD_REQUEST]),
        (b"null", PHRASES[E.BAD_REQUEST]),
        (b"17", PHRASES[E.BAD_REQUEST]),
        (b'{"message":{"x":1},"detail":{},"errors":7,"error":[]}', PHRASES[E.BAD_REQUEST]),
        (b'{"message":"","error":{"message":7}}', PHRASES[E.BAD_REQUEST]),
    ],
)
def test_messages_are_found_in_every_shape(body: bytes, expected: str) -> None:
    assert expected == classify(answer(400, body), OPENAI).message


def test_web_pages_are_told_by_their_type() -> None:
    response = answer(400, b"Sorry!", content_type="text/html; charset=utf-8")

    assert PHRASES[E.BAD_REQUEST] == classify(response, OPENAI).message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (openai("x", "invalid_value", "invalid_request_error"), "invalid_value"),
        (openai("x", None, "server_error"), "server_error"),
        (openai("x", 400), "400"),
        (openai("x", "401"), "401"),
        (openai("x", True), ""),
        (openai("x", 1.5), ""),
        (openai("x", 10**9), ""),
        (openai("x", "not a code!"), ""),
        (openai("x", "not a code!", "type"), "type"),
        (openai("x", "c" * 65), ""),
        (openai("x", "c" * 1000), ""),
        (openai("x", KEY, "type"), "type"),
        (flat("x", "3280", "invalid_function_call"), "3280"),
        (b'{"type":"error","error":{"type":"overloaded_error"}}', "overloaded_error"),
        (b'{"error":{"details":{"error_code":"spend_limit"}}}', "spend_limit"),
        (b'{"__type":"com.amazon.coral#ThrottlingException"}', "ThrottlingException"),
        (b'{"error":"Unauthorized"}', "Unauthorized"),
    ],
)
def test_provider_codes_are_short_words(body: bytes, expected: str) -> None:
    assert expected == classify(answer(400, body), OPENAI).provider_code


def test_a_code_may_come_in_a_header() -> None:
    response = answer(400, b"{}", x_amzn_errortype="ValidationException:http://internal.amazon")

    assert "ValidationException" == classify(response, OPENAI).provider_code


def test_inner_errors_are_read_to_a_bounded_depth() -> None:
    error: dict[str, Any] = {"code": "deepest"}
    for code in ("d", "c", "b", "a"):
        error = {"code": code, "innererror": error}

    assert "a" == classify(answer(400, encode({"error": error})), OPENAI).provider_code


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (openai("x", param="messages[0].role"), "messages[0].role"),
        (openai("x", param=7), None),
        (flat("x", None, param="temperature"), "temperature"),
        (b'{"detail":[{"loc":["body","messages",0,"role"],"msg":"x"}]}', "messages[0].role"),
        (b'{"message":{"detail":[{"loc":["body","x"],"msg":"m"}]}}', "x"),
        (b'{"detail":[{"loc":["body","a","body"],"msg":"x"}]}', "a.body"),
        (b'{"detail":[{"loc":["body",null]}]}', None),
        (b'{"detail":[{"loc":"body"}]}', None),
        (b'{"detail":[7]}', None),
        (openai("x", param="p" * 20 + "\n" * 9 + "q.r" * 200), "p" * 20 + " " + "q.r" * 35 + "q."),
        (openai("x", param=KEY), "***"),
    ],
)
def test_the_blamed_field_is_found(body: bytes, expected: str | None) -> None:
    assert expected == classify(answer(400, body), OPENAI).param


@pytest.mark.parametrize(
    "name",
    [
        "x-request-id",
        "request-id",
        "apim-request-id",
        "mistral-correlation-id",
        "inference-id",
        "x-kong-request-id",
    ],
)
def test_request_ids_are_found_under_every_name(name: str) -> None:
    assert "req_1-a.b" == request_id({name: "req_1-a.b"})


def test_request_ids_are_checked() -> None:
    assert "" == request_id({"x-request-id": "a\nb"})
    assert "" == request_id({"x-request-id": KEY})
    assert "second" == request_id({"x-request-id": "not an id", "request-id": "second"})


def test_the_request_id_may_come_in_the_body() -> None:
    body = b'{"message":"Unauthorized","request_id":"b1"}'

    assert "b1" == classify(answer(401, body), MISTRAL).request_id
    assert "h1" == classify(answer(401, body, x_request_id="h1"), MISTRAL).request_id


def test_wait_hints_reach_the_failure() -> None:
    headers = {"retry_after_ms": "1500", "x_should_retry": "false"}

    failure = classify(answer(429, b"", **headers), OPENAI)

    assert 1.5 == failure.retry_after_s
    assert failure.should_retry is False


def test_azures_zero_milliseconds_are_ignored() -> None:
    failure = classify(answer(429, b"", retry_after="1", retry_after_ms="0"), AZURE_OPENAI)

    assert 1.0 == failure.retry_after_s


def test_resets_of_limits_count_only_when_a_limit_was_hit() -> None:
    headers = {"ratelimit_reset": "42"}

    assert 42.0 == classify(answer(429, b"", **headers), OVHCLOUD).retry_after_s
    assert classify(answer(500, b"", **headers), OVHCLOUD).retry_after_s is None


@pytest.mark.parametrize(
    "message",
    [TOO_LONG, "prompt is too long: 9 tokens", "code context_length_exceeded", "it is too big", ""],
)
def test_clients_can_tell_a_prompt_that_is_too_long(message: str) -> None:
    marks = ("maximum context length", "prompt is too long", "context_length_exceeded")

    shown = classify(answer(400, openai(message, "context_length_exceeded")), OPENAI).message

    assert any(mark in shown for mark in marks)
    assert message in shown


def test_the_mark_of_a_long_prompt_survives_the_cut() -> None:
    failure = classify(answer(400, openai("word " * 900, "context_length_exceeded")), OPENAI)

    assert failure.message.endswith("(maximum context length exceeded)")


@pytest.mark.parametrize(
    ("error", "table", "expected", "status"),
    [
        ({"message": "x", "type": "server_error"}, OPENAI, E.UPSTREAM_ERROR, None),
        ({"message": "x", "type": "InternalServerError", "code": 500}, VLLM, E.UPSTREAM_ERROR, 500),
        ({"message": "x", "code": 429}, OVHCLOUD, E.RATE_LIMIT, 429),
        ({"message": "x", "code": "429"}, AZURE_OPENAI, E.RATE_LIMIT, 429),
        ({"message": "x", "code": 401}, VLLM, E.AUTH, 401),
        ({"message": "x", "code": 418}, VLLM, E.BAD_REQUEST, 418),
        ({"message": "x", "code": 200}, VLLM, E.UPSTREAM_ERROR, None),
        ({"message": "x", "code": "1300"}, MISTRAL, E.RATE_LIMIT, None),
        ({"message": "x", "code": "content_filter"}, AZURE_OPENAI, E.CONTENT_POLICY, None),
        ({"message": "x", "type": "insufficient_quota"}, OPENAI, E.QUOTA, None),
        ({"message": "x", "type": "rate_limit_error"}, OPENAI, E.RATE_LIMIT, None),
        ({"message": "x", "type": "tokens"}, OPENAI, E.RATE_LIMIT, None),
        ({"message": "x", "type": "overloaded_error"}, OPENAI, E.OVERLOADED, None),
        ({"message": "x", "type": "ServiceUnavailableError"}, VLLM, E.OVERLOADED, None),
        ({"message": "x", "type": "BadRequestError"}, VLLM, E.BAD_REQUEST, None),
        ({"message": TOO_LONG, "type": "BadRequestError"}, VLLM, E.CONTEXT_LENGTH, None),
        ({"error": {"message": "x", "code": 503}}, VLLM, E.OVERLOADED, 503),
        ({"error": "server busy, please try again"}, OLLAMA, E.OVERLOADED, None),
        ("an error was encountered while running the model", OLLAMA, E.UPSTREAM_ERROR, None),
        ("server busy", OLLAMA, E.OVERLOADED, None),
        ({}, OPENAI, E.UPSTREAM_ERROR, None),
        (None, OPENAI, E.UPSTREAM_ERROR, None),
        ([], OPENAI, E.UPSTREAM_ERROR, None),
        (True, OPENAI, E.UPSTREAM_ERROR, None),
    ],
)
def test_errors_inside_a_stream_get_their_class(
    error: Any, table: FailureTable, expected: ErrorClass, status: int | None
) -> None:
    failure = classify_event(error, table)

    assert expected is failure.error
    assert status == failure.status
    assert "stream.error" == failure.error_type
    assert failure.retry_after_s is None


def test_an_error_inside_a_stream_keeps_what_it_says() -> None:
    error = {"message": "bad", "type": "invalid_request_error", "param": "n", "code": "odd"}

    failure = classify_event(error, OPENAI)

    assert ("bad", "odd", "n") == (failure.message, failure.provider_code, failure.param)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "detail",
                    "code",
                    "type",
                    "param",
                    "innererror",
                    "errors",
                    "loc",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
tables = st.sampled_from(list(TABLES.values()))


def assert_sound(failure: UpstreamFailed) -> None:
    assert failure.message
    assert failure.message.isprintable()
    assert len(failure.message.encode()) <= 1200
    assert failure.message == PHRASES[failure.error] or failure.policy.shows_message
    assert len(failure.provider_code) <= 64


@settings(max_examples=200)
@given(status=st.integers(-10, 1000), body=st.binary(max_size=60), table=tables)
def test_any_bytes_give_a_class(status: int, body: bytes, table: FailureTable) -> None:
    assert_sound(classify(answer(status, body), table))


@settings(max_examples=200)
@given(status=st.integers(100, 600), value=json_values, table=tables)
def test_any_json_gives_a_class(status: int, value: Any, table: FailureTable) -> None:
    assert_sound(classify(answer(status, encode(value)), table))
    assert_sound(classify_event(value, table))


@settings(max_examples=200)
@given(
    status=st.sampled_from([200, 400, 401, 403, 404, 413, 422, 429, 500, 503]),
    around=st.tuples(
        st.sampled_from([0, 80, 90, 100, 490, 500, 510]).map(lambda words: "a " * words),
        st.text(max_size=20),
        st.text(max_size=20),
    ),
    code=st.sampled_from(
        [None, "context_length_exceeded", "content_filter", "insufficient_quota", "model_not_found"]
    ),
    place=st.tuples(
        st.sampled_from(["error.message", "error", "message", "detail", "loc", "code", "text"]),
        st.sampled_from(
            [KEY, "Bearer tok.en", "ab12" * 10, "0f8fad5b-d9cb-469f-a165-70867728950e"]
        ),
    ),
    table=tables,
)
def test_no_key_gets_into_a_failure(
    status: int,
    around: tuple[str, str, str],
    code: str | None,
    place: tuple[str, str],
    table: FailureTable,
) -> None:
    shape, secret = place
    text = f"{around[0]}{around[1]} {secret} {around[2]}"
    bodies: dict[str, Any] = {
        "error.message": {"error": {"message": text, "code": code}},
        "error": {"error": text, "code": code},
        "message": {"message": [text], "code": code},
        "detail": {"detail": [{"msg": text, "loc": ["body", secret]}], "code": code},
        "loc": {"error": {"message": "x", "param": text, "code": code}},
        "code": {"error": {"message": "x", "code": secret, "type": secret}},
    }
    body = text.encode() if shape == "text" else encode(bodies[shape])

    failure = classify(answer(status, body), table)

    for said in (failure.message, failure.provider_code, failure.param or ""):
        assert secret not in said
        assert secret[4:16] not in said
