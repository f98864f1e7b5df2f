"""Transactions that this node has promised to carry: an append-only file, synced before a client hears “accepted”.

Rule: what was appended and synced is read back after any crash; a torn last record is dropped, because its client never
got an answer. The file is rewritten with what is still pending when it has grown past a bound.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ledger.types import TRANSACTION_SIZE_BYTES_MAX
from node.home import write_file

_RECORD_HEAD: Final = struct.Struct(">II")
LOG_SIZE_BYTES_BEFORE_REWRITE: Final = 16 * 1024 * 1024


class PoolLog:
    """The file. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending = self._read()
        write_file(path, _records(self._pending), secret=True)
        self._file = path.open("ab", buffering=0)
        self._size_bytes = self._rewritten_size_bytes = path.stat().st_size

    def recovered(self) -> list[bytes]:
        """Encoded transactions that were in the file when it was opened, oldest first; can be taken once."""
        recovered, self._pending = self._pending, []
        return recovered

    @property
    def wants_rewrite(self) -> bool:
        """Whether it has doubled, at least, since it held just what was pending."""
        return self._size_bytes > max(LOG_SIZE_BYTES_BEFORE_REWRITE, 2 * self._rewritten_size_bytes)

    def append(self, encoded: bytes) -> None:
        """Add a transaction, not yet durably. Raises OSError; then the file must be rewritten."""
        record = _record(encoded)
        written = self._file.write(record)
        if written != len(record):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size_bytes += len(record)

    def sync(self) -> None:
        """Make everything appended so far durable. Raises OSError; then the file must be rewritten.

        A disk that failed to sync may have dropped what it was given, and says so only once.
        """
        os.fdatasync(self._file.fileno())

    def rewrite(self, pending: Iterable[bytes]) -> None:
        """Replace the file by one that holds just `pending`, durably. Raises FileUnusable; then it is as before."""
        data = _records(pending)
        write_file(self._path, data, secret=True)
        self._file.close()
        self._file = self._path.open("ab", buffering=0)
        self._size_bytes = self._rewritten_size_bytes = len(data)

    def close(self) -> None:
        self._file.close()

    def _read(self) -> list[bytes]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        found: list[bytes] = []
        offset = 0
        while offset + _RECORD_HEAD.size <= len(data):
            size, checksum = _RECORD_HEAD.unpack_from(data, offset)
            start = offset + _RECORD_HEAD.size
            encoded = data[start : start + size]
            if size > TRANSACTION_SIZE_BYTES_MAX or len(encoded) < size or zlib.crc32(encoded) != checksum:
                break
            found.append(encoded)
            offset = start + size
        return found


def _record(encoded: bytes) -> bytes:
    return _RECORD_HEAD.pack(len(encoded), zlib.crc32(encoded)) + encoded


def _records(transactions: Iterable[bytes]) -> bytes:
    return b"".join(_record(encoded) for encoded in transactions)
