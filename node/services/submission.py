"""From a signed transaction to its result (flow 1 of the architecture).

Rule: “accepted” means durable here and sent to the peers; the same transaction can be submitted any number of times and
takes effect once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog

from contracts.admission import admit
from contracts.methods import BlockContext
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LedgerError, LimitExceeded, NotFound
from ledger.hashing import transaction_id
from ledger.types import TRANSACTION_SIZE_BYTES_MAX, Limits, Transaction
from node.chain import Chain
from node.execution import FinalizedExecution
from node.mempool import Mempool, Pending, SignatureCache
from node.poollog import PoolLog
from node.services.ports import Standing, TransactionStatus

EXPIRED_REMEMBERED_MAX: Final = 100_000

log = structlog.get_logger()


class Submission:
    """Implements the port `Submission`; also takes what peers send.

    Args:
        chain: the finalized chain.
        mempool, pool_log: where accepted transactions wait, in memory and durably.
        verify: signature check.
        clock_ms: wall clock.
        spread: sends encoded transactions to the peers.
        wake: tells consensus that there is work.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        mempool: Mempool,
        pool_log: PoolLog,
        verify: SignatureCache,
        clock_ms: Callable[[], int],
        spread: Callable[[bytes], None],
        wake: Callable[[], None],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._mempool = mempool
        self._pool_log = pool_log
        self._verify = verify
        self._clock_ms = clock_ms
        self._spread = spread
        self._wake = wake
        self._waiters: dict[bytes, list[asyncio.Future[None]]] = {}
        self._expired: OrderedDict[bytes, None] = OrderedDict()
        self._sync_wanted: list[asyncio.Future[None]] = []
        self._sync_task: asyncio.Task[None] | None = None

    async def submit(self, transaction: Transaction, *, wait_s: float) -> TransactionStatus:
        name = transaction_id(self._suite, transaction.body)
        if self._chain.locate(name) is None and name not in self._expired:
            pending = self._accept(name, transaction)
            if pending is not None:
                self._pool_log.append(pending.encoded)
                await self._synced()
                self._spread(pending.encoded)
                self._wake()
            if wait_s > 0:
                await self._decided(name, wait_s)
        return self.status(name)

    def status(self, transaction_id: bytes) -> TransactionStatus:
        location = self._chain.locate(transaction_id)
        if location is not None:
            header = self._chain.header(location.height)
            return TransactionStatus(
                transaction_id=transaction_id,
                standing=Standing.FINALIZED,
                location=location,
                time_ms=header.time_ms if header is not None else None,
                result=self._chain.results(location.height)[location.index],
            )
        if transaction_id in self._mempool:
            return TransactionStatus(transaction_id=transaction_id, standing=Standing.PENDING)
        if transaction_id in self._expired:
            return TransactionStatus(transaction_id=transaction_id, standing=Standing.EXPIRED)
        raise NotFound(what="transaction", id=transaction_id.hex())

    def receive(self, encoded: bytes) -> None:
        """A peer's transaction. What is inadmissible or does not fit is dropped; its own node still carries it."""
        try:
            transaction = codec.decode(encoded, Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX)
            name = transaction_id(self._suite, transaction.body)
            if self._chain.locate(name) is None and self._accept(name, transaction) is not None:
                self._wake()
        except LedgerError as error:
            log.debug("peer transaction dropped", code=error.code)

    def recover(self, encoded: Iterable[bytes]) -> int:
        """Take back what the pool log held at start; how many are still to be decided."""
        count = 0
        for item in encoded:
            with suppress(LedgerError):
                transaction = codec.decode(item, Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX)
                name = transaction_id(self._suite, transaction.body)
                if self._chain.locate(name) is None and self._accept(name, transaction) is not None:
                    count += 1
        return count

    def respread(self) -> None:
        """Send all that is pending again, to a peer that has just come back."""
        for entry in self._mempool:
            self._spread(entry.encoded)

    def block_finalized(self, final: FinalizedExecution) -> None:
        """Wake those who wait, and expire what this block's time has passed."""
        for name in final.executed.transaction_ids:
            self._settle(name)
        for entry in self._mempool.remove_expired(final.executed.header.time_ms):
            self._expired[entry.transaction_id] = None
            self._settle(entry.transaction_id)
        while len(self._expired) > EXPIRED_REMEMBERED_MAX:
            self._expired.popitem(last=False)
        if self._pool_log.wants_rewrite and not self._sync_wanted:
            self._pool_log.rewrite([entry.encoded for entry in self._mempool])

    def _accept(self, name: bytes, transaction: Transaction) -> Pending | None:
        limits: Limits = self._chain.genesis.limits
        size_bytes = len(codec.encode(transaction))
        if size_bytes > TRANSACTION_SIZE_BYTES_MAX:
            raise LimitExceeded(
                limit="TRANSACTION_SIZE_BYTES_MAX", maximum=TRANSACTION_SIZE_BYTES_MAX, actual=size_bytes
            )
        context = BlockContext(
            chain_id=self._chain.chain_id,
            suite=self._suite,
            height=self._chain.height + 1,
            time_ms=max(self._clock_ms(), self._chain.head_time_ms + 1),
            proposer=b"",
            limits=limits,
        )
        admit(self._chain.records, transaction, name, context, self._verify)
        return self._mempool.add(name, transaction)

    async def _decided(self, name: bytes, wait_s: float) -> None:
        if name not in self._mempool:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(name, []).append(waiter)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(waiter, wait_s)
        finally:
            waiting = self._waiters.get(name, [])
            if waiter in waiting:
                waiting.remove(waiter)
            if not waiting:
                self._waiters.pop(name, None)

    def _settle(self, name: bytes) -> None:
        for waiter in self._waiters.pop(name, []):
            if not waiter.done():
                waiter.set_result(None)

    async def _synced(self) -> None:
        """Wait until what was appended is durable; waiters that come while a sync runs share the next one."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sync_wanted.append(waiter)
        if self._sync_task is None or self._sync_task.done():
            self._sync_task = asyncio.create_task(self._sync_loop())
        await waiter

    async def _sync_loop(self) -> None:
        while self._sync_wanted:
            batch, self._sync_wanted = self._sync_wanted, []
            try:
                await asyncio.to_thread(self._pool_log.sync)
            except OSError as error:
                for waiter in batch:
                    waiter.set_exception(error)
                continue
            for waiter in batch:
                if not waiter.done():
                    waiter.set_result(None)
