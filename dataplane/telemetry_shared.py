"""Attributes that spans have in common, looked up instead of put together.

What a span says of its route, target, status or outcome is the same for thousands of requests. It
is put together once for each combination that comes up, and kept in bounded tables; an encoder
keeps its bytes beside it. What is left for each span is what differs: counts, ids and times.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Final, TypeAlias, TypeVar

from controlplane.table.schema import Provider
from dataplane import telemetry_names as names
from dataplane.flight import Decision, FlightRecord
from dataplane.provider import Operation
from dataplane.telemetry_attributes import (
    MAX_TEXT_CHARS,
    attempt_result,
    attempt_start,
    request_end,
    request_start,
)
from dataplane.telemetry_records import Shared

MAX_KEPT: Final = 1024
"""Combinations kept of each of the four; beyond that all are forgotten, and come back."""

RequestKey: TypeAlias = tuple[str, str, str, str, str, int, str]
"""Method, route, path, scheme, our address, our port, user agent; the last two texts cut."""

AttemptKey: TypeAlias = tuple[str, str, str, int, Operation, bool]
"""Provider, upstream model, route, number of the attempt, operation, whether it streams."""

Key = TypeVar("Key")
Kept = TypeVar("Kept")

_EMBEDDINGS: Final = Operation.EMBEDDINGS


class SharedAttributes:
    """The four groups of attributes that spans share, two at the start and two at the end."""

    __slots__ = ("_attempt_ends", "_attempt_starts", "_openinference", "_request_ends", "_starts")

    def __init__(self, *, openinference: bool) -> None:
        """Keep nothing yet. openinference: whether spans name their kind in its words."""
        self._openinference = openinference
        self._starts: dict[RequestKey, tuple[str, Shared]] = {}
        self._attempt_starts: dict[AttemptKey, tuple[Provider, tuple[str, Shared]]] = {}
        self._attempt_ends: dict[tuple[object, ...], Shared] = {}
        self._request_ends: dict[tuple[object, ...], Shared] = {}

    @property
    def kept(self) -> int:
        """How many combinations the largest of the tables holds."""
        tables: tuple[Sized, ...] = (
            self._starts,
            self._attempt_starts,
            self._attempt_ends,
            self._request_ends,
        )
        return max(len(table) for table in tables)

    def request_start(self, key: RequestKey) -> tuple[str, Shared]:
        """Give the name and the first attributes of a server span."""
        found = self._starts.get(key)
        if found is not None:
            return found
        method, route, path, scheme, server_address, server_port, user_agent = key
        attributes = request_start(
            method,
            route,
            path=path,
            scheme=scheme,
            server_address=server_address,
            server_port=server_port,
            user_agent=user_agent,
        )
        if self._openinference:
            attributes[names.OPENINFERENCE_KIND] = "CHAIN"
        known = method if method in names.METHODS else "HTTP"
        name = f"{known} {route}" if route else known
        return _keep(self._starts, key, (name, Shared(attributes)))

    def attempt_start(self, provider: Provider, key: AttemptKey) -> tuple[str, Shared]:
        """Give the name and the first attributes of an attempt's span."""
        found = self._attempt_starts.get(key)
        # A new table may have changed what is behind the provider's name.
        if found is not None and found[0] is provider:
            return found[1]
        _, model, route, number, operation, stream = key
        attributes = attempt_start(
            provider, model, operation, route=route, number=number, stream=stream
        )
        if self._openinference:
            kind = "EMBEDDING" if operation is _EMBEDDINGS else "LLM"
            attributes[names.OPENINFERENCE_KIND] = kind
        made = (f"{operation.value} {model}".rstrip(), Shared(attributes))
        return _keep(self._attempt_starts, key, (provider, made))[1]

    def attempt_end(
        self,
        decision: Decision,
        status: int | None,
        error_type: str,
        model: str,
        reasons: Sequence[str],
    ) -> Shared:
        """Give what an attempt came to. model, reasons: as the upstream said them."""
        model = model[:MAX_TEXT_CHARS]
        key = (decision, status, error_type, model, reasons)
        return self._attempt_ends.get(key) or _keep(
            self._attempt_ends,
            key,
            Shared(attempt_result(decision, status, error_type, model, reasons)),
        )

    def request_end(self, flight: FlightRecord) -> Shared | None:
        """Give what a request came to, but for its times; None if its way was not a plain one."""
        provider = flight.served_by
        if flight.attempts != 1 or flight.targets_skipped or not provider:
            return None
        key = (
            flight.outcome,
            flight.status,
            flight.error_type,
            flight.model,
            flight.route,
            flight.generation,
            flight.stream,
            provider,
        )
        return self._request_ends.get(key) or _keep(
            self._request_ends, key, Shared(request_end(flight))
        )


def _keep(kept: dict[Key, Kept], key: Key, value: Kept) -> Kept:
    if len(kept) >= MAX_KEPT:
        kept.clear()
    kept[key] = value
    return value
