"""Frames come out whole wherever the bytes were cut, and no harmed one comes out at all."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.wire.eventstream import Frame, FrameSplitter
from tests.doubles import bedrock_frames

ONE = bedrock_frames.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "é"}})
TWO = bedrock_frames.exception("throttlingException", "slow down")
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
frames = st.tuples(
    st.dictionaries(names, st.text(max_size=50), max_size=5), st.binary(max_size=200)
)


def read(*pieces: bytes) -> list[Frame]:
    splitter = FrameSplitter()
    return [frame for piece in pieces for frame in splitter.feed(piece)]


def lengths(total: int, headers: int) -> bytes:
    prelude = struct.pack(">II", total, headers)
    return prelude + struct.pack(">I", crc32(prelude))


def test_every_cut_gives_the_same_frames() -> None:
    stream = ONE + TWO
    whole = read(stream)

    assert ["contentBlockDelta", None] == [frame.headers.get(":event-type") for frame in whole]
    assert "throttlingException" == whole[1].headers[":exception-type"]
    for cut in range(len(stream) + 1):
        assert whole == read(stream[:cut], stream[cut:])
    assert whole == read(*(bytes([byte]) for byte in stream))


@pytest.mark.parametrize("at", range(len(ONE)))
def test_every_changed_byte_is_noticed(at: int) -> None:
    """Lengths grow by a changed byte too: the frame must never be taken, at most waited for."""
    splitter = FrameSplitter()

    with pytest.raises(UpstreamFailed) as caught:
        list(splitter.feed(bedrock_frames.corrupted(ONE, at)))

    assert ErrorClass.BAD_RESPONSE is caught.value.error


def test_frames_before_a_broken_one_are_given() -> None:
    found: list[Frame] = []

    def take() -> None:
        found.extend(read(ONE))
        for frame in FrameSplitter().feed(TWO + bedrock_frames.corrupted(ONE)):
            found.append(frame)  # noqa: PERF402 - what came before the failure is looked at

    with pytest.raises(UpstreamFailed, match="checksum"):
        take()

    assert read(ONE, TWO) == found


@pytest.mark.parametrize(
    ("total", "headers"),
    [(0, 0), (15, 0), (16 * 2**20 + 1, 0), (20, 5), (2**32 - 1, 2**32 - 1)],
)
def test_impossible_lengths_are_refused_at_once(total: int, headers: int) -> None:
    with pytest.raises(UpstreamFailed, match="impossible"):
        read(lengths(total, headers))


def test_a_frame_that_is_too_large_is_not_waited_for() -> None:
    splitter = FrameSplitter(max_frame_bytes=len(ONE) - 1)

    with pytest.raises(UpstreamFailed, match="impossible"):
        list(splitter.feed(ONE[:12]))


def test_the_smallest_frame_is_empty() -> None:
    assert [Frame({}, b"")] == read(bedrock_frames.frame({}, b""))


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05abc",
        b"\x03abc",
        b"\x03abc\x0a",
        b"\x03abc\x07\x00",
        b"\x03abc\x07\x00\x05ab",
        b"\x01\xff\x07\x00\x01a",
        b"\x03abc\x07\x00\x01\xff",
        b"\x03abc\x05\x00",
    ],
)
def test_headers_that_cannot_be_read_break_the_stream(headers: bytes) -> None:
    prelude = struct.pack(">II", 16 + len(headers), len(headers))
    body = prelude + struct.pack(">I", crc32(prelude)) + headers

    with pytest.raises(UpstreamFailed, match="headers"):
        read(body + struct.pack(">I", crc32(body)))


@pytest.mark.parametrize(
    "value",
    [
        b"\x00",
        b"\x01",
        b"\x02\x01",
        b"\x03\x01\x02",
        b"\x04\x01\x02\x03\x04",
        b"\x05" + bytes(8),
        b"\x06\x00\x02ab",
        b"\x08" + bytes(8),
        b"\x09" + bytes(16),
    ],
)
def test_headers_of_other_types_are_skipped(value: bytes) -> None:
    headers = b"\x01a" + value + b"\x01b\x07\x00\x01x"
    prelude = struct.pack(">II", 16 + len(headers), len(headers))
    body = prelude + struct.pack(">I", crc32(prelude)) + headers

    assert [Frame({"b": "x"}, b"")] == read(body + struct.pack(">I", crc32(body)))


@settings(max_examples=150)
@given(st.lists(frames, max_size=4), st.lists(st.integers(0, 1500), max_size=4))
def test_it_reads_what_botocore_reads(
    written: list[tuple[dict[str, str], bytes]], cuts: list[int]
) -> None:
    stream = b"".join(bedrock_frames.frame(headers, payload) for headers, payload in written)
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    marks = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[a:b] for a, b in pairwise(marks)]

    assert [(each.headers, each.payload) for each in buffer] == [
        (frame.headers, frame.payload) for frame in read(*pieces)
    ]


def test_half_a_frame_is_known_to_be_half() -> None:
    splitter = FrameSplitter()

    assert [] == list(splitter.feed(ONE[:-1]))
    assert splitter.within_frame
    assert 1 == len(list(splitter.feed(ONE[-1:])))
    assert not splitter.within_frame


def test_payloads_are_bytes() -> None:
    (frame,) = read(ONE)

    assert "é" == json.loads(frame.payload)["delta"]["text"]
