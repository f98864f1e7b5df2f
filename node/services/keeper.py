"""Keeps the ciphertext of records: placed on k nodes, repaired where a copy is lost or damaged, destroyed after erasure.

Rule: a record is a certificate's or the body of a grant, and is kept alike. Who keeps it follows from the validators alone
(`node/vault/placement.py`). Everything follows from what the ledger says now, so it does not matter where the walk before was cut
short: a record that is erased is destroyed here, and that is stated on the ledger; one that is kept here is read, checked, and
fetched again where it does not hash to its name; what belongs to no record on the ledger is destroyed when its time has passed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from contracts.body_calls import BODIES_PER_STATEMENT_MAX, BodiesStateDestruction
from contracts.erasure_calls import CERTIFICATES_PER_STATEMENT_MAX, CertificatesStateDestruction
from contracts.erasure_records import Destruction
from contracts.grant_tables import BODIES
from contracts.state import CERTIFICATES, Table
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LedgerError, Unavailable
from node.chain import Chain
from node.exchange import BlobExchange
from node.execution import FinalizedExecution
from node.services.node_account import NodeAccount
from node.services.ports import Denied
from node.vault.custody import Custody, read_manifest
from node.vault.placement import copies_needed, copies_wanted, ranked
from node.vault.records import blobs_of

# Longer than any deposit's draft lives, so that an issuer who is late finds its data still there.
UNISSUED_KEPT_MS: Final = 24 * 3_600_000
RETRY_FIRST_S: Final = 5.0
RETRY_S_MAX: Final = 300.0
WAITING_MAX: Final = 10_000
PAGE: Final = 64
# Between pages of a walk, so that checking never is what a node is busy with.
PAUSE_S: Final = 0.05
DRAFTS_PER_WALK_MAX: Final = 10_000
# So many records that cannot be read or written are single faults; more, and the store is out of order.
FAULTS_PER_WALK_MAX: Final = 8
NAMES_PER_STATEMENT: Final = min(CERTIFICATES_PER_STATEMENT_MAX, BODIES_PER_STATEMENT_MAX)
_CERTIFICATE_EVENTS: Final = frozenset({"certificates.issued", "certificates.erased"})
_BODY_EVENTS: Final = frozenset({"bodies.kept", "bodies.erased"})

log = structlog.get_logger()


@dataclass(slots=True)
class Walk:
    """What one walk over all records found.

    Attributes:
        records: how many are on the ledger.
        kept: how many this node should keep, or keeps.
        repaired: blobs that were missing or damaged and are here again.
        missing: blobs that no reachable node had, and records that the store would not let be tended.
        destroyed: blobs of erased records, of drafts never issued, and of no record.
        faults: records that the store would not let be tended.
    """

    records: int = 0
    kept: int = 0
    repaired: int = 0
    missing: int = 0
    destroyed: int = 0
    faults: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What the ledger says of a record, be it a certificate's or a body.

    Attributes:
        record_id, payload_hash: of its manifest.
        since_ms: when it came on the ledger.
        erased: whether its data is to be destroyed.
        destructions: what nodes have stated of that.
    """

    record_id: bytes
    payload_hash: bytes
    since_ms: int
    erased: bool
    destructions: tuple[Destruction, ...]


Find = Callable[[bytes], _Kept | None]


def is_erased(chain: Chain, record_id: bytes) -> bool:
    """Whether the ledger says that the data of a certificate or of a body is to be destroyed."""
    certificate = chain.records.certificate(record_id)
    if certificate is not None:
        return bool(certificate.erased_ms)
    body = chain.records.record(BODIES, record_id)
    return body is not None and bool(body.erased_ms)


