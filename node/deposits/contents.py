"""The bytes of uploads on disk: sealed piece by piece as they come, and opened only into memory.

    file:  for each piece: 4 bytes its sealed length, big-endian ‖ the sealed piece, bound to job and place

Rule: what is counted as received is durable. What lies behind it, after a crash, is cut off before more is written.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import StorageDamaged, Unavailable
from node.deposits.limits import PIECE_BYTES

DISK_KEPT_FREE_BYTES: Final = 1024**3
_LENGTH_BYTES: Final = 4
_NAME: Final = re.compile(r"([0-9a-f]{32})\.upload", re.ASCII)


class Contents:
    """The folder of uploads. Calls block; run them in a worker thread."""

    def __init__(self, folder: Path, suite: CryptoSuite, node_secret: bytes) -> None:
        self._folder = folder
        self._suite = suite
        self._key = suite.mac(node_secret, domains.DEPOSIT_STORE, b"uploads")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def append(
        self, job_id: bytes, data: bytes, *, received_bytes: int, stored_bytes: int
    ) -> tuple[int, int]:
        """Write more of an upload durably.

        Args:
            job_id: whose.
            data: the bytes that follow.
            received_bytes, stored_bytes: what was durable before, of the content and of its file.

        Returns:
            Both, after it.

        Raises:
            Unavailable: the disk has no room.
        """
        if shutil.disk_usage(self._folder).free - len(data) < DISK_KEPT_FREE_BYTES:
            raise Unavailable(what="deposit store", reason="the disk is nearly full")
        try:
            descriptor = os.open(self._path(job_id), os.O_RDWR | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                file.truncate(stored_bytes)
                file.seek(stored_bytes)
                for start in range(0, len(data), PIECE_BYTES):
                    piece = data[start : start + PIECE_BYTES]
                    sealed = self._suite.seal(self._key, piece, self._bound(job_id, received_bytes))
                    file.write(len(sealed).to_bytes(_LENGTH_BYTES, "big") + sealed)
                    received_bytes += len(piece)
                    stored_bytes += _LENGTH_BYTES + len(sealed)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(what="deposit store", reason=error.strerror or str(error)) from None
        return received_bytes, stored_bytes

    @contextmanager
    def opened(self, job_id: bytes) -> Iterator[int]:
        """The content in memory: the number of a descriptor that a child may read. It is gone when this ends."""
        descriptor = os.memfd_create("deposit", os.MFD_CLOEXEC)
        try:
            for piece in self._pieces(job_id):
                os.write(descriptor, piece)
            os.lseek(descriptor, 0, os.SEEK_SET)
            yield descriptor
        finally:
            os.close(descriptor)

    def _pieces(self, job_id: bytes) -> Iterator[bytes]:
        done = 0
        try:
            with self._path(job_id).open("rb") as file:
                while head := file.read(_LENGTH_BYTES):
                    size_bytes = int.from_bytes(head, "big")
                    if size_bytes > PIECE_BYTES + 1024:
                        raise StorageDamaged(what="upload", reason="a piece is too long")
                    piece = self._suite.open(self._key, file.read(size_bytes), self._bound(job_id, done))
                    done += len(piece)
                    yield piece
        except OSError as error:
            raise StorageDamaged(what="upload", reason=error.strerror or str(error)) from None

    def delete(self, job_id: bytes) -> None:
        """Destroy the content of a job; nothing if there is none. Raises Unavailable."""
        try:
            self._path(job_id).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(what="deposit store", reason=error.strerror or str(error)) from None

    def names(self) -> list[bytes]:
        """Jobs that have a file here; other files are nobody's business."""
        named = (_NAME.fullmatch(path.name) for path in self._folder.glob("*.upload"))
        return [bytes.fromhex(found[1]) for found in named if found is not None]

    def tag(self, digest: bytes) -> bytes:
        """What is remembered of a content to know it again: says nothing without the node's key."""
        return self._suite.mac(self._key, domains.DEPOSIT_STORE, digest)

    def _path(self, job_id: bytes) -> Path:
        return self._folder / f"{job_id.hex()}.upload"

    @staticmethod
    def _bound(job_id: bytes, offset: int) -> bytes:
        return b"upload" + job_id + offset.to_bytes(8, "big")
