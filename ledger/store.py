"""The ledger on disk: finalized blocks, their results, the state and its tree, in one LMDB environment.

Rule: what belongs together is written together. A commit is one durable LMDB transaction over a group of
whole blocks, so after a crash the store shows some number of whole groups, and the root of its state is the
head header's.

One thread commits, any number read: every read is a short transaction of its own over one consistent
snapshot. Right after a commit a reader may see state that is newer than `height`, never older.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import lmdb

from ledger import codec, state_tree
from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.errors import LimitExceeded, NotFound, StorageDamaged, invariant
from ledger.hashing import block_digest, genesis_header
from ledger.lmdb_file import check_whole, disk_faults, sync_folder
from ledger.state_tree import NodeMap, StateProof
from ledger.store_records import (
    CommittedBlock,
    ProvenValue,
    StoreExists,
    check_state_key,
    number,
    records,
    stored,
)
from ledger.types import FinalizedBlock, Genesis, Header, Result

SCHEMA_VERSION: Final = 1
MAP_SIZE_BYTES: Final = 1 << 40
RETAIN_VERSIONS: Final = 1000
PRUNED_NODES_PER_COMMIT_MIN: Final = 4096
SCAN_ENTRIES_MAX: Final = 10_000

_TABLES: Final = ("blocks", "results", "digests", "transactions", "state", "tree", "stale", "meta")
_Head = tuple[int, Header, bytes]


class _Snapshot:
    """The tables as one transaction sees them; a `state_tree.NodeReader`."""

    __slots__ = ("_tables", "_transaction")

    def __init__(self, transaction: lmdb.Transaction, tables: Mapping[str, lmdb._Database]) -> None:
        self._transaction = transaction
        self._tables = tables

    def get(self, table: str, key: bytes) -> bytes | None:
        return cast("bytes | None", self._transaction.get(key, db=self._tables[table]))

    def tree_node(self, key: bytes) -> bytes | None:
        return self.get("tree", key)

    def height(self) -> int:
        return int.from_bytes(self.get("meta", b"head") or b"", "big")


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
        with disk_faults():
            self._env = lmdb.open(
                str(path),
                map_size=map_size_bytes,
                max_dbs=len(_TABLES),
                subdir=True,
                sync=True,
                metasync=True,
                writemap=False,
            )
            self._tables = {name: self._env.open_db(name.encode()) for name in _TABLES}

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
        """Write a new ledger at height 0, durably and all at once.

        Args:
            path: folder; made where missing.
            suite: the suite that genesis names.
            genesis: the document.
            state: the state it starts with.
            map_size_bytes: largest size the file can ever grow to; costs address space only.
            retain_versions: how many heights below the head can be proven against.

        Raises:
            StoreExists: the folder holds a ledger.
            Unavailable: the disk is full or cannot be written.
        """
        invariant(suite.name == genesis.suite, "a store is made with the suite of its genesis")
        path.mkdir(parents=True, exist_ok=True)
        store = cls(path, suite, map_size_bytes, retain_versions)
        try:
            if store._meta(b"schema") is not None:
                raise StoreExists(path=str(path))
            store._write_genesis(genesis, state)
            for folder in (path, path.parent):
                sync_folder(folder)
            store._load_head()
        except BaseException:
            store.close()
            raise
        return store

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
        """Write a group of whole blocks in one durable transaction. May be called from a worker thread.

        Args:
            group: at least one block; the first is the child of the head, each further one of the one before.

        Raises:
            Unavailable: the disk or the map is full; nothing was written.
            StorageDamaged: the environment is damaged.
        """
        invariant(group, "a group has a block")
        with self._commit_lock:
            parent = self._head
            for block in group:
                parent = self._check_follows(parent, block)
            encoded = [records(self._suite, block) for block in group]
            with disk_faults(), self._env.begin(write=True) as transaction:
                for tables in encoded:
                    for name, entries in tables.items():
                        self._put(transaction, name, entries)
                self._write_state(transaction, group)
                self._put(transaction, "meta", {b"head": number(parent[0])})
                stale_count = sum(len(block.stale) for block in group)
                self._prune(transaction, parent[0], max(PRUNED_NODES_PER_COMMIT_MIN, 2 * stale_count))
            self._head = parent

    def _check_follows(self, parent: _Head, block: CommittedBlock) -> _Head:
        header = block.finalized.block.header
        invariant(header.height == parent[0] + 1, "committed heights are contiguous")
        invariant(header.parent == parent[2], "a committed block is the child of the one before")
        count = len(block.finalized.block.transactions)
        invariant(len(block.results) == count, "a committed block has one result for each transaction")
        written = NodeMap(block.nodes)
        invariant(state_tree.has_version(written, header.height), "a committed block brings its tree")
        root = state_tree.root_at(self._suite, written, header.height)
        invariant(root == header.state_root, "a committed tree has the root that its header names")
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

    def _write_genesis(self, genesis: Genesis, state: Mapping[bytes, bytes]) -> None:
        tree = state_tree.update(self._suite, NodeMap({}), None, state, 0)
        header = genesis_header(self._suite, genesis, tree.root)
        for key in state:
            check_state_key(key)
        meta = {
            b"schema": number(SCHEMA_VERSION),
            b"genesis": codec.encode(genesis),
            b"genesis_header": codec.encode(header),
            b"head": number(0),
        }
        with disk_faults(), self._env.begin(write=True) as transaction:
            self._put(transaction, "state", state)
            self._put(transaction, "tree", tree.nodes)
            self._put(transaction, "digests", {block_digest(self._suite, header): number(0)})
            self._put(transaction, "meta", meta)

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
        height = int.from_bytes(self._required(b"head"), "big")
        header = self.header(height)
        if header is None or header.height != height or header.chain_id != self.chain_id:
            raise StorageDamaged(what="ledger store", reason=f"no block of this chain at its head {height}")
        if state_tree.root_at(self._suite, self, height) != header.state_root:
            raise StorageDamaged(what="ledger store", reason="state tree and head header differ")
        self._head = (height, header, block_digest(self._suite, header))

    @contextmanager
    def _snapshot(self) -> Iterator[_Snapshot]:
        with disk_faults(), self._env.begin() as transaction:
            yield _Snapshot(transaction, self._tables)

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

    def _prove_in(self, snapshot: _Snapshot, key: bytes, version: int) -> StateProof:
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
