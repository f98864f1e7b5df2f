"""Rows that their officer signs himself: sealed as they come, given back to be signed, sent when they are.

Rule: a row that was drafted stays what it was, however often it comes; what is sent is a signature over that very draft.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from contracts.calls import CertificatesIssue
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, LimitExceeded
from ledger.hashing import transaction_id
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Transaction
from node.chain import Chain
from node.deposits.errors import DraftExpired, JobClosed, RowUnknown, SignatureOfOther
from node.deposits.receiving import own_job
from node.deposits.records import ENDED, Job, JobRow, RowDraft, RowReport, RowState, SignedBy
from node.deposits.store import JobStore
from node.deposits.working import Working, of_error
from node.services.ports import Caller, DepositInput
from zhenglian.row_ids import certificate_id, salt_seed
from zhenglian.rows.problems import Problem, problem

ROW_NUMBER_MAX: Final = 10_000_000


class OfficerRows:
    """Takes rows and signatures; `start` is told of a job that has something to send."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        store: JobStore,
        working: Working,
        start: Callable[[bytes], None],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._store = store
        self._working = working
        self._start = start

    async def draft(self, caller: Caller, name: bytes, number: int, deposit: DepositInput) -> JobRow:
        """Seal a row of a job whose officer signs; the same row again is what it was.

        Args:
            deposit: its certificate id and salt seed are put in here.

        Raises:
            JobClosed, NotFound, Unavailable, Busy. What is wrong with the row is in the row.
        """
        job = await self._job(caller, name)
        if not 1 <= number <= ROW_NUMBER_MAX:
            raise RowUnknown(row=number)
        known = (await self._store.some_rows(name, (number,))).get(number)
        old = known is not None and known.state is RowState.DRAFTED and not self._working.keeps(known.draft)
        if known is not None and known.state is not RowState.INVALID and not old:
            return known
        counts = await self._store.counts(name)
        if known is None and sum(counts.values()) >= job.options.rows_total:
            raise LimitExceeded(
                limit="rows_total", maximum=job.options.rows_total, actual=job.options.rows_total + 1
            )
        row = JobRow(
            number=number, state=RowState.DRAFTED, certificate_id=certificate_id(self._suite, name, number)
        )
        if self._chain.records.certificate(row.certificate_id) is not None:
            row = replace(row, state=RowState.EXISTING, report=RowReport(problems=(problem("on_ledger"),)))
        elif job.options.dry_run:
            row = replace(row, state=RowState.READY)
        else:
            row = await self._sealed(job, caller, row, deposit)
        if known is not None:
            await self._store.drop_row(name, number)
        await self._store.put_rows(name, [row])
        return (await self._store.some_rows(name, (number,)))[number]

    async def _sealed(self, job: Job, caller: Caller, row: JobRow, deposit: DepositInput) -> JobRow:
        whole = DepositInput(
            certificate_id=row.certificate_id,
            certificate_type=job.options.certificate_type,
            holder=deposit.holder,
            fields=deposit.fields,
            salt_seed=salt_seed(self._suite, job.seed, row.number),
            attachments=deposit.attachments,
        )
        try:
            return replace(row, draft=await self._working.seal(job, row.number, whole, caller))
        except LedgerError as error:
            if error.category not in {Category.INVALID, Category.TOO_LARGE, Category.MISSING}:
                raise
            return replace(row, state=RowState.INVALID, report=RowReport(problems=(of_error(error),)))

    async def skip(self, caller: Caller, name: bytes, number: int, problems: Sequence[Problem]) -> JobRow:
        """Note a row that its officer's client found wrong, so that the report has it."""
        await self._job(caller, name)
        row = JobRow(
            number=number,
            state=RowState.INVALID,
            certificate_id=certificate_id(self._suite, name, number),
            report=RowReport(problems=tuple(problems)),
        )
        await self._store.put_rows(name, [row])
        self._start(name)
        return row

    async def take_signed(
        self, caller: Caller, name: bytes, signed: Sequence[tuple[int, Transaction]]
    ) -> Job:
        """Take the signatures of rows, and send them.

        Raises:
            RowUnknown: a row that was not drafted. DraftExpired: one that was drafted too long ago.
            SignatureOfOther: a transaction that does not put that row on the ledger for this organisation.
        """
        await self._job(caller, name)
        known = await self._store.some_rows(name, [number for number, _ in signed])
        rows: list[JobRow] = []
        for number, transaction in signed:
            row = known.get(number)
            if row is None or row.draft is None:
                raise RowUnknown(row=number)
            _require_issue(caller, row, row.draft, transaction)
            if row.state is RowState.DRAFTED:
                if not self._working.keeps(row.draft):
                    raise DraftExpired(row=number)
                rows.append(
                    replace(
                        row,
                        state=RowState.SENT,
                        transaction_id=transaction_id(self._suite, transaction.body),
                        signed=codec.encode(transaction),
                    )
                )
        await self._store.drafted(name, rows)
        self._start(name)
        return await self._store.job(name)

    async def _job(self, caller: Caller, name: bytes) -> Job:
        job = await own_job(self._store, caller, name)
        if job.options.signed_by is not SignedBy.OFFICER or job.state in ENDED:
            raise JobClosed(job=name.hex(), state=job.state.value)
        return job


def _require_issue(caller: Caller, row: JobRow, draft: RowDraft, transaction: Transaction) -> None:
    """Raises SignatureOfOther unless the transaction puts exactly this row on the ledger."""
    body = transaction.body
    if (body.account, body.call.contract, body.call.method) != (caller.account, "certificates", "issue"):
        raise SignatureOfOther(row=row.number)
    args = codec.decode(body.call.args, CertificatesIssue, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)
    if (args.certificate_id, args.commitment_root, args.payload_hash) != (
        row.certificate_id,
        draft.commitment_root,
        draft.payload_hash,
    ):
        raise SignatureOfOther(row=row.number)
