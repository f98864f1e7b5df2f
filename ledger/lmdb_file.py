"""LMDB's files and faults: whether a data file is whole before it is mapped, and what an error means.

Reading a mapped page past the end of a truncated file kills the process, so this is found out first.

Rule: the newest of the two meta pages says how many pages there are. A file with all of them is safe to map.
LMDB leaves pages at the very end unwritten when the transaction that took them also freed them, so a file
that is a little short may still be whole; then every page in use is read by a child process, and its death is
the answer.

Source: `MDB_meta` and `mdb_env_read_header` of LMDB 0.9, data version 1, 64-bit.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from ledger.errors import StorageDamaged, Unavailable

DATA_FILE: Final = "data.mdb"

_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_PAGE_HEADER: Final = 16
_META: Final = struct.Struct("=IIQQ")
_FREE_TABLE_AT: Final = _PAGE_HEADER + _META.size
_TABLE_SIZE: Final = 48
_LAST_PAGE: Final = struct.Struct("=QQ")
_META_SIZE: Final = _FREE_TABLE_AT + 2 * _TABLE_SIZE + _LAST_PAGE.size
_PAGE_SIZES: Final = frozenset(1 << bits for bits in range(9, 17))
_SCAN: Final = """
import sys, lmdb
with lmdb.open(sys.argv[1], readonly=True, lock=False, max_dbs=64, map_size=int(sys.argv[2])) as env:
    with env.begin() as txn:
        names = [bytes(name) for name, _ in txn.cursor()]
    for name in names:
        table = env.open_db(name, create=False)
        with env.begin(table) as txn:
            for key, value in txn.cursor():
                pass
"""
_SCAN_TIMEOUT_S: Final = 3600


def _read_meta(data: bytes) -> tuple[int, int, int] | None:
    """(transaction id, page size, last page number), or None if this is no meta page."""
    if len(data) < _META_SIZE:
        return None
    magic, version, _, _ = _META.unpack_from(data, _PAGE_HEADER)
    if magic != _MAGIC or version != _DATA_VERSION:
        return None
    (page_size,) = struct.unpack_from("=I", data, _FREE_TABLE_AT)
    last_page, transaction = _LAST_PAGE.unpack_from(data, _FREE_TABLE_AT + 2 * _TABLE_SIZE)
    return (transaction, page_size, last_page) if page_size in _PAGE_SIZES else None


def expected_size_bytes(path: Path) -> int:
    """How long the data file must be by its own meta pages.

    Raises:
        StorageDamaged: it has no two readable meta pages.
    """
    with path.open("rb") as file:
        first = _read_meta(file.read(_META_SIZE))
        if first is None:
            raise StorageDamaged(what=path.name, reason="no meta page")
        file.seek(first[1])
        second = _read_meta(file.read(_META_SIZE))
    if second is None:
        raise StorageDamaged(what=path.name, reason="no second meta page")
    _, page_size, last_page = max(first, second)
    return (last_page + 1) * page_size


def check_whole(folder: Path, *, map_size_bytes: int) -> None:
    """Whether the LMDB environment in `folder` can be mapped and read without danger.

    Args:
        folder: holds `data.mdb`.
        map_size_bytes: as for opening it.

    Raises:
        StorageDamaged: the data file is missing, is no LMDB file, or has lost pages that are in use.
    """
    path = folder / DATA_FILE
    if not path.is_file():
        raise StorageDamaged(what=path.name, reason="missing")
    expected, actual = expected_size_bytes(path), path.stat().st_size
    if actual >= expected:
        return
    command = [sys.executable, "-c", _SCAN, str(folder), str(map_size_bytes)]
    try:
        scan = subprocess.run(command, check=False, capture_output=True, timeout=_SCAN_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageDamaged(what=path.name, reason=f"cannot be scanned: {error}") from None
    if scan.returncode != 0:
        raise StorageDamaged(what=path.name, reason=f"truncated: {actual} of {expected} bytes")


_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)


@contextmanager
def disk_faults() -> Iterator[None]:
    """LMDB's errors in the project's own terms: damage, or something to wait for such as a full disk.

    Raises:
        StorageDamaged: a page is not what it must be.
        Unavailable: every other error.
    """
    try:
        yield
    except _DAMAGE as error:
        raise StorageDamaged(what="ledger store", reason=str(error)) from error
    except lmdb.Error as error:
        raise Unavailable(what="ledger store", reason=str(error)) from error


def sync_folder(path: Path) -> None:
    """Make durable that the folder's files are in it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
