"""The jobs of this node: begun by officers, fed with content or rows, carried out, reported, forgotten.

Rule: every step is found again after a crash, because what is to be done follows from the store alone. A job is its organisation's:
any of its officers sees it, and the one who began it is named in what an agent signs, as long as he may act.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from msgspec.structs import replace

from contracts.calls import CertificatesIssue
from contracts.keys import find_key, usable
from contracts.records import AccountStatus, KeyRole
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy, Category, LedgerError, LimitExceeded, NotFound
from ledger.hashing import transaction_id
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Transaction
from node.chain import Chain
from node.deposits import limits
from node.deposits.contents import Contents
from node.deposits.errors import (
    ContentTooLarge,
    JobClosed,
    JobConflict,
    OfficerCannotAct,
    OffsetWrong,
    RowUnknown,
    SignatureOfOther,
)
from node.deposits.reading import Reading
from node.deposits.records import (
    ENDED,
    Fault,
    Job,
    JobOptions,
    JobRow,
    JobState,
    RowDraft,
    RowReport,
    RowState,
    SignedBy,
)
from node.deposits.store import JobStore
from node.deposits.working import Working, of_error
from node.services.agents import Agents
from node.services.deposits import NotIssuer
from node.services.jobs import Jobs
from node.services.ports import Caller, DepositInput
from zhenglian.catalogue import CertificateTypeSpec, decode_schema
from zhenglian.row_ids import certificate_id, job_id, salt_seed
from zhenglian.rows.problems import Problem, problem
from zhenglian.tables.reading import size_bytes_max
from zhenglian.tables.sniff import MEDIA_TYPES

SWEEP_EVERY_S: Final = 600.0
LOOK_AGAIN_S: Final = 0.05
# Ends from which the same key and content begin again; rows that are on the ledger stay as they are.
_AGAIN: Final = (JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED)

log = structlog.get_logger()


class BulkDeposits:
    """Implements the port `Bulk`."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        store: JobStore,
        contents: Contents,
        reading: Reading,
        working: Working,
        agents: Agents,
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._store = store
        self._contents = contents
        self._reading = reading
        self._working = working
        self._agents = agents
        self._clock_ms = clock_ms
        self._jobs = Jobs("deposit")
        self._at_once = asyncio.Semaphore(limits.JOBS_AT_ONCE)
        self._locks: dict[bytes, tuple[asyncio.Lock, int]] = {}
        self._changed = asyncio.Event()
        self._wanted: set[bytes] = set()
        self._stopped = False

    # --- life ---

    async def resume(self) -> None:
        """Find the work that a stop interrupted."""
        for job in await self._store.open_jobs():
            if job.state is not JobState.RECEIVING or job.options.signed_by is SignedBy.OFFICER:
                self._start(job.job_id)

    async def run(self) -> None:
        """Expire and forget, every few minutes, for ever."""
        while True:
            await self.sweep()
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """Expire what has waited too long, forget what has been kept long enough, and delete files of no job."""
        now_ms = self._clock_ms()
        for job in await self._store.open_jobs():
            idle = job.state is JobState.RECEIVING and now_ms - job.updated_ms > limits.UPLOAD_IDLE_MS
            if idle or now_ms >= job.expires_ms:
                await self._end(job.job_id, JobState.EXPIRED)
        await self._store.forget(now_ms - limits.JOB_LIFETIME_MS, limits.JOBS_KEPT_PER_ORGANIZATION_MAX)
        for name in await asyncio.to_thread(self._contents.names):
            found = await self._store.find(name)
            if found is None or found.state in {*ENDED, JobState.WORKING}:
                await asyncio.to_thread(self._contents.delete, name)

    async def stop(self) -> None:
        """Cancel what runs; it is found again at the next start."""
        self._stopped = True
        await self._jobs.stop()
        await self._store.close()

    # --- beginning, and content ---

    async def begin(
        self, caller: Caller, key: str, options: JobOptions, *, size_bytes: int, seed: bytes = b""
    ) -> tuple[Job, bool]:
        """Begin a job, or find the one that this key began; whether it is new.

        Raises:
            NotFound, NotIssuer, AgentMissing: it could never go up.
            JobConflict: the key began another one.
            Busy: as many jobs are open, or as much is stored, as may be.
            ContentTooLarge: announced larger than its kind may be.
        """
        name = job_id(self._suite, caller.account, key)
        found = await self._store.find(name)
        if found is not None:
            if found.options != options or (size_bytes and found.size_bytes not in {0, size_bytes}):
                raise JobConflict(job=name.hex())
            if found.state not in _AGAIN:
                return found, False
        self._type(options.certificate_type, caller)
        if options.signed_by is SignedBy.AGENT and not options.dry_run:
            self._agents.require(caller.account)
        _check_size(options, size_bytes)
        await self._require_room(caller, size_bytes)
        now_ms = self._clock_ms()
        if found is not None:
            await self._store.restart(name, caller.key_id, now_ms, now_ms + limits.JOB_LIFETIME_MS)
            return await self._store.job(name), True
        job = Job(
            job_id=name,
            account=caller.account,
            officer=caller.key_id,
            key=key,
            options=options,
            state=JobState.RECEIVING,
            created_ms=now_ms,
            updated_ms=now_ms,
            expires_ms=now_ms + limits.JOB_LIFETIME_MS,
            size_bytes=size_bytes,
            received_bytes=0,
            stored_bytes=0,
            content_tag=b"",
            seed=seed or os.urandom(32),
        )
        await self._store.add(job)
        return job, True

    async def append(self, caller: Caller, name: bytes, offset: int, chunks: AsyncIterator[bytes]) -> Job:
        """Take more of an upload, from `offset` on; it is whole when it has its announced size.

        Args:
            caller: an officer of the job's organisation.
            name: the job.
            offset: must be what is durable here.
            chunks: the bytes that follow.

        Raises:
            OffsetWrong: go on where this node says.
            ContentTooLarge, JobClosed, NotFound.
        """
        async with self._alone(name):
            job = await self.job(caller, name)
            if job.state is not JobState.RECEIVING or not job.size_bytes:
                raise JobClosed(job=name.hex(), state=job.state.value)
            if offset != job.received_bytes:
                raise OffsetWrong(expected=job.received_bytes, actual=offset)
            job = await self._append(job, chunks, job.size_bytes)
            if job.received_bytes == job.size_bytes:
                await self._read(name)
            return await self._store.job(name)

    async def take_whole(
        self, caller: Caller, name: bytes, chunks: AsyncIterator[bytes], *, more: bool = False
    ) -> Job:
        """Take a content that comes in one request: the first time keep it, after that know it again.

        Args:
            caller: an officer of the job's organisation.
            name: the job.
            chunks: all of the content.
            more: files follow, and then `begin_reading`.

        Raises:
            JobConflict: the key began a job with another content.
            ContentTooLarge.
        """
        digest = hashlib.sha256()
        async with self._alone(name):
            job = await self.job(caller, name)
            maximum = _maximum(job.options)
            if job.state is not JobState.RECEIVING or job.content_tag:
                async for _ in _bounded(_hashed(chunks, digest), maximum):
                    pass
                if self._contents.tag(digest.digest()) != job.content_tag:
                    raise JobConflict(job=name.hex())
                return job
            try:
                # Of a request before that broke off nothing is kept, since this one brings everything.
                job = await self._append(
                    replace(job, received_bytes=0, stored_bytes=0), _hashed(chunks, digest), maximum
                )
                if job.received_bytes == 0:
                    raise ContentTooLarge(maximum=maximum)
            except BaseException:
                await asyncio.shield(self._end(name, JobState.CANCELLED))
                raise
            await self._store.received(
                name,
                received_bytes=job.received_bytes,
                stored_bytes=job.stored_bytes,
                now_ms=self._clock_ms(),
                tag=self._contents.tag(digest.digest()),
            )
            if not more:
                await self._read(name)
            return await self._store.job(name)

    async def begin_reading(self, caller: Caller, name: bytes) -> Job:
        """Everything that belongs to a content is here."""
        async with self._alone(name):
            job = await self.job(caller, name)
            if job.state is JobState.RECEIVING and job.content_tag:
                await self._read(name)
            return await self._store.job(name)

    async def abandon(self, name: bytes) -> None:
        """The request that brought a content broke off before all of it was here."""
        job = await self._store.job(name)
        if job.state is JobState.RECEIVING:
            await self._end(name, JobState.CANCELLED)

    async def _read(self, name: bytes) -> None:
        await self._store.set_state(name, JobState.READING, self._clock_ms())
        self._start(name)

    async def _append(self, job: Job, chunks: AsyncIterator[bytes], maximum: int) -> Job:
        waiting = bytearray()
        async for chunk in chunks:
            waiting += chunk
            if job.received_bytes + len(waiting) > maximum:
                raise ContentTooLarge(maximum=maximum)
            if len(waiting) >= limits.PIECE_BYTES:
                job = await self._keep(job, bytes(waiting))
                waiting.clear()
        return await self._keep(job, bytes(waiting)) if waiting else job

    @asynccontextmanager
    async def _alone(self, name: bytes) -> AsyncIterator[None]:
        """One at a time for a job's content; the lock lives as long as somebody holds or awaits it."""
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(name)
            if users > 1:
                self._locks[name] = (lock, users - 1)

    async def _keep(self, job: Job, data: bytes) -> Job:
        received, stored = await asyncio.to_thread(
            self._contents.append,
            job.job_id,
            data,
            received_bytes=job.received_bytes,
            stored_bytes=job.stored_bytes,
        )
        await self._store.received(
            job.job_id, received_bytes=received, stored_bytes=stored, now_ms=self._clock_ms()
        )
        return replace(job, received_bytes=received, stored_bytes=stored)

    async def put_file(self, job: Job, name: str, media_type: str, content: bytes) -> None:
        """A file that rows name. Raises LimitExceeded."""
        if len(content) > limits.FILE_BYTES_MAX:
            raise LimitExceeded(limit="FILE_BYTES_MAX", maximum=limits.FILE_BYTES_MAX, actual=len(content))
        names = await self._store.file_names(job.job_id)
        if name not in names and len(names) >= limits.FILES_PER_JOB_MAX:
            raise LimitExceeded(
                limit="FILES_PER_JOB_MAX", maximum=limits.FILES_PER_JOB_MAX, actual=len(names) + 1
            )
        await self._store.put_file(job.job_id, name, media_type, content)

    # --- rows that their officer signs himself ---

    async def draft_row(self, caller: Caller, name: bytes, number: int, deposit: DepositInput) -> JobRow:
        """Seal a row of a job whose officer signs; the same row again is what it was.

        Args:
            deposit: its certificate id and salt seed are put in here.

        Raises:
            JobClosed, NotFound, Unavailable, Busy. What is wrong with the row is in the row.
        """
        job = await self._officers_job(caller, name)
        if not 1 <= number <= 10_000_000:
            raise RowUnknown(row=number)
        known = (await self._store.some_rows(name, (number,))).get(number)
        if known is not None and known.state is not RowState.INVALID:
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
        return row

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

    async def skip_row(self, caller: Caller, name: bytes, number: int, problems: Sequence[Problem]) -> JobRow:
        """Note a row that its officer's client found wrong, so that the report has it."""
        await self._officers_job(caller, name)
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
            RowUnknown: a row that was not drafted.
            SignatureOfOther: a transaction that does not put that row on the ledger for this organisation.
        """
        await self._officers_job(caller, name)
        known = await self._store.some_rows(name, [number for number, _ in signed])
        rows: list[JobRow] = []
        for number, transaction in signed:
            row = known.get(number)
            if row is None or row.draft is None:
                raise RowUnknown(row=number)
            _require_issue(caller, row, row.draft, transaction)
            if row.state is RowState.DRAFTED:
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

    # --- asking ---

    async def job(self, caller: Caller, name: bytes) -> Job:
        """A job of the caller's organisation. Raises NotFound for any other, too."""
        found = await self._store.find(name)
        if found is None or found.account != caller.account:
            raise NotFound(what="deposit job", id=name.hex())
        return found

    async def jobs(self, caller: Caller, *, before_ms: int, limit: int) -> list[Job]:
        """The organisation's jobs, newest first."""
        return await self._store.jobs_of(caller.account, before_ms=before_ms, limit=limit)

    async def counts(self, name: bytes) -> dict[RowState, int]:
        """How many rows of a job are in each state."""
        return await self._store.counts(name)

    async def rows(self, name: bytes, *, after: int, limit: int, problems_only: bool) -> list[JobRow]:
        """A page of a job's report."""
        wrong = (RowState.INVALID, RowState.REFUSED, RowState.EXISTING)
        return await self._store.rows(
            name, wrong if problems_only else tuple(RowState), after=after, limit=limit
        )

    async def wait(self, name: bytes, wait_s: float) -> Job:
        """The job when it has ended, or after `wait_s`."""
        deadline_s = asyncio.get_running_loop().time() + wait_s
        while (job := await self._store.job(name)).state not in ENDED:
            remaining_s = deadline_s - asyncio.get_running_loop().time()
            if remaining_s <= 0:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), remaining_s)
        return job

    async def cancel(self, caller: Caller, name: bytes) -> Job:
        """Stop a job: rows that are on the ledger stay there, the others never come."""
        job = await self.job(caller, name)
        await self._jobs.cancel(name)
        await self._end(job.job_id, JobState.CANCELLED)
        return await self._store.job(name)

    # --- carrying out ---

    def _start(self, name: bytes) -> None:
        self._wanted.add(name)
        self._jobs.start(name, lambda: self._carry_out(name))

    def _look_again(self, name: bytes) -> None:
        """Work that was wanted while the work before was ending."""
        if name in self._wanted and not self._stopped:
            self._start(name)

    async def _carry_out(self, name: bytes) -> None:
        more = True
        async with self._at_once:
            while more or name in self._wanted:
                self._wanted.discard(name)
                try:
                    more = await self._step(await self._store.job(name))
                except LedgerError as error:
                    log.info("deposit job failed", job=name.hex(), code=error.code)
                    fault = Fault(code=error.code, zh=error.message("zh"), en=error.message("en"))
                    await self._end(name, JobState.FAILED, fault)
                    more = False
                self._tell()
        asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._look_again, name)

    async def _step(self, job: Job) -> bool:
        """Do what the job's state asks for; whether there may be more."""
        caller = self._caller(job)
        if job.options.signed_by is SignedBy.OFFICER:
            await self._working.run(job, caller)
            return await self._officers_step(job)
        match job.state:
            case JobState.READING:
                await self._reading.run(job, self._type(job.options.certificate_type, caller))
                await self._store.set_state(job.job_id, JobState.WORKING, self._clock_ms(), working=True)
                await asyncio.to_thread(self._contents.delete, job.job_id)
                return True
            case JobState.WORKING:
                if not job.options.dry_run:
                    await self._working.run(job, caller)
                await self._end(job.job_id, JobState.DONE)
                return False
            case _:
                return False

    async def _officers_step(self, job: Job) -> bool:
        counts = await self._store.counts(job.job_id)
        open_rows = counts.get(RowState.DRAFTED, 0) + counts.get(RowState.SENT, 0)
        if sum(counts.values()) >= job.options.rows_total and not open_rows:
            await self._end(job.job_id, JobState.DONE)
        # Signatures that came while the others were sent.
        return counts.get(RowState.SENT, 0) > 0

    async def _end(self, name: bytes, state: JobState, fault: Fault | None = None) -> None:
        await self._store.set_state(name, state, self._clock_ms(), fault=fault)
        await self._store.clear(name)
        await asyncio.to_thread(self._contents.delete, name)
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # --- rules ---

    def _type(self, code: str, caller: Caller) -> CertificateTypeSpec:
        kind = self._chain.records.certificate_type(code)
        if kind is None:
            raise NotFound(what="certificate type", id=code[:64])
        issuer = self._chain.records.account(caller.account)
        if issuer is None or code not in issuer.issues:
            raise NotIssuer(certificate_type=kind.name_zh)
        return decode_schema(kind.schema)

    def _caller(self, job: Job) -> Caller:
        """The officer who began the job, as the ledger sees him now. Raises OfficerCannotAct."""
        account = self._chain.records.account(job.account)
        key = find_key(account, job.officer) if account is not None else None
        time_ms = max(self._clock_ms(), self._chain.head_time_ms)
        if (
            account is None
            or account.status is not AccountStatus.ACTIVE
            or key is None
            or key.role is not KeyRole.OFFICER
            or not usable(key, time_ms)
        ):
            raise OfficerCannotAct(officer=job.officer.hex())
        return Caller(account=job.account, key_id=job.officer, kind=account.kind, role=key.role)

    async def _officers_job(self, caller: Caller, name: bytes) -> Job:
        job = await self.job(caller, name)
        if job.options.signed_by is not SignedBy.OFFICER or job.state in ENDED:
            raise JobClosed(job=name.hex(), state=job.state.value)
        return job

    async def _require_room(self, caller: Caller, size_bytes: int) -> None:
        if await self._store.open_count(caller.account) >= limits.JOBS_PER_ORGANIZATION_MAX:
            raise Busy(
                what=f"list of open deposit jobs ({limits.JOBS_PER_ORGANIZATION_MAX})", retry_after_s=10
            )
        if await self._store.reserved_bytes() + size_bytes > limits.CONTENT_BYTES_MAX:
            raise Busy(what="deposit store", retry_after_s=60)


def _maximum(options: JobOptions) -> int:
    return size_bytes_max(MEDIA_TYPES[options.media_type])


def _check_size(options: JobOptions, size_bytes: int) -> None:
    if options.media_type and size_bytes > _maximum(options):
        raise ContentTooLarge(maximum=_maximum(options))


async def _hashed(chunks: AsyncIterator[bytes], digest: hashlib._Hash) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        digest.update(chunk)
        yield chunk


async def _bounded(chunks: AsyncIterator[bytes], maximum: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > maximum:
            raise ContentTooLarge(maximum=maximum)
        yield chunk


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
