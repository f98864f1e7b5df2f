"""The ledger on disk: finalized blocks, their results, the state and its tree, in one LMDB environment.

Rule: what belongs together is written together. A commit is one durable LMDB transaction over a group of
whole blocks, so after a crash the store shows some number of whole groups, and the root of its state is the
head header's.

A store begins at genesis or with a snapshot (`ledger/snapshot.py`). In the second case it holds the
snapshot's block and all later ones; `first_height` says which is the first that is held.

One thread commits, any number read (`ledger/store_reads.py`). What is kept of the past is up to a `Retention`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import lmdb

from ledger import state_tree
from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.errors import StorageDamaged, invariant
from ledger.hashing import block_digest
from ledger.lmdb_file import check_whole
from ledger.snapshot import Snapshot
from ledger.store_build import Origin, build_at_genesis, build_from_snapshot
from ledger.store_history import write_state
from ledger.store_map import MAP_SIZE_BYTES, MAP_SIZE_BYTES_MAX, MapSize, StoreMap, put_all
from ledger.store_reads import EPOCH_CHANGES_READ_MAX, RANGE_BLOCKS_MAX, SCAN_ENTRIES_MAX, Head, StoreReads
from ledger.store_records import (
    SCHEMA_VERSION,
    CommittedBlock,
    OtherSchema,
    check_complete,
    check_state_key,
    number,
    records,
    stored,
)
from ledger.store_retention import (
    PRUNED_BLOCKS_PER_COMMIT_MIN,
    PRUNED_NODES_PER_COMMIT_MIN,
    RETAIN_VERSIONS,
    Pruning,
    Retention,
    StoreSpace,
)
from ledger.store_view import StoreView
from ledger.types import Genesis, Header

__all__ = [
    "BOUNDARY_BLOCKS",
    "EPOCH_CHANGES_READ_MAX",
    "RANGE_BLOCKS_MAX",
    "RETAIN_VERSIONS",
    "SCAN_ENTRIES_MAX",
    "Retention",
    "Store",
    "StoreSpace",
]

KEEP: Final = Retention()
# A commit never goes past a multiple of so many blocks, so that nodes can take views at equal heights.
BOUNDARY_BLOCKS: Final = 32


class Store(StoreReads):
    """An open ledger. Made by `create` or `open`; `close` it, or use it as a context manager.

    Attributes:
        path: its folder.
        genesis: the genesis document.
        chain_id: 32 bytes.
    """

    def __init__(self, path: Path, suite: CryptoSuite, store_map: StoreMap, retention: Retention) -> None:
        """For `create` and `open`."""
        self.path = path
        self._suite = suite
        self._map = store_map
        self._retention = retention
        self._commit_lock = threading.Lock()
        self._view_wanted: Callable[[StoreView], None] | None = None

    @classmethod
    def create(
        cls,
        path: Path,
        suite: CryptoSuite,
        genesis: Genesis,
        state: Mapping[bytes, bytes],
        *,
        retention: Retention = KEEP,
        map_size_bytes: int = MAP_SIZE_BYTES,
        map_size_bytes_max: int = MAP_SIZE_BYTES_MAX,
    ) -> Self:
        """Write a new ledger at height 0, durably and all at once: a crash leaves no ledger there.

        Args:
            path: folder; missing, or empty.
            suite: the suite that genesis names.
            genesis: the document.
            state: the state it starts with.
            retention: what is kept of the past.
            map_size_bytes: size that the file can have until the map grows; costs address space only.
            map_size_bytes_max: the largest map.

        Raises:
            StoreExists: the folder is not empty.
            Unavailable: the disk is full or cannot be written.
        """
        invariant(suite.name == genesis.suite, "a store is made with the suite of its genesis")
        build_at_genesis(path, suite, genesis, state, MapSize(map_size_bytes, map_size_bytes_max))
        return cls.open(
            path,
            suite,
            retention=retention,
            map_size_bytes=map_size_bytes,
            map_size_bytes_max=map_size_bytes_max,
        )

    @classmethod
    def create_from_snapshot(
        cls,
        path: Path,
        suite: CryptoSuite,
        origin: Origin,
        snapshot: Snapshot,
        piece: Callable[[int], bytes],
        *,
        retention: Retention = KEEP,
        map_size_bytes: int = MAP_SIZE_BYTES,
        map_size_bytes_max: int = MAP_SIZE_BYTES_MAX,
    ) -> Self:
        """Write a ledger that begins with a snapshot, durably and all at once: a crash leaves no ledger there.

        Args:
            path: folder; missing, or empty.
            suite: the suite that genesis names.
            origin: genesis, its state, and the proof of every validator set up to the snapshot's.
            snapshot: checked against the set of its epoch.
            piece: gives a piece by its number; each is asked for once, in order.
            retention, map_size_bytes, map_size_bytes_max: as for `create`.

        Raises:
            StoreExists: the folder is not empty.
            ProofRejected: a piece is not the snapshot's; nothing was written.
            Unavailable: the disk is full or cannot be written.
        """
        build_from_snapshot(path, suite, origin, snapshot, piece, MapSize(map_size_bytes, map_size_bytes_max))
        return cls.open(
            path,
            suite,
            retention=retention,
            map_size_bytes=map_size_bytes,
            map_size_bytes_max=map_size_bytes_max,
        )

    @classmethod
    def open(
        cls,
        path: Path,
        suite: CryptoSuite,
        *,
        retention: Retention = KEEP,
        map_size_bytes: int = MAP_SIZE_BYTES,
        map_size_bytes_max: int = MAP_SIZE_BYTES_MAX,
    ) -> Self:
        """Open a ledger.

        Args:
            path: its folder.
            suite: the suite that its genesis names.
            retention, map_size_bytes, map_size_bytes_max: as for `create`.

        Raises:
            StorageDamaged: no ledger there, pages lost, of another suite, or its head contradicts itself; as
                `OtherSchema`, if another release laid it out. Unavailable: the disk cannot be read.
        """
        check_whole(path)
        store = cls(path, suite, StoreMap(path, MapSize(map_size_bytes, map_size_bytes_max)), retention)
        try:
            store._load_head()
        except BaseException:
            store.close()
            raise
        return store

    def view_at_boundary(self, taker: Callable[[StoreView], None] | None) -> None:
        """Give `taker` a view right after the next commit that ends at a multiple of `BOUNDARY_BLOCKS`, once.

        Args:
            taker: called by the thread that commits; owns the view. None takes the wish back.
        """
        self._view_wanted = taker

    # --- writing ----------------------------------------------------------------------------------------

    def commit(self, group: Sequence[CommittedBlock]) -> None:
        """Write whole blocks, each group durably at once. May be called from a worker thread.

        Args:
            group: at least one block; the first is the child of the head, each further one of the one before.
                Where it goes past a multiple of `BOUNDARY_BLOCKS`, it is written as two groups. What is held
                already is passed over, so that a commit that failed half-way can be repeated.

        Raises:
            Unavailable: the disk is full; `height` says up to where it was written.
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

    def prune(self) -> bool:
        """Clear up some of what is no longer retained, without a block: one bounded, durable transaction.

        Returns:
            Whether nothing is left to clear up.

        Raises:
            Unavailable: the disk is full.
        """
        with self._commit_lock:
            done, first = self._map.write(lambda transaction: self._prune(transaction, self.head, 0, 0))
            self._first_height = first
        return done

    def _commit_group(self, group: Sequence[CommittedBlock]) -> None:
        header = group[-1].finalized.block.header
        encoded = [records(self._suite, block) for block in group]
        stale_count = sum(len(block.stale) for block in group)

        def work(transaction: lmdb.Transaction) -> int:
            for tables in encoded:
                for name, entries in tables.items():
                    put_all(transaction, self._map.tables[name], entries.items())
            writes = {block.finalized.block.header.height: block.writes for block in group}
            write_state(self._suite, transaction, self._map.tables, writes)
            put_all(transaction, self._map.tables["meta"], [(b"head", number(header.height))])
            return self._prune(transaction, header, stale_count, len(group))[1]

        self._first_height = self._map.write(work)
        self._head = (header.height, header, block_digest(self._suite, header))
        taker = self._view_wanted
        if taker is not None and header.height % BOUNDARY_BLOCKS == 0:
            self._view_wanted = None
            taker(self.view())

    def _prune(
        self, transaction: lmdb.Transaction, head: Header, stale: int, blocks: int
    ) -> tuple[bool, int]:
        """Whether all is cleared up, and the first height that is held; twice as much goes as comes."""
        pruning = Pruning(
            suite=self._suite,
            transaction=transaction,
            tables=self._map.tables,
            head=head,
            retention=self._retention,
        )
        done = pruning.run(
            nodes_max=max(PRUNED_NODES_PER_COMMIT_MIN, 2 * stale),
            blocks_max=max(PRUNED_BLOCKS_PER_COMMIT_MIN, 2 * blocks),
        )
        return done, pruning.first_height

    def _held(self, block: CommittedBlock) -> bool:
        header = block.finalized.block.header
        if header.height > self.height:
            return False
        if header.height < self.first_height:
            return True
        known = self.height_of(block_digest(self._suite, header)) == header.height
        invariant(known, "a committed block is not replaced by another")
        return True

    def _check_follows(self, parent: Head, block: CommittedBlock) -> Head:
        header = block.finalized.block.header
        invariant(header.height == parent[0] + 1, "committed heights are contiguous")
        invariant(header.parent == parent[2], "a committed block is the child of the one before")
        check_complete(self._suite, block)
        for key in block.writes:
            check_state_key(key)
        return header.height, header, block_digest(self._suite, header)

    # --- its beginning ----------------------------------------------------------------------------------------

    def _load_head(self) -> None:
        schema = self._meta(b"schema")
        if schema is None:
            raise StorageDamaged(what="ledger store", reason="no ledger in it")
        if schema != number(SCHEMA_VERSION):
            raise OtherSchema(
                what="ledger store",
                reason="written by another release",
                found=int.from_bytes(schema, "big"),
                expected=SCHEMA_VERSION,
            )
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

    def _meta(self, key: bytes) -> bytes | None:
        return self._get("meta", key)

    def _required(self, key: bytes) -> bytes:
        value = self._meta(key)
        if value is None:
            raise StorageDamaged(what="ledger store", reason=f"{key.decode()} is missing")
        return value

    def close(self) -> None:
        """Close the environment; nothing may be read or written afterwards."""
        self._map.env.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
