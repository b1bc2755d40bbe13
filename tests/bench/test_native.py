"""The load generator counts what it should, and the upstream says what it was asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import canned
import pytest
from native import BenchError, Generator, Programs, build
from processes import Process, free_port
from wire import chat_request

from tests.bench.servers import Answers

BUILT = build(Path(__file__).resolve().parents[2] / "bench" / "out")
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
pytestmark = pytest.mark.skipif(BUILT is None, reason="no C compiler")


@pytest.fixture(name="programs")
def programs_fixture() -> Programs:
    assert BUILT is not None
    return BUILT


@pytest.fixture(name="generator")
def generator_fixture(programs: Programs, tmp_path: Path) -> Generator:
    return Generator(program=programs.load, folder=tmp_path, limit_s=20.0)


@pytest.fixture(name="port")
def upstream_fixture(programs: Programs, generator: Generator, tmp_path: Path) -> Iterator[int]:
    canned.write_all(tmp_path)
    port = free_port()
    command = [str(programs.upstream), "--port", str(port), "--canned", str(tmp_path)]
    with Process(command, log=tmp_path / "log", environ=os.environ) as process:
        while process.is_alive():
            try:
                generator.run(port, chat_request(200), count=1, connections=1)
                break
            except BenchError:
                continue
        assert process.is_alive(), process.last_words()
        yield port


def test_a_closed_loop_sends_as_many_as_were_asked_for(generator: Generator, port: int) -> None:
    load = generator.run(port, chat_request(2048), count=103, connections=7)

    assert (103, 0, 200, 0) == (load.answered, load.failed, load.status, load.events)
    assert 103 * len(canned.FORMATS["openai"].answer) == load.bytes
    assert 0 < load.p50_ms <= load.p90_ms <= load.p99_ms <= load.max_ms


def test_more_connections_than_requests_are_no_trouble(generator: Generator, port: int) -> None:
    assert 3 == generator.run(port, chat_request(200), count=3, connections=50).answered


def test_an_open_loop_takes_as_long_as_its_rate_says(generator: Generator, port: int) -> None:
    load = generator.run(port, chat_request(2048), count=40, connections=8, rate=400.0)

    assert (40, 0) == (load.answered, load.failed)
    assert load.took_s >= 39 / 400


@pytest.mark.parametrize("pace", ["burst", "spaced"])
def test_events_of_streams_are_counted(generator: Generator, port: int, pace: str) -> None:
    request = chat_request(2048, model=f"{pace}-20", stream=True)

    load = generator.run(port, request, count=6, connections=3)

    assert (6, 0) == (load.answered, load.failed)
    assert 6 * (20 + canned.events_around("openai")) == load.events
    assert 0 < load.first_p50_ms <= load.p50_ms


def test_a_spaced_stream_takes_its_time(generator: Generator, port: int) -> None:
    request = chat_request(2048, model="spaced-20", stream=True)

    assert generator.run(port, request, count=1, connections=1).p50_ms >= 20 * 5


def test_a_body_of_ten_megabytes_arrives(generator: Generator, port: int) -> None:
    assert 2 == generator.run(port, chat_request(10_000_000), count=2, connections=2).answered


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 503 Sorry\r\ncontent-length: 2\r\n\r\nno", 503),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\ncut off", 200),
        (STREAM + b"8\r\ndata: {}\r\n0\r\n\r\n", 200),
        (b"", 0),
    ],
    ids=["an error", "a body cut off", "a stream without its end", "no answer"],
)
def test_what_is_not_answered_well_has_failed(
    generator: Generator, answer: bytes, status: int
) -> None:
    with Answers(answer) as server:
        load = generator.run(server.port, chat_request(200), count=4, connections=2)

    assert (0, 4, status) == (load.answered, load.failed, load.status)


def test_events_that_are_cut_anywhere_count_once(generator: Generator) -> None:
    body = b'data: {"a":1}\n\ndata: {"data: ":2}\n\n: data: 3\n\ndata: [DONE]\n\n'
    chunks = b"".join(b"1\r\n" + body[at : at + 1] + b"\r\n" for at in range(len(body)))
    with Answers(STREAM + chunks + b"0\r\n\r\n") as server:
        load = generator.run(server.port, chat_request(200), count=2, connections=1)

    assert (2, 6, 2 * len(body)) == (load.answered, load.events, load.bytes)


def test_nobody_listening_is_an_error(generator: Generator) -> None:
    with pytest.raises(BenchError, match="Connection refused"):
        generator.run(free_port(), chat_request(200), count=1, connections=1)
