"""The store of a running node: what leaves it is hashed again, and refused where it is not what was certified.

Rule: a block comes out with its digest, its place in the chain, its transactions and its certificate proven, results with the root
that their header names, a change of validators with the proof that it is one, a state value with its path to a certified root.
Whoever serves users or peers reads here, so there is one place that checks. Only execution reads values unproven: every block that
it executes ends in a root that a quorum has certified.

What was proven is remembered by its hash, so that reading it again costs one hash. The first thing that is found damaged is logged,
once, and remembered: the node says that it is not ready, and goes on with everything else.

What cannot be noticed from one record is a record that is gone without a trace, such as a transaction's entry in the table of ids;
for that there is `zhenglian node check`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from ledger import codec
from ledger.crypto.suite import chain_id
from ledger.epochs import advance_trust
from ledger.errors import LedgerError, StorageDamaged, Unavailable
from ledger.hashing import block_digest, results_root, transaction_id, transactions_root
from ledger.light import TRUST_VERSION, check_finality
from ledger.state_tree import verify_state
from ledger.store import EPOCH_CHANGES_READ_MAX, RANGE_BLOCKS_MAX, Store
from ledger.store_records import CommittedBlock, number
from ledger.types import EpochChange, FinalizedBlock, Result, Trust

# Some 100 bytes each.
BLOCKS_REMEMBERED: Final = 16_384
VALUES_REMEMBERED: Final = 65_536

log = structlog.get_logger()


class ServedDamaged(StorageDamaged):
    """What this node would have served is not what was certified. Fields: what, reason."""

    zh = (
        "本节点的账本存储已损坏（{what}：{reason}），已拒绝提供；请换一个节点查询。"
        "运营方请执行 zhenglian node doctor，停止节点后执行 zhenglian node resync"
    )
    en = (
        "This node's store is damaged ({what}: {reason}), so it is not served; ask another node. "
        "Operator: run zhenglian node doctor, stop the node, run zhenglian node resync"
    )


class _Remembered:
    """What was proven, by name: the hash of it. Bounded, the oldest goes first; any thread may ask."""

    def __init__(self, entries_max: int) -> None:
        self._entries: dict[bytes, bytes | None] = {}
        self._entries_max = entries_max
        self._lock = threading.Lock()

    def knows(self, name: bytes, digest: bytes | None) -> bool:
        with self._lock:
            return name in self._entries and self._entries[name] == digest

    def known(self, name: bytes) -> bytes | None:
        with self._lock:
            return self._entries.get(name)

    def keep(self, name: bytes, digest: bytes | None) -> None:
        with self._lock:
            self._entries.pop(name, None)
            self._entries[name] = digest
            if len(self._entries) > self._entries_max:
                del self._entries[next(iter(self._entries))]

    def renew(self, name: bytes, digest: bytes | None) -> None:
        """As `keep`, of a name that is remembered."""
        with self._lock:
            if name in self._entries:
                self._entries[name] = digest


class _Proven:
    """What a store remembers beside what it stores.

    Attributes:
        blocks, contents, results: by height; the contents are a block without its certificate.
        values: by state key.
        roots: state root by height.
        trusts: by epoch, each proven by the one before.
        damage: what was found damaged first; empty while nothing was.
    """

    def __init__(self, trust: Trust) -> None:
        self.blocks = _Remembered(BLOCKS_REMEMBERED)
        self.contents = _Remembered(BLOCKS_REMEMBERED)
        self.results = _Remembered(BLOCKS_REMEMBERED)
        self.roots = _Remembered(BLOCKS_REMEMBERED)
        self.values = _Remembered(VALUES_REMEMBERED)
        self.trusts = {trust.validators.epoch: trust}
        self.changes: dict[int, bytes] = {}
        self.damage = ""
        self.lock = threading.Lock()


class ServedStore(Store):
    """A `Store` whose readers get what was certified, or `ServedDamaged`."""

    _remembered: _Proven | None = None

    @property
    def damage(self) -> str:
        """What was found damaged first since the start; empty while nothing was."""
        return self._proven.damage

    def block(self, height: int) -> FinalizedBlock | None:
        """As `Store.block`, proven with its certificate. Raises ServedDamaged."""
        with self.watched(f"block {height}"):
            return self._sound(height, super().block(height), self._prove_block)

    def contents(self, height: int) -> FinalizedBlock | None:
        """As `block`, for who uses header and transactions only: the certificate's signature is not verified."""
        with self.watched(f"block {height}"):
            return self._sound(height, super().block(height), self._prove_contents)

    def blocks(self, first_height: int, *, blocks_max: int, size_bytes: int) -> tuple[FinalizedBlock, ...]:
        """As `Store.blocks`, up to the first that is damaged; raises ServedDamaged where that is the very first."""
        found: list[FinalizedBlock] = []
        for height in range(first_height, first_height + min(blocks_max, RANGE_BLOCKS_MAX)):
            try:
                block = self.block(height) if size_bytes > 0 else None
            except StorageDamaged:
                if not found:
                    raise
                break
            if block is None:
                break
            found.append(block)
            size_bytes -= len(codec.encode(block))
        return tuple(found)

    def results(self, height: int) -> tuple[Result, ...] | None:
        """As `Store.results`, proven against the header. Raises ServedDamaged."""
        with self.watched(f"results {height}"):
            found = super().results(height)
            if found is None:
                if self.contents(height) is not None and super().results(height) is None:
                    raise StorageDamaged(what=f"results {height}", reason="they are missing")
                return None
            digest = self._suite.digest(codec.encode(found))
            if not self._proven.results.knows(number(height), digest):
                block = self.contents(height)
                if block is None or block.block.header.results_root != results_root(self._suite, found):
                    raise StorageDamaged(what=f"results {height}", reason="not what the header names")
                self._proven.results.keep(number(height), digest)
            return found

    def transaction_location(self, transaction: bytes) -> tuple[int, int] | None:
        """As `Store.transaction_location`; the transaction is there. Raises ServedDamaged."""
        with self.watched(f"transaction {transaction.hex()}"):
            found = super().transaction_location(transaction)
            if found is None:
                return None
            height, index = found
            block = self.contents(height)
            if block is None and height < self.first_height:
                return None
            bodies = block.block.transactions if block is not None else ()
            if index >= len(bodies) or transaction_id(self._suite, bodies[index].body) != transaction:
                raise StorageDamaged(what="table of transactions", reason=f"{transaction.hex()} is elsewhere")
            return found

    def epoch_changes(
        self, from_epoch: int, *, limit: int = EPOCH_CHANGES_READ_MAX
    ) -> tuple[EpochChange, ...]:
        """As `Store.epoch_changes`, each proven by the set before it. Raises ServedDamaged."""
        with self.watched(f"end of epoch {from_epoch}"):
            found = super().epoch_changes(from_epoch, limit=limit)
            for epoch, change in enumerate(found, start=from_epoch):
                self._trust(epoch)
                self._prove_change(epoch, change)
            end = from_epoch + len(found)
            if (
                len(found) < min(limit, EPOCH_CHANGES_READ_MAX)
                and self.genesis.validators.epoch <= end < self.head.epoch
            ):
                raise StorageDamaged(what="epochs", reason=f"the end of epoch {end} is missing")
            return found

    def proven_value(self, key: bytes) -> bytes | None:
        """The state at the head under a key, proven to be that, or to be nothing. Raises ServedDamaged."""
        with self.watched(f"state value {key.hex()}"):
            value = self.get(key)
            digest = self._suite.digest(value) if value is not None else None
            if self._proven.values.knows(key, digest):
                return value
            proven = self.prove_value(key)
            root = self._state_root(proven.height)
            if not verify_state(self._suite, root, key, proven.value, proven.proof):
                raise StorageDamaged(
                    what="state", reason=f"{key.hex()} is not what height {proven.height} certifies"
                )
            digest = self._suite.digest(proven.value) if proven.value is not None else None
            self._proven.values.keep(key, digest)
            return proven.value

    def scan(self, prefix: bytes, *, start: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        """As `Store.scan`: unproven, to find keys by; `proven_value` has what is under them."""
        with self.watched("state"):
            return super().scan(prefix, start=start, limit=limit)

    def commit(self, group: Sequence[CommittedBlock]) -> None:
        """As `Store.commit`. What a quorum certified a moment ago needs no proof when it is read again."""
        super().commit(group)
        proven, suite = self._proven, self._suite
        for committed in group:
            finalized, name = committed.finalized, number(committed.finalized.block.header.height)
            proven.blocks.keep(name, suite.digest(codec.encode(finalized)))
            proven.contents.keep(name, suite.digest(codec.encode(finalized.block)))
            proven.results.keep(name, suite.digest(codec.encode(committed.results)))
            proven.roots.keep(name, finalized.block.header.state_root)
            for key, value in committed.writes.items():
                proven.values.renew(key, None if value is None else suite.digest(value))

    @contextmanager
    def watched(self, what: str) -> Iterator[None]:
        """Damage gets the words for who asked, and is told to the operator once."""
        try:
            yield
        except ServedDamaged:
            raise
        except StorageDamaged as error:
            reason = str(error.fields["reason"])
            proven = self._proven
            with proven.lock:
                first, proven.damage = not proven.damage, proven.damage or f"{what}: {reason}"
            if first:
                log.error(
                    "this node's store is damaged; what differs is not served",
                    what=what,
                    reason=reason,
                    remedy="zhenglian node doctor; stop the node; zhenglian node resync",
                )
            raise ServedDamaged(what=what, reason=reason) from error

    # --- proving ----------------------------------------------------------------------------------------------------

    @property
    def _proven(self) -> _Proven:
        if self._remembered is None:
            trust = Trust(
                version=TRUST_VERSION,
                network=self.genesis.network,
                suite=self.genesis.suite,
                chain_id=chain_id(self._suite, self.genesis),
                validators=self.genesis.validators,
            )
            self._remembered = _Proven(trust)
        return self._remembered

    def _sound(
        self, height: int, found: FinalizedBlock | None, prove: Callable[[int, FinalizedBlock], None]
    ) -> FinalizedBlock | None:
        if found is None:
            self._require_not_held(height)
            return None
        try:
            prove(height, found)
        except StorageDamaged:
            raise
        except LedgerError as error:
            raise StorageDamaged(what=f"block {height}", reason=error.message()) from error
        return found

    def _require_not_held(self, height: int) -> None:
        """Nothing under a height is right below the first and above the head only."""
        with self.reading() as view:
            first, head = (view.get("meta", name) or b"" for name in (b"first", b"head"))
            held = int.from_bytes(first, "big") <= height <= int.from_bytes(head, "big")
            if held and height > 0 and view.get("blocks", number(height)) is None:
                raise StorageDamaged(what=f"block {height}", reason="it is missing")

    def _prove_contents(self, height: int, finalized: FinalizedBlock) -> None:
        suite, block = self._suite, finalized.block
        digest = suite.digest(codec.encode(block))
        if self._proven.contents.knows(number(height), digest):
            return
        header = block.header
        checks = (
            (header.height == height, "another height in its header"),
            (header.transactions_root == transactions_root(suite, block.transactions), "other transactions"),
            (self.height_of(block_digest(suite, header)) == height, "another digest"),
        )
        for good, reason in checks:
            if not good:
                raise StorageDamaged(what=f"block {height}", reason=reason)
        self._proven.contents.keep(number(height), digest)

    def _prove_block(self, height: int, finalized: FinalizedBlock) -> None:
        digest = self._suite.digest(codec.encode(finalized))
        if self._proven.blocks.knows(number(height), digest):
            return
        self._prove_contents(height, finalized)
        header = finalized.block.header
        check_finality(self._suite, self._trust(header.epoch), header, finalized.path, finalized.certificate)
        self._proven.blocks.keep(number(height), digest)
        self._proven.roots.keep(number(height), header.state_root)

    def _trust(self, epoch: int) -> Trust:
        """The set of an epoch, proven from genesis on."""
        trusts = self._proven.trusts
        newest = max(trusts)
        while newest < epoch:
            changes = super().epoch_changes(newest, limit=1)
            if not changes:
                break
            self._prove_change(newest, changes[0])
            newest += 1
        trust = trusts.get(epoch)
        if trust is None:
            raise StorageDamaged(what="epochs", reason=f"no validator set of epoch {epoch}")
        return trust

    def _prove_change(self, epoch: int, change: EpochChange) -> None:
        """That this is how an epoch ended whose set is proven."""
        proven, digest = self._proven, self._suite.digest(codec.encode(change))
        if proven.changes.get(epoch) == digest:
            return
        try:
            following = advance_trust(self._suite, proven.trusts[epoch], change)
        except LedgerError as error:
            raise StorageDamaged(what=f"end of epoch {epoch}", reason=error.message()) from error
        proven.trusts[epoch + 1] = following
        proven.changes[epoch] = digest

    def _state_root(self, height: int) -> bytes:
        """The state root of a certified header."""
        if height == 0:
            return self._genesis_header.state_root
        root = self._proven.roots.known(number(height))
        if root is not None:
            return root
        block = self.block(height)
        if block is None:
            raise Unavailable(what=f"block {height}", reason="it is being removed")
        return block.block.header.state_root


class ServedState:
    """The state at the head, every value proven; beneath the overlays of `LayeredState` for who serves it."""

    __slots__ = ("_store",)

    def __init__(self, store: ServedStore) -> None:
        self._store = store

    def get(self, key: bytes) -> bytes | None:
        return self._store.proven_value(key)

    def tree_node(self, key: bytes) -> bytes | None:
        return self._store.tree_node(key)
