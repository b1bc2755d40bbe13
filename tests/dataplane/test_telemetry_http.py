from __future__ import annotations

import asyncio
import gzip
import ssl
import subprocess
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.util.re import parse_env_headers

from dataplane.telemetry_http import HttpExporter, World, parse_headers, retry_after_s
from dataplane.telemetry_limits import SpanBounds
from dataplane.telemetry_log import ExportLog
from dataplane.telemetry_protobuf import ProtobufEncoder
from dataplane.telemetry_records import Kind, SpanContext, SpanRecord
from dataplane.telemetry_settings import ExporterKind, ExportPlan
from tests.dataplane.telemetry_cases import Heard, listening
from tests.sink import Answer, Sink, running

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
NO_PAUSE = {"retry-after": "0"}


class Time:
    """Monotonic seconds that move by a step at each reading."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.step_s = step_s

    def read(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running() as started:
        yield started


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as listener:
        yield listener


def batch(count: int = 1) -> list[SpanRecord]:
    context = SpanContext("1" * 32, "2" * 16, 1, "", remote=False)
    return [
        SpanRecord(f"s{number}", Kind.CLIENT, context, parent=None, attributes={}, start_ns=1)
        for number in range(count)
    ]


@asynccontextmanager
async def exporting(
    url: str, time: Time | None = None, **changes: object
) -> AsyncIterator[Callable[[], asyncio.Future[bool]]]:
    """An exporter to a URL; what is given exports one span on another thread."""
    plan = ExportPlan(exporter=ExporterKind.OTLP, endpoint=f"{url}/v1/traces")
    exporter = HttpExporter(
        replace(plan, **changes),
        ProtobufEncoder({"service.name": "a"}, "switchgear", "1"),
        SpanBounds(),
        ExportLog(lambda: 0.0),
        user_agent="switchgear/1",
        world=World(now_s=(time or Time()).read, now=lambda: NOW, random=lambda: 0.5),
    )

    async def export() -> bool:
        return await asyncio.to_thread(exporter.export, batch())

    try:
        yield lambda: asyncio.ensure_future(export())
    finally:
        exporter.shutdown()


async def test_spans_arrive_with_the_headers_that_were_asked_for(sink: Sink) -> None:
    async with exporting(sink.url, headers="X-Scope=team%20a,content-type=application/x") as export:
        assert await export()
        assert await export()

    first, second = sink.received
    assert ["s0"] == [span.name for span in sink.spans[:1]]
    assert ("POST", "/v1/traces") == ("POST", first.path)
    assert ("team a", "application/x") == (first.headers["x-scope"], first.headers["content-type"])
    assert "switchgear/1" == first.headers["user-agent"]
    assert first.raw == second.raw


@pytest.mark.parametrize(
    ("compression", "inflate"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)]
)
async def test_bodies_are_compressed_as_asked(
    sink: Sink, compression: str, inflate: Callable[[bytes], bytes]
) -> None:
    async with exporting(sink.url, compression=compression) as export:
        assert await export()

    [received] = sink.received
    assert compression == received.headers["content-encoding"]
    assert received.message.SerializeToString() == inflate(received.raw)


async def test_user_of_the_endpoint_becomes_a_header_and_leaves_the_url(sink: Sink) -> None:
    async with exporting(sink.url.replace("http://", "http://us%3Aer:p%40ss@")) as export:
        assert await export()

    assert "Basic dXM6ZXI6cEBzcw==" == sink.received[0].headers["authorization"]


async def test_query_of_the_endpoint_is_kept(sink: Sink) -> None:
    async with exporting(sink.url, endpoint=f"{sink.url}/in?tenant=a") as export:
        assert await export()

    assert "/in" == sink.received[0].path


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_busy_collector_is_asked_again(sink: Sink, heard: Heard, status: int) -> None:
    sink.script = deque([Answer(status=status, headers=NO_PAUSE)] * 2)
    async with exporting(sink.url) as export:
        assert await export()

    assert (3, 1) == (sink.seen, len(sink.spans))
    assert f"the collector answered {status}" in heard.text


@pytest.mark.parametrize("status", [307, 400, 401, 404, 500])
async def test_refusal_is_final(sink: Sink, heard: Heard, status: int) -> None:
    """A redirect, too: nothing was taken, and the spans are not counted as sent."""
    sink.forever = Answer(status=status)
    async with exporting(sink.url) as export:
        assert not await export()

    assert 1 == sink.seen
    assert f"telemetry: the collector answered {status}" in heard.text


async def test_collector_that_stays_busy_is_given_up(sink: Sink) -> None:
    sink.forever = Answer(status=503, headers=NO_PAUSE)
    async with exporting(sink.url) as export:
        assert not await export()

    assert 6 == sink.seen


async def test_wish_beyond_the_timeout_is_not_waited_for(sink: Sink) -> None:
    sink.forever = Answer(status=503, headers={"retry-after": "11"})
    async with exporting(sink.url, timeout_s=10.0) as export:
        assert not await export()

    assert 1 == sink.seen


async def test_timeout_counts_for_all_tries_together(sink: Sink) -> None:
    """Each reading of the clock takes a second, so that time is up after a few tries."""
    sink.forever = Answer(status=503, headers=NO_PAUSE)
    async with exporting(sink.url, Time(step_s=1.0), timeout_s=5.0) as export:
        assert not await export()

    assert 1 < sink.seen < 6


async def test_connection_that_was_kept_and_is_dead_is_replaced_at_once(sink: Sink) -> None:
    async with exporting(sink.url) as export:
        assert await export()
        sink.script.append(Answer(close=True))

        assert await export()

    assert 3 == sink.seen
    assert 2 == len(sink.spans)


async def test_nobody_there_is_told_by_its_type_only(heard: Heard) -> None:
    async with exporting("http://canary:canary@127.0.0.1:1", timeout_s=0.5) as export:
        assert not await export()

    assert "no answer from the collector: ConnectionRefusedError" in heard.text
    assert "canary" not in heard.text


async def test_silent_collector_costs_the_timeout(sink: Sink, heard: Heard) -> None:
    sink.forever = Answer(hang=True)
    async with exporting(sink.url, timeout_s=0.05) as export:
        assert not await export()
        sink.released.set()

    assert "TimeoutError" in heard.text


async def test_shutdown_ends_a_wait_for_an_answer(sink: Sink) -> None:
    sink.forever = Answer(hang=True)
    async with exporting(sink.url, timeout_s=3600.0) as export:
        under_way = export()
        await sink.wait(lambda: sink.seen == 1)
    async with asyncio.timeout(20.0):
        assert not await under_way


async def test_shutdown_ends_a_pause(sink: Sink, heard: Heard) -> None:
    sink.forever = Answer(status=503, headers={"retry-after": "1800"})
    async with exporting(sink.url, timeout_s=3600.0) as export:
        under_way = export()
        await heard.wait_for("dataplane.telemetry_export")
    async with asyncio.timeout(20.0):
        assert not await under_way

    assert 1 == sink.seen


async def test_long_answer_is_not_read_to_its_end(sink: Sink) -> None:
    sink.script.append(Answer(body=b"x" * 1_000_000))
    async with exporting(sink.url) as export:
        assert await export()
        assert await export()

    assert 2 == len(sink.spans)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The files of a certificate for 127.0.0.1 that signs itself, and of its key."""

    certificate: Path
    key: Path


