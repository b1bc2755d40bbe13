"""Errors, model lists and end marks as the caller gets them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from controlplane.table.outcome import Refusal, SkipReason
from dataplane.codec import decode
from dataplane.errors import POLICIES, ErrorClass, RequestRejected, UpstreamFailed
from dataplane.wire.reply import (
    DONE,
    MODELS_CREATED,
    error_body,
    error_event,
    model_body,
    models_body,
    no_target,
    unknown_model,
)

LATER = {ErrorClass.RATE_LIMIT, ErrorClass.OVERLOADED, ErrorClass.NOT_READY}


def rejected(error: RequestRejected | UpstreamFailed) -> dict[str, Any]:
    _, _, body = error_body(error)
    found: dict[str, Any] = decode(body)["error"]
    return found


@pytest.mark.parametrize("error", ErrorClass)
def test_every_failure_has_a_status_a_type_and_a_code(error: ErrorClass) -> None:
    status, headers, body = error_body(UpstreamFailed(error, "why", retry_after_s=1.25))

    policy = POLICIES[error]
    assert policy.status == status
    assert {
        "error": {"message": "why", "type": policy.type, "param": None, "code": policy.code}
    } == decode(body)
    assert "application/json" == headers.pop("content-type")
    if error in LATER:
        assert {"retry-after": "2", "retry-after-ms": "1250"} == headers
    else:
        assert {"x-should-retry": "false"} == headers


def test_an_upstreams_own_401_never_reaches_the_caller() -> None:
    status, headers, body = error_body(UpstreamFailed(ErrorClass.AUTH, "refused", status=401))

    assert 502 == status
    assert "www-authenticate" not in headers
    assert "upstream_auth_error" == decode(body)["error"]["code"]


@pytest.mark.parametrize(
    ("wait_s", "expected"),
    [
        (None, ("1", "1000")),
        (0.0, ("1", "1000")),
        (-3.0, ("1", "1000")),
        (math.nan, ("1", "1000")),
        (0.0121, ("1", "13")),
        (30.0, ("30", "30000")),
        (1e9, ("3600", "3600000")),
        (math.inf, ("3600", "3600000")),
    ],
)
def test_waits_are_whole_seconds_and_milliseconds(
    wait_s: float | None, expected: tuple[str, str]
) -> None:
    _, headers, _ = error_body(UpstreamFailed(ErrorClass.RATE_LIMIT, "x", retry_after_s=wait_s))

    assert expected == (headers["retry-after"], headers["retry-after-ms"])


def test_a_rejection_keeps_its_status_code_and_field() -> None:
    rejection = RequestRejected("n must be an integer", param="n", code="invalid_type")

    status, headers, body = error_body(rejection, trace_id="ab" * 16)

    assert 400 == status
    assert {"content-type": "application/json"} == headers
    assert {
        "error": {
            "message": "n must be an integer",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_type",
            "trace_id": "ab" * 16,
        }
    } == decode(body)


def test_a_refused_caller_is_told_how_to_authenticate() -> None:
    status, headers, _ = error_body(RequestRejected("no key", status=401, code="invalid_api_key"))

    assert 401 == status
    assert "Bearer" == headers["www-authenticate"]


@pytest.mark.parametrize(
    ("error", "provider_code", "expected"),
    [
        (ErrorClass.BAD_REQUEST, "unsupported_parameter", "unsupported_parameter"),
        (ErrorClass.BAD_REQUEST, "3230", None),
        (ErrorClass.UNSUPPORTED, "unsupported_value", "unsupported_value"),
        (ErrorClass.CONTEXT_LENGTH, "invalid_value", "context_length_exceeded"),
        (ErrorClass.UPSTREAM_ERROR, "invalid_value", "upstream_error"),
    ],
)
def test_only_codes_that_clients_know_take_the_place_of_ours(
    error: ErrorClass, provider_code: str, expected: str | None
) -> None:
    failure = UpstreamFailed(error, "x", provider_code=provider_code, param="max_tokens")

    assert expected == rejected(failure)["code"]
    assert "max_tokens" == rejected(failure)["param"]


def test_no_key_leaves_in_a_message() -> None:
    message = "refused sk-proj-Ab12Cd34Ef56 \r\n for you"

    assert "refused *** for you" == rejected(RequestRejected(message))["message"]
    failure = UpstreamFailed(ErrorClass.BAD_REQUEST, message)
    assert "refused *** for you" == rejected(failure)["message"]


def test_the_callers_own_ids_stay_readable() -> None:
    message = f'"chatcmpl-tool-{"ab12" * 8}" answers no tool call'

    assert message == rejected(RequestRejected(message))["message"]


def test_a_broken_stream_ends_with_one_error_event_and_no_end_mark() -> None:
    event = error_event(UpstreamFailed(ErrorClass.TIMEOUT_IDLE, "silent\nfor 60 s"), "cd" * 16)

    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert 1 == event.count(b"\n\n")
    assert 2 == event.count(b"\n")
    assert DONE not in event
    assert {
        "error": {
            "message": "silent for 60 s",
            "type": "server_error",
            "param": None,
            "code": "timeout",
            "trace_id": "cd" * 16,
        }
    } == decode(event.removeprefix(b"data: "))


def refusal(reason: SkipReason, reopen_in_s: float | None = None, detail: str = "") -> Refusal:
    return Refusal(reason=reason, reopen_in_s=reopen_in_s, detail=detail)


def test_targets_that_all_cool_down_are_a_rate_limit() -> None:
    failure = no_target([refusal(SkipReason.COOLDOWN, 9.0), refusal(SkipReason.COOLDOWN, 4.5)])

    status, headers, body = error_body(failure)

    assert (429, "5", "4500") == (status, headers["retry-after"], headers["retry-after-ms"])
    assert "rate_limit_exceeded" == decode(body)["error"]["code"]


def test_targets_that_are_all_away_are_an_overload_until_the_first_is_back() -> None:
    failure = no_target(
        [
            refusal(SkipReason.CIRCUIT_OPEN, 12.0),
            refusal(SkipReason.COOLDOWN, 3.0),
            refusal(SkipReason.SUSPENDED),
        ]
    )

    status, headers, body = error_body(failure)

    assert (503, "3") == (status, headers["retry-after"])
    assert {
        "message": "no target of this model is available: circuit_open, cooldown, suspended",
        "type": "server_error",
        "param": None,
        "code": "overloaded",
    } == decode(body)["error"]


def test_no_target_at_all_is_an_overload() -> None:
    failure = no_target([])

    assert 503 == error_body(failure)[0]
    assert "no target of this model is available" == rejected(failure)["message"]


@pytest.mark.parametrize(("detail", "suffix"), [("needs tools", ": needs tools"), ("", "")])
def test_targets_that_all_lack_a_feature_are_the_callers_matter(detail: str, suffix: str) -> None:
    failure = no_target(
        [refusal(SkipReason.CAPABILITY, detail=detail), refusal(SkipReason.CAPABILITY)]
    )

    status, headers, body = error_body(failure)

    assert 400 == status
    assert "retry-after" not in headers
    assert "unsupported_parameter" == decode(body)["error"]["code"]
    assert decode(body)["error"]["message"].endswith("supports the request" + suffix)


def test_among_many_models_the_nearest_is_sought_where_the_name_would_stand() -> None:
    known = [f"family-{number:05}/large" for number in range(10_000)]

    rejection = unknown_model("family-07777/lrge", known)

    assert rejection.message.endswith('did you mean "family-07777/large"?')


@pytest.mark.parametrize(
    ("model", "known", "message"),
    [
        ("gpt-4", ["gpt-4o", "chat"], 'the model "gpt-4" does not exist; did you mean "gpt-4o"?'),
        ("zzz", ["gpt-4o", "chat"], 'the model "zzz" does not exist'),
        ("x", [], 'the model "x" does not exist'),
        ("a" * 256, ["b"], f'the model "{"a" * 60}..." does not exist'),
    ],
)
def test_an_unknown_model_is_a_404_with_the_nearest_name(
    model: str, known: list[str], message: str
) -> None:
    rejection = unknown_model(model, known)

    assert 404 == error_body(rejection)[0]
    assert {
        "message": message,
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    } == rejected(rejection)


def test_models_are_listed_in_order_and_never_change() -> None:
    expected = [
        {"id": name, "object": "model", "created": MODELS_CREATED, "owned_by": "switchgear"}
        for name in ("b/c:d", "a")
    ]

    assert {"object": "list", "data": expected} == decode(models_body(["b/c:d", "a"]))
    assert expected[1] == decode(model_body("a"))
    assert {"object": "list", "data": []} == decode(models_body([]))
