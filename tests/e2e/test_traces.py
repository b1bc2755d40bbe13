"""What a tracing backend gets to see of whole requests, through a real OTLP receiver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from controlplane.table.schema import Provider, ProviderType, Timeouts
from dataplane.telemetry import SYSTEM_CLOCK, Telemetry, TelemetrySettings, build
from tests import sink as receiver
from tests.e2e.rig import Rig, running
from tests.e2e.test_faults import (
    GOOD_STREAM,
    QUICK,
    SSE,
    Paused,
    Upstream,
    ask,
    body,
    chunk,
    unary,
)
from tests.fakes import provider, table
from tests.raw import Conversation, raw_server

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSET, ERROR = 0, 2


@asynccontextmanager
async def exporting(endpoint: str) -> AsyncIterator[Telemetry]:
    telemetry = build(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "20"},
        version="test",
        settings=TelemetrySettings(),
        clock=SYSTEM_CLOCK,
    )
    try:
        yield telemetry
    finally:
        await telemetry.shutdown(5.0)


@asynccontextmanager
async def traced(
    *talks: Conversation, kinds: tuple[ProviderType, ...] = (), timeouts: Timeouts = QUICK
) -> AsyncIterator[tuple[Rig, receiver.Sink]]:
    """A sidecar before raw upstreams `a`, `b`, ..., exporting to a sink."""
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(receiver.running())
        telemetry = await stack.enter_async_context(exporting(sink.url))
        providers: list[Provider] = []
        for number, talk in enumerate(talks):
            url = await stack.enter_async_context(raw_server(talk))
            kind = kinds[number] if kinds else ProviderType.VLLM
            providers.append(
                provider("abc"[number], kind=kind, base_url=f"{url}/v1", timeouts=timeouts)
            )
        rig = await stack.enter_async_context(running(table(providers), telemetry=telemetry))
        yield rig, sink


async def test_a_failover_is_one_tree_with_the_failed_attempt_in_red() -> None:
    limited = Upstream(b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: 30\r\n\r\n")
    hung, good = Upstream(), Upstream(GOOD_STREAM)
    async with traced(limited.talk, hung.talk, good.talk) as (rig, sink):
        async with ask(rig, stream=True) as response:
            await response.read()
            trace_id = response.headers["x-trace-id"]
        await sink.wait_for_spans(4)

    (server,) = sink.servers
    attempts = sink.attempts
    assert {trace_id} == {span.trace_id for span in sink.spans}
    assert {server.span_id} == {span.parent_id for span in attempts}
    assert ["429", "timeout.first_byte", None] == [
        span.attributes.get("error.type") for span in attempts
    ]
    assert ["next_target", "next_target", "served"] == [
        span.attributes["switchgear.decision"] for span in attempts
    ]
    assert [ERROR, ERROR, UNSET] == [span.status for span in attempts]
    assert UNSET == server.status
    assert (True, 3, "served", "c") == tuple(
        server.attributes[f"switchgear.{name}"]
        for name in ("failover", "attempts", "outcome", "endpoint")
    )
    assert ["a:429", "b:timeout.first_byte", "c:served"] == list(
        server.attributes["switchgear.path"]
    )


async def test_an_open_breaker_is_an_event_and_never_a_span() -> None:
    hung, good = Upstream(), Upstream(unary())
    async with traced(hung.talk, good.talk) as (rig, sink):
        for _ in range(4):
            async with ask(rig) as response:
                await response.read()
        await sink.wait(lambda: len(sink.servers) == 4)

    last = sink.servers[-1]
    assert ["switchgear.target.skipped"] == [event.name for event in last.events]
    assert "circuit_open" == last.events[0].attributes["switchgear.reason"]
    assert 1 == len([span for span in sink.attempts if span.parent_id == last.span_id])
    assert 3 == len(hung.requests)


async def test_a_break_after_the_first_byte_is_too_late_and_keeps_the_200() -> None:
    dying = Upstream(SSE + chunk("", role="assistant") + chunk("one"))
    async with traced(dying.talk) as (rig, sink):
        async with ask(rig, stream=True) as response:
            await response.read()
        await sink.wait_for_spans(2)

    (server,), (attempt,) = sink.servers, sink.attempts
    assert "too_late" == attempt.attributes["switchgear.decision"]
    assert (ERROR, "stream.truncated", 200) == (
        server.status,
        server.attributes["error.type"],
        server.attributes["http.response.status_code"],
    )


async def test_a_caller_that_leaves_is_no_error() -> None:
    paused = Paused()
    async with traced(paused.talk) as (rig, sink):
        response = await ask(rig, stream=True)
        await response.content.readuntil(b"\n\n")
        response.close()
        await sink.wait_for_spans(2)

    (server,), (attempt,) = sink.servers, sink.attempts
    assert (UNSET, UNSET) == (server.status, attempt.status)
    assert ("client_cancelled", "cancelled") == (
        server.attributes["switchgear.outcome"],
        attempt.attributes["switchgear.decision"],
    )


async def test_contexts_go_on_to_our_own_servers_and_never_to_hosted_ones() -> None:
    own, hosted = Upstream(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), Upstream(unary())
    kinds = (ProviderType.VLLM, ProviderType.OPENAI)
    async with traced(own.talk, hosted.talk, kinds=kinds) as (rig, sink):
        headers = {
            "traceparent": TRACEPARENT,
            "tracestate": "a=b",
            "baggage": "user=secret",
            "x-b3-traceid": "1",
            "x-datadog-trace-id": "2",
        }
        async with rig.http.post(
            f"{rig.base_url}/chat/completions", data=body(), headers=headers
        ) as response:
            await response.read()
        await sink.wait_for_spans(3)

    (server,), (first, _second) = sink.servers, sink.attempts
    assert ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331") == (
        server.trace_id,
        server.parent_id,
    )
    assert f"00-{server.trace_id}-{first.span_id}-01" in own.requests[0].decode()
    for name in (b"traceparent", b"tracestate", b"baggage", b"x-b3", b"x-datadog"):
        assert name not in hosted.requests[0].lower()
    assert b"baggage" not in own.requests[0].lower()


async def test_probes_of_health_and_the_admin_port_leave_no_span() -> None:
    good = Upstream(unary())
    async with traced(good.talk) as (rig, sink):
        for path in ("livez", "readyz", "status", "table", "requests"):
            async with rig.http.get(f"{rig.admin_url}/{path}") as response:
                await response.read()
        async with rig.http.get(f"{rig.base_url}/models") as response:
            await response.read()
        async with ask(rig) as response:
            await response.read()
        await sink.wait_for_spans(2)

    assert ["POST /v1/chat/completions"] == [span.name for span in sink.servers]


async def test_two_hundred_requests_at_once_have_their_own_parents() -> None:
    good = Upstream(unary())
    patient = replace(QUICK, answer_s=60, total_s=60)
    async with traced(good.talk, timeouts=patient) as (rig, sink):

        async def one() -> str:
            async with ask(rig) as response:
                await response.read()
                assert 200 == response.status
                return response.headers["x-trace-id"]

        traces = await asyncio.gather(*(one() for _ in range(200)))
        await sink.wait_for_spans(400)

    parents = {span.span_id: span.trace_id for span in sink.servers}
    assert set(traces) == set(parents.values())
    assert all(parents[span.parent_id] == span.trace_id for span in sink.attempts)
    assert 200 == len({span.parent_id for span in sink.attempts})


async def test_a_dead_collector_costs_no_request() -> None:
    good = Upstream(unary())
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(exporting("http://127.0.0.1:9"))
        url = await stack.enter_async_context(raw_server(good.talk))
        config = table([provider("a", base_url=f"{url}/v1")])
        rig = await stack.enter_async_context(running(config, telemetry=telemetry))
        for _ in range(50):
            async with ask(rig) as response:
                assert 200 == response.status
                await response.read()
        async with rig.http.get(f"{rig.admin_url}/status") as response:
            document = json.loads(await response.read())

    assert document["telemetry"]["enabled"]
    assert 100 == document["telemetry"]["spans"]["ended"]
