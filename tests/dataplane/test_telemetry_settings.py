from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from dataplane.telemetry import NoTelemetry, SettingsError, TelemetrySettings, build
from dataplane.telemetry_limits import bounds
from dataplane.telemetry_settings import (
    ExporterKind,
    ExportPlan,
    QueueLimits,
    plan,
)
from dataplane.telemetry_start import resource

OURS = TelemetrySettings()
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
COLLECTOR = "http://collector:4318"


def planned(**environ: str) -> ExportPlan:
    """The plan for a collector plus these variables."""
    made = plan({ENDPOINT: COLLECTOR, **environ}, OURS)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("environ", "exporter", "endpoint"),
    [
        ({}, None, ""),
        ({ENDPOINT: ""}, None, ""),
        ({ENDPOINT: "  "}, None, ""),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:4318"}, None, ""),
        ({ENDPOINT: COLLECTOR}, ExporterKind.OTLP, "http://collector:4318/v1/traces"),
        ({ENDPOINT: "http://c:1/otlp/"}, ExporterKind.OTLP, "http://c:1/otlp/v1/traces"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/as/written"},
            ExporterKind.OTLP,
            "https://c/as/written",
        ),
        (
            {ENDPOINT: COLLECTOR, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/x"},
            ExporterKind.OTLP,
            "http://t:1/x",
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ExporterKind.OTLP, "http://localhost:4318/v1/traces"),
        ({"OTEL_TRACES_EXPORTER": "console"}, ExporterKind.CONSOLE, ""),
        ({"OTEL_TRACES_EXPORTER": "console", ENDPOINT: COLLECTOR}, ExporterKind.CONSOLE, ""),
        (
            {ENDPOINT: COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            ExporterKind.OTLP,
            "http://collector:4318/v1/traces",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ExporterKind.OTLP,
            "http://localhost:4317",
        ),
    ],
)
def test_traces_are_on_if_something_asks_for_them(
    environ: dict[str, str], exporter: ExporterKind | None, endpoint: str
) -> None:
    made = plan(environ, OURS)

    assert made is not None
    assert exporter is made.exporter
    assert endpoint == made.endpoint


@pytest.mark.parametrize(
    "off",
    [{"OTEL_SDK_DISABLED": "True"}, {"OTEL_TRACES_EXPORTER": "none"}],
    ids=["disabled", "none"],
)
def test_switched_off_by_name_beats_an_endpoint(off: dict[str, str]) -> None:
    assert plan({ENDPOINT: COLLECTOR, **off}, OURS) is None
    built = build({ENDPOINT: COLLECTOR, **off}, version="1", settings=OURS)
    assert isinstance(built, NoTelemetry)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, 'OTEL_TRACES_EXPORTER: "jaeger" is unknown'),
        ({"OTEL_TRACES_EXPORTER": "otlp,console"}, '"otlp,console" is unknown'),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/xml"}, '"http/xml" is unknown; use http/protobuf'),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "http_proxy": "http://proxy:3128"},
            '"http/json" cannot be used with http_proxy',
        ),
        (
            {ENDPOINT: "https://c", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such/file"},
            "the OTLP exporter cannot be built",
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "HTTP"}, '"HTTP" is unknown'),
        ({ENDPOINT: "collector:4318"}, "with its scheme"),
        ({ENDPOINT: "http://"}, "with its scheme"),
        ({ENDPOINT: "ftp://collector"}, "with its scheme"),
        ({ENDPOINT: "http://collector:port"}, "not a URL"),
        ({"OTEL_SPAN_EVENT_COUNT_LIMIT": "many"}, 'OTEL_SPAN_EVENT_COUNT_LIMIT: "many"'),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "-1"}, 'OTEL_ATTRIBUTE_COUNT_LIMIT: "-1"'),
        ({"OTEL_PROPAGATORS": "tracecontext,jaegger"}, 'OTEL_PROPAGATORS: "jaegger" is unknown'),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "opentelemetry-exporter-otlp-proto-grpc"),
    ],
)
async def test_value_that_cannot_be_meant_stops_the_start(
    environ: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        build({ENDPOINT: COLLECTOR, **environ}, version="1", settings=OURS)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, 'OTEL_EXPORTER_OTLP_TIMEOUT: "soon"'),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "-1"}, 'OTEL_EXPORTER_OTLP_TIMEOUT: "-1"'),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "inf"}, 'OTEL_EXPORTER_OTLP_TIMEOUT: "inf"'),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "brotli"}, '"brotli" is unknown, none used'),
        ({"OTEL_TRACES_SAMPLER": "sometimes"}, '"sometimes" is unknown'),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "half"},
            'OTEL_TRACES_SAMPLER_ARG: "half"',
        ),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
            'OTEL_TRACES_SAMPLER_ARG: "2"',
        ),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, 'OTEL_BSP_MAX_QUEUE_SIZE: "0"'),
        ({"OTEL_BSP_SCHEDULE_DELAY": "1.5"}, 'OTEL_BSP_SCHEDULE_DELAY: "1.5"'),
        ({"OTEL_RESOURCE_ATTRIBUTES": "novalue"}, '"novalue" is not key=value'),
        ({"OTEL_CONFIG_FILE": "/otel.yaml"}, "OTEL_CONFIG_FILE is ignored"),
        (
            {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "yes please"},
            "this version never exports content",
        ),
        ({ENDPOINT: "http://collector:4317"}, "port 4317 is usually OTLP over gRPC"),
    ],
)
def test_lesser_mistake_is_warned_of_and_takes_the_default(
    environ: dict[str, str], message: str
) -> None:
    """T11 among them: a wish for content that is not granted."""
    made = planned(**environ)

    [warning] = made.warnings
    assert message in warning
    defaults = planned()
    assert defaults.timeout_s == made.timeout_s
    assert defaults.compression == made.compression
    assert defaults.sampler_ratio == made.sampler_ratio
    assert defaults.queue == made.queue
    assert defaults.resource == made.resource


