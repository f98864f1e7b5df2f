"""Leaves of the state tree in the order of the tree, however many there are.

Rule: memory holds one part of them. They are dealt out into files by the first byte of their key hashes, which
are evenly spread, and the files are sorted one by one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ledger.state_nodes import Leaf
from ledger.types import HASH_SIZE_BYTES

BUFFER_LEAVES: Final = 256
_PARTS: Final = 256
_RECORD_SIZE_BYTES: Final = 2 * HASH_SIZE_BYTES


class LeafSorter:
    """Takes leaves in any order and gives them back sorted.

    Args:
        folder: for its files; made anew, and gone afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[list[bytes]] = [[] for _ in range(_PARTS)]

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, leaf: Leaf) -> None:
        """Take a leaf."""
        part = leaf.key_hash[0]
        waiting = self._waiting[part]
        waiting.append(leaf.key_hash + leaf.value_hash)
        if len(waiting) >= BUFFER_LEAVES:
            self._write(part)

    def _path(self, part: int) -> Path:
        return self._folder / f"{part:02x}"

    def _write(self, part: int) -> None:
        with self._path(part).open("ab") as file:
            file.write(b"".join(self._waiting[part]))
        self._waiting[part].clear()

    def sorted(self) -> Iterator[Leaf]:
        """All leaves that were taken, in order."""
        for part in range(_PARTS):
            self._write(part)
            data = self._path(part).read_bytes()
            self._path(part).unlink()
            records = [data[at : at + _RECORD_SIZE_BYTES] for at in range(0, len(data), _RECORD_SIZE_BYTES)]
            records.sort()
            for record in records:
                yield Leaf(record[:HASH_SIZE_BYTES], record[HASH_SIZE_BYTES:])
