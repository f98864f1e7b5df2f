"""LMDB's files and faults: whether a data file is whole before it is mapped, and what an error means.

Rule: reading a mapped page past the end of a truncated file kills the process, so the pages are counted
first, with plain reads. The newer of the two meta pages says how many there are, and a file that has them all
is safe to map. LMDB leaves pages at the very end unwritten when the transaction that took them also freed
them, so a shorter file may still be whole: then every page in use, those of the list of free pages among
them, is looked for in the file.

Source: the page layout of LMDB 0.9, data version 1, 64-bit (`MDB_page`, `MDB_node`, `MDB_db`, `MDB_meta`).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import lmdb

from ledger.errors import LedgerError, StorageDamaged, Unavailable

DATA_FILE: Final = "data.mdb"

_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_PAGE_SIZES: Final = frozenset(1 << bits for bits in range(9, 17))
_NO_PAGE: Final = 2**64 - 1
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG_DATA, _SUB_TABLE = 1, 2

_PAGE_HEADER: Final = struct.Struct("=QHHHH")
_OVERFLOW_HEADER: Final = struct.Struct("=QHHI")
_NODE: Final = struct.Struct("=HHHH")
_NUMBER: Final = struct.Struct("=Q")
_META: Final = struct.Struct("=16x IIQQ I36xQ 40xQ QQ")
_TABLE_ROOT_AT: Final = 40


@dataclass(frozen=True, slots=True, order=True)
class _Meta:
    """What a meta page says; ordered by transaction, so that the newer one is the larger."""

    transaction: int
    page_size: int
    last_page: int
    free_root: int
    main_root: int


def _read_meta(data: bytes) -> _Meta | None:
    if len(data) < _META.size:
        return None
    magic, version, _, _, page_size, free_root, main_root, last_page, transaction = _META.unpack_from(data)
    if magic != _MAGIC or version != _DATA_VERSION or page_size not in _PAGE_SIZES:
        return None
    return _Meta(transaction, page_size, last_page, free_root, main_root)


def _newest_meta(file: BinaryIO) -> _Meta:
    first = _read_meta(file.read(_META.size))
    if first is None:
        raise StorageDamaged(what=DATA_FILE, reason="no meta page")
    file.seek(first.page_size)
    second = _read_meta(file.read(_META.size))
    if second is None:
        raise StorageDamaged(what=DATA_FILE, reason="no second meta page")
    return max(first, second)


def expected_size_bytes(path: Path) -> int:
    """How long the data file is if it has every page that it counts.

    Raises:
        StorageDamaged: it has no two readable meta pages.
    """
    with path.open("rb") as file:
        meta = _newest_meta(file)
    return (meta.last_page + 1) * meta.page_size


def check_whole(folder: Path) -> None:
    """Whether the LMDB environment in `folder` can be mapped, read and written without danger.

    Raises:
        StorageDamaged: the data file is missing, is no LMDB file, or has lost pages that are in use.
    """
    path = folder / DATA_FILE
    if not path.is_file():
        raise StorageDamaged(what=path.name, reason="missing")
    expected, actual = expected_size_bytes(path), path.stat().st_size
    if actual < expected:
        with path.open("rb") as file:
            _find_pages_in_use(file, _newest_meta(file), actual)


def _find_pages_in_use(file: BinaryIO, meta: _Meta, size_bytes: int) -> None:
    """Walk both trees of pages; each page in use must be in the file, under its own number."""
    pending = [root for root in (meta.free_root, meta.main_root) if root != _NO_PAGE]
    lost = StorageDamaged(what=DATA_FILE, reason=f"truncated to {size_bytes} bytes")
    seen = 0
    while pending:
        number = pending.pop()
        seen += 1
        if number > meta.last_page or seen > meta.last_page:
            raise StorageDamaged(what=DATA_FILE, reason="a page points to where no page can be")
        if (number + 1) * meta.page_size > size_bytes:
            raise lost
        file.seek(number * meta.page_size)
        page = file.read(meta.page_size)
        if page[:8] != _NUMBER.pack(number):
            raise StorageDamaged(what=DATA_FILE, reason=f"page {number} is not in its place")
        try:
            below, overflow_end = _pages_below(page, file, meta)
        except (struct.error, IndexError):
            raise StorageDamaged(what=DATA_FILE, reason=f"page {number} is malformed") from None
        if overflow_end > size_bytes:
            raise lost
        pending.extend(below)


def _pages_below(page: bytes, file: BinaryIO, meta: _Meta) -> tuple[list[int], int]:
    """The tree pages that a page points to, and where in the file the last of its overflow pages ends."""
    _, _, flags, lower, _ = _PAGE_HEADER.unpack_from(page)
    below: list[int] = []
    overflow_end = 0
    for (at,) in struct.iter_unpack("=H", page[_PAGE_HEADER.size : lower]):
        low, high, node_flags, key_size = _NODE.unpack_from(page, at)
        data_at = at + _NODE.size + key_size
        if flags & _BRANCH:
            below.append(low | high << 16 | node_flags << 32)
        elif flags & _LEAF and node_flags & _BIG_DATA:
            (first,) = _NUMBER.unpack_from(page, data_at)
            overflow_end = max(overflow_end, _overflow_end(file, first, meta))
        elif flags & _LEAF and node_flags & _SUB_TABLE:
            (root,) = _NUMBER.unpack_from(page, data_at + _TABLE_ROOT_AT)
            below.extend([] if root == _NO_PAGE else [root])
    return below, overflow_end


def _overflow_end(file: BinaryIO, first: int, meta: _Meta) -> int:
    file.seek(first * meta.page_size)
    number, _, flags, count = _OVERFLOW_HEADER.unpack(file.read(_OVERFLOW_HEADER.size))
    if number != first or not flags & _OVERFLOW:
        raise struct.error("no overflow page")
    return int((first + count) * meta.page_size)


_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)


def fault_of(error: lmdb.Error) -> LedgerError:
    """LMDB's error in the project's own terms: damage, or something to wait for such as a full disk."""
    if isinstance(error, _DAMAGE):
        return StorageDamaged(what="ledger store", reason=str(error))
    return Unavailable(what="ledger store", reason=str(error))


@contextmanager
def disk_faults(*but: type[lmdb.Error]) -> Iterator[None]:
    """LMDB's errors in the project's own terms, save for those of some types, which pass as they are.

    Raises:
        StorageDamaged: a page is not what it must be.
        Unavailable: every other error.
    """
    try:
        yield
    except but:
        raise
    except lmdb.Error as error:
        raise fault_of(error) from error


def sync_folder(path: Path) -> None:
    """Make durable that the folder's files are in it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
