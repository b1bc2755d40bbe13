from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controlplane.table.outcome import SkipReason
from dataplane import codec
from dataplane.flight import Decision, FlightRecord, RequestOutcome
from dataplane.log_handler import LineHandler
from dataplane.logs import (
    LogFormat,
    configure,
    unconfigure,
)
from dataplane.request_log import log_request
from dataplane.telemetry import RequestSpan
from tests.dataplane.telemetry_cases import ManualClock


def ended(trace_id: str = "", model: str = "gpt-4o", *, sampled: bool = True) -> RequestSpan:
    """A request that went to `a`, then `b`, and took 1.5 s."""
    time = ManualClock()
    span = RequestSpan(FlightRecord(time.clock))
    span.matched("chat", model, 7, stream=True)
    span.skipped("a", SkipReason.CIRCUIT_OPEN)
    leg = span.flight.attempt("b", "llama")
    time.advance(1.5)
    leg.end(Decision.SERVED)
    span.end(RequestOutcome.SERVED, 200)
    span.trace_id = trace_id
    span.span_id = "00f067aa0ba902b7" if trace_id else ""
    span.recording = sampled
    return span


def test_request_is_one_json_object_on_one_line(stream: io.StringIO) -> None:
    log_request(ended("4bf92f3577b34da6a3ce929d0e0e4736"), "req-1")

    [line] = stream.getvalue().splitlines()
    fields = codec.decode_object(line.encode())
    assert fields.pop("time").endswith("Z")
    assert {
        "level": "info",
        "logger": "switchgear.request",
        "message": "request",
        "outcome": "served",
        "status": 200,
        "route": "chat",
        "model": "gpt-4o",
        "provider": "b",
        "attempts": 1,
        "path": ["a:circuit_open", "b:served"],
        "duration_ms": 1500.0,
        "stream": True,
        "request_id": "req-1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "trace_flags": "01",
    } == fields


@contextmanager
def written(path: Path, **common: Any) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Log to a file, JSON, as the only one who listens, like in a process of its own."""
    root = logging.getLogger()
    others = tuple(root.handlers)
    for other in others:
        root.removeHandler(other)
    try:
        with path.open("w") as out:
            handler = configure(LogFormat.JSON, out, common=common)
            yield lambda: [codec.decode_object(line) for line in path.read_bytes().splitlines()]
            unconfigure(handler)
    finally:
        for other in others:
            root.addHandler(other)


class Filter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.fields = {**record.fields, "seen": True}
        return True


@pytest.mark.parametrize("model", ["gpt-4o", "caf\udce9", 'a"b\n'])
def test_line_is_the_same_whether_others_listen_or_not(tmp_path: Path, model: str) -> None:
    """Straight to the file if the log is ours alone, else through logging: but for the time."""
    span = ended("4bf92f3577b34da6a3ce929d0e0e4736", model)
    other = logging.NullHandler()
    with written(tmp_path / "log", worker=3) as lines:
        log_request(span, "req-1")
        logging.getLogger("switchgear").addHandler(other)
        log_request(span, "req-1")
        logging.getLogger("switchgear").removeHandler(other)
        direct, through = lines()

    assert "2026-09-21T14:13:21.500Z" == direct.pop("time")
    assert through.pop("time")
    assert through == direct


def test_filters_are_asked(tmp_path: Path) -> None:
    given = Filter()
    with written(tmp_path / "log") as lines:
        logging.getLogger("switchgear.request").addFilter(given)
        log_request(ended())
        logging.getLogger("switchgear.request").removeFilter(given)

        assert [True] == [line["seen"] for line in lines()]


def test_ids_are_there_without_sampling_and_absent_without_a_trace(stream: io.StringIO) -> None:
    log_request(ended("4bf92f3577b34da6a3ce929d0e0e4736", sampled=False))
    log_request(ended())

    unsampled, untraced = map(codec.decode_object, stream.getvalue().encode().splitlines())
    assert "00" == unsampled["trace_flags"]
    assert not {"trace_id", "span_id", "trace_flags", "request_id"} & set(untraced)


def test_failed_request_names_its_error(stream: io.StringIO) -> None:
    span = RequestSpan(FlightRecord(ManualClock().clock))
    span.end(RequestOutcome.FAILED, 503)
    log_request(span)

    fields = codec.decode_object(stream.getvalue().encode())
    assert ("failed", 503, "503") == (fields["outcome"], fields["status"], fields["error_type"])


def test_line_can_be_switched_off() -> None:
    out = io.StringIO()
    handler = configure(LogFormat.JSON, out, logging.WARNING)
    log_request(ended())
    unconfigure(handler)

    assert "" == out.getvalue()


def test_who_listens_is_asked_anew_for_each_batch_of_lines(tmp_path: Path) -> None:
    given = Filter()
    later: list[Callable[[], None]] = []
    with written(tmp_path / "log") as lines:
        handler = logging.getLogger().handlers[0]
        assert isinstance(handler, LineHandler)
        handler.batch(lambda _, call: later.append(call), lambda: 1.0)
        log_request(ended(), "req-1")
        log_request(ended(), "req-2")
        log_request(ended(), "req-3")
        later.pop()()
        logging.getLogger("switchgear.request").addFilter(given)
        log_request(ended(), "req-4")
        logging.getLogger("switchgear.request").removeFilter(given)

        assert [("req-1", False), ("req-2", False), ("req-3", False), ("req-4", True)] == [
            (line["request_id"], line.get("seen", False)) for line in lines()
        ]
