from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import ProviderType
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Operation, ResponseFacts, Usage
from dataplane.telemetry import (
    NO_TELEMETRY,
    Decision,
    DelaySource,
    Inbound,
    RequestOutcome,
    TelemetrySettings,
)
from tests.dataplane.telemetry_cases import (
    CALLER_SPAN_ID,
    START_NS,
    TRACE_ID,
    TRACEPARENT,
    UNSAMPLED,
    ManualClock,
    begin,
    listening,
    provider,
    request,
    target,
    telemetry,
)
from tests.sink import ERROR, UNSET, Sink, running

AZURE = provider(ProviderType.AZURE_OPENAI, "azure-eu")
SCALEWAY = provider(ProviderType.SCALEWAY, "scw-par")
VLLM = provider(ProviderType.VLLM, "vllm")


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running() as started:
        yield started


async def test_failover_is_one_server_span_with_an_attempt_each(sink: Sink) -> None:
    """T2 and T3: the tree, statuses, decisions and events of a request that two targets failed."""
    time = ManualClock()
    async with telemetry(sink, time) as built:
        span = begin(built)
        span.skipped("ollama-local", SkipReason.CIRCUIT_OPEN, 12.5)
        throttled = span.attempt(AZURE, target(AZURE), request(), 1)
        time.advance(0.5)
        throttled.end(
            Decision.RETRY_SAME,
            UpstreamFailed(
                ErrorClass.RATE_LIMIT,
                "throttled",
                status=429,
                retry_after_s=0.25,
                provider_code="TooManyRequests",
                request_id="az-1",
            ),
        )
        span.retrying("azure-eu", 0.25, DelaySource.RETRY_AFTER)
        time.advance(0.25)
        silent = span.attempt(AZURE, target(AZURE), request(), 2)
        time.advance(2.0)
        silent.end(
            Decision.NEXT_TARGET, UpstreamFailed(ErrorClass.TIMEOUT_FIRST_BYTE, "no first byte")
        )
        served = span.attempt(SCALEWAY, target(SCALEWAY, "mistral-small-3.2"), request(), 3)
        time.advance(1.0)
        served.response(ResponseFacts(finish_reasons={0: "stop"}), 200, "scw-1")
        served.end(Decision.SERVED)
        time.advance(0.125)
        span.end(RequestOutcome.SERVED, 200)

    [server] = sink.servers
    assert UNSET == server.status
    assert "" == server.description
    assert "POST /v1/chat/completions" == server.name
    assert "" == server.parent_id
    assert START_NS == server.start_ns
    assert START_NS + 3_875_000_000 == server.end_ns
    assert {
        "switchgear.attempts": 3,
        "switchgear.failover": True,
        "switchgear.endpoint": "scw-par",
        "switchgear.targets.skipped": 1,
        "switchgear.path": [
            "ollama-local:circuit_open",
            "azure-eu:429",
            "azure-eu:timeout.first_byte",
            "scw-par:served",
        ],
        "switchgear.wasted_s": 2.5,
        "switchgear.overhead_s": 0.125,
        "switchgear.outcome": "served",
        "http.response.status_code": 200,
    }.items() <= server.attributes.items()
    assert "error.type" not in server.attributes
    assert [
        (
            "switchgear.target.skipped",
            {
                "switchgear.endpoint": "ollama-local",
                "switchgear.reason": "circuit_open",
                "switchgear.reopen_in_s": 12.5,
            },
            START_NS,
        ),
        (
            "switchgear.retry.scheduled",
            {
                "switchgear.endpoint": "azure-eu",
                "switchgear.delay_s": 0.25,
                "switchgear.source": "retry_after",
            },
            START_NS + 500_000_000,
        ),
    ] == [(event.name, event.attributes, event.time_ns) for event in server.events]
    assert [
        ("chat gpt-5-mini", ERROR, "rate limited", "retry_same", "429"),
        ("chat gpt-5-mini", ERROR, "no first byte in time", "next_target", "timeout.first_byte"),
        ("chat mistral-small-3.2", UNSET, "", "served", None),
    ] == [
        (
            attempt.name,
            attempt.status,
            attempt.description,
            attempt.attributes["switchgear.decision"],
            attempt.attributes.get("error.type"),
        )
        for attempt in sink.attempts
    ]
    assert {server.span_id} == {attempt.parent_id for attempt in sink.attempts}
    assert {server.trace_id} == {attempt.trace_id for attempt in sink.attempts}
    assert [None, 1, 2] == [
        attempt.attributes.get("http.request.resend_count") for attempt in sink.attempts
    ]
    assert {
        "http.response.status_code": 429,
        "switchgear.retry_after_s": 0.25,
        "switchgear.provider.error_code": "TooManyRequests",
        "switchgear.provider.request_id": "az-1",
        "azure.service.request.id": "az-1",
    }.items() <= sink.attempts[0].attributes.items()


