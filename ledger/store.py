"""The ledger on disk: finalized blocks, their results, the state and its tree, in one LMDB environment.

Rule: what belongs together is written together. A commit is one durable LMDB transaction over a group of
whole blocks, so after a crash the store shows some number of whole groups, and the root of its state is the
head header's.

A store begins at genesis or with a snapshot (`ledger/snapshot.py`). In the second case it holds the
snapshot's block and all later ones; `first_height` says which is the first.

One thread commits, any number read: every read is a short transaction of its own over one consistent
snapshot. Right after a commit a reader may see state that is newer than `height`, never older.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import lmdb

from ledger import state_tree
from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.errors import LimitExceeded, NotFound, StorageDamaged, invariant
from ledger.hashing import block_digest
from ledger.lmdb_file import check_whole, disk_faults
from ledger.snapshot import Snapshot
from ledger.state_tree import StateProof
from ledger.store_build import Origin, build_at_genesis, build_from_snapshot
from ledger.store_records import (
    CommittedBlock,
    ProvenValue,
    check_complete,
    check_state_key,
    number,
    records,
    stored,
)
from ledger.store_view import MAP_SIZE_BYTES, SCHEMA_VERSION, StoreView, open_environment
from ledger.types import EpochChange, FinalizedBlock, Genesis, Header, Result

RETAIN_VERSIONS: Final = 1000
PRUNED_NODES_PER_COMMIT_MIN: Final = 4096
SCAN_ENTRIES_MAX: Final = 10_000
EPOCH_CHANGES_READ_MAX: Final = 4096
RANGE_BLOCKS_MAX: Final = 1024
# A commit never goes past a multiple of so many blocks, so that nodes can take views at equal heights.
BOUNDARY_BLOCKS: Final = 32

_Head = tuple[int, Header, bytes]


class Store:
    """An open ledger. Made by `create` or `open`; `close` it, or use it as a context manager.

    Attributes:
        path: its folder.
        genesis: the genesis document.
        chain_id: 32 bytes.
    """

    def __init__(self, path: Path, suite: CryptoSuite, map_size_bytes: int, retain_versions: int) -> None:
        """Open the environment only; for `create` and `open`."""
        self.path = path
        self._suite = suite
        self._retain_versions = retain_versions
        self._commit_lock = threading.Lock()
        self._head: _Head
        self._first_height = 1
        self._view_wanted: Callable[[StoreView], None] | None = None
        self._env, self._tables = open_environment(path, map_size_bytes, sync=True)

    @classmethod
    def create(
        cls,
        path: Path,
        suite: CryptoSuite,
        genesis: Genesis,
        state: Mapping[bytes, bytes],
        *,
        map_size_bytes: int = MAP_SIZE_BYTES,
        retain_versions: int = RETAIN_VERSIONS,
    ) -> Self:
        """Write a new ledger at height 0, durably and all at once: a crash leaves no ledger there.

        Args:
            path: folder; missing, or empty.
            suite: the suite that genesis names.
            genesis: the document.
            state: the state it starts with.
            map_size_bytes: largest size the file can ever grow to; costs address space only.
            retain_versions: how many heights below the head can be proven against.

        Raises:
            StoreExists: the folder is not empty.
            Unavailable: the disk is full or cannot be written.
        """
        invariant(suite.name == genesis.suite, "a store is made with the suite of its genesis")
        build_at_genesis(path, suite, genesis, state, map_size_bytes)
        return cls.open(path, suite, map_size_bytes=map_size_bytes, retain_versions=retain_versions)

    @classmethod
    def create_from_snapshot(
        cls,
        path: Path,
        suite: CryptoSuite,
        origin: Origin,
        snapshot: Snapshot,
        piece: Callable[[int], bytes],
        *,
        map_size_bytes: int = MAP_SIZE_BYTES,
        retain_versions: int = RETAIN_VERSIONS,
    ) -> Self:
        """Write a ledger that begins with a snapshot, durably and all at once: a crash leaves no ledger there.

        Args:
            path: folder; missing, or empty.
            suite: the suite that genesis names.
            origin: genesis, its state, and the proof of every validator set up to the snapshot's.
            snapshot: checked against the set of its epoch.
            piece: gives a piece by its number; each is asked for once, in order.
            map_size_bytes: as for `create`.
            retain_versions: as for `create`.

        Raises:
            StoreExists: the folder is not empty.
            ProofRejected: a piece is not the snapshot's; nothing was written.
            Unavailable: the disk is full or cannot be written.
        """
        build_from_snapshot(path, suite, origin, snapshot, piece, map_size_bytes)
        return cls.open(path, suite, map_size_bytes=map_size_bytes, retain_versions=retain_versions)

    @classmethod
    def open(
        cls,
        path: Path,
        suite: CryptoSuite,
        *,
        map_size_bytes: int = MAP_SIZE_BYTES,
        retain_versions: int = RETAIN_VERSIONS,
    ) -> Self:
        """Open a ledger.

        Args:
            path: its folder.
            suite: the suite that its genesis names.
            map_size_bytes: as for `create`.
            retain_versions: as for `create`.

        Raises:
            StorageDamaged: no ledger there, pages lost, of another schema or suite, or its head contradicts
                itself. Unavailable: the disk cannot be read.
        """
        check_whole(path)
        store = cls(path, suite, map_size_bytes, retain_versions)
        try:
            store._load_head()
        except BaseException:
            store.close()
            raise
        return store

    # --- what it holds ----------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Height of the newest block."""
        return self._head[0]

    @property
    def first_height(self) -> int:
        """Lowest height whose block is held: 1, or the height of the snapshot that it began with."""
        return self._first_height

    @property
    def head(self) -> Header:
        """Header of the newest block; the genesis header at height 0."""
        return self._head[1]

    @property
    def head_digest(self) -> bytes:
        """Digest of the newest block."""
        return self._head[2]

    def header(self, height: int) -> Header | None:
        """The header at a height, that of genesis too."""
        if height == 0:
            return self._genesis_header
        finalized = self.block(height)
        return None if finalized is None else finalized.block.header

    def block(self, height: int) -> FinalizedBlock | None:
        """The block at a height from 1, with the proof that it is final."""
        data = self._get("blocks", number(height))
        return None if data is None else stored(data, FinalizedBlock)

    def blocks(self, first_height: int, *, blocks_max: int, size_bytes: int) -> tuple[FinalizedBlock, ...]:
        """Consecutive blocks, read in one go.

        Args:
            first_height: of the first one.
            blocks_max: how many at most, 1 … 1,024.
            size_bytes: no further one is added once they have this size together.

        Returns:
            None at all if the first is not held.
        """
        found: list[FinalizedBlock] = []
        with self._snapshot() as view:
            for height in range(first_height, first_height + min(blocks_max, RANGE_BLOCKS_MAX)):
                data = view.get("blocks", number(height)) if size_bytes > 0 else None
                if data is None:
                    break
                found.append(stored(data, FinalizedBlock))
                size_bytes -= len(data)
        return tuple(found)

    def results(self, height: int) -> tuple[Result, ...] | None:
        """The results of the transactions of the block at a height from 1."""
        data = self._get("results", number(height))
        return None if data is None else stored(data, tuple[Result, ...])

    def height_of(self, digest: bytes) -> int | None:
        """Height of the block with that digest, genesis included."""
        data = self._get("digests", digest) if digest else None
        return None if data is None else int.from_bytes(data, "big")

    def header_by_digest(self, digest: bytes) -> Header | None:
        """The header with that digest, that of genesis too."""
        height = self.height_of(digest)
        return None if height is None else self.header(height)

    def transaction_location(self, transaction_id: bytes) -> tuple[int, int] | None:
        """(height, index in the block) of a transaction."""
        data = self._get("transactions", transaction_id) if transaction_id else None
        return None if data is None else (int.from_bytes(data[:8], "big"), int.from_bytes(data[8:], "big"))

    def epoch_changes(
        self, from_epoch: int, *, limit: int = EPOCH_CHANGES_READ_MAX
    ) -> tuple[EpochChange, ...]:
        """How epochs ended, from `from_epoch` on in order, kept for ever; at most `limit` (4,096) of them."""
        found: list[EpochChange] = []
        with self._snapshot() as view:
            for epoch in range(from_epoch, from_epoch + min(limit, EPOCH_CHANGES_READ_MAX)):
                data = view.get("epochs", number(epoch))
                if data is None:
                    break
                found.append(stored(data, EpochChange))
        return tuple(found)

    def view(self) -> StoreView:
        """The store as it is now, for as long as the view is open; close it before the store."""
        with disk_faults():
            return StoreView(self._env.begin(), self._tables)

    def view_at_boundary(self, taker: Callable[[StoreView], None] | None) -> None:
        """Give `taker` a view right after the next commit that ends at a multiple of `BOUNDARY_BLOCKS`, once.

        Args:
            taker: called by the thread that commits; owns the view. None takes the wish back.
        """
        self._view_wanted = taker

    def get(self, key: bytes) -> bytes | None:
        """The state at the head under a key."""
        check_state_key(key)
        return self._get("state", key)

    def tree_node(self, key: bytes) -> bytes | None:
        """A stored node of the state tree; makes the store a `state_tree.NodeReader`."""
        return self._get("tree", key)

    def scan(self, prefix: bytes, *, start: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        """State entries in key order.

        Args:
            prefix: of every key returned.
            start: first key that may be returned; to go on, the last key seen and a zero byte.
            limit: 1 … 10,000 entries.

        Raises:
            LimitExceeded: `limit` is larger.
        """
        if limit > SCAN_ENTRIES_MAX:
            raise LimitExceeded(limit="scan entries", maximum=SCAN_ENTRIES_MAX, actual=limit)
        found: list[tuple[bytes, bytes]] = []
        seek = max(prefix, start)
        with disk_faults(), self._env.begin(self._tables["state"]) as transaction:
            cursor = transaction.cursor()
            more = cursor.set_range(seek) if seek else cursor.first()
            while more and len(found) < limit:
                key, value = cursor.item()
                if not bytes(key).startswith(prefix):
                    break
                found.append((bytes(key), bytes(value)))
                more = cursor.next()
        return found

    def prove(self, key: bytes, height: int | None = None) -> StateProof:
        """Proof of what the state at a height holds under a key, against that header's state root.

        Raises:
            NotFound: the tree of that height is not kept, or not yet there.
        """
        with self._snapshot() as snapshot:
            return self._prove_in(snapshot, key, snapshot.height() if height is None else height)

    def prove_value(self, key: bytes) -> ProvenValue:
        """The value at the head with its proof, both of one height."""
        check_state_key(key)
        with self._snapshot() as snapshot:
            height = snapshot.height()
            proof = self._prove_in(snapshot, key, height)
            return ProvenValue(height=height, value=snapshot.get("state", key), proof=proof)

    # --- writing ----------------------------------------------------------------------------------------

    def commit(self, group: Sequence[CommittedBlock]) -> None:
        """Write whole blocks, each group durably at once. May be called from a worker thread.

        Args:
            group: at least one block; the first is the child of the head, each further one of the one before.
                Where it goes past a multiple of `BOUNDARY_BLOCKS`, it is written as two groups. What is held
                already is passed over, so that a commit that failed half-way can be repeated.

        Raises:
            Unavailable: the disk or the map is full; `height` says up to where it was written.
            StorageDamaged: the environment is damaged.
        """
        invariant(group, "a group has a block")
        with self._commit_lock:
            parent = self._head
            group = [block for block in group if not self._held(block)]
            for block in group:
                parent = self._check_follows(parent, block)
            start = 0
            for end, block in enumerate(group, start=1):
                if end == len(group) or block.finalized.block.header.height % BOUNDARY_BLOCKS == 0:
                    self._commit_group(group[start:end])
                    start = end

    def _commit_group(self, group: Sequence[CommittedBlock]) -> None:
        header = group[-1].finalized.block.header
        encoded = [records(self._suite, block) for block in group]
        with disk_faults(), self._env.begin(write=True) as transaction:
            for tables in encoded:
                for name, entries in tables.items():
                    self._put(transaction, name, entries)
            self._write_state(transaction, group)
            self._put(transaction, "meta", {b"head": number(header.height)})
            stale_count = sum(len(block.stale) for block in group)
            self._prune(transaction, header.height, max(PRUNED_NODES_PER_COMMIT_MIN, 2 * stale_count))
        self._head = (header.height, header, block_digest(self._suite, header))
        taker = self._view_wanted
        if taker is not None and header.height % BOUNDARY_BLOCKS == 0:
            self._view_wanted = None
            taker(self.view())

    def _held(self, block: CommittedBlock) -> bool:
        header = block.finalized.block.header
        if header.height > self.height:
            return False
        known = self.height_of(block_digest(self._suite, header)) == header.height
        invariant(known, "a committed block is not replaced by another")
        return True

    def _check_follows(self, parent: _Head, block: CommittedBlock) -> _Head:
        header = block.finalized.block.header
        invariant(header.height == parent[0] + 1, "committed heights are contiguous")
        invariant(header.parent == parent[2], "a committed block is the child of the one before")
        check_complete(self._suite, block)
        return header.height, header, block_digest(self._suite, header)

    def _write_state(self, transaction: lmdb.Transaction, group: Sequence[CommittedBlock]) -> None:
        changes: dict[bytes, bytes | None] = {}
        for block in group:
            changes.update(block.writes)
        state = self._tables["state"]
        for key in sorted(changes):
            check_state_key(key)
            value = changes[key]
            if value is None:
                transaction.delete(key, db=state)
            else:
                transaction.put(key, value, db=state)

    def _put(self, transaction: lmdb.Transaction, name: str, entries: Mapping[bytes, bytes]) -> None:
        table = self._tables[name]
        for key in sorted(entries):
            transaction.put(key, entries[key], db=table)

    def _prune(self, transaction: lmdb.Transaction, height: int, nodes_max: int) -> None:
        """Delete tree nodes that only versions below the retained ones need, oldest first."""
        newest = height - self._retain_versions
        cursor = transaction.cursor(self._tables["stale"])
        more = cursor.first()
        while more and nodes_max > 0:
            key = bytes(cursor.key())
            if int.from_bytes(key[:8], "big") > newest:
                break
            transaction.delete(key[8:], db=self._tables["tree"])
            more = cursor.delete()
            nodes_max -= 1

    # --- reading ----------------------------------------------------------------------------------------

    def _load_head(self) -> None:
        schema = self._meta(b"schema")
        if schema != number(SCHEMA_VERSION):
            reason = "no ledger in it" if schema is None else "written by another release"
            raise StorageDamaged(what="ledger store", reason=reason)
        self.genesis = stored(self._required(b"genesis"), Genesis)
        if self.genesis.suite != self._suite.name:
            raise StorageDamaged(what="ledger store", reason=f"its suite is {self.genesis.suite}")
        self.chain_id = chain_id(self._suite, self.genesis)
        self._genesis_header = stored(self._required(b"genesis_header"), Header)
        self._first_height = int.from_bytes(self._required(b"first"), "big")
        height = int.from_bytes(self._required(b"head"), "big")
        header = self.header(height)
        if header is None or header.height != height or header.chain_id != self.chain_id:
            raise StorageDamaged(what="ledger store", reason=f"no block of this chain at its head {height}")
        if state_tree.root_at(self._suite, self, height) != header.state_root:
            raise StorageDamaged(what="ledger store", reason="state tree and head header differ")
        self._head = (height, header, block_digest(self._suite, header))

    @contextmanager
    def _snapshot(self) -> Iterator[StoreView]:
        with disk_faults(), self._env.begin() as transaction:
            yield StoreView(transaction, self._tables)

    def _get(self, table: str, key: bytes) -> bytes | None:
        with self._snapshot() as snapshot:
            return snapshot.get(table, key)

    def _meta(self, key: bytes) -> bytes | None:
        return self._get("meta", key)

    def _required(self, key: bytes) -> bytes:
        value = self._meta(key)
        if value is None:
            raise StorageDamaged(what="ledger store", reason=f"{key.decode()} is missing")
        return value

    def _prove_in(self, snapshot: StoreView, key: bytes, version: int) -> StateProof:
        if version < 0 or not state_tree.has_version(snapshot, version):
            raise NotFound(what="state version", id=version)
        return state_tree.prove(self._suite, snapshot, version, key)

    def close(self) -> None:
        """Close the environment; nothing may be read or written afterwards."""
        self._env.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
