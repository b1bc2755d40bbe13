"""Plain chats say the same as the usual way, read and written, or are not taken for plain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode, encode
from dataplane.errors import RequestRejected
from dataplane.provider import Request
from dataplane.providers.openai import OpenAIAdapter
from dataplane.record import replace
from dataplane.wire.plain_request import read_plain
from dataplane.wire.request_chat import parse_any_chat, parse_chat
from tests.dataplane.wire.openai_kit import adapter

OPENAI_FORMAT = (
    ProviderType.VLLM,
    ProviderType.OVHCLOUD,
    ProviderType.SCALEWAY,
    ProviderType.OPENAI,
    ProviderType.AZURE_OPENAI,
    ProviderType.MISTRAL,
)
MODELS = ("m", "gpt-4o", "o3", "gpt-5.4", "mistral-small-latest", "gemma-3-27b-it")
HELLO = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

texts = st.text(max_size=8)
roles = st.sampled_from(["system", "user", "assistant", "developer", "tool"])
contents = st.one_of(texts, st.none(), st.just([{"type": "text", "text": "part"}]))
messages = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": texts}),
        st.fixed_dictionaries(
            {"role": roles, "content": contents}, optional={"name": texts, "odd": texts}
        ),
    ),
    max_size=4,
)
numbers = st.one_of(
    st.integers(-4, 4), st.floats(-3, 3), st.booleans(), st.none(), st.sampled_from([2**63, "1"])
)
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from([*MODELS, "", "a\nb", "é" * 256]), "messages": messages},
    optional={
        "temperature": numbers,
        "top_p": numbers,
        "presence_penalty": numbers,
        "frequency_penalty": numbers,
        "max_tokens": numbers,
        "max_completion_tokens": numbers,
        "seed": numbers,
        "stop": st.one_of(texts, st.lists(texts, max_size=6), st.none()),
        "user": texts,
        "stream": st.one_of(st.booleans(), st.none()),
        "stream_options": st.one_of(
            st.none(),
            st.fixed_dictionaries({}, optional={"include_usage": st.booleans(), "odd": texts}),
        ),
        "odd": texts,
    },
)


def _plain(body: dict[str, Any]) -> Request:
    read = read_plain(encode(body))
    assert read is not None
    return read


@given(bodies)
def test_what_is_read_as_plain_is_valid_and_says_the_same(body: dict[str, Any]) -> None:
    read = read_plain(encode(body))
    if read is None:
        return
    usual = parse_any_chat(encode(body))
    assert replace(usual, body={}) == replace(read, body={}, plain=None)
    assert usual.body == read.body
    names = {*usual.body, *body, "tools", "messages"}
    assert {name: usual.body.get(name) for name in names} == {
        name: read.body.get(name) for name in names
    }
    assert {name for name in names if name in usual.body} == {
        name for name in names if name in read.body
    }


@pytest.mark.parametrize("kind", OPENAI_FORMAT)
@given(body=bodies, model=st.sampled_from(MODELS), most=st.sampled_from([None, 2]))
def test_what_is_written_plainly_is_what_the_usual_writer_writes(
    kind: ProviderType, body: dict[str, Any], model: str, most: int | None
) -> None:
    read = read_plain(encode(body))
    if read is None:
        return
    models = {model: Model(name=model, max_output_tokens=most)}
    made = _adapter(kind, models)
    usual = _outcome(made, replace(read, plain=None), model)
    assert usual == _outcome(made, read, model)


@pytest.mark.parametrize("kind", OPENAI_FORMAT)
@pytest.mark.parametrize("stream", [False, True])
def test_a_common_request_is_plain_to_every_provider_of_the_format(
    kind: ProviderType, stream: bool
) -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "again"},
    ]
    body = {"model": "m", "messages": conversation, "temperature": 0.2, "max_tokens": 9}
    read = _plain(body | ({"stream": True} if stream else {}))
    assert read.plain is not None
    made = _adapter(kind, {})
    # The usual writer would fail at this: it was not asked.
    broken = replace(read, body={})
    sent = decode(made.prepare(broken, "theirs", "key").http.body)
    assert "theirs" == sent["model"]
    assert conversation == sent["messages"]
    assert stream is ("stream" in sent)


@pytest.mark.parametrize(
    "change",
    [
        {"tools": []},
        {"stop": None},
        {"temperature": 3},
        {"temperature": True},
        {"stream_options": {"include_usage": True}},
        {"max_tokens": 1, "max_completion_tokens": 1},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "pre"}]},
        {"messages": [{"role": "user", "content": "a", "name": "b"}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]},
    ],
)
def test_what_needs_thought_or_is_wrong_is_not_plain(change: dict[str, Any]) -> None:
    assert read_plain(encode(HELLO | change)) is None


def test_a_model_named_twice_goes_on_under_one_name() -> None:
    read = parse_chat(b'{"model":"theirs","messages":[{"role":"user","content":"a"}],"model":"m"}')
    assert read.plain is not None
    body = _adapter(ProviderType.VLLM, {}).prepare(read, "chosen", None).http.body
    assert b'{"model":"chosen","messages":[{"role":"user","content":"a"}]}' == body


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":"\xff"}', b"[" * 100_000])
def test_bytes_that_are_no_chat_are_not_plain(body: bytes) -> None:
    assert read_plain(body) is None


def _adapter(kind: ProviderType, models: dict[str, Model]) -> OpenAIAdapter:
    made = adapter(kind, models=models)
    assert isinstance(made, OpenAIAdapter)
    return made


def _outcome(made: OpenAIAdapter, request: Request, model: str) -> object:
    try:
        prepared = made.prepare(request, model, "key")
    except RequestRejected as rejection:
        return rejection.message, rejection.param
    http = prepared.http
    return decode(http.body), http.url, dict(http.headers), list(prepared.warnings)