async def test_request_that_all_targets_failed_is_an_error(sink: Sink) -> None:
    """T4: our own status is the server span's error."""
    async with telemetry(sink) as built:
        span = begin(built)
        attempt = span.attempt(VLLM, target(VLLM), request(), 1)
        attempt.end(
            Decision.EXHAUSTED, UpstreamFailed(ErrorClass.UPSTREAM_ERROR, "broke", status=500)
        )
        span.end(RequestOutcome.FAILED, 502)

    [server] = sink.servers
    assert ERROR == server.status
    assert "502" == server.attributes["error.type"]
    assert "failed" == server.attributes["switchgear.outcome"]
    assert "switchgear.endpoint" not in server.attributes
    assert ERROR == sink.attempts[0].status
    assert "500" == sink.attempts[0].attributes["error.type"]


async def test_stream_that_breaks_after_the_first_byte_keeps_200(sink: Sink) -> None:
    """T4: too late to fail over; the error is the attempt's, each choice lacks its reason."""
    time = ManualClock()
    async with telemetry(sink, time) as built:
        span = begin(built, stream=True)
        attempt = span.attempt(VLLM, target(VLLM), request(stream=True, n=2), 1)
        time.advance(0.5)
        attempt.chunk()
        span.first_byte()
        attempt.response(ResponseFacts(finish_reasons={1: "stop"}), 200, "")
        attempt.end(Decision.TOO_LATE, UpstreamFailed(ErrorClass.STREAM_ABORT, "cut", status=None))
        span.end(RequestOutcome.FAILED, 200)

    [server] = sink.servers
    assert ERROR == server.status
    assert "stream.truncated" == server.attributes["error.type"]
    assert 200 == server.attributes["http.response.status_code"]
    assert ["error", "stop"] == sink.attempts[0].attributes["gen_ai.response.finish_reasons"]
    assert "too_late" == sink.attempts[0].attributes["switchgear.decision"]


@pytest.mark.parametrize("chunks", [0, 1, 5])
async def test_caller_who_leaves_is_no_error(sink: Sink, chunks: int) -> None:
    """T5: before headers, at the first byte, in the middle; both spans end, whoever forgets."""
    async with telemetry(sink) as built:
        span = begin(built, stream=True)
        attempt = span.attempt(VLLM, target(VLLM), request(stream=True), 1)
        for _ in range(chunks):
            attempt.chunk()
        span.end(RequestOutcome.CLIENT_CANCELLED, 200 if chunks else None)

        attempt.end(Decision.SERVED)

        assert 2 == built.status()["spans"]["ended"]

    [server], [client] = sink.servers, sink.attempts
    assert (UNSET, UNSET) == (server.status, client.status)
    assert "client_cancelled" == server.attributes["switchgear.outcome"]
    assert "cancelled" == client.attributes["switchgear.decision"]
    assert "error.type" not in client.attributes
    assert chunks or "http.response.status_code" not in server.attributes


