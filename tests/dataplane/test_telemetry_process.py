"""Telemetry in a process of its own, by environment variables only."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from dataplane import codec
from tests.sink import CLIENT, SERVER, Answer, Sink, running

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running() as started:
        yield started


async def python(
    *arguments: str, environ: Mapping[str, str], path: str = "", deadline_s: float = 30.0
) -> tuple[str, str]:
    """Run Python from the root of the tree with exactly this environment; its output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        *arguments,
        cwd=ROOT,
        env={"PYTHONPATH": f"{path}:{ROOT}" if path else str(ROOT), **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(deadline_s):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert 0 == process.returncode, errors.decode()
    return output.decode(), errors.decode()


async def child(
    count: int, flush_s: float, environ: Mapping[str, str], path: str = ""
) -> tuple[str, str]:
    return await python(
        "-m",
        "tests.dataplane.telemetry_child",
        str(count),
        str(flush_s),
        environ=environ,
        path=path,
    )


async def test_nothing_configured_loads_nothing_and_says_nothing() -> None:
    """T18: not even the API is imported, no thread runs, no line is written."""
    output, errors = await child(3, 1.0, {})

    assert "" == output
    assert "{'enabled': False}\n[]\n['MainThread']\n" == errors


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
async def test_export_over_http_loads_nothing_of_opentelemetry(sink: Sink, protocol: str) -> None:
    """Neither the SDK nor the API, protobuf or requests: 20 MB and 80 ms that nobody pays."""
    sink.forever = Answer(status=400)
    output, errors = await child(
        3,
        10.0,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=a",
            "NO_PROXY": "127.0.0.1",
            "HTTP_PROXY": "http://127.0.0.1:9",
        },
    )

    assert "" == output
    assert "the collector answered 400" in errors
    assert "\n[]\n['MainThread']\n" in errors
    assert sink.seen >= 1


async def test_collector_behind_a_proxy_is_reached_by_the_official_exporter(sink: Sink) -> None:
    """The endpoint's host does not exist: only the proxy, here the sink itself, can answer."""
    await child(
        1,
        10.0,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318",
            "HTTP_PROXY": sink.url,
        },
    )

    assert {"collector.invalid:4318"} == {received.headers["host"] for received in sink.received}
    assert (1, 1) == (len(sink.servers), len(sink.attempts))


async def test_detectors_of_the_sdk_add_to_the_resource(sink: Sink) -> None:
    await child(
        1,
        10.0,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process",
            "OTEL_SERVICE_NAME": "sidecar",
        },
    )

    resource = sink.servers[0].resource
    assert {"process.runtime.name", "process.pid", "service.instance.id"} <= set(resource)
    assert ("sidecar", "1.2.3") == (resource["service.name"], resource["service.version"])
    assert "switchgear" == resource["telemetry.sdk.name"]


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
async def test_exports_over_http_by_environment_only(sink: Sink, compression: str) -> None:
    """T16: general variables, and with a healthy collector every ended span arrives (T14)."""
    await child(
        100,
        10.0,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=team%20a,authorization=Basic abc==",
            "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
            "OTEL_SERVICE_NAME": "sidecar",
        },
    )

    assert {"/v1/traces"} == {received.path for received in sink.received}
    assert 100 == len(sink.servers) == len(sink.attempts)
    assert {"sidecar"} == {span.resource["service.name"] for span in sink.spans}
    headers = sink.received[0].headers
    assert "team a" == headers["x-scope"]
    assert "Basic abc==" == headers["authorization"]
    assert compression == headers.get("content-encoding", "none")
    assert len(sink.received) >= 4


async def test_exports_to_the_signals_own_endpoint(sink: Sink) -> None:
    """T16: as it is written, and it beats the general one."""
    await child(
        1,
        10.0,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{sink.url}/otlp/here",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-scope=traces",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=all",
        },
    )

    [received] = sink.received
    assert ("/otlp/here", "traces") == (received.path, received.headers["x-scope"])


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(hang=True),
        Answer(close=True),
        Answer(status=503, headers={"retry-after": "3600"}),
        Answer(status=200, body=b"\xff garbage"),
    ],
    ids=["hangs", "cuts", "busy", "garbage"],
)
async def test_process_ends_in_time_whatever_the_collector_does(
    sink: Sink, trouble: Answer
) -> None:
    """T14: the exporter's own limit of 10 s, and the SDK's of 30 s, are not waited for."""
    sink.forever = trouble
    async with asyncio.timeout(9.0):
        await child(200, 0.2, {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url})

    assert sink.seen >= 1


