"""The command's HTTP client: each failure is a message that says what to do."""

from __future__ import annotations

import socket
import threading

import pytest

from switchgear.client import ClientError, error_message, events, get_json, open_url
from tests.switchgear.faked_admin import canned


def test_json_is_got() -> None:
    with canned({"/a?b=1": {"x": [1]}}) as server:
        assert {"x": [1]} == get_json(f"{server.url}/a?b=1")


def test_a_payload_is_posted_as_json() -> None:
    with canned({"/a": {}}) as server:
        with open_url(f"{server.url}/a", payload={"b": 1}) as reply:
            assert 200 == reply.status

        assert [b'{"b":1}'] == server.requests


def test_nobody_there_asks_whether_switchgear_runs() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        with pytest.raises(ClientError, match="is `switchgear run` running") as caught:
            get_json(url)
    assert None is caught.value.status


def test_an_error_body_is_read_and_its_status_kept() -> None:
    with (
        canned({"/a": (404, {}, b'{"error":{"message":"no model x"}}')}) as server,
        pytest.raises(ClientError, match=r"no model x \(HTTP 404\)") as caught,
    ):
        get_json(f"{server.url}/a")
    assert 404 == caught.value.status


@pytest.mark.parametrize("url", ["", "localhost:4142", "ftp://a/b", "http://", "http://a:b/"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(ClientError, match=r"is not an address|Port could not be cast|nonnumeric"):
        get_json(url)


def test_silence_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        with pytest.raises(ClientError, match="did not answer in time"):
            get_json(url, timeout_s=0.05)


def test_a_connection_that_breaks_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ClientError, match="broke the connection"):
            get_json(url)
        thread.join()


def test_a_name_that_does_not_resolve_is_told() -> None:
    with pytest.raises(ClientError, match="cannot be reached"):
        get_json("http://name.invalid:1/")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"bad model"}}', "bad model (HTTP 400)"),
        (b'{"error":"text"}', 'HTTP 400: {"error":"text"}'),
        (b"<html>", "HTTP 400: <html>"),
        (b"", "HTTP 400"),
        (b"\xff\xfe", "HTTP 400: \ufffd\ufffd"),
    ],
)
def test_any_error_body_gives_a_message(body: bytes, message: str) -> None:
    assert message == error_message(400, body)


def test_events_are_joined_and_comments_and_a_cut_end_are_left_out() -> None:
    lines = [b": hi\n", b"event: x\n", b"data: a\r\n", b"data:b\n", b"\n", b"\n", b"data: cut\n"]

    assert [b"a\nb"] == list(events(lines))
