"""Golden files of the six providers that speak OpenAI's format; see tests/golden/openai/README.md.

SWITCHGEAR_GOLDEN=write rewrites what is expected; read the diff as if someone else wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode, encode, encode_pretty
from dataplane.errors import RequestRejected, UpstreamFailed
from dataplane.provider import HttpResponse, Request
from dataplane.wire.request import parse_chat, parse_completion, parse_embeddings
from tests.dataplane.wire.openai_kit import TOOL, Played, adapter, chat, completion, embeddings

GOLDEN = Path(__file__).parents[2] / "golden"
FOLDERS: Mapping[str, ProviderType] = {
    "openai": ProviderType.OPENAI,
    "azure_openai": ProviderType.AZURE_OPENAI,
    "vllm": ProviderType.VLLM,
    "ovhcloud": ProviderType.OVHCLOUD,
    "scaleway": ProviderType.SCALEWAY,
    "mistral": ProviderType.MISTRAL,
}
PARSERS = {"chat": parse_chat, "completion": parse_completion, "embeddings": parse_embeddings}


def cases(kind: str, ending: str) -> Sequence[Any]:
    found = [
        pytest.param(path, FOLDERS[folder], id=f"{folder}-{path.name.removesuffix(ending)}")
        for folder in FOLDERS
        for path in sorted((GOLDEN / folder / kind).glob(f"*{ending}"))
    ]
    assert found
    return found


def compare(path: Path, actual: bytes) -> None:
    if os.environ.get("SWITCHGEAR_GOLDEN") == "write":
        path.write_bytes(actual)
    assert path.read_bytes() == actual


def request_for(path: Path, *, stream: bool) -> Request:
    """Make the request whose answer a file holds; marks in the file's name say what it asked for."""
    marks = path.name.split(".")[0].split("+")[1:]
    fields: dict[str, Any] = {"stream": True} if stream else {}
    if "usage" in marks:
        fields["stream_options"] = {"include_usage": True}
    if "tools" in marks or "forced" in marks:
        fields["tools"] = [TOOL]
    if "bridged" in marks:
        fields["reasoning_effort"] = "low"
    if "forced" in marks:
        fields["tool_choice"] = {"type": "function", "function": {"name": "get_time"}}
    if "legacy" in marks:
        fields["functions"] = [{"name": "get_time"}]
    if "base64" in marks:
        fields["encoding_format"] = "base64"
    if "two" in marks:
        fields["input"] = ["a", "b"]
    if "embed" in marks:
        return embeddings(**fields)
    return completion(**fields) if "text" in marks else chat(**fields)


def model_for(path: Path) -> str:
    """Name the model that answers: one that calls functions over the Responses API, or any other."""
    return "gpt-5.4" if "bridged" in path.name.split(".")[0].split("+") else "m"


def told(failure: UpstreamFailed) -> dict[str, Any]:
    return {
        "error": failure.error.value,
        "message": failure.message,
        "error_type": failure.error_type,
    }


@pytest.mark.parametrize(("path", "kind"), cases("requests", ".in.json"))
def test_a_request_is_written_as_the_golden_file_says(path: Path, kind: ProviderType) -> None:
    case = decode(path.read_bytes())
    request = PARSERS[case.get("operation", "chat")](encode({"model": "route", **case["body"]}))
    models = {
        name: Model(name=name, **{"capabilities": None, **declared})
        for name, declared in case.get("models", {}).items()
    }
    made = adapter(kind, models=models, options=case.get("options", {}))
    try:
        prepared = made.prepare(request, case["model"], "test-key")
    except RequestRejected as rejection:
        actual: Any = {"rejected": {"param": rejection.param, "message": rejection.message}}
    else:
        http = prepared.http
        body = decode(http.body)
        # Keys keep their order, so equal text is equal bytes.
        assert encode(body) == http.body
        actual = {"url": http.url, "headers": dict(http.headers), "body": body}
        actual["warnings"] = list(prepared.warnings)

    expected = path.with_name(path.name.replace(".in.json", ".out.json"))
    compare(expected, encode_pretty(actual) + b"\n")


@pytest.mark.parametrize(("path", "kind"), cases("answers", ".in.json"))
def test_an_answer_is_read_as_the_golden_file_says(path: Path, kind: ProviderType) -> None:
    request = request_for(path, stream=False)
    made = adapter(kind)
    prepared = made.prepare(request, model_for(path), None)
    response = HttpResponse(status=200, headers={}, body=path.read_bytes())
    try:
        actual = made.answer(request, prepared, response).body
    except UpstreamFailed as failure:
        actual = encode_pretty({"failed": told(failure)}) + b"\n"

    compare(path.with_name(path.name.replace(".in.json", ".out.json")), actual)


@pytest.mark.parametrize(("path", "kind"), cases("streams", ".in.sse"))
def test_a_stream_is_read_as_the_golden_file_says(path: Path, kind: ProviderType) -> None:
    request = request_for(path, stream=True)
    made = adapter(kind)
    stream = path.read_bytes()

    played = Played(made.decoder(request, made.prepare(request, model_for(path), None)), [stream])

    actual = played.data
    if played.failure is not None:
        actual += b": failed " + encode(told(played.failure)) + b"\n"
    elif played.done:
        actual += b": done\n"
    compare(path.with_name(path.name.replace(".in.sse", ".out.sse")), actual)
