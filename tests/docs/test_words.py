"""The words of docs/operations.md are those of the code: all of them, and no others."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from controlplane.conditions import Condition, ConditionStatus, ConditionType
from controlplane.problems import Problem
from controlplane.sources.source import SourceState
from controlplane.status import ObjectStatus, ReconcileStatus, SourceStatus
from controlplane.table.outcome import Outcome, OutcomeKind, SkipReason
from controlplane.table.permit import Permit
from controlplane.table.view import StateName
from controlplane.verdict import ObjectKey
from dataplane import codec, headers, rows, telemetry, telemetry_names
from dataplane.flight import Decision, FlightRecord, RequestOutcome
from dataplane.logs import JsonFormatter
from dataplane.request_log import log_request
from dataplane.telemetry import SYSTEM_CLOCK, TelemetrySettings
from switchgear.control_status import control_status
from tests.dataplane.telemetry_cases import untraced
from tests.docs.pages import ROOT, first_words, part, read
from tests.e2e.rig import running
from tests.fakes import provider, table

PAGE = "docs/operations.md"
TICKED = re.compile(r"`([^`\n]+)`")


def section(heading: str) -> str:
    return part(read(PAGE), heading)


def ticked(text: str) -> set[str]:
    return set(TICKED.findall(text))


def first_column(text: str) -> set[str]:
    """Return all ticked words of the first cells."""
    rows = (line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    return {word for cell in rows for word in TICKED.findall(cell)}


def test_the_path_is_told_in_the_words_of_the_code() -> None:
    errors = {word for word in telemetry_names.ERROR_TYPES if not word.isdigit()}
    words = {*SkipReason, *Decision, *RequestOutcome, *errors}

    assert {str(word) for word in words} == set(first_words(section("The path of a request")))


def test_all_breaker_states_are_told() -> None:
    assert [str(state) for state in StateName] == list(first_words(section("Breaker states")))


def test_all_headers_are_told() -> None:
    ours = {
        value
        for value in vars(headers).values()
        if isinstance(value, str) and value.startswith("x-switchgear-")
    }
    span = untraced()

    told = first_column(section("Response headers"))

    assert ours == {name for name in told if name.startswith("x-switchgear-")}
    assert set(headers.identity("id", span)) <= told


def test_all_own_error_codes_are_told() -> None:
    sources = [*(ROOT / "dataplane").glob("*.py"), *(ROOT / "dataplane" / "wire").glob("re*.py")]
    sources.append(ROOT / "dataplane" / "wire" / "checks.py")
    codes = {
        code for file in sources for code in re.findall(r'\bcode="([a-z_]+)"', file.read_text())
    }

    assert codes
    assert codes <= ticked(section("Error codes that callers get"))


async def test_all_fields_of_the_status_are_told() -> None:
    async with running(table([provider("a", labels={"k": "v"})])) as rig:
        _break(rig.live)
        async with rig.http.get(f"{rig.admin_url}/status") as answer:
            document = await answer.json()
    chunks = rows.encode(control_status(_reconciled(), _objects()))
    document |= codec.decode_object(b"".join([chunk async for chunk in chunks]))
    document["telemetry"] |= await _telemetry_status()

    text = section("The status document")
    found = set(_keys(document))

    assert found <= _names_in(ticked(text))
    assert _names_in(first_column(text)) <= found | set(ConditionType)


def test_all_conditions_are_told() -> None:
    told = first_words(section("The status document"))

    assert [str(kind) for kind in ConditionType] == [w for w in told if w in set(ConditionType)]


def test_all_fields_of_a_log_line_are_told(caplog: pytest.LogCaptureFixture) -> None:
    flight = FlightRecord(SYSTEM_CLOCK)
    flight.matched("chat", "chat", 1, stream=True)
    flight.attempt("a", "m").end(Decision.EXHAUSTED, "503")
    flight.end(RequestOutcome.FAILED, 502)
    with caplog.at_level(logging.INFO, "switchgear.request"):
        log_request(_Traced(flight=flight), "req_1")
    (record,) = caplog.records

    told = ticked(section("The log"))

    assert set(codec.decode_object(JsonFormatter().format(record).encode())) <= told
    assert {"exception", "stack"} <= told


def test_all_attributes_of_ours_are_told_and_no_unknown_one() -> None:
    known = {value for value in vars(telemetry_names).values() if isinstance(value, str)}
    prefixes = ("gen_ai.", "switchgear.", "http.", "error.")

    told = {word for word in ticked(section("Traces")) if word.startswith(prefixes)}

    assert told <= known
    assert {value for value in known if value.startswith("switchgear.")} <= told


def test_all_variables_of_opentelemetry_are_told() -> None:
    source = (ROOT / "dataplane" / "telemetry_settings.py").read_text()
    whole = set(re.findall(r'"(OTEL_[A-Z_]+)"', source))
    ends = {f"_{end}" for end in re.findall(r'_otlp\(environ, "([A-Z_]+)"\)', source)}

    text = section("Traces")
    told = ticked(text)

    assert whole
    assert whole <= told
    assert ends <= told | {"_HEADERS" if "OTEL_EXPORTER_OTLP_HEADERS" in told else ""}


async def test_all_paths_of_the_admin_api_are_told() -> None:
    async with running(table([provider("a")])) as rig, rig.http.get(rig.admin_url) as answer:
        listed = (await answer.text()).split()

    told = first_column(section("First looks"))

    assert set(listed) == {word for word in told if word.startswith("/")}


@dataclass(frozen=True, kw_only=True)
class _Traced:
    flight: FlightRecord
    trace_id: str = "0" * 31 + "1"
    span_id: str = "0" * 15 + "1"
    recording: bool = True


def _break(live: Any) -> None:
    """Open a breaker, so that its history is not empty."""
    (target,) = live.table.routes["chat"].targets
    for _ in range(3):
        permit = live.admit(target, live.table, time.monotonic())
        assert isinstance(permit, Permit)
        live.record(permit, Outcome(kind=OutcomeKind.FAILURE), time.monotonic())


def _objects() -> Iterator[ObjectStatus]:
    condition = Condition(
        type=ConditionType.READY,
        status=ConditionStatus.TRUE,
        reason="Ready",
        message="",
        observed_generation=1,
    )
    key = ObjectKey(kind="LLMProvider", name="a")
    yield ObjectStatus(key=key, origin="a.yaml", line=1, generation=1, conditions=[condition])


def _reconciled() -> ReconcileStatus:
    values: dict[str, Any] = {
        "generation": 1,
        "version": "v",
        "source": SourceStatus(kind="files", path="/m", state=SourceState.SYNCED, detail=""),
        "started_from_disk": False,
        "braked": "",
        "store_detail": "",
        "rounds": 1,
        "problems": [Problem(origin="a.yaml", message="m")],
        "last_success_age_s": 1.0,
    }
    known = ReconcileStatus.__dataclass_fields__
    return ReconcileStatus(**{name: value for name, value in values.items() if name in known})


async def _telemetry_status() -> Mapping[str, Any]:
    built = telemetry.build(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        version="0",
        settings=TelemetrySettings(),
    )
    try:
        return built.status()
    finally:
        await built.shutdown(0.0)


def _names_in(words: set[str]) -> set[str]:
    """Take paths like `providers[].targets[].model` apart."""
    return {name.removesuffix("[]") for word in words for name in word.split(".")}


def _keys(value: Any) -> Iterator[str]:
    """Give the names of all fields; those of maps that people fill are left out."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if name not in {"labels", "errors"}:
                yield from _keys(inner)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)
