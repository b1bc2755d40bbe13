from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.wire.sse import MAX_EVENT_BYTES, Event, SseSplitter

STREAM = (
    b"\xef\xbb\xbf: hello\n\n"
    b'data: {"a":1}\n\n'
    b"data:no space\n\n"
    b"event: error\nid: 7\nretry: 5\ndata: one\ndata: two\n\n"
    b": comment\n\n\n\n"
    b"event: empty\n\n"
    b"data\n\n"
    b"data: caf\xc3\xa9 \xe2\x80\xa8 \xc2\x85 end\n\n"
    b"data:  two spaces\n\n"
    b"data: [DONE]\n\n"
)
EVENTS = [
    (b"", b'{"a":1}'),
    (b"", b"no space"),
    (b"error", b"one\ntwo"),
    (b"", b""),
    (b"", "caf\u00e9 \u2028 \u0085 end".encode()),
    (b"", b" two spaces"),
    (b"", b"[DONE]"),
]


def read(*pieces: bytes) -> list[Event]:
    splitter = SseSplitter()
    events: list[Event] = []
    for piece in pieces:
        events += splitter.feed(piece)
    return events + splitter.finish()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_every_cut_in_two_gives_the_same_events(line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end)
    for cut in range(len(stream) + 1):
        assert EVENTS == read(stream[:cut], stream[cut:]), cut


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_single_bytes_give_the_same_events(line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end)

    assert EVENTS == read(*(stream[at : at + 1] for at in range(len(stream))))


@settings(max_examples=100)
@given(cuts=st.lists(st.integers(0, 400)), ends=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_cuts_give_the_same_events(cuts: list[int], ends: bytes) -> None:
    stream = STREAM.replace(b"\n", ends)
    marks = [0, *sorted(cuts), len(stream)]

    assert EVENTS == read(*(stream[a:b] for a, b in itertools.pairwise(marks)))


def test_mixed_line_ends_are_one_line_end_each() -> None:
    assert [(b"", b"a\nb")] == read(b"data: a\rdata: b\r\n\n")


def test_an_event_is_given_at_once_though_its_last_byte_is_a_carriage_return() -> None:
    splitter = SseSplitter()

    assert [(b"", b"a")] == splitter.feed(b"data: a\r\n\r")
    assert [] == splitter.feed(b"\n")
    assert [(b"", b"b")] == splitter.feed(b"data: b\r\r")


def test_an_empty_read_between_the_two_halves_of_a_line_end_changes_nothing() -> None:
    assert [(b"", b"a"), (b"", b"b")] == read(b"data: a\r", b"", b"\n\r\ndata: b")


def test_a_last_event_without_its_blank_line_is_given_at_the_end() -> None:
    assert [(b"", b"[DONE]")] == read(b"data: [DONE]")


def test_a_mark_of_byte_order_is_only_taken_off_the_start() -> None:
    assert [(b"", b"a"), (b"", b"\xef\xbb\xbfb")] == read(
        b"\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n"
    )


def test_an_event_that_never_ends_is_refused() -> None:
    splitter = SseSplitter()
    splitter.feed(b"data: " + b"x" * (MAX_EVENT_BYTES - 6))

    with pytest.raises(UpstreamFailed) as caught:
        splitter.feed(b"x")

    assert ErrorClass.BAD_RESPONSE is caught.value.error


@pytest.mark.parametrize("end", [b"", b"\n\n"])
def test_a_too_long_event_in_one_read_is_refused_too(end: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        SseSplitter().feed(b"data: " + b"x" * MAX_EVENT_BYTES + end)


def test_many_events_in_one_read_may_be_longer_than_one_may() -> None:
    event = b"data: " + b"x" * (MAX_EVENT_BYTES // 2) + b"\n\n"

    assert 3 == len(SseSplitter().feed(event * 3))