@pytest.mark.parametrize("endpoint", ["http://collector:4318", "collector:4318"])
def test_port_of_http_with_grpc_is_warned_of(endpoint: str) -> None:
    made = planned(**{ENDPOINT: endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})

    assert ["port 4318 is usually OTLP over HTTP, but gRPC is chosen"] == list(made.warnings)
    assert endpoint == made.endpoint


@pytest.mark.parametrize("value", ["NO_CONTENT", "false", "no_content"])
def test_no_content_needs_no_warning(value: str) -> None:
    made = planned(OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=value)

    assert [] == list(made.warnings)


def test_queue_has_small_batches_by_default() -> None:
    assert QueueLimits(max_queue=2048, batch=64, delay_s=1.0) == planned().queue


def test_batch_never_exceeds_the_queue() -> None:
    made = planned(
        OTEL_BSP_MAX_QUEUE_SIZE="10",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="50",
        OTEL_BSP_SCHEDULE_DELAY="200",
    )

    assert QueueLimits(max_queue=10, batch=10, delay_s=0.2) == made.queue


def test_signals_own_variable_beats_the_general_one() -> None:
    made = planned(
        OTEL_EXPORTER_OTLP_HEADERS="a=1",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS="a=2",
        OTEL_EXPORTER_OTLP_TIMEOUT="5",
        OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="7",
        OTEL_EXPORTER_OTLP_CERTIFICATE="ca.pem",
        OTEL_EXPORTER_OTLP_CLIENT_KEY="k.pem",
        OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE="c.pem",
        OTEL_EXPORTER_OTLP_COMPRESSION="GZIP",
    )

    assert ("a=2", 7.0, "gzip") == (made.headers, made.timeout_s, made.compression)
    assert ("ca.pem", "k.pem", "c.pem") == (
        made.certificate,
        made.client_key,
        made.client_certificate,
    )


def test_shown_endpoint_has_no_secret() -> None:
    made = planned(**{ENDPOINT: "http://user:canary@collector:4318/x?api-key=canary"})

    assert "http://collector:4318/x" == made.shown_endpoint


@pytest.mark.parametrize(
    "header", ["Authorization", "cookie", "x-api-key", "x-session-token", "client-secret"]
)
def test_header_that_may_hold_a_secret_is_refused(header: str) -> None:
    with pytest.raises(SettingsError, match=header):
        plan({}, TelemetrySettings(header_attributes={header: "a"}))


def test_mapped_header_needs_an_attribute() -> None:
    with pytest.raises(SettingsError, match="x-tenant"):
        plan({}, TelemetrySettings(header_attributes={"x-tenant": ""}))


@pytest.mark.parametrize("flush_s", [-1.0, float("nan"), float("inf")])
def test_flush_time_is_a_number_of_seconds(flush_s: float) -> None:
    with pytest.raises(SettingsError, match="flushSeconds"):
        plan({}, TelemetrySettings(flush_s=flush_s))


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "20"},
        {"OTEL_ATTRIBUTE_COUNT_LIMIT": "30", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "40"},
        {"OTEL_ATTRIBUTE_COUNT_LIMIT": "30", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ""},
        {"OTEL_SPAN_EVENT_COUNT_LIMIT": "3", "OTEL_SPAN_LINK_COUNT_LIMIT": "4"},
        {"OTEL_RESOURCE_ATTRIBUTES": "a=1, b = x%20y ,service.name=mine"},
        {"OTEL_RESOURCE_ATTRIBUTES": "service.name=mine", "OTEL_SERVICE_NAME": "yours"},
    ],
)
def test_variables_mean_what_they_mean_to_the_sdk(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours is read from a mapping, the SDK's from the process's environment: they are equal.

    Samplers are compared by their decisions, see `test_telemetry_sampling`.
    """
    made = planned(**environ)
    ours = bounds(made.limits)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    theirs = TracerProvider(shutdown_on_exit=False)

    expected = vars(theirs._span_limits)
    assert {name: expected[name] for name in asdict(ours)} == asdict(ours)
    described = dict(resource(made, environ, "1.2.3"))
    assert described.pop("service.instance.id")
    assert "service.instance.id" in theirs.resource.attributes
    own = {"telemetry.sdk.name": "switchgear", "telemetry.sdk.version": "1.2.3"}
    assert {
        "service.name": "switchgear",
        "service.version": "1.2.3",
        **{
            name: value
            for name, value in theirs.resource.attributes.items()
            if name != "service.instance.id"
            and not (name == "service.name" and str(value).startswith("unknown_service"))
        },
        **own,
    } == described


_VARIABLES = st.sampled_from(
    [
        ENDPOINT,
        "OTEL_TRACES_EXPORTER",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_SPAN_EVENT_COUNT_LIMIT",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_PROPAGATORS",
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    environ=st.dictionaries(
        _VARIABLES, st.one_of(st.text(max_size=12), st.text("0123456789.-e,=%", max_size=12))
    ),
    ratio=st.booleans(),
)
def test_any_text_is_planned_or_refused(environ: dict[str, str], ratio: bool) -> None:
    """No value makes anything else than a plan or a SettingsError that names the variable."""
    base = {ENDPOINT: COLLECTOR}
    if ratio:
        base["OTEL_TRACES_SAMPLER"] = "traceidratio"
    try:
        made = plan(base | environ, OURS)
    except SettingsError as error:
        refusal = str(error)
        made = None
    else:
        refusal = ""

    assert not refusal or refusal.startswith("OTEL_")
    assert made is None or 0 < made.queue.batch <= made.queue.max_queue
