"""The gossip of transactions on an asyncio loop: bytes in and out, one timer, and who waits until enough peers were sent theirs.

Rule: a shell; what is sent to whom and when is decided in `node/gossip.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

from ledger.errors import LedgerError
from node import gossip_messages
from node.gossip import Gossip, GossipCounts, GossipFault, Intake, Sent
from node.mempool import Mempool


def steady_ms() -> int:
    """Milliseconds of a clock that never goes back."""
    return time.monotonic_ns() // 1_000_000


class Dissemination:
    """Carries a `Gossip` out.

    Args:
        mempool: where the transactions are.
        intake: judges what peers send.
        send: queues bytes for a peer; False when the connection takes no more.
        now_ms: steady clock.
    """

    def __init__(
        self,
        mempool: Mempool,
        intake: Intake,
        *,
        send: Callable[[bytes, bytes], bool],
        now_ms: Callable[[], int] = steady_ms,
    ) -> None:
        self._gossip = Gossip(mempool, intake)
        self._send_bytes = send
        self._now_ms = now_ms
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    @property
    def counts(self) -> GossipCounts:
        return self._gossip.counts

    def received(self, peer: bytes, payload: bytes) -> None:
        """A peer's message.

        Raises:
            LedgerError: the peer is at fault, and is not listened to for a while.
        """
        now_ms = self._now_ms()
        try:
            message = gossip_messages.decode(payload)
        except LedgerError:
            self._gossip.mute(peer, now_ms)
            raise GossipFault from None
        try:
            self._send(self._gossip.received(peer, message, now_ms))
        finally:
            self._settle()

    def connected(self, peer: bytes) -> None:
        self._send(self._gossip.connected(peer, self._now_ms()))
        self._settle()

    def disconnected(self, peer: bytes) -> None:
        self._gossip.disconnected(peer)
        self._settle()

    def promised(self, name: bytes) -> None:
        """A transaction in the pool was accepted here, durably: send it."""
        self._send(self._gossip.promised(name, self._now_ms()))

    def carry(self, name: bytes) -> None:
        """A transaction in the pool is to be offered."""
        self._gossip.carry(name, self._now_ms())
        self._arm()

    def decided(self, names: Iterable[bytes]) -> None:
        """A block is final: these were in it, or expired by its time."""
        self._gossip.decided(names)
        self._send(self._gossip.head_moved(self._now_ms()))
        self._settle()

    async def reached(self, name: bytes, among: Collection[bytes], count: int, timeout_s: float) -> bool:
        """Wait until so many of these peers were sent a transaction, or it is decided, or the time is over; whether they were."""

        def enough() -> bool:
            reached = self._gossip.reached(name)
            return reached is None or len(reached.intersection(among)) >= count

        if enough():
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = enough
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(waiter, timeout_s)
        finally:
            self._waiting.pop(waiter, None)
        return enough()

    def tick(self) -> None:
        """Do what is due; the timer calls this."""
        self._timer = None
        self._send(self._gossip.tick(self._now_ms()))
        self._settle()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self, sent: list[Sent]) -> None:
        encoded: dict[int, bytes] = {}
        for peer, message in sent:
            payload = encoded.get(id(message))
            if payload is None:
                payload = encoded[id(message)] = gossip_messages.encode(message)
            if not self._send_bytes(peer, payload):
                self._gossip.unsent(peer, message, self._now_ms())
        self._arm()

    def _arm(self) -> None:
        """Wake at the next due time, and at no other."""
        due_ms = self._gossip.next_due_ms()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_ms is not None:
            delay_s = max(1, due_ms - self._now_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.tick)

    def _settle(self) -> None:
        for waiter, enough in tuple(self._waiting.items()):
            if not waiter.done() and enough():
                waiter.set_result(None)
