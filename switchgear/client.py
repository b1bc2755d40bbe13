"""HTTP for the command, from the standard library: quick to import, and blocking.

Everything that goes wrong is a ClientError whose message says what to do.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import click

from dataplane import codec

_TIMEOUT_S: Final = 10.0
_JSON: Final = "application/json"
_LONGEST_BODY: Final = 64 * 1024 * 1024


class ClientError(click.ClickException):
    """A call failed, or was refused: a message for people, and exit code 1.

    status: the HTTP status, None if no answer came.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        """Keep the status beside the message."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The head of an answer, and its body still to be read. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: http.client.HTTPResponse


@contextmanager
def open_url(url: str, *, payload: Any = None, timeout_s: float = _TIMEOUT_S) -> Iterator[Reply]:
    """GET `url`, or POST `payload` as JSON; whatever the status is. Closed at the end.

    timeout_s: of connecting, and of each wait for bytes. Raises ClientError when no answer comes,
    also in mid-answer.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ClientError(f'"{url}" is not an address like http://127.0.0.1:4141')
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    except ValueError as error:
        raise ClientError(f'"{url}": {error}') from error
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if payload is None:
            connection.request("GET", path, headers={"accept": "application/json"})
        else:
            connection.request(
                "POST", path, body=codec.encode(payload), headers={"content-type": _JSON}
            )
        with connection.getresponse() as response:
            headers = {name.lower(): value for name, value in response.getheaders()}
            yield Reply(status=response.status, headers=headers, body=response)
    except (OSError, http.client.HTTPException) as error:
        raise ClientError(_explain(error, f"{parts.scheme}://{parts.netloc}")) from error
    finally:
        connection.close()


def get_json(url: str, *, timeout_s: float = _TIMEOUT_S) -> Any:
    """GET a JSON document. Raises ClientError, also for any status but 2xx."""
    with open_url(url, timeout_s=timeout_s) as reply:
        body = reply.body.read(_LONGEST_BODY)
        if not 200 <= reply.status < 300:
            raise ClientError(error_message(reply.status, body), status=reply.status)
        return decode(body, url)


def decode(body: bytes, url: str) -> Any:
    """Decode JSON from `url`. Raises ClientError."""
    try:
        return codec.decode(body)
    except codec.DecodeError as error:
        raise ClientError(
            f"{url} answered something that is not JSON ({error}); is it switchgear's address?"
        ) from error


def events(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Give the data of each server-sent event of a body; several data lines of one are joined.

    An event that the end of the body cuts is not given.
    """
    gathered: list[bytes] = []
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line:
            if gathered:
                yield b"\n".join(gathered)
            gathered = []
        elif line.startswith(b"data:"):
            gathered.append(line[5:].removeprefix(b" "))


def error_message(status: int, body: bytes) -> str:
    """Read an error body in OpenAI's shape; any other body gives the status and its beginning."""
    try:
        match codec.decode(body):
            case {"error": {"message": str(message)}}:
                return f"{message} (HTTP {status})"
            case _:
                pass
    except codec.DecodeError:
        pass
    text = body[:200].decode(errors="replace").strip()
    return f"HTTP {status}" + (f": {text}" if text else "")


def _explain(error: OSError | http.client.HTTPException, origin: str) -> str:
    match error:
        case ConnectionRefusedError():
            return f"nothing listens at {origin}; is `switchgear run` running?"
        case TimeoutError():
            return f"{origin} did not answer in time; is it switchgear's address?"
        case http.client.HTTPException() | ConnectionError():
            return f"{origin} broke the connection ({type(error).__name__}); try again"
        case _:
            return f"{origin} cannot be reached: {error.strerror or error}"
