"""Frames between two processes: whole, in order, bounded, and with a clear end."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dataplane.fleet.channel import MAX_FRAME_BYTES, Channel, ChannelError, Kind


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Channel, Channel]]:
    ours, theirs = socket.socketpair()
    ends = await Channel.over(ours), await Channel.over(theirs)
    try:
        yield ends
    finally:
        for end in ends:
            end.close()


async def test_frames_come_whole_and_in_order() -> None:
    long = bytes(range(256)) * 8192
    async with pair() as (ours, theirs):
        for payload in (b"", b"news", long, b"end"):
            ours.send(Kind.NEWS, payload)
        theirs.send(Kind.BEAT, b"alive")
        got = [await theirs.receive() for _ in range(4)]
        back = await ours.receive()

    assert [(Kind.NEWS, payload) for payload in (b"", b"news", long, b"end")] == got
    assert (Kind.BEAT, b"alive") == back


async def test_what_was_sent_before_the_end_is_still_read() -> None:
    async with pair() as (ours, theirs):
        ours.send(Kind.GOODBYE, b"last words")
        await ours.flush()
        ours.close()
        got = await theirs.receive()
        with pytest.raises(ChannelError, match="the other end has gone"):
            await theirs.receive()

    assert (Kind.GOODBYE, b"last words") == got


async def test_sending_to_an_end_that_has_gone_does_nothing() -> None:
    async with pair() as (ours, theirs):
        theirs.close()
        with pytest.raises(ChannelError):
            await ours.receive()
        ours.close()
        ours.send(Kind.BEAT, b"nobody")
        await ours.flush()


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (struct.pack(">IB", MAX_FRAME_BYTES, Kind.TABLE), "too long"),
        (struct.pack(">IB", 0, 99), "not a frame"),
        (struct.pack(">IB", 5, Kind.TABLE) + b"cut", "has gone"),
    ],
)
async def test_what_cannot_be_meant_ends_the_channel(frame: bytes, words: str) -> None:
    ours, theirs = socket.socketpair()
    channel = await Channel.over(ours)
    with theirs:
        theirs.sendall(frame)
    with pytest.raises(ChannelError, match=words):
        await channel.receive()
    channel.close()


async def test_an_end_that_never_reads_is_given_up() -> None:
    async with pair() as (ours, theirs):
        piece = bytes(MAX_FRAME_BYTES - 1)
        for _ in range(4):
            ours.send(Kind.TABLE, piece)
        with pytest.raises(ChannelError, match="gone"):
            await _read_on(theirs)


async def _read_on(channel: Channel) -> None:
    async with asyncio.timeout(20):
        while True:
            await channel.receive()
