"""One simulated machine: an engine with its disk, store, clock, timers and network port, which can crash and start again.

Rule: what survives a crash is in `disk` and `store`; everything else is made anew by `start`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Protocol

from consensus.core.effects import Effect, Lane
from consensus.core.events import Timer
from consensus.core.machine import Machine
from consensus.core.messages import Message, decode_message, encode_message
from consensus.core.settings import Committee, Timing
from consensus.engine import Engine
from consensus.epochs import Epochs
from consensus.journal import Journal
from ledger.crypto.suite import QuorumScheme, VoteSigner
from ledger.types import FinalizedBlock, Vote
from network.simulated import Alarm, SimulatedNetwork, VirtualTime
from tests.simulation.harness.application import SimApplication, Store
from tests.simulation.harness.checkers import Checkers
from tests.simulation.harness.disk import SimDisk
from tests.simulation.harness.scheme import SimHashing

EPOCH_START_MS = 1_700_000_000_000
SEGMENT_SIZE_BYTES = 64 * 1024
GROUP_COMMIT_MS = 400
CLOCK_DRIFT_MS_MAX = 10_000
HELD_MAX = 4096

decode_once = lru_cache(maxsize=4096)(decode_message)


def account_of(index: int) -> bytes:
    """The account of a machine."""
    return index.to_bytes(16, "big")


def index_of(account: bytes) -> int:
    return int.from_bytes(account, "big")


class Crash(BaseException):
    """The machine loses power in the middle of what it does."""


class Shameless(Epochs):
    """For validators that mean to vote twice."""

    def _enter(self, *, wary: bool) -> Machine:
        machine = super()._enter(wary=False)
        machine.memory.lacks = lambda certificate: False  # type: ignore[method-assign]
        return machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A machine's folders as they were."""

    store: Store
    disk: SimDisk


class SendingPort(Protocol):
    """How a node's messages reach the network; actors replace it."""

    def send(self, peer: bytes, message: bytes, *, lane: Lane) -> None: ...

    def broadcast(self, message: bytes, *, lane: Lane) -> None: ...


@dataclass(slots=True, kw_only=True)
class World:
    """What all machines of a run share.

    Attributes:
        size: how many machines there are.
    """

    chain_id: bytes
    size: int
    time: VirtualTime
    network: SimulatedNetwork
    random: Random
    scheme: QuorumScheme
    hashing: SimHashing
    checkers: Checkers
    timing: Timing
    trace: Callable[[int, str], None] | None = None
    effects_seen: Callable[[int, Effect], None] | None = None


