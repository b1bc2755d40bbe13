"""The snapshot codec: a table as bytes, for the disk and for other processes.

A snapshot is one JSON object in canonical form: keys sorted, no spaces, UTF-8, fields of the types
in `schema` by their names. Its first key is the SHA-256 of all bytes behind it, so that any damage
is found before anything is read:

    {"checksum":"<64 hex digits>","generation":3,"schema":1,"table":{...},"version":"..."}

Decoding is strict: unknown fields, missing fields without a default, and wrong types are refused.
A field that gets a default can be added without a new schema number, since newer programs then read
older snapshots; older programs refuse newer ones either way, and start without.

The lookup of model names is not stored but made again. This is the only place of the control plane
that knows JSON.
"""

from __future__ import annotations

import hashlib
import json  # noqa: TID251 - the contract's own door to JSON: it cannot import the data plane's
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.table.plain import ShapeError, decoder, encoder
from controlplane.table.schema import Provider, Route, Table, index_models

SCHEMA = 1

_HEAD = re.compile(rb'\{"checksum":"([0-9a-f]{64})",')


class SnapshotError(ValueError):
    """The bytes are not a snapshot that this program can use; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What the manifests decide."""

    providers: Mapping[str, Provider]
    routes: Mapping[str, Route]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """A snapshot without its checksum."""

    generation: int
    schema: int
    table: _Content
    version: str


def encode(table: Table) -> bytes:
    """Write a table. Equal tables give equal bytes. Raises ValueError for numbers not finite."""
    document = _Document(
        generation=table.generation,
        schema=SCHEMA,
        table=_Content(providers=table.providers, routes=table.routes),
        version=table.version,
    )
    tail = _canonical(encoder(_Document)(document))[1:]
    return b'{"checksum":"%s",%s' % (_checksum(tail), tail)


def decode(data: bytes) -> Table:
    """Read a table; sequences come back as tuples. Raises SnapshotError for anything else."""
    head = _HEAD.match(data)
    if head is None:
        raise SnapshotError("not a snapshot: it does not begin with a checksum")
    tail = data[head.end() :]
    if head[1] != _checksum(tail):
        raise SnapshotError("the checksum does not match: the snapshot is damaged")
    try:
        plain = json.loads(b"{" + tail, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"not JSON: {type(error).__name__}") from error
    # Before the rest is looked at: another schema may have other fields.
    schema = plain.get("schema")
    if type(schema) is int and schema != SCHEMA:
        raise SnapshotError(f"schema {schema} is not known here, only {SCHEMA} is")
    try:
        document: _Document = decoder(_Document)(plain, "snapshot")
    except ShapeError as error:
        raise SnapshotError(str(error)) from error
    return _table(document)


def content_version(table: Table) -> str:
    """Return the hash of a table's content: 16 hex digits, equal for equal manifests.

    Generations are no content, neither the table's nor those of its objects.
    """
    content = encoder(_Content)(_Content(providers=table.providers, routes=table.routes))
    for objects in content.values():
        for item in objects.values():
            del item["generation"]
    return hashlib.sha256(_canonical(content)).hexdigest()[:16]


def _table(document: _Document) -> Table:
    routes = document.table.routes
    exact, prefixes, wildcard = index_models(routes)
    return Table(
        generation=document.generation,
        version=document.version,
        providers=document.table.providers,
        routes=routes,
        exact=exact,
        prefixes=prefixes,
        wildcard=wildcard,
    )


def _canonical(value: Any) -> bytes:
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _checksum(tail: bytes) -> bytes:
    return hashlib.sha256(tail).hexdigest().encode()
