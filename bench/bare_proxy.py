"""The least that an aiohttp proxy can be: take a body, post it on, give the answer back.

A stream of events is handed on as it comes.

It routes nothing, checks nothing, logs nothing. What Switchgear costs is told as a ratio to it.

    python bench/bare_proxy.py --port 9000 --upstream http://127.0.0.1:9001
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

_SESSION = web.AppKey("session", aiohttp.ClientSession)


def make(upstream: str) -> web.Application:
    """Build the proxy before `upstream`, an origin without a path."""

    async def session(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as app[_SESSION]:
            yield

    async def forward(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {"content-type": request.content_type}
        url = upstream + request.path
        async with request.app[_SESSION].post(url, data=body, headers=headers) as answer:
            if answer.content_type == "text/event-stream":
                return await _streamed(request, answer)
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )

    app = web.Application(client_max_size=32 * 2**20)
    app.cleanup_ctx.append(session)
    app.router.add_post("/{path:.*}", forward)
    return app


async def _streamed(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    stream = web.StreamResponse(
        status=answer.status, headers={"content-type": answer.headers["content-type"]}
    )
    await stream.prepare(request)
    async for part in answer.content.iter_any():
        await stream.write(part)
    await stream.write_eof()
    return stream


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="where to listen, on loopback")
    parser.add_argument("--upstream", required=True, help="an origin, like http://127.0.0.1:9001")
    args = parser.parse_args()
    web.run_app(
        make(args.upstream),
        host="127.0.0.1",
        port=args.port,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
