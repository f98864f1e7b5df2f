"""Gossip: its messages, and a node between two strangers that say whatever the input tells them to."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ledger import codec
from ledger.errors import DecodeError, LimitExceeded
from ledger.hashing import transaction_id
from ledger.types import TRANSACTION_SIZE_BYTES_MAX, Transaction
from node import gossip_messages
from node.gossip import Gossip, GossipFault, Sent, Verdict
from node.gossip_messages import MESSAGE_SIZE_BYTES_MAX, Answer, Message, Offer, Push
from node.mempool import Mempool, PoolLimits
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Script, Target, require
from tests.unit.ledger_world import SUITE, World

PEERS = (b"a" * 16, b"b" * 16, b"stranger........")
STEPS_MAX = 200
CARRIED_MAX = 8
_MESSAGE: Any = Message


@lru_cache(maxsize=1)
def transactions() -> tuple[tuple[bytes, Transaction], ...]:
    made = World()
    some = [made.transaction(number) for number in range(12)]
    return tuple((transaction_id(SUITE, one.body), one) for one in some)


class Taker:
    """Judges by the pool's bound and by the place of a transaction: some are too early, some too late, some forged."""

    def __init__(self, pool: Mempool) -> None:
        self._pool = pool
        self.decided: set[bytes] = set()

    def settled(self, transaction_id: bytes) -> bool:
        return transaction_id in self._pool or transaction_id in self.decided

    def take(self, encoded: bytes) -> tuple[bytes, Verdict]:
        try:
            transaction = codec.decode(encoded, Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX)
        except (DecodeError, LimitExceeded):
            return b"", Verdict.FORGED
        name = transaction_id(SUITE, transaction.body)
        place = next((at for at, (known, _) in enumerate(transactions()) if known == name), None)
        if place is None or place == 11:
            return name, Verdict.FORGED
        if self.settled(name):
            return name, Verdict.KNOWN
        if place in {9, 10}:
            return name, Verdict.LATER if place == 9 else Verdict.NEVER
        if len(self._pool) >= CARRIED_MAX:
            return name, Verdict.LATER
        self._pool.add(name, transaction)
        return name, Verdict.TAKEN


def run_message(data: bytes) -> None:
    message = gossip_messages.decode(data)
    require(gossip_messages.encode(message) == data, "a gossip message re-encodes to other bytes")


def run_gossip(data: bytes) -> None:
    """Messages, decisions and time by script: nothing raises but GossipFault, and what is sent can be read."""
    script, pool = Script(data), Mempool(PoolLimits())
    taker = Taker(pool)
    gossip, now_ms = Gossip(pool, taker), 1000
    known = transactions()
    for _ in range(STEPS_MAX):
        if script.ended:
            break
        peer = PEERS[script.below(len(PEERS))]
        sent: list[Sent] = []
        match script.below(10):
            case 0:
                sent = gossip.connected(peer, now_ms) if peer != PEERS[2] else []
            case 1:
                gossip.disconnected(peer)
            case 2:
                now_ms += (1, 300, 2500, 70_000)[script.below(4)]
                sent = gossip.tick(now_ms)
            case 3:
                name, transaction = known[script.below(CARRIED_MAX)]
                if not taker.settled(name) and len(pool) < CARRIED_MAX:
                    pool.add(name, transaction)
                    sent = gossip.promised(name, now_ms)
            case 4:
                name = known[script.below(len(known))][0]
                pool.remove(name)
                taker.decided.add(name)
                gossip.decided([name])
            case 5:
                sent = gossip.head_moved(now_ms)
            case _:
                try:
                    sent = gossip.received(peer, said(script), now_ms)
                except GossipFault:
                    continue
        check(sent)
        gossip.next_due_ms()


def said(script: Script) -> Message:
    """What a stranger says."""
    known = transactions()
    names = [name for name, _ in known] + [bytes(32), b"\xff" * 32]
    chosen = tuple(names[script.below(len(names))] for _ in range(1 + script.below(4)))
    match script.below(4):
        case 0:
            return Offer(ids=chosen)
        case 1:
            return Answer(settled=chosen[:1], wanted=chosen[1:])
        case 2:
            return Push(transactions=(script.some(1 + script.below(4)),))
        case _:
            count = 1 + script.below(3)
            return Push(transactions=tuple(codec.encode(known[script.below(12)][1]) for _ in range(count)))


def check(sent: list[Sent]) -> None:
    for peer, message in sent:
        encoded = gossip_messages.encode(message)
        require(peer in PEERS[:2], "something is sent to nobody")
        require(len(encoded) <= MESSAGE_SIZE_BYTES_MAX, "a message beyond its bound")
        require(gossip_messages.decode(encoded) == message, "a message that no peer can read")


def message_seeds() -> list[bytes]:
    (one, first), (two, second) = transactions()[:2]
    some: list[Message] = [
        Push(transactions=(codec.encode(first), codec.encode(second))),
        Offer(ids=(one, two)),
        Answer(settled=(one,), wanted=(two,)),
    ]
    return [gossip_messages.encode(message) for message in some]


TARGETS = (
    Target(
        name="node.gossip_message",
        run=run_message,
        seeds=message_seeds,
        examples=lambda: encodings(_MESSAGE),
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
    ),
    Target(
        name="node.gossip",
        run=run_gossip,
        seeds=lambda: [
            bytes((0, 0, 1, 0, 0, 3, 1, 0, 2, 1, 1, 6, 1, 2, 0)),
            b"\0\0" + b"".join(bytes((0, 6 + at % 4, at, at % 4, at, at)) for at in range(12)),
        ],
        errors=(),
        size_bytes_max=512,
    ),
)
