"""Golden files of Bedrock; tests/golden/bedrock/README.md tells their form.

SWITCHGEAR_GOLDEN=write rewrites what is expected; read the diff as if someone else wrote it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode, encode, encode_pretty
from dataplane.errors import RequestRejected, UpstreamFailed
from dataplane.provider import Request
from dataplane.wire.request import parse_chat, parse_embeddings
from tests.dataplane.wire.bedrock_kit import CLAUDE, HEADERS, NOVA, read, reading, response
from tests.dataplane.wire.openai_kit import adapter, chat, embeddings
from tests.doubles import bedrock_embeddings
from tests.doubles.bedrock_frames import event, exception
from tests.doubles.bedrock_rules import check_converse

GOLDEN = Path(__file__).parents[2] / "golden" / "bedrock"
HOST = "https://bedrock-runtime.eu-west-3.amazonaws.com"
PARSERS = {"chat": parse_chat, "embeddings": parse_embeddings}


def cases(folder: str, ending: str) -> Sequence[Any]:
    files = sorted((GOLDEN / folder).glob(f"*{ending}"))
    return [pytest.param(path, id=path.name.removesuffix(ending)) for path in files]


def compare(path: Path, actual: bytes) -> None:
    if os.environ.get("SWITCHGEAR_GOLDEN") == "write":
        path.write_bytes(actual)

    assert path.read_bytes() == actual


def marks(path: Path) -> Sequence[str]:
    return path.name.split(".")[0].split("+")[1:]


def request_for(path: Path, *, stream: bool) -> Request:
    """Build the request that the words after each `+` of a file's name ask for."""
    words = marks(path)
    fields: dict[str, Any] = {"stream": True} if stream else {}
    if "usage" in words:
        fields["stream_options"] = {"include_usage": True}
    if "legacy" in words:
        fields["functions"] = [{"name": "get_time"}]
    return embeddings() if "embed" in words else chat(**fields)


def reading_for(path: Path, *, stream: bool) -> Any:
    words = marks(path)
    return reading(
        NOVA if "nova" in words else CLAUDE,
        request_for(path, stream=stream),
        answer_tool="place" if "schema" in words else "",
        thinks="thinks" in words,
    )


def told(failure: UpstreamFailed) -> dict[str, Any]:
    return {
        "error": failure.error.value,
        "message": failure.message,
        "error_type": failure.error_type,
    }


def frames(path: Path) -> bytes:
    stream = b""
    for line in path.read_text().splitlines():
        match json.loads(line):
            case {"event": kind, **payload}:
                stream += event(kind, payload)
            case {"exception": kind, **payload}:
                stream += exception(kind, **payload)
    return stream


@pytest.mark.parametrize("path", cases("requests", ".in.json"))
def test_requests(path: Path) -> None:
    case = decode(path.read_bytes())
    request = PARSERS[case.get("operation", "chat")](encode({"model": "route", **case["body"]}))
    models = {name: Model(name=name, **said) for name, said in case.get("models", {}).items()}
    made = adapter(
        ProviderType.AWS_BEDROCK, base_url=HOST, models=models, options=case.get("options", {})
    )
    try:
        prepared = made.prepare(request, case["model"], None)
    except RequestRejected as rejected:
        actual: Any = {
            "rejected": {
                "status": rejected.status,
                "code": rejected.code,
                "param": rejected.param,
                "message": rejected.message,
            }
        }
    else:
        http = prepared.http
        body = decode(http.body)
        if http.url.endswith("/invoke"):
            bedrock_embeddings.answer(case["model"], body)
        else:
            check_converse(case["model"], body, stream=http.url.endswith("stream"))
        assert case["model"] == unquote(http.url.split("/")[4])
        actual = {"url": http.url, "headers": dict(http.headers), "body": body}
        actual["warnings"] = list(prepared.warnings)

    compare(path.with_name(path.name.replace(".in.", ".out.")), encode_pretty(actual) + b"\n")


@pytest.mark.parametrize("path", cases("answers", ".in.json"))
def test_answers(path: Path) -> None:
    request = request_for(path, stream=False)
    made = adapter(ProviderType.AWS_BEDROCK, base_url=HOST)
    model = "amazon.titan-embed-text-v2:0" if "embed" in marks(path) else CLAUDE
    prepared = made.prepare(request, model, None)
    if "embed" not in marks(path):
        prepared.context["reading"] = reading_for(path, stream=False)  # type: ignore[index]
    answer = response(decode(path.read_bytes()), headers=HEADERS)
    try:
        actual = decode(made.answer(request, prepared, answer).body)
    except UpstreamFailed as failure:
        actual = {"failed": told(failure)}

    compare(path.with_name(path.name.replace(".in.", ".out.")), encode_pretty(actual) + b"\n")


@pytest.mark.parametrize("path", cases("streams", ".in.ndjson"))
def test_streams(path: Path) -> None:
    stream, how = frames(path), reading_for(path, stream=True)
    result = read(stream, how)
    ending = b": done\n"
    if result.failure is not None:
        ending = b": failed " + encode(told(result.failure)) + b"\n"

    compare(path.with_name(path.name.replace(".in.ndjson", ".out.sse")), result.data + ending)
    for cut in range(0, len(stream), 7):
        assert result.data == read(stream, how, cut).data


def test_there_are_golden_files() -> None:
    """A moved folder must not make the tests above pass by finding nothing."""
    assert 25 <= len(cases("requests", ".in.json"))
    assert 12 <= len(cases("answers", ".in.json"))
    assert 12 <= len(cases("streams", ".in.ndjson"))
