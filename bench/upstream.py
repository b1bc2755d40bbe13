"""A model server that thinks of nothing: every whole request gets one fixed chat completion.

It parses no more of HTTP than the length of a body, so that it is never what a run waits for. As a
collector of spans it does as well: an exporter only looks at the status.

    python bench/upstream.py --port 9001
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import uvloop
from wire import message_end

_TEXT = "Electricity is routed, not made, by switchgear: it carries, it breaks, it isolates. " * 8
_BODY = (
    b'{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1767225600,'
    b'"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"'
    + _TEXT.encode()
    + b'"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":420,'
    b'"completion_tokens":140,"total_tokens":560}}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY)
) + _BODY


class Answering(asyncio.Protocol):
    """One connection; answers each request as soon as the last byte of it has come."""

    def __init__(self) -> None:
        """Wait for a connection."""
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        assert self._transport is not None
        self._buffer += data
        while end := message_end(self._buffer):
            del self._buffer[:end]
            self._transport.write(ANSWER)


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="where to listen, on loopback")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(parser.parse_args().port))
