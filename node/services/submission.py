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
from ledger.errors import LedgerError, LimitExceeded, NotFound, Unavailable
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
        mempool, pool_log: where accepted transactions wait, in memory and durably. From the first `submit` on the log
            is this object's alone, until `stop`.
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
        self._promised: set[bytes] = set()
        self._to_log: list[tuple[bytes, asyncio.Future[None]]] = []
        self._log_task: asyncio.Task[None] | None = None
        self._log_in_doubt = False

    async def submit(self, transaction: Transaction, *, wait_s: float) -> TransactionStatus:
        name = transaction_id(self._suite, transaction.body)
        if self._chain.locate(name) is None and name not in self._expired:
            if name not in self._promised:
                self._accept(name, transaction)
                await self._promise(name, codec.encode(transaction))
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
        """Take back what the pool log held at start; how many are still to be decided.

        All of it was admitted once and promised, so it is neither judged anew nor held against the clock: what has
        become inadmissible since stays out of blocks, and is decided as expired when block time has passed it.
        """
        count = 0
        for item in encoded:
            try:
                transaction = codec.decode(item, Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX)
                name = transaction_id(self._suite, transaction.body)
                if self._chain.locate(name) is not None:
                    continue
                if transaction.body.valid_until_ms < self._chain.head_time_ms:
                    self._expired[name] = None
                elif self._mempool.add(name, transaction) is not None:
                    self._promised.add(name)
                    count += 1
            except LedgerError as error:
                log.error("promised transaction not taken back", code=error.code, reason=str(error))
        return count

    async def stop(self) -> None:
        """Wait until the pool log is not written any more, so that it can be closed."""
        if self._log_task is not None:
            await self._log_task

    def block_finalized(self, final: FinalizedExecution) -> None:
        """Wake those who wait, and expire what this block's time has passed."""
        for name in final.executed.transaction_ids:
            self._settle(name)
            self._promised.discard(name)
        for entry in self._mempool.remove_expired(final.executed.header.time_ms):
            self._expired[entry.transaction_id] = None
            self._settle(entry.transaction_id)
            self._promised.discard(entry.transaction_id)
        while len(self._expired) > EXPIRED_REMEMBERED_MAX:
            self._expired.popitem(last=False)

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

    async def _promise(self, name: bytes, encoded: bytes) -> None:
        """Make a transaction durable, then let the world know of it.

        Raises:
            Unavailable: it could not be made durable; nothing is promised.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._to_log.append((encoded, waiter))
        if self._log_task is None or self._log_task.done():
            self._log_task = asyncio.create_task(self._write_log(), name="pool log")
        await waiter
        if name in self._mempool:
            self._promised.add(name)
            self._spread(encoded)
            self._wake()

    async def _write_log(self) -> None:
        """Write what waits, one sync for all that came while the one before ran."""
        while self._to_log:
            batch, self._to_log = self._to_log, []
            rewritten: list[bytes] | None = None
            if self._log_in_doubt or self._pool_log.wants_rewrite:
                rewritten = [
                    entry.encoded for entry in self._mempool if entry.transaction_id in self._promised
                ]
            failure: LedgerError | None = None
            try:
                await asyncio.to_thread(self._write_batch, [encoded for encoded, _ in batch], rewritten)
            except Exception as error:
                log.exception("pool log cannot be written")
                failure = Unavailable(what="pool log", reason=str(error) or type(error).__name__)
            self._log_in_doubt = failure is not None
            for _, waiter in batch:
                if waiter.done():
                    continue
                if failure is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(failure)

    def _write_batch(self, new: list[bytes], rewritten: list[bytes] | None) -> None:
        """In a worker thread, the only place that touches the file: append, or begin the file anew."""
        if rewritten is not None:
            self._pool_log.rewrite([*rewritten, *new])
            return
        for encoded in new:
            self._pool_log.append(encoded)
        self._pool_log.sync()
