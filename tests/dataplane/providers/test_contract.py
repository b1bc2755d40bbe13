"""What every registered provider type keeps, whatever its format."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.table.schema import Model, ProviderType
from dataplane import registry
from dataplane.codec import decode, encode
from dataplane.errors import ErrorClass, RequestRejected, UpstreamFailed
from dataplane.provider import Feature, HttpResponse, Operation, Request
from dataplane.providers.openai import PATHS
from tests.dataplane.wire.openai_kit import (
    TOOL,
    adapter,
    chat,
    completion,
    embeddings,
    provider,
)

TYPES = sorted(registry.types())
SECRET = "sk-hidden"
REQUESTS: list[Request] = [
    chat(),
    chat(stream=True, temperature=0.5, stop=["x"], seed=1, user="u"),
    chat(
        tools=[TOOL],
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "time?"}]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "get_time", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
        ],
    ),
    embeddings(input=["a", "b"], encoding_format="base64"),
]  # fmt: skip


def test_every_type_is_registered() -> None:
    assert set(ProviderType) == set(TYPES)


def test_a_type_without_an_adapter_is_named() -> None:
    stranger = replace(provider(ProviderType.OPENAI), type="Cohere")  # type: ignore[arg-type]

    with pytest.raises(registry.UnknownType, match="provider up: type Cohere is not supported"):
        registry.build(stranger)


@pytest.mark.parametrize("kind", TYPES)
def test_a_type_can_do_something(kind: ProviderType) -> None:
    made = adapter(kind)
    features = made.capabilities("m")

    assert {Feature.CHAT, Feature.TOOLS} <= features
    assert features == made.capabilities("m") == adapter(kind).capabilities("m")


@pytest.mark.parametrize("kind", TYPES)
def test_declared_capabilities_take_the_place_of_the_types_own(kind: ProviderType) -> None:
    models = {"m": Model(name="m", capabilities=frozenset({"chat", "jsonObject", "unheard"}))}
    made = adapter(kind, models=models)

    assert {Feature.CHAT, Feature.JSON_OBJECT} == made.capabilities("m")
    assert adapter(kind).capabilities("other") == made.capabilities("other")


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_is_written_and_left_as_it_was(kind: ProviderType, request_: Request) -> None:
    before = deepcopy(request_)
    made = adapter(kind)
    if request_.features - made.capabilities("up-model"):
        with pytest.raises(RequestRejected):
            made.prepare(request_, "up-model", SECRET)
        return

    prepared = made.prepare(request_, "up-model", SECRET)

    assert before == request_
    http = prepared.http
    assert "POST" == http.method
    assert http.url.startswith(provider(kind).base_url)
    assert "up-model" == decode(http.body).get("model") or "/up-model/" in http.url
    assert "application/json" == http.headers["content-type"]
    assert all(name == name.lower() for name in http.headers)
    assert http == made.prepare(request_, "up-model", SECRET).http
    for warning in prepared.warnings:
        action, _, field = warning.partition(":")
        assert action in {"dropped", "clamped", "emulated", "mapped"}
        assert field


@pytest.mark.parametrize("kind", TYPES)
def test_the_secret_is_in_one_header_and_nowhere_else(kind: ProviderType) -> None:
    made = adapter(kind)
    requests = [
        made.prepare(chat(), "m", SECRET).http,
        made.models_request(SECRET),
        made.probe_request(SECRET),
    ]

    for http in requests:
        holders = [name for name, value in http.headers.items() if SECRET in value]
        assert 1 == len(holders)
        assert SECRET not in http.url
        assert SECRET.encode() not in http.body
    for http in (made.prepare(chat(), "m", None).http, made.models_request(None)):
        assert http.headers.keys().isdisjoint({"authorization", "api-key", "x-api-key"})


@pytest.mark.parametrize("kind", TYPES)
def test_headers_of_the_manifest_are_sent_with_every_request(kind: ProviderType) -> None:
    made = adapter(kind, headers={"X-Team": "a"})

    for http in (made.prepare(chat(), "m", None).http, made.models_request(None),
                 made.probe_request(None)):  # fmt: skip
        assert "a" == http.headers["x-team"]


@pytest.mark.parametrize("kind", TYPES)
def test_lists_and_probes_only_read(kind: ProviderType) -> None:
    made = adapter(kind)

    for http in (made.models_request(None), made.probe_request(None)):
        assert ("GET", b"") == (http.method, http.body)
        assert http.url.startswith(provider(kind).base_url.removesuffix("/v1"))


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=40)
@given(status=st.integers(300, 599), body=st.binary(max_size=60) | st.just(b'{"error":"x"}'))
def test_every_refusal_has_a_class(kind: ProviderType, status: int, body: bytes) -> None:
    response = HttpResponse(status=status, headers={}, body=body)

    assert isinstance(adapter(kind).failure(response), UpstreamFailed)


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        (kind, request)
        for kind in TYPES
        for request in (chat(), embeddings())
        if not request.features - adapter(kind).capabilities("m")
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null"])
def test_what_is_no_answer_is_a_bad_response(
    kind: ProviderType, request_: Request, body: bytes
) -> None:
    made = adapter(kind)
    prepared = made.prepare(request_, "m", None)

    with pytest.raises(UpstreamFailed) as caught:
        made.answer(request_, prepared, HttpResponse(status=200, headers={}, body=body))

    assert ErrorClass.BAD_RESPONSE is caught.value.error


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}"])
def test_what_is_no_list_of_models_is_a_bad_response(kind: ProviderType, body: bytes) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        adapter(kind).models(HttpResponse(status=200, headers={}, body=body))

    assert ErrorClass.BAD_RESPONSE is caught.value.error


@pytest.mark.parametrize("kind", TYPES)
def test_a_stream_that_ends_at_once_may_be_tried_elsewhere(kind: ProviderType) -> None:
    made = adapter(kind)
    request = chat(stream=True)

    batch = made.decoder(request, made.prepare(request, "m", None)).finish()

    assert not batch.done
    assert batch.failure is not None
    assert batch.failure.policy.try_next


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=40)
@given(pieces=st.lists(st.binary(max_size=40), max_size=5))
def test_no_bytes_break_a_decoder(kind: ProviderType, pieces: list[bytes]) -> None:
    made = adapter(kind)
    request = chat(stream=True)
    stream = made.decoder(request, made.prepare(request, "m", None))

    for piece in pieces:
        batch = stream.feed(piece)
        if batch.done or batch.failure is not None:
            return
    stream.finish()


@pytest.mark.parametrize("kind", TYPES)
def test_a_capability_is_kept_when_it_is_asked_for(kind: ProviderType) -> None:
    """What a type says that it can do, it can write."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    link = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    pdf = {"file_data": "data:application/pdf;base64,JVBERi0="}
    named = {"type": "function", "function": {"name": "get_time"}}
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    asked: dict[Feature, Request] = {
        Feature.CHAT: chat(),
        Feature.COMPLETIONS: completion(),
        Feature.EMBEDDINGS: embeddings(),
        Feature.TOKEN_INPUT: embeddings(input=[1, 2]),
        Feature.DIMENSIONS: embeddings(dimensions=8),
        Feature.TOOLS: chat(tools=[TOOL]),
        Feature.CUSTOM_TOOLS: chat(tools=[{"type": "custom", "custom": {"name": "g"}}]),
        Feature.TOOL_CHOICE_REQUIRED: chat(tools=[TOOL], tool_choice="required"),
        Feature.TOOL_CHOICE_NAMED: chat(tools=[TOOL], tool_choice=named),
        Feature.JSON_OBJECT: chat(response_format={"type": "json_object"}),
        Feature.JSON_SCHEMA: chat(response_format=schema),
        Feature.IMAGE_DATA: chat(messages=[{"role": "user", "content": [image]}]),
        Feature.IMAGE_URL: chat(messages=[{"role": "user", "content": [link]}]),
        Feature.AUDIO_INPUT: chat(messages=[{"role": "user", "content": [audio]}]),
        Feature.AUDIO_OUTPUT: chat(modalities=["text", "audio"], audio={"voice": "v"}),
        Feature.FILE: chat(messages=[{"role": "user", "content": [{"type": "file", "file": pdf}]}]),
        Feature.LOGPROBS: chat(logprobs=True),
        Feature.MULTIPLE_CHOICES: chat(n=2),
        Feature.REASONING: chat(reasoning_effort="high"),
    }
    assert set(Feature) == asked.keys()
    made = adapter(kind)
    features = made.capabilities("m")

    for feature, request in asked.items():
        if feature in features:
            made.prepare(request, "m", None)
        elif feature not in {Feature.TOKEN_INPUT, Feature.IMAGE_URL, Feature.AUDIO_INPUT}:
            with pytest.raises(RequestRejected):
                made.prepare(request, "m", None)


@pytest.mark.parametrize("kind", TYPES)
def test_a_model_name_can_never_become_more_than_a_name(kind: ProviderType) -> None:
    name = "../../admin?x=#y"
    made = adapter(kind)

    plain = made.prepare(chat(), "m", None).http.url
    odd = made.prepare(chat(), name, None).http.url

    assert odd in {plain, plain.replace("/m/", f"/{quote(name, safe='')}/")}


def test_operations_have_their_paths() -> None:
    assert set(Operation) == PATHS.keys()


def test_a_body_is_compact_json() -> None:
    body: Any = adapter(ProviderType.OPENAI).prepare(chat(), "m", None).http.body

    assert encode(decode(body)) == body
