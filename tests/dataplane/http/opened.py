"""A client that must have lost all its connections at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dataplane.http.client import Answer, Client
from dataplane.provider import HttpRequest


@asynccontextmanager
async def opened(**parts: Any) -> AsyncIterator[Client]:
    client = Client(**parts)
    try:
        yield client
    finally:
        await client.aclose()
    assert (0, 0) == (client.pool.open, client.pool.idle)


def post(url: str, body: bytes = b"{}", method: str = "POST") -> HttpRequest:
    return HttpRequest(method=method, url=f"{url}/v1/x", headers={"x": "y"}, body=body)


async def whole(answer: Answer) -> bytes:
    """Read an answer to its end, and give it back."""
    try:
        parts = []
        while data := await answer.chunk():
            parts.append(data)
    finally:
        answer.release()
    return b"".join(parts)


async def ask(client: Client, request: HttpRequest, connect_s: float = 5) -> bytes:
    return await whole(await client.send(request, connect_s))
