"""The end of serving: tell callers, stop accepting, let running requests finish."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from dataplane.plane import DataPlane
from dataplane.server import Listener


async def drain(plane: DataPlane, listener: Listener, *, lame_duck_s: float, drain_s: float) -> int:
    """Stop serving: connections end with their answers, and after `lame_duck_s` none is accepted.

    Running requests get `drain_s` seconds in all. Returns how many were left unfinished.
    """
    plane.data.draining = True
    listener.leave()
    with suppress(TimeoutError):
        async with asyncio.timeout(drain_s):
            await asyncio.sleep(lame_duck_s)
            listener.stop_accepting()
            await plane.recent.until_idle()
    return plane.recent.in_flight
