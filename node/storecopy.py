"""A copy of a store at one moment, compact, while a node may be writing to it; run in a child (`node/storechild.py`).

Rule: it reads in one transaction and writes to nothing but the copy. While it reads, the store keeps every page of that moment,
so the file may grow meanwhile; the room is used again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lmdb

from ledger.errors import StorageDamaged
from ledger.lmdb_file import check_whole, disk_faults
from ledger.store_map import MAP_SIZE_BYTES, TABLES
from ledger.store_space import copy, space


def copy_store(folder: Path, destination: Path, progress: Callable[[str, int, int], None]) -> None:
    """Copy what is live, durably.

    Args:
        folder: the store's.
        destination: the folder to make; missing, or empty.
        progress: told how many bytes of how many are written.

    Raises:
        StorageDamaged: the store cannot be read.
        Unavailable: the copy cannot be written, for want of room for one.
    """
    check_whole(folder)
    with disk_faults():
        env = lmdb.open(
            str(folder), map_size=MAP_SIZE_BYTES, max_dbs=len(TABLES), readonly=True, readahead=True
        )
    try:
        # A reader that was killed keeps its pages from being used again until somebody looks.
        env.reader_check()
        with disk_faults():
            try:
                tables = {name: env.open_db(name.encode(), create=False) for name in TABLES}
            except lmdb.NotFoundError as error:
                raise StorageDamaged(what="ledger store", reason=f"a table is missing: {error}") from None
        live_bytes = space(folder, env, tables).live_bytes
        copy(env, destination, live_bytes, lambda done, total: progress("store", done, total))
    finally:
        env.close()
