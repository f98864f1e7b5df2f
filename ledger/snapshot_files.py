"""Snapshots on disk: made from one view of the store, and read back piece by piece.

Rule: equal heights give equal bytes at every node. A snapshot is at its place only when it is whole and
durable; each piece lies behind its digest, so a damaged one is noticed here and never sent.

Making reads the state once, in key order, and deals it out into files by the first bits of the key hashes;
the view, which keeps old pages of the store alive, is closed after that. The files are then sorted one by
one, so memory holds one of them and no more.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, Self

from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.domains import STATE_KEY
from ledger.errors import LedgerError, StorageDamaged, Unavailable, invariant
from ledger.lmdb_file import sync_folder
from ledger.snapshot import (
    CHUNK_SIZE_BYTES,
    CHUNKS_MAX,
    ENTRY_OVERHEAD_BYTES,
    MANIFEST_PATH_HEADERS_MAX,
    MANIFEST_SIZE_BYTES_MAX,
    SNAPSHOT_VERSION,
    ChunkInfo,
    Snapshot,
    SnapshotManifest,
    Sorted,
    listed,
    make_chunk,
    make_parts,
    split,
)
from ledger.state_bulk import leaf_of
from ledger.store_view import StoreView
from ledger.types import HASH_SIZE_BYTES

MAKING_SUFFIX: Final = ".making"
BUCKET_SIZE_BYTES: Final = 8 * 1024 * 1024
BUCKET_BITS_MAX: Final = 8
# Entries between two calls of `breathe`.
BREATH_ENTRIES: Final = 512

_MANIFEST: Final = "manifest"
_PIECES: Final = "pieces"
_ENTRY: Final = Struct(">HI")


class SnapshotFile:
    """A snapshot in a folder of its own. Its header was final to whoever made it; nothing else is checked again.

    Attributes:
        path: its folder.
        snapshot: what it consists of.
        encoded_manifest: the manifest as it is sent.
    """

    def __init__(self, path: Path, snapshot: Snapshot, encoded_manifest: bytes) -> None:
        """For `open` and `make_snapshot`."""
        self.path = path
        self.snapshot = snapshot
        self.encoded_manifest = encoded_manifest
        self._places = _places(snapshot)

    @classmethod
    def open(cls, suite: CryptoSuite, path: Path) -> Self:
        """Open what `make_snapshot` made.

        Raises:
            StorageDamaged: it is not whole.
        """
        try:
            encoded = (path / _MANIFEST).read_bytes()
            size_bytes = (path / _PIECES).stat().st_size
            manifest = codec.decode(encoded, SnapshotManifest, size_bytes_max=MANIFEST_SIZE_BYTES_MAX)
            made = cls(path, listed(suite, manifest), encoded)
        except (OSError, LedgerError) as error:
            raise StorageDamaged(what=f"snapshot {path.name}", reason=str(error)) from None
        if size_bytes != made._places[-1]:
            raise StorageDamaged(what=f"snapshot {path.name}", reason=f"{size_bytes} bytes of pieces")
        return made

    def piece(self, suite: CryptoSuite, index: int) -> bytes:
        """Piece `index`.

        Raises:
            StorageDamaged: it is not as it was written, or cannot be read.
        """
        invariant(0 <= index < self.snapshot.piece_count, "a piece is asked for that the snapshot has")
        start, end = self._places[index], self._places[index + 1]
        try:
            with (self.path / _PIECES).open("rb") as file:
                file.seek(start)
                record = file.read(end - start)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageDamaged(what=f"snapshot {self.path.name}", reason=reason) from None
        digest, data = record[:HASH_SIZE_BYTES], record[HASH_SIZE_BYTES:]
        if suite.digest(data) != digest:
            raise StorageDamaged(what=f"snapshot {self.path.name}", reason=f"piece {index} has changed")
        return data

    def delete(self) -> None:
        """Remove it from the disk."""
        self.remove(self.path)

    @staticmethod
    def remove(path: Path) -> None:
        """Remove what lies at a snapshot's path, whatever its state."""
        shutil.rmtree(path, ignore_errors=True)


def _places(snapshot: Snapshot) -> list[int]:
    """Where each piece's record begins, and where the last one ends."""
    places = [0]
    for index in range(snapshot.piece_count):
        places.append(places[-1] + HASH_SIZE_BYTES + snapshot.piece_size_bytes(index))
    return places


