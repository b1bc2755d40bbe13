from __future__ import annotations

from typing import Any

import pytest

from controlplane.table.schema import Model
from dataplane.codec import decode, encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Feature, HttpRequest, HttpResponse, ModelInfo
from dataplane.providers.anthropic import FEATURES
from tests.dataplane.wire.anthropic_kit import (
    ADAPTIVE,
    BUDGET,
    NEW,
    NEWEST,
    OLDEST,
    adapter,
    sent,
)
from tests.dataplane.wire.openai_kit import TOOL, chat
from tests.dataplane.wire.test_anthropic_request import json_schema

URL = "https://api.anthropic.com"
AGENT = "switchgear/0.1"


def response(status: int, body: Any, **headers: str) -> HttpResponse:
    raw = body if isinstance(body, bytes) else encode(body)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status=status, headers=names, body=raw)


def error(kind: str, message: str, **details: str) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": kind, "message": message}
    if details:
        inner["details"] = details
    return {"type": "error", "error": inner, "request_id": "req_body"}


def test_messages_are_posted_with_the_key_and_the_version() -> None:
    http = adapter().prepare(chat(), BUDGET, "sk-ant-x").http

    assert ("POST", f"{URL}/v1/messages") == (http.method, http.url)
    assert {
        "accept": "application/json",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
        "user-agent": AGENT,
        "x-api-key": "sk-ant-x",
    } == http.headers
    assert (
        "text/event-stream"
        == (adapter().prepare(chat(stream=True), BUDGET, None).http.headers["accept"])
    )


def test_version_and_betas_are_the_operators() -> None:
    options = {"anthropic.version": "2026-10-21", "anthropic.beta": " a, b,,a "}
    made = adapter(options=options, headers={"X-Team": "t"})

    for http in (
        made.prepare(chat(), BUDGET, None).http,
        made.models_request(None),
        made.probe_request(None),
    ):
        assert "2026-10-21" == http.headers["anthropic-version"]
        assert "a,b" == http.headers["anthropic-beta"]
        assert "t" == http.headers["x-team"]
        assert "x-api-key" not in http.headers


def test_lists_and_probes() -> None:
    headers = {
        "accept": "application/json",
        "anthropic-version": "2023-06-01",
        "user-agent": AGENT,
        "x-api-key": "k",
    }

    assert HttpRequest(
        method="GET", url=f"{URL}/v1/models?limit=1000", headers=headers
    ) == adapter().models_request("k")
    assert HttpRequest(
        method="GET", url=f"{URL}/v1/models?limit=1", headers=headers
    ) == adapter().probe_request("k")


def test_a_base_url_may_end_in_v1() -> None:
    made = adapter(base_url="https://proxy.test/claude/v1")

    assert "https://proxy.test/claude/v1/messages" == made.prepare(chat(), BUDGET, None).http.url


def test_a_list_of_models_is_read() -> None:
    listed = adapter().models(
        response(
            200,
            {
                "data": [
                    {"type": "model", "id": "claude-a", "max_input_tokens": 200000},
                    {"type": "model", "id": "claude-b", "max_input_tokens": None},
                    {"type": "model"},
                    "x",
                ],
                "has_more": False,
            },
        )
    )

    assert [
        ModelInfo(id="claude-a", owned_by="anthropic", context_window=200000),
        ModelInfo(id="claude-b", owned_by="anthropic"),
    ] == listed


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data":{}}'])
def test_what_is_no_list_of_models_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        adapter().models(response(200, body))

    assert ErrorClass.BAD_RESPONSE is caught.value.error


# Capabilities.


FORCED = {Feature.TOOL_CHOICE_REQUIRED, Feature.TOOL_CHOICE_NAMED}


@pytest.mark.parametrize(
    ("model", "lacking"),
    [
        (OLDEST, {Feature.REASONING}),
        (BUDGET, set()),
        (ADAPTIVE, set()),
        (NEW, set()),
        (NEWEST, FORCED),
        ("claude-unheard-9", FORCED),
        ("tiny", set()),
    ],
)
def test_capabilities_are_the_models(model: str, lacking: set[Feature]) -> None:
    assert FEATURES - lacking == adapter().capabilities(model)


