"""The listener: accepts connections, bounds those that are not authenticated yet, and counts the refused.

Rule: whoever only opens connections keeps no peer out; what is refused costs one log line a second at most.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from ledger.errors import Busy, LedgerError, Unavailable
from network.logs import Logger
from network.tasks import end

# Connections that are not authenticated yet; one more costs the oldest of the address that has most of them.
HANDSHAKES_PENDING_MAX: Final = 64
LISTEN_BACKLOG: Final = 128
ACCEPT_RETRY_S: Final = 1.0
REJECTION_LOG_INTERVAL_S: Final = 1.0


class Listener:
    """Where peers are accepted.

    Args:
        address: host and port; port 0 takes a free one.
        admit: sees a connection in; the error if it does not come about.
        logger: where refusals go.
    """

    def __init__(
        self,
        address: tuple[str, int],
        admit: Callable[[socket.socket], Awaitable[object | LedgerError]],
        logger: Logger,
    ) -> None:
        self._address = address
        self._admit = admit
        self._logger = logger
        self._socket: socket.socket | None = None
        self._handshakes: dict[asyncio.Task[None], str] = {}
        self._rejections: dict[str, int] = {}
        self._rejections_logged_s: dict[str, float] = {}

    @property
    def port(self) -> int:
        """The port it listens at; 0 while it does not."""
        return int(self._socket.getsockname()[1]) if self._socket else 0

    @property
    def rejections(self) -> dict[str, int]:
        """How many connections were refused since construction, by error code."""
        return dict(self._rejections)

    def open(self) -> None:
        """Take the address.

        Raises:
            Unavailable: it cannot be listened at.
        """
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG)
        except OSError as error:
            raise Unavailable(
                what=f"peer address {host}:{port}", reason=error.strerror or str(error)
            ) from None
        self._socket.setblocking(False)

    async def run(self) -> None:
        """Accept until cancelled; `open` comes first."""
        loop = asyncio.get_running_loop()
        while self._socket is not None:
            try:
                accepted, address = await loop.sock_accept(self._socket)
            except OSError as error:
                self._reject(Unavailable(what="peer listener", reason=error.strerror or str(error)))
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            if len(self._handshakes) >= HANDSHAKES_PENDING_MAX:
                self._make_room()
            task = loop.create_task(self._see_in(accepted))
            self._handshakes[task] = str(address[0])
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))
            # Under a flood an accept never waits; the rest of the node has to run as well.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Give the address back, and give up what is not authenticated yet."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        await end(self._handshakes)

    async def _see_in(self, accepted: socket.socket) -> None:
        result = await self._admit(accepted)
        if isinstance(result, LedgerError):
            self._reject(result)

    def _make_room(self) -> None:
        """Give up a handshake of whoever has most of them."""
        crowd = Counter(self._handshakes.values()).most_common(1)[0][0]
        oldest = next(task for task, address in self._handshakes.items() if address == crowd)
        del self._handshakes[oldest]
        oldest.cancel()
        self._reject(Busy(what="handshakes", retry_after_s=1))

    def _reject(self, error: LedgerError) -> None:
        self._rejections[error.code] = self._rejections.get(error.code, 0) + 1
        now_s = asyncio.get_running_loop().time()
        if (
            now_s - self._rejections_logged_s.get(error.code, -REJECTION_LOG_INTERVAL_S)
            >= REJECTION_LOG_INTERVAL_S
        ):
            self._rejections_logged_s[error.code] = now_s
            self._logger.warning("peer.rejected", reason=str(error), count=self._rejections[error.code])