def identity(folder: Path, name: str) -> Identity:
    made = Identity(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    command = ["openssl", "req", "-x509", *kind, *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    return made


@asynccontextmanager
async def secured(own: Identity, client: Identity | None = None) -> AsyncIterator[Sink]:
    """A sink with TLS; `client` is the only certificate that it takes from callers."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)
    if client is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client.certificate)
    async with running(tls=context) as started:
        yield started


async def test_certificates_are_checked_both_ways(tmp_path: Path, heard: Heard) -> None:
    server, client = identity(tmp_path, "server"), identity(tmp_path, "client")
    async with secured(server, client) as sink:
        known = {"certificate": str(server.certificate), "timeout_s": 0.5}
        mine = {"client_certificate": str(client.certificate), "client_key": str(client.key)}
        async with exporting(sink.url, **known, **mine) as export:
            assert await export()
        async with exporting(sink.url, **known) as export:
            assert not await export()
        async with exporting(sink.url, **mine, timeout_s=0.5) as export:
            assert not await export()

    assert 1 == len(sink.spans)
    assert "SSLCertVerificationError" in heard.text


async def test_certificate_that_was_rotated_is_read_again(tmp_path: Path) -> None:
    server, earlier = identity(tmp_path, "server"), identity(tmp_path, "earlier")
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(earlier.certificate.read_bytes())
    async with (
        secured(server) as sink,
        exporting(sink.url, certificate=str(authorities), timeout_s=0.5) as export,
    ):
        assert not await export()
        authorities.unlink()
        assert not await export()
        authorities.write_bytes(server.certificate.read_bytes())
        assert await export()


def test_header_that_http_cannot_carry_stops_the_start() -> None:
    for text in ("x-a=%E2%82%AC", "x-a=b%0D%0Ax-b=c", "x%20a=b"):
        with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_HEADERS") as caught:
            HttpExporter(
                ExportPlan(exporter=ExporterKind.OTLP, endpoint="http://c", headers=text),
                ProtobufEncoder({}, "a", "b"),
                SpanBounds(),
                ExportLog(lambda: 0.0),
                user_agent="a",
                world=World(now_s=lambda: 0.0, now=lambda: NOW, random=lambda: 0.0),
            )
        assert text not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.from_regex(r"[ \t]?[A-Za-z\-%2]{1,5}[ ]?=[ ]?[a-z%20=:+]{0,8}[ ]?", fullmatch=True),
            st.text('ab=%2,; é\t"', max_size=10),
        ),
        max_size=4,
    ).map(",".join)
)
def test_headers_are_read_as_opentelemetry_reads_them(text: str) -> None:
    assert parse_env_headers(text, liberal=True) == parse_headers(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 0.5 ", 0.5),
        ("-3", 0.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("Wed, 25 Nov 2026 12:01:30 GMT", 90.0),
        ("Wed, 25 Nov 2026 12:01:30", 90.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("Wed, 99 Nov 2026 11:00:00 GMT", None),
    ],
)
def test_wish_is_read_in_seconds_or_as_a_date(value: str | None, expected: float | None) -> None:
    assert expected == retry_after_s(value, NOW)
