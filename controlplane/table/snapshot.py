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
from typing import Any, TypeVar

from controlplane.table.plain import Encoder, ShapeError, decoder, encoder
from controlplane.table.schema import Provider, Route, Table, index_models

SCHEMA = 1

ObjectT = TypeVar("ObjectT", Provider, Route)

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
    """Write a table. Equal tables give equal bytes. Raises ValueError for numbers not finite.

    Object by object, so that other threads get their turn, however large the table is.
    """
    content = b'{"providers":%s,"routes":%s}' % (
        _encoded(table.providers, encoder(Provider)),
        _encoded(table.routes, encoder(Route)),
    )
    tail = b'"generation":%s,"schema":%d,"table":%s,"version":%s}' % (
        _canonical(table.generation),
        SCHEMA,
        content,
        _canonical(table.version),
    )
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """What is known of the content of a table's objects: each, by name, with its hash."""

    providers: Mapping[str, tuple[Provider, bytes]]
    routes: Mapping[str, tuple[Route, bytes]]

    @property
    def version(self) -> str:
        """The hash of them all: 16 hex digits."""
        digest = hashlib.sha256(b"%d " % len(self.providers))
        for prints in (self.providers, self.routes):
            digest.update(b"".join(known for _, (_, known) in sorted(prints.items())))
        return digest.hexdigest()[:16]


NO_FINGERPRINTS = Fingerprints(providers={}, routes={})


def fingerprints(table: Table, known: Fingerprints = NO_FINGERPRINTS) -> Fingerprints:
    """Hash the content of each object; those that `known` holds, the very same, are not again.

    Generations are no content.
    """
    return Fingerprints(
        providers=_printed(table.providers, known.providers, encoder(Provider)),
        routes=_printed(table.routes, known.routes, encoder(Route)),
    )


def content_version(table: Table) -> str:
    """Return the hash of a table's content: 16 hex digits, equal for equal manifests.

    Generations are no content, neither the table's nor those of its objects.
    """
    return fingerprints(table).version


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


def _encoded(objects: Mapping[str, Any], plain: Encoder) -> bytes:
    return b"{%s}" % b",".join(
        b"%s:%s" % (_canonical(name), _canonical(plain(objects[name]))) for name in sorted(objects)
    )


def _printed(
    objects: Mapping[str, ObjectT], known: Mapping[str, tuple[ObjectT, bytes]], plain: Encoder
) -> Mapping[str, tuple[ObjectT, bytes]]:
    prints: dict[str, tuple[ObjectT, bytes]] = {}
    for name, item in objects.items():
        found = known.get(name)
        prints[name] = found if found and found[0] is item else (item, _print(name, item, plain))
    return prints


def _print(name: str, item: Provider | Route, plain: Encoder) -> bytes:
    content = plain(item)
    del content["generation"]
    return hashlib.sha256(_canonical({name: content})).digest()


def _canonical(value: Any) -> bytes:
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _checksum(tail: bytes) -> bytes:
    return hashlib.sha256(tail).hexdigest().encode()
