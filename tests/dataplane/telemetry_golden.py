"""The golden spans, by provider type. `make golden` writes them.

Each file holds the server and the attempt span of a plain and of a streamed request, as a
collector receives them, with the types of attributes; ids and what the SDK says of itself are left
out.
"""

from __future__ import annotations

from pathlib import Path

from controlplane.table.schema import ProviderType
from dataplane import codec
from dataplane.provider import ResponseFacts, Usage
from dataplane.telemetry import Decision, RequestOutcome
from tests.dataplane.telemetry_cases import (
    ManualClock,
    begin,
    provider,
    request,
    target,
    telemetry,
)
from tests.sink import SinkSpan, running

FOLDER = Path(__file__).parent / "golden" / "telemetry"

_PARAMETERS = {
    "messages": [{"role": "user", "content": "hello"}],
    "temperature": 1,
    "top_p": 0.5,
    "max_completion_tokens": 256,
    "seed": 42,
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "service_tier": "flex",
    "stop": ["END"],
}


def path_of(kind: ProviderType) -> Path:
    return FOLDER / f"{kind.value}.json"


async def render(kind: ProviderType) -> str:
    """Export one plain and one streamed request to a provider of this type."""
    shown = {
        "plain": await _exported(kind, stream=False),
        "streamed": await _exported(kind, stream=True),
    }
    return codec.encode_pretty(shown).decode() + "\n"


async def _exported(kind: ProviderType, *, stream: bool) -> list[object]:
    of = provider(kind, f"{kind.value.lower()}-1")
    time = ManualClock()
    async with running() as sink:
        async with telemetry(sink, time) as built:
            span = begin(built, stream=stream)
            time.advance(0.25)
            attempt = span.attempt(
                of, target(of, "model-1"), request(stream=stream, **_PARAMETERS), 1
            )
            if stream:
                for _ in range(3):
                    time.advance(0.5)
                    attempt.chunk()
                    span.first_byte()
            time.advance(0.5)
            attempt.response(
                ResponseFacts(
                    response_id="answer-1",
                    response_model="model-1-2026-11",
                    finish_reasons={0: "stop"},
                    usage=Usage(
                        input_tokens=100,
                        output_tokens=50,
                        cache_read_tokens=64,
                        cache_write_tokens=16,
                        reasoning_tokens=20,
                    ),
                ),
                200,
                "upstream-1",
            )
            attempt.end(Decision.SERVED)
            time.advance(0.25)
            span.end(RequestOutcome.SERVED, 200)
        return [_shown(span) for span in sink.spans]


def _shown(span: SinkSpan) -> object:
    return {
        "name": span.name,
        "kind": span.kind,
        "status": span.status,
        "duration_ns": span.end_ns - span.start_ns,
        "attributes": {
            name: {type(value).__name__: value} for name, value in sorted(span.attributes.items())
        },
    }
