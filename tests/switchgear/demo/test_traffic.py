"""The judge of the demo's traffic: only an answer that is right to the byte counts as one."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane import codec
from switchgear.demo.model import counted
from switchgear.demo.traffic import Totals, Traffic, Verdict, ask
from tests.switchgear.faked_admin import canned

_PATH = "/v1/chat/completions"
_HEADERS = {
    "x-switchgear-provider": "local-b",
    "x-switchgear-attempts": "2",
    "x-switchgear-fallback-reason": "circuit_open",
    "x-request-id": "req-1",
}
_DONE = b"data: [DONE]\n\n"
_ERROR = b'data: {"error":{"message":"went away"}}\n\n'


def piece(text: str, finish: str | None = None) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}
    return b"data: " + codec.encode(chunk) + b"\n\n"


def whole(text: str) -> bytes:
    return codec.encode({"choices": [{"message": {"role": "assistant", "content": text}}]})


@pytest.mark.parametrize(
    ("stream", "status", "body", "verdict"),
    [
        (False, 200, whole(counted(3)), Verdict.ANSWERED),
        (False, 200, whole(" 1 3"), Verdict.LOST),
        (False, 200, b"{}", Verdict.LOST),
        (False, 200, b"{", Verdict.LOST),
        (False, 502, b"{}", Verdict.LOST),
        (True, 200, piece(" 1") + piece(" 2 3", "length") + _DONE, Verdict.ANSWERED),
        (True, 200, piece(" 1") + piece(" 3", "length") + _DONE, Verdict.LOST),
        (True, 200, piece(" 1 2 2 3", "length") + _DONE, Verdict.LOST),
        (True, 200, piece(" 1 2 3") + _DONE, Verdict.LOST),
        (True, 200, piece(" 1 2 3", "length"), Verdict.LOST),
        (True, 200, piece(" 1") + _ERROR, Verdict.INTERRUPTED),
        (True, 200, piece(" 2") + _ERROR, Verdict.LOST),
        (True, 200, _ERROR, Verdict.LOST),
        (True, 200, b"data: {\n\n", Verdict.LOST),
        (True, 503, b'{"error":{"message":"nobody"}}', Verdict.LOST),
    ],
)
def test_verdicts(stream: bool, status: int, body: bytes, verdict: Verdict) -> None:
    with canned({_PATH: (status, _HEADERS, body)}) as server:
        result = ask(server.url, "chat", 3, stream=stream)

    assert verdict == result.verdict
    assert bool(result.detail) == (verdict is not Verdict.ANSWERED)


def test_a_result_holds_what_the_headers_tell() -> None:
    with canned({_PATH: (200, _HEADERS, whole(counted(2)))}) as server:
        result = ask(server.url, "chat", 2, stream=False)

    assert ("local-b", 2, "circuit_open", "req-1") == (
        result.provider,
        result.attempts,
        result.fallback,
        result.request_id,
    )


def test_the_model_is_asked_to_count() -> None:
    with canned({_PATH: (200, {}, whole(""))}) as server:
        ask(server.url, "chat", 7, stream=True)
        sent: Any = codec.decode(server.requests[0])

    assert ("chat", 7, True) == (sent["model"], sent["max_tokens"], sent["stream"])


def test_nobody_there_is_a_lost_request() -> None:
    result = ask("http://127.0.0.1:1", "chat", 3, stream=True)

    assert Verdict.LOST == result.verdict
    assert "nothing listens" in result.detail


def test_all_requests_are_counted_and_each_caller_ends() -> None:
    with canned({_PATH: (500, {}, b"")}) as server:
        traffic = Traffic(server.url, "chat", callers=2, pause_s=0.001)
        traffic.start()
        assert all(server.came.acquire(timeout=5.0) for _ in range(8))
        traffic.stop()
        sent = len(server.requests)

    assert Totals(sent=sent, answered=0, interrupted=0, lost=sent) == traffic.totals()
    assert sent - 4 == len(traffic.results(since=4))
