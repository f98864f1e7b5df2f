"""Catch-up: whom to ask for what is missing, and how much to answer.

Rule: nothing that comes back is trusted here. An answer counts only from the peer that was asked and for what it was asked; whether
it is true is the core's judgement, and a peer that the core blames is not asked again for a while. A peer that is silent past its
deadline costs one try: the next peer is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from consensus.application import Application
from consensus.core.effects import WantBlock, WantCertificates, WantFinalized
from consensus.core.messages import (
    RANGE_BLOCKS_MAX,
    RANGE_SIZE_BYTES,
    FetchBlock,
    FetchCertificates,
    FetchFinalized,
    FinalizedRange,
    Message,
)
from ledger import codec
from ledger.errors import StorageDamaged
from ledger.types import FinalizedBlock

# Distinct things asked for at one time; more are refused and wished for again later.
WANTS_MAX: Final = 64
# After so many tries a want is dropped; the core wishes again while it still needs it.
TRIES_MAX: Final = 16
# Ticks without an answer until the next peer is asked.
PATIENCE_TICKS: Final = 2
# Ticks for which a blamed peer is not asked.
DISTRUST_TICKS: Final = 240
# Ticks for which a peer that was silent, or had nothing of what it claimed, is asked only when nobody else is left.
SLOW_TICKS: Final = 60
# Peers whose claims are remembered.
PEERS_MAX: Final = 1024
# Requests of one peer that are answered in one Status period.
ANSWERS_PER_PERIOD_MAX: Final = 256
# A range of finalized blocks is read, encoded and sent in megabytes: it counts as so many requests.
RANGE_COST: Final = 8

Kind = Literal["block", "certificates", "finalized"]
Want = WantBlock | WantCertificates | WantFinalized


@dataclass(slots=True, kw_only=True)
class _Request:
    """One open question."""

    kind: Kind
    message: Message
    peer: bytes
    deadline: int
    tries: int = 1
    asked: set[bytes] = field(default_factory=set)


class Fetcher:
    """Asks one peer at a time for each missing thing. Pure: time is counted in ticks.

    Whoever is of the epoch's committee or has said where it is may be asked; so a node finds its way also when everybody whom it
    knew as a validator has left.

    Args:
        account: own account, never asked.

    Attributes:
        heights: height that each peer claims.
        history_gone: everybody was asked for finalized blocks, and nobody has them any more, not even who is past them.
    """

    def __init__(self, account: bytes) -> None:
        self._account = account
        self._epoch = 0
        self._committee: tuple[bytes, ...] = ()
        self._now = 0
        self._turn = account
        self._open: dict[tuple[Kind, bytes], _Request] = {}
        self._distrusted: dict[bytes, int] = {}
        self._slow: dict[bytes, int] = {}
        self.heights: dict[bytes, int] = {}
        self.history_gone = False

    def enter(self, epoch: int, committee: tuple[bytes, ...]) -> None:
        """Begin an epoch with these validators; what the last one asked for is of no use any more."""
        self._epoch, self._committee = epoch, committee
        self._open.clear()

    def heard(self, peer: bytes, height: int) -> None:
        """A peer claims a height."""
        if peer in self.heights or len(self.heights) < PEERS_MAX:
            self.heights[peer] = height

    @property
    def busy(self) -> bool:
        """Whether a question is open, so that ticks are needed."""
        return bool(self._open)

    def want(self, want: Want) -> list[tuple[bytes, Message]]:
        """Ask for something, unless it is being asked for already; returns what to send, to whom."""
        kind, name, message, hint = self._describe(want)
        if (kind, name) in self._open or len(self._open) >= WANTS_MAX:
            return []
        peer = hint if hint is not None and self._usable(hint) else self._next_peer(kind, message, set())
        if peer is None:
            return []
        request = _Request(kind=kind, message=message, peer=peer, deadline=self._now + PATIENCE_TICKS)
        request.asked.add(peer)
        self._open[kind, name] = request
        return [(peer, message)]

    def answered(self, peer: bytes, kind: Kind, name: bytes) -> bool:
        """Whether this answer was asked of that peer; if so the question is closed."""
        request = self._open.get((kind, name))
        if request is None or request.peer != peer:
            return False
        del self._open[kind, name]
        if kind == "finalized":
            self.history_gone = False
        return True

    def has_nothing(self, peer: bytes) -> list[tuple[bytes, Message]]:
        """The peer that was asked for finalized blocks has none of them: ask one that was not asked yet, while there is one."""
        key: tuple[Kind, bytes] = ("finalized", b"")
        request = self._open.get(key)
        if request is None or request.peer != peer:
            return []
        self._slow[peer] = self._now + SLOW_TICKS
        if self._next_peer(request.kind, request.message, request.asked) in request.asked:
            del self._open[key]
            needed = request.message.first_height if isinstance(request.message, FetchFinalized) else 0
            self.history_gone = any(self.heights.get(one, 0) >= needed for one in request.asked)
            return []
        return self._again(key, request)

    def blame(self, peer: bytes) -> list[tuple[bytes, Message]]:
        """Stop asking a peer; what is open with it is asked of others."""
        self._distrusted[peer] = self._now + DISTRUST_TICKS
        return [
            sent
            for key, request in list(self._open.items())
            if request.peer == peer
            for sent in self._again(key, request)
        ]

    def tick(self) -> list[tuple[bytes, Message]]:
        """A tick has passed: ask others where patience is at its end."""
        self._now += 1
        for peer in [peer for peer, until in self._distrusted.items() if until <= self._now]:
            del self._distrusted[peer]
        for peer in [peer for peer, until in self._slow.items() if until <= self._now]:
            del self._slow[peer]
        late = [(key, request) for key, request in self._open.items() if request.deadline <= self._now]
        self._slow.update({request.peer: self._now + SLOW_TICKS for _, request in late})
        return [sent for key, request in late for sent in self._again(key, request)]

    def _again(self, key: tuple[Kind, bytes], request: _Request) -> list[tuple[bytes, Message]]:
        peer = self._next_peer(request.kind, request.message, request.asked)
        if peer is None or request.tries >= TRIES_MAX:
            del self._open[key]
            return []
        request.tries += 1
        request.peer, request.deadline = peer, self._now + PATIENCE_TICKS
        request.asked = (request.asked | {peer}) if peer not in request.asked else {peer}
        return [(peer, request.message)]

    def _describe(self, want: Want) -> tuple[Kind, bytes, Message, bytes | None]:
        if isinstance(want, WantBlock):
            message: Message = FetchBlock(epoch=self._epoch, height=want.height, digest=want.digest)
            return "block", want.digest, message, want.hint
        if isinstance(want, WantCertificates):
            message = FetchCertificates(
                epoch=self._epoch, first_view=want.first_view, last_view=want.last_view
            )
            return "certificates", b"", message, want.hint
        return "finalized", b"", FetchFinalized(first_height=want.first_height), None

    def _usable(self, peer: bytes) -> bool:
        return peer != self._account and peer not in self._distrusted

    def _next_peer(self, kind: Kind, message: Message, asked: set[bytes]) -> bytes | None:
        """Round robin over the others; first those not asked yet, those that answered before, and for finalized blocks those that
        claim to have them.
        """
        peers = sorted({*self._committee, *self.heights})
        usable = [peer for peer in peers if self._usable(peer)]
        if not usable:
            return None
        needed = message.first_height if isinstance(message, FetchFinalized) else 0

        def rank(peer: bytes) -> tuple[bool, bool, bool, bool, bytes]:
            lacks = kind == "finalized" and self.heights.get(peer, 0) < needed
            return (peer in asked, peer in self._slow, lacks, peer <= self._turn, peer)

        chosen = min(usable, key=rank)
        self._turn = chosen
        return chosen


class Server:
    """Answers requests for finalized blocks, within bounds of size, count and rate."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._answered: dict[bytes, int] = {}

    def allow(self, peer: bytes, cost: int = 1) -> bool:
        """Whether one more request of this peer, that counts as `cost`, is answered in this period."""
        count = self._answered.get(peer, 0) + cost
        self._answered[peer] = count
        return count <= ANSWERS_PER_PERIOD_MAX

    def new_period(self) -> None:
        self._answered.clear()

    def finalized_range(self, request: FetchFinalized) -> FinalizedRange:
        """Consecutive finalized blocks from the asked height up, as many as fit."""
        blocks: list[FinalizedBlock] = []
        size_bytes = 0
        height = request.first_height
        while 0 < height <= self._application.finalized_height() and len(blocks) < RANGE_BLOCKS_MAX:
            try:
                finalized = self._application.block(height)
            except StorageDamaged:
                # Whoever asked finds it elsewhere.
                break
            if finalized is None:
                break
            blocks.append(finalized)
            size_bytes += len(codec.encode(finalized))
            if size_bytes >= RANGE_SIZE_BYTES:
                break
            height += 1
        return FinalizedRange(first_height=request.first_height, blocks=tuple(blocks))
