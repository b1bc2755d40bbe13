"""JSON documents with long lists, made and encoded a piece at a time.

A list of ten thousand rows takes a second to make. `Rows` marks such a list, as a value of the
document or of a row; `encode` makes its rows one by one, and lets others run every few of them. What
the rows are made from may change between two of them: each is right by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from dataplane import codec

_PAUSE_PIECES = 16
_CHUNK_BYTES = 48 * 1024


class Rows:
    """A list in a document whose items are made when it is their turn."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Any]) -> None:
        """Keep the iterable; it is gone through once."""
        self.items = items


async def encode(document: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """Encode a document that may hold Rows, a row to a line, in chunks of some ten kilobytes.

    Others run between two chunks, and several times in each. The last one ends with a line end.
    """
    pieces: list[bytes] = []
    size = 0
    for number, piece in enumerate(_pieces(document, "\n"), start=1):
        pieces.append(piece)
        size += len(piece)
        if size >= _CHUNK_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
        if number % _PAUSE_PIECES == 0:
            await asyncio.sleep(0)
    yield b"".join(pieces) + b"\n"


def _pieces(value: Any, line: str) -> Iterator[bytes]:
    """Give the parts of a value; `line` is the line end with the indent of where it stands."""
    inner = line + "  "
    if type(value) is Rows:
        yield from _joined(((b"", item) for item in value.items), b"[", b"]", inner)
    elif isinstance(value, Mapping) and any(type(item) is Rows for item in value.values()):
        named = ((codec.encode(name) + b":", item) for name, item in value.items())
        yield from _joined(named, b"{", b"}", inner)
    else:
        yield codec.encode(value)


def _joined(
    items: Iterable[tuple[bytes, Any]], opening: bytes, closing: bytes, line: str
) -> Iterator[bytes]:
    before = opening + line.encode()
    empty = True
    for name, item in items:
        yield before + name
        yield from _pieces(item, line)
        before = b"," + line.encode()
        empty = False
    yield opening + closing if empty else line[:-2].encode() + closing
