"""Plain chats say the same as the usual way, read and written, or are not taken for plain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
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
# What may stand in a string of JSON, and what may not.
PIECES = (
    b"a",
    b"/",
    b"\x7f",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    rb"\n",
    rb"\"",
    rb"\/",
    rb"\u0000",
    rb"\u00e9",
    rb"\ud83d\ude00",
    rb"\ud83d",
    rb"\ude00",
    rb"\u12",
    rb"\x",
    b"\\",
    b'"',
    b"\n",
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
)
HELLO = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

texts = st.text(max_size=8)
roles = st.sampled_from(["system", "user", "assistant", "developer", "tool"])
contents = st.one_of(texts, st.none(), st.just([{"type": "text", "text": "part"}]))
literals = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=4).map(lambda pieces: b'"%b"' % b"".join(pieces)),
    st.sampled_from([b"null", b"1", b"01", b"[]", b"{}", b'{"a":"\xff"}', b"", b' "spaced"\n']),
)
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


def _spelled(role: str, literals: list[bytes]) -> bytes:
    """Write a chat whose second-last message has contents that are spelled so."""
    contents = b",".join(b'"content":%b' % literal for literal in literals)
    message = b'{"role":"%b",%b}' % (role.encode(), contents)
    return b'{"model":"m","messages":[%b,{"role":"user","content":"hi"}]}' % message


def _read(read: Any, body: bytes) -> object:
    try:
        request = read(body)
    except RequestRejected as rejection:
        return rejection.message, rejection.param
    return dict(request.body), replace(request, body={}, plain=None)


@settings(max_examples=400)
@given(
    role=st.sampled_from(["system", "user", "assistant"]),
    literals=st.lists(literals, min_size=1, max_size=2),
)
def test_however_a_text_is_spelled_it_says_the_same_or_is_refused_at_once(
    role: str, literals: list[bytes]
) -> None:
    body = _spelled(role, literals)
    assert _read(parse_any_chat, body) == _read(parse_chat, body)
    read = read_plain(body)
    if read is None:
        return
    sent = _adapter(ProviderType.VLLM, {}).prepare(read, "m", None).http.body
    assert parse_any_chat(body).body == decode(sent)


@pytest.mark.parametrize(
    "literal",
    [rb'"line\nline \"\u00e9\ud83d\ude00\/"', b'"\xc3\xa9\xf0\x9f\x98\x80"', b'"\x7f"', b' "a"\n'],
)
def test_a_text_goes_on_as_it_is_spelled(literal: bytes) -> None:
    read = read_plain(_spelled("assistant", [literal]))
    assert read is not None
    body = _adapter(ProviderType.VLLM, {}).prepare(read, "m", None).http.body
    assert b'"content":%b}' % literal.strip() in body


@pytest.mark.parametrize(
    "literal",
    [
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\n"',
        b'"\x00"',
        rb'"\x"',
        rb'"\u12"',
        rb'"\ud83d"',
        rb'"\ude00"',
        rb'"\ud83d\ud83d"',
    ],
)
def test_a_text_that_is_not_valid_is_refused(literal: bytes) -> None:
    with pytest.raises(RequestRejected):
        parse_chat(_spelled("user", [literal]))


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


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"model":"\xff"}',
        b"[" * 100_000,
        b'{"model":"m","messages":[{"role":"user","content":' + b"[" * 100_000,
    ],
)
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
