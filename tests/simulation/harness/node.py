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
from consensus.core.restore import restore
from consensus.core.settings import Committee, Timing
from consensus.engine import Engine
from consensus.journal import Journal
from ledger.crypto.suite import QuorumScheme, VoteSigner
from ledger.types import FinalizedBlock
from network.simulated import Alarm, SimulatedNetwork, VirtualTime
from tests.simulation.harness.application import SimApplication, Store
from tests.simulation.harness.checkers import Checkers
from tests.simulation.harness.disk import SimDisk
from tests.simulation.harness.scheme import SimHashing

EPOCH_START_MS = 1_700_000_000_000
SEGMENT_SIZE_BYTES = 64 * 1024
GROUP_COMMIT_MS = 400

decode_once = lru_cache(maxsize=4096)(decode_message)


class Crash(BaseException):
    """The machine loses power in the middle of what it does."""


class SendingPort(Protocol):
    """How a node's messages reach the network; actors replace it."""

    def send(self, peer: int, message: bytes, *, lane: Lane) -> None: ...

    def broadcast(self, message: bytes, *, lane: Lane) -> None: ...


@dataclass(slots=True, kw_only=True)
class World:
    """What all machines of a run share."""

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
        crash_after_effects: lose power just before that many more effects; None for never.
        sync_delay_ms: bounds of how long a sync takes.
        skew_ms: how far its clock is ahead.
        honest: whether checkers watch it.
    """

    index: int
    world: World
    committee: Committee
    signer: VoteSigner
    store: Store
    disk: SimDisk
    honest: bool = True
    skew_ms: int = 0
    sync_delay_ms: tuple[int, int] = (1, 5)
    crash_after_effects: int | None = None
    port: SendingPort | None = None
    engine: Engine | None = None
    application: SimApplication | None = None
    journal_created: bool = False
    crashes: int = 0
    error: BaseException | None = None
    _alarms: dict[Timer | str, Alarm] = field(default_factory=dict)
    _writing: Callable[[], None] | None = None
    _incarnation: int = 0
    _starting: bool = False

    # --- power ------------------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        return self.engine is not None

    def start(self) -> None:
        """Power on: replay the journal, then run."""
        self._incarnation += 1
        self._guard(self._start)

    def _start(self) -> None:
        if not self.journal_created:
            journal = Journal.create(
                self.disk, follow_only=self.store.height > 0, segment_size_bytes=SEGMENT_SIZE_BYTES
            )
            self.journal_created = True
        else:
            journal = Journal.open(self.disk, segment_size_bytes=SEGMENT_SIZE_BYTES)
        application = SimApplication(self.store, self.world.hashing, self._on_final)
        head = application.block(application.finalized_height())
        if self.honest:
            chain = [(self.world.hashing.block_digest(one.block.header), one) for one in self.store.blocks]
            self.world.checkers.ancestry.on_restart(self.index, chain)
        machine = Machine(
            committee=self.committee,
            timing=self.world.timing,
            scheme=self.world.scheme,
            hashing=self.world.hashing,
            root=application.head(),
            certificate=head.certificate if head is not None else None,
            voting=not journal.follow_only,
        )
        restore(machine, journal.take_records(), self.world.hashing)
        self.application = application
        self.engine = Engine(
            machine=machine,
            journal=journal,
            syncer=self,
            application=application,
            transport=self.port if self.port is not None else self,
            timers=self,
            clock=self,
            signer=self.signer,
            hashing=self.world.hashing,
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

    def lose_journal(self) -> None:
        """The machine's journal is gone; its store is not."""
        self.disk.wipe()
        self.journal_created = False
        if self.honest:
            self.world.checkers.nothing_lost.on_journal_lost(self.index, self.store.height)

    def _guard(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Crash:
            self.crash()

    # --- what happens -----------------------------------------------------------------------------------------------

    def deliver(self, sender: int, data: bytes) -> None:
        engine = self.engine
        if engine is not None:
            self._guard(lambda: engine.deliver(sender, data))

    def notify_work(self) -> None:
        if self.engine is not None:
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
                self.application.commit_group()
                self.world.time.after(GROUP_COMMIT_MS, commit)

        self.world.time.after(GROUP_COMMIT_MS, commit)

    def _log(self, text: str) -> None:
        if self.world.trace is not None:
            self.world.trace(self.index, text)

    # --- Transport --------------------------------------------------------------------------------------------------

    def send(self, peer: int, message: bytes, *, lane: Lane) -> None:
        self.world.network.send(self.index, peer, message)

    def broadcast(self, message: bytes, *, lane: Lane) -> None:
        for peer in range(self.committee.size):
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
        self._alarms.pop(timer, None)
        if engine is not None:
            self._guard(lambda: engine.on_timer(timer))

    def now_ms(self) -> int:
        return EPOCH_START_MS + self.world.time.now_ms + self.skew_ms

    def run(self, work: Callable[[], None], done: Callable[[BaseException | None], None]) -> None:
        incarnation = self._incarnation
        self._writing = work

        def finish() -> None:
            if self._incarnation != incarnation:
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
