"""The canned streams are what the vendors' readers take."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from canned import FORMATS, events_around, write_all

from dataplane.wire.eventstream import FrameSplitter


def pieces(written: bytes) -> list[tuple[int, bytes]]:
    found = []
    while written:
        length, kind = struct.unpack_from("<IB", written)
        found.append((kind, written[5 : 5 + length]))
        written = written[5 + length :]
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_is_a_head_chunks_and_an_end(name: str, tmp_path: Path) -> None:
    write_all(tmp_path)

    (_, head), *chunks, (_, end) = pieces((tmp_path / f"{name}.stream").read_bytes())

    assert b"transfer-encoding: chunked\r\n\r\n" in head
    assert b"0\r\n\r\n" == end
    texts = [chunk for kind, chunk in chunks if kind]
    assert len(FORMATS[name].texts) == len(set(texts))
    assert events_around(name) + len(texts) == len(chunks)
    for _, chunk in chunks:
        size, _, content = chunk.partition(b"\r\n")
        assert int(size, 16) == len(content) - 2


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_has_the_length_it_tells(name: str, tmp_path: Path) -> None:
    write_all(tmp_path)

    head, _, body = (tmp_path / f"{name}.answer").read_bytes().partition(b"\r\n\r\n")

    assert head.endswith(b"content-length: %d" % len(body))
    assert json.loads(body)


def test_frames_of_bedrock_hold_together() -> None:
    canned = FORMATS["bedrock"]
    splitter = FrameSplitter()

    frames = list(splitter.feed(b"".join((*canned.before, canned.texts[0], *canned.after))))

    assert [
        "messageStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ] == [frame.headers[":event-type"] for frame in frames]


def test_an_event_of_text_is_as_long_as_those_of_hosted_models() -> None:
    assert all(250 <= len(text) <= 350 for text in FORMATS["openai"].texts)
