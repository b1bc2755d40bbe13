"""Golden files of the Messages API, found by glob; tests/golden/anthropic/README.md tells their form.

SWITCHGEAR_GOLDEN=write rewrites what is expected; read the diff as if someone else wrote it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dataplane.codec import decode, encode, encode_pretty
from dataplane.errors import RequestRejected, UpstreamFailed
from dataplane.provider import Request
from dataplane.wire.request import parse_chat
from tests.dataplane.wire.anthropic_kit import BUDGET, OLDEST, answered, played, prepared
from tests.dataplane.wire.openai_kit import TOOL, chat, read_events
from tests.doubles.anthropic_checks import MODELS, check

GOLDEN = Path(__file__).parents[2] / "golden" / "anthropic"
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "place", "schema": {"type": "object", "properties": {}}},
}


def cases(folder: str, ending: str) -> list[Any]:
    files = sorted((GOLDEN / folder).glob(f"*{ending}"))
    return [pytest.param(path, id=path.name.removesuffix(ending)) for path in files]


def compare(path: Path, ending: str, expected_ending: str, actual: bytes) -> None:
    expected = path.with_name(path.name.removesuffix(ending) + expected_ending)
    if os.environ.get("SWITCHGEAR_GOLDEN") == "write":
        expected.write_bytes(actual)

    assert expected.read_bytes() == actual


def asked(path: Path) -> tuple[Request, str]:
    """Build the request that the words after each `+` of a file's name ask for, and its model."""
    words = path.name.split(".")[0].split("+")[1:]
    fields: dict[str, Any] = {"stream": True} if path.suffix == ".sse" else {}
    if "usage" in words:
        fields["stream_options"] = {"include_usage": True}
    if "thinks" in words:
        fields["reasoning_effort"] = "low"
    if "schema" in words:
        return chat(**fields, response_format=SCHEMA), OLDEST
    tools = {"functions": [TOOL["function"]]} if "legacy" in words else {"tools": [TOOL]}
    return chat(**fields, **tools), BUDGET


@pytest.mark.parametrize("path", cases("requests", ".in.json"))
def test_requests(path: Path) -> None:
    case = decode(path.read_bytes())
    request = parse_chat(encode(case["body"]))
    model = case["upstream_model"]
    try:
        made = prepared(request, model, options=case.get("options"))
    except RequestRejected as rejected:
        actual: dict[str, Any] = {
            "rejected": {
                "status": rejected.status,
                "code": rejected.code,
                "param": rejected.param,
                "message": rejected.message,
            }
        }
    else:
        headers = made.http.headers
        body = decode(made.http.body)
        actual = {
            "headers": {name: headers[name] for name in sorted(headers) if "anthropic" in name},
            "body": body,
            "warnings": list(made.warnings),
        }
        if model in MODELS:
            check(body, headers)

    compare(path, ".in.json", ".out.json", encode_pretty(actual) + b"\n")


@pytest.mark.parametrize("path", cases("answers", ".in.json"))
def test_answers(path: Path) -> None:
    request, model = asked(path)
    try:
        actual, _ = answered(request, path.read_bytes(), model)
    except UpstreamFailed as failure:
        actual = {"failure": {"error": failure.error.value, "message": failure.message}}

    compare(path, ".in.json", ".out.json", encode_pretty(actual) + b"\n")


@pytest.mark.parametrize("path", cases("streams", ".in.sse"))
def test_streams(path: Path) -> None:
    stream = path.read_bytes()
    request, model = asked(path)
    read = played(request, stream, model=model)
    end = b""
    if read.failure is not None:
        end = b": failure " + encode([read.failure.error.value, read.failure.message]) + b"\n"

    assert read.done is (read.failure is None)
    compare(path, ".in.sse", ".out.sse", read.data + end)
    for cut in range(len(stream)):
        assert read.data == played(request, stream[:cut], stream[cut:], model=model).data


@pytest.mark.parametrize("path", cases("streams", ".out.sse"))
def test_expected_streams_hold_whole_events(path: Path) -> None:
    data = path.read_bytes().split(b": failure ")[0]

    assert read_events(data) or b"" == data


def test_there_are_golden_files() -> None:
    """A moved folder must not make the tests above pass by finding nothing."""
    assert 12 <= len(cases("requests", ".in.json"))
    assert 8 <= len(cases("answers", ".in.json"))
    assert 8 <= len(cases("streams", ".in.sse"))
