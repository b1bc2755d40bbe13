"""Embeds more inputs than an upstream takes at once: several calls, one answer.

The calls are one attempt: it begins once, and if one of them fails, the others are given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from dataplane.provider import Call, Completed, Request
from dataplane.record import replace
from dataplane.wire.embeddings import merge_answers

AT_ONCE = 4
"""Calls of one request that are under way at the same time."""


async def embed(
    parts: Sequence[Request],
    call: Call,
    send: Callable[[Request, Call], Awaitable[Completed]],
) -> Completed:
    """Send the parts and join their answers in the order of the inputs.

    errors: the first failure of any part; no answer is given then.
    """
    how = replace(call, begin=_once(call.begin))
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(part: Request) -> Completed:
        await gate.acquire()
        completed = await send(part, how)
        # After a failure the gate stays shut: nothing more is begun.
        gate.release()
        return completed

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(part)) for part in parts]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    completed = [task.result() for task in tasks]
    return Completed(
        answer=merge_answers([each.answer for each in completed]),
        warnings=tuple(dict.fromkeys(text for each in completed for text in each.warnings)),
        request_id=completed[0].request_id,
    )


def _once(begin: Callable[[], Mapping[str, str]]) -> Callable[[], Mapping[str, str]]:
    """Make a function that begins the attempt at its first call, and tells the others the same."""
    begun: list[Mapping[str, str]] = []

    def first() -> Mapping[str, str]:
        if not begun:
            begun.append(begin())
        return begun[0]

    return first