async def test_caller_who_left_is_not_blamed_on_the_upstream(sink: Sink) -> None:
    """A failure that came with the cancellation makes no error of it."""
    async with telemetry(sink) as built:
        span = begin(built)
        span.attempt(VLLM, target(VLLM), request(), 1).end(
            Decision.CANCELLED, UpstreamFailed(ErrorClass.CLIENT_CANCELLED, "the caller left")
        )
        span.end(RequestOutcome.CLIENT_CANCELLED, 502)

    assert UNSET == sink.attempts[0].status
    assert "error.type" not in sink.attempts[0].attributes
    assert UNSET == sink.servers[0].status
    assert ["vllm:cancelled"] == sink.servers[0].attributes["switchgear.path"]


@pytest.mark.parametrize(("status", "expected"), [(404, UNSET), (503, ERROR)])
async def test_rejected_request_is_an_error_from_500(
    sink: Sink, status: int, expected: int
) -> None:
    async with telemetry(sink) as built:
        span = begin(built, match=False)
        span.end(RequestOutcome.REJECTED, status)

    [server] = sink.servers
    assert expected == server.status
    assert 0 == server.attributes["switchgear.attempts"]
    assert "switchgear.route" not in server.attributes
    assert "switchgear.path" not in server.attributes


async def test_drained_request_ends_its_spans(sink: Sink) -> None:
    async with telemetry(sink) as built:
        span = begin(built)
        span.attempt(VLLM, target(VLLM), request(), 1)
        span.end(RequestOutcome.DRAINED, None)

    assert "drained" == sink.servers[0].attributes["switchgear.outcome"]
    assert "cancelled" == sink.attempts[0].attributes["switchgear.decision"]


async def test_failure_without_a_class_is_other(sink: Sink) -> None:
    """An adapter that refuses a request leaves no UpstreamFailed, still the attempt failed."""
    async with telemetry(sink) as built:
        span = begin(built)
        span.attempt(VLLM, target(VLLM), request(), 1).end(Decision.FAIL)
        span.end(RequestOutcome.FAILED, 400)

    assert ERROR == sink.attempts[0].status
    assert "_OTHER" == sink.attempts[0].attributes["error.type"]
    assert UNSET == sink.servers[0].status
    assert ["vllm:_OTHER"] == sink.servers[0].attributes["switchgear.path"]


async def test_stream_is_timed_by_its_chunks(sink: Sink) -> None:
    time = ManualClock()
    async with telemetry(sink, time) as built:
        time.advance(8.0)
        span = begin(built, stream=True)
        time.advance(0.25)
        attempt = span.attempt(VLLM, target(VLLM), request(stream=True), 1)
        time.advance(4.0)
        attempt.chunk()
        time.advance(0.125)
        span.first_byte()
        time.advance(0.375)
        attempt.chunk(3)
        time.advance(2.0)
        attempt.chunk()
        time.advance(0.5)
        attempt.chunk()
        attempt.end(Decision.SERVED)
        span.end(RequestOutcome.SERVED, 200)

    attributes = sink.attempts[0].attributes
    assert 4.0 == attributes["gen_ai.response.time_to_first_chunk"]
    assert 6 == attributes["switchgear.stream.chunks"]
    assert 2.0 == attributes["switchgear.stream.stall_max_s"]
    assert 4.375 == sink.servers[0].attributes["switchgear.time_to_first_chunk_s"]
    assert sink.servers[0].attributes["switchgear.stream"] is True


async def test_facts_that_grow_are_read_at_the_end(sink: Sink) -> None:
    facts = ResponseFacts()
    async with telemetry(sink) as built:
        span = begin(built, stream=True)
        attempt = span.attempt(VLLM, target(VLLM), request(stream=True), 1)
        attempt.response(facts, 200, "")
        facts.usage = Usage(input_tokens=876, output_tokens=12)
        attempt.end(Decision.SERVED)
        span.end(RequestOutcome.SERVED, 200)

    assert 876 == sink.attempts[0].attributes["gen_ai.usage.input_tokens"]


