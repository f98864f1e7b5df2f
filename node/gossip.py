"""How accepted transactions reach every node that can take them: pushed once, then offered by id until they are decided.

    acceptor ── Push [transactions] ──▶ peer          at once; more within BATCH_MS in one message
    carrier  ── Offer [ids] ──▶ peer                  after FIRST_OFFER_MS or RELAY_OFFER_MS, again with growing pauses
             ◀── Answer [settled], [wanted] ──        settled: has it, or it is decided there
             ── Push [wanted] ──▶

A peer whose head lags behind ours cannot admit what we could. It lets such an offer lie, asks again by itself when its head
moves, and is offered the transaction again in any case. Not the acceptor alone but every node that carries a transaction offers
it, so that a transaction outlives its acceptor, and f + 1 nodes see that an expiry is due.

Rule: what is carried and undecided is owed to each connected peer until that peer has shown or said that it needs it no more.
Having been sent is not having: links lose, and peers refuse. Pure: time is an argument, messages are returned. What a peer can
make us do or keep in WINDOW_MS is bounded; one that sends what no correct node sends is not listened to for MUTE_MS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from heapq import heapify, heappop, heappush
from typing import Final, Protocol, assert_never

from ledger.errors import Category, LedgerError
from node.gossip_asks import Asks
from node.gossip_messages import IDS_MAX, PUSH_SIZE_BYTES, PUSH_TRANSACTIONS_MAX, Answer, Message, Offer, Push
from node.mempool import Mempool

# What is promised within this time of a Push goes out together with what else was.
BATCH_MS: Final = 5
# Mostly a transaction is decided before: then nobody offers it at all.
FIRST_OFFER_MS: Final = 500
# Those who carry for others wait longer, so that mostly the acceptor's offer comes first.
RELAY_OFFER_MS: Final = 2_000
OFFER_PAUSE_MS: Final = 500
OFFER_PAUSE_MS_MAX: Final = 4_000
# The pace at which one peer is offered much, as after connecting.
OFFERED_PER_PACE_MAX: Final = 4 * IDS_MAX
PACE_MS: Final = 250
# A moving head makes us ask again at most so often.
HEAD_ROUND_MS: Final = 250
ASKED_AGAIN_PER_ROUND_MAX: Final = 256
# What one peer may cost in one window: ids it offers, transactions it sends that cannot be admitted or are here already,
# bytes it asks for. That it sends what is here is no fault, since clients submit at several nodes, but it has to be decoded.
WINDOW_MS: Final = 1_000
OFFERED_PER_WINDOW_MAX: Final = 32 * IDS_MAX
INADMISSIBLE_PER_WINDOW_MAX: Final = 512
DUPLICATES_PER_WINDOW_MAX: Final = 2048
SERVED_BYTES_PER_WINDOW_MAX: Final = 8 * 1024 * 1024
MUTE_MS: Final = 60_000

Sent = tuple[bytes, Message]


class Verdict(Enum):
    """What became of a transaction that a peer sent."""

    TAKEN = "taken"  # carried here from now on
    KNOWN = "known"  # carried here already, or decided
    LATER = "later"  # not admissible at this head, or there is no room
    NEVER = "never"  # no block above this head can hold it
    FORGED = "forged"  # no correct node sends this


class Intake(Protocol):
    """Where transactions go that peers send."""

    def settled(self, transaction_id: bytes) -> bool:
        """Whether it is carried or decided here."""
        ...

    def take(self, encoded: bytes) -> tuple[bytes, Verdict]:
        """Judge a transaction, and carry it if it can be; its id (empty if it has none) and what became of it."""
        ...


class GossipFault(LedgerError):
    """A peer sent what no correct node sends."""

    code = "gossip_fault"
    category = Category.FORBIDDEN
    zh = "对等节点发送了伪造或格式错误的交易消息"
    en = "The peer sent a forged or malformed transaction message"


@dataclass(slots=True)
class _Debt:
    """A transaction that a peer is not known to have."""

    pause_ms: int = OFFER_PAUSE_MS
    sent: bool = False


@dataclass(slots=True)
class _Peer:
    """A connected peer. `agenda` holds (when to offer, id); entries of what is owed no more fall out in their time."""

    owed: dict[bytes, _Debt] = field(default_factory=dict)
    agenda: list[tuple[int, bytes]] = field(default_factory=list)
    next_offers_ms: int = 0
    full_until_ms: int = 0
    window_ends_ms: int = 0
    offered: int = 0
    inadmissible: int = 0
    duplicates: int = 0
    served_bytes: int = 0

    def owe(self, name: bytes, due_ms: int) -> _Debt:
        debt = self.owed[name] = _Debt()
        heappush(self.agenda, (due_ms, name))
        return debt


@dataclass(slots=True)
class GossipCounts:
    """What happened since the start, for metrics."""

    pushed: int = 0
    offered: int = 0
    taken: int = 0
    duplicates: int = 0
    refused: int = 0
    unheard: int = 0
    muted: int = 0


class Gossip:
    """The protocol of one node. Every method returns what to send, to whom.

    Args:
        pool: where the transactions are.
        intake: judges what peers send.
    """

    def __init__(self, pool: Mempool, intake: Intake) -> None:
        self._pool = pool
        self._intake = intake
        self._peers: dict[bytes, _Peer] = {}
        self._muted: dict[bytes, int] = {}
        self._carried: dict[bytes, None] = {}
        self._asks = Asks()
        self._to_push: list[bytes] = []
        self._batch_ends_ms = 0
        self._head_moved = False
        self._next_round_ms = 0
        self.counts = GossipCounts()

    # --- peers come and go ---

    def connected(self, peer: bytes, now_ms: int) -> list[Sent]:
        """A connection is there, perhaps a new one in place of another: offer all, since the peer may have forgotten all."""
        self._asks.lost(peer)
        record = self._peers[peer] = _Peer(owed={name: _Debt() for name in self._carried})
        record.agenda = [(now_ms, name) for name in self._carried]
        heapify(record.agenda)
        return self._offers(peer, record, now_ms)

    def disconnected(self, peer: bytes) -> None:
        """What was on the way may be lost; it is found out when the peer is back."""
        self._peers.pop(peer, None)
        self._asks.lost(peer)

    # --- transactions come and go ---

    def promised(self, name: bytes, now_ms: int) -> list[Sent]:
        """A transaction in the pool was accepted here, durably: send it."""
        self._carry(name, now_ms + FIRST_OFFER_MS)
        self._to_push.append(name)
        return self._flush(now_ms)

    def carry(self, name: bytes, now_ms: int) -> None:
        """A transaction in the pool is to be offered, as those which a restart brings back."""
        self._carry(name, now_ms + FIRST_OFFER_MS)

    def decided(self, names: Iterable[bytes]) -> None:
        """These are finalized or expired."""
        for name in names:
            self._asks.forget(name)
            if name in self._carried:
                del self._carried[name]
                for record in self._peers.values():
                    record.owed.pop(name, None)

    def head_moved(self, now_ms: int) -> list[Sent]:
        """What could not be admitted may be admissible now."""
        self._head_moved = self._asks.refused_any
        return self._ask_again(now_ms)

    def reached(self, name: bytes) -> set[bytes] | None:
        """Connected peers that were sent this transaction, or have it anyway; None once it is decided."""
        if name not in self._carried:
            return None
        return {
            peer
            for peer, record in self._peers.items()
            if (debt := record.owed.get(name)) is None or debt.sent
        }

    def unsent(self, peer: bytes, message: Message, now_ms: int) -> None:
        """The connection took no more: what was pushed is owed as before, and nothing is sent for a moment."""
        record = self._peers.get(peer)
        if record is None:
            return
        record.full_until_ms = record.next_offers_ms = now_ms + OFFER_PAUSE_MS
        if isinstance(message, Push):
            # Which transactions these were is not worth decoding: all that the peer may lack is offered in its time.
            for debt in record.owed.values():
                debt.sent = False

    # --- time ---

    def tick(self, now_ms: int) -> list[Sent]:
        """Do what is due."""
        sent = self._flush(now_ms) + self._ask_again(now_ms)
        for peer, record in self._peers.items():
            sent += self._offers(peer, record, now_ms)
        return sent

    def next_due_ms(self) -> int | None:
        """When `tick` has something to do; None while there is nothing to wait for."""
        due = [
            max(record.agenda[0][0], record.next_offers_ms)
            for record in self._peers.values()
            if record.agenda
        ]
        if self._to_push:
            due.append(self._batch_ends_ms)
        if self._head_moved:
            due.append(self._next_round_ms)
        return min(due, default=None)

    # --- messages ---

    def received(self, peer: bytes, message: Message, now_ms: int) -> list[Sent]:
        """A peer's message.

        Raises:
            GossipFault: the peer is faulty, and will not be listened to for a while.
        """
        record = self._listen(peer, now_ms)
        if record is None:
            self.counts.unheard += 1
            return []
        match message:
            case Push():
                self._on_push(peer, record, message.transactions, now_ms)
                return []
            case Offer():
                return self._on_offer(peer, record, message.ids, now_ms)
            case Answer():
                return self._on_answer(peer, record, message, now_ms)
            case _:
                assert_never(message)

    def mute(self, peer: bytes, now_ms: int) -> None:
        """The peer sent what no correct node sends."""
        self.counts.muted += 1
        self._muted[peer] = now_ms + MUTE_MS
        self._asks.lost(peer)

    def _listen(self, peer: bytes, now_ms: int) -> _Peer | None:
        """The peer's record, in its present window; None for one that is not listened to."""
        if self._muted.get(peer, 0) > now_ms:
            return None
        self._muted.pop(peer, None)
        record = self._peers.get(peer)
        if record is not None and record.window_ends_ms <= now_ms:
            record.window_ends_ms = now_ms + WINDOW_MS
            record.offered = record.inadmissible = record.duplicates = record.served_bytes = 0
        return record

    def _on_push(self, peer: bytes, record: _Peer, transactions: Sequence[bytes], now_ms: int) -> None:
        for at, encoded in enumerate(transactions):
            if (
                record.inadmissible >= INADMISSIBLE_PER_WINDOW_MAX
                or record.duplicates >= DUPLICATES_PER_WINDOW_MAX
            ):
                # They will be offered again.
                self.counts.unheard += len(transactions) - at
                return
            name, verdict = self._intake.take(encoded)
            match verdict:
                case Verdict.TAKEN:
                    self.counts.taken += 1
                    self._carry(name, now_ms + RELAY_OFFER_MS)
                    self._asks.forget(name)
                case Verdict.KNOWN:
                    self.counts.duplicates += 1
                    record.duplicates += 1
                    self._asks.forget(name)
                case Verdict.LATER:
                    self._asks.refused(name, peer, now_ms)
                case Verdict.NEVER:
                    self._asks.forget(name)
                case Verdict.FORGED:
                    self.mute(peer, now_ms)
                    raise GossipFault
                case _:
                    assert_never(verdict)
            record.owed.pop(name, None)
            if verdict in {Verdict.LATER, Verdict.NEVER}:
                record.inadmissible += 1
                self.counts.refused += 1

    def _on_offer(self, peer: bytes, record: _Peer, names: Sequence[bytes], now_ms: int) -> list[Sent]:
        settled: list[bytes] = []
        wanted: list[bytes] = []
        for name in names:
            if record.offered >= OFFERED_PER_WINDOW_MAX:
                self.counts.unheard += 1
                continue
            record.offered += 1
            record.owed.pop(name, None)
            if self._intake.settled(name):
                settled.append(name)
            elif not self._pool.full and self._asks.offered(name, peer, now_ms):
                wanted.append(name)
        if not settled and not wanted:
            return []
        return [(peer, Answer(settled=tuple(settled), wanted=tuple(wanted)))]

    def _on_answer(self, peer: bytes, record: _Peer, answer: Answer, now_ms: int) -> list[Sent]:
        for name in answer.settled:
            record.owed.pop(name, None)
        serving: list[bytes] = []
        for name in answer.wanted:
            entry = self._pool.get(name)
            if entry is None or name not in self._carried:
                continue
            if record.served_bytes + len(entry.encoded) > SERVED_BYTES_PER_WINDOW_MAX:
                self.counts.unheard += 1
                continue
            record.served_bytes += len(entry.encoded)
            debt = record.owed.get(name) or record.owe(name, now_ms + OFFER_PAUSE_MS)
            debt.sent = True
            serving.append(name)
        return [(peer, push) for push in self._pushes(serving)]

    # --- inside ---

    def _carry(self, name: bytes, offer_ms: int) -> None:
        if name in self._carried:
            return
        self._carried[name] = None
        for record in self._peers.values():
            record.owe(name, offer_ms)

    def _flush(self, now_ms: int) -> list[Sent]:
        """Push what waits, unless the last Push was a moment ago: then what follows it goes out together."""
        if not self._to_push or now_ms < self._batch_ends_ms:
            return []
        self._batch_ends_ms = now_ms + BATCH_MS
        names, self._to_push = self._to_push, []
        made: dict[tuple[bytes, ...], list[Push]] = {}
        sent: list[Sent] = []
        for peer, record in self._peers.items():
            if now_ms < record.full_until_ms:
                continue
            lacking = tuple(name for name in names if name in record.owed and not record.owed[name].sent)
            if lacking not in made:
                made[lacking] = self._pushes(lacking)
            for name in lacking:
                record.owed[name].sent = True
            sent += [(peer, push) for push in made[lacking]]
        return sent

    def _pushes(self, names: Sequence[bytes]) -> list[Push]:
        """As few messages as hold these transactions, as far as the pool has them still."""
        pushes: list[Push] = []
        batch: list[bytes] = []
        size_bytes = 0
        for entry in map(self._pool.get, names):
            if entry is None:
                continue
            if batch and (
                size_bytes + len(entry.encoded) > PUSH_SIZE_BYTES or len(batch) >= PUSH_TRANSACTIONS_MAX
            ):
                pushes.append(Push(transactions=tuple(batch)))
                batch, size_bytes = [], 0
            batch.append(entry.encoded)
            size_bytes += len(entry.encoded)
        if batch:
            pushes.append(Push(transactions=tuple(batch)))
        self.counts.pushed += sum(len(push.transactions) for push in pushes)
        return pushes

    def _offers(self, peer: bytes, record: _Peer, now_ms: int) -> list[Sent]:
        """Offer what is due to one peer, and put it on the agenda again with a longer pause."""
        if now_ms < record.next_offers_ms:
            return []
        names: list[bytes] = []
        while record.agenda and record.agenda[0][0] <= now_ms and len(names) < OFFERED_PER_PACE_MAX:
            _, name = heappop(record.agenda)
            debt = record.owed.get(name)
            if debt is not None:
                names.append(name)
                heappush(record.agenda, (now_ms + debt.pause_ms, name))
                debt.pause_ms = min(2 * debt.pause_ms, OFFER_PAUSE_MS_MAX)
        if len(names) == OFFERED_PER_PACE_MAX:
            record.next_offers_ms = now_ms + PACE_MS
        self.counts.offered += len(names)
        return [(peer, Offer(ids=tuple(names[at : at + IDS_MAX]))) for at in range(0, len(names), IDS_MAX)]

    def _ask_again(self, now_ms: int) -> list[Sent]:
        if not self._head_moved or now_ms < self._next_round_ms:
            return []
        self._next_round_ms = now_ms + HEAD_ROUND_MS
        wanted = self._asks.again(ASKED_AGAIN_PER_ROUND_MAX, now_ms)
        self._head_moved = self._asks.refused_any
        return [(peer, Answer(settled=(), wanted=tuple(names))) for peer, names in wanted.items()]