def make_snapshot(
    suite: CryptoSuite, view: StoreView, folder: Path, breathe: Callable[[], None]
) -> SnapshotFile:
    """Write the snapshot of the height that the view shows. Blocks for as long as it takes.

    Args:
        suite: the network's suite.
        view: closed once the state is read, and in any case.
        folder: of all snapshots.
        breathe: called again and again; may pause, or raise to give up.

    Raises:
        Unavailable: the disk is full, the store is at genesis, or the block's proof is too long just now.
        LimitExceeded: the state or the block is larger than a snapshot can be.
    """
    making = folder / f"{view.height():015d}{MAKING_SUFFIX}"
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        encoded = _Maker(suite, making, breathe).make(view)
        snapshot = listed(
            suite, codec.decode(encoded, SnapshotManifest, size_bytes_max=MANIFEST_SIZE_BYTES_MAX)
        )
        place = folder / f"{snapshot.height:015d}-{snapshot.id.hex()[:16]}"
        shutil.rmtree(place, ignore_errors=True)
        making.replace(place)
        sync_folder(folder)
    except OSError as error:
        raise Unavailable(what="snapshot", reason=error.strerror or str(error)) from error
    finally:
        view.close()
        shutil.rmtree(making, ignore_errors=True)
    return SnapshotFile.open(suite, place)


class _Maker:
    """One snapshot being made."""

    def __init__(self, suite: CryptoSuite, folder: Path, breathe: Callable[[], None]) -> None:
        self._suite = suite
        self._folder = folder
        self._breathe = breathe
        self._bits = 0
        self._sizes: list[int] = []

    def make(self, view: StoreView) -> bytes:
        """Write everything; gives the encoded manifest."""
        finalized = view.block(view.height())
        results = view.results(view.height())
        if finalized is None or results is None:
            raise Unavailable(what="snapshot", reason="there is no block after genesis yet")
        if len(finalized.path) > MANIFEST_PATH_HEADERS_MAX:
            reason = f"the head is final only by way of {len(finalized.path)} headers"
            raise Unavailable(what="snapshot", reason=reason)
        parts, slices = make_parts(self._suite, finalized.block, results)
        self._deal_out(view)
        view.close()
        with (self._folder / _PIECES).open("wb") as file:
            chunks: list[ChunkInfo] = []
            for depth, entries in self._cut(0, 0, 1 << self._bits):
                chunk, data = make_chunk(self._suite, depth, entries)
                chunks.append(chunk)
                if len(chunks) > CHUNKS_MAX:
                    raise Unavailable(what="snapshot", reason=f"the state has more than {CHUNKS_MAX} chunks")
                self._write(file, data)
            for part in slices:
                self._write(file, part)
            file.flush()
            os.fsync(file.fileno())
        manifest = SnapshotManifest(
            version=SNAPSHOT_VERSION,
            header=finalized.block.header,
            path=finalized.path,
            certificate=finalized.certificate,
            chunks=tuple(chunks),
            parts=parts,
        )
        encoded = codec.encode(manifest)
        with (self._folder / _MANIFEST).open("wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._folder)
        return encoded

    def _write(self, file: BinaryIO, data: bytes) -> None:
        file.write(self._suite.digest(data) + data)
        self._breathe()

    def _deal_out(self, view: StoreView) -> None:
        """Write the state into buckets by the first bits of the key hashes."""
        while self._bits < BUCKET_BITS_MAX and view.state_size_bytes() >> self._bits > BUCKET_SIZE_BYTES:
            self._bits += 1
        self._sizes = [0] * (1 << self._bits)
        with ExitStack() as stack:
            files = [stack.enter_context(self._bucket(n).open("wb")) for n in range(1 << self._bits)]
            for count, (key, value) in enumerate(view.state()):
                if count % BREATH_ENTRIES == 0:
                    self._breathe()
                bucket = self._suite.hash(STATE_KEY, key)[0] >> (8 - self._bits)
                files[bucket].write(_ENTRY.pack(len(key), len(value)) + key + value)
                self._sizes[bucket] += len(key) + len(value) + ENTRY_OVERHEAD_BYTES

    def _bucket(self, number: int) -> Path:
        return self._folder / f"bucket-{number:03d}"

    def _cut(self, depth: int, first: int, end: int) -> Iterator[tuple[int, list[Sorted]]]:
        """The chunks of the subtree at `depth` that holds the buckets from `first` up to `end`."""
        if depth < self._bits and sum(self._sizes[first:end]) > CHUNK_SIZE_BYTES:
            middle = (first + end) // 2
            yield from self._cut(depth + 1, first, middle)
            yield from self._cut(depth + 1, middle, end)
            return
        entries = [entry for number in range(first, end) for entry in self._load(number)]
        for below, part in split(entries, depth):
            yield below, list(part)

    def _load(self, number: int) -> list[Sorted]:
        """A bucket in the order of the tree; its file is no longer needed."""
        path = self._bucket(number)
        data = path.read_bytes()
        path.unlink()
        found: list[Sorted] = []
        at = 0
        while at < len(data):
            if len(found) % BREATH_ENTRIES == 0:
                self._breathe()
            key_size, value_size = _ENTRY.unpack_from(data, at)
            middle = at + _ENTRY.size + key_size
            key, at = data[at + _ENTRY.size : middle], middle + value_size
            value = data[middle:at]
            found.append(Sorted(leaf_of(self._suite, key, value), key, value))
        found.sort()
        return found