async def test_usage_is_only_on_attempts(sink: Sink) -> None:
    """T7: a sum over the trace counts once; neither operation nor reasons are on the server."""
    async with telemetry(sink) as built:
        span = begin(built)
        attempt = span.attempt(VLLM, target(VLLM), request(), 1)
        attempt.response(
            ResponseFacts(usage=Usage(input_tokens=876), finish_reasons={0: "stop"}), 200, ""
        )
        attempt.end(Decision.SERVED)
        span.end(RequestOutcome.SERVED, 200)

    counts = [span.attributes.get("gen_ai.usage.input_tokens", 0) for span in sink.spans]
    assert 876 == sum(counts)
    assert not [name for name in sink.servers[0].attributes if name.startswith("gen_ai.")]


async def test_callers_context_becomes_the_parent(sink: Sink) -> None:
    """T8, in: and the ids are told for the log line."""
    async with telemetry(sink) as built:
        span = begin(built, {"traceparent": TRACEPARENT, "tracestate": "vendor=1"})
        span.end(RequestOutcome.SERVED, 200)

        [ended] = [span]
        assert TRACE_ID == ended.trace_id
        assert ended.recording

    [server] = sink.servers
    assert (TRACE_ID, CALLER_SPAN_ID) == (server.trace_id, server.parent_id)
    assert span.span_id == server.span_id


async def test_providers_see_the_attempt_or_nothing(sink: Sink) -> None:
    """T8, out: vLLM and Ollama get the attempt's id, hosted services no header at all."""
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=1", "baggage": "tenant=acme"}
    ollama = provider(ProviderType.OLLAMA, "ollama")
    quiet = provider(ProviderType.VLLM, "quiet", {"propagation": "none"})
    asked = provider(ProviderType.OPENAI, "asked", {"propagation": "trace"})
    baggage = provider(ProviderType.OPENAI, "baggage", {"propagation": "traceAndBaggage"})
    unknown = provider(ProviderType.VLLM, "unknown", {"propagation": "everything"})
    async with telemetry(sink) as built:
        span = begin(built, headers)
        sent = {}
        for number, each in enumerate(
            (VLLM, ollama, AZURE, SCALEWAY, quiet, asked, baggage, unknown), start=1
        ):
            attempt = span.attempt(each, target(each), request(), number)
            sent[each.name] = attempt.headers()
            attempt.end(Decision.SERVED)
        span.end(RequestOutcome.SERVED, 200)

    ids = {span.attributes["switchgear.endpoint"]: span.span_id for span in sink.attempts}
    traced = {
        name: {"traceparent": f"00-{TRACE_ID}-{ids[name]}-01", "tracestate": "vendor=1"}
        for name in ("vllm", "ollama", "asked")
    }
    assert {
        **traced,
        "azure-eu": {},
        "scw-par": {},
        "quiet": {},
        "unknown": {},
        "baggage": {
            "traceparent": f"00-{TRACE_ID}-{ids['baggage']}-01",
            "tracestate": "vendor=1",
            "baggage": "tenant=acme",
        },
    } == sent


async def test_tracestate_in_pieces_is_put_together(sink: Sink) -> None:
    headers = {"traceparent": TRACEPARENT, "tracestate": "a=1, b=2"}
    async with telemetry(sink) as built:
        span = begin(built, headers)
        sent = span.attempt(VLLM, target(VLLM), request(), 1).headers()
        span.end(RequestOutcome.SERVED, 200)

    assert "a=1,b=2" == sent["tracestate"]


async def test_unsampled_parent_exports_nothing_and_still_propagates(sink: Sink) -> None:
    """T9: also the ids for the log line are there."""
    async with telemetry(sink) as built:
        span = begin(built, {"traceparent": UNSAMPLED})
        span.skipped("a", SkipReason.COOLDOWN)
        attempt = span.attempt(VLLM, target(VLLM), request(), 1)
        sent = attempt.headers()["traceparent"]
        attempt.end(Decision.SERVED)
        span.end(RequestOutcome.SERVED, 200)

        assert 0 == built.status()["spans"]["ended"]

    assert [] == sink.spans
    version, trace_id, parent_id, flags = sent.split("-")
    assert ("00", TRACE_ID, "00") == (version, trace_id, flags)
    assert parent_id not in {CALLER_SPAN_ID, span.span_id}
    assert (TRACE_ID, 16, False) == (span.trace_id, len(span.span_id), span.recording)
    assert ("a:cooldown", "vllm:served") == span.flight.path


