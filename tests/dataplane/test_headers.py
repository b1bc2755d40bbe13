"""The head of a good answer says the same as those of all others, written in one go."""

from __future__ import annotations

import pytest

from dataplane import headers
from dataplane.telemetry import Decision
from tests.dataplane.telemetry_cases import provider, request, target, untraced


@pytest.mark.parametrize("reason", ["", "circuit_open"])
@pytest.mark.parametrize("warnings", [(), ("dropped:user", "dropped:user", "mapped:é")])
def test_lines_are_those_of_identity_and_journey(reason: str, warnings: tuple[str, ...]) -> None:
    span = untraced()
    span.matched("chat", "chat", 7, stream=False)
    span.attempt(provider(name="a\nb"), target(provider(name="a\nb")), request(), 1).end(
        Decision.SERVED
    )
    told = {
        **headers.identity("req_1", span),
        **headers.journey(span, fallback_reason=reason, warnings=warnings),
    }
    lines = headers.lines_of_served("req_1", span, fallback_reason=reason, warnings=warnings)
    written = dict(line.split(": ", 1) for line in lines.splitlines())
    # It goes on while the two are written.
    told.pop(headers.OVERHEAD_MS)
    written.pop(headers.OVERHEAD_MS)

    assert told == written
