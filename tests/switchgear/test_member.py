"""A worker as the supervisor sees it, over a real channel; the process behind it is made up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from dataplane import codec
from dataplane.fleet.channel import Channel, Kind
from dataplane.fleet.messages import Measured, pack
from dataplane.request_counts import Counts
from switchgear.member import Member, Owner

LAST = pack(Measured(counts=Counts(), active=3))


class FakeProcess:
    """Has ended as soon as somebody waits for it."""

    pid = 7
    returncode = 0

    async def wait(self) -> int:
        return 0

    def kill(self) -> None:
        raise ProcessLookupError


class FakeOwner:
    def __init__(self) -> None:
        self.told: list[int] = []

    def measured(self, _: Member, news: Measured) -> None:
        self.told.append(news.active)


@asynccontextmanager
async def attended() -> AsyncIterator[tuple[Member, Channel, FakeOwner]]:
    """Give a member, the worker's end of its channel, and the owner."""
    ours, theirs = socket.socketpair()
    owner, worker = FakeOwner(), await Channel.over(theirs)
    member = Member(
        1,
        cast("asyncio.subprocess.Process", FakeProcess()),
        await Channel.over(ours),
        cast("Owner", owner),
        lambda: 0.0,
    )
    attending = asyncio.create_task(member.attend())
    try:
        yield member, worker, owner
    finally:
        worker.close()
        await attending


async def asked(worker: Channel) -> dict[str, Any]:
    kind, payload = await worker.receive()
    assert Kind.ASK is kind
    return codec.decode_object(payload)


async def test_an_answer_goes_to_its_question() -> None:
    async with attended() as (member, worker, _):
        asking = [asyncio.create_task(member.ask("explain", model=model)) for model in "ab"]
        questions = [await asked(worker) for _ in asking]
        for question in reversed(questions):
            answer = {"id": question["id"], "explain": question["model"]}
            worker.send(Kind.ANSWER, codec.encode(answer))
        answers = await asyncio.gather(*asking)

    assert ["a", "b"] == [answer["explain"] for answer in answers if answer is not None]


@pytest.mark.parametrize("goes", [False, True], ids=["has told its last", "is gone"])
async def test_who_waits_for_a_worker_that_ends_waits_no_longer(
    goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("switchgear.member.ASK_S", 3600.0)
    async with attended() as (member, worker, owner):
        asking = asyncio.create_task(member.ask("report"))
        await asked(worker)
        if goes:
            worker.close()
        else:
            worker.send(Kind.LAST, LAST)

        assert None is await asking
        assert None is await member.ask("report")
        assert member.told.is_set()
        assert ([] if goes else [3]) == owner.told


async def test_one_that_has_told_its_last_is_asked_nothing() -> None:
    async with attended() as (member, worker, _):
        worker.send(Kind.LAST, LAST)
        await member.told.wait()

        assert None is await member.ask("report")
        member.kill()
        member.accept([5])
        kind, _ = await worker.receive()

    assert Kind.ACCEPT is kind
