"""Compressed bodies of requests. Pure; what comes out is given in pieces, so that it can be bounded."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping

PIECE_BYTES = 256 * 1024
"""What comes out at once, at most."""


class CorruptError(Exception):
    """The bytes are not what their coding says, or they break off."""


def inflate(coding: str, data: bytes) -> Iterator[bytes]:
    """Give what `data` is when inflated, piece by piece. Raises CorruptError.

    coding: one of CODINGS, in lower case. Several members of gzip, one after the other, are one.
    """
    make = CODINGS[coding]
    while data:
        inflater = make(data)
        while not inflater.eof:
            try:
                piece = inflater.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise CorruptError from error
            data = inflater.unconsumed_tail
            if piece:
                yield piece
            elif not inflater.eof:
                raise CorruptError
        data = inflater.unused_data


def _gzip(_data: bytes) -> zlib._Decompress:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _deflate(data: bytes) -> zlib._Decompress:
    # Some send it without zlib's wrapper, whose first byte ends in 8. RFC 9110, section 8.4.1.2.
    return zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS)


CODINGS: Mapping[str, Callable[[bytes], zlib._Decompress]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
}
