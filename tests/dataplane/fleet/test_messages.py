"""The records of the frames survive the way, and nothing else is taken for one."""

from __future__ import annotations

import random

import pytest

from controlplane.table.live import LiveTable
from dataplane.events import AttemptEnded
from dataplane.fleet.messages import Accept, Beat, Ending, Measured, Report, Setup, pack, unpack
from dataplane.flight import Decision
from dataplane.logs import LogFormat
from dataplane.metrics import ProviderMetrics
from dataplane.request_counts import Counts
from dataplane.telemetry_settings import Inbound, TelemetrySettings
from tests.controlplane.table.tables import provider, route, table, target

A = provider("a")


def report() -> Report:
    live = LiveTable(random=random.random)
    live.install(table([A], [route([target(A)])]), 1000.0)
    metrics = ProviderMetrics(lambda: 1000.0, lambda: 0.0)
    metrics.listen(
        AttemptEnded(
            at_s=1000.0,
            provider="a",
            model="m",
            decision=Decision.SERVED,
            duration_s=0.5,
            first_event_s=0.25,
        )
    )
    return Report(
        requests={"total": 1},
        providers=tuple(live.view(1000.0)),
        numbers=metrics.numbers(),
        spans={"ended": 2},
        cut_off=3,
    )


SETUP = Setup(
    worker=1,
    version="1.2.3",
    listeners=(3, 4),
    host="::1",
    port=4141,
    max_body_bytes=1,
    max_in_flight=2,
    max_connections=3,
    loopback=True,
    secrets_root="/secrets",
    log_format=LogFormat.JSON,
    log_level=20,
    telemetry=TelemetrySettings(inbound=Inbound.LINK, header_attributes={"x-tenant": "tenant"}),
)


@pytest.mark.parametrize(
    "record",
    [
        SETUP,
        Accept(listeners=(0, 2)),
        Ending(drain_s=25.0, lame_duck_s=5.0),
        Measured(counts=Counts(wasted={"a": 1.5}), active=1, calls={"a": 2}),
        Beat(in_flight=1, connections=2, used={"a": 3.5}, served=("a",)),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_survives_the_way(record: object) -> None:
    assert record == unpack(type(record), pack(record))


def test_a_report_survives_the_way() -> None:
    before = report()
    after = unpack(Report, pack(before))

    assert (before.requests, before.spans, before.cut_off) == (
        after.requests,
        after.spans,
        after.cut_off,
    )
    assert pack(before) == pack(after)
    metrics = ProviderMetrics(lambda: 1000.0, lambda: 0.0)
    metrics.add(after.numbers)
    assert 1 == metrics.view("a")["served"]


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"listeners":"x"}', b'{"more":1}'])
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(Accept, payload)
