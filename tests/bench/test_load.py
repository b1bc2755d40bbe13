"""What a server's first answer was, and what is told when there was none."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from load import NoAnswerError, first_answer, first_good_answer

from switchgear.demo.ports import HeldPort
from tests.bench.servers import Answers

REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
BAD = b"HTTP/1.1 503 Not Yet\r\ncontent-length: 0\r\n\r\n"


def alive() -> bool:
    return True


def test_the_time_of_a_good_answer_is_given() -> None:
    before_s = time.perf_counter()
    with Answers(GOOD) as server:
        at_s = first_answer(server.port, REQUEST, timeout_s=5, alive=alive)

    assert before_s < at_s <= time.perf_counter()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (BAD, r"no answer but b'HTTP/1\.1 503 Not Yet"),
        (GOOD[:-1], r"no answer, only b'HTTP/1\.1 200 OK.*\{'"),
        (b"", r"no answer, only b''"),
        (REQUEST, r"no answer but b'POST / "),
    ],
    ids=["another status", "cut off", "closed", "an echo"],
)
def test_what_came_instead_is_told(answer: bytes, said: str) -> None:
    with Answers(answer) as server, pytest.raises(NoAnswerError, match=said):
        first_answer(server.port, REQUEST, timeout_s=5, alive=alive)


def test_a_port_where_nobody_listens_is_told() -> None:
    with HeldPort() as port, pytest.raises(NoAnswerError, match=r"nobody listened for 0\.01 s"):
        first_answer(port.number, REQUEST, timeout_s=0.01, alive=alive)


def ends_after(looks: int) -> Sequence[bool]:
    return [True] * looks + [False]


def test_a_process_that_ends_is_not_waited_for() -> None:
    looks = iter(ends_after(3))
    with HeldPort() as port, pytest.raises(NoAnswerError, match="it has ended"):
        first_answer(port.number, REQUEST, timeout_s=60, alive=lambda: next(looks))


def test_one_that_is_not_ready_yet_is_asked_again() -> None:
    with Answers(BAD, GOOD[:5], GOOD) as server:
        first_good_answer(server.port, REQUEST, timeout_s=5, alive=alive)


def test_asking_again_has_an_end() -> None:
    with Answers(BAD) as server, pytest.raises(NoAnswerError, match="503"):
        first_good_answer(server.port, REQUEST, timeout_s=0.1, alive=alive)


def test_one_that_has_ended_is_not_asked_again() -> None:
    looks = iter(ends_after(1))
    with Answers(BAD) as server, pytest.raises(NoAnswerError, match="503"):
        first_good_answer(server.port, REQUEST, timeout_s=60, alive=lambda: next(looks))