@dataclass(slots=True, kw_only=True)
class SimNode:
    """A machine that runs the real engine.

    Attributes:
        signers: its vote keys by public key, oldest first.
        crash_after_effects: lose power just before that many more effects; None for never.
        sync_delay_ms: bounds of how long a sync takes.
        skew_ms: how far its clock is ahead.
        honest: whether checkers watch it.
        shameless: it goes on voting when others hold votes by its key that it does not remember.
        forgotten: keys whose votes it noticed to have forgotten.
        evidence: conflicting votes that it proved, as the node is told.
    """

    index: int
    world: World
    signers: dict[bytes, VoteSigner]
    store: Store
    disk: SimDisk
    honest: bool = True
    shameless: bool = False
    skew_ms: int = 0
    sync_delay_ms: tuple[int, int] = (1, 5)
    crash_after_effects: int | None = None
    port: SendingPort | None = None
    engine: Engine | None = None
    application: SimApplication | None = None
    journal_created: bool = False
    crashes: int = 0
    forgotten: list[bytes] = field(default_factory=list)
    evidence: list[tuple[Vote, Vote]] = field(default_factory=list)
    _silenced: bytes | None = None
    _held: list[Callable[[], None]] | None = None
    _alarms: dict[Timer | str, Alarm] = field(default_factory=dict)
    _writing: Callable[[], None] | None = None
    _incarnation: int = 0
    _starting: bool = False

    # --- power ------------------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        return self.engine is not None

    @property
    def account(self) -> bytes:
        return account_of(self.index)

    @property
    def committee(self) -> Committee:
        """Of the epoch that the engine is in."""
        if self.engine is None:
            raise Crash
        return self.engine.machine.committee

    @property
    def vote_key(self) -> bytes | None:
        """Its key in the set that its store knows; None when it is no validator."""
        own = [one.vote_key for one in self.store.validators.validators if one.account == self.account]
        return own[0] if own else None

    def start(self) -> None:
        """Power on: replay the journal, then run."""
        self._incarnation += 1
        self._guard(self._start)

    def _start(self) -> None:
        if not self.journal_created:
            journal = Journal.create(
                self.disk,
                silenced=self._silenced,
                segment_size_bytes=SEGMENT_SIZE_BYTES,
            )
            self.journal_created = True
        else:
            journal = Journal.open(self.disk, segment_size_bytes=SEGMENT_SIZE_BYTES)
        application = SimApplication(self.store, self.world.hashing, self._on_final)
        if self.honest:
            chain = [(self.world.hashing.block_digest(one.block.header), one) for one in self.store.blocks]
            self.world.checkers.ancestry.on_restart(self.index, chain)
        epochs = (Shameless if self.shameless else Epochs)(
            chain_id=self.world.chain_id,
            account=self.account,
            signers=self.signers,
            silenced=journal.silenced,
            clock_drift_ms_max=CLOCK_DRIFT_MS_MAX,
            timing=self.world.timing,
            scheme=self.world.scheme,
            hashing=self.world.hashing,
            application=application,
            records=journal.take_records(),
        )
        self.application = application
        self.engine = Engine(
            epochs=epochs,
            journal=journal,
            syncer=self,
            application=application,
            transport=self.port if self.port is not None else self,
            timers=self,
            clock=self,
            hashing=self.world.hashing,
            on_evidence=lambda first, second: self.evidence.append((first, second)),
            on_forgotten=self._on_forgotten,
            observe=self._observe,
            decode=decode_once,
            encode=encode_message,
        )
        self.engine.start()
        if self.honest:
            self.world.checkers.nothing_lost.on_recovered(self.index, application.finalized_height())
        self._schedule_group_commit(self._incarnation)

    def crash(self) -> None:
        """Power off, in the middle of whatever it does."""
        if self.engine is None:
            return
        self._log("crash")
        self.engine.stop()
        self.engine = None
        self.crashes += 1
        self._incarnation += 1
        for alarm in self._alarms.values():
            alarm.cancel()
        self._alarms.clear()
        if self._writing is not None:
            self.disk.dying = True
            self._writing()
            self._writing = None
        self.disk.crash()
        self.application = None
        self.crash_after_effects = None
        self._held = None

    def lose_journal(self) -> None:
        """The machine's journal is gone; its store is not. The next one silences the vote key."""
        self.disk.wipe()
        self.journal_created = False
        self._silenced = self.vote_key if self.store.height > 0 else None
        if self.honest:
            self.world.checkers.nothing_lost.on_journal_lost(self.index, self.store.height)

    def backup(self) -> Backup:
        """What a copy of the machine's folders holds."""
        return Backup(store=self.store.copy(), disk=self.disk.copy())

    def bring_back(self, backup: Backup) -> None:
        """While it is off: put an old copy in place of the folders."""
        self.store, self.disk = backup.store.copy(), backup.disk.copy()

    def pause(self) -> None:
        """Stop the process; what arrives and what is due waits."""
        if self.engine is not None and self._held is None:
            self._held = []

    def resume(self) -> None:
        """Go on, with all that has waited."""
        held, self._held = self._held, None
        for call in held or ():
            call()

    def _hold(self, call: Callable[[], None]) -> bool:
        """Whether the machine is paused, so that the call waits."""
        if self._held is None:
            return False
        if len(self._held) < HELD_MAX:
            self._held.append(call)
        return True

    def _on_forgotten(self, vote_key: bytes) -> None:
        self.forgotten.append(vote_key)
        self._log("has forgotten votes")

    def _guard(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Crash:
            self.crash()

    # --- what happens -----------------------------------------------------------------------------------------------

    def deliver(self, sender: int, data: bytes) -> None:
        engine = self.engine
        if engine is not None and not self._hold(lambda: self.deliver(sender, data)):
            self._guard(lambda: engine.deliver(account_of(sender), data))

    def notify_work(self) -> None:
        if self.engine is not None and self._held is None:
            self._guard(self.engine.notify_work)

    def _observe(self, effect: Effect) -> None:
        if self.crash_after_effects is not None:
            self.crash_after_effects -= 1
            if self.crash_after_effects < 0:
                raise Crash
        if self.honest:
            self.world.checkers.on_effect(self.index, effect)
        if self.world.effects_seen is not None:
            self.world.effects_seen(self.index, effect)

    def _on_final(self, finalized: FinalizedBlock, digest: bytes) -> None:
        if self.honest:
            self.world.checkers.on_final(self.index, finalized, digest)

    def _schedule_group_commit(self, incarnation: int) -> None:
        def commit() -> None:
            if self._incarnation == incarnation and self.application is not None:
                if self._held is None:
                    self.application.commit_group()
                self.world.time.after(GROUP_COMMIT_MS, commit)

        self.world.time.after(GROUP_COMMIT_MS, commit)

    def _log(self, text: str) -> None:
        if self.world.trace is not None:
            self.world.trace(self.index, text)

    # --- Transport --------------------------------------------------------------------------------------------------

    def send(self, peer: bytes, message: bytes, *, lane: Lane) -> None:
        self.world.network.send(self.index, index_of(peer), message)

    def broadcast(self, message: bytes, *, lane: Lane) -> None:
        for peer in range(self.world.size):
            if peer != self.index:
                self.world.network.send(self.index, peer, message)

    # --- Timers, Clock, Syncer --------------------------------------------------------------------------------------

    def set(self, timer: Timer | str, delay_ms: int) -> None:
        self.cancel(timer)
        self._alarms[timer] = self.world.time.after(delay_ms, lambda: self._fire(timer))

    def cancel(self, timer: Timer | str) -> None:
        alarm = self._alarms.pop(timer, None)
        if alarm is not None:
            alarm.cancel()

    def _fire(self, timer: Timer | str) -> None:
        engine = self.engine
        incarnation = self._incarnation
        if self._hold(lambda: self._fire(timer) if self._incarnation == incarnation else None):
            return
        self._alarms.pop(timer, None)
        if engine is not None:
            self._guard(lambda: engine.on_timer(timer))

    def now_ms(self) -> int:
        return EPOCH_START_MS + self.world.time.now_ms + self.skew_ms

    def run(self, work: Callable[[], None], done: Callable[[BaseException | None], None]) -> None:
        incarnation = self._incarnation
        self._writing = work

        def finish() -> None:
            if self._incarnation != incarnation or self._hold(finish):
                return
            self._writing = None
            error: BaseException | None = None
            try:
                work()
            except OSError as failure:
                error = failure
            self._guard(lambda: done(error))

        self.world.time.after(self.world.random.randint(*self.sync_delay_ms), finish)


def message_of(data: bytes) -> Message:
    """For actors and tests: the message in an honest node's bytes."""
    return decode_once(data)
