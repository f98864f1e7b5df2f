"""The plain page at an origin of its own, http://localhost:PORT, with a node behind it.

Rule: files from beside this one, everything under /v1 to the node as it came.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

PAGE: Final = Path(__file__).parent / "page"
PASSED: Final = ("Content-Type", "Authorization", "Prefer", "Idempotency-Key")


@asynccontextmanager
async def portal(port: int, node: str) -> AsyncIterator[str]:
    """Serve the page; its address.

    Args:
        port: where, on localhost.
        node: address of the node's API.
    """
    async with aiohttp.ClientSession(trust_env=False) as session:

        async def forward(request: web.Request) -> web.Response:
            headers = {name: request.headers[name] for name in PASSED if name in request.headers}
            if request.method == "POST":
                headers["Prefer"] = "wait=30"
            body = await request.read()
            url = node + request.path_qs
            async with session.request(request.method, url, headers=headers, data=body or None) as answer:
                content = answer.headers.get("Content-Type", "")
                return web.Response(
                    status=answer.status, body=await answer.read(), headers={"Content-Type": content}
                )

        async def index(_request: web.Request) -> web.FileResponse:
            return web.FileResponse(PAGE / "index.html")

        app = web.Application()
        app.router.add_get("/", index)
        app.router.add_route("*", "/v1/{path:.*}", forward)
        app.router.add_static("/", PAGE)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "localhost", port).start()
            yield f"http://localhost:{port}"
        finally:
            await runner.cleanup()
