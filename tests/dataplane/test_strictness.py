"""Section 1: what strict routes demand, before anything is sent."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from controlplane.table.schema import ProviderType, Timeouts
from dataplane.codec import decode, encode
from dataplane.credentials import Credentials
from dataplane.errors import RequestRejected
from dataplane.provider import Call, HttpRequest
from dataplane.strictness import require_unchanged
from dataplane.upstream import HttpProvider
from tests.dataplane.wire.openai_kit import TOOL, adapter, chat, chunk, embeddings, provider, wire

OAI, VLL, MIS = ProviderType.OPENAI, ProviderType.VLLM, ProviderType.MISTRAL
OVH, SCW, OLL = ProviderType.OVHCLOUD, ProviderType.SCALEWAY, ProviderType.OLLAMA
SLOW = Timeouts(connect_s=60, first_event_s=60, answer_s=60, idle_s=60, total_s=60)
ANSWER = {
    **chunk(),
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}],
}


@pytest.mark.parametrize(
    ("warnings", "param"),
    [
        ([], None),
        (["mapped:endpoint", "mapped:messages"], None),
        (["dropped:seed"], "seed"),
        (["mapped:messages", "clamped:temperature", "dropped:seed"], "temperature"),
        (["emulated:tool_choice"], "tool_choice"),
        (["dropped:stream_options.x"], "stream_options.x"),
    ],
)
def test_what_is_only_said_in_other_words_is_as_good(
    warnings: Sequence[str], param: str | None
) -> None:
    if param is None:
        require_unchanged(warnings)
        return
    with pytest.raises(RequestRejected) as caught:
        require_unchanged(warnings)
    assert (400, param, "unsupported_parameter") == (
        caught.value.status,
        caught.value.param,
        caught.value.code,
    )
    assert param in caught.value.message


class OneAnswer:
    """A transport that gives each request the same answer."""

    def __init__(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.sent: list[HttpRequest] = []
        self._body = body
        self._headers = headers or {}

    async def send(
        self, request: HttpRequest, *, connect_s: float, until_s: float = math.inf
    ) -> Any:
        self.sent.append(request)
        return _Response(self._body, self._headers)


class _Response:
    status = 200

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self.headers = headers
        self._body = body

    async def chunk(self, until_s: float = math.inf) -> bytes:
        body, self._body = self._body, b""
        return body

    def whole(self) -> bytes | None:
        return None

    def release(self) -> None:
        pass


def upstream(kind: ProviderType, transport: OneAnswer) -> HttpProvider:
    credentials = Credentials(environ={}, secrets_root=Path("/nowhere"), clock=time.monotonic)
    config = provider(kind)
    return HttpProvider(config, adapter(kind), transport, credentials, time.monotonic)


def call(begun: list[int], *, strict: bool) -> Call:
    def begin() -> Mapping[str, str]:
        begun.append(1)
        return {}

    deadline_s = time.monotonic() + 60
    return Call(model="m", timeouts=SLOW, deadline_s=deadline_s, begin=begin, strict=strict)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "fields", "param"),
    [
        (VLL, {"user": "u"}, "user"),
        (MIS, {"temperature": 1.9}, "temperature"),
        (OVH, {"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
        (MIS, {"seed": 1}, None),
    ],
)
async def test_a_strict_call_rejects_before_anything_is_sent(
    kind: ProviderType, fields: dict[str, Any], param: str | None, stream: bool, strict: bool
) -> None:
    body = wire(chunk({"content": "Hi"}), chunk(finish="stop")) if stream else encode(ANSWER)
    transport = OneAnswer(body)
    begun: list[int] = []
    request, how = chat(stream=stream, **fields), call(begun, strict=strict)
    subject = upstream(kind, transport)
    exchange = subject.chat_stream if stream else subject.chat

    if strict and param is not None:
        with pytest.raises(RequestRejected) as caught:
            await exchange(request, how)
        assert param == caught.value.param
        assert ([], []) == (begun, transport.sent)
        return
    await exchange(request, how)

    assert 1 == len(transport.sent)


async def test_strictness_reaches_the_adapter() -> None:
    body = {"model": "m", "message": {"content": "Hi"}, "done": True, "done_reason": "stop"}
    for strict in (False, True):
        transport = OneAnswer(encode(body))

        await upstream(OLL, transport).chat(chat(), call([], strict=strict))

        assert strict is ("truncate" in decode(transport.sent[0].body))


async def test_the_parts_of_embeddings_are_rejected_as_one() -> None:
    transport = OneAnswer(b"")
    begun: list[int] = []

    with pytest.raises(RequestRejected) as caught:
        await upstream(SCW, transport).embeddings(
            embeddings(input=["a"] * 40, user="u"), call(begun, strict=True)
        )

    assert "user" == caught.value.param
    assert ([], []) == (begun, transport.sent)


async def test_more_inputs_than_a_type_takes_are_several_calls() -> None:
    data = [{"object": "embedding", "index": at, "embedding": [0.5]} for at in range(32)]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    transport = OneAnswer(encode({"model": "m", "data": data, "usage": usage}))
    begun: list[int] = []

    completed = await upstream(OVH, transport).embeddings(
        embeddings(input=["a"] * 64), call(begun, strict=True)
    )

    body = decode(completed.answer.body)
    assert (64, 10, 2, [1]) == (
        len(body["data"]),
        body["usage"]["prompt_tokens"],
        len(transport.sent),
        begun,
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_a_notice_of_the_upstream_reaches_the_caller(stream: bool) -> None:
    """Case 17.28: OVHcloud says in a header that a model is on its way out."""
    body = wire(chunk({"content": "Hi"})) if stream else encode(ANSWER)
    transport = OneAnswer(body, {"x-warning": "gone soon"})
    subject = upstream(OVH, transport)
    exchange = subject.chat_stream if stream else subject.chat

    result = await exchange(chat(stream=stream), call([], strict=False))

    assert {"notice:model", "mapped:model"} == set(result.warnings)
