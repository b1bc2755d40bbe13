from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from controlplane.manifest import json_schema
from controlplane.sources.documents import read_documents
from controlplane.table.schema import (
    BreakerMode,
    BreakerPolicy,
    HealthCheck,
    Provider,
    ProviderType,
    RetryPolicy,
    StrategyName,
    Timeouts,
)
from controlplane.words import Capability
from dataplane.provider import Feature
from tests.controlplane.texts import compiled, joined, provider, route, said


def built(spec: str = "", kind: str = "Ollama") -> Provider:
    result = compiled({"a.yaml": provider("a", spec, kind=kind)})
    assert [] == said(result)
    return result.table.providers["a"]


KEY = "credentials: {apiKey: {env: KEY}}"


def test_the_defaults_are_those_of_the_documentation() -> None:
    result = built(KEY, "OpenAI")

    assert (
        Timeouts(connect_s=2.0, first_event_s=30.0, answer_s=60.0, idle_s=60.0, total_s=600.0)
        == result.timeouts
    )
    assert (
        HealthCheck(interval_s=30.0, timeout_s=5.0, unhealthy_threshold=3, healthy_threshold=1)
        == result.health_check
    )
    assert (
        BreakerPolicy(
            mode=BreakerMode.AUTO,
            consecutive_failures=3,
            failure_ratio=0.5,
            window_s=30.0,
            min_requests=20,
            open_s=15.0,
            max_open_s=300.0,
            half_open_requests=1,
            ramp_up=(10, 25, 50, 100),
        )
        == result.breaker
    )
    assert 256 == result.max_in_flight
    assert {"propagation": "none"} == result.options
    assert not result.suspend


def test_the_defaults_of_a_route_are_those_of_the_documentation() -> None:
    result = compiled({"a.yaml": joined(provider("a"), route("r", ["m"], ["a/x"]))}).table.routes[
        "r"
    ]

    assert StrategyName.PRIORITY_WITH_FALLBACK is result.strategy
    assert [(1, 1)] == [(target.priority, target.weight) for target in result.targets]
    assert (
        RetryPolicy(
            attempts=4, attempts_per_target=2, backoff_s=0.2, max_backoff_s=5.0, deadline_s=120.0
        )
        == result.retry
    )


@pytest.mark.parametrize(
    ("kind", "spec", "url", "propagation"),
    [
        ("Ollama", "", "http://localhost:11434", "trace"),
        ("VLLM", "", "http://localhost:8000/v1", "trace"),
        ("OVHcloud", "anonymous: true", "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", "none"),
        ("Scaleway", KEY, "https://api.scaleway.ai/v1", "none"),
        ("OpenAI", KEY, "https://api.openai.com/v1", "none"),
        ("Mistral", KEY, "https://api.mistral.ai", "none"),
    ],
)
def test_each_type_has_its_defaults(kind: str, spec: str, url: str, propagation: str) -> None:
    result = built(spec, kind)

    assert (url, propagation) == (result.base_url, result.options["propagation"])


@pytest.mark.parametrize(
    ("kind", "spec", "first_event_s", "answer_s"),
    [
        ("VLLM", "", 30.0, 60.0),
        ("VLLM", "timeouts: {firstEvent: 10s}", 10.0, 10.0),
        ("VLLM", "timeouts: {answer: 3m}", 30.0, 180.0),
        ("VLLM", "timeouts: {firstEvent: 10s, answer: 3m}", 10.0, 180.0),
        ("Ollama", "", 300.0, 300.0),
        ("Ollama", "timeouts: {firstEvent: 10s}", 10.0, 10.0),
    ],
)
def test_an_answer_gets_the_time_of_a_first_event(
    kind: str, spec: str, first_event_s: float, answer_s: float
) -> None:
    timeouts = built(spec, kind).timeouts

    assert (first_event_s, answer_s) == (timeouts.first_event_s, timeouts.answer_s)


@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        ("{env: KEY}", "env:KEY"),
        ("{file: /run/secrets/key}", "file:/run/secrets/key"),
        ("{secretKeyRef: {name: llm-keys, key: openai}}", "secretKeyRef:llm-keys/openai"),
    ],
)
def test_a_credential_is_a_reference(spec: str, reference: str) -> None:
    assert reference == str(built(f"credentials: {{apiKey: {spec}}}").credential)


def test_bounds_follow_what_is_longer() -> None:
    assert 600.0 == built("circuitBreaker: {openFor: 10m}").breaker.max_open_s
    text = joined(provider("a"), route("r", ["m"], ["a/x"], "retry: {backoff: 20s}"))
    assert 20.0 == compiled({"a.yaml": text}).table.routes["r"].retry.max_backoff_s


def test_headers_are_lower_case_and_sorted() -> None:
    result = built("headers: {X-Team: llm, OpenAI-Organization: org-1}")

    assert [("openai-organization", "org-1"), ("x-team", "llm")] == list(result.headers.items())


def test_the_words_for_capabilities_are_those_of_the_data_plane() -> None:
    assert [feature.value for feature in Feature] == [word.value for word in Capability]


SCHEMA = json_schema()


def test_the_json_schema_is_one_and_all_of_it_is_described() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    bare = [
        f"{name}.{field}"
        for name, model in SCHEMA["$defs"].items()
        for field, entry in model.get("properties", {}).items()
        if not entry.get("description")
    ]

    assert [] == bare
    assert 2 == len(SCHEMA["oneOf"])


def test_the_json_schema_writes_durations_as_people_do() -> None:
    timeouts = SCHEMA["$defs"]["TimeoutsSpec"]["properties"]

    assert ("string", "2s") == (timeouts["connect"]["type"], timeouts["connect"]["default"])
    assert "string" == timeouts["firstEvent"]["type"]
    assert "default" not in timeouts["firstEvent"]


def is_valid(text: str) -> bool:
    (document,) = read_documents(text.encode(), "a.yaml")
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(document.content))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (provider("a"), True),
        (provider("a", "timeouts: {connect: 1m30s}, headers: {x-a: b}, labels: {a.b/c: d}"), True),
        (route("r", ["m", "gpt-*", "*"], ["a/x"]), True),
        (provider("a") + "status: {x: 1}\n", True),
        (provider("a", "oops: 1"), False),
        (provider("a", kind="Olama"), False),
        (provider("a", "timeouts: {connect: 3}"), False),
        (provider("a", "timeouts: {connect: 3 s}"), False),
        (provider("a", "baseUrl: 'https://me:pw@host'"), False),
        (provider("a", "credentials: {apiKey: sk-live-1}"), False),
        (route("r", ["a*b"], ["a/x"]), False),
        (route("r", [], ["a/x"]), False),
        (provider("a").replace("LLMProvider", "LLMProvidr"), False),
    ],
)
def test_the_json_schema_judges_as_we_do(text: str, valid: bool) -> None:
    assert valid is is_valid(text)


@pytest.mark.parametrize("kind", list(ProviderType))
def test_the_json_schema_knows_all_types(kind: ProviderType) -> None:
    enum: Any = SCHEMA["$defs"]["ProviderSpec"]["properties"]["type"]["enum"]

    assert kind.value in enum
