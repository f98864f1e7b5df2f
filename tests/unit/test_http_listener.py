"""A stranger who opens connections only to hold them is hung up on, and keeps nobody else out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from node.http.listener import BoundedSite, Newcomers, raise_descriptor_limit

WAIT_S = 10.0
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Desk:
    """A listening application that answers every request with 204."""

    def __init__(self, newcomers: Newcomers, runner: web.AppRunner) -> None:
        self.newcomers = newcomers
        self.port = runner.addresses[0][1]

    async def call(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        return reader, writer


async def line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await reader.readline()


@asynccontextmanager
async def listening(*, timeout_s: float = WAIT_S * 2, connections_max: int = 8) -> AsyncIterator[Desk]:
    newcomers = Newcomers(timeout_s)

    @web.middleware
    async def notice(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        newcomers.heard(request.protocol)
        return await handler(request)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    application = web.Application(middlewares=[notice])
    application.router.add_get("/", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = BoundedSite(runner, "127.0.0.1", 0, connections_max=connections_max, newcomers=newcomers)
    await site.start()
    try:
        yield Desk(newcomers, runner)
    finally:
        await runner.cleanup()


async def test_half_a_request_head_is_not_waited_for() -> None:
    async with listening(timeout_s=0.05) as desk:
        reader, writer = await desk.call(REQUEST[:-2])
        assert await line(reader) == b""
        assert len(desk.newcomers) == 0
        writer.close()


async def test_who_has_sent_a_request_is_no_newcomer_any_more() -> None:
    async with listening() as desk:
        reader, writer = await desk.call(REQUEST)
        assert b" 204 " in await line(reader)
        assert len(desk.newcomers) == 0
        writer.close()


async def test_one_connection_too_many_is_told_to_come_back_and_room_is_used_again() -> None:
    async with listening(connections_max=2) as desk:
        held = [await desk.call(REQUEST) for _ in range(2)]
        for reader, _ in held:
            assert b" 204 " in await line(reader)
        reader, writer = await desk.call(REQUEST)
        assert b" 503 " in await line(reader)
        assert b"Retry-After" in await line(reader)
        writer.close()
        for _, used in held:
            used.close()
        async with asyncio.timeout(WAIT_S):
            while True:
                reader, writer = await desk.call(REQUEST)
                status = await line(reader)
                writer.close()
                if b" 204 " in status:
                    break


def test_the_process_may_open_as_many_descriptors_as_it_says() -> None:
    assert raise_descriptor_limit() == raise_descriptor_limit() > 0
