"""The jobs of this node: begun by officers, fed with content or rows, carried out, reported, forgotten.

Rule: every step is found again after a crash, because what is to be done follows from the store alone. A job is its organisation's:
any of its officers sees it, and the one who began it is named in what an agent signs, as long as he may act.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from contracts.keys import find_key, usable
from contracts.records import AccountStatus, KeyRole
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy, LedgerError, NotFound, Unavailable
from node.chain import Chain
from node.deposits import limits
from node.deposits.contents import Contents
from node.deposits.errors import ContentTooLarge, JobConflict, OfficerCannotAct
from node.deposits.officer_rows import OfficerRows
from node.deposits.reading import Reading
from node.deposits.receiving import Receiving, content_bytes_max, own_job
from node.deposits.records import ENDED, Fault, Job, JobOptions, JobRow, JobState, RowState, SignedBy
from node.deposits.store import JobStore
from node.deposits.working import Working
from node.services.agents import Agents
from node.services.deposits import NotIssuer
from node.services.jobs import Jobs
from node.services.ports import Caller
from zhenglian.catalogue import CertificateTypeSpec, decode_schema
from zhenglian.row_ids import job_id

SWEEP_EVERY_S: Final = 600.0
LOOK_AGAIN_S: Final = 0.05
RETRY_FIRST_S: Final = 1.0
RETRY_LONGEST_S: Final = 60.0
INTERNAL_FAULT: Final = Fault(
    code="internal_error",
    zh="本节点内部出错，任务已停止；已上链的行不受影响，请以同一 Idempotency-Key 重新提交，或联系运营方",
    en="An error inside this node has stopped the job; rows on the ledger stay. Send it again under the same "
    "Idempotency-Key, or tell the operator",
)
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
        self._changed = asyncio.Event()
        # Bounds are looked at and then used up: by one at a time.
        self._beginning = asyncio.Lock()
        self._wanted: set[bytes] = set()
        self._stopped = False
        # One job of an organisation at a time, so that another's is not behind all of them.
        self._turns: defaultdict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.receiving = Receiving(
            store=store, contents=contents, clock_ms=clock_ms, whole=self._start, end=self._end
        )
        self.officer_rows = OfficerRows(
            suite=suite, chain=chain, store=store, working=working, start=self._start
        )

    # --- life ---

    async def resume(self) -> None:
        """Find the work that a stop interrupted."""
        for job in await self._store.open_jobs():
            if job.state is not JobState.RECEIVING or job.options.signed_by is SignedBy.OFFICER:
                self._start(job.job_id)

    async def run(self) -> None:
        """Expire and forget, every few minutes, for ever."""
        while True:
            try:
                await self.sweep()
            except LedgerError as error:
                log.error("deposit jobs could not be swept", code=error.code, reason=str(error))
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """Expire what has waited too long, take up what was left lying, forget what has been kept long enough, and delete
        files of no job.

        Raises:
            LedgerError: the disk does not let us; the next sweep does it.
        """
        now_ms = self._clock_ms()
        for job in await self._store.open_jobs():
            idle = job.state is JobState.RECEIVING and now_ms - job.updated_ms > limits.UPLOAD_IDLE_MS
            if idle or now_ms >= job.expires_ms:
                await self._jobs.cancel(job.job_id)
                await self._end(job.job_id, JobState.EXPIRED)
            elif job.state is not JobState.RECEIVING:
                self._start(job.job_id)
        for name in await self._store.unsettled():
            await self._working.look(name)
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
        async with self._beginning:
            return await self._begin(caller, key, options, size_bytes=size_bytes, seed=seed)

    async def _begin(
        self, caller: Caller, key: str, options: JobOptions, *, size_bytes: int, seed: bytes
    ) -> tuple[Job, bool]:
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

    # --- asking ---

    async def job(self, caller: Caller, name: bytes) -> Job:
        """A job of the caller's organisation. Raises NotFound for any other, too."""
        return await own_job(self._store, caller, name)

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
        job = await self._store.job(name)
        if job.options.signed_by is SignedBy.OFFICER:
            # What is to be sent is signed already; it waits for nobody's table.
            await self._carry_on(name)
        else:
            async with self._turns[job.account], self._at_once:
                await self._carry_on(name)
        asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._look_again, name)

    async def _carry_on(self, name: bytes) -> None:
        more, pause_s = True, RETRY_FIRST_S
        while more or name in self._wanted:
            self._wanted.discard(name)
            try:
                more = await self._step(await self._store.job(name))
                pause_s = RETRY_FIRST_S
            except (Busy, Unavailable) as error:
                log.warning("deposit job waits", job=name.hex(), reason=str(error))
                await asyncio.sleep(pause_s)
                more, pause_s = True, min(2 * pause_s, RETRY_LONGEST_S)
            except LedgerError as error:
                log.info("deposit job failed", job=name.hex(), code=error.code)
                fault = Fault(code=error.code, zh=error.message("zh"), en=error.message("en"))
                await self._end(name, JobState.FAILED, fault)
                more = False
            except Exception:
                log.exception("deposit job failed", job=name.hex())
                await self._end(name, JobState.FAILED, INTERNAL_FAULT)
                more = False
            self._tell()

    async def _step(self, job: Job) -> bool:
        """Do what the job's state asks for; whether there may be more."""
        if job.options.signed_by is SignedBy.OFFICER:
            await self._working.send(job)
            return await self._officers_step(job)
        caller = self._caller(job)
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
        await self._store.end(name, state, self._clock_ms(), fault=fault)
        await self._working.look(name)
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

    async def _require_room(self, caller: Caller, size_bytes: int) -> None:
        if await self._store.open_count(caller.account) >= limits.JOBS_PER_ORGANIZATION_MAX:
            raise Busy(
                what=f"list of open deposit jobs ({limits.JOBS_PER_ORGANIZATION_MAX})", retry_after_s=10
            )
        if await self._store.reserved_bytes() + size_bytes > limits.CONTENT_BYTES_MAX:
            raise Busy(what="deposit store", retry_after_s=60)


def _check_size(options: JobOptions, size_bytes: int) -> None:
    if options.media_type and size_bytes > content_bytes_max(options):
        raise ContentTooLarge(maximum=content_bytes_max(options))