async def test_link_starts_a_trace_of_its_own(sink: Sink) -> None:
    settings = TelemetrySettings(inbound=Inbound.LINK)
    async with telemetry(sink, settings=settings) as built:
        begin(built, {"traceparent": TRACEPARENT}).end(RequestOutcome.SERVED, 200)
        begin(built, {}).end(RequestOutcome.SERVED, 200)

    linked, alone = sorted(sink.servers, key=lambda span: not span.links)
    assert [(TRACE_ID, CALLER_SPAN_ID)] == linked.links
    assert TRACE_ID != linked.trace_id
    assert "" == linked.parent_id
    assert [] == alone.links


async def test_ignored_context_leaves_no_trace(sink: Sink) -> None:
    settings = TelemetrySettings(inbound=Inbound.IGNORE)
    async with telemetry(sink, settings=settings) as built:
        span = begin(built, {"traceparent": TRACEPARENT, "baggage": "tenant=acme"})
        open_minded = provider(ProviderType.VLLM, "v", {"propagation": "traceAndBaggage"})
        sent = span.attempt(open_minded, target(open_minded), request(), 1).headers()
        span.end(RequestOutcome.SERVED, 200)

    assert TRACE_ID != sink.servers[0].trace_id
    assert ([], "") == (sink.servers[0].links, sink.servers[0].parent_id)
    assert ["traceparent"] == list(sent)


@pytest.mark.parametrize("text", ["", "00-zz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\udce9"])
async def test_malformed_traceparent_starts_a_new_trace(sink: Sink, text: str) -> None:
    async with telemetry(sink) as built:
        begin(built, {"traceparent": text}).end(RequestOutcome.SERVED, 200)

        assert 0 == built.status()["errors"]

    assert "" == sink.servers[0].parent_id


async def test_propagators_come_from_the_environment(sink: Sink) -> None:
    async with telemetry(sink, OTEL_PROPAGATORS="none") as built:
        span = begin(built, {"traceparent": TRACEPARENT})
        sent = span.attempt(VLLM, target(VLLM), request(), 1).headers()
        span.end(RequestOutcome.SERVED, 200)

    assert {} == sent
    assert TRACE_ID != sink.servers[0].trace_id


async def test_no_span_has_a_parent_of_another_request(sink: Sink) -> None:
    """T21 at the level of spans: 200 requests at once, their attempts interleaved."""
    async with telemetry(sink) as built:
        spans = [begin(built) for _ in range(200)]
        attempts = [
            span.attempt(VLLM, target(VLLM, f"m{n}"), request(), 1) for n, span in enumerate(spans)
        ]
        for attempt in attempts:
            attempt.end(Decision.SERVED)
        for span in spans:
            span.end(RequestOutcome.SERVED, 200)

    parents = {span.span_id: span.trace_id for span in sink.servers}
    assert 200 == len(parents) == len(sink.attempts)
    assert parents == {span.parent_id: span.trace_id for span in sink.attempts}


@pytest.mark.parametrize(
    "route", ["/livez", "/readyz", "/healthz", "/metrics", "/status", "/table"]
)
async def test_health_and_metrics_make_no_span(sink: Sink, route: str) -> None:
    """T20."""
    async with telemetry(sink) as built:
        begin(built, route=route).end(RequestOutcome.SERVED, 200)

    assert [] == sink.spans


async def test_events_are_bounded_and_their_count_is_not(sink: Sink) -> None:
    async with telemetry(sink) as built:
        span = begin(built)
        for _ in range(50):
            span.skipped("a", SkipReason.COOLDOWN)
        span.end(RequestOutcome.FAILED, 503)

    assert 16 == len(sink.servers[0].events)
    assert 50 == sink.servers[0].attributes["switchgear.targets.skipped"]


