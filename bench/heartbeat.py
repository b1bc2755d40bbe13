"""Switchgear, with a witness on its event loop: every beat that came late is written down.

    python bench/heartbeat.py BEATS run --manifests DIR ...

A beat is due each millisecond. One that is more than two late leaves a line in the file BEATS: when
it came (of `time.monotonic`, which all processes share), how late it was, and how much of that this
process was on a CPU, all in seconds. On a machine that others use as well, a beat is late because of
them, too; what the process did meanwhile is its own. The arguments behind the file are those of
`switchgear`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TextIO

import switchgear.run
from switchgear.cli import main
from switchgear.settings import Settings

_PACE_S = 0.001
_LATE_S = 0.002


async def _beat(beats: TextIO) -> None:
    before_s, cpu_before_s = time.monotonic(), time.process_time()
    while True:
        await asyncio.sleep(_PACE_S)
        now_s, cpu_s = time.monotonic(), time.process_time()
        late_s = now_s - before_s - _PACE_S
        own_s = min(late_s, cpu_s - cpu_before_s)
        before_s, cpu_before_s = now_s, cpu_s
        if late_s > _LATE_S:
            beats.write(f"{now_s:.6f} {late_s:.6f} {own_s:.6f}\n")
            beats.flush()


def _watched(beats: TextIO) -> None:
    """Let the command begin to beat as soon as its ports are open."""
    run = switchgear.run.run
    tasks = []

    def run_watched(settings: Settings) -> int:
        def begin(_ports: object) -> None:
            tasks.append(asyncio.get_running_loop().create_task(_beat(beats)))

        return run(settings, on_ready=begin)

    switchgear.run.run = run_watched  # type: ignore[assignment]  # the command's only door


if __name__ == "__main__":
    with Path(sys.argv.pop(1)).open("w") as file:
        _watched(file)
        main(prog_name="switchgear")
