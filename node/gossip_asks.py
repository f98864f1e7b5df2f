"""What was asked of which peer: each missing transaction of one peer at a time.

Rule: pure and bounded for each peer. Who was asked has ASK_MS to deliver; then whoever offers the transaction is asked, and one
who has failed gives way at once to one who has not. So silent peers delay a transaction by ASK_MS each, once, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Final

# Transactions that may be asked of one peer, or wait to be asked of it again; what it offers beyond is left alone.
ASKS_PER_PEER_MAX: Final = 2048
# How long one peer is waited for.
ASK_MS: Final = 1_000
# How long offers of what cannot be admitted yet are left unanswered, unless the head moves.
LATER_MS: Final = 2_000
# How long it is remembered who failed.
FAILURE_KEPT_MS: Final = 30_000


@dataclass(slots=True)
class _Ask:
    peer: bytes
    until_ms: int
    refused: bool = False
    failed: set[bytes] = field(default_factory=set)


class Asks:
    """The open questions. Times are milliseconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._asks: dict[bytes, _Ask] = {}  # oldest question first
        self._refused: dict[bytes, None] = {}
        self._counts: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._asks)

    @property
    def refused_any(self) -> bool:
        """Whether something came that could not be admitted."""
        return bool(self._refused)

    def offered(self, name: bytes, peer: bytes, now_ms: int) -> bool:
        """Whether to ask this peer, now, for what it offers; if so it counts as asked."""
        self._forget_old(now_ms)
        ask = self._asks.get(name)
        if ask is not None and now_ms < ask.until_ms:
            gives_way = ask.peer in ask.failed and peer not in ask.failed and not ask.refused
            if not gives_way:
                return False
        failed = set() if ask is None else ask.failed
        if ask is not None and not ask.refused:
            failed.add(ask.peer)
        return self._put(name, _Ask(peer=peer, until_ms=now_ms + ASK_MS, failed=failed))

    def refused(self, name: bytes, peer: bytes, now_ms: int) -> None:
        """The peer sent what cannot be admitted at this head."""
        self._forget_old(now_ms)
        ask = self._asks.get(name)
        failed = set() if ask is None else ask.failed
        if self._put(name, _Ask(peer=peer, until_ms=now_ms + LATER_MS, refused=True, failed=failed)):
            self._refused[name] = None

    def again(self, count_max: int, now_ms: int) -> dict[bytes, list[bytes]]:
        """The head has moved: some of what could not be admitted, to be asked again of the peer that sent it."""
        wanted: dict[bytes, list[bytes]] = {}
        for name in tuple(islice(self._refused, count_max)):
            peer = self._asks[name].peer
            self._put(name, _Ask(peer=peer, until_ms=now_ms + ASK_MS, failed=self._asks[name].failed))
            wanted.setdefault(peer, []).append(name)
        return wanted

    def forget(self, name: bytes) -> None:
        """It is here, or decided."""
        ask = self._asks.pop(name, None)
        if ask is None:
            return
        self._refused.pop(name, None)
        self._counts[ask.peer] -= 1
        if not self._counts[ask.peer]:
            del self._counts[ask.peer]

    def lost(self, peer: bytes) -> None:
        """A peer is gone, and cannot be waited for."""
        for name in [name for name, ask in self._asks.items() if ask.peer == peer]:
            self.forget(name)

    def _put(self, name: bytes, ask: _Ask) -> bool:
        known = self._asks.get(name)
        count = self._counts.get(ask.peer, 0)
        if count >= ASKS_PER_PEER_MAX and (known is None or known.peer != ask.peer):
            return False
        self.forget(name)
        self._asks[name] = ask
        self._counts[ask.peer] = self._counts.get(ask.peer, 0) + 1
        return True

    def _forget_old(self, now_ms: int) -> None:
        while self._asks:
            name = next(iter(self._asks))
            if self._asks[name].until_ms + FAILURE_KEPT_MS > now_ms:
                return
            self.forget(name)
