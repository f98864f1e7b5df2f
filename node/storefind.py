"""In which page of the data file a record lies, by plain reads; and which of the file's two roots is the newer one.

Rule: nothing is mapped and nothing is believed: what cannot be followed is not found. A reader of a damaged file must not die here.

Source: the page layout of LMDB 0.9, data version 1, 64-bit (`MDB_page`, `MDB_node`, `MDB_db`, `MDB_meta`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from ledger.errors import StorageDamaged
from ledger.lmdb_file import DATA_FILE
from node.storepages import BIG_DATA, BRANCH, LEAF, NO_PAGE, PAGE_HEADER, TABLE_ROOT_AT, Meta, read_metas

_DEPTH_MAX: Final = 64
_NODE: Final = struct.Struct("=HHHH")


@dataclass(frozen=True, slots=True)
class _Record:
    """Where a search ended: the page, and the record's bytes there; None where there is no such record."""

    page: int
    data: bytes | None


class PageFinder:
    """Looks records up in a store's data file; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DATA_FILE
        self._file: BinaryIO | None = None
        self._metas: tuple[Meta, ...] = ()

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("rb")
            self._metas = read_metas(self._file)
        except (OSError, StorageDamaged):
            self._metas = ()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def page_of(self, table: str, key: bytes) -> int:
        """The page of a record, or the one where it should be; -1 where the way there cannot be followed.

        Args:
            table: its name; empty for the list of the tables themselves.
            key: of the record.
        """
        if not self._metas:
            return -1
        found = self._lookup(max(self._metas), table, key)
        return found.page if found is not None else -1

    def heads(self) -> tuple[int, int] | None:
        """Height by the older root and by the newer one; None where one of them has none."""
        if len(self._metas) < 2:
            return None
        found = [self._lookup(meta, "meta", b"head") for meta in sorted(self._metas)]
        heights = [
            int.from_bytes(one.data, "big") for one in found if one is not None and one.data is not None
        ]
        return (heights[0], heights[1]) if len(heights) == len(found) else None

    def _lookup(self, meta: Meta, table: str, key: bytes) -> _Record | None:
        try:
            if not table:
                return self._search(meta, meta.main_root, key)
            described = self._search(meta, meta.main_root, table.encode())
            if described is None or described.data is None:
                return described
            root = int.from_bytes(described.data[TABLE_ROOT_AT : TABLE_ROOT_AT + 8], "little")
            return self._search(meta, root, key) or _Record(described.page, None)
        except (struct.error, IndexError, OSError):
            return None

    def _search(self, meta: Meta, root: int, key: bytes) -> _Record | None:
        number = root
        for _ in range(_DEPTH_MAX):
            page = self._page(meta, number)
            if page is None:
                return None
            _, _, flags, lower, _ = PAGE_HEADER.unpack_from(page)
            places = [at for (at,) in struct.iter_unpack("=H", page[PAGE_HEADER.size : lower])]
            if flags == LEAF:
                return self._leaf(page, places, number, key)
            if flags != BRANCH or not places:
                return None
            number = self._child(page, places, key)
        return None

    def _page(self, meta: Meta, number: int) -> bytes | None:
        if self._file is None or number == NO_PAGE or not 2 <= number <= meta.last_page:
            return None
        self._file.seek(number * meta.page_size)
        page = self._file.read(meta.page_size)
        return page if len(page) == meta.page_size else None

    def _child(self, page: bytes, places: list[int], key: bytes) -> int:
        """The last child whose first key is not greater; the first one's key counts as the least."""
        chosen = places[0]
        for at in places[1:]:
            if _key_at(page, at) > key:
                break
            chosen = at
        low, high, flags, _ = _NODE.unpack_from(page, chosen)
        return int(low | high << 16 | flags << 32)

    def _leaf(self, page: bytes, places: list[int], number: int, key: bytes) -> _Record:
        for at in places:
            if _key_at(page, at) == key:
                low, high, flags, key_size = _NODE.unpack_from(page, at)
                start = at + _NODE.size + key_size
                if flags & BIG_DATA:
                    return _Record(int.from_bytes(page[start : start + 8], "little"), b"")
                return _Record(number, page[start : start + (low | high << 16)])
        return _Record(number, None)


def _key_at(page: bytes, at: int) -> bytes:
    key_size = _NODE.unpack_from(page, at)[3]
    return page[at + _NODE.size : at + _NODE.size + key_size]


def check_newest(folder: Path) -> None:
    """Whether the newer of the file's two roots has the higher chain: each commit raises the head, and none lowers it.

    Raises:
        StorageDamaged: it has not, so the file would be read as it was before its last commit.
    """
    with PageFinder(folder) as finder:
        heads = finder.heads()
    if heads is not None and heads[0] > heads[1]:
        reason = f"the newer of the meta pages has height {heads[1]}, the older one {heads[0]}"
        raise StorageDamaged(what=DATA_FILE, reason=reason)
