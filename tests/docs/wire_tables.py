"""What each provider type gets of a request, and how its failures are read: asked of the adapters.

A cell is found by writing a request with and without a field through the type's own adapter, so the
tables cannot say anything else than the code does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.table.schema import ProviderType
from dataplane import registry
from dataplane.errors import RequestRejected
from dataplane.provider import Adapter, HttpResponse, Request
from dataplane.wire.request import parse_chat, parse_completion, parse_embeddings
from tests.docs.command_tables import available_types
from tests.docs.pages import table
from tests.fakes import provider

Body = Mapping[str, Any]

_USER = {"role": "user", "content": "u"}
_TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
_NAMED = {"type": "function", "function": {"name": "look"}}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
_CUSTOM = {"type": "custom", "custom": {"name": "look"}}
_PIXEL = "data:image/png;base64,iVBORw0KGgo="
_AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
_FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A line of a table: what is asked for, and what must stand beside it. head: empty: the field."""

    field: str
    value: Any
    head: str = ""
    beside: Body = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A type, and the model that stands for its others."""

    kind: ProviderType
    model: str
    head: str = ""


_CHAT = (
    _Row(field="temperature", value=0.5),
    _Row(field="temperature", value=2, head="`temperature` 2"),
    _Row(field="top_p", value=0.5),
    _Row(field="top_p", value=0, head="`top_p` 0"),
    _Row(field="max_tokens", value=64),
    _Row(field="max_completion_tokens", value=64),
    _Row(field="stop", value=["END"]),
    _Row(field="stop", value=["a", "b", "c", "d", "e"], head="`stop`, five"),
    _Row(field="seed", value=7),
    _Row(field="presence_penalty", value=0.5),
    _Row(field="frequency_penalty", value=0.5),
    _Row(field="logit_bias", value={"50256": -100}),
    _Row(field="logprobs", value=True),
    _Row(field="top_logprobs", value=3, beside={"logprobs": True}),
    _Row(field="n", value=2, head="`n` 2"),
    _Row(field="reasoning_effort", value="none", head="`reasoning_effort` none"),
    _Row(field="reasoning_effort", value="minimal", head="`reasoning_effort` minimal"),
    _Row(field="reasoning_effort", value="low", head="`reasoning_effort` low"),
    _Row(field="reasoning_effort", value="max", head="`reasoning_effort` max"),
    _Row(field="verbosity", value="low"),
    _Row(
        field="response_format", value={"type": "json_object"}, head="`response_format` json_object"
    ),
    _Row(field="response_format", value=_SCHEMA, head="`response_format` json_schema"),
    _Row(field="tools", value=[_TOOL], head="`tools`, functions"),
    _Row(field="tools", value=[_CUSTOM], head="`tools`, custom"),
    _Row(
        field="tool_choice",
        value="required",
        beside={"tools": [_TOOL]},
        head="`tool_choice` required",
    ),
    _Row(field="tool_choice", value=_NAMED, beside={"tools": [_TOOL]}, head="`tool_choice`, named"),
    _Row(
        field="parallel_tool_calls",
        value=False,
        beside={"tools": [_TOOL]},
        head="`parallel_tool_calls` false",
    ),
    _Row(field="prediction", value={"type": "content", "content": "x"}),
    _Row(
        field="modalities",
        value=["text", "audio"],
        beside={"audio": {"voice": "v", "format": "wav"}},
        head="`modalities` with audio",
    ),
    _Row(field="service_tier", value="auto", head="`service_tier` auto"),
    _Row(field="service_tier", value="flex", head="`service_tier` flex"),
    _Row(field="store", value=True, head="`store` true"),
    _Row(field="metadata", value={"k": "v"}),
    _Row(field="user", value="u"),
    _Row(field="safety_identifier", value="u"),
    _Row(field="prompt_cache_key", value="k"),
    _Row(field="web_search_options", value={"search_context_size": "low"}),
    _Row(field="top_k", value=40),
    _Row(field="min_p", value=0.05),
    _Row(field="repetition_penalty", value=1.1),
    _Row(field="structured_outputs", value={"regex": "a+"}),
    _Row(field="guided_regex", value="a+"),
    _Row(field="zebra", value=1, head="a field that nobody knows"),
)
_COMPLETION = (
    _Row(field="max_tokens", value=64),
    _Row(field="suffix", value="s"),
    _Row(field="echo", value=True),
    _Row(field="best_of", value=2),
    _Row(field="logprobs", value=2),
    _Row(field="n", value=2, head="`n` 2", beside={"best_of": 2}),
    _Row(field="user", value="u"),
    _Row(field="prompt", value=[1, 2, 3], head="`prompt` of token ids"),
)
_EMBEDDINGS = (
    _Row(field="dimensions", value=256),
    _Row(field="encoding_format", value="base64", head="`encoding_format` base64"),
    _Row(field="user", value="u"),
    _Row(field="input", value=[1, 2, 3], head="`input` of token ids"),
)
_PARTS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("role `developer`", {"role": "developer", "content": "d"}),
    ("`name` of a user", {**_USER, "name": "ann"}),
    (
        "image in the message",
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": _PIXEL}}]},
    ),
    (
        "image by URL",
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b"}}]},
    ),
    ("audio", {"role": "user", "content": [_AUDIO]}),
    ("file in the message", {"role": "user", "content": [_FILE]}),
)
_STATUSES = (400, 401, 402, 403, 404, 405, 408, 409, 413, 422, 424, 429)
_MORE_STATUSES = (500, 501, 502, 503, 504, 529)


def chat_fields() -> str:
    """Write what becomes of each field of a chat request."""
    base = {"model": "m", "messages": [_USER]}
    return _fields(_CHAT, base, parse_chat, _chat_columns())


def completion_fields() -> str:
    """Write what becomes of each field of a text completion, for the types that have them."""
    base = {"model": "m", "prompt": "p"}
    columns = [
        column
        for column in _chat_columns()
        if not column.head and _prepared(_adapter(column), column, base, parse_completion)
    ]
    return _fields(_COMPLETION, base, parse_completion, columns)


def embedding_fields() -> str:
    """Write what becomes of each field of an embeddings request."""
    base = {"model": "m", "input": "i"}
    columns = [
        column
        for kind in available_types()
        if _prepared(
            _adapter(column := _Column(kind=kind, model=_embedding_model(kind))),
            column,
            base,
            parse_embeddings,
        )
    ]
    return _fields(_EMBEDDINGS, base, parse_embeddings, columns)


def message_parts() -> str:
    """Write what may stand in a message."""
    columns = _chat_columns()
    rows = []
    for head, message in _PARTS:
        cells = []
        for column in columns:
            body = {"model": "m", "messages": [message, _USER]}
            found = _prepared(_adapter(column), column, body, parse_chat)
            cells.append(_part_cell(message, found))
        rows.append([head, *cells])
    return table(["In a message", *_heads(columns)], rows)


def statuses() -> str:
    """Write which class a status means where the answer's body says no more."""
    columns = [_Column(kind=kind, model="m") for kind in available_types()]
    rows = []
    for status in (*_STATUSES, *_MORE_STATUSES):
        answer = HttpResponse(status=status, headers={}, body=b'{"error":{"message":"no"}}')
        classes = [_adapter(column).failure(answer).error.value for column in columns]
        rows.append([str(status), *(f"`{name}`" for name in classes)])
    return table(["Status", *_heads(columns)], rows)


