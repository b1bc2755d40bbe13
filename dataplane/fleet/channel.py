"""Frames between two processes, over a connected pair of sockets.

A frame is the length of what follows (4 bytes, big endian), one byte for its kind, and the
payload. Both ends are ours and of one version, so a frame that cannot be meant is a defect: it ends
the channel, as does an end that reads nothing for so long that too much waits for it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from enum import IntEnum

MAX_FRAME_BYTES = 64 * 2**20
"""The longest frame; a table of ten thousand providers has about a tenth of it."""

MAX_WAITING_BYTES = 2 * MAX_FRAME_BYTES
"""What may wait for the other end to read it."""

_HEAD = struct.Struct(">IB")


class Kind(IntEnum):
    """What a frame is.

    From the supervisor. SETUP: the first. TABLE: a snapshot. NEWS: see controlplane.table.news.
    ACCEPT: the sockets to take connections from. ASK: a question, answered by ANSWER. RETIRE: end,
    now that another has taken over. STOP: end, as nobody takes over.

    From the worker. INSTALLED: a table is in force. NEWS: its own. BEAT: once a second.
    ANSWER: to a question. FAILED: it cannot start, and why. WISH: it was asked by a signal to be
    replaced. LAST: what it adds to the metrics in the end. GOODBYE: its last report, and the last
    requests.
    """

    SETUP = 1
    TABLE = 2
    NEWS = 3
    ACCEPT = 4
    ASK = 5
    RETIRE = 6
    STOP = 7
    INSTALLED = 17
    BEAT = 18
    ANSWER = 19
    FAILED = 20
    WISH = 21
    LAST = 22
    GOODBYE = 23


class ChannelError(Exception):
    """The channel is of no use any more; the message says why."""


class Channel:
    """One end. Frames come in the order in which they were sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use an open connection; see `over`."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, connected: socket.socket) -> Channel:
        """Make an end of a connected socket, which is the channel's from now on."""
        connected.settimeout(0)
        reader, writer = await asyncio.open_unix_connection(sock=connected)
        return cls(reader, writer)

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a frame, or do nothing if the channel has ended. Never waits.

        If the other end does not read, the channel ends: nothing can be said to it any more.
        """
        transport = self._writer.transport
        if transport.is_closing():
            return
        assert len(payload) < MAX_FRAME_BYTES, f"{kind.name}: {len(payload)} bytes"
        if transport.get_write_buffer_size() + len(payload) > MAX_WAITING_BYTES:
            transport.abort()
            return
        self._writer.write(_HEAD.pack(len(payload), kind))
        self._writer.write(payload)

    async def receive(self) -> tuple[Kind, bytes]:
        """Wait for a frame. Raises ChannelError at the end, or for what cannot be meant."""
        try:
            length, number = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if length >= MAX_FRAME_BYTES:
                raise ChannelError(f"a frame of {length} bytes is too long")
            return Kind(number), await self._reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise ChannelError("the other end has gone") from error
        except OSError as error:
            raise ChannelError(f"the channel broke: {error}") from error
        except ValueError as error:
            raise ChannelError(f"not a frame: {error}") from error

    async def flush(self) -> None:
        """Wait until what was sent is on its way, or the channel has ended."""
        transport = self._writer.transport
        transport.set_write_buffer_limits(high=0)
        try:
            await self._writer.drain()
        except OSError:
            return

    def close(self) -> None:
        """End the channel; the other end reads what was sent, then its end."""
        self._writer.close()
