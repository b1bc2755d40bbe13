"""What handlers see of a request's head."""

from __future__ import annotations

import pytest

from dataplane.http.inbound.request import HTTP_1_1, SMALL_REST_BYTES, Request


def request(target: str = "/", length: int | None = 0, **changes: bool) -> Request:
    made = Request(
        "POST", target, HTTP_1_1, {}, length, keep_alive=True, expects=changes.pop("expects", False)
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("target", "raw_path", "path", "query"),
    [
        ("/", "/", "/", {}),
        ("/v1/models", "/v1/models", "/v1/models", {}),
        ("/a?b=c", "/a", "/a", {"b": "c"}),
        ("/a?b=c&b=d&e=", "/a", "/a", {"b": "c", "e": ""}),
        ("/a?b=%2F+x%20y", "/a", "/a", {"b": "/ x y"}),
        ("/a?b?c=d", "/a", "/a", {"b?c": "d"}),
        ("/a?", "/a", "/a", {}),
        ("/a#b?c=d", "/a", "/a", {}),
        ("/a?b=c#d", "/a", "/a", {"b": "c"}),
        ("/v1/models/a%2Fb", "/v1/models/a%2Fb", "/v1/models/a/b", {}),
        ("/%ff%00", "/%ff%00", "/\ufffd\x00", {}),
        ("/../status", "/../status", "/../status", {}),
        ("//a/b", "//a/b", "//a/b", {}),
        ("http://h:1/a/b?c=d", "/a/b", "/a/b", {"c": "d"}),
        ("http://h", "/", "/", {}),
        ("http://h?c=/d", "/", "/", {"c": "/d"}),
        ("*", "*", "*", {}),
    ],
)
def test_the_target_in_parts(target: str, raw_path: str, path: str, query: dict[str, str]) -> None:
    seen = request(target)

    assert (raw_path, path, query) == (seen.raw_path, seen.path, seen.query)


@pytest.mark.parametrize(
    ("seen", "follows"),
    [
        (request(done=True), True),
        (request(done=True, keep_alive=False), False),
        (request(length=SMALL_REST_BYTES), True),
        (request(length=SMALL_REST_BYTES + 1), False),
        (request(length=None), False),
        (request(length=2, broken=True), False),
        (request(length=2, expects=True), False),
        (request(length=2, keep_alive=False), False),
    ],
)
def test_another_may_follow_if_the_rest_of_the_body_is_known_and_small(
    seen: Request, *, follows: bool
) -> None:
    assert follows == seen.can_follow()
