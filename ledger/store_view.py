"""The tables of a store, opened, and one unchanging view of them.

Rule: a view shows one moment, whatever is committed after. It keeps every page of that moment on disk, so a
view that is kept for long has a bound on how long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, cast

import lmdb

from ledger.lmdb_file import disk_faults
from ledger.store_records import number, stored
from ledger.types import FinalizedBlock, Result

SCHEMA_VERSION: Final = 2
MAP_SIZE_BYTES: Final = 1 << 40
TABLES: Final = ("blocks", "results", "digests", "transactions", "state", "tree", "stale", "epochs", "meta")

Tables = Mapping[str, lmdb._Database]


def open_environment(path: Path, map_size_bytes: int, *, sync: bool) -> tuple[lmdb.Environment, Tables]:
    """Open the environment in a folder that exists, and its tables.

    Args:
        path: the folder.
        map_size_bytes: largest size that the file can grow to.
        sync: whether each transaction is durable when it ends; without, nothing is before `env.sync(True)`.

    Raises:
        StorageDamaged: it is damaged. Unavailable: it cannot be read.
    """
    with disk_faults():
        env = lmdb.open(
            str(path),
            map_size=map_size_bytes,
            max_dbs=len(TABLES),
            subdir=True,
            sync=sync,
            metasync=sync,
            writemap=False,
        )
        return env, {name: env.open_db(name.encode()) for name in TABLES}


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
        with disk_faults(), self._transaction.cursor(self._tables["state"]) as cursor:
            yield from cast("Iterator[tuple[bytes, bytes]]", cursor)

    def close(self) -> None:
        """Let go of the pages; nothing may be read afterwards."""
        self._transaction.abort()
