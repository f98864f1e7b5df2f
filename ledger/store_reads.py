"""Reading a store: blocks by every index, the state at the head, and values with proofs at every kept height.

Rule: every read is a short transaction of its own over one consistent moment, and may be made from any thread.
Right after a commit a reader may see state that is newer than `height`, never older.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from ledger import state_tree
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LimitExceeded, NotFound
from ledger.lmdb_file import disk_faults, fault_of
from ledger.state_tree import StateProof
from ledger.store_history import value_at
from ledger.store_map import StoreMap
from ledger.store_records import ProvenValue, check_state_key, number, stored
from ledger.store_retention import StoreSpace
from ledger.store_space import copy, space
from ledger.store_view import HeldView, StoreView
from ledger.types import EpochChange, FinalizedBlock, Header, Result

SCAN_ENTRIES_MAX: Final = 10_000
EPOCH_CHANGES_READ_MAX: Final = 4096
RANGE_BLOCKS_MAX: Final = 1024

Head = tuple[int, Header, bytes]


class StoreReads:
    """What can be read of a store.

    Attributes:
        path: its folder.
    """

    path: Path
    _suite: CryptoSuite
    _map: StoreMap
    _head: Head
    _genesis_header: Header
    _first_height: int

    @property
    def height(self) -> int:
        """Height of the newest block."""
        return self._head[0]

    @property
    def first_height(self) -> int:
        """Lowest height whose block is held: 1, that of the snapshot that it began with, or what retention left."""
        return self._first_height

    @property
    def first_provable_height(self) -> int:
        """Lowest height whose state can be proven against; from there up to the head all can."""
        return int.from_bytes(self._get("meta", b"proofs") or b"", "big")

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
        with self.reading() as view:
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
        with self.reading() as view:
            for epoch in range(from_epoch, from_epoch + min(limit, EPOCH_CHANGES_READ_MAX)):
                data = view.get("epochs", number(epoch))
                if data is None:
                    break
                found.append(stored(data, EpochChange))
        return tuple(found)

    def view(self) -> StoreView:
        """The store as it is now, for as long as the view is open; close it before the store."""
        return HeldView(self._map)

    @contextmanager
    def reading(self) -> Iterator[StoreView]:
        """A view for many reads in a row by one thread, cheaper than one read each; to be left within seconds."""
        with self._map.gate, disk_faults(), self._map.env.begin() as transaction:
            yield StoreView(transaction, self._map.tables)

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
        with (
            self._map.gate,
            disk_faults(),
            self._map.env.begin(self._map.tables["state"]) as transaction,
        ):
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
        with self.reading() as view:
            return state_tree.prove(self._suite, view, self._provable(view, height), key)

    def value_at(self, key: bytes, height: int) -> bytes | None:
        """What the state at a height holds under a key.

        Raises:
            NotFound: the state of that height is not kept, or not yet there.
            StorageDamaged: it is not what the tree of that height says.
        """
        check_state_key(key)
        with self.reading() as view:
            return value_at(self._suite, view, key, self._provable(view, height))

    def prove_value(self, key: bytes, height: int | None = None) -> ProvenValue:
        """The value at a height, the head's where none is named, with its proof.

        Raises:
            NotFound: the state of that height is not kept, or not yet there.
            StorageDamaged: it is not what the tree of that height says.
        """
        check_state_key(key)
        with self.reading() as view:
            at = self._provable(view, height)
            proof = state_tree.prove(self._suite, view, at, key)
            return ProvenValue(height=at, value=value_at(self._suite, view, key, at), proof=proof)

    def space(self) -> StoreSpace:
        """What it takes on disk, and how much of that is free to be used again."""
        with self._map.gate:
            return space(self.path, self._map.env, self._map.tables)

    def copy(self, path: Path, progress: Callable[[int, int], None] | None = None) -> int:
        """Copy one moment to a new folder, compactly and durably, while the store goes on being written to.

        A commit that needs a larger map meanwhile waits, and fails with `Unavailable` if that takes too long.

        Args:
            path: folder; missing, or empty.
            progress: told again and again how many bytes of about how many are written, by another thread.

        Returns:
            Height of the copy.

        Raises:
            StoreExists: the folder is not empty.
            Unavailable: the copy cannot be written, for want of room for one.
        """
        with self._map.gate:
            return copy(self._map.env, path, self.space().live_bytes, progress)

    @staticmethod
    def _provable(view: StoreView, height: int | None) -> int:
        head = view.height()
        at = head if height is None else height
        if not view.first_provable() <= at <= head:
            raise NotFound(what="state version", id=at)
        return at

    def _get(self, table: str, key: bytes) -> bytes | None:
        store_map = self._map
        with store_map.gate:
            try:
                transaction = store_map.env.begin()
                try:
                    found: bytes | None = transaction.get(key, db=store_map.tables[table])
                finally:
                    transaction.abort()
            except lmdb.Error as error:
                raise fault_of(error) from error
        return found
