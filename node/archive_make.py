"""Makes an archive of a store, also while a node is writing to it.

Rule: it reads the store in short transactions, and writes nothing but the archive, which has its name only when it is whole and
durable. Equal blocks give equal frames at every node; proofs of finality may differ, and so may the manifests.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from contracts.state import ACCOUNTS
from ledger.archive import (
    ARCHIVE_FORMAT,
    ARCHIVE_VERSION,
    ArchivedBlob,
    ArchivedBlock,
    ArchiveManifest,
    ArchiveWriter,
    Contents,
    EpochEnd,
    Founding,
    Frame,
    Opening,
    SnapshotListed,
    SnapshotPiece,
    sign_manifest,
)
from ledger.archive_check import MANIFEST_VERSION
from ledger.crypto.suite import CryptoSuite, Signer, key_id
from ledger.errors import Category, LedgerError, NotFound, StorageDamaged
from ledger.hashing import block_digest
from ledger.light import is_seal
from ledger.lmdb_file import sync_folder
from ledger.snapshot_files import SnapshotFile, make_snapshot
from ledger.state_receipts import StateReceipt, build_state_receipt
from ledger.state_tree import verify_state
from ledger.store import Store
from ledger.store_view import StoreView
from ledger.types import EpochChange
from node.home import FileUnusable
from node.vault.blobs import LocalBlobStore

# Blocks that are read in one transaction, and their size at most before no further one is added.
BATCH_BLOCKS: Final = 64
BATCH_SIZE_BYTES: Final = 8 * 1024 * 1024
PART_SUFFIX: Final = ".part"

Progress = Callable[[str, int, int], None]


class CannotArchive(LedgerError):
    """What was asked for cannot be archived here. Fields: reason_zh, reason_en."""

    code = "cannot_archive"
    category = Category.CONFLICT
    zh = "无法制作归档：{reason_zh}"
    en = "Cannot make the archive: {reason_en}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveWish:
    """What is to be archived.

    Attributes:
        first_height: of the first block; None for the first one that the store has.
        last_height: of the last one; None for the newest.
        snapshot: the state after the last block too; always so where the store does not begin at genesis.
        blobs: folder of the vault's ciphertext; None to leave it out.
        made_ms: wall clock, Unix milliseconds.
    """

    first_height: int | None = None
    last_height: int | None = None
    snapshot: bool = False
    blobs: Path | None = None
    made_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Who signs: an operator's account and a key of it."""

    account: bytes
    signer: Signer