async def test_server_span_says_what_samplers_may_see(sink: Sink) -> None:
    async with telemetry(sink) as built:
        begin(
            built,
            method="BREW",
            route="",
            path="/v1/caf\udce9?api-key=canary",
            user_agent="x" * 1000,
            match=False,
        ).end(RequestOutcome.REJECTED, 404)

    [server] = sink.servers
    assert "HTTP" == server.name
    assert {
        "http.request.method": "_OTHER",
        "url.path": "/v1/caf?",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": 4141,
        "network.protocol.version": "1.1",
        "user_agent.original": "x" * 256,
    }.items() <= server.attributes.items()
    assert not {"http.route", "url.query"} & set(server.attributes)


async def test_headers_become_attributes_by_permission_only(sink: Sink) -> None:
    settings = TelemetrySettings(
        header_attributes={"x-session-id": "gen_ai.conversation.id", "x-tenant": "tenant.id"}
    )
    headers = {"x-session-id": "s-1", "x-tenant": "t" * 500, "x-other": "canary"}
    async with telemetry(sink, settings=settings) as built:
        span = begin(built, headers)
        span.attempt(VLLM, target(VLLM), request(), 1).end(Decision.SERVED)
        span.end(RequestOutcome.SERVED, 200)

    [server], [client] = sink.servers, sink.attempts
    assert "t" * 128 == server.attributes["tenant.id"]
    assert "s-1" == server.attributes["session.id"] == client.attributes["session.id"]
    assert "s-1" == client.attributes["gen_ai.conversation.id"]
    assert "tenant.id" not in client.attributes
    assert "canary" not in str(sink.spans)


async def test_openinference_adds_the_kind_and_nothing_else(sink: Sink) -> None:
    settings = TelemetrySettings(openinference=True)
    async with telemetry(sink, settings=settings) as built:
        span = begin(built)
        span.attempt(VLLM, target(VLLM), request(), 1).end(Decision.SERVED)
        span.attempt(VLLM, target(VLLM), request(Operation.EMBEDDINGS), 2).end(Decision.SERVED)
        span.end(RequestOutcome.SERVED, 200)

    kinds = [span.attributes["openinference.span.kind"] for span in sink.spans]
    assert ["CHAIN", "EMBEDDING", "LLM"] == sorted(kinds)


async def test_first_end_wins(sink: Sink) -> None:
    async with telemetry(sink) as built:
        span = begin(built)
        span.end(RequestOutcome.SERVED, 200)
        span.end(RequestOutcome.FAILED, 500)

    assert ["served"] == [span.attributes["switchgear.outcome"] for span in sink.servers]


async def test_stranger_that_raises_costs_no_request(sink: Sink) -> None:
    """Headers of someone else's may fail when they are read: the request goes on, it is counted."""

    class Hostile(dict[str, str]):
        def get(self, key: str, default: object = None) -> str:
            raise RuntimeError("canary")

    with listening() as heard:
        async with telemetry(sink) as built:
            span = begin(built, Hostile(a="b"))
            begin(built, Hostile(a="b")).end(RequestOutcome.SERVED, 200)
            span.end(RequestOutcome.SERVED, 200)

            assert 2 == built.status()["errors"]

    assert 2 == len(sink.servers)
    assert 1 == len(heard.lines("dataplane.telemetry_guard"))
    assert "canary" not in heard.text


async def test_resource_and_scope_name_us(sink: Sink) -> None:
    """T17."""
    async with telemetry(
        sink,
        OTEL_RESOURCE_ATTRIBUTES=(
            "service.namespace=llm,service.instance.id=llm.pod-1.switchgear,"
            "k8s.namespace.name=llm,k8s.pod.name=pod-1,k8s.pod.uid=u-1,k8s.node.name=n%201,"
            "k8s.container.name=switchgear"
        ),
    ) as built:
        begin(built).end(RequestOutcome.SERVED, 200)

    [server] = sink.servers
    assert ("switchgear", "1.2.3") == server.scope
    assert {
        "service.name": "switchgear",
        "service.version": "1.2.3",
        "service.instance.id": "llm.pod-1.switchgear",
        "service.namespace": "llm",
        "k8s.namespace.name": "llm",
        "k8s.pod.name": "pod-1",
        "k8s.pod.uid": "u-1",
        "k8s.node.name": "n 1",
        "k8s.container.name": "switchgear",
    }.items() <= server.resource.items()


