"""A token service on loopback that answers as told, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from tests.raw import head


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request. query and form: decoded pairs in the order in which they came."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    form: list[tuple[str, str]]


class TokenService:
    """A conversation for `raw_server`: one answer for each request; None hangs, the last repeats."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self.asked: list[Asked] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(_read(await head(reader)))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            await asyncio.Event().wait()
        else:
            writer.write(answer)
            await writer.drain()


def answer(status: int, body: bytes) -> bytes:
    """Write a whole HTTP answer."""
    first = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return first.encode() + body


def given(token: str, **fields: object) -> bytes:
    """Write an answer with a token, by default for an hour, as Entra ID does."""
    lifetime = {} if "expires_on" in fields else {"expires_in": 3599}
    document = {"token_type": "Bearer", **lifetime, "access_token": token, **fields}
    return answer(200, json.dumps(document).encode())


def _read(raw: bytes) -> Asked:
    top, _, body = raw.partition(b"\r\n\r\n")
    line, *lines = top.decode().split("\r\n")
    method, target, _ = line.split(" ")
    parts = urlsplit(target)
    pairs = (header.split(": ", 1) for header in lines)
    return Asked(
        method=method,
        path=parts.path,
        query=parse_qsl(parts.query, keep_blank_values=True),
        headers={name.lower(): value for name, value in pairs},
        form=parse_qsl(body.decode(), keep_blank_values=True),
    )