# Models that stand for all others of a type, in chat and in embeddings.
_CHAT_MODELS: Mapping[ProviderType, str] = {
    ProviderType.OPENAI: "gpt-4o",
    ProviderType.AZURE_OPENAI: "gpt-4o",
    ProviderType.AWS_BEDROCK: "amazon.nova-pro-v1:0",
    ProviderType.ANTHROPIC: "claude-sonnet-4-6",
}
_EMBEDDING_MODELS: Mapping[ProviderType, str] = {
    ProviderType.AWS_BEDROCK: "amazon.titan-embed-text-v2:0",
    ProviderType.MISTRAL: "mistral-embed",
}


def _chat_columns() -> list[_Column]:
    columns = []
    for kind in available_types():
        columns.append(_Column(kind=kind, model=_CHAT_MODELS.get(kind, "llama-3.1-8b")))
        if kind is ProviderType.OPENAI:
            columns.append(_Column(kind=kind, model="gpt-5", head="OpenAI, gpt-5"))
    return columns


def _embedding_model(kind: ProviderType) -> str:
    return _EMBEDDING_MODELS.get(kind, "text-embedding-3-small")


def _heads(columns: Sequence[_Column]) -> list[str]:
    return [column.head or column.kind.value for column in columns]


def _adapter(column: _Column) -> Adapter:
    official = {ProviderType.OPENAI: "https://api.openai.com/v1"}
    return registry.build(
        provider(
            "p",
            kind=column.kind,
            base_url=official.get(column.kind, "https://p.test/v1"),
            options={"region": "eu-west-3"} if column.kind is ProviderType.AWS_BEDROCK else {},
        )
    )