async def test_dead_collector_writes_one_line() -> None:
    """T13: nobody listens; the process ends in time and has said so once, without a traceback."""
    _, errors = await child(200, 1.0, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})

    lines = [line for line in errors.splitlines() if line.startswith("telemetry:")]
    assert 1 <= len(lines) <= 2
    assert "ConnectionRefusedError" in lines[0]
    assert "Traceback" not in errors


async def test_console_exporter_prints_spans() -> None:
    output, _ = await child(1, 10.0, {"OTEL_TRACES_EXPORTER": "console"})

    assert '"name": "chat gpt-5-mini"' in output
    assert '"name": "POST /v1/chat/completions"' in output


_GRPC = """
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

class OTLPSpanExporter(SpanExporter):
    def export(self, spans):
        print(len(spans), "spans over gRPC", flush=True)
        return SpanExportResult.SUCCESS
"""


async def test_grpc_exporter_is_taken_if_it_is_installed(tmp_path: Path) -> None:
    package = tmp_path / "opentelemetry/exporter/otlp/proto/grpc"
    package.mkdir(parents=True)
    (package / "trace_exporter.py").write_text(_GRPC)

    output, errors = await child(
        1,
        10.0,
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        path=str(tmp_path),
    )

    assert "2 spans over gRPC\n" == output
    assert "'protocol': 'grpc'" in errors


async def test_module_that_is_no_exporter_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "opentelemetry/exporter/otlp/proto/grpc"
    package.mkdir(parents=True)
    (package / "trace_exporter.py").write_text("OTLPSpanExporter = object")

    script = (
        "from dataplane.telemetry import *\n"
        "try:\n"
        "    build({'OTEL_TRACES_EXPORTER': 'otlp', 'OTEL_EXPORTER_OTLP_PROTOCOL': 'grpc'},\n"
        "          version='1', settings=TelemetrySettings())\n"
        "except SettingsError as error:\n"
        "    print(error)\n"
    )
    output, _ = await python("-c", script, environ={}, path=str(tmp_path))

    assert "OTLPSpanExporter is no span exporter" in output


_LAUNCHED = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

launcher = TracerProvider(shutdown_on_exit=False)
launcher.add_span_processor(
    SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + chr(10)))
)
trace.set_tracer_provider(launcher)

from dataplane.telemetry import RequestOutcome, TelemetrySettings, build
from tests.dataplane.telemetry_cases import begin

built = build({}, version="1.2.3", settings=TelemetrySettings())
assert built.status()["exporter"] == "global", built.status()
assert "spans" not in built.status()
begin(built).end(RequestOutcome.SERVED, 200)
assert asyncio.run(built.shutdown(1.0))
begin(built).end(RequestOutcome.SERVED, 200)
"""


async def test_provider_of_a_launcher_is_used_as_it_is() -> None:
    """No processor is added, so nothing is exported twice; and it is not ours to shut down."""
    output, _ = await python("-c", _LAUNCHED, environ={})

    names = [codec.decode_object(line.encode())["name"] for line in output.splitlines()]
    assert ["POST /v1/chat/completions"] * 2 == names


async def test_process_that_only_has_the_sdk_loaded_is_as_if_it_had_not() -> None:
    """Nothing is asked for and no provider is global: no spans, no thread."""
    script = (
        "import opentelemetry.sdk.trace, threading\n"
        "from dataplane.telemetry import *\n"
        "print(build({}, version='1', settings=TelemetrySettings()).status())\n"
        "print([thread.name for thread in threading.enumerate()])\n"
    )
    output, _ = await python("-c", script, environ={})

    assert "{'enabled': False}\n['MainThread']\n" == output


async def test_switched_off_under_a_launcher_stays_off() -> None:
    script = _LAUNCHED.split("built = build", maxsplit=1)[0] + (
        'print(build({"OTEL_SDK_DISABLED": "true"}, version="1", settings=TelemetrySettings())'
        ".status())"
    )
    output, _ = await python("-c", script, environ={})

    assert "{'enabled': False}\n" == output


def test_kinds_of_the_sink_are_those_of_the_wire() -> None:
    assert (2, 3) == (SERVER, CLIENT)
