"""Blobs by the record that they belong to: what is written is noted first, and what is destroyed is destroyed with its record.

Rule: nothing enters the blob store but through here, so that `Holdings` knows whose it is. What peers bring for records that
are not on the ledger yet is bounded by the peer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

import structlog

from ledger.errors import Busy, LedgerError, StorageDamaged
from node.vault.blobs import BlobStore
from node.vault.holdings import Holdings, Totals
from node.vault.records import Manifest, blobs_of, decode_manifest

# A peer's deposits that wait for their issuer's signature: some sixty of the largest.
DRAFT_BYTES_PER_PEER_MAX: Final = 1024 * 1024 * 1024
BUSY_RETRY_S: Final = 60
LISTED_AT_ONCE: Final = 1000

log = structlog.get_logger()


class Custody:
    """Blobs and whose they are.

    Args:
        store: the blobs.
        holdings: whose they are.
        clock_ms: wall clock.
    """

    def __init__(self, *, store: BlobStore, holdings: Holdings, clock_ms: Callable[[], int]) -> None:
        self.store = store
        self._holdings = holdings
        self._clock_ms = clock_ms

    async def keep(self, certificate: bytes, blobs: Mapping[bytes, bytes], *, peer: bytes) -> None:
        """Keep these blobs of a record durably.

        Args:
            certificate: the record's id.
            blobs: bytes by their hash.
            peer: account of who brought them; this node's own for what was deposited here.

        Raises:
            Unavailable: disk or object store will not have them.
        """
        sizes = {name: len(data) for name, data in blobs.items()}
        await asyncio.to_thread(self._holdings.note, certificate, sizes, peer=peer, now_ms=self._clock_ms())
        for data in blobs.values():
            await asyncio.to_thread(self.store.put, data)

    async def require_room(self, peer: bytes) -> None:
        """Raises Busy where a peer has brought as much as it may for records that are not on the ledger."""
        held = await asyncio.to_thread(self._holdings.draft_bytes, peer)
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
        if await asyncio.to_thread(self._holdings.known, (blob,)):
            try:
                await asyncio.to_thread(self.store.put, data)
            except LedgerError as error:
                log.warning("fetched blob could not be kept", blob=blob.hex(), reason=str(error))

    async def destroy(self, certificate: bytes) -> int:
        """Destroy what is noted of a record, except what belongs to another one; how many blobs there were.

        Of a record on the ledger `settle` is called before, which finds what was never noted.
        """
        destroyed = 0
        for blob in await asyncio.to_thread(self._holdings.only_of, certificate):
            destroyed += await asyncio.to_thread(self.store.delete, blob)
        await asyncio.to_thread(self._holdings.forget, certificate)
        return destroyed

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

    async def destroy_unknown(self, before_ms: int) -> int:
        """Destroy the blobs written before that time that no record is noted for; how many there were."""
        return await asyncio.to_thread(self._destroy_unknown, before_ms)

    def _destroy_unknown(self, before_ms: int) -> int:
        destroyed = 0
        listing = (listed.name for listed in self.store.listing() if listed.written_ms < before_ms)
        while page := tuple(islice(listing, LISTED_AT_ONCE)):
            known = self._holdings.known(page)
            for blob in page:
                if blob not in known:
                    destroyed += self.store.delete(blob)
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
