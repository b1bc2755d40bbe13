"""The admin port: probes, status, the table. Read-only, and never on the data port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dataplane import codec, metric_text, rows
from dataplane.answer import Answer, StreamAnswer
from dataplane.headers import SERVER
from dataplane.http.inbound.request import Request
from dataplane.provider import Feature
from dataplane.recent import KEPT

_INDEX = b"""/livez /readyz /metrics /status /table /capabilities
/explain?model=NAME&needs=FEATURE,... /requests?limit=N
"""
_TEXT = {"server": SERVER, "content-type": "text/plain; charset=utf-8"}
_METRICS = {"server": SERVER, "content-type": metric_text.CONTENT_TYPE}
_JSON = {"server": SERVER, "content-type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What the admin port shows; each is asked when a request comes.

    ready: empty if requests can be served, else why not.
    status, capabilities: the documents, for `rows.encode`.
    table: the document, as bytes; called in another thread. metrics: the body of a scrape.
    explain: the document for a model and the features it needs, None if no route takes it.
    """

    ready: Callable[[], str]
    status: Callable[[], Mapping[str, Any]]
    table: Callable[[], bytes]
    explain: Callable[[str, frozenset[Feature]], Mapping[str, Any] | None]
    capabilities: Callable[[], Mapping[str, Any]]
    metrics: Callable[[], bytes]
    recent: Recent


class Recent(Protocol):
    """Whoever remembers requests."""

    def last(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """Describe the last `limit` requests, the newest last."""
        ...


class AdminPort:
    """Answers the requests of the admin port."""

    def __init__(self, views: Views) -> None:
        """Keep the views."""
        self._views = views

    async def handle(self, request: Request) -> Answer | StreamAnswer:
        """Answer one request."""
        if request.method not in ("GET", "HEAD"):
            return _error(405, "the admin API is read-only: use GET", {"allow": "GET"})
        match request.path.rstrip("/"):
            case "/livez":
                return Answer(200, _TEXT, b"ok\n")
            case "/readyz":
                why = self._views.ready()
                return Answer(503 if why else 200, _TEXT, f"{why or 'ok'}\n".encode())
            case "/metrics":
                return Answer(200, _METRICS, self._views.metrics())
            case "/status":
                return await _written(request, self._views.status())
            case "/table":
                # Bytes of a table that never changes: another thread may make them.
                return Answer(200, _JSON, await asyncio.to_thread(self._views.table))
            case "/capabilities":
                return await _written(request, self._views.capabilities())
            case "/explain":
                return self._explain(request.query.get("model", ""), request.query.get("needs", ""))
            case "/requests":
                return self._requests(request.query.get("limit", "50"))
            case "":
                return Answer(200, _TEXT, _INDEX)
            case _:
                return _error(404, "unknown path; see / for the list")

    def _explain(self, model: str, needs: str) -> Answer:
        if not model:
            return _error(400, "name a model: /explain?model=NAME")
        words = {word.strip() for word in needs.split(",")} - {""}
        if unknown := words - set(Feature):
            known = ", ".join(Feature)
            return _error(400, f"no such feature: {', '.join(sorted(unknown))}; there are {known}")
        document = self._views.explain(model, frozenset(Feature(word) for word in words))
        if document is None:
            return _error(404, "no route takes this model; see /status for the routes")
        return _document(document)

    def _requests(self, limit: str) -> Answer:
        if not limit.isascii() or not limit.isdigit() or len(limit) > 6:
            return _error(400, f"limit must be a number from 0 to {KEPT}")
        return _document({"requests": self._views.recent.last(int(limit))})


class ProbePort:
    """Answers /livez and /readyz and nothing else, for a kubelet that comes from outside."""

    def __init__(self, admin: AdminPort) -> None:
        """Answer as the admin port does."""
        self._admin = admin

    async def handle(self, request: Request) -> Answer | StreamAnswer:
        """Answer one request."""
        if request.path in ("/livez", "/readyz"):
            return await self._admin.handle(request)
        return _error(404, "this port serves /livez and /readyz only")


async def _written(request: Request, document: Mapping[str, Any]) -> Answer | StreamAnswer:
    """Answer with a document of any length, a chunk at a time, as fast as the caller reads."""
    chunks = rows.encode(document)
    if request.method == "HEAD":
        return Answer(200, _JSON, b"".join([chunk async for chunk in chunks]))
    answer = StreamAnswer(_JSON)
    await answer.prepare(request)
    async for chunk in chunks:
        await answer.write(chunk)
    return answer


def _document(value: object) -> Answer:
    return Answer(200, _JSON, codec.encode_pretty(value) + b"\n")


def _error(status: int, message: str, extra: Mapping[str, str] | None = None) -> Answer:
    body = codec.encode({"error": {"message": message}})
    return Answer(status, {**_JSON, **(extra or {})}, body)
