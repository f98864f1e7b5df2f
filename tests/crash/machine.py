"""One machine of the crash tests: the real journal, store, contracts, committer and pool log, on virtual time.

What leaves it, and what it acknowledges to clients, is written down at once in a file that a kill cannot take back.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from consensus.application import Lane
from consensus.core.events import Timer
from consensus.core.settings import Timing
from consensus.engine import Engine
from consensus.epochs import Epochs
from consensus.journal import Journal, is_journal
from contracts.genesis import genesis_state
from ledger import codec
from ledger.hashing import transaction_id
from ledger.types import Transaction
from network.simulated import Alarm, VirtualTime
from node.bridges import SuiteHashing
from node.committer import Committer
from node.execution import Execution, FinalizedExecution
from node.mempool import Mempool, PoolLimits, SignatureCache
from tests.crash.points import CrashDisk, CrashPoints, CrashPoolLog, CrashStore, CrashTransport
from tests.unit.contracts_world import OPERATORS, START_MS, SUITE, VOTERS
from tests.unit.node_replica import make_genesis

SEGMENT_SIZE_BYTES: Final = 6_000
GROUP_WAIT_MS: Final = 300
LINK_MS: Final = 20
TIMING: Final = Timing(delta_ms=100, delta_ms_max=1_000, repeat_ms=300, standstill_ms=1_000, status_ms=500)
GENESIS: Final = make_genesis()


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A line of what cannot be taken back.

    Attributes:
        node: index of the machine.
        what: "sent", "accepted" or "final".
        data: the message, the transaction, or the block's digest, in hexadecimal.
        height: of the block.
        transactions: ids in the block.
    """

    node: int
    what: str
    data: str
    height: int = 0
    transactions: tuple[str, ...] = ()


@dataclass(slots=True)
class World:
    """What the machines of one process share."""

    folder: Path
    points: CrashPoints
    loop: asyncio.AbstractEventLoop
    start_ms: int
    time: VirtualTime = field(default_factory=VirtualTime)
    machines: list[Machine] = field(default_factory=list)
    _said: int = -1

    def __post_init__(self) -> None:
        self._said = os.open(self.folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, said: Said) -> None:
        os.write(self._said, msgspec.json.encode(said) + b"\n")

    def now_ms(self) -> int:
        return self.start_ms + self.time.now_ms


