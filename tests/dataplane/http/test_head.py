"""Heads say what they were given, byte for byte, or nothing is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.http.head import Heads, Origin, origin_of
from dataplane.provider import HttpRequest


def written(
    url: str = "http://a/", method: str = "POST", body: bytes = b"{}", **headers: str
) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Heads().write(HttpRequest(method=method, url=url, headers=named, body=body))[1]


def test_a_head_is_request_line_host_headers_and_length() -> None:
    assert (
        b"POST /v1/x?y=z HTTP/1.1\r\nhost: a:81\r\nx: 1\r\nx-y: 100%s\r\ncontent-length: 2\r\n\r\n"
        == written("http://a:81/v1/x?y=z#part", x="1", x_y="100%s")
    )


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("GET", b"", b""),
        ("HEAD", b"", b""),
        ("POST", b"", b"content-length: 0\r\n"),
        ("GET", b"{}", b"content-length: 2\r\n"),
    ],
)
def test_a_length_is_said_where_one_is_expected(method: str, body: bytes, length: bytes) -> None:
    expected = b"%b / HTTP/1.1\r\nhost: a\r\n%b\r\n" % (method.encode(), length)

    assert expected == written(method=method, body=body)


@pytest.mark.parametrize(
    ("url", "origin", "host", "target"),
    [
        ("http://a", Origin(False, "a", 80), "a", "/"),
        ("HTTPS://A.b/", Origin(True, "a.b", 443), "A.b", "/"),
        ("https://a:443/x", Origin(True, "a", 443), "a", "/x"),
        ("http://a:443/x", Origin(False, "a", 443), "a:443", "/x"),
        ("http://a?x=y", Origin(False, "a", 80), "a", "/?x=y"),
        ("http://[::1]:8080/x", Origin(False, "::1", 8080), "[::1]:8080", "/x"),
        ("http://u:p@a/x", Origin(False, "a", 80), "a", "/x"),
        ("http://bücher.example/", Origin(False, "xn--bcher-kva.example", 80), None, "/"),
        # As they are given: a signature holds for these bytes.
        ("https://a/model/x%3A0%2Fy/converse", Origin(True, "a", 443), "a", None),
        ("https://a/a:b/..//./%7e%zz?q=a+b%20c&&'\"", Origin(True, "a", 443), "a", None),
    ],
)
def test_urls_become_origin_host_and_target(
    url: str, origin: Origin, host: str | None, target: str | None
) -> None:
    found, head = Heads().write(HttpRequest(method="GET", url=url, headers={}))
    line, host_line, *_ = head.decode().split("\r\n")

    assert origin == found == origin_of(url)
    assert f"GET {target or url.removeprefix('https://a')} HTTP/1.1" == line
    assert f"host: {host or found.host}" == host_line


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http:///x",
        "nonsense",
        "ftp://a/",
        "http://a:0/",
        "http://a:99999/",
        "http://a:x/",
        "http://a b/",
        "http://a/b c",
        "http://a/\r\nx: y",
        "http://a\r\n/",
        "http://a/\u00e9",
        "http://[::1/",
        "http://[x]/",
        "http://a\\b/",
        "http://" + "ü" * 70 + "/",
    ],
)
def test_urls_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        written(url)

    assert ErrorClass.CONFIG is caught.value.error


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nb: c"},
        {"x": "a\rb"},
        {"x": "a\nb"},
        {"x": "a\0b"},
        {"x": "\ud800"},
        {"x y": "a"},
        {"x\r\ny": "a"},
        {"x:": "a"},
        {"": "a"},
        {"é": "a"},
    ],
)
def test_headers_that_are_none_are_refused_each_time(headers: dict[str, str]) -> None:
    heads = Heads()
    for _ in range(2):
        with pytest.raises(UpstreamFailed) as caught:
            heads.write(HttpRequest(method="GET", url="http://a/", headers=headers))

        assert ErrorClass.CONFIG is caught.value.error


def test_a_method_that_is_none_is_refused() -> None:
    with pytest.raises(UpstreamFailed):
        written(method="GET /x HTTP/1.1\r\n")


def test_headers_of_the_connection_are_not_sent() -> None:
    ours = dict.fromkeys(
        (
            "connection",
            "Keep-Alive",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "expect",
            "content-length",
        ),
        "1",
    )

    head = Heads().write(
        HttpRequest(method="GET", url="http://a/", headers={"a": "1", **ours, "b": "2"})
    )[1]

    assert b"GET / HTTP/1.1\r\nhost: a\r\na: 1\r\nb: 2\r\n\r\n" == head


def test_a_host_that_is_given_is_the_only_one() -> None:
    assert b"GET / HTTP/1.1\r\nHost: b\r\n\r\n" == written(method="GET", body=b"", Host="b")


def test_a_remembered_shape_takes_new_values_and_a_full_memory_starts_anew() -> None:
    heads = Heads()
    for turn in range(2100):
        request = HttpRequest(method="GET", url=f"http://a/{turn % 1050}", headers={"x": str(turn)})
        head = heads.write(request)[1]

        assert b"GET /%d HTTP/1.1\r\nhost: a\r\nx: %d\r\n\r\n" % (turn % 1050, turn) == head


def test_a_kept_head_holds_for_the_same_method_and_headers_only() -> None:
    heads = Heads()
    first = {"authorization": "one"}

    def sent(method: str, headers: dict[str, str], body: bytes) -> bytes:
        request = HttpRequest(method=method, url="http://a/", headers=headers, body=body)
        return heads.write(request)[1]

    lines = b"%b / HTTP/1.1\r\nhost: a\r\nauthorization: %b\r\n"
    for _ in range(2):
        posted = lines % (b"POST", b"one") + b"content-length: 2\r\n\r\n"
        assert posted == sent("POST", first, b"{}")
        assert lines % (b"GET", b"one") + b"\r\n" == sent("GET", first, b"")
        assert lines % (b"GET", b"two") + b"\r\n" == sent("GET", {"authorization": "two"}, b"")


def test_tracing_comes_on_top_and_wins_and_is_not_kept() -> None:
    heads = Heads()
    headers = {"a": "1", "traceparent": "of the manifest"}

    def sent(tracing: dict[str, str] | None) -> bytes:
        request = HttpRequest(method="GET", url="http://a/", headers=headers, tracing=tracing)
        return heads.write(request)[1]

    start = b"GET / HTTP/1.1\r\nhost: a\r\na: 1\r\n"
    kept = start + b"traceparent: of the manifest\r\n"
    for number in (b"1", b"2"):
        assert kept + b"tracestate: %b\r\n\r\n" % number == sent({"tracestate": number.decode()})
        assert start + b"traceparent: %b\r\n\r\n" % number == sent({"traceparent": number.decode()})
        assert kept + b"\r\n" == sent(None)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\n", "\0"])
def test_tracing_that_is_no_header_is_refused(value: str) -> None:
    request = HttpRequest(
        method="GET", url="http://a/", headers={"a": "1"}, tracing={"traceparent": value}
    )
    with pytest.raises(UpstreamFailed):
        Heads().write(request)


@given(st.text(max_size=40))
def test_a_value_is_sent_as_it_is_or_not_at_all(value: str) -> None:
    try:
        head = written(method="GET", body=b"", x=value)
    except UpstreamFailed:
        assert set(value) & {"\r", "\n", "\0"}
    else:
        assert b"GET / HTTP/1.1\r\nhost: a\r\nx: %b\r\n\r\n" % value.encode() == head
