"""The engine on a real asyncio loop: timers by the loop, journal writes in a thread of their own, the wall clock.

Rule: a shell; it decides nothing. Whatever goes wrong inside the engine stops it at once and is told to `on_failure`, once: a node
that cannot keep its promises must not go on speaking.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from consensus.application import Application, Transport
from consensus.core.effects import Effect
from consensus.core.events import Timer
from consensus.core.settings import Hashing, Timing
from consensus.engine import Engine
from consensus.epochs import Epochs
from consensus.journal import Journal
from consensus.status import EngineStatus
from ledger.crypto.suite import QuorumScheme, VoteSigner
from ledger.types import Vote

CLOSE_TIMEOUT_S: Final = 10.0


class SystemClock:
    """The wall clock of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ConsensusRunner:
    """Runs one node's consensus.

    Args:
        chain_id: hash of the genesis document.
        account: this node's account, by which its peers know it.
        signers: its vote keys by public key: the one of the current epoch, and perhaps one that waits for the next.
        clock_drift_ms_max: how far a proposal's time may be from this node's clock, from genesis.
        timing: how long to wait.
        scheme: checks and aggregates votes.
        hashing: the network's hashes.
        application: builds, executes and finalizes blocks.
        transport: carries messages.
        journal: the node's, as `node/journal.py` begins it; it says which key must keep silent.
        on_failure: told once, on the loop, why consensus stopped by itself.
        on_evidence: told, on the loop, of two verified votes of one validator that exclude each other.
        on_forgotten: told, on the loop, the public vote key whose votes this node has forgotten; the journal silences it already.
        observe: sees every effect just before it is carried out.
    """

    def __init__(
        self,
        *,
        chain_id: bytes,
        account: bytes,
        signers: Mapping[bytes, VoteSigner],
        clock_drift_ms_max: int,
        timing: Timing,
        scheme: QuorumScheme,
        hashing: Hashing,
        application: Application,
        transport: Transport,
        journal: Journal,
        on_failure: Callable[[BaseException], None],
        on_evidence: Callable[[Vote, Vote], None] | None = None,
        on_forgotten: Callable[[bytes], None] | None = None,
        observe: Callable[[Effect], None] | None = None,
    ) -> None:
        self._on_failure = on_failure
        self._failed = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[Timer | str, asyncio.TimerHandle] = {}
        self._write: asyncio.Future[None] | None = None
        epochs = Epochs(
            chain_id=chain_id,
            account=account,
            signers=signers,
            silenced=journal.silenced,
            clock_drift_ms_max=clock_drift_ms_max,
            timing=timing,
            scheme=scheme,
            hashing=hashing,
            application=application,
            records=journal.take_records(),
        )
        self._engine = Engine(
            epochs=epochs,
            journal=journal,
            syncer=self,
            application=application,
            transport=transport,
            timers=self,
            clock=SystemClock(),
            hashing=hashing,
            on_evidence=on_evidence,
            on_forgotten=on_forgotten,
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

    def deliver(self, peer: bytes, data: bytes) -> None:
        """Hand over a message from the authenticated peer of that account."""
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
