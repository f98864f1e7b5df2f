"""Transactions that this node has promised to carry: an append-only file, synced before a client hears “accepted”.

    record   magic 4 ‖ length 4 (big-endian) ‖ checksum 16 ‖ encoded transaction

Rule: what was appended and synced is read back after any crash. Bytes at the end that are no record are dropped: a crash tore a
record whose client never got an answer. Bytes in the middle that are no record are skipped up to the next good one. Either is
logged, and a copy of a file with a damaged middle is kept beside it, so that nothing promised is lost silently. What is read
back is checked like anything a client sends. The file is rewritten with what is still pending when it has grown past a bound.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from ledger.types import TRANSACTION_SIZE_BYTES_MAX
from node.home import write_file

LOG_SIZE_BYTES_BEFORE_REWRITE: Final = 16 * 1024 * 1024
DAMAGED_SUFFIX: Final = ".damaged"

_MAGIC: Final = b"ZLTX"
_LENGTH: Final = struct.Struct(">I")
_CHECKSUM_SIZE_BYTES: Final = 16
_HEAD_SIZE_BYTES: Final = len(_MAGIC) + _LENGTH.size + _CHECKSUM_SIZE_BYTES

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLogContents:
    """What is in the file.

    Attributes:
        transactions: encoded, oldest first.
        damaged: where bytes are no record although good ones follow, and how many.
        torn_bytes: how many at the end are no record.
    """

    transactions: list[bytes]
    damaged: tuple[tuple[int, int], ...]
    torn_bytes: int


def read_pool_log(data: bytes) -> PoolLogContents:
    """Read the file's bytes, whatever has become of them."""
    found: list[bytes] = []
    damaged: list[tuple[int, int]] = []
    at = good_end = 0
    while at >= 0:
        encoded = _record_at(data, at)
        if encoded is None:
            at = data.find(_MAGIC, at + 1)
            continue
        if at > good_end:
            damaged.append((good_end, at - good_end))
        found.append(encoded)
        at = good_end = at + _HEAD_SIZE_BYTES + len(encoded)
    return PoolLogContents(transactions=found, damaged=tuple(damaged), torn_bytes=len(data) - good_end)


class PoolLog:
    """The file. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Read what is there, and begin anew with it. Raises FileUnusable, OSError."""
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
        contents = read_pool_log(data)
        for offset_bytes, size_bytes in contents.damaged:
            log.error(
                "promised transactions are damaged and skipped",
                file=str(self._path),
                offset_bytes=offset_bytes,
                size_bytes=size_bytes,
            )
        if contents.damaged:
            self._keep_a_copy()
        if contents.torn_bytes:
            log.warning(
                "the end of the pool log is no transaction; a crash tore it, or it is damaged",
                file=str(self._path),
                size_bytes=contents.torn_bytes,
            )
        return contents.transactions

    def _keep_a_copy(self) -> None:
        """The damaged file stays under another name; the first one, if there are several."""
        copy = self._path.with_name(self._path.name + DAMAGED_SUFFIX)
        if not copy.exists():
            copy.hardlink_to(self._path)


def _record_at(data: bytes, at: int) -> bytes | None:
    start = at + _HEAD_SIZE_BYTES
    if data[at : at + len(_MAGIC)] != _MAGIC or start > len(data):
        return None
    (size,) = _LENGTH.unpack_from(data, at + len(_MAGIC))
    encoded = data[start : start + size]
    if size > TRANSACTION_SIZE_BYTES_MAX or len(encoded) != size:
        return None
    return encoded if data[at:start] == _head(encoded) else None


def _head(encoded: bytes) -> bytes:
    length = _LENGTH.pack(len(encoded))
    checksum = hashlib.blake2b(length + encoded, digest_size=_CHECKSUM_SIZE_BYTES).digest()
    return _MAGIC + length + checksum


def _record(encoded: bytes) -> bytes:
    return _head(encoded) + encoded


def _records(transactions: Iterable[bytes]) -> bytes:
    return b"".join(_record(encoded) for encoded in transactions)
