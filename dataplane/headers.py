"""The headers of our answers: what happened to the request, and what clients expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from dataplane.telemetry import RequestSpan

SERVER: Final = "switchgear"
PROVIDER: Final = "x-switchgear-provider"
MODEL: Final = "x-switchgear-model"
ATTEMPTS: Final = "x-switchgear-attempts"
FALLBACK_REASON: Final = "x-switchgear-fallback-reason"
GENERATION: Final = "x-switchgear-generation"
OVERHEAD_MS: Final = "x-switchgear-overhead-ms"
WARNINGS: Final = "x-switchgear-warnings"

_MAX_VALUE: Final = 512
_TWO_DIGITS: Final = tuple([f"{number:02}" for number in range(100)])


def identity(request_id: str, span: RequestSpan) -> dict[str, str]:
    """Name the request: for OpenAI's clients, for Anthropic's, and its trace if one is kept."""
    headers = {"x-request-id": request_id, "request-id": request_id}
    if span.recording:
        headers["x-trace-id"] = span.trace_id
    return headers


def journey(
    span: RequestSpan, *, fallback_reason: str, warnings: Sequence[str]
) -> Mapping[str, str]:
    """Tell where the request went. Only what is known when the status line goes out."""
    flight = span.flight
    headers = {
        PROVIDER: _safe(flight.provider),
        MODEL: _safe(flight.upstream_model),
        ATTEMPTS: str(flight.attempts),
        GENERATION: str(flight.generation),
        OVERHEAD_MS: _hundredths(flight.overhead_s * 1000),
    }
    if fallback_reason:
        headers[FALLBACK_REASON] = fallback_reason
    if warnings:
        headers[WARNINGS] = _safe(", ".join(dict.fromkeys(warnings)))
    return headers


def lines_of_served(
    request_id: str, span: RequestSpan, *, fallback_reason: str, warnings: Sequence[str]
) -> str:
    """Write `identity` and `journey` as lines of a head, in one go: every good answer has them."""
    flight = span.flight
    # Texts only: those are put together at once, where anything else is formatted by itself.
    attempts, generation = str(flight.attempts), str(flight.generation)
    provider: str = _safe(flight.provider)
    model: str = _safe(flight.upstream_model)
    lines = (
        f"x-request-id: {request_id}\r\nrequest-id: {request_id}\r\n"
        f"{PROVIDER}: {provider}\r\n{MODEL}: {model}\r\n"
        f"{ATTEMPTS}: {attempts}\r\n{GENERATION}: {generation}\r\n"
        f"{OVERHEAD_MS}: {_hundredths(flight.overhead_s * 1000)}\r\n"
    )
    if span.recording:
        lines += f"x-trace-id: {span.trace_id}\r\n"
    if fallback_reason:
        lines += f"{FALLBACK_REASON}: {fallback_reason}\r\n"
    if warnings:
        lines += f"{WARNINGS}: {_safe(', '.join(dict.fromkeys(warnings)))}\r\n"
    return lines


def _hundredths(number: float) -> str:
    """Write a number of at least 0 with two decimals."""
    count = int(number * 100 + 0.5)
    return str(count // 100) + "." + _TWO_DIGITS[count % 100]


@lru_cache(maxsize=1024)
def _safe(text: str) -> str:
    """Keep what a header line can carry: printable ASCII, bounded."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:_MAX_VALUE])
