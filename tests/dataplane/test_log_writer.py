from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dataplane import log_writer
from dataplane.log_handler import LineHandler
from dataplane.log_writer import BATCH_S


class Pipe:
    """A pipe of four pages, whose reader reads when it is told to."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4 * 4096)
        os.set_blocking(self.reader, False)

    def read(self) -> bytes:
        with suppress(BlockingIOError):
            return os.read(self.reader, 1 << 20)
        return b""

    def lines(self, handler: LineHandler) -> list[str]:
        """All that comes out, until neither side has anything left."""
        read = b""
        while data := self.read():
            read += data
            handler.flush()
        return read.decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    for descriptor in (made.reader, made.writer):
        with suppress(OSError):
            os.close(descriptor)


@pytest.fixture
def handler(pipe: Pipe) -> LineHandler:
    return LineHandler(pipe.writer, lambda lost: f"{lost} lost")


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("a", logging.INFO, "", 0, text, (), None)


def test_record_is_a_line(pipe: Pipe, handler: LineHandler) -> None:
    handler.emit(record("one"))
    handler.emit(record("caf\udce9"))
    handler.write(lambda: b"three\n")

    assert ["one", "caf?", "three"] == pipe.lines(handler)


def test_full_pipe_costs_lines_and_never_time(pipe: Pipe, handler: LineHandler) -> None:
    """Nobody reads: what does not fit is dropped and counted, and told when there is room."""
    sent = [f"{number:04} {'x' * 94}" for number in range(400)]
    for line in sent:
        handler.emit(record(line))
    lost = handler.lost

    first = pipe.lines(handler)
    handler.emit(record("there is room again"))
    handler.emit(record("and still"))

    assert 0 < lost < 400
    assert sent[: 400 - lost] == first
    assert [f"{lost} lost", "there is room again", "and still"] == pipe.lines(handler)
    assert 0 == handler.lost


def test_line_longer_than_the_room_is_finished_before_another_begins(
    pipe: Pipe, handler: LineHandler
) -> None:
    long = "y" * 40_000
    handler.emit(record(long))
    handler.emit(record("dropped"))

    assert [long] == pipe.lines(handler)
    handler.emit(record("next"))
    assert ["1 lost", "next"] == pipe.lines(handler)


def test_half_a_line_goes_on_with_the_next_record(pipe: Pipe, handler: LineHandler) -> None:
    long = "y" * 18_000
    handler.emit(record(long))
    head = pipe.read()
    handler.emit(record("next"))

    assert [long, "next"] == (head + "\n".join(pipe.lines(handler)).encode()).decode().splitlines()


def test_reader_that_has_gone_costs_nothing(pipe: Pipe, handler: LineHandler) -> None:
    os.close(pipe.reader)

    handler.emit(record("one"))
    handler.emit(record("two"))

    assert 2 == handler.lost


def test_descriptor_that_someone_made_non_blocking_is_the_same(
    pipe: Pipe, handler: LineHandler
) -> None:
    os.set_blocking(pipe.writer, False)
    for _ in range(400):
        handler.emit(record("x" * 99))

    assert 0 < handler.lost < 400
    assert 400 - handler.lost == len(pipe.lines(handler))


def test_plain_file_takes_everything(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        handler = LineHandler(file.fileno(), str)
        for number in range(100):
            handler.emit(record(f"{number} {'x' * 1000}"))

    assert 100 == len((tmp_path / "log").read_text().splitlines())
    assert 0 == handler.lost


def test_record_that_cannot_be_formatted_is_reported_as_logging_does(
    handler: LineHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = record("%d")
    broken.args = ("no number",)

    handler.emit(broken)

    assert "--- Logging error ---" in capsys.readouterr().err


def test_pieces_are_what_a_pipe_takes_at_once() -> None:
    assert os.pathconf("/", "PC_PIPE_BUF") >= log_writer._PIECE_BYTES


class Later:
    """What would be called, and when; time passes by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, delay_s: float, call: Callable[[], None]) -> None:
        self.calls.append((self.now_s + delay_s, call))

    def pass_by(self, seconds: float) -> None:
        self.now_s += seconds
        due = [call for at_s, call in self.calls if at_s <= self.now_s]
        self.calls = [(at_s, call) for at_s, call in self.calls if at_s > self.now_s]
        for call in due:
            call()


