import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.wire.ndjson import MAX_LINE_BYTES, LineSplitter

STREAM = '{"a":"naïve 🙂"}\n\r\n  \n{"b":"\u2028\u0085"}\r\n{"c":1}'.encode()
LINES = ['{"a":"naïve 🙂"}'.encode(), '{"b":"\u2028\u0085"}'.encode(), b'{"c":1}']


def split(stream: bytes, *cuts: int, max_line_bytes: int = MAX_LINE_BYTES) -> list[bytes]:
    splitter = LineSplitter(max_line_bytes)
    lines: list[bytes] = []
    start = 0
    for cut in [*sorted(cuts), len(stream)]:
        lines.extend(splitter.feed(stream[start:cut]))
        start = cut
    last = splitter.finish()
    return [*lines, last] if last else lines


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_lines_are_the_same_at_every_cut(cut: int) -> None:
    assert LINES == split(STREAM, cut)


@settings(max_examples=150)
@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_lines_are_the_same_at_any_cuts(cuts: list[int]) -> None:
    assert LINES == split(STREAM, *cuts)


@settings(max_examples=150)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=10))
def test_any_bytes_give_the_lines_between_their_newlines(data: bytes, cuts: list[int]) -> None:
    wanted = [line.removesuffix(b"\r") for line in data.split(b"\n")]

    assert [line for line in wanted if line.strip()] == split(data, *cuts)


def test_a_last_line_of_spaces_is_no_line() -> None:
    assert [b"1"] == split(b"1\n  \r")


@pytest.mark.parametrize("cut", range(13))
def test_a_line_beyond_the_limit_ends_the_stream_after_the_lines_before_it(cut: int) -> None:
    stream = b"12\n12345\n123456"
    splitter = LineSplitter(5)
    lines: list[bytes] = []

    def read() -> None:
        for data in (stream[:cut], stream[cut:]):
            for line in splitter.feed(data):
                lines.append(line)  # noqa: PERF402 - what came before the failure is kept

    with pytest.raises(UpstreamFailed, match="longer than 5 bytes") as failed:
        read()

    assert ErrorClass.BAD_RESPONSE is failed.value.error
    assert [b"12", b"12345"] == lines


def test_the_limit_is_sixteen_mebibytes() -> None:
    splitter = LineSplitter()

    assert [] == list(splitter.feed(b"x" * 16 * 1024 * 1024))
    with pytest.raises(UpstreamFailed):
        list(splitter.feed(b"x"))
