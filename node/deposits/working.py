"""From a job's rows to the ledger: seal, sign, send, and note what became of each.

Rule: what is sent of a row is durable here before it is sent, and the same bytes are sent until their fate is known; what the
ledger has under a row's id already is never sent again. Batches overlap, so that many rows share a finality.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from msgspec.structs import replace

from contracts.admission import Expired, Inadmissible
from contracts.calls import CertificatesIssue
from contracts.denials import denial_message
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy, Category, LedgerError, Unavailable
from ledger.hashing import transaction_id
from ledger.types import RESULT_OK, TRANSACTION_SIZE_BYTES_MAX, Result, Transaction
from node.chain import Chain
from node.deposits.limits import BATCHES_IN_FLIGHT, ROWS_PER_BATCH, SEALED_FOR_MS, SEALING_AT_ONCE
from node.deposits.records import Job, JobRow, RowDraft, RowReport, RowState
from node.deposits.store import JobStore
from node.services.agents import Agents
from node.services.deposits import Deposits
from node.services.ports import AttachmentInput, Caller, DepositInput, Standing
from node.services.submission import Submission
from zhenglian.row_ids import salt_seed
from zhenglian.rows.problems import Problem, problem

FINALITY_WAIT_S: Final = 60.0
RETRY_FIRST_S: Final = 0.5
RETRY_LONGEST_S: Final = 15.0
_UNSENT: Final = (RowState.READY, RowState.DRAFTED)

log = structlog.get_logger()


class Working:
    """Carries out the rows of jobs, one `run` a job."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        store: JobStore,
        deposits: Deposits,
        agents: Agents,
        submission: Submission,
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._store = store
        self._deposits = deposits
        self._agents = agents
        self._submission = submission
        self._clock_ms = clock_ms
        self._sealing = asyncio.Semaphore(SEALING_AT_ONCE)

    async def send(self, job: Job) -> None:
        """Bring the rows of a job to their end that their officer has signed himself."""
        await self._all(job, None, (RowState.SENT,))

    async def run(self, job: Job, caller: Caller) -> None:
        """Bring every row to its end that can be, with the agent's signature.

        Raises:
            AgentMissing: nobody here may sign for the organisation (any more).
            LedgerError: the officer can no longer act.
        """
        await self._all(job, caller, (RowState.READY, RowState.DRAFTED, RowState.SENT))

    async def look(self, name: bytes) -> None:
        """Note what became of rows that a job had sent when it ended: what was under way may have arrived since."""
        job = await self._store.job(name)
        lifetime_ms = self._chain.genesis.limits.transaction_lifetime_ms_max
        over = self._chain.head_time_ms > job.ended_ms + lifetime_ms
        after = 0
        while rows := await self._store.rows(name, (RowState.SENT,), after=after, limit=ROWS_PER_BATCH):
            after = rows[-1].number
            looked = [self._looked_at(row, over=over) for row in rows]
            await self._store.ended(name, [row for row in looked if row is not None])

    def _looked_at(self, row: JobRow, *, over: bool) -> JobRow | None:
        """The row as it ended; None while its transaction may still come."""
        if self._chain.records.certificate(row.certificate_id) is not None:
            return self._issued(row)
        try:
            status = self._submission.status(row.transaction_id)
        except LedgerError:
            return _ended(row, RowState.REFUSED, problem("expired")) if over else None
        if status.standing is Standing.FINALIZED and status.result is not None:
            return _denied(row, status.result)
        return _ended(row, RowState.REFUSED, problem("expired")) if over else None

    async def _all(self, job: Job, caller: Caller | None, states: tuple[RowState, ...]) -> None:
        slots = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        after = 0
        try:
            async with asyncio.TaskGroup() as group:
                while batch := await self._store.rows(job.job_id, states, after=after, limit=ROWS_PER_BATCH):
                    after = batch[-1].number
                    await slots.acquire()
                    task = group.create_task(self._batch(job, caller, batch))
                    task.add_done_callback(lambda _: slots.release())
        except BaseExceptionGroup as group_error:
            # One fault is told; the others are of the same job.
            raise group_error.exceptions[0] from None

    async def seal(self, job: Job, number: int, deposit: DepositInput, caller: Caller) -> RowDraft:
        """Seal one row. Raises what `Deposits.prepare` raises."""
        async with self._sealing:
            draft = await self._deposits.prepare(deposit, caller)
        return RowDraft(
            type_version=draft.type_version,
            commitment_root=draft.commitment_root,
            payload_hash=draft.payload_hash,
            fields=draft.fields,
            attachments=draft.attachments,
            sealed_ms=self._clock_ms(),
        )

    def keeps(self, draft: RowDraft | None) -> bool:
        """Whether a row is sealed, and its ciphertext certainly still kept as a draft."""
        return draft is not None and self._clock_ms() <= draft.sealed_ms + SEALED_FOR_MS

    async def _batch(self, job: Job, caller: Caller | None, batch: Sequence[JobRow]) -> None:
        known, rest = self._on_ledger(batch)
        await self._store.ended(job.job_id, known)
        sealed = await asyncio.gather(*(self._sealed(job, caller, row) for row in rest))
        await self._store.ended(job.job_id, [row for row in sealed if row.state is RowState.INVALID])
        signed = [
            self._signed(job, caller, row) if row.state in _UNSENT else row
            for row in sealed
            if row.state is not RowState.INVALID
        ]
        await self._store.drafted(job.job_id, [row for row in signed if row.state is RowState.SENT])
        ended = await asyncio.gather(*(self._settled(job, caller, row) for row in signed))
        await self._store.ended(job.job_id, [row for row in ended if row is not None])

    def _on_ledger(self, batch: Sequence[JobRow]) -> tuple[list[JobRow], list[JobRow]]:
        """Rows whose certificate is there already, and the others."""
        known: list[JobRow] = []
        rest: list[JobRow] = []
        for row in batch:
            if self._chain.records.certificate(row.certificate_id) is None:
                rest.append(row)
            elif row.transaction_id:
                known.append(self._issued(row))
            else:
                known.append(_ended(row, RowState.EXISTING, problem("on_ledger")))
        return known, rest

    async def _sealed(self, job: Job, caller: Caller | None, row: JobRow) -> JobRow:
        """The row with its draft; INVALID if what it says cannot be deposited after all. What was sent already stays as it is."""
        if caller is None or row.content is None or row.state is RowState.SENT or self.keeps(row.draft):
            return row
        deposit = await self._input(job, row)
        if isinstance(deposit, Problem):
            return _ended(row, RowState.INVALID, deposit)
        pause_s = RETRY_FIRST_S
        while True:
            try:
                draft = await self.seal(job, row.number, deposit, caller)
            except (Busy, Unavailable) as error:
                log.info("deposit waits", job=job.job_id.hex(), row=row.number, reason=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_LONGEST_S)
            except LedgerError as error:
                if error.category is Category.FORBIDDEN:
                    raise
                return _ended(row, RowState.INVALID, of_error(error))
            else:
                return _with(row, draft=draft)

    async def _input(self, job: Job, row: JobRow) -> DepositInput | Problem:
        content = row.content
        assert content is not None  # noqa: S101  # the caller has looked
        attachments: list[AttachmentInput] = []
        for name, file in content.files.items():
            found = await self._store.file(job.job_id, file)
            if found is None:
                return problem("attachment_missing", "", name)
            attachments.append(AttachmentInput(name=name, media_type=found[0], data=found[1]))
        return DepositInput(
            certificate_id=row.certificate_id,
            certificate_type=job.options.certificate_type,
            holder=bytes.fromhex(content.holder),
            fields=content.fields,
            salt_seed=salt_seed(self._suite, job.seed, row.number),
            attachments=tuple(attachments),
        )

    def _signed(self, job: Job, caller: Caller | None, row: JobRow) -> JobRow:
        """The row with what the agent signed for it. Raises AgentMissing."""
        content, draft = row.content, row.draft
        assert caller is not None and content is not None and draft is not None  # noqa: S101, PT018  # the agent's, and sealed
        valid_from_ms = content.valid_from_ms
        args = CertificatesIssue(
            certificate_id=row.certificate_id,
            certificate_type=job.options.certificate_type,
            type_version=draft.type_version,
            holder=bytes.fromhex(content.holder),
            commitment_root=draft.commitment_root,
            payload_hash=draft.payload_hash,
            fields=draft.fields,
            attachments=draft.attachments,
            valid_from_ms=self._clock_ms() if valid_from_ms is None else valid_from_ms,
            valid_until_ms=content.valid_until_ms,
            supersedes=bytes.fromhex(content.supersedes),
            officer=caller.key_id,
        )
        transaction = self._agents.sign(caller, args)
        return _with(
            row,
            state=RowState.SENT,
            transaction_id=transaction_id(self._suite, transaction.body),
            signed=codec.encode(transaction),
        )

    async def _settled(self, job: Job, caller: Caller | None, row: JobRow) -> JobRow | None:
        """Send a row until its fate is known; None where it waits for its officer to sign again."""
        pause_s = RETRY_FIRST_S
        while True:
            transaction = codec.decode(row.signed, Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX)
            try:
                status = await self._submission.submit(transaction, wait_s=FINALITY_WAIT_S)
            except Expired:
                standing = Standing.EXPIRED
            except Inadmissible as error:
                if self._chain.records.certificate(row.certificate_id) is not None:
                    return self._issued(row)
                return _ended(row, RowState.REFUSED, of_error(error))
            except (Busy, Unavailable):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_LONGEST_S)
                continue
            else:
                standing = status.standing
                if standing is Standing.FINALIZED and status.result is not None:
                    if status.result.code == RESULT_OK:
                        height = status.location.height if status.location is not None else 0
                        return _ended(_with(row, height=height), RowState.ISSUED)
                    return _denied(row, status.result)
            if standing is Standing.EXPIRED:
                if caller is None:
                    await self._store.drafted(
                        job.job_id, [_with(row, state=RowState.DRAFTED, transaction_id=b"", signed=b"")]
                    )
                    return None
                row = await self._sealed(job, caller, _with(row, state=RowState.DRAFTED))
                if row.state is RowState.INVALID:
                    return row
                row = self._signed(job, caller, row)
                await self._store.drafted(job.job_id, [row])

    def _issued(self, row: JobRow) -> JobRow:
        """The row, whose certificate is on the ledger: by its own transaction, or by the one of another node's job of that key."""
        try:
            status = self._submission.status(row.transaction_id)
        except LedgerError:
            return _ended(row, RowState.ISSUED)
        if status.result is not None and status.result.code != RESULT_OK:
            return _denied(row, status.result)
        location = status.location
        return _ended(_with(row, height=location.height if location is not None else 0), RowState.ISSUED)


def _with(row: JobRow, **changes: object) -> JobRow:
    return replace(row, **changes)


def _ended(row: JobRow, state: RowState, *found: Problem) -> JobRow:
    report = RowReport(problems=(*row.report.problems, *found), notes=row.report.notes)
    return _with(row, state=state, report=report)


def _denied(row: JobRow, result: Result) -> JobRow:
    if result.code == "certificate_exists":
        return _ended(row, RowState.EXISTING, problem("on_ledger"))
    fields = dict(result.fields)
    zh, en = denial_message(result.code, fields, "zh"), denial_message(result.code, fields, "en")
    return _ended(row, RowState.REFUSED, problem("refused", reason=en[:400], reason_zh=zh[:400]))


def of_error(error: LedgerError) -> Problem:
    """A refusal of the sealing or the pool, as a problem of the row."""
    code = "value" if error.category in {Category.INVALID, Category.TOO_LARGE} else "refused"
    return problem(code, reason=error.message("en")[:400], reason_zh=error.message("zh")[:400])
