"""Instructions are counted from one look to the next."""

from __future__ import annotations

import os
from pathlib import Path

import canned
import pytest
from instructions import counted, wrapper
from native import BenchError, Generator, build
from processes import Process, free_port
from wire import chat_request

BUILT = build(Path(__file__).resolve().parents[2] / "bench" / "out")


@pytest.mark.skipif(BUILT is None, reason="no C compiler")
@pytest.mark.skipif(not wrapper(Path()), reason="no valgrind")
def test_twice_as_many_requests_take_about_twice_as_many_instructions(tmp_path: Path) -> None:
    assert BUILT is not None
    canned.write_all(tmp_path)
    port = free_port()
    command = [str(BUILT.upstream), "--port", str(port), "--canned", str(tmp_path)]
    generator = Generator(program=BUILT.load, folder=tmp_path, limit_s=30.0)

    def send(count: int) -> None:
        load = generator.run(port, chat_request(2048), count=count, connections=1)
        assert count == load.answered

    with Process(
        [*wrapper(tmp_path), *command], log=tmp_path / "log", environ=os.environ
    ) as process:
        while process.is_alive():
            try:
                send(1)
                break
            except BenchError:
                continue
        assert process.is_alive(), process.last_words()
        counted(process.pid, tmp_path)
        send(100)
        once = counted(process.pid, tmp_path)
        send(200)
        twice = counted(process.pid, tmp_path)

    assert 1.9 < twice / once < 2.1
