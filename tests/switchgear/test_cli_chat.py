"""`switchgear chat` against a canned data port."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner, Result

from dataplane import codec
from switchgear.cli import main
from tests.switchgear.faked_admin import canned

_PATH = "/v1/chat/completions"
_HEADERS = {
    "content-type": "text/event-stream",
    "x-switchgear-provider": "local-b",
    "x-switchgear-model": "tiny",
    "x-switchgear-attempts": "2",
    "x-switchgear-fallback-reason": "circuit_open",
    "x-request-id": "req-1",
}


def delta(**fields: Any) -> bytes:
    return b"data: " + codec.encode({"choices": [{"index": 0, "delta": fields}]}) + b"\n\n"


def chat(stream: bytes, *arguments: str, status: int = 200, stdin: str = "") -> tuple[Result, Any]:
    with canned({_PATH: (status, _HEADERS, stream)}) as server:
        result = CliRunner().invoke(
            main, ["chat", *arguments, "--url", server.url + "/"], input=stdin
        )
        return result, codec.decode(server.requests[0])


def test_text_goes_out_and_the_account_of_it_to_standard_error() -> None:
    result, sent = chat(
        delta(role="assistant", content=None)
        + delta(content="Hel")
        + delta(content="lo 🙂")
        + b'data: {"choices":[],"usage":{}}\n\ndata: [DONE]\n\n',
        *("chat", "Hi", "--system", "Be brief.", "--max-tokens", "9"),
    )

    assert 0 == result.exit_code
    assert "Hello 🙂\n" == result.stdout
    assert "-- provider local-b, model tiny, attempts 2, " in result.stderr
    assert "fell back: circuit_open, request req-1" in result.stderr
    assert {
        "model": "chat",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "stream": True,
        "max_tokens": 9,
    } == sent


def test_a_dash_reads_standard_input() -> None:
    _, sent = chat(b"data: [DONE]\n\n", "chat", "-", stdin="from a pipe")

    assert [{"role": "user", "content": "from a pipe"}] == sent["messages"]


def test_tool_calls_and_reasoning_are_shown() -> None:
    result, _ = chat(
        delta(reasoning_content="hm. ")
        + delta(tool_calls=[{"index": 0, "function": {"name": "get_weather", "arguments": ""}}])
        + delta(tool_calls=[{"index": 0, "function": {"arguments": '{"city":"Paris"}'}}])
        + b"data: [DONE]\n\n",
        *("chat", "Hi"),
    )

    assert 'hm. get_weather{"city":"Paris"}\n' == result.stdout


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (delta(content="Hel"), "the stream broke off before its end mark"),
        (
            delta(content="Hel") + b'data: {"error":{"message":"upstream went away"}}\n\n',
            "the stream broke off: upstream went away",
        ),
        (b"data: {nonsense\n\n", "not JSON"),
    ],
)
def test_a_broken_stream_is_an_error(stream: bytes, message: str) -> None:
    result, _ = chat(stream, "chat", "Hi")

    assert 1 == result.exit_code
    assert message in result.stderr


def test_an_error_answer_is_shown_with_the_reason_for_the_fallback() -> None:
    result, _ = chat(b'{"error":{"message":"all targets failed"}}', *("chat", "Hi"), status=503)

    assert 1 == result.exit_code
    assert "Error: all targets failed (HTTP 503); tried: circuit_open" in result.stderr