class Machine:
    """A validator. Only the first one's points are counted; a kill takes them all."""

    def __init__(self, world: World, index: int) -> None:
        self.world = world
        self.index = index
        points = world.points if index == 0 else CrashPoints()
        self._points = points
        home = world.folder / f"node-{index}"
        self.account = OPERATORS[index].account
        self._alarms: dict[Timer | str, Alarm] = {}
        self.store = self._open_store(home / "store")
        self.store.points = points
        disk = CrashDisk(home / "journal", points)
        self.pool_log = CrashPoolLog(home / "pool.log", points)
        self.mempool = Mempool(PoolLimits())
        verify = SignatureCache(SUITE)
        self.execution = Execution(
            suite=SUITE,
            store=self.store,
            mempool=self.mempool,
            verify=verify,
            on_finalized=self._on_finalized,
            clock_ms=world.now_ms,
        )
        for encoded in self.pool_log.recovered():
            self._pool(codec.decode(encoded, Transaction, size_bytes_max=len(encoded)))
        make = Journal.open if is_journal(disk) else _create
        self.journal = make(disk, segment_size_bytes=SEGMENT_SIZE_BYTES)
        self.committer = Committer(
            self.execution, self.store, mark_journal=self.journal.mark, on_ready=self.notify
        )
        epochs = Epochs(
            chain_id=self.store.chain_id,
            account=self.account,
            signers={VOTERS[index].public_key: VOTERS[index]},
            silenced=self.journal.silenced,
            clock_drift_ms_max=GENESIS.limits.clock_drift_ms_max,
            timing=TIMING,
            scheme=SUITE.quorum,
            hashing=SuiteHashing(SUITE),
            application=self.execution,
            records=self.journal.take_records(),
        )
        self.engine = Engine(
            epochs=epochs,
            journal=self.journal,
            syncer=self,
            application=self.execution,
            transport=CrashTransport(self, points),
            timers=self,
            clock=world,
            hashing=SuiteHashing(SUITE),
        )

    def _open_store(self, path: Path) -> CrashStore:
        if path.exists():
            return CrashStore.open(path, SUITE)
        return CrashStore.create(path, SUITE, GENESIS, genesis_state(SUITE, GENESIS))

    def start(self) -> None:
        self.engine.start()
        self.world.time.after(GROUP_WAIT_MS, self._commit)
        for entry in self.mempool:
            self._spread(entry.transaction)

    def notify(self) -> None:
        self.engine.notify_work()

    # --- what happens ---

    def accept(self, transaction: Transaction) -> None:
        """What a client sends: promised once it is durable here."""
        encoded = codec.encode(transaction)
        self.pool_log.append(encoded)
        self.pool_log.sync()
        self.world.say(Said(node=self.index, what="accepted", data=_id(transaction)))
        self._pool(transaction)
        self._spread(transaction)
        self.notify()

    def _spread(self, transaction: Transaction) -> None:
        for other in self.world.machines:
            self.world.time.after(LINK_MS, partial(other.hear, transaction))

    def hear(self, transaction: Transaction) -> None:
        self._pool(transaction)
        self.notify()

    def _pool(self, transaction: Transaction) -> None:
        name = transaction_id(SUITE, transaction.body)
        if name not in self.mempool and self.execution.locate(name) is None:
            self.mempool.add(name, transaction)

    def _on_finalized(self, final: FinalizedExecution) -> None:
        self._points.reach("apply: before it is acknowledged")
        self.world.say(
            Said(
                node=self.index,
                what="final",
                data=final.executed.digest.hex(),
                height=final.executed.header.height,
                transactions=tuple(name.hex() for name in final.executed.transaction_ids),
            )
        )
        self._points.reach("apply: after it is acknowledged")

    def _commit(self) -> None:
        self.world.loop.run_until_complete(self.committer.flush())
        self.world.time.after(GROUP_WAIT_MS, self._commit)

    # --- Transport ---

    def send(self, peer: bytes, message: bytes, *, lane: Lane) -> None:
        self.world.say(Said(node=self.index, what="sent", data=message.hex()))
        for other in self.world.machines:
            if other.account == peer:
                self.world.time.after(LINK_MS, partial(other.engine.deliver, self.account, message))

    def broadcast(self, message: bytes, *, lane: Lane) -> None:
        for other in self.world.machines:
            if other is not self:
                self.send(other.account, message, lane=lane)

    # --- Timers, Syncer ---

    def set(self, timer: Timer | str, delay_ms: int, /) -> None:
        self.cancel(timer)
        self._alarms[timer] = self.world.time.after(delay_ms, lambda: self.engine.on_timer(timer))

    def cancel(self, timer: Timer | str, /) -> None:
        alarm = self._alarms.pop(timer, None)
        if alarm is not None:
            alarm.cancel()

    def run(self, work: Callable[[], None], done: Callable[[BaseException | None], None], /) -> None:
        def finish() -> None:
            work()
            done(None)

        self.world.time.after(1, finish)


def _create(disk: CrashDisk, *, segment_size_bytes: int) -> Journal:
    return Journal.create(disk, silenced=None, segment_size_bytes=segment_size_bytes)


def _id(transaction: Transaction) -> str:
    return transaction_id(SUITE, transaction.body).hex()


def open_world(folder: Path, *, deadly: int, start_ms: int = START_MS) -> World:
    """All machines of a folder, not started."""
    world = World(folder, CrashPoints(deadly), asyncio.new_event_loop(), start_ms)
    for index in range(len(VOTERS)):
        world.machines.append(Machine(world, index))
    return world
