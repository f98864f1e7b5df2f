"""The engine on a real asyncio loop: timers by the loop, journal writes in a thread of their own, the wall clock.

Rule: a shell; it decides nothing. Whatever goes wrong inside the engine stops it at once and is told to `on_failure`, once: a node
that cannot keep its promises must not go on speaking.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from consensus.application import Application, Transport
from consensus.core.effects import Effect
from consensus.core.events import Timer
from consensus.core.machine import Machine
from consensus.core.restore import restore
from consensus.core.settings import Committee, Hashing, Timing
from consensus.engine import Engine, EngineStatus
from consensus.journal import Journal
from ledger.crypto.suite import QuorumScheme, VoteSigner

CLOSE_TIMEOUT_S: Final = 10.0


class SystemClock:
    """The wall clock of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ConsensusRunner:
    """Runs one node's consensus.

    Args:
        committee: who votes, and who this node is.
        timing: how long to wait.
        scheme: checks and aggregates votes.
        signer: this validator's vote key; None for a follower.
        hashing: the network's hashes.
        application: builds, executes and finalizes blocks.
        transport: carries messages.
        journal: the node's, as `node/journal.py` begins it; it says whether the node must keep silent.
        on_failure: told once, on the loop, why consensus stopped by itself.
        observe: sees every effect just before it is carried out.
    """

    def __init__(
        self,
        *,
        committee: Committee,
        timing: Timing,
        scheme: QuorumScheme,
        signer: VoteSigner | None,
        hashing: Hashing,
        application: Application,
        transport: Transport,
        journal: Journal,
        on_failure: Callable[[BaseException], None],
        observe: Callable[[Effect], None] | None = None,
    ) -> None:
        self._on_failure = on_failure
        self._failed = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[Timer | str, asyncio.TimerHandle] = {}
        self._write: asyncio.Future[None] | None = None
        head = application.block(application.finalized_height())
        machine = Machine(
            committee=committee,
            timing=timing,
            scheme=scheme,
            hashing=hashing,
            root=application.head(),
            certificate=head.certificate if head is not None else None,
            voting=signer is not None and not journal.follow_only,
        )
        restore(machine, journal.take_records(), hashing)
        self._engine = Engine(
            machine=machine,
            journal=journal,
            syncer=self,
            application=application,
            transport=transport,
            timers=self,
            clock=SystemClock(),
            signer=signer,
            hashing=hashing,
            observe=observe,
        )

    async def start(self) -> None:
        """Begin: blocks that the journal calls final are executed and finalized before this returns control for long."""
        self._loop = asyncio.get_running_loop()
        self._guard(self._engine.start)

    async def stop(self) -> None:
        """Stop speaking, let the running write end, and free the thread."""
        self._halt()
        if self._write is not None:
            await asyncio.wait([self._write], timeout=CLOSE_TIMEOUT_S)
        self._executor.shutdown(wait=False)

    def deliver(self, peer: int, data: bytes) -> None:
        """Hand over a message from the authenticated validator of index `peer`."""
        self._guard(lambda: self._engine.deliver(peer, data))

    def notify_work(self) -> None:
        """The application may have work now."""
        self._guard(self._engine.notify_work)

    def status(self) -> EngineStatus:
        return self._engine.status()

    # --- Timers and Syncer, for the engine --------------------------------------------------------------------------

    def set(self, timer: Timer | str, delay_ms: int) -> None:
        self.cancel(timer)
        if self._loop is not None:
            self._timers[timer] = self._loop.call_later(delay_ms / 1000, self._fire, timer)

    def cancel(self, timer: Timer | str) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def run(self, work: Callable[[], None], done: Callable[[BaseException | None], None]) -> None:
        if self._loop is None:
            return
        self._write = asyncio.ensure_future(self._loop.run_in_executor(self._executor, work))

        def written(future: asyncio.Future[None]) -> None:
            error = None if future.cancelled() else future.exception()
            self._guard(lambda: done(error))

        self._write.add_done_callback(written)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _fire(self, timer: Timer | str) -> None:
        self._timers.pop(timer, None)
        self._guard(lambda: self._engine.on_timer(timer))

    def _guard(self, call: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            call()
        except BaseException as error:
            self._failed = True
            self._halt()
            self._on_failure(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise

    def _halt(self) -> None:
        self._engine.stop()
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
