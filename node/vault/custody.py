"""Blobs by the record that they belong to: what is written is noted first, and what is destroyed is destroyed with its record.

Rule: nothing enters the blob store but through here, so that `Holdings` knows whose it is. What peers bring for records that
are not on the ledger yet is bounded by the peer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

import structlog

from ledger.errors import Busy, Category, LedgerError, StorageDamaged
from node.vault.blobs import BlobStore
from node.vault.holdings import Holdings, Totals
from node.vault.records import Manifest, blobs_of, decode_manifest

# A peer's deposits that wait for their issuer's signature: some sixty of the largest.
DRAFT_BYTES_PER_PEER_MAX: Final = 1024 * 1024 * 1024
BUSY_RETRY_S: Final = 60
LISTED_AT_ONCE: Final = 1000

log = structlog.get_logger()


class RecordErased(LedgerError):
    """The data of this record is to be destroyed, and is not kept again. Fields: id."""

    code = "record_erased"
    category = Category.GONE
    zh = "记录 {id} 的数据已依账本删除，不再保存"
    en = "The data of record {id} is erased by the ledger and is not kept again"


class Custody:
    """Blobs and whose they are.

    Args:
        store: the blobs.
        holdings: whose they are.
        clock_ms: wall clock.
        erased: whether the ledger says that a record's data is to be destroyed.
    """

    def __init__(
        self,
        *,
        store: BlobStore,
        holdings: Holdings,
        clock_ms: Callable[[], int],
        erased: Callable[[bytes], bool] = lambda _record: False,
    ) -> None:
        self.store = store
        self._holdings = holdings
        self._clock_ms = clock_ms
        self._erased = erased
        self._deciding = asyncio.Lock()
        self._locks: dict[bytes, tuple[asyncio.Lock, int]] = {}

    async def keep(self, certificate: bytes, blobs: Mapping[bytes, bytes], *, peer: bytes) -> None:
        """Keep these blobs of a record durably.

        Args:
            certificate: the record's id.
            blobs: bytes by their hash.
            peer: account of who brought them; this node's own for what was deposited here.

        Raises:
            Unavailable: disk or object store will not have them.
            RecordErased: the ledger says that they are to be destroyed.
        """
        async with self._alone(certificate):
            self._require_not_erased(certificate)
            sizes = {name: len(data) for name, data in blobs.items()}
            async with self._deciding:
                await asyncio.to_thread(
                    self._holdings.note, certificate, sizes, peer=peer, now_ms=self._clock_ms()
                )
            for data in blobs.values():
                await asyncio.to_thread(self.store.put, data)
            try:
                self._require_not_erased(certificate)
            except RecordErased:
                # It became so while this was written.
                await self._destroy(certificate)
                raise

    def _require_not_erased(self, record: bytes) -> None:
        if self._erased(record):
            raise RecordErased(id=record.hex())

    async def require_room(self, peer: bytes) -> None:
        """Raises Busy where a peer has brought as much as it may of what no record on the ledger names."""
        held = await asyncio.to_thread(self._holdings.unnamed_bytes, peer)
        if held >= DRAFT_BYTES_PER_PEER_MAX:
            raise Busy(what=f"drafts of {peer.hex()}", retry_after_s=BUSY_RETRY_S)

    async def settle(self, certificate: bytes, payload_hash: bytes, *, issued_ms: int) -> bool:
        """The record is on the ledger; note what its manifest names. Whether the manifest is here and the record's.

        Args:
            certificate: its id.
            payload_hash: of its manifest.
            issued_ms: block time at which it was issued.
        """
        named = await self._named_by(certificate, payload_hash)
        if named is None:
            return False
        async with self._deciding:
            await asyncio.to_thread(self._holdings.settle, certificate, named, issued_ms=issued_ms)
        return True

    async def read(self, blob: bytes) -> bytes | None:
        """The blob if it is here and whole; a damaged one is none, and said to be so in the log."""
        try:
            return await asyncio.to_thread(self.store.get, blob)
        except StorageDamaged as error:
            log.error("blob is damaged", blob=blob.hex(), reason=str(error))
            return None

    async def put_back(self, blob: bytes, data: bytes) -> None:
        """Keep a blob that is noted here and was lost; one that is nobody's business here is not kept."""
        try:
            if await self._is_known(blob):
                await asyncio.to_thread(self.store.put, data)
                # Its record may have been destroyed meanwhile.
                await self._delete_unknown(blob)
        except LedgerError as error:
            log.warning("fetched blob could not be kept", blob=blob.hex(), reason=str(error))

    async def _is_known(self, blob: bytes) -> bool:
        return bool(await asyncio.to_thread(self._holdings.known, (blob,)))

    async def destroy(self, certificate: bytes) -> int:
        """Destroy what is noted of a record, except what belongs to another one; how many blobs there were.

        Of a record on the ledger `settle` is called before, which finds what was never noted.
        """
        async with self._alone(certificate):
            return await self._destroy(certificate)

    async def _destroy(self, certificate: bytes) -> int:
        destroyed = 0
        blobs = await asyncio.to_thread(self._holdings.only_of, certificate)
        for blob in blobs:
            destroyed += await asyncio.to_thread(self.store.delete, blob)
        await asyncio.to_thread(self._holdings.forget, certificate)
        for blob in blobs:
            # Somebody who saw a note of it before that may have put it back.
            await self._delete_unknown(blob)
        return destroyed

    async def _delete_unknown(self, blob: bytes) -> bool:
        """Destroy a blob that no record is noted for; whether there was one. Nothing is noted in between."""
        async with self._deciding:
            if await self._is_known(blob):
                return False
            return await asyncio.to_thread(self.store.delete, blob)

    @asynccontextmanager
    async def _alone(self, certificate: bytes) -> AsyncIterator[None]:
        """One at a time for a record; the lock lives as long as somebody holds or awaits it."""
        lock, users = self._locks.get(certificate, (asyncio.Lock(), 0))
        self._locks[certificate] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(certificate)
            if users > 1:
                self._locks[certificate] = (lock, users - 1)

    async def holds(self, certificate: bytes) -> bool:
        """Whether any blob of the record is noted."""
        return bool(await asyncio.to_thread(self._holdings.blobs_of, certificate))

    async def _named_by(self, certificate: bytes, payload_hash: bytes) -> dict[bytes, int] | None:
        """The manifest and the blobs that it names, if it is here and this record's."""
        data = await self.read(payload_hash)
        if data is None:
            return None
        manifest = read_manifest(data)
        if manifest is None or manifest.certificate_id != certificate:
            return None
        return {payload_hash: len(data), **dict.fromkeys(blobs_of(manifest, payload_hash)[1:], 0)}

    async def old_drafts(self, before_ms: int, limit: int) -> tuple[bytes, ...]:
        """Records noted before that time that are no more than drafts as far as this node knows."""
        return await asyncio.to_thread(self._holdings.drafts, before_ms, limit)

    async def destroy_surplus(self, before_ms: int, limit: int) -> int:
        """Destroy what was brought before that time for records on the ledger whose manifests do not name it; how many."""
        destroyed = 0
        for certificate, blob in await asyncio.to_thread(self._holdings.surplus, before_ms, limit):
            await asyncio.to_thread(self._holdings.forget_part, certificate, blob)
            destroyed += await self._delete_unknown(blob)
        return destroyed

    async def destroy_unknown(self, before_ms: int) -> int:
        """Destroy the blobs written before that time that no record is noted for; how many there were."""
        destroyed = 0
        listing = (listed.name for listed in self.store.listing() if listed.written_ms < before_ms)
        while page := await asyncio.to_thread(lambda: tuple(islice(listing, LISTED_AT_ONCE))):
            known = await asyncio.to_thread(self._holdings.known, page)
            for blob in page:
                if blob not in known:
                    destroyed += await self._delete_unknown(blob)
        return destroyed

    async def totals(self) -> Totals:
        """How much is kept."""
        return await asyncio.to_thread(self._holdings.totals)


def read_manifest(data: bytes) -> Manifest | None:
    """The manifest that these bytes are, or None: what a peer or a draft brought may be anything."""
    try:
        return decode_manifest(data)
    except LedgerError:
        return None
