"""Plans that put a table on the ledger in one call (傻瓜式上链): read, check, seal, sign, send, report.

Rule: every row is checked here first, against the same words as on the node; what is signed is computed from the row itself, so
that the node that seals it can have nothing else signed. Whoever goes on with the same `Resume` puts no row up twice, at
whichever node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from ledger.errors import LimitExceeded
from zhenglian import exchange
from zhenglian.api_deposits import DepositJob, ReportRow
from zhenglian.catalogue import CertificateTypeSpec, Holder, decode_schema
from zhenglian.exchange import Core, Plan, Request, Work, decode, get
from zhenglian.plans import chain, lookups
from zhenglian.plans.bulk_upload import (
    GOOD,
    Deposited,
    DepositFailed,
    Resume,
    Upload,
    deposit_report,
    told,
    with_notes,
)
from zhenglian.progress import Progress, Report, silent
from zhenglian.rows import CheckedRow, Note, RowRules, check_row
from zhenglian.rows.problems import problem
from zhenglian.tables import FileRow, TableKind, open_table
from zhenglian.tables.limits import ROWS_MAX
from zhenglian.tables.rows import Cell
from zhenglian.tables.sniff import SUFFIXES

__all__ = [
    "GOOD",
    "DepositFailed",
    "Deposited",
    "Resume",
    "cancel_deposit",
    "deposit_file",
    "deposit_job",
    "deposit_jobs",
    "deposit_report",
    "deposit_rows",
    "new_resume",
]

ORGANIZATIONS_KIND: Final = "enterprise"

Table = Sequence[FileRow | Mapping[str, Cell]]


def new_resume(core: Core) -> Plan[Resume]:
    """A fresh one, at the node that answers. Keep it before the first row goes up."""
    base = (yield from exchange.exchange(core, Request(method="GET", path="/v1/status"))).base
    return Resume(key=core.random_bytes(16).hex(), salt_seed=core.random_bytes(32).hex(), node=base)


def deposit_file(
    core: Core,
    path: Path,
    *,
    certificate_type: str,
    mapping: Mapping[str, str] | None = None,
    holder: str = "",
    files: Path | None = None,
    kind: TableKind | None = None,
    dry_run: bool = False,
    resume: Resume | None = None,
    report: Report = silent,
) -> Plan[Deposited]:
    """Put a CSV, JSON, JSON Lines or XLSX file on the ledger, a certificate a row, signed by this client's officer key.

    Args:
        path: the file.
        certificate_type: code of the type that its rows are.
        mapping: columns that are called otherwise: column → field code, Chinese name, or "" to leave it out.
        holder: account of every row's holder, for a table that does not say.
        files: folder of the attachments that rows name.
        kind: of the file; by its name and first bytes when None.
        dry_run: only check.
        resume: of a deposit to go on with; a new one when None.
        report: told how far it is.

    Raises:
        TableInvalid, TableTooLarge, ColumnsInvalid: the file cannot be deposited as a whole.
        DepositFailed: it ended early; go on with the same `resume`.
    """
    rows: list[FileRow] = []
    columns: list[tuple[str, ...]] = []

    def read() -> None:
        with open_table(path, kind or SUFFIXES.get(path.suffix.lower())) as table:
            columns.extend(() if table.columns is None else (table.columns,))
            rows.extend(table.rows)

    report(Progress(stage="read", done=0, total=1, subject=path.name))
    yield Work(run=read)
    report(Progress(stage="read", done=1, total=1, subject=path.name))
    return (
        yield from deposit_rows(
            core,
            rows,
            certificate_type=certificate_type,
            mapping=mapping,
            holder=holder,
            files=files,
            columns=columns[0] if columns else None,
            dry_run=dry_run,
            resume=resume,
            report=report,
        )
    )


def deposit_rows(
    core: Core,
    rows: Table,
    *,
    certificate_type: str,
    mapping: Mapping[str, str] | None = None,
    holder: str = "",
    files: Path | None = None,
    columns: tuple[str, ...] | None = None,
    dry_run: bool = False,
    resume: Resume | None = None,
    report: Report = silent,
) -> Plan[Deposited]:
    """Put rows on the ledger, a certificate a row; arguments and errors as `deposit_file`.

    Args:
        rows: dictionaries from column to value, numbered from 1; or rows of a file.
        columns: the table's header, to find missing columns at once.
    """
    if not 1 <= len(rows) <= ROWS_MAX:
        raise LimitExceeded(limit="ROWS_MAX", maximum=ROWS_MAX, actual=len(rows))
    view = yield from chain.certificate_type(core, certificate_type)
    spec = decode_schema(msgspec.json.encode(view.schema))
    rules = RowRules(spec=spec, mapping=mapping or {}, holder=holder)
    if columns is not None:
        rules.require(columns)
    checked = [check_row(rules, row) for row in _numbered(rows)]
    found = yield from _with_holders(core, spec, checked, report)
    wanted = resume or (yield from new_resume(core))
    if dry_run:
        return Deposited(job=None, rows=tuple(_reported(row) for row in found), resume=wanted)
    upload = Upload(core, spec, wanted, files, report)
    return (yield from upload.run(found))


def _numbered(rows: Table) -> Iterable[FileRow]:
    for number, row in enumerate(rows, start=1):
        if isinstance(row, FileRow):
            yield row
        else:
            yield FileRow(number, {name: cell for name, cell in row.items() if cell not in ("", [])})


def _with_holders(
    core: Core, spec: CertificateTypeSpec, rows: Sequence[CheckedRow], report: Report
) -> Plan[list[CheckedRow]]:
    """Rows whose holder was given by a number, with the account found for it."""
    numbers = sorted({row.holder_number for row in rows if row.holder_number and not row.problems})
    accounts: dict[str, str] = {}
    if numbers and spec.holder is Holder.ORGANIZATION:
        views = yield from chain.organizations(core, kind=ORGANIZATIONS_KIND)
        accounts = {one.credit_code: one.account for one in views}
    elif numbers:
        for done, number in enumerate(numbers):
            report(Progress(stage="find", done=done, total=len(numbers)))
            accounts[number] = (yield from lookups.find_person(core, number)) or ""
    return [_held(row, accounts) for row in rows]


def _held(row: CheckedRow, accounts: Mapping[str, str]) -> CheckedRow:
    if row.holder or not row.holder_number or row.problems:
        return row
    account = accounts.get(row.holder_number, "")
    if not account:
        return replace(row, problems=(problem("holder_unknown", "", "@holder"),))
    return replace(row, holder=account, notes=(*row.notes, Note(rule="holder_found", field="@holder")))


def deposit_job(core: Core, job: str) -> Plan[DepositJob]:
    """How a deposit stands, at the node that has it."""
    return (yield from get(core, f"/v1/deposits/{job}", DepositJob, session=True))


def deposit_jobs(core: Core) -> Plan[list[DepositJob]]:
    """The organisation's deposits at a node, newest first."""
    return (yield from get(core, "/v1/deposits?limit=100", list[DepositJob], session=True))


def cancel_deposit(core: Core, job: str) -> Plan[DepositJob]:
    """Stop a deposit; rows that are on the ledger stay there."""
    answer = yield from exchange.exchange(
        core, Request(method="DELETE", path=f"/v1/deposits/{job}", session=True)
    )
    return decode(answer, DepositJob)


def _reported(row: CheckedRow) -> ReportRow:
    """A row of a dry run."""
    return with_notes(
        ReportRow(
            row=row.number,
            state="invalid" if row.problems else "ready",
            certificate_id="0" * 32,
            transaction_id=None,
            height=None,
            problems=[told(one) for one in row.problems],
            notes=[],
        ),
        row.notes,
    )
