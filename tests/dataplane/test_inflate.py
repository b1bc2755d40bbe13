"""Compressed bodies come out as they went in, in bounded pieces, or not at all."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.inflate import CODINGS, PIECE_BYTES, CorruptError, inflate


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


# Without the time of day, which would be in the names of tests.
_GZIP = gzip.compress(b"hello", mtime=0)
WAYS = [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)]


@pytest.mark.parametrize(("coding", "deflate"), [*WAYS, ("deflate", raw_deflate)])
@pytest.mark.parametrize("data", [b"", b"{}", b"a" * (3 * PIECE_BYTES), bytes(range(256)) * 99])
def test_what_goes_in_comes_out(coding: str, deflate, data: bytes) -> None:  # noqa: ANN001
    pieces = list(inflate(coding, deflate(data)))

    assert data == b"".join(pieces)
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)


def test_nothing_is_nothing() -> None:
    assert [] == list(inflate("gzip", b""))


def test_members_of_gzip_are_one() -> None:
    assert b"ab" == b"".join(inflate("gzip", gzip.compress(b"a") + gzip.compress(b"b")))


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", b"{}"),
        ("gzip", _GZIP[:-1]),
        ("gzip", _GZIP[:-5] + b"aaaaa"),
        ("gzip", _GZIP + b"x"),
        ("gzip", zlib.compress(b"hello")),
        ("deflate", b"{}"),
        ("deflate", zlib.compress(b"hello")[:-1]),
        ("deflate", raw_deflate(b"hello")[:-1]),
    ],
)
def test_what_is_not_what_it_says_is_corrupt(coding: str, data: bytes) -> None:
    with pytest.raises(CorruptError):
        list(inflate(coding, data))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(CODINGS)), st.binary(max_size=60))
def test_any_bytes_come_to_an_end(coding: str, data: bytes) -> None:
    try:
        for _ in inflate(coding, data):
            pass
    except CorruptError:
        pass
