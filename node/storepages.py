"""The pages of the store's data file: each is used once, or free.

Rule: plain reads only, of a file that need not be whole; nothing is mapped. What is found is the place where the file contradicts
itself. The content of the records is not looked at here (`node/storecheck.py`), but a page that is free and in use, or used
twice, would destroy a record with some later commit, so it is damage even if everything can still be read.

Source: the page layout of LMDB 0.9, data version 1, 64-bit (`MDB_page`, `MDB_node`, `MDB_db`, `MDB_meta`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ledger.errors import StorageDamaged
from ledger.lmdb_file import DATA_FILE

_MAGIC: Final = 0xBEEFC0DE
NO_PAGE: Final = 2**64 - 1
BRANCH, LEAF, _OVERFLOW = 1, 2, 4
BIG_DATA, _SUB_TABLE = 1, 2
_META: Final = struct.Struct("=16x IIQQ I36xQ 40xQ QQ")
PAGE_HEADER: Final = struct.Struct("=QHHHH")
_OVERFLOW_HEADER: Final = struct.Struct("=QHHI")
_NODE: Final = struct.Struct("=HHHH")
_TABLE_SIZE_BYTES: Final = 48
TABLE_ROOT_AT: Final = 40


@dataclass(frozen=True, slots=True, order=True)
class Meta:
    """What a meta page says; ordered by transaction."""

    transaction: int
    page_size: int
    last_page: int
    free_root: int
    main_root: int


def check_pages(folder: Path) -> int:
    """Account for every page of the data file.

    Args:
        folder: the store's folder; nobody writes to it meanwhile.

    Returns:
        How many pages there are.

    Raises:
        StorageDamaged: a page is missing, used twice, neither used nor free, or not what it must be; says which.
        OSError: the file cannot be read.
    """
    path = folder / DATA_FILE
    with path.open("rb") as file:
        walk = _Walk(file, max(read_metas(file)), path.stat().st_size)
        try:
            walk.run()
        except (struct.error, IndexError):
            raise _damaged(f"page {walk.at} is malformed") from None
    return walk.meta.last_page + 1


def _damaged(reason: str) -> StorageDamaged:
    return StorageDamaged(what=DATA_FILE, reason=reason)


def read_metas(file: BinaryIO) -> tuple[Meta, Meta]:
    """Both meta pages, in the order of the file; the newer one is the greater. Raises StorageDamaged."""
    metas: list[Meta] = []
    page_size = 4096
    for position in (0, 1):
        file.seek(position * page_size)
        data = file.read(_META.size)
        if len(data) < _META.size:
            raise _damaged(f"meta page {position} is missing")
        magic, version, _, _, page_size, free_root, main_root, last_page, transaction = _META.unpack(data)
        if (magic, version) != (_MAGIC, 1) or page_size not in {1 << bits for bits in range(9, 17)}:
            raise _damaged(f"meta page {position} is none")
        if transaction % 2 != position and transaction:
            raise _damaged(
                f"meta page {position} is of transaction {transaction}, which belongs to the other"
            )
        metas.append(Meta(transaction, page_size, last_page, free_root, main_root))
    if metas[0].page_size != metas[1].page_size or abs(metas[0].transaction - metas[1].transaction) > 1:
        raise _damaged("the meta pages do not belong together")
    return metas[0], metas[1]


class _Walk:
    """One walk over both trees of pages.

    Attributes:
        at: the page that is looked at.
    """

    def __init__(self, file: BinaryIO, meta: Meta, size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self.meta = meta
        self.at = 0
        if (meta.last_page + 1) * meta.page_size > max(size_bytes, 4096) * 1024:
            raise _damaged(f"it counts {meta.last_page + 1} pages in {size_bytes} bytes")
        self._taken = bytearray(meta.last_page + 1)
        self._taken[:2] = b"\1\1"

    def run(self) -> None:
        free: list[int] = []
        self._tree(self.meta.main_root, None)
        self._tree(self.meta.free_root, free)
        for page in free:
            self._take(page, "free")
        if 0 in self._taken:
            raise _damaged(f"page {self._taken.index(0)} is neither in use nor free")

    def _take(self, page: int, why: str) -> None:
        if not 2 <= page <= self.meta.last_page:
            raise _damaged(f"page {page} is {why}, but there are pages 2 to {self.meta.last_page}")
        if self._taken[page]:
            raise _damaged(f"page {page} is {why}, and taken already")
        self._taken[page] = 1

    def _page(self, number: int) -> bytes:
        self.at = number
        self._take(number, "in use")
        if (number + 1) * self.meta.page_size > self._size_bytes:
            raise _damaged(f"page {number} lies beyond the file's end at {self._size_bytes} bytes")
        self._file.seek(number * self.meta.page_size)
        page = self._file.read(self.meta.page_size)
        if int.from_bytes(page[:8], "little") != number:
            raise _damaged(f"page {number} is not in its place")
        return page

    def _tree(self, root: int, free: list[int] | None) -> None:
        pending = [] if root == NO_PAGE else [(root, 0)]
        leaf_depth = -1
        while pending:
            number, depth = pending.pop()
            page = self._page(number)
            _, _, flags, lower, upper = PAGE_HEADER.unpack_from(page)
            if flags not in {BRANCH, LEAF} or not PAGE_HEADER.size <= lower <= upper <= len(page):
                raise _damaged(f"page {number} is no page of a tree")
            if flags == LEAF and leaf_depth < 0:
                leaf_depth = depth
            if flags == LEAF and depth != leaf_depth:
                raise _damaged(f"page {number} is at another depth than its like")
            for (at,) in struct.iter_unpack("=H", page[PAGE_HEADER.size : lower]):
                below = self._node(page, at, flags, free)
                pending += [(child, depth + 1) for child in below]

    def _node(self, page: bytes, at: int, flags: int, free: list[int] | None) -> list[int]:
        """What a node of a page leads to; its overflow pages and free pages are noted."""
        low, high, node_flags, key_size = _NODE.unpack_from(page, at)
        if flags == BRANCH:
            return [low | high << 16 | node_flags << 32]
        start = at + _NODE.size + key_size
        size_bytes = low | high << 16
        if node_flags & ~(BIG_DATA | _SUB_TABLE):
            raise _damaged(f"page {self.at} holds a record of unknown kind")
        if node_flags & BIG_DATA:
            data = self._overflow(int.from_bytes(page[start : start + 8], "little"), size_bytes)
        else:
            data = page[start : start + size_bytes]
            if len(data) != size_bytes:
                raise _damaged(f"page {self.at} holds a record that goes past its end")
        if node_flags & _SUB_TABLE:
            root = int.from_bytes(data[TABLE_ROOT_AT:_TABLE_SIZE_BYTES], "little")
            self._tree(root, None)
        if free is not None:
            numbers = struct.unpack(f"=Q{size_bytes // 8 - 1}Q", data)
            if numbers[0] > len(numbers) - 1:
                raise _damaged(f"page {self.at} holds a malformed list of free pages")
            free.extend(numbers[1 : 1 + numbers[0]])
        return []

    def _overflow(self, first: int, size_bytes: int) -> bytes:
        page_size = self.meta.page_size
        count = (PAGE_HEADER.size + size_bytes + page_size - 1) // page_size
        for page in range(first, first + count):
            self._take(page, "in use")
        if (first + count) * page_size > self._size_bytes:
            raise _damaged(f"page {first} lies beyond the file's end at {self._size_bytes} bytes")
        self._file.seek(first * page_size)
        data = self._file.read(count * page_size)
        number, _, flags, counted = _OVERFLOW_HEADER.unpack_from(data)
        if (number, flags, counted) != (first, _OVERFLOW, count):
            raise _damaged(f"page {first} is not the long record that belongs there")
        return data[PAGE_HEADER.size : PAGE_HEADER.size + size_bytes]
