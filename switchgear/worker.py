"""`python -m switchgear.worker`: what the supervisor of `switchgear run --workers` starts.

It is no command for people: its only argument is the descriptor of its channel. It imports nothing
of the control plane but the contract, and nothing of what reads manifests or the command line.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys


def main() -> int:
    """Be a worker until the supervisor says, or its end of the channel closes."""
    # Ctrl-C goes to all processes of a terminal, and so may a signal to restart: the supervisor decides.
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # Imports make no garbage, but a lot to look through. The worker turns it on again.
    gc.disable()
    import asyncio
    import time

    from dataplane.fleet.channel import Channel
    from dataplane.fleet.worker import work
    from switchgear.loops import loop_factory

    connected = socket.socket(fileno=int(sys.argv[1]))

    async def be_worker() -> int:
        channel = await Channel.over(connected)
        return await work(channel, environ=os.environ, clock=time.monotonic)  # noqa: TID251 - the command reads the environment

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(be_worker())


if __name__ == "__main__":
    sys.exit(main())