def test_what_the_wire_lacks_is_no_capability() -> None:
    assert {
        Feature.COMPLETIONS,
        Feature.EMBEDDINGS,
        Feature.TOKEN_INPUT,
        Feature.DIMENSIONS,
        Feature.CUSTOM_TOOLS,
        Feature.AUDIO_INPUT,
        Feature.AUDIO_OUTPUT,
        Feature.LOGPROBS,
        Feature.MULTIPLE_CHOICES,
    } == set(Feature) - FEATURES


def test_the_manifest_decides_within_what_the_wire_can_say() -> None:
    declared = Model(name="m", capabilities=frozenset({"chat", "embeddings", "magic"}))

    assert {Feature.CHAT} == adapter(declared).capabilities("m")
    assert adapter().capabilities("other") == adapter(declared).capabilities("other")


def test_the_manifest_may_know_of_a_model_that_can_be_forced() -> None:
    words = frozenset({"chat", "tools", "toolChoiceRequired"})
    made = adapter(Model(name="claude-unheard-9", capabilities=words))
    prepared = made.prepare(chat(tools=[TOOL], tool_choice="required"), "claude-unheard-9", None)

    assert {"type": "any"} == decode(prepared.http.body)["tool_choice"]


def test_a_model_behind_another_name_can_be_told_apart() -> None:
    made = adapter(Model(name="prod", base_model=NEW))
    prepared = made.prepare(chat(temperature=0.5), "prod", None)

    assert "prod" == decode(prepared.http.body)["model"]
    assert ("dropped:temperature",) == prepared.warnings
    assert 128000 == decode(prepared.http.body)["max_tokens"]


@pytest.mark.parametrize("model", [OLDEST, BUDGET, NEW, NEWEST])
def test_a_schema_can_be_asked_of_every_model(model: str) -> None:
    assert Feature.JSON_SCHEMA in adapter().capabilities(model)
    sent(chat(response_format=json_schema()), model)


# Failures.


ROWS: list[tuple[int, Any, ErrorClass]] = [
    (400, error("invalid_request_error", "messages.0: Field required"), ErrorClass.BAD_REQUEST),
    (400, error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
     ErrorClass.CONTEXT_LENGTH),
    (400, error("invalid_request_error",
                "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000"),
     ErrorClass.CONTEXT_LENGTH),
    (400, error("invalid_request_error",
                "Your credit balance is too low to access the Anthropic API."), ErrorClass.QUOTA),
    (400, error("invalid_request_error", "credit balance is too low"), ErrorClass.QUOTA),
    # The caller's own text must not open anything.
    (400, error("invalid_request_error", 'stop: "your credit balance is too low" is no list'),
     ErrorClass.BAD_REQUEST),
    (400, error("invalid_request_error", "Output blocked by content filtering policy"),
     ErrorClass.CONTENT_POLICY),
    (400, error("invalid_request_error", "This model does not support effort level 'xhigh'."),
     ErrorClass.UNSUPPORTED),
    (400, error("invalid_request_error", "`temperature` is deprecated for this model."),
     ErrorClass.UNSUPPORTED),
    (401, error("authentication_error", "invalid x-api-key"), ErrorClass.AUTH),
    (402, error("billing_error", "Spend limit reached"), ErrorClass.QUOTA),
    (403, error("permission_error", "no"), ErrorClass.PERMISSION),
    (404, error("not_found_error", "model: claude-0"), ErrorClass.MODEL_NOT_FOUND),
    (404, error("not_found_error", "Not Found"), ErrorClass.CONFIG),
    (404, error("not_found_error", "File not found: file_1"), ErrorClass.BAD_REQUEST),
    (404, b"<html>nginx</html>", ErrorClass.CONFIG),
    (405, error("invalid_request_error", "Method Not Allowed"), ErrorClass.CONFIG),
    (409, error("conflict_error", "again"), ErrorClass.CONFLICT),
    (413, error("request_too_large", "Request exceeds the maximum size"), ErrorClass.TOO_LARGE),
    (413, b"413 Payload Too Large", ErrorClass.TOO_LARGE),
    (422, error("invalid_request_error", "x"), ErrorClass.BAD_REQUEST),
    (429, error("rate_limit_error", "x"), ErrorClass.RATE_LIMIT),
    (429, error("rate_limit_error", "x", error_code="ramp_limit_exceeded"), ErrorClass.RATE_LIMIT),
    (429, error("rate_limit_error", "x", error_code="contract_spend_limit_reached"),
     ErrorClass.QUOTA),
    (429, error("rate_limit_error", "x", error_code="enforced_spend_limit_reached"),
     ErrorClass.QUOTA),
    (499, error("api_error", "Client closed request"), ErrorClass.CLIENT_CANCELLED),
    (500, error("api_error", "Internal server error"), ErrorClass.UPSTREAM_ERROR),
    (500, error("api_error", "Overloaded"), ErrorClass.OVERLOADED),
    (503, error("api_error", "x"), ErrorClass.OVERLOADED),
    (504, error("timeout_error", "x"), ErrorClass.TIMEOUT_UPSTREAM),
    (504, error("api_error", "x"), ErrorClass.TIMEOUT_UPSTREAM),
    (529, error("overloaded_error", "Overloaded"), ErrorClass.OVERLOADED),
    (529, b"", ErrorClass.OVERLOADED),
    (302, b"", ErrorClass.CONFIG),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "expected"), ROWS)
