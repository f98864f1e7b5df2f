"""Answers peers that want to begin with a snapshot, and makes the snapshots.

Rule: nobody's wish costs this node more than it allows itself: a snapshot is made only when somebody asks, the
newest one is old and the last attempt is some time ago, one at a time, in a worker thread that pauses; two are
kept. Requests are bounded for each peer and in all. A damaged snapshot is thrown away, never sent.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

import structlog

from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy, LedgerError, NotFound, StorageDamaged, Unavailable
from ledger.snapshot import MANIFEST_PATH_HEADERS_MAX
from ledger.snapshot_files import MAKING_SUFFIX, SnapshotFile, make_snapshot
from ledger.store import BOUNDARY_BLOCKS, Store
from ledger.store_view import StoreView
from ledger.types import EpochChange
from node.statesync.messages import (
    CHANGES_PER_ANSWER_MAX,
    CHANGES_SIZE_BYTES,
    CertifiedHead,
    GetOffer,
    GetPiece,
    GetProgress,
    Offer,
    Piece,
    Progress,
    decode_request,
)

SNAPSHOTS_KEPT: Final = 2
REQUESTS_PER_PEER_MAX: Final = 4
REQUESTS_MAX: Final = 16
WINDOW_S: Final = 10.0
REQUESTS_PER_WINDOW_MAX: Final = 2000
# A snapshot that takes longer is given up; until its state is read, the store keeps old pages for it.
MAKE_TIME_S_MAX: Final = 900.0
PAUSE_S: Final = 0.001

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """When a snapshot is made.

    Attributes:
        snapshot_every_blocks: a younger one is good enough.
        snapshot_interval_s: shortest time between two attempts.
        boundary_wait_s: wait so long for a height at which other nodes make a snapshot too.
    """

    snapshot_every_blocks: int = 10_000
    snapshot_interval_s: float = 600.0
    boundary_wait_s: float = 5.0


class SnapshotServer:
    """The serving side. Works before the store does: until `attach` it says that it has nothing.

    Args:
        suite: crypto suite.
        folder: where snapshots lie; nothing else is in it.
        settings: when they are made.
        now_s: a steady clock.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        folder: Path,
        settings: ServeSettings,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._suite = suite
        self._folder = folder
        self._settings = settings
        self._now_s = now_s
        self._store: Store | None = None
        self._files: list[SnapshotFile] = []
        self._making: asyncio.Task[None] | None = None
        self._attempted_s: float | None = None
        self._stopping = threading.Event()
        self._arrived = asyncio.Event()
        self._serving: Counter[bytes] = Counter()
        self._window: tuple[float, Counter[bytes]] = (now_s(), Counter())

    def attach(self, store: Store) -> None:
        """The store is there: serve from it, and from what was made before.

        Raises:
            Unavailable: the folder cannot be used.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = sorted(path for path in self._folder.iterdir() if path.is_dir())
        except OSError as error:
            raise Unavailable(what="snapshots", reason=error.strerror or str(error)) from None
        for path in found:
            try:
                opened = SnapshotFile.open(self._suite, path)
            except StorageDamaged as error:
                if not path.name.endswith(MAKING_SUFFIX):
                    log.warning("snapshot thrown away", snapshot=path.name, reason=str(error))
                SnapshotFile.remove(path)
                continue
            of_this_chain = opened.snapshot.manifest.header.chain_id == store.chain_id
            if of_this_chain and opened.snapshot.height <= store.height:
                self._files.append(opened)
            else:
                opened.delete()
        self._keep_newest()
        self._store = store

    async def stop(self) -> None:
        """Give up what is being made; call before the store is closed."""
        self._stopping.set()
        self._arrived.set()
        if self._making is not None:
            with suppress(asyncio.CancelledError):
                await self._making

    async def serve(self, peer: bytes, payload: bytes) -> bytes:
        """Answer a peer's request. Raises LedgerError for what is malformed, not here or too much."""
        message = decode_request(payload)
        self._admit(peer)
        self._serving[peer] += 1
        try:
            match message:
                case GetProgress(from_epoch=epoch):
                    return codec.encode(await asyncio.to_thread(self._progress, epoch))
                case GetOffer():
                    return codec.encode(self._offer())
                case GetPiece(snapshot=wanted, index=index):
                    return codec.encode(Piece(data=await self._piece(wanted, index)))
                case _:
                    assert_never(message)
        finally:
            self._serving[peer] -= 1

    def _admit(self, peer: bytes) -> None:
        began_s, asked = self._window
        if self._now_s() - began_s >= WINDOW_S:
            asked = Counter()
            self._window = (self._now_s(), asked)
        asked[peer] += 1
        self._serving = +self._serving
        if (
            asked[peer] > REQUESTS_PER_WINDOW_MAX
            or self._serving[peer] >= REQUESTS_PER_PEER_MAX
            or self._serving.total() >= REQUESTS_MAX
        ):
            raise Busy(what="snapshot service", retry_after_s=1)

    # --- answers ---

    def _progress(self, from_epoch: int) -> Progress:
        store = self._store
        if store is None or store.height == 0:
            return Progress(changes=(), head=None)
        changes: list[EpochChange] = []
        size_bytes = 0
        for change in store.epoch_changes(from_epoch, limit=CHANGES_PER_ANSWER_MAX):
            changes.append(change)
            size_bytes += len(codec.encode(change))
            if size_bytes >= CHANGES_SIZE_BYTES:
                break
        if changes:
            return Progress(changes=tuple(changes), head=None)
        final = store.block(store.height)
        if final is None or len(final.path) > MANIFEST_PATH_HEADERS_MAX:
            raise Busy(what="certified head", retry_after_s=1)
        head = CertifiedHead(header=final.block.header, path=final.path, certificate=final.certificate)
        return Progress(changes=(), head=head)

    def _offer(self) -> Offer:
        self._make_if_due()
        newest = self._files[-1].snapshot.manifest if self._files else None
        return Offer(manifest=newest, making=self._making is not None)

    async def _piece(self, wanted: bytes, index: int) -> bytes:
        for file in self._files:
            if file.snapshot.id == wanted and index < file.snapshot.piece_count:
                try:
                    return await asyncio.to_thread(file.piece, self._suite, index)
                except StorageDamaged as error:
                    log.error("snapshot is damaged and thrown away", reason=str(error))
                    self._files = [other for other in self._files if other is not file]
                    await asyncio.to_thread(file.delete)
                    break
        raise NotFound(what="snapshot piece", id=f"{wanted.hex()}/{index}")

    # --- making ---

    def _make_if_due(self) -> None:
        store = self._store
        if store is None or store.height == 0 or self._making is not None or self._stopping.is_set():
            return
        if self._files:
            age_blocks = store.height - self._files[-1].snapshot.height
            if age_blocks < self._settings.snapshot_every_blocks:
                return
        now_s = self._now_s()
        if self._attempted_s is not None and now_s - self._attempted_s < self._settings.snapshot_interval_s:
            return
        self._attempted_s = now_s
        self._making = asyncio.get_running_loop().create_task(self._make(store))
        self._making.add_done_callback(self._made)

    async def _make(self, store: Store) -> None:
        began_s = self._now_s()
        view = await self._view(store)
        deadline_s = self._now_s() + MAKE_TIME_S_MAX

        def breathe() -> None:
            if self._stopping.is_set() or self._now_s() > deadline_s:
                raise Unavailable(what="snapshot", reason="it took too long, or the node stops")
            time.sleep(PAUSE_S)

        def make() -> SnapshotFile:
            # The state is proven as it is written; the block comes from the store, which proves what it gives.
            try:
                store.block(view.height())
                store.results(view.height())
            except LedgerError:
                view.close()
                raise
            return make_snapshot(self._suite, view, self._folder, breathe)

        try:
            file = await asyncio.to_thread(make)
        except LedgerError as error:
            log.warning("no snapshot could be made", reason=str(error))
            return
        self._files.append(file)
        self._keep_newest()
        manifest = file.snapshot.manifest
        log.info(
            "snapshot made",
            height=file.snapshot.height,
            chunks=len(manifest.chunks),
            size_bytes=sum(chunk.size_bytes for chunk in manifest.chunks),
            seconds=round(self._now_s() - began_s, 1),
        )

    def _made(self, task: asyncio.Task[None]) -> None:
        self._making = None
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _view(self, store: Store) -> StoreView:
        """A view at a height that is a multiple of BOUNDARY_BLOCKS if one comes soon, else at the head."""
        if store.height % BOUNDARY_BLOCKS == 0:
            return store.view()
        loop = asyncio.get_running_loop()
        taken: list[StoreView] = []
        self._arrived.clear()

        def take(view: StoreView) -> None:
            taken.append(view)
            loop.call_soon_threadsafe(self._arrived.set)

        store.view_at_boundary(take)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.boundary_wait_s):
                await self._arrived.wait()
        store.view_at_boundary(None)
        return taken[0] if taken else store.view()

    def _keep_newest(self) -> None:
        self._files.sort(key=lambda file: file.snapshot.height)
        for file in self._files[:-SNAPSHOTS_KEPT]:
            file.delete()
        del self._files[:-SNAPSHOTS_KEPT]
