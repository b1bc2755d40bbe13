"""Golden files of Ollama's format, found by glob; tests/golden/ollama/README.md tells their form.

SWITCHGEAR_GOLDEN=write rewrites what is expected; read the diff as if someone else wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dataplane.codec import decode, encode, encode_pretty
from dataplane.errors import RequestRejected, UpstreamFailed
from dataplane.provider import Operation, Request
from dataplane.record import replace
from dataplane.wire.ollama_answer import read_answer
from dataplane.wire.ollama_request import PATHS, serialize
from tests.dataplane.wire.ollama_samples import (
    chat_request,
    embeddings_request,
    events_of,
    read,
    response,
    text_request,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "ollama"


def cases(folder: str, ending: str) -> list[Any]:
    files = sorted((GOLDEN / folder).glob(f"*{ending}"))
    return [pytest.param(path, id=path.name.removesuffix(ending)) for path in files]


def check(path: Path, ending: str, expected_ending: str, actual: bytes) -> None:
    expected = path.with_name(path.name.removesuffix(ending) + expected_ending)
    if os.environ.get("SWITCHGEAR_GOLDEN") == "write":
        expected.write_bytes(actual)

    assert expected.read_bytes() == actual


def canonical(case: Mapping[str, Any]) -> Request:
    body = case["body"]
    return Request(
        operation=Operation(case["operation"]),
        model=body["model"],
        body=body,
        stream=body.get("stream", False),
    )


def request_for(path: Path) -> Request:
    """Build the request that the words after each `+` of a file's name ask for."""
    words = path.name.split(".")[0].split("+")[1:]
    if "embed" in words:
        return embeddings_request(["a", "b"], base64="base64" in words)
    request = text_request() if "generate" in words else chat_request()
    return replace(request, include_usage="usage" in words, legacy_functions="legacy" in words)


@pytest.mark.parametrize("path", cases("requests", ".in.json"))
def test_requests(path: Path) -> None:
    case = decode(path.read_bytes())
    request = canonical(case)
    try:
        serialized = serialize(
            request, case["upstream_model"], context_window=case.get("context_window")
        )
    except RequestRejected as rejected:
        actual = {
            "rejected": {
                "status": rejected.status,
                "code": rejected.code,
                "param": rejected.param,
                "message": rejected.message,
            }
        }
    else:
        actual = {
            "path": PATHS[request.operation],
            "body": decode(serialized.body),
            "warnings": list(serialized.warnings),
        }

    check(path, ".in.json", ".out.json", encode_pretty(actual) + b"\n")


@pytest.mark.parametrize("path", cases("answers", ".in.json"))
def test_answers(path: Path) -> None:
    native = decode(path.read_bytes())
    try:
        answer = read_answer(request_for(path), response(native), None)
    except UpstreamFailed as failure:
        actual: Any = {"failure": {"error": failure.error.value, "message": failure.message}}
    else:
        actual = decode(answer.body)

    check(path, ".in.json", ".out.json", encode_pretty(actual) + b"\n")


@pytest.mark.parametrize("path", cases("streams", ".in.ndjson"))
def test_streams(path: Path) -> None:
    stream = path.read_bytes()
    request = request_for(path)
    result = read(request, stream)
    end = b""
    if result.failure is not None:
        end = b": failure " + encode([result.failure.error.value, result.failure.message]) + b"\n"

    assert result.ended
    check(path, ".in.ndjson", ".out.sse", result.data + end)
    for cut in range(len(stream)):
        assert result.data == read(request, stream, cut).data


@pytest.mark.parametrize("path", cases("streams", ".out.sse"))
def test_expected_streams_hold_whole_events(path: Path) -> None:
    data = path.read_bytes().split(b": failure ")[0]

    assert events_of(data)[:1] != [] or b"" == data


def test_there_are_golden_files() -> None:
    """A moved folder must not make the tests above pass by finding nothing."""
    assert 12 <= len(cases("requests", ".in.json"))
    assert 8 <= len(cases("answers", ".in.json"))
    assert 8 <= len(cases("streams", ".in.ndjson"))
