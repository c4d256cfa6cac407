"""The least that aiohttp can do for the same requests: parse the body, answer JSON of the same size.

python -m benchmarks.bare PORT FILE      FILE holds the answer
"""

import asyncio
import sys
from pathlib import Path

import orjson
from aiohttp import web

try:
    import uvloop
except ImportError:
    pass
else:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def create_app(answer: bytes) -> web.Application:
    async def get(_: web.Request) -> web.Response:
        return web.Response(body=answer, content_type="application/json")

    async def post(request: web.Request) -> web.Response:
        orjson.loads(await request.read())
        return web.Response(body=answer, content_type="application/json", status=201)

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", get), web.post("/{path:.*}", post)])
    return app


if __name__ == "__main__":
    web.run_app(
        create_app(Path(sys.argv[2]).read_bytes()),
        host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None,
    )  # fmt: skip
