"""Taking connections: how many there may be, and how long one may say nothing.

Rule: connections are bounded, below what the process may open, so that journal, store and peers always find a descriptor; and
one that has not sent a whole request head in time is closed. Whoever opens connections only to hold them keeps nobody out
for long. Between requests aiohttp's keep-alive bounds the silence.
"""

from __future__ import annotations

import asyncio
import resource
import ssl
from typing import Final, cast

from aiohttp import web

BACKLOG: Final = 128
DESCRIPTORS_WANTED: Final = 16_384
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


def raise_descriptor_limit() -> int:
    """Ask the system for as many descriptors as are useful; how many this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return DESCRIPTORS_WANTED if soft == resource.RLIM_INFINITY else soft


class Newcomers:
    """Connections from which no whole request head has come yet; each is closed when its time is over.

    Args:
        timeout_s: how long a connection may take for its first request head, in seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._waiting: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, connection: web.RequestHandler) -> None:
        """A connection was opened."""
        loop = asyncio.get_running_loop()
        self._waiting[connection] = loop.call_later(self.timeout_s, self._give_up, connection)

    def heard(self, connection: web.RequestHandler) -> None:
        """A request head came."""
        timer = self._waiting.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def _give_up(self, connection: web.RequestHandler) -> None:
        del self._waiting[connection]
        connection.force_close()


class _Refused(asyncio.Protocol):
    """A connection too many: it is told to come back later, without having been read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods but not the base class.
        writer = cast("asyncio.WriteTransport", transport)
        writer.write(_FULL)
        writer.close()


class BoundedSite(web.BaseSite):
    """Where a runner listens.

    Args:
        runner: set up already.
        host, port: the address.
        connections_max: above it a connection is answered 503 and closed.
        newcomers: told of every connection.
        ssl_context: None for plain HTTP.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        connections_max: int,
        newcomers: Newcomers,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context, backlog=BACKLOG)
        self._host = host
        self._port = port
        self._connections_max = connections_max
        self._newcomers = newcomers

    @property
    def name(self) -> str:
        return f"{'https' if self._ssl_context else 'http'}://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(
            self._connection,
            self._host,
            self._port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self._newcomers.timeout_s if self._ssl_context else None,
            backlog=self._backlog,
        )

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or len(server.connections) >= self._connections_max:
            return _Refused()
        connection = server()
        self._newcomers.expect(connection)
        return connection