class Keeper:
    """Follows the chain, and walks over all records every few hours.

    Args:
        suite: crypto suite.
        chain: this node's replica.
        custody: blobs and whose they are.
        exchange: asks the peers.
        node: signs statements of destruction.
        copies: how many nodes keep a record, as configured; 0 for the default.
        walk_every_s: between the end of a walk and the next one.
        clock_ms: wall clock.
        on_walk: is told of every walk that came to its end.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        custody: Custody,
        exchange: BlobExchange,
        node: NodeAccount,
        copies: int,
        walk_every_s: float,
        clock_ms: Callable[[], int],
        on_walk: Callable[[Walk], None] = lambda _walk: None,
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._custody = custody
        self._exchange = exchange
        self._node = node
        self._copies = copies
        self._walk_every_s = walk_every_s
        self._clock_ms = clock_ms
        self._on_walk = on_walk
        self._waiting: deque[tuple[Find, bytes]] = deque(maxlen=WAITING_MAX)
        self._news = asyncio.Event()

    # --- placing ---

    async def place(self, certificate: bytes, blobs: Mapping[bytes, bytes]) -> int:
        """Keep a record's blobs here and on others, durably; how many other nodes hold them.

        Raises:
            Unavailable: not here, or not on so many that one of them must be honest.
        """
        await self._custody.keep(certificate, blobs, peer=self._node.account)
        validators = self._validators()
        others = [account for account in self._ranked(certificate) if account != self._node.account]
        wanted = copies_wanted(len(validators), self._copies) - 1
        held = await self._exchange.replicate(certificate, tuple(blobs), ranked=others, copies=wanted)
        needed = copies_needed(len(validators)) - 1
        if held < needed:
            raise Unavailable(
                what="replication",
                reason=f"{held} of {needed} other nodes hold the data; nothing was put on the ledger",
            )
        return held

    # --- following ---

    def block_finalized(self, final: FinalizedExecution) -> None:
        """Note what a block issued or erased."""
        for result in final.executed.results:
            for event in result.events:
                if event.kind in _CERTIFICATE_EVENTS:
                    self._waiting.append((self._certificate, event.object_id))
                elif event.kind in _BODY_EVENTS:
                    self._waiting.append((self._body, event.object_id))
                else:
                    continue
                self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        pause_s, retry_s = 0.0, RETRY_FIRST_S
        while True:
            try:
                async with asyncio.timeout(pause_s):
                    await self._follow()
            except TimeoutError:
                pass
            except LedgerError as error:
                # What it was about is found again by the walk.
                log.warning("kept records cannot be followed", code=error.code, reason=str(error))
                await asyncio.sleep(retry_s)
            try:
                whole = not (await self.walk()).missing
            except LedgerError as error:
                log.warning("the walk over kept records was cut short", code=error.code, reason=str(error))
                whole = False
            # Right after the start no peer may be connected yet; later, what nobody has will not come soon.
            pause_s, retry_s = (
                (self._walk_every_s, RETRY_FIRST_S) if whole else (retry_s, min(RETRY_S_MAX, 2 * retry_s))
            )

    async def _follow(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            walk = Walk()
            erased: dict[Find, list[bytes]] = {}
            while self._waiting:
                find, name = self._waiting.popleft()
                record = find(name)
                if record is not None:
                    await self._tend(record, walk, erased.setdefault(find, []))
            for find, names in erased.items():
                await self._state(find, names)

    # --- walking ---

    async def walk(self) -> Walk:
        """Look at every record on the ledger, then at what belongs to none.

        Raises:
            LedgerError: the store of blobs, the holdings or the ledger cannot be read.
        """
        walk = Walk()
        begun_ms = self._clock_ms()
        await self._walk_over(CERTIFICATES, self._certificate, walk)
        await self._walk_over(BODIES, self._body, walk)
        await self._sweep(walk, begun_ms)
        totals = await self._custody.totals()
        log.info(
            "kept records were checked",
            records=walk.records,
            kept=walk.kept,
            repaired=walk.repaired,
            missing=walk.missing,
            destroyed=walk.destroyed,
            size_bytes=totals.size_bytes,
        )
        self._on_walk(walk)
        return walk

    async def _walk_over(self, table: Table[bytes, Any], find: Find, walk: Walk) -> None:
        after = b""
        while page := self._chain.ids(table, after, PAGE):
            after = page[-1]
            erased: list[bytes] = []
            for name in page:
                record = find(name)
                if record is not None:
                    walk.records += 1
                    await self._tend_surely(record, walk, erased)
            await self._state(find, erased)
            await asyncio.sleep(PAUSE_S)

    async def _tend_surely(self, record: _Kept, walk: Walk, erased: list[bytes]) -> None:
        """Do it, and go on where the disk refuses one record; a store that refuses many is out of order."""
        try:
            await self._tend(record, walk, erased)
        except LedgerError as error:
            walk.missing += 1
            walk.faults += 1
            log.error("a kept record cannot be tended", record=record.record_id.hex(), reason=str(error))
            if walk.faults >= FAULTS_PER_WALK_MAX:
                raise

    def _certificate(self, name: bytes) -> _Kept | None:
        found = self._chain.records.certificate(name)
        if found is None:
            return None
        erasure = self._chain.records.erasure(name) if found.erased_ms else None
        return _Kept(
            record_id=name,
            payload_hash=found.payload_hash,
            since_ms=found.issued_ms,
            erased=bool(found.erased_ms),
            destructions=() if erasure is None else erasure.destructions,
        )

    def _body(self, name: bytes) -> _Kept | None:
        found = self._chain.records.record(BODIES, name)
        if found is None:
            return None
        return _Kept(
            record_id=name,
            payload_hash=found.payload_hash,
            since_ms=found.kept_ms,
            erased=bool(found.erased_ms),
            destructions=found.destructions,
        )

    async def _tend(self, record: _Kept, walk: Walk, erased: list[bytes]) -> None:
        """Do what one record asks for; those whose destruction is to be stated are added to `erased`."""
        name = record.record_id
        if record.erased:
            await self._custody.settle(name, record.payload_hash, issued_ms=record.since_ms)
            walk.destroyed += await self._custody.destroy(name)
            if all(stated.node != self._node.account for stated in record.destructions):
                erased.append(name)
            return
        if not (self._is_keeper(name) or await self._custody.holds(name)):
            # Perhaps a copy from before the holdings were lost: noted, so that it is destroyed in its time.
            await self._custody.settle(name, record.payload_hash, issued_ms=record.since_ms)
            return
        walk.kept += 1
        await self._repair(record, walk)

    async def _repair(self, record: _Kept, walk: Walk) -> None:
        name = record.record_id
        manifest = read_manifest(await self._whole(name, record.payload_hash, walk) or b"")
        if manifest is None or manifest.certificate_id != name:
            return
        await self._custody.settle(name, record.payload_hash, issued_ms=record.since_ms)
        for blob in blobs_of(manifest, record.payload_hash)[1:]:
            await self._whole(name, blob, walk)

    async def _whole(self, certificate: bytes, blob: bytes, walk: Walk) -> bytes | None:
        """The blob, fetched from a peer and kept again if it is not whole here."""
        data = await self._custody.read(blob)
        if data is not None:
            return data
        data = await self._exchange.fetch(blob)
        if data is None:
            walk.missing += 1
            log.error("no reachable node has a blob", certificate=certificate.hex(), blob=blob.hex())
            return None
        await self._custody.keep(certificate, {blob: data}, peer=self._node.account)
        walk.repaired += 1
        log.info("blob repaired", certificate=certificate.hex(), blob=blob.hex())
        return data

    async def _sweep(self, walk: Walk, begun_ms: int) -> None:
        """Destroy drafts that were never issued, and blobs that nobody knows."""
        before_ms = begun_ms - UNISSUED_KEPT_MS
        for draft in await self._custody.old_drafts(before_ms, DRAFTS_PER_WALK_MAX):
            if self._certificate(draft) is None and self._body(draft) is None:
                walk.destroyed += await self._custody.destroy(draft)
        walk.destroyed += await self._custody.destroy_surplus(before_ms, DRAFTS_PER_WALK_MAX)
        walk.destroyed += await self._custody.destroy_unknown(before_ms)

    async def _state(self, find: Find, erased: list[bytes]) -> None:
        """Say on the ledger what is destroyed here; said again by the next walk where it did not come through."""
        for start in range(0, len(erased), NAMES_PER_STATEMENT):
            some = tuple(erased[start : start + NAMES_PER_STATEMENT])
            bodies = find == self._body
            try:
                await self._node.submit(
                    BodiesStateDestruction(bodies=some)
                    if bodies
                    else CertificatesStateDestruction(certificates=some)
                )
            except (Denied, LedgerError) as error:
                log.warning("destruction is not stated yet", records=len(some), reason=str(error))

    def _validators(self) -> tuple[bytes, ...]:
        return tuple(validator.account for validator in self._chain.validators.validators)

    def _ranked(self, certificate: bytes) -> tuple[bytes, ...]:
        return ranked(self._suite, certificate, self._validators())

    def _is_keeper(self, certificate: bytes) -> bool:
        order = self._ranked(certificate)
        return self._node.account in order[: copies_wanted(len(order), self._copies)]
