"""One unchanging view of a store's tables, for a moment or held open.

Rule: a view shows one moment, whatever is committed after. It keeps every page of that moment on disk, so a
view that is kept for long has a bound on how long.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, cast

import lmdb

from ledger.errors import Unavailable
from ledger.lmdb_file import disk_faults
from ledger.store_map import MAP_SIZE_BYTES, TABLES, StoreMap, Tables, open_environment
from ledger.store_records import SCHEMA_VERSION, number, stored
from ledger.types import FinalizedBlock, Result

__all__ = [
    "MAP_SIZE_BYTES",
    "SCHEMA_VERSION",
    "TABLES",
    "HeldView",
    "StoreView",
    "Tables",
    "open_environment",
]

# State entries that are read in one go, between which the map may grow.
PAGE_ENTRIES: Final = 256


class StoreView:
    """The tables as one transaction sees them; a `state_tree.NodeReader`. One thread at a time uses it."""

    __slots__ = ("_tables", "_transaction")

    def __init__(self, transaction: lmdb.Transaction, tables: Tables) -> None:
        self._tables = tables
        self._transaction = transaction

    def get(self, table: str, key: bytes) -> bytes | None:
        """A record."""
        return cast("bytes | None", self._transaction.get(key, db=self._tables[table]))

    def tree_node(self, key: bytes) -> bytes | None:
        """A stored node of the state tree."""
        return self.get("tree", key)

    def height(self) -> int:
        """Height of the newest block."""
        return int.from_bytes(self.get("meta", b"head") or b"", "big")

    def first_provable(self) -> int:
        """Lowest height whose tree and values are kept."""
        return int.from_bytes(self.get("meta", b"proofs") or b"", "big")

    def block(self, height: int) -> FinalizedBlock | None:
        """The block at a height from 1."""
        data = self.get("blocks", number(height))
        return None if data is None else stored(data, FinalizedBlock)

    def results(self, height: int) -> tuple[Result, ...] | None:
        """The results of the block at a height from 1."""
        data = self.get("results", number(height))
        return None if data is None else stored(data, tuple[Result, ...])

    def state_size_bytes(self) -> int:
        """About how large the state is, at least as large as its keys and values."""
        found = self._transaction.stat(self._tables["state"])
        return int(found["psize"] * (found["leaf_pages"] + found["overflow_pages"]))

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """The whole state in key order."""
        after: bytes | None = b""
        while after is not None:
            page = self._state_page(after)
            yield from page
            after = page[-1][0] + b"\0" if len(page) == PAGE_ENTRIES else None

    def _state_page(self, start: bytes) -> list[tuple[bytes, bytes]]:
        with disk_faults(), self._transaction.cursor(self._tables["state"]) as cursor:
            if not (cursor.set_range(start) if start else cursor.first()):
                return []
            return list(islice(cast("Iterator[tuple[bytes, bytes]]", cursor.iternext()), PAGE_ENTRIES))

    def close(self) -> None:
        """Let go of the pages; nothing may be read afterwards."""
        self._transaction.abort()


class HeldView(StoreView):
    """A view that stays open while the store is written to.

    Reading from it raises `Unavailable` once the store's map has grown, which takes every open view away; that
    is rare, and the reader begins again with another one.
    """

    __slots__ = ("__weakref__", "_map", "_open")

    def __init__(self, store_map: StoreMap) -> None:
        self._map = store_map
        self._open = True
        with store_map.gate, disk_faults():
            super().__init__(store_map.env.begin(), store_map.tables)
            store_map.hold(self)

    def _check(self) -> None:
        if not self._open:
            raise Unavailable(
                what="ledger view", reason="it was closed, since the store has grown; begin again"
            )

    def get(self, table: str, key: bytes) -> bytes | None:
        """A record."""
        with self._map.gate, disk_faults():
            self._check()
            return super().get(table, key)

    def state_size_bytes(self) -> int:
        """About how large the state is, at least as large as its keys and values."""
        with self._map.gate, disk_faults():
            self._check()
            return super().state_size_bytes()

    def _state_page(self, start: bytes) -> list[tuple[bytes, bytes]]:
        with self._map.gate:
            self._check()
            return super()._state_page(start)

    def revoke(self) -> None:
        """Let go of the transaction, the gate being closed."""
        self._open = False
        self._transaction.abort()

    def close(self) -> None:
        """Let go of the pages; nothing may be read afterwards. May be called twice."""
        with self._map.gate:
            if self._open:
                self.revoke()
                self._map.release(self)
