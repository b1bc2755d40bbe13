"""Which parts are ours and which are OpenTelemetry's, by the environment."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.telemetry import TelemetrySettings, build
from dataplane.telemetry_http import HttpExporter
from dataplane.telemetry_json import JsonEncoder
from dataplane.telemetry_protobuf import ProtobufEncoder
from dataplane.telemetry_sdk import SdkExporter
from dataplane.telemetry_w3c import W3CPropagation

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PLAIN = {ENDPOINT: "http://collector.llm.svc:4318"}
SECURE = {ENDPOINT: "https://collector.llm.svc:4318"}


async def parts(environ: dict[str, str]) -> tuple[Any, Any]:
    """The exporter and the propagation that are built."""
    built: Any = build(environ, version="1", settings=TelemetrySettings())
    await built.shutdown(5.0)
    return built._queue._exporter, built._common.propagation


@pytest.mark.parametrize(
    "environ",
    [
        PLAIN,
        SECURE,
        PLAIN | {"https_proxy": "http://proxy"},
        SECURE | {"HTTP_PROXY": "http://proxy"},
        PLAIN | {"HTTP_PROXY": "http://proxy", "NO_PROXY": "a, collector.llm.svc"},
        PLAIN | {"http_proxy": "http://proxy", "no_proxy": ".SVC,b"},
        PLAIN | {"ALL_PROXY": "http://proxy", "no_proxy": "*"},
        PLAIN | {"REQUESTS_CA_BUNDLE": "/ca.pem"},
    ],
)
async def test_otlp_over_http_is_ours(environ: dict[str, str]) -> None:
    exporter, propagation = await parts(environ)

    assert isinstance(exporter, HttpExporter)
    assert isinstance(exporter._encoder, ProtobufEncoder)
    assert isinstance(propagation, W3CPropagation)


async def test_json_is_ours_too() -> None:
    exporter, _ = await parts(PLAIN | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})

    assert isinstance(exporter._encoder, JsonEncoder)


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        PLAIN | {"HTTP_PROXY": "http://proxy"},
        PLAIN | {"all_proxy": "http://proxy", "NO_PROXY": "svc.llm,10.0.0.0/8"},
        SECURE | {"https_proxy": "http://proxy", "no_proxy": "llm.sv"},
        SECURE | {"REQUESTS_CA_BUNDLE": "/ca.pem"},
    ],
)
async def test_what_ours_does_not_do_is_the_sdks(environ: dict[str, str]) -> None:
    exporter, _ = await parts(environ)

    assert isinstance(exporter, SdkExporter)


@pytest.mark.parametrize(
    "chosen", ["baggage", "none", "baggage,tracecontext", "tracecontext,tracecontext"]
)
async def test_propagators_of_w3c_are_ours(chosen: str) -> None:
    """Others are loaded, see `test_telemetry_door`."""
    _, propagation = await parts(PLAIN | {"OTEL_PROPAGATORS": chosen})

    assert isinstance(propagation, W3CPropagation)


async def test_resource_that_is_no_text_costs_a_mark() -> None:
    """An environment may hold any bytes; one of them would fail each batch."""
    exporter, _ = await parts(PLAIN | {"OTEL_RESOURCE_ATTRIBUTES": "a=caf\udce9"})

    assert b"caf?" in exporter._encoder.encode([])
