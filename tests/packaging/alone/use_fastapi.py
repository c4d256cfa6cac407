"""`web.py` of the guide, served by uvicorn in an environment that has nothing else: run there, beside that file."""

import asyncio
import json
import socket
import sys
import urllib.request
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import uvicorn

WITHIN_S = 60


def _post(port: int) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/stock?sku=7&by=2", method="POST")
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
        return json.load(answer)


async def main() -> None:
    """An HTTP request publishes; the handler gets the message, and what FastAPI's `Depends` gives."""
    sys.path.insert(0, str(Path.cwd()))
    from web import app

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        with redirect_stdout(StringIO()) as said:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            assert (await asyncio.to_thread(_post, port))["messageId"]
            async with asyncio.timeout(WITHIN_S):
                while "{'sku': 7, 'by': 2} in cape-town" not in said.getvalue():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            server.should_exit = True
            await serving
    print("used with FastAPI")


asyncio.run(main())
