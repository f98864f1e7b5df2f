"""Content-addressed ciphertext: the blob store's seam and the local folder that implements it.

Rule: a blob's name is the hash of its bytes, so what is read is checked, a second put changes nothing, and a half-written
file is never visible under its name.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LimitExceeded, StorageDamaged, Unavailable
from ledger.lmdb_file import sync_folder
from ledger.types import HASH_SIZE_BYTES
from node.home import write_file

BLOB_SIZE_BYTES_MAX: Final = 9 * 1024 * 1024
# Blobs come at peers' word, and leave so much of the disk to ledger and journal, without which a node stops.
DISK_KEPT_FREE_BYTES: Final = 1024 * 1024 * 1024
HEX_DIGITS: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Listed:
    """A blob's name, and when it was written."""

    name: bytes
    written_ms: int


class BlobStore(Protocol):
    """Where ciphertext lies. Calls block on disk or network; run them off the event loop."""

    def put(self, data: bytes) -> bytes:
        """Keep `data` durably and return its 32-byte hash.

        Raises:
            LimitExceeded: above BLOB_SIZE_BYTES_MAX.
            Unavailable: there is no room for it.
        """
        ...

    def get(self, blob_hash: bytes) -> bytes | None:
        """The bytes, checked against their hash, or None. Raises StorageDamaged when they differ."""
        ...

    def has(self, blob_hash: bytes) -> bool:
        """Whether `get` would give it: a damaged copy is none, and the next `put` replaces it."""
        ...

    def delete(self, blob_hash: bytes) -> bool:
        """Whether there was something to delete."""
        ...

    def listing(self) -> Iterator[Listed]:
        """Every blob that is there; unchecked."""
        ...


def blob_hash(suite: CryptoSuite, data: bytes) -> bytes:
    """The name of `data`."""
    return suite.hash(domains.BLOB, data)


class LocalBlobStore:
    """A folder with one file a blob, in 256 subfolders by the first byte of the hash."""

    def __init__(self, folder: Path, suite: CryptoSuite) -> None:
        self._folder = folder
        self._suite = suite
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _path(self, name: bytes) -> Path:
        text = name.hex()
        return self._folder / text[:2] / text[2:]

    def put(self, data: bytes) -> bytes:
        if len(data) > BLOB_SIZE_BYTES_MAX:
            raise LimitExceeded(limit="BLOB_SIZE_BYTES_MAX", maximum=BLOB_SIZE_BYTES_MAX, actual=len(data))
        name = blob_hash(self._suite, data)
        if self.has(name):
            return name
        free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes - len(data) < DISK_KEPT_FREE_BYTES:
            raise Unavailable(what="blob store", reason=f"the disk has only {free_bytes // 1024**2} MiB left")
        path = self._path(name)
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True, mode=0o700)
            sync_folder(self._folder)
        write_file(path, data, secret=True)
        return name

    def get(self, blob_hash: bytes) -> bytes | None:
        try:
            data = self._path(blob_hash).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageDamaged(what="blob", reason=error.strerror or str(error)) from None
        if self._suite.hash(domains.BLOB, data) != blob_hash:
            raise StorageDamaged(what="blob", reason=f"{blob_hash.hex()} does not hash to its name")
        return data

    def has(self, blob_hash: bytes) -> bool:
        try:
            return self.get(blob_hash) is not None
        except StorageDamaged:
            return False

    def delete(self, blob_hash: bytes) -> bool:
        path = self._path(blob_hash)
        try:
            path.unlink()
            sync_folder(path.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise Unavailable(what="blob store", reason=error.strerror or str(error)) from None
        return True

    def listing(self) -> Iterator[Listed]:
        """Every blob that is there, in ascending order of names."""
        for name in self.names():
            try:
                written = self._path(name).stat().st_mtime_ns
            except FileNotFoundError:
                continue
            yield Listed(name=name, written_ms=written // 1_000_000)

    def names(self) -> Iterator[bytes]:
        """The names of the blobs that are here, in ascending order; one subfolder is listed at a time."""
        for folder in sorted(self._folder.glob("??")):
            for path in sorted(folder.iterdir()):
                text = folder.name + path.name
                if len(text) == 2 * HASH_SIZE_BYTES and set(text) <= HEX_DIGITS:
                    yield bytes.fromhex(text)
