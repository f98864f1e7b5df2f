"""How much room a store takes, and a compact copy of it while it is in use.

Rule: the copy is of one moment, and is at its place only when it is whole and durable.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from ledger.errors import StorageDamaged, Unavailable
from ledger.lmdb_file import DATA_FILE, disk_faults, sync_folder
from ledger.store_map import Tables
from ledger.store_records import StoreExists
from ledger.store_retention import StoreSpace

COPYING_SUFFIX: Final = ".copying"
LOOK_S: Final = 0.25
_META_PAGES: Final = 2

Progress = Callable[[int, int], None]


def space(path: Path, env: lmdb.Environment, tables: Tables) -> StoreSpace:
    """What the store in a folder takes; costs a few reads, whatever its size."""
    with disk_faults(), env.begin() as transaction:
        stats = [env.stat(), *(transaction.stat(table) for table in tables.values())]
        pages = sum(one["branch_pages"] + one["leaf_pages"] + one["overflow_pages"] for one in stats)
        page_size = stats[0]["psize"]
        counted = (env.info()["last_pgno"] + 1) * page_size
    live = (pages + _META_PAGES) * page_size
    return StoreSpace(
        file_bytes=(path / DATA_FILE).stat().st_size,
        live_bytes=live,
        reusable_bytes=max(counted - live, 0),
    )


def copy(env: lmdb.Environment, path: Path, expected_bytes: int, progress: Progress | None) -> int:
    """See `Store.copy`."""
    copying = path.with_name(path.name + COPYING_SUFFIX)
    try:
        if path.exists() and any(path.iterdir()):
            raise StoreExists(path=str(path))
        shutil.rmtree(copying, ignore_errors=True)
        copying.mkdir(parents=True)
        free = shutil.disk_usage(copying).free
        if free < expected_bytes:
            reason = f"the copy needs {expected_bytes} bytes, and {free} are free"
            raise Unavailable(what=str(path), reason=reason)
        with disk_faults(), _told(copying / DATA_FILE, expected_bytes, progress):
            env.copy(str(copying), compact=True)
        with (copying / DATA_FILE).open("r+b") as file:
            os.fsync(file.fileno())
        sync_folder(copying)
        height = _height(copying)
        copying.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise Unavailable(what=str(path), reason=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(copying, ignore_errors=True)
    return height


def _height(folder: Path) -> int:
    """The height of the copy, read without leaving a lock file in it."""
    with (
        disk_faults(),
        lmdb.open(str(folder), max_dbs=1, readonly=True, lock=False) as env,
        env.begin() as transaction,
    ):
        head = transaction.get(b"head", db=env.open_db(b"meta", transaction, create=False))
    if head is None:
        raise StorageDamaged(what="ledger store", reason="head is missing")
    return int.from_bytes(head, "big")


@contextmanager
def _told(target: Path, expected_bytes: int, progress: Progress | None) -> Iterator[None]:
    """Tell how far a file has grown, again and again."""
    if progress is None:
        yield
        return
    done = threading.Event()

    def tell() -> None:
        while not done.wait(LOOK_S):
            written = target.stat().st_size if target.exists() else 0
            progress(min(written, expected_bytes), expected_bytes)

    teller = threading.Thread(target=tell, name="store-copy-progress")
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
    progress(expected_bytes, expected_bytes)
