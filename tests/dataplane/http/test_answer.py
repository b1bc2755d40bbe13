"""Answers are read alike however they are cut, and what breaks the protocol is refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.http.answer import (
    MAX_HEADERS,
    MAX_LINE_BYTES,
    MAX_QUIET_BYTES,
    AnswerParser,
    MalformedError,
    TruncatedError,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = OK + b"Content-Length: 2\r\n\r\n{}"

Result = tuple[int, dict[str, str], bytes, str]


def read(*parts: bytes, method: str = "POST", end: bool = True) -> Result:
    """Status, headers once they are whole, body, and how it ended."""
    parser = AnswerParser()
    parser.begin(method)
    body = b""
    try:
        for part in parts:
            parser.feed(part)
            body += parser.take()
        if end:
            parser.end()
    except MalformedError:
        how = "malformed"
    except TruncatedError:
        how = "truncated"
    else:
        how = "done" if parser.done else "open"
    headers = parser.headers if parser.head_done else {}
    return parser.status, headers, body + parser.take(), how


ANSWERS = [
    pytest.param(LENGTH, b"{}", "done", id="length"),
    pytest.param(OK + b"Content-Length: 0\r\n\r\n", b"", "done", id="empty"),
    pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", b"{}", "done", id="chunked"),
    pytest.param(CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", b"{}", "done", id="two chunks"),
    pytest.param(CHUNKED + b"2;a=b\r\n{}\r\n0\r\n\r\n", b"{}", "done", id="extension"),
    pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\nZ:\r\n\r\n", b"{}", "done", id="trailers"),
    pytest.param(OK + b"\r\n{}", b"{}", "done", id="until close"),
    pytest.param(b"HTTP/1.0 200 OK\r\n\r\n{}", b"{}", "done", id="1.0"),
    pytest.param(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", b"{}", "done", id="no reason"),
    pytest.param(b"HTTP/1.1 204 No\r\n\r\n", b"", "done", id="204"),
    pytest.param(b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", b"", "done", id="304"),
    pytest.param(b"HTTP/1.1 100 Go\r\n\r\n" + LENGTH, b"{}", "done", id="100"),
    pytest.param(b"HTTP/1.1 103 Go\r\nLink: a\r\n\r\n" * 2 + LENGTH, b"{}", "done", id="103"),
    pytest.param(OK + b"X:\r\nY: \r\nContent-Length: 2\r\n\r\n{}", b"{}", "done", id="no values"),
    pytest.param(OK + b"Content-Length: 2 \t\r\n\r\n{}", b"{}", "done", id="space after"),
    pytest.param(b"", b"", "truncated", id="nothing"),
    pytest.param(b"HTTP/1.1 200 O", b"", "truncated", id="no head"),
    pytest.param(b"HTTP/1.1 100 Go\r\n\r\n", b"", "truncated", id="100 only"),
    pytest.param(OK + b"Content-Length: 3\r\n\r\n{}", b"{}", "truncated", id="short"),
    pytest.param(CHUNKED + b"5\r\n{}", b"{}", "truncated", id="short chunk"),
    pytest.param(CHUNKED + b"2\r\n{}\r\n", b"{}", "truncated", id="no last chunk"),
    pytest.param(CHUNKED + b"2\r\n{}\r\nzz\r\n", b"{}", "malformed", id="bad chunk after"),
    pytest.param(LENGTH + b"xx", b"{}", "done", id="more"),
    pytest.param(LENGTH + LENGTH, b"{}", "done", id="two answers"),
]


@pytest.mark.parametrize(("raw", "body", "how"), ANSWERS)
def test_an_answer_is_the_same_whole_cut_at_any_byte_and_byte_by_byte(
    raw: bytes, body: bytes, how: str
) -> None:
    whole = read(raw)

    assert (body, how) == whole[2:]
    for at in range(1, len(raw)):
        assert whole == read(raw[:at], raw[at:]), at
    assert whole == read(*(raw[at : at + 1] for at in range(len(raw))))


@pytest.mark.parametrize(
    "raw",
    [
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        OK + b"Content-Length: 2, 2\r\n\r\n{}",
        OK + b"Content-Length: -2\r\n\r\n{}",
        OK + b"Content-Length: +2\r\n\r\n{}",
        OK + b"Content-Length: 0x2\r\n\r\n{}",
        OK + b"Content-Length: \r\n\r\n{}",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
        OK + b"Content-Length : 2\r\n\r\n{}",
        OK + b"Transfer-Encoding: gzip\r\n\r\n{}",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n{}",
        OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\n{}\n0\n\n",
        CHUNKED + b"2\r\n{}0\r\n\r\n",
        CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
        OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"X: a\nContent-Length: 2\r\n\r\n{}",
        OK + b"X: a\rContent-Length: 2\r\n\r\n{}",
        OK + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
        OK + b": a\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"nothing\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 99 No\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 1000 No\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"ICY 200 OK\r\n\r\n",
        b"<html>",
        OK + b"X: " + b"a" * MAX_LINE_BYTES + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 " + b"a" * (MAX_LINE_BYTES + 1) + b"\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"".join(b"X%d: a\r\n" % n for n in range(MAX_HEADERS + 1)) + b"\r\n",
        OK + b"".join(b"X%d: %b\r\n" % (n, b"a" * 30_000) for n in range(5)) + b"\r\n",
    ],
)
def test_what_breaks_the_protocol_is_refused(raw: bytes) -> None:
    assert "malformed" == read(raw)[3]
    if len(raw) < 1000:
        assert "malformed" == read(*(raw[at : at + 1] for at in range(len(raw))))[3]


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (OK + b"X: ", b"a" * 4096),
        (b"HTTP/1.1 200 ", b"a" * 4096),
        (b"", b"HTTP/1.1 100 Go\r\n\r\n" * 200),
        (CHUNKED + b"2;x=", b"a" * 4096),
        (CHUNKED + b"0\r\n", b"X: aaaaaaaaaaaaaaaaaaaaaa\r\n" * 100),
    ],
)
def test_what_never_ends_is_refused_before_it_fills_the_memory(start: bytes, piece: bytes) -> None:
    parts = [start] + [piece] * (2 * MAX_QUIET_BYTES // len(piece))

    assert "malformed" == read(*parts)[3]


def test_as_much_as_is_allowed_is_taken() -> None:
    lines = b"".join(b"X%d: %b\r\n" % (n, b"a" * 900) for n in range(MAX_HEADERS - 1))

    status, headers, body, how = read(OK + lines + b"Content-Length: 2\r\n\r\n{}")

    assert (200, MAX_HEADERS, b"{}", "done") == (status, len(headers), body, how)


def test_repeated_headers_are_joined_and_empty_ones_kept() -> None:
    raw = OK + b"X-A: 1\r\nx-a:  2 \r\nEmpty:\r\nX: \xe9\r\nContent-Length: 0\r\n\r\n"

    assert {"x-a": "1, 2", "empty": "", "x": "é", "content-length": "0"} == read(raw)[1]


def test_interim_answers_and_trailers_leave_no_headers() -> None:
    raw = b"HTTP/1.1 103 Go\r\nLink: a\r\n\r\n" + CHUNKED + b"0\r\nX: y\r\n\r\n"

    assert {"transfer-encoding": "chunked"} == read(raw)[1]


def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    raw = OK + b"Content-Length: 9\r\n\r\n"

    assert (200, b"", "done") == (
        read(raw, method="HEAD")[0],
        read(raw, method="HEAD")[2],
        read(raw, method="HEAD", end=False)[3],
    )


@pytest.mark.parametrize(
    ("raw", "method", "reusable"),
    [
        (LENGTH, "POST", True),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", "POST", True),
        (b"HTTP/1.1 204 No\r\n\r\n", "POST", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "POST", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "POST", False),
        (OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", "POST", False),
        (OK + b"Connection: close\r\nContent-Length: 0\r\n\r\nxx", "POST", False),
        (LENGTH + b"xx", "POST", False),
        (LENGTH + LENGTH, "POST", False),
        (b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n{}", "POST", False),
        (OK + b"Content-Length: 0\r\n\r\n", "HEAD", False),
    ],
)
def test_a_connection_is_reusable_only_after_a_clean_end(
    raw: bytes, method: str, reusable: bool
) -> None:
    parser = AnswerParser()
    parser.begin(method)
    parser.feed(raw)

    assert (True, reusable) == (parser.done, parser.reusable)


def test_bytes_that_come_later_make_it_unusable() -> None:
    parser = AnswerParser()
    parser.begin("POST")
    parser.feed(LENGTH)
    parser.feed(b"\r\n")

    assert not parser.reusable


def test_one_parser_reads_answer_after_answer() -> None:
    parser = AnswerParser()
    bodies = []
    for raw in (LENGTH, CHUNKED + b"1\r\na\r\n0\r\n\r\n", LENGTH):
        parser.begin("POST")
        parser.feed(raw)
        bodies.append(parser.take())

    assert [b"{}", b"a", b"{}"] == bodies


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([b"", OK, CHUNKED, OK + b"Content-Length: 30\r\n\r\n", LENGTH]),
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"\r\n", b"2\r\n{}\r\n", b"0\r\n", b"X: y\r\n", b"HTTP/1.1 200 OK"]),
        ),
        max_size=6,
    ),
    st.data(),
)
def test_any_bytes_cut_anyhow_give_the_same(
    start: bytes, more: list[bytes], data: st.DataObject
) -> None:
    raw = start + b"".join(more)
    at = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=4)))
    edges = [0, *at, len(raw)]
    parts = [raw[a:b] for a, b in itertools.pairwise(edges) if a < b]

    assert read(raw) == read(*parts)