async def test_resource_has_an_instance_id_of_its_own(sink: Sink) -> None:
    async with telemetry(sink, OTEL_SERVICE_NAME="llm-gateway") as built:
        begin(built).end(RequestOutcome.SERVED, 200)

    assert "llm-gateway" == sink.servers[0].resource["service.name"]
    assert sink.servers[0].resource["service.instance.id"]


async def test_nothing_that_was_said_leaves_the_process(sink: Sink) -> None:
    """T10: canaries in every place that content can come from, on success and on failure."""
    body = {
        "messages": [{"role": "user", "content": "canary-prompt"}],
        "tools": [{"type": "function", "function": {"name": "canary-tool", "parameters": {}}}],
        "stop": ["canary-stop"],
        "user": "canary-user",
        "metadata": {"k": "canary-metadata"},
        "safety_identifier": "canary-safety",
        "reasoning_effort": "canary effort",
        "service_tier": "canary tier",
        "response_format": {"type": "json_schema", "json_schema": {"name": "canary-schema"}},
        "temperature": "canary-temperature",
        "n": "canary-n",
        "encoding_format": "canary-encoding",
        "input": "canary-input",
    }
    headers = {
        "authorization": "Bearer canary-key",
        "x-custom": "canary-header",
        "cookie": "canary-cookie",
        "baggage": "canary-baggage=é",
        "traceparent": "canary-traceparent",
    }
    openai = provider(
        ProviderType.OPENAI, base_url="https://canary-user:canary-pw@api.openai.com/v1"
    )
    with listening() as heard:
        async with telemetry(sink) as built:
            for operation in Operation:
                for decision in Decision:
                    span = begin(built, headers, path="/v1/chat/completions?key=canary-query")
                    attempt = span.attempt(openai, target(openai), request(operation, **body), 1)
                    attempt.headers()
                    attempt.response(ResponseFacts(native_finish_reason="canary-native"), 200, "")
                    attempt.end(
                        decision,
                        UpstreamFailed(
                            ErrorClass.BAD_REQUEST,
                            "canary-error echoes sk-canary",
                            status=400,
                            provider_code="canary code with spaces",
                            param="canary-param",
                            error_type="canary-type",
                        ),
                    )
                    span.end(RequestOutcome.FAILED, 400)

    assert len(sink.spans) == 2 * len(Operation) * len(Decision)
    assert not [received for received in sink.received if b"canary" in received.raw]
    assert "" == heard.text


def test_switched_off_keeps_the_flight_and_has_no_ids() -> None:
    span = begin(NO_TELEMETRY, {"traceparent": TRACEPARENT}, stream=True)
    span.skipped("a", SkipReason.UNHEALTHY, 1.0)
    span.retrying("b", 0.5, DelaySource.BACKOFF)
    attempt = span.attempt(VLLM, target(VLLM), request(), 1)
    attempt.chunk()
    span.first_byte()
    attempt.response(ResponseFacts(), 200, "r")
    headers = attempt.headers()
    attempt.end(Decision.NEXT_TARGET, UpstreamFailed(ErrorClass.OVERLOADED, "full", status=503))
    span.attempt(VLLM, target(VLLM), request(), 2).end(Decision.SERVED)
    span.end(RequestOutcome.SERVED, 200)

    assert {} == headers
    assert ("", "", False) == (span.trace_id, span.span_id, span.recording)
    assert ("a:unhealthy", "vllm:503", "vllm:served") == span.flight.path
    assert span.flight.time_to_first_chunk_s is not None
    assert {"enabled": False} == NO_TELEMETRY.status()


async def test_switched_off_has_nothing_to_flush() -> None:
    assert await NO_TELEMETRY.shutdown(0.0)
