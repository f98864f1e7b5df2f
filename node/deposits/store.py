"""Jobs, rows and files of deposits in one SQLite file.

Rule: what a call of this class has returned from is durable. What a row or file holds of people's data is sealed under a key of
this node, bound to its job and place, and cleared in the same step that ends the row.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import decode_msgpack
from ledger.errors import NotFound, StorageDamaged, Unavailable
from node.deposits.limits import JOB_LIFETIME_MS
from node.deposits.records import (
    ENDED,
    Fault,
    Job,
    JobOptions,
    JobRow,
    JobState,
    RowContent,
    RowDraft,
    RowReport,
    RowState,
)

T = TypeVar("T")

SCHEMA_VERSION: Final = 1
_ENDED: Final = ", ".join(f"'{state.value}'" for state in ENDED)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    job BLOB PRIMARY KEY, account BLOB NOT NULL, officer BLOB NOT NULL, key TEXT NOT NULL, options BLOB NOT NULL,
    state TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, received_bytes INTEGER NOT NULL, stored_bytes INTEGER NOT NULL, content_tag BLOB NOT NULL,
    seed BLOB NOT NULL, fault BLOB, working_ms INTEGER NOT NULL DEFAULT 0, ended_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS jobs_by_account ON jobs (account, created_ms);
CREATE TABLE IF NOT EXISTS rows (
    job BLOB NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, certificate BLOB NOT NULL, report BLOB NOT NULL,
    content BLOB, draft BLOB, transaction_id BLOB NOT NULL DEFAULT x'', signed BLOB NOT NULL DEFAULT x'',
    height INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (job, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_by_state ON rows (job, state, number);
CREATE TABLE IF NOT EXISTS fetches (
    account BLOB NOT NULL, key TEXT NOT NULL, wanted BLOB NOT NULL, signed BLOB NOT NULL, created_ms INTEGER NOT NULL,
    PRIMARY KEY (account, key)
);
CREATE TABLE IF NOT EXISTS files (
    job BLOB NOT NULL, name TEXT NOT NULL, media_type TEXT NOT NULL, content BLOB NOT NULL, PRIMARY KEY (job, name)
);
"""
_JOB: Final = (
    "job, account, officer, key, options, state, created_ms, updated_ms, expires_ms, size_bytes, received_bytes, "
    "stored_bytes, content_tag, seed, fault, working_ms, ended_ms"
)
_ROW: Final = "number, state, certificate, report, content, draft, transaction_id, signed, height"


