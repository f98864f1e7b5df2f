"""Counting (统计) as the named node carries it out: open one field of each contribution, find its cell, tell the rounded numbers.

    REQUESTED ── open in batches, tally, round, suppress ──> PUBLISHED
        └── impossible, or past its deadline ──> FAILED

Rule: what is to be done follows from the finalized chain alone, so a node that was killed begins anew. Values live as long as their
batch, true counts as long as the job; neither is written down, logged or told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from contracts.calls import Args
from contracts.counting import told
from contracts.question_calls import CountsFail, CountsPublish
from contracts.question_records import Contribution, CountRecord, CountState
from contracts.records import Certificate
from contracts.state import CERTIFICATE_TYPE_VERSIONS, CERTIFICATES, COUNT_CONTRIBUTIONS, COUNTS
from ledger.commitments import decode_value
from ledger.errors import Busy, LedgerError, NotFound, Unavailable, VerificationFailed
from ledger.types import RESULT_OK
from node.chain import Chain
from node.execution import FinalizedExecution
from node.holders.errors import KeyRefused
from node.index.ports import Index
from node.services.jobs import Jobs
from node.services.node_account import LIFETIME_MS, NodeAccount
from node.services.ports import Denied
from node.vault.count_permits import why_not_counted
from node.vault.keys import Authority, AuthorityKind, PartKind, PartName
from node.vault.records import RecordReader
from zhenglian.answers import cell_of
from zhenglian.catalogue import decode_schema
from zhenglian.catalogue_questions import PartitionSpec

BATCH: Final = 16
RETRY_FIRST_S: Final = 1.0
RETRY_LONGEST_S: Final = 60.0
REFUSED_TRIES_MAX: Final = 8
# Longer than a transaction of this node can wait to be included.
PUBLISH_MARGIN_MS: Final = 2 * LIFETIME_MS
INTERNAL_ERROR: Final = "internal_error"
_RESUME_PAGE: Final = 200

log = structlog.get_logger()


class Counts:
    """Follows the chain for counts that name this node, and tells what it knows of counts."""

    def __init__(self, *, chain: Chain, index: Index, node: NodeAccount, records: RecordReader) -> None:
        self._chain = chain
        self._index = index
        self._node = node
        self._records = records
        self._jobs = Jobs("count")
        self._one_at_a_time = asyncio.Semaphore(1)

    def count(self, count_id: bytes) -> CountRecord:
        """A count as the ledger has it. Raises NotFound."""
        found = self._chain.records.record(COUNTS, count_id)
        if found is None:
            raise NotFound(what="count", id=count_id.hex())
        return found

    def block_finalized(self, final: FinalizedExecution) -> None:
        """Start what the block asks of this node."""
        for result in final.executed.results:
            for event in result.events:
                if event.kind == "counts.requested" and result.code == RESULT_OK:
                    self._start(event.object_id)

    async def resume(self) -> None:
        """Find the work that a stop interrupted. The index is up to date."""
        after: int | None = None
        while True:
            page = await self._index.objects(
                "counts.requested",
                subject=self._node.account,
                after=after,
                limit=_RESUME_PAGE,
                newest_first=True,
            )
            for found in page:
                if self.count(found.object_id).deadline_ms < self._chain.head_time_ms:
                    return
                self._start(found.object_id)
            if len(page) < _RESUME_PAGE:
                return
            after = page[-1].cursor

    async def stop(self) -> None:
        """Cancel what runs; it is found again at the next start."""
        await self._jobs.stop()

    def _start(self, count_id: bytes) -> None:
        count = self.count(count_id)
        if count.performed_by == self._node.account and count.state is CountState.REQUESTED:
            self._jobs.start(count_id, lambda: self._perform(count_id))

    async def _perform(self, count_id: bytes) -> None:
        pause_s, refused = RETRY_FIRST_S, 0
        while True:
            count = self.count(count_id)
            if count.state is not CountState.REQUESTED or self._too_late(count):
                return
            try:
                async with self._one_at_a_time:
                    made = await self._counted(count)
                    if not self._too_late(count):
                        await self._submit(made)
                return
            except (Unavailable, Busy) as error:
                log.warning("count waits", count=count_id.hex(), reason=str(error))
            except KeyRefused as error:
                # A grant ended while this ran: the next try leaves it out.
                refused += 1
                if refused >= REFUSED_TRIES_MAX:
                    await self._fail(count_id, error.reason, error)
                    return
            except Denied as error:
                await self._fail(count_id, error.result.code, error)
                return
            except LedgerError as error:
                await self._fail(count_id, error.code, error)
                return
            except Exception as error:
                log.exception("count failed", count=count_id.hex())
                await self._fail(count_id, INTERNAL_ERROR, error)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_LONGEST_S)

    def _too_late(self, count: CountRecord) -> bool:
        """Whether what is sent now could come too late: numbers in a refused call are on the ledger for everybody to read."""
        return self._chain.head_time_ms >= count.deadline_ms - PUBLISH_MARGIN_MS

    async def _counted(self, count: CountRecord) -> CountsPublish:
        partition = self._partition(count)
        tally, left_out = [0] * len(partition.cells), 0
        for start in range(0, count.contributions, BATCH):
            batch = self._batch(count, range(start, min(start + BATCH, count.contributions)))
            left_out += min(BATCH, count.contributions - start) - len(batch)
            if batch:
                await self._tally(count, partition, batch, tally)
        return CountsPublish(count_id=count.count_id, cells=told(count.partition, tally), left_out=left_out)

    def _batch(self, count: CountRecord, numbers: Sequence[int]) -> list[Certificate]:
        """The certificates of these contributions, without those that may not be counted any more."""
        found: list[Certificate] = []
        for number in numbers:
            contribution = self._contribution(count, number)
            certificate = self._chain.records.record(CERTIFICATES, contribution.certificate)
            time_ms = self._chain.head_time_ms
            if certificate is not None and not why_not_counted(
                self._chain.records, count, contribution, time_ms
            ):
                found.append(certificate)
        return found

    def _contribution(self, count: CountRecord, number: int) -> Contribution:
        found = self._chain.records.record(COUNT_CONTRIBUTIONS, (count.count_id, number))
        if found is None:
            raise VerificationFailed(reason="the count lacks a contribution")
        return found

    async def _tally(
        self, count: CountRecord, partition: PartitionSpec, batch: Sequence[Certificate], tally: list[int]
    ) -> None:
        parts = [
            PartName(certificate_id=one.certificate_id, kind=PartKind.FIELD, name=partition.field)
            for one in batch
        ]
        authority = Authority(kind=AuthorityKind.COUNT, record_id=count.count_id)
        unlocked = await self._records.unlock(authority, batch, parts)
        for one in batch:
            plain = await unlocked.field(one.certificate_id, partition.field)
            tally[cell_of(partition, decode_value(plain.value), count.requested_ms)] += 1

    def _partition(self, count: CountRecord) -> PartitionSpec:
        kind = CERTIFICATE_TYPE_VERSIONS.get(
            self._chain.records, (count.certificate_type, count.type_version)
        )
        if kind is None:
            raise VerificationFailed(reason="the count's type is not on the ledger")
        for one in decode_schema(kind.schema).partitions:
            cells = tuple(cell.name for cell in one.cells)
            declared = (count.partition.name, count.partition.field, count.partition.cells)
            if (one.name, one.field, cells) == declared:
                return one
        raise VerificationFailed(reason="the type's schema does not have the count's partition")

    async def _submit(self, args: Args) -> None:
        await self._node.submit(args)

    async def _fail(self, count_id: bytes, reason: str, error: Exception) -> None:
        """Give the count up, unless an earlier try did publish it after all."""
        log.warning("count failed", count=count_id.hex(), reason=reason, error=str(error))
        with suppress(LedgerError):
            await self._submit(CountsFail(count_id=count_id, reason=reason))