@pytest.fixture
def later(handler: LineHandler) -> Later:
    made = Later()
    handler.batch(made, lambda: made.now_s)
    return made


def test_line_after_a_quiet_time_goes_out_at_once(
    pipe: Pipe, handler: LineHandler, later: Later
) -> None:
    handler.write(lambda: b"one\n")
    assert b"one\n" == pipe.read()
    assert [] == later.calls


def test_lines_in_a_row_go_out_together(pipe: Pipe, handler: LineHandler, later: Later) -> None:
    handler.write(lambda: b"one\n")
    pipe.read()
    handler.write(lambda: b"two\n")
    later.pass_by(BATCH_S / 2)
    handler.write(lambda: b"three\n")
    assert b"" == pipe.read()
    later.pass_by(BATCH_S)
    assert b"two\nthree\n" == pipe.read()
    assert [] == later.calls


def test_record_never_overtakes_lines_that_wait(
    pipe: Pipe, handler: LineHandler, later: Later
) -> None:
    handler.write(lambda: b"one\n")
    handler.write(lambda: b"two\n")
    handler.emit(record("three"))
    assert b"one\ntwo\nthree\n" == pipe.read()
    later.pass_by(BATCH_S)
    assert b"" == pipe.read()


def test_lines_that_wait_are_bounded_and_counted_when_lost(
    pipe: Pipe, handler: LineHandler, later: Later
) -> None:
    line = b"x" * 99 + b"\n"
    for _ in range(2000):
        handler.write(lambda: line)
    later.pass_by(BATCH_S)
    got = pipe.lines(handler)
    lost = handler.lost
    assert lost + len(got) == 2000
    assert lost > 0
    assert {line.decode().strip()} == set(got)
    later.pass_by(BATCH_S)
    handler.write(lambda: b"after\n")
    assert [f"{lost} lost", "after"] == pipe.lines(handler)


def test_flush_brings_out_what_waits(pipe: Pipe, handler: LineHandler, later: Later) -> None:
    handler.write(lambda: b"one\n")
    handler.write(lambda: b"two\n")
    handler.flush()
    assert b"one\ntwo\n" == pipe.read()
    assert 1 == len(later.calls)


def test_no_line_is_torn_by_those_of_another_process(
    pipe: Pipe, handler: LineHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write of a batch ends with a line, so whatever comes between comes between lines."""
    other = os.dup(pipe.writer)
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        written = real(descriptor, data)
        real(other, b"another\n")
        return written

    handler.batch(lambda _seconds, _call: None, lambda: 0.0)
    lines = [f"{number:03d} {'x' * 96}" for number in range(100)]
    for line in lines:
        handler.write(f"{line}\n".encode)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        handler.flush()
    os.close(other)
    seen = pipe.lines(handler)

    assert lines == [line for line in seen if line != "another"]
    assert "another" in seen


def test_a_line_that_is_longer_than_a_piece_still_goes_out(
    pipe: Pipe, handler: LineHandler
) -> None:
    long = "x" * 10_000
    handler.write(f"{long}\nshort\n".encode)

    assert [long, "short"] == pipe.lines(handler)


def test_line_that_cannot_be_made_takes_no_other_with_it(
    pipe: Pipe, handler: LineHandler, later: Later
) -> None:
    def broken() -> bytes:
        raise ValueError

    for make in (b"one\n".strip, broken, b"two\n".strip):
        handler.write(make)
    later.pass_by(BATCH_S)

    assert b"one" + b"1 lost\ntwo" == pipe.read()
