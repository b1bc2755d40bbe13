"""Requests are read alike however they are cut, and what breaks the protocol is refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.http.inbound.parser import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINE_BYTES,
    MAX_QUIET_BYTES,
    RequestParser,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /p?q=1 HTTP/1.1\r\nHost: a\r\n"
LENGTH = POST + b"Content-Length: 2\r\n\r\n{}"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"

Read = tuple[str, str, bytes, bool, bool]
"""Method, target, body, whether it is whole, whether another may follow."""


def parse(*parts: bytes) -> tuple[list[Read], int]:
    """All requests whose head came, and the status of the refusal."""
    parser = RequestParser()
    for part in parts:
        parser.feed(part)
    return [
        (each.method, each.target, each.take(), each.done, each.keep_alive)
        for each in parser.requests
    ], parser.refused


def cuts(raw: bytes) -> list[tuple[bytes, ...]]:
    """The bytes cut in two anywhere, and into single ones."""
    return [(raw[:at], raw[at:]) for at in range(1, len(raw))] + [
        tuple(raw[at : at + 1] for at in range(len(raw)))
    ]


READ = [
    pytest.param(GET + b"\r\n", [("GET", "/", b"", True, True)], id="no body"),
    pytest.param(LENGTH, [("POST", "/p?q=1", b"{}", True, True)], id="length"),
    pytest.param(
        POST + b"Content-Length: 0\r\n\r\n", [("POST", "/p?q=1", b"", True, True)], id="0"
    ),
    pytest.param(
        CHUNKED + b"1\r\n{\r\n1;a=b\r\n}\r\n0\r\nX: y\r\n\r\n",
        [("POST", "/p?q=1", b"{}", True, True)],
        id="chunks, an extension and a trailer",
    ),
    pytest.param(
        LENGTH + GET + b"\r\n" + CHUNKED + b"0\r\n\r\n",
        [
            ("POST", "/p?q=1", b"{}", True, True),
            ("GET", "/", b"", True, True),
            ("POST", "/p?q=1", b"", True, True),
        ],
        id="three at once",
    ),
    pytest.param(
        GET + b"Connection: close\r\n\r\n" + GET + b"\r\n",
        [("GET", "/", b"", True, False)],
        id="nothing follows a close",
    ),
    pytest.param(b"GET / HTTP/1.0\r\n\r\n", [("GET", "/", b"", True, False)], id="1.0"),
    pytest.param(
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2,
        [("GET", "/", b"", True, True)] * 2,
        id="1.0 that stays",
    ),
    pytest.param(
        b"\r\n\r\n" + GET + b"\r\n\r\n" + GET + b"\r\n",
        [("GET", "/", b"", True, True)] * 2,
        id="empty lines between",
    ),
    pytest.param(
        b"GET http://h:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        [("GET", "http://h:1/x?y", b"", True, True)],
        id="absolute form",
    ),
    pytest.param(
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", [("OPTIONS", "*", b"", True, True)], id="asterisk"
    ),
    pytest.param(
        POST + b"Content-Length: 3\r\n\r\n{}", [("POST", "/p?q=1", b"{}", False, True)], id="short"
    ),
    pytest.param(GET, [], id="no end of the head"),
    pytest.param(b"", [], id="nothing"),
    pytest.param(
        GET + UPGRADE + b"\r\n" + GET + b"\r\n", [("GET", "/", b"", True, True)] * 2, id="h2c"
    ),
    pytest.param(
        POST + UPGRADE + b"Content-Length: 2\r\n\r\n{}" + GET + b"\r\n",
        [("POST", "/p?q=1", b"{}", True, True), ("GET", "/", b"", True, True)],
        id="h2c with a body",
    ),
    pytest.param(
        POST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n" + LENGTH,
        [("POST", "/p?q=1", b"{}", True, True)] * 2,
        id="h2c with chunks",
    ),
    pytest.param(
        GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" + LENGTH,
        [("GET", "/", b"", True, True), ("POST", "/p?q=1", b"{}", True, True)],
        id="websocket",
    ),
]


@pytest.mark.parametrize(("raw", "requests"), READ)
def test_requests_are_the_same_whole_cut_at_any_byte_and_byte_by_byte(
    raw: bytes, requests: list[Read]
) -> None:
    assert (requests, 0) == parse(raw)
    for parts in cuts(raw):
        assert (requests, 0) == parse(*parts)


HEAD_REFUSED = [
    (b"hello\r\n\r\n", 400),
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\r\n\r\n", 400),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (GET + b"Host: a\r\n\r\n", 400),
    (GET + b"host: b\r\n\r\n", 400),
    (b"GET foo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (GET + b"X: a\n\r\n", 400),
    (GET + b"X: a\rY: b\r\n\r\n", 400),
    (GET + b"X: a\x00b\r\n\r\n", 400),
    (GET + b"X: a\x01b\r\n\r\n", 400),
    (GET + b"X: a\r\n b\r\n\r\n", 400),
    (GET + b"X : a\r\n\r\n", 400),
    (GET + b"X Y: a\r\n\r\n", 400),
    (GET + b": a\r\n\r\n", 400),
    (GET + b"nothing\r\n\r\n", 400),
    (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    (POST + b"Content-Length: -2\r\n\r\n{}", 400),
    (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    (POST + b"Content-Length: 0x2\r\n\r\n{}", 400),
    (POST + b"Content-Length: 1 1\r\n\r\n{}", 400),
    (POST + b"Content-Length: \r\n\r\n{}", 400),
    (POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}", 400),
    (POST + b"Transfer-Encoding: gzip\r\n\r\n{}", 400),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Expect: a cookie\r\n\r\n", 417),
]


@pytest.mark.parametrize(("raw", "status"), HEAD_REFUSED)
def test_a_head_that_breaks_the_protocol_is_refused(raw: bytes, status: int) -> None:
    assert ([], status) == parse(raw)
    for parts in cuts(raw):
        assert ([], status) == parse(*parts)


@pytest.mark.parametrize(
    "raw",
    [
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"+2\r\n{}\r\n0\r\n\r\n",
        b"2 \r\n{}\r\n0\r\n\r\n",
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"2\r\n{}0\r\n\r\n",
        b"2;a\nb\r\n{}\r\n0\r\n\r\n",
        b"\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nX: a\r\n b\r\n\r\n",
        b"2\r\n{}\r\n0\r\nX: " + b"a" * MAX_LINE_BYTES + b"\r\n\r\n",
    ],
)
def test_chunks_that_break_the_protocol_break_the_body(raw: bytes) -> None:
    parser = RequestParser()
    parser.feed(CHUNKED + raw)
    (request,) = parser.requests

    assert (False, True) == (request.done, request.broken)
    assert parser.refused


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /" + b"a" * MAX_LINE_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (GET + b"X: " + b"a" * MAX_LINE_BYTES + b"\r\n\r\n", 431),
        (GET + b"a" * MAX_LINE_BYTES + b": a\r\n\r\n", 431),
        (GET + b"X: a\r\n" * MAX_HEADERS + b"\r\n", 431),
        (GET + (b"X: " + b"a" * 9000 + b"\r\n") * (MAX_HEAD_BYTES // 9000 + 1) + b"\r\n", 431),
        (
            b"GET /" + b"a" * (MAX_LINE_BYTES - 1) + b" HTTP/1.1\r\nHost: a\r\n"
            + (b"X: " + b"a" * 9990 + b"\r\n") * 5 + b"\r\n",
            431,
        ),
    ],
)  # fmt: skip
def test_a_head_beyond_the_limits_is_refused(raw: bytes, status: int) -> None:
    assert ([], status) == parse(raw)
    assert ([], status) == parse(*(raw[at : at + 1000] for at in range(0, len(raw), 1000)))


def test_as_much_as_is_allowed_is_taken() -> None:
    lines = b"".join(b"X%d: %b\r\n" % (n, b"a" * 400) for n in range(MAX_HEADERS - 2))
    target = b"/" + b"a" * 10_000

    requests, refused = parse(
        b"POST " + target + b" HTTP/1.1\r\nHost: a\r\n" + lines
        + b"Content-Length: 2\r\n\r\n{}"
    )  # fmt: skip

    assert ([("POST", target.decode(), b"{}", True, True)], 0) == (requests, refused)


def test_a_head_of_as_many_headers_as_are_allowed_may_ask_for_another_protocol() -> None:
    lines = b"".join(b"X%d: a\r\n" % n for n in range(MAX_HEADERS - 4))

    requests, refused = parse(POST + UPGRADE + lines + b"Content-Length: 2\r\n\r\n{}")

    assert ([("POST", "/p?q=1", b"{}", True, True)], 0) == (requests, refused)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (GET + b"X: ", b"a" * 4096),
        (GET + b"X:", b" " * 4096),
        (GET, b"a" * 4096),
        (b"GET /", b"a" * 4096),
        (b"", b"\r\n" * 2000),
        (CHUNKED + b"2;x=", b"a" * 4096),
        (CHUNKED + b"0\r\n", b"X: aaaaaaaaaaaaaaaaaaaaaa\r\n" * 100),
    ],
)
def test_what_never_ends_is_refused_before_it_fills_the_memory(start: bytes, piece: bytes) -> None:
    _, refused = parse(start, *[piece] * (MAX_QUIET_BYTES // len(piece) + 1))

    assert refused >= 400


def test_headers_are_lower_case_joined_and_text() -> None:
    parser = RequestParser()
    parser.feed(GET + b"X-A: 1\r\nx-a:  2 \r\nEmpty:\r\nU: \xc3\xa9\r\nL: \xe9\r\n\r\n")

    assert {"host": "a", "x-a": "1, 2", "empty": "", "u": "é", "l": "é"} == (
        parser.requests[0].headers
    )


def test_trailers_are_dropped() -> None:
    parser = RequestParser()
    parser.feed(CHUNKED + b"0\r\nAuthorization: x\r\n\r\n")

    assert {"host", "transfer-encoding"} == parser.requests[0].headers.keys()


def test_after_a_refusal_earlier_requests_can_still_be_answered() -> None:
    requests, refused = parse(GET + b"\r\n" + b"nonsense\r\n\r\n")

    assert ([("GET", "/", b"", True, True)], 400) == (requests, refused)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"", GET, POST, CHUNKED, LENGTH, GET + UPGRADE, POST + UPGRADE]),
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [b"\r\n", b"2\r\n{}\r\n", b"0\r\n", b"X: y\r\n", GET, LENGTH, b"Content-Length: 2\r\n"]
            ),
        ),
        max_size=6,
    ),
    st.data(),
)  # fmt: skip
def test_any_bytes_cut_anyhow_give_the_same(
    start: bytes, more: list[bytes], data: st.DataObject
) -> None:
    raw = start + b"".join(more)
    at = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=4)))
    edges = [0, *at, len(raw)]
    parts = [raw[a:b] for a, b in itertools.pairwise(edges) if a < b]

    assert parse(raw) == parse(*parts)