def _fields(
    rows: Sequence[_Row],
    base: Body,
    parse: Callable[[bytes], Request],
    columns: Sequence[_Column],
) -> str:
    lines = []
    for row in rows:
        cells = (_cell(row, column, base, parse) for column in columns)
        lines.append([row.head or f"`{row.field}`", *cells])
    return table(["Field", *_heads(columns)], lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    body: Mapping[str, Any]
    warnings: frozenset[str]


def _prepared(
    adapter: Adapter, column: _Column, body: Body, parse: Callable[[bytes], Request]
) -> _Prepared | None:
    """Write the request for the upstream; None if it is refused."""
    request = parse(json.dumps(body).encode())
    if request.features - adapter.capabilities(column.model):
        return None
    try:
        prepared = adapter.prepare(request, column.model, "secret")
    except RequestRejected:
        return None
    return _Prepared(body=json.loads(prepared.http.body), warnings=frozenset(prepared.warnings))


def _cell(row: _Row, column: _Column, base: Body, parse: Callable[[bytes], Request]) -> str:
    adapter = _adapter(column)
    without = _prepared(adapter, column, {**base, **row.beside}, parse)
    found = _prepared(adapter, column, {**base, **row.beside, row.field: row.value}, parse)
    if found is None:
        return "refused"
    known = without if without is not None else _Prepared(body={}, warnings=frozenset())
    actions = {warning.partition(":")[0] for warning in found.warnings - known.warnings}
    if "dropped" in actions:
        return "dropped"
    mark = " \\*" if actions else ""
    if _is_said(row, found.body):
        return f"sent{mark}"
    before = dict(_leaves(known.body))
    added = [(path, value) for path, value in _leaves(found.body) if before.get(path) != value]
    if not added:
        return "left out"
    verb = "clamped to" if "clamped" in actions else "as"
    return (
        f"{verb} {', '.join(dict.fromkeys(_said(row, path, value) for path, value in added))}{mark}"
    )


def _is_said(row: _Row, body: Mapping[str, Any]) -> bool:
    value = body.get(row.field)
    return value == row.value or (isinstance(value, dict | list) and row.field == "tools")


def _said(row: _Row, path: str, value: Any) -> str:
    if value == row.value:
        return f"`{path}`"
    if isinstance(row.value, dict | list):
        return f"`{path.partition('.')[0]}`"
    text = json.dumps(value).strip('"')
    return f"`{text}`" if path == row.field and not isinstance(value, bool) else f"`{path}: {text}`"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value and path != "logit_bias":
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    else:
        yield path, value


def _part_cell(message: Mapping[str, Any], found: _Prepared | None) -> str:
    if found is None:
        return "refused"
    if any(warning.startswith("dropped:") for warning in found.warnings):
        return "dropped"
    first = found.body["messages"][0]
    if first == message:
        return "sent"
    if "system" in found.body:
        return "as `system`"
    if first["role"] != message["role"]:
        return f"as `{first['role']}`"
    return "rewritten"