def test_every_error_of_the_wire_has_its_class(
    status: int, body: Any, expected: ErrorClass
) -> None:
    failure = adapter().failure(response(status, body))

    assert (expected, status) == (failure.error, failure.status)


@pytest.mark.parametrize(
    ("expected", "status", "retries", "try_next"),
    [
        (ErrorClass.QUOTA, 429, 0, True),
        (ErrorClass.OVERLOADED, 503, 1, True),
        (ErrorClass.MODEL_NOT_FOUND, 502, 0, True),
        (ErrorClass.AUTH, 502, 0, True),
        (ErrorClass.BAD_REQUEST, 400, 0, False),
        (ErrorClass.CONTEXT_LENGTH, 400, 0, True),
        (ErrorClass.CONTENT_POLICY, 400, 0, False),
    ],
)
def test_a_class_says_what_is_done_next(
    expected: ErrorClass, status: int, retries: int, *, try_next: bool
) -> None:
    code, body, _ = next(row for row in ROWS if row[2] is expected)
    policy = adapter().failure(response(code, body)).policy

    assert (status, retries, try_next) == (policy.status, policy.retries_here, policy.try_next)


def test_a_failure_carries_what_the_headers_say() -> None:
    failure = adapter().failure(
        response(
            429,
            error("rate_limit_error", "x"),
            retry_after="7",
            request_id="req_1",
            x_should_retry="false",
        )
    )

    assert (7.0, "req_1", False) == (
        failure.retry_after_s,
        failure.request_id,
        failure.should_retry,
    )
    assert "rate_limit_error" == failure.provider_code
    assert "req_body" == adapter().failure(response(500, error("api_error", "x"))).request_id


def test_a_limits_reset_is_a_date() -> None:
    failure = adapter().failure(
        response(
            429,
            error("rate_limit_error", "x"),
            date="Sun, 22 Nov 2026 10:00:00 GMT",
            anthropic_ratelimit_tokens_remaining="0",
            anthropic_ratelimit_tokens_reset="2026-11-22T10:00:30Z",
        )
    )

    assert 30.0 == failure.retry_after_s


def test_the_upstreams_words_about_its_credentials_are_not_shown() -> None:
    failure = adapter().failure(response(401, error("authentication_error", "key sk-ant-1 bad")))

    assert "sk-ant" not in failure.message