def make_archive(
    path: Path, suite: CryptoSuite, store: Store, wish: ArchiveWish, maker: Maker, progress: Progress
) -> ArchiveManifest:
    """Write an archive.

    Args:
        path: the file; replaced if it exists.
        suite: the network's.
        store: opened just now; its head at that moment is the newest block.
        wish: what is to be in it.
        maker: who signs it.
        progress: told the stage, and how much of it is done.

    Returns:
        The manifest.

    Raises:
        CannotArchive: heights that the store does not have or cannot prove, or a key that is not the account's.
        StorageDamaged: what the store or vault holds is not as it was written.
        FileUnusable: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART_SUFFIX}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            manifest = _Making(suite, store, wish, maker, file, progress).run(path.parent)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise FileUnusable(path=str(path), reason=error.strerror or str(error)) from None
    finally:
        part.unlink(missing_ok=True)
    return manifest


class _Making:
    """One archive being made."""

    def __init__(
        self,
        suite: CryptoSuite,
        store: Store,
        wish: ArchiveWish,
        maker: Maker,
        file: BinaryIO,
        progress: Progress,
    ) -> None:
        self._suite = suite
        self._store = store
        self._maker = maker
        self._file = file
        self._progress = progress
        self._writer = ArchiveWriter(suite)
        self._counts: dict[str, int] = dict.fromkeys(Contents.__struct_fields__, 0)
        self._made_ms = wish.made_ms
        self._blobs = wish.blobs
        # The head moves while it is read, unless a snapshot is to show exactly the state after the last block.
        self._view: StoreView | None = store.view() if self._needs_snapshot(wish) else None
        newest = store.height if self._view is None else self._view.height()
        self._first = store.first_height if wish.first_height is None else wish.first_height
        self._last = newest if wish.last_height is None else wish.last_height
        self._check_range(wish, newest)

    def _needs_snapshot(self, wish: ArchiveWish) -> bool:
        whole_rest = wish.first_height is None and wish.last_height is None
        return wish.snapshot or (self._store.first_height > 1 and whole_rest)

    def _check_range(self, wish: ArchiveWish, newest: int) -> None:
        held = self._store.first_height
        whole = wish.first_height is None and wish.last_height is None and newest == 0
        if not whole and not held <= self._first <= self._last <= newest:
            raise CannotArchive(
                reason_zh=f"本节点保存区块 {held} 至 {newest}，不含 {self._first} 至 {self._last}",
                reason_en=f"this node holds blocks {held} to {newest}, not {self._first} to {self._last}",
            )
        if self._view is not None and (self._last != newest or newest == 0):
            raise CannotArchive(
                reason_zh=f"快照只能取自最新区块 {newest}，不能取自 {self._last}",
                reason_en=f"a snapshot shows the newest block, {newest}, and not {self._last}",
            )

    def run(self, scratch: Path) -> ArchiveManifest:
        """Write every frame; gives the manifest. `scratch` is a folder with room for the state."""
        folder = Path(tempfile.mkdtemp(prefix=".archive-", dir=scratch))
        try:
            # First of all, so that the store need not keep its pages for as long as the blocks take.
            made = None if self._view is None else self._make_snapshot(self._view, folder)
            opening = self._opening()
            standing = self._standing()
            self._put(opening)
            self._put(Founding(genesis=self._store.genesis))
            for change in self._changes_before():
                self._put_epoch(change)
            self._put_blocks()
            if made is not None:
                self._put(SnapshotListed(manifest=made.snapshot.manifest))
                self._put_pieces(made)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if self._blobs is not None:
            self._put_blobs(LocalBlobStore(self._blobs, self._suite))
        manifest = self._manifest(opening, standing)
        self._put(sign_manifest(self._maker.signer, manifest))
        return manifest

    def _put(self, frame: Frame) -> None:
        self._file.write(self._writer.frame(frame))

    def _opening(self) -> Opening:
        genesis = self._store.genesis
        return Opening(
            format=ARCHIVE_FORMAT,
            version=ARCHIVE_VERSION,
            network=genesis.network,
            suite=genesis.suite,
            chain_id=self._store.chain_id,
            first_height=self._first,
            last_height=self._last,
            snapshot=self._view is not None,
            blobs=self._blobs is not None,
        )

    def _manifest(self, opening: Opening, standing: StateReceipt | None) -> ArchiveManifest:
        signer = self._maker.signer
        return ArchiveManifest(
            version=MANIFEST_VERSION,
            opening=opening,
            head=self._digest(self._last),
            contents=Contents(**self._counts),
            frames=self._writer.frames,
            size_bytes=self._writer.size_bytes,
            link=self._writer.link,
            made_ms=self._made_ms,
            account=self._maker.account,
            key_id=key_id(self._suite, signer.scheme, signer.public_key),
            scheme=signer.scheme,
            public_key=signer.public_key,
            standing=standing,
        )

    def _digest(self, height: int) -> bytes:
        header = self._store.header(height)
        if header is None:
            raise self._gone(height)
        return block_digest(self._suite, header)

    def _gone(self, height: int) -> CannotArchive:
        return CannotArchive(
            reason_zh=f"区块 {height} 在制作期间被清理", reason_en=f"block {height} was pruned meanwhile"
        )

    # --- who signs --------------------------------------------------------------------------------------------------

    def _standing(self) -> StateReceipt | None:
        """Proof that the account has the key; None where genesis says so."""
        if self._last > 0:
            proven = self._prove_account()
            if proven is not None:
                return proven
        signer = self._maker.signer
        for operator in self._store.genesis.operators:
            if operator.account == self._maker.account and any(
                (key.scheme, key.public_key) == (signer.scheme, signer.public_key) for key in operator.keys
            ):
                return None
        raise CannotArchive(
            reason_zh="无法证明本节点在最后一个区块时的身份：请选用较近的 --to，或由创始节点制作",
            reason_en="it cannot be proven that this node belonged to the network at the last block: choose a later --to, or "
            "make it at a founder's node",
        )

    def _prove_account(self) -> StateReceipt | None:
        key = ACCOUNTS.key(self._maker.account)
        finalized = self._store.block(self._last)
        if finalized is None:
            raise self._gone(self._last)
        try:
            proof = self._store.prove(key, self._last)
        except NotFound:
            return None
        value = self._store.get(key)
        root = finalized.block.header.state_root
        if value is None or not verify_state(self._suite, root, key, value, proof):
            return None
        signer = self._maker.signer
        held = ACCOUNTS.decode(value).keys
        if not any(one.public_key == signer.public_key and not one.revoked_ms for one in held):
            return None
        return build_state_receipt(self._store.genesis.network, finalized, key, value, proof)

    # --- what is in it ----------------------------------------------------------------------------------------------

    def _changes_before(self) -> Iterator[EpochChange]:
        """How the epochs ended that ended before the first block."""
        epoch = self._store.genesis.validators.epoch
        while found := self._store.epoch_changes(epoch, limit=16):
            for change in found:
                if change.header.height >= self._first:
                    return
                yield change
            epoch += len(found)

    def _put_epoch(self, change: EpochChange) -> None:
        self._put(EpochEnd(change=change))
        self._counts["epochs"] += 1

    def _put_blocks(self) -> None:
        height, total = self._first, self._last - self._first + 1
        while height <= self._last:
            blocks_max = min(BATCH_BLOCKS, self._last - height + 1)
            batch = self._store.blocks(height, blocks_max=blocks_max, size_bytes=BATCH_SIZE_BYTES)
            if not batch:
                raise self._gone(height)
            for finalized in batch:
                results = self._store.results(height)
                if results is None:
                    raise self._gone(height)
                self._put(ArchivedBlock(finalized=finalized, results=results))
                self._counts["blocks"] += 1
                self._counts["transactions"] += len(results)
                header = finalized.block.header
                if is_seal(header):
                    changes = self._store.epoch_changes(header.epoch, limit=1)
                    if not changes:
                        raise StorageDamaged(what="ledger store", reason=f"epoch {header.epoch} has no end")
                    self._put_epoch(changes[0])
                height += 1
            self._progress("blocks", height - self._first, total)

    def _make_snapshot(self, view: StoreView, folder: Path) -> SnapshotFile:
        self._progress("state", 0, 1)
        made = make_snapshot(self._suite, view, folder, lambda: None)
        self._progress("state", 1, 1)
        return made

    def _put_pieces(self, made: SnapshotFile) -> None:
        total = made.snapshot.piece_count
        for index in range(total):
            self._put(SnapshotPiece(index=index, data=made.piece(self._suite, index)))
            self._counts["pieces"] += 1
            self._progress("snapshot", index + 1, total)

    def _put_blobs(self, blobs: LocalBlobStore) -> None:
        for name in blobs.names():
            data = blobs.get(name)
            if data is not None:
                self._put(ArchivedBlob(name=name, data=data))
                self._counts["blobs"] += 1
                self._counts["blob_bytes"] += len(data)
            # Names are spread evenly, so the first byte says how far it is.
            self._progress("blobs", name[0] + 1, 256)