class JobStore:
    """The store; every method runs on its one thread.

    Args:
        path: the file; its folder must exist.
        suite: crypto suite.
        node_secret: a secret of this node; the key that seals content derives from it.

    Raises:
        StorageDamaged: the file is no usable database.
    """

    def __init__(self, path: Path, suite: CryptoSuite, node_secret: bytes) -> None:
        self._path = path
        self._suite = suite
        self._key = suite.mac(node_secret, domains.DEPOSIT_STORE, b"rows")
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deposits")
        try:
            self._connection = self._executor.submit(_open, path).result()
        except sqlite3.DatabaseError as error:
            self._executor.shutdown()
            raise StorageDamaged(what=path.name, reason=str(error)) from None

    async def close(self) -> None:
        await self._run(self._connection.close)
        self._executor.shutdown()

    # --- jobs ---

    async def add(self, job: Job) -> None:
        values = (
            job.job_id, job.account, job.officer, job.key, msgspec.msgpack.encode(job.options), job.state.value,
            job.created_ms, job.updated_ms, job.expires_ms, job.size_bytes, job.received_bytes, job.stored_bytes,
            job.content_tag, self._sealed(job.seed, job.job_id, b"seed"),
        )  # fmt: skip
        marks = ", ".join("?" * len(values))
        await self._write(f"INSERT INTO jobs ({_JOB.split(', fault')[0]}) VALUES ({marks})", values)  # noqa: S608

    async def job(self, job_id: bytes) -> Job:
        """Raises NotFound."""
        found = await self.find(job_id)
        if found is None:
            raise NotFound(what="deposit job", id=job_id.hex())
        return found

    async def find(self, job_id: bytes) -> Job | None:
        rows = await self._read(f"SELECT {_JOB} FROM jobs WHERE job = ?", (job_id,))  # noqa: S608
        return self._job(rows[0]) if rows else None

    async def jobs_of(self, account: bytes, *, before_ms: int, limit: int) -> list[Job]:
        """An organisation's jobs, newest first."""
        sql = f"SELECT {_JOB} FROM jobs WHERE account = ? AND created_ms < ? ORDER BY created_ms DESC LIMIT ?"  # noqa: S608
        return [self._job(row) for row in await self._read(sql, (account, before_ms, limit))]

    async def open_jobs(self) -> list[Job]:
        """Jobs that have not ended, oldest first."""
        sql = f"SELECT {_JOB} FROM jobs WHERE state NOT IN ({_ENDED}) ORDER BY created_ms"  # noqa: S608
        return [self._job(row) for row in await self._read(sql, ())]

    async def open_count(self, account: bytes) -> int:
        sql = f"SELECT count(*) FROM jobs WHERE account = ? AND state NOT IN ({_ENDED})"  # noqa: S608
        return int((await self._read(sql, (account,)))[0][0])

    async def reserved_bytes(self) -> int:
        """What jobs hold of the disk, or have announced that they will."""
        sql = (
            f"SELECT coalesce((SELECT sum(max(size_bytes, stored_bytes)) FROM jobs WHERE state NOT IN ({_ENDED})), 0) "  # noqa: S608
            "+ (SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size))"
        )
        return int((await self._read(sql, ()))[0][0])

    async def set_state(self, job_id: bytes, state: JobState, now_ms: int, *, working: bool = False) -> None:
        """Move a job on; one that has ended stays as it is."""
        sql = (
            "UPDATE jobs SET state = ?, updated_ms = ?, "  # noqa: S608
            f"working_ms = CASE WHEN ? THEN ? ELSE working_ms END WHERE job = ? AND state NOT IN ({_ENDED})"
        )
        await self._write(sql, (state.value, now_ms, working, now_ms, job_id))

    async def received(
        self, job_id: bytes, *, received_bytes: int, stored_bytes: int, now_ms: int, tag: bytes = b""
    ) -> None:
        """So much of the content is durable; `tag` once it is whole."""
        await self._write(
            "UPDATE jobs SET received_bytes = ?, stored_bytes = ?, updated_ms = ?, content_tag = ? WHERE job = ?",
            (received_bytes, stored_bytes, now_ms, tag, job_id),
        )

    async def restart(self, job_id: bytes, officer: bytes, now_ms: int, expires_ms: int) -> None:
        """Let a job that ended early begin again under another officer, without the rows that are not on the ledger."""
        kept = f"'{RowState.ISSUED.value}', '{RowState.EXISTING.value}'"
        sql = f"DELETE FROM rows WHERE job = ? AND state NOT IN ({kept})"  # noqa: S608

        def work() -> None:
            with self._connection:
                self._connection.execute(sql, (job_id,))
                self._connection.execute(
                    "UPDATE jobs SET state = ?, officer = ?, updated_ms = ?, expires_ms = ?, received_bytes = 0, "
                    "stored_bytes = 0, content_tag = x'', fault = NULL, ended_ms = 0 WHERE job = ?",
                    (JobState.RECEIVING.value, officer, now_ms, expires_ms, job_id),
                )

        await self._run(work)

    async def drop_row(self, job_id: bytes, number: int) -> None:
        """Forget a row that was found wrong, or drafted too long ago, for it comes again."""
        await self._write(
            "DELETE FROM rows WHERE job = ? AND number = ? AND state IN (?, ?)",
            (job_id, number, RowState.INVALID.value, RowState.DRAFTED.value),
        )

    async def end(self, job_id: bytes, state: JobState, now_ms: int, *, fault: Fault | None = None) -> None:
        """End a job, unless it has ended; what it holds of people's data is destroyed in the same step, its report stays."""
        told = None if fault is None else msgspec.msgpack.encode(fault)

        def work() -> None:
            with self._connection:
                self._connection.execute(
                    "UPDATE jobs SET state = ?, updated_ms = ?, ended_ms = ?, fault = coalesce(?, fault) "  # noqa: S608
                    f"WHERE job = ? AND state NOT IN ({_ENDED})",
                    (state.value, now_ms, now_ms, told, job_id),
                )
                self._connection.execute(
                    "UPDATE rows SET content = NULL, signed = x'' WHERE job = ? AND (content IS NOT NULL OR signed != x'')",
                    (job_id,),
                )
                self._connection.execute("DELETE FROM files WHERE job = ?", (job_id,))

        await self._run(work)

    async def unsettled(self) -> list[bytes]:
        """Ended jobs with rows that were sent and of which nobody knows yet what became."""
        sql = (
            f"SELECT job FROM jobs WHERE state IN ({_ENDED}) AND EXISTS ("  # noqa: S608
            f"SELECT 1 FROM rows WHERE rows.job = jobs.job AND rows.state = '{RowState.SENT.value}')"
        )
        return [row[0] for row in await self._read(sql, ())]

    async def forget(self, expired_before_ms: int, kept_max: int) -> list[bytes]:
        """Forget jobs whose lifetime is over, and the oldest ended ones above `kept_max` an organisation; their ids."""

        def work() -> list[bytes]:
            sql = (
                f"SELECT job FROM jobs WHERE expires_ms <= ? AND state IN ({_ENDED}) UNION SELECT job FROM ("  # noqa: S608
                "SELECT job, row_number() OVER (PARTITION BY account ORDER BY created_ms DESC) AS place, state FROM jobs) "
                f"WHERE place > ? AND state IN ({_ENDED})"
            )
            found = [row[0] for row in self._connection.execute(sql, (expired_before_ms, kept_max))]
            with self._connection:
                for job_id in found:
                    for table in ("rows", "files", "jobs"):
                        self._connection.execute(f"DELETE FROM {table} WHERE job = ?", (job_id,))  # noqa: S608
            return found

        return await self._run(work)

    # --- rows ---

    async def put_rows(self, job_id: bytes, rows: Sequence[JobRow]) -> None:
        """Add rows; one that is there stays as it is."""
        values = [
            (
                job_id,
                row.number,
                row.state.value,
                row.certificate_id,
                msgspec.msgpack.encode(row.report),
                self._content(job_id, row),
                None if row.draft is None else msgspec.msgpack.encode(row.draft),
            )
            for row in rows
        ]
        await self._many(
            "INSERT OR IGNORE INTO rows (job, number, state, certificate, report, content, draft) VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    async def rows(
        self, job_id: bytes, states: Iterable[RowState], *, after: int, limit: int
    ) -> list[JobRow]:
        """Rows in those states by number, from the one after `after` on."""
        wanted = [state.value for state in states]
        marks = ", ".join("?" * len(wanted))
        sql = (
            f"SELECT {_ROW} FROM rows WHERE job = ? AND state IN ({marks}) AND number > ? "  # noqa: S608
            "ORDER BY number LIMIT ?"
        )
        return [self._row(job_id, row) for row in await self._read(sql, (job_id, *wanted, after, limit))]

    async def some_rows(self, job_id: bytes, numbers: Sequence[int]) -> dict[int, JobRow]:
        """The rows of those numbers that are there."""
        marks = ", ".join("?" * len(numbers))
        sql = f"SELECT {_ROW} FROM rows WHERE job = ? AND number IN ({marks})"  # noqa: S608
        return {row[0]: self._row(job_id, row) for row in await self._read(sql, (job_id, *numbers))}

    async def last_number(self, job_id: bytes) -> int:
        """The highest number of the job's rows; 0 without any."""
        return int(
            (await self._read("SELECT coalesce(max(number), 0) FROM rows WHERE job = ?", (job_id,)))[0][0]
        )

    async def counts(self, job_id: bytes) -> dict[RowState, int]:
        """How many rows are in each state."""
        found = await self._read("SELECT state, count(*) FROM rows WHERE job = ? GROUP BY state", (job_id,))
        return {RowState(state): int(count) for state, count in found}

    async def drafted(self, job_id: bytes, rows: Sequence[JobRow]) -> None:
        """Rows that are sealed, and perhaps signed: from now on these very bytes are sent."""
        values = [
            (
                row.state.value,
                msgspec.msgpack.encode(row.draft),
                row.transaction_id,
                row.signed,
                job_id,
                row.number,
            )
            for row in rows
        ]
        await self._many(
            "UPDATE rows SET state = ?, draft = ?, transaction_id = ?, signed = ? WHERE job = ? AND number = ?",
            values,
        )

    async def ended(self, job_id: bytes, rows: Sequence[JobRow]) -> None:
        """Rows that came to their end: their content is destroyed."""
        values = [
            (
                row.state.value,
                msgspec.msgpack.encode(row.report),
                row.transaction_id,
                row.height,
                job_id,
                row.number,
            )
            for row in rows
        ]
        await self._many(
            "UPDATE rows SET state = ?, report = ?, transaction_id = ?, height = ?, content = NULL, signed = x'' "
            "WHERE job = ? AND number = ?",
            values,
        )

    # --- files ---

    async def put_file(self, job_id: bytes, name: str, media_type: str, content: bytes) -> None:
        sealed = self._sealed(content, job_id, b"file:" + name.encode())
        await self._write(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (job_id, name, media_type, sealed)
        )

    async def file(self, job_id: bytes, name: str) -> tuple[str, bytes] | None:
        """Media type and content."""
        found = await self._read(
            "SELECT media_type, content FROM files WHERE job = ? AND name = ?", (job_id, name)
        )
        if not found:
            return None
        return found[0][0], self._opened(found[0][1], job_id, b"file:" + name.encode())

    async def file_names(self, job_id: bytes) -> dict[str, str]:
        """Names of the job's files with their media types."""
        return dict(await self._read("SELECT name, media_type FROM files WHERE job = ?", (job_id,)))

    # --- what agents asked for ---

    async def fetch(self, account: bytes, key: str) -> tuple[bytes, bytes] | None:
        """What was wanted under an idempotency key, as a hash, and what was signed for it."""
        found = await self._read(
            "SELECT wanted, signed FROM fetches WHERE account = ? AND key = ?", (account, key)
        )
        return (found[0][0], found[0][1]) if found else None

    async def put_fetch(
        self, account: bytes, key: str, wanted: bytes, signed: bytes, now_ms: int, *, instead_of: bytes = b""
    ) -> tuple[bytes, bytes]:
        """Remember it before it is sent; what is older than a job lives is forgotten.

        Args:
            account, key: whose, under which idempotency key.
            wanted, signed: what was wanted, as a hash, and what was signed for it.
            now_ms: wall clock.
            instead_of: what was signed before and can never be included any more.

        Returns:
            What is remembered: of two who ask at once, both are given the first one's.
        """

        def work() -> tuple[bytes, bytes]:
            with self._connection:
                self._connection.execute(
                    "DELETE FROM fetches WHERE created_ms <= ?", (now_ms - JOB_LIFETIME_MS,)
                )
                found = self._connection.execute(
                    "SELECT wanted, signed FROM fetches WHERE account = ? AND key = ?", (account, key)
                ).fetchone()
                if found is not None and found[1] != instead_of:
                    return found[0], found[1]
                self._connection.execute(
                    "INSERT OR REPLACE INTO fetches VALUES (?, ?, ?, ?, ?)",
                    (account, key, wanted, signed, now_ms),
                )
            return wanted, signed

        return await self._run(work)

    # --- inside ---

    def _sealed(self, data: bytes, job_id: bytes, place: bytes) -> bytes:
        return self._suite.seal(self._key, data, job_id + place)

    def _opened(self, data: bytes, job_id: bytes, place: bytes) -> bytes:
        return self._suite.open(self._key, data, job_id + place)

    def _content(self, job_id: bytes, row: JobRow) -> bytes | None:
        if row.content is None:
            return None
        return self._sealed(msgspec.msgpack.encode(row.content), job_id, b"row:%d" % row.number)

    def _job(self, row: tuple[Any, ...]) -> Job:
        values = dict(zip(_JOB.split(", "), row, strict=True))
        job_id, fault = values.pop("job"), values.pop("fault")
        return Job(
            job_id=job_id,
            options=decode_msgpack(values.pop("options"), JobOptions),
            state=JobState(values.pop("state")),
            seed=self._opened(values.pop("seed"), job_id, b"seed"),
            fault=None if fault is None else decode_msgpack(fault, Fault),
            **values,
        )

    def _row(self, job_id: bytes, row: tuple[Any, ...]) -> JobRow:
        number, state, certificate, report, content, draft, transaction, signed, height = row
        plain = None if content is None else self._opened(content, job_id, b"row:%d" % number)
        return JobRow(
            number=number,
            state=RowState(state),
            certificate_id=certificate,
            report=decode_msgpack(report, RowReport),
            content=None if plain is None else decode_msgpack(plain, RowContent),
            draft=None if draft is None else decode_msgpack(draft, RowDraft),
            transaction_id=transaction,
            signed=signed,
            height=height,
        )

    async def _read(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return await self._run(lambda: self._connection.execute(sql, values).fetchall())

    async def _write(self, sql: str, values: Sequence[object] | Mapping[str, object]) -> None:
        await self._many(sql, [values])

    async def _many(self, sql: str, values: Sequence[Sequence[object] | Mapping[str, object]]) -> None:
        def work() -> None:
            with self._connection:
                self._connection.executemany(sql, values)

        await self._run(work)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except sqlite3.OperationalError as error:
            # A full disk, an error of reading or writing: the world's, and it may pass.
            raise Unavailable(what=self._path.name, reason=str(error)) from None
        except sqlite3.DatabaseError as error:
            raise StorageDamaged(what=self._path.name, reason=str(error)) from None


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # What is deleted is overwritten, since it was people's data.
    connection.execute("PRAGMA secure_delete = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in {0, SCHEMA_VERSION}:
        connection.close()
        raise sqlite3.DatabaseError(f"schema version {version}, expected {SCHEMA_VERSION}")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.commit()
    return connection
