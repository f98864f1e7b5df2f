"""From a job's content to its rows: a child reads the table, every row is checked, and put away.

Rule: reading stops at nothing that is wrong with a row, and at the first thing that is wrong with the table. Where a crash
cuts it short it begins again; rows that are put away stay as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger.crypto.suite import CryptoSuite
from node.deposits.contents import Contents
from node.deposits.holders import Organizations
from node.deposits.limits import ROWS_PER_BATCH
from node.deposits.records import Job, JobRow, RowContent, RowReport, RowState
from node.deposits.store import JobStore
from zhenglian.catalogue import CertificateTypeSpec, Holder
from zhenglian.row_ids import certificate_id
from zhenglian.rows import CheckedRow, RowRules, check_row
from zhenglian.rows.problems import Note, Problem, problem
from zhenglian.tables import TableInvalid, open_table
from zhenglian.tables.sniff import MEDIA_TYPES

ROW_BYTES_MAX: Final = 2 * 1024 * 1024


class Reading:
    """Reads one job's table. `run` blocks on nothing but its own threads."""

    def __init__(
        self, *, suite: CryptoSuite, store: JobStore, contents: Contents, organizations: Organizations
    ) -> None:
        self._suite = suite
        self._store = store
        self._contents = contents
        self._organizations = organizations

    async def run(self, job: Job, spec: CertificateTypeSpec) -> int:
        """Read all rows and put them away; how many there are.

        Raises:
            TableInvalid, TableTooLarge, ColumnsInvalid: the table cannot be deposited.
        """
        rules = RowRules(spec=spec, mapping=job.options.mapping, holder=job.options.holder)
        files = await self._store.file_names(job.job_id)
        batches = self._batches(job, rules)
        count = 0
        reading: asyncio.Future[list[CheckedRow] | None] | None = None
        try:
            while True:
                reading = asyncio.ensure_future(asyncio.to_thread(next, batches, None))
                batch = await asyncio.shield(reading)
                if batch is None:
                    return count
                rows = [await self._row(job, spec, row, files) for row in batch]
                count += len(rows)
                await self._store.put_rows(job.job_id, rows)
        finally:
            if reading is None or reading.done():
                await asyncio.to_thread(batches.close)
            else:
                # Cancelled while a thread is in there: the child ends as soon as that comes out, and nobody waits for it.
                reading.add_done_callback(lambda done: _close(batches, done))

    def _batches(self, job: Job, rules: RowRules) -> Generator[list[CheckedRow], None, None]:
        with (
            self._contents.opened(job.job_id) as descriptor,
            open_table(
                Path(f"/proc/self/fd/{descriptor}"),
                MEDIA_TYPES.get(job.options.media_type),
                descriptors=(descriptor,),
            ) as table,
        ):
            if table.columns is not None:
                rules.require(table.columns)
            batch: list[CheckedRow] = []
            before = 0
            for row in table.rows:
                if row.number <= before:
                    raise TableInvalid("row_numbers")
                before = row.number
                batch.append(check_row(rules, row))
                if len(batch) == ROWS_PER_BATCH:
                    yield batch
                    batch = []
            if batch:
                yield batch

    async def _row(
        self, job: Job, spec: CertificateTypeSpec, row: CheckedRow, files: Mapping[str, str]
    ) -> JobRow:
        problems, notes = list(row.problems), list(row.notes)
        holder = row.holder
        if not holder and row.holder_number:
            holder = await self._holder(spec, row, problems, notes)
        problems += _file_problems(spec, row, files)
        content = RowContent(
            fields=row.fields,
            files=row.files,
            holder=holder,
            valid_from_ms=row.valid_from_ms,
            valid_until_ms=row.valid_until_ms,
            supersedes=row.supersedes,
        )
        if not problems and len(msgspec.msgpack.encode(content)) > ROW_BYTES_MAX:
            problems.append(problem("row_size", maximum=ROW_BYTES_MAX))
        # A dry run keeps nothing but its report.
        kept = None if problems or job.options.dry_run else content
        return JobRow(
            number=row.number,
            state=RowState.INVALID if problems else RowState.READY,
            certificate_id=certificate_id(self._suite, job.job_id, row.number),
            report=RowReport(problems=tuple(problems[:64]), notes=tuple(notes[:64])),
            content=kept,
        )

    async def _holder(
        self, spec: CertificateTypeSpec, row: CheckedRow, problems: list[Problem], notes: list[Note]
    ) -> str:
        if spec.holder is Holder.PERSON:
            problems.append(problem("holder_lookup", "", "@holder"))
            return ""
        found = await self._organizations.account(row.holder_number)
        if found is None:
            problems.append(problem("holder_unknown", "", "@holder"))
            return ""
        notes.append(Note(rule="holder_found", field="@holder"))
        return found.hex()


def _close(batches: Generator[list[CheckedRow], None, None], done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()
    asyncio.get_running_loop().run_in_executor(None, batches.close)


def _file_problems(spec: CertificateTypeSpec, row: CheckedRow, files: Mapping[str, str]) -> list[Problem]:
    found: list[Problem] = []
    for name, file in row.files.items():
        wanted = spec.attachment(name)
        if file not in files:
            found.append(problem("attachment_missing", "", name))
        elif wanted is not None and files[file] != wanted.media_type:
            found.append(
                problem(
                    "attachment",
                    "",
                    name,
                    reason=f"{wanted.media_type} is expected",
                    reason_zh=f"应为 {wanted.media_type}",
                )
            )
    return found
