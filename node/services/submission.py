"""From a signed transaction to its result (flow 1 of the architecture).

Rule: “accepted” means durable here and kept on offer to every peer until it is decided; the same transaction can be submitted any
number of times and takes effect once. What a transaction's standing is, only blocks decide.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog

from contracts.admission import (
    Duplicate,
    Inadmissible,
    KeyNotValid,
    KeyRevoked,
    LifetimeTooLong,
    OriginNotListed,
    UnknownAccount,
    UnknownKey,
    WrongNetwork,
    admit,
    refusal_of,
)
from contracts.admission import Expired as WindowPassed
from contracts.keys import find_key
from contracts.methods import BlockContext
from contracts.records import Key
from contracts.state import INCLUDED, network
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy, InvariantViolation, LedgerError, LimitExceeded, NotFound
from ledger.hashing import transaction_id
from ledger.store_records import NotHeld
from ledger.types import TRANSACTION_SIZE_BYTES_MAX, Limits, Transaction, WebAuthn
from node.chain import Chain
from node.dissemination import Dissemination, steady_ms
from node.execution import FinalizedExecution
from node.gossip import GossipCounts, Verdict
from node.mempool import Mempool, Pending, SignatureCache
from node.poollog import PoolLog
from node.promises import Promises
from node.services.ports import Standing, TransactionStatus

EXPIRED_REMEMBERED_MAX: Final = 100_000
# Of those that were promised here, so much is remembered across restarts at least.
EXPIRED_LOGGED_BYTES_MAX: Final = 4 * 1024 * 1024
# How long an answer waits for peers to be connected; the promise holds without them.
SPREAD_TIMEOUT_S: Final = 1.0
# How often it is looked whether an expiry is due, while anything waits.
EXPIRY_LOOK_S: Final = 1.0

log = structlog.get_logger()


class Submission:
    """Implements the port `Submission`; also takes what peers send.

    Args:
        chain: the finalized chain.
        mempool, pool_log: where accepted transactions wait, in memory and durably. From the first `submit` on the log
            is this object's alone, until `stop`.
        verify: signature check.
        clock_ms: wall clock.
        account: this node's own.
        send: queues bytes for a peer (account id, payload); False when it is not connected or takes no more.
        wake: tells consensus that there is work.
        steady_ms: clock that never goes back.
        spread_timeout_s: how long an answer waits for f + 1 peers.
        taken_in: hears of every transaction that a client handed in here, also in a life before this one.
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
        account: bytes,
        send: Callable[[bytes, bytes], bool],
        wake: Callable[[], None],
        steady_ms: Callable[[], int] = steady_ms,
        spread_timeout_s: float = SPREAD_TIMEOUT_S,
        taken_in: Callable[[bytes], None] = lambda _name: None,
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._mempool = mempool
        self._verify = verify
        self._clock_ms = clock_ms
        self._account = account
        self._wake = wake
        self._news = False
        self._spread_timeout_s = spread_timeout_s
        self._taken_in = taken_in
        self._waiters: dict[bytes, list[asyncio.Future[None]]] = {}
        # Newest last; the encoded transaction of those that a rewritten log should hold, else nothing.
        self._expired: OrderedDict[bytes, bytes] = OrderedDict()
        self._expired_logged: OrderedDict[bytes, None] = OrderedDict()
        self._expired_logged_bytes = 0
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._promises = Promises(
            pool_log,
            undecided=lambda name: name in mempool,
            remembered=lambda: [self._expired[name] for name in self._expired_logged],
            on_kept=self._kept,
        )
        self._spread = Dissemination(mempool, self, send=send, now_ms=steady_ms)

    # --- clients ---

    async def submit(self, transaction: Transaction, *, wait_s: float) -> TransactionStatus:
        name = transaction_id(self._suite, transaction.body)
        if not self._decided_here(name):
            if name not in self._promises:
                # What is carried was checked; another signature over the same body makes it no other transaction.
                try:
                    entry = self._mempool.get(name) or self._accept_or_say(name, transaction)
                except WindowPassed:
                    self._require_history(name)
                    raise
                self._taken_in(name)
                await self._promises.keep(name, entry.encoded)
            await self._reach(name)
            if wait_s > 0:
                await self._decided(name, wait_s)
        return self.status(name)

    def status(self, transaction_id: bytes) -> TransactionStatus:
        location = self._chain.locate(transaction_id)
        if location is not None:
            header, results = self._chain.header(location.height), self._chain.results(location.height)
            if header is None or location.index >= len(results):
                self._require_history(transaction_id)  # pruned since it was found
            return TransactionStatus(
                transaction_id=transaction_id,
                standing=Standing.FINALIZED,
                location=location,
                time_ms=header.time_ms if header is not None else None,
                result=results[location.index],
            )
        if transaction_id in self._mempool:
            return TransactionStatus(transaction_id=transaction_id, standing=Standing.PENDING)
        if transaction_id in self._expired:
            return TransactionStatus(transaction_id=transaction_id, standing=Standing.EXPIRED)
        self._require_history(transaction_id)
        raise NotFound(what="transaction", id=transaction_id.hex())

    # --- peers ---

    @property
    def gossip_counts(self) -> GossipCounts:
        """What happened between this node and its peers, for metrics."""
        return self._spread.counts

    def receive(self, peer: bytes, payload: bytes) -> None:
        """A peer's message about transactions.

        Raises:
            LedgerError: the peer is at fault.
        """
        try:
            self._spread.received(peer, payload)
        finally:
            # Once for all that it brought: each time consensus looks through everything that it could do.
            if self._news:
                self._news = False
                self._wake()

    def connected(self, peer: bytes) -> None:
        self._spread.connected(peer)

    def disconnected(self, peer: bytes) -> None:
        self._spread.disconnected(peer)

    def tick(self) -> None:
        """Do what is due between peers, and look for due expiries; timers do it otherwise."""
        self._spread.tick()
        self._look_at_expiries()

    def settled(self, transaction_id: bytes) -> bool:
        """Implements `node.gossip.Intake`."""
        return transaction_id in self._mempool or self._decided_here(transaction_id)

    def take(self, encoded: bytes) -> tuple[bytes, Verdict]:
        """Implements `node.gossip.Intake`."""
        try:
            transaction = codec.decode(encoded, Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX)
        except LedgerError:
            return b"", Verdict.FORGED
        name = transaction_id(self._suite, transaction.body)
        if self.settled(name):
            return name, Verdict.KNOWN
        verdict = self._take(name, transaction)
        self._news = self._news or verdict is Verdict.TAKEN
        return name, verdict

    # --- life ---

    def recover(self, encoded: Iterable[bytes]) -> int:
        """Take back what the pool log held at start; how many are still to be decided.

        All of it was admitted once and promised, so that it is not held against the clock or the pool's bounds: what has become
        inadmissible since stays out of blocks, and is decided as expired when block time has passed it. But a file can have been
        changed, and peers would take us for the forger.
        """
        count = 0
        for item in encoded:
            try:
                transaction = codec.decode(item, Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX)
                self._require_signed(transaction)
            except LedgerError as error:
                log.error("promised transaction not taken back", code=error.code, reason=str(error))
                continue
            name = transaction_id(self._suite, transaction.body)
            if self._decided_here(name) or INCLUDED.get(self._chain.records, name) is not None:
                continue
            if transaction.body.valid_until_ms < self._chain.head_time_ms:
                # Behind the beginning of a history that began with a snapshot it may have been in a block.
                if self._chain.first_height == 1:
                    self._remember_expired(name, item, logged=True)
            elif self._mempool.add(name, transaction, promised=True) is not None:
                self._taken_in(name)
                self._promises.recovered(name, item)
                self._spread.carry(name)
                count += 1
        self._watch_expiries()
        return count

    async def stop(self) -> None:
        """Wait until the pool log is not written any more, so that it can be closed."""
        await self._promises.stop()
        self._spread.stop()
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None

    def block_finalized(self, final: FinalizedExecution) -> None:
        """Wake those who wait, and expire what this block's time has passed."""
        decided = list(final.executed.transaction_ids)
        for entry in self._mempool.remove_expired(final.executed.header.time_ms):
            name = entry.transaction_id
            self._remember_expired(name, entry.encoded, logged=name in self._promises)
            decided.append(name)
        for name in decided:
            self._promises.decided(name)
            for waiter in self._waiters.pop(name, []):
                if not waiter.done():
                    waiter.set_result(None)
        self._spread.decided(decided)

    # --- inside ---

    def _decided_here(self, name: bytes) -> bool:
        return name in self._expired or self._chain.locate(name) is not None

    def _accept_or_say(self, name: bytes, transaction: Transaction) -> Pending:
        """As `_accept`. Why a client's transaction is refused is an answer: it is said by what is proven of the state."""
        try:
            return self._accept(name, transaction)
        except (Inadmissible, InvariantViolation):
            admit(self._chain.records, transaction, name, self._context(transaction), self._verify)
            raise

    def _accept(self, name: bytes, transaction: Transaction) -> Pending:
        """Check a transaction against the head as execution reads it, and take it into the pool."""
        size_bytes = len(codec.encode(transaction))
        if size_bytes > TRANSACTION_SIZE_BYTES_MAX:
            raise LimitExceeded(
                limit="TRANSACTION_SIZE_BYTES_MAX", maximum=TRANSACTION_SIZE_BYTES_MAX, actual=size_bytes
            )
        self._mempool.require_room(transaction.body.account, size_bytes)
        admit(self._chain.executed_state(), transaction, name, self._context(transaction), self._verify)
        return self._add(name, transaction)

    def _add(self, name: bytes, transaction: Transaction) -> Pending:
        entry = self._mempool.add(name, transaction)
        if entry is None:
            raise InvariantViolation("a transaction was admitted that is in the pool")
        self._watch_expiries()
        return entry

    def _context(self, transaction: Transaction) -> BlockContext:
        """The next block, as far as it is known.

        Its time is the clock's, but no later than the transaction's own end while block time has not passed that: whether it
        is in a block, the next ones will tell, and until then nobody may say that it has expired.
        """
        limits: Limits = self._chain.genesis.limits
        time_ms = min(self._clock_ms(), transaction.body.valid_until_ms)
        return BlockContext(
            chain_id=self._chain.chain_id,
            suite=self._suite,
            height=self._chain.height + 1,
            time_ms=max(time_ms, self._chain.head_time_ms + 1),
            epoch=self._chain.epoch,
            proposer=b"",
            limits=limits,
        )

    def _take(self, name: bytes, transaction: Transaction) -> Verdict:
        try:
            self._accept(name, transaction)
        except (Busy, UnknownAccount, UnknownKey, LifetimeTooLong, OriginNotListed):
            return Verdict.LATER
        except (KeyRevoked, KeyNotValid):
            return self._take_ended(name, transaction)
        except (WindowPassed, Duplicate):
            return Verdict.NEVER
        except InvariantViolation as error:
            # Our own state cannot be read there, which is no fault of the peer's.
            log.error("the state cannot be read", reason=str(error))
            return Verdict.LATER
        except LedgerError as error:
            log.debug("peer's transaction refused", code=error.code)
            return Verdict.FORGED
        return Verdict.TAKEN

    def _take_ended(self, name: bytes, transaction: Transaction) -> Verdict:
        """Carry a transaction whose key has ended since a peer accepted it.

        It stays out of blocks. But that its time is over has to be seen by more than the node that accepted it, or an idle
        chain would never decide it.
        """
        key = self._key_of(transaction)
        if key is None or self._context(transaction).time_ms < key.valid_from_ms:
            return Verdict.LATER
        if not self._verify(key.scheme, key.public_key, transaction, self._webauthn):
            return Verdict.FORGED
        self._add(name, transaction)
        return Verdict.TAKEN

    def _require_history(self, name: bytes) -> None:
        """Raises NotHeld where a transaction that is not known may have been in a block below what is held here."""
        first_height = self._chain.first_height
        if first_height > 1:
            raise NotHeld(what="transaction", id=name.hex(), first_height=first_height)

    def _key_of(self, transaction: Transaction) -> Key | None:
        account = self._chain.records.account(transaction.body.account)
        return find_key(account, transaction.body.key_id) if account is not None else None

    def _require_signed(self, transaction: Transaction) -> None:
        """Raises WrongNetwork, TransactionSignatureInvalid; a key that is not known yet is no fault."""
        if transaction.body.chain_id != self._chain.chain_id:
            raise WrongNetwork
        key = self._key_of(transaction)
        if key is None or self._verify(key.scheme, key.public_key, transaction, self._webauthn):
            return
        refusal = refusal_of(key, transaction, self._suite, self._webauthn)
        # The list of origins may have changed since it was promised: it stays out of blocks, and is decided as expired.
        if not isinstance(refusal, OriginNotListed):
            raise refusal

    @property
    def _webauthn(self) -> WebAuthn:
        return network(self._chain.executed_state()).webauthn

    def _kept(self, name: bytes) -> None:
        self._spread.promised(name)
        self._wake()

    async def _reach(self, name: bytes) -> None:
        """Wait until f + 1 validators were sent the transaction, or all others if they are fewer; not for long."""
        validators = self._chain.validators.validators
        others = {validator.account for validator in validators if validator.account != self._account}
        count = min((len(validators) - 1) // 3 + 1, len(others))
        if not await self._spread.reached(name, others, count, self._spread_timeout_s):
            log.warning("accepted while peers are away", transaction_id=name.hex(), needed=count)

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

    def _remember_expired(self, name: bytes, encoded: bytes, *, logged: bool) -> None:
        """Remember the newest, and of those promised here so much that a restart remembers them too."""
        self._expired[name] = encoded if logged else b""
        if logged:
            self._expired_logged[name] = None
            self._expired_logged_bytes += len(encoded)
        while self._expired_logged_bytes > EXPIRED_LOGGED_BYTES_MAX:
            self._unlog(next(iter(self._expired_logged)))
        while len(self._expired) > EXPIRED_REMEMBERED_MAX:
            oldest = next(iter(self._expired))
            self._unlog(oldest)
            del self._expired[oldest]

    def _unlog(self, name: bytes) -> None:
        if name in self._expired_logged:
            del self._expired_logged[name]
            self._expired_logged_bytes -= len(self._expired[name])
            self._expired[name] = b""

    def _watch_expiries(self) -> None:
        if self._expiry_timer is None and len(self._mempool) > 0:
            loop = asyncio.get_running_loop()
            self._expiry_timer = loop.call_later(EXPIRY_LOOK_S, self._look_at_expiries)

    def _look_at_expiries(self) -> None:
        """An expiry that is due is work: on an idle chain nobody else would say so."""
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None
        next_expiry_ms = self._mempool.next_expiry_ms
        if next_expiry_ms is not None and next_expiry_ms < self._clock_ms():
            self._wake()
        self._watch_expiries()
