"""Views of deposits in bulk and of agent keys."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Final

from node.deposits.records import ENDED, Job, JobRow, RowState, SignedBy
from node.http.views.common import hex_or_none, instant
from node.services.agents import AgentKey
from zhenglian import api_deposits as api
from zhenglian.rows.problems import RULES, Note, Problem

# What a spreadsheet program would take for a formula.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_CSV_COLUMNS: Final = (
    "row/行", "state/状态", "certificate/证照编号", "transaction/交易", "column/列", "field/字段", "code/代码", "问题", "怎么办",
    "problem", "what to do",
)  # fmt: skip
_OPEN: Final = (RowState.READY, RowState.DRAFTED, RowState.SENT)


def job(record: Job, counts: Mapping[RowState, int], now_ms: int) -> api.DepositJob:
    """A job with how far it is."""
    total = sum(counts.values())
    ended = total - sum(counts.get(state, 0) for state in _OPEN)
    begun_ms = record.working_ms or record.created_ms
    elapsed_s = ((record.ended_ms or now_ms) - begun_ms) / 1000
    speed = round(ended / elapsed_s, 1) if ended and elapsed_s > 0 and not record.options.dry_run else None
    expected = max(total, record.options.rows_total)
    url = f"/v1/deposits/{record.job_id.hex()}"
    return api.DepositJob(
        job=record.job_id.hex(),
        state=record.state.value,
        certificate_type=record.options.certificate_type,
        signed_by=record.options.signed_by.value,
        dry_run=record.options.dry_run,
        officer=record.officer.hex(),
        created=instant(record.created_ms),
        expires=instant(record.expires_ms),
        size_bytes=record.size_bytes or None,
        received_bytes=record.received_bytes,
        rows=api.RowCounts(total=total, **{state.value: counts.get(state, 0) for state in RowState}),
        rows_per_s=speed,
        eta_s=None if record.state in ENDED or not speed else round((expected - ended) / speed),
        fault=None
        if record.fault is None
        else api.JobFault(code=record.fault.code, detail_zh=record.fault.zh, detail_en=record.fault.en),
        # Only who signs himself needs it, to compute what he signs.
        salt_seed=record.seed.hex() if record.options.signed_by is SignedBy.OFFICER else None,
        status_url=url,
        report_url=f"{url}/report",
    )


def problem(found: Problem) -> api.ProblemView:
    """A problem in words."""
    zh, zh_do, en, en_do = found.words()
    return api.ProblemView(
        code=found.code,
        column=found.column,
        field=found.field,
        problem_zh=zh,
        todo_zh=zh_do,
        problem_en=en,
        todo_en=en_do,
    )


def note(found: Note) -> api.NoteView:
    """A rule that was used, in words."""
    zh, en = RULES.get(found.rule, (found.rule, found.rule))
    return api.NoteView(rule=found.rule, column=found.column, field=found.field, text_zh=zh, text_en=en)


def report_row(row: JobRow) -> api.ReportRow:
    """What became of a row."""
    return api.ReportRow(
        row=row.number,
        state=row.state.value,
        certificate_id=row.certificate_id.hex(),
        transaction_id=hex_or_none(row.transaction_id),
        height=row.height or None,
        problems=[problem(found) for found in row.report.problems],
        notes=[note(found) for found in row.report.notes],
    )


def report_csv(rows: Sequence[JobRow]) -> bytes:
    """A page of a report as CSV: a line a problem or note, and one for a row without any."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_CSV_COLUMNS)
    for row in rows:
        shown = report_row(row)
        head = [str(shown.row), shown.state, shown.certificate_id, shown.transaction_id or ""]
        lines = [
            [one.column, one.field, one.code, one.problem_zh, one.todo_zh, one.problem_en, one.todo_en]
            for one in shown.problems
        ] + [[one.column, one.field, one.rule, one.text_zh, "", one.text_en, ""] for one in shown.notes]
        for line in lines or [[""] * 7]:
            writer.writerow([_inert(cell) for cell in [*head, *line]])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _inert(cell: str) -> str:
    return "'" + cell if cell.startswith(_FORMULA_STARTS) else cell


def row_draft(row: JobRow) -> api.RowDraftView:
    """A sealed row, to be signed."""
    draft = row.draft if row.state is RowState.DRAFTED else None
    return api.RowDraftView(
        row=row.number,
        state=row.state.value,
        certificate_id=row.certificate_id.hex(),
        type_version=None if draft is None else draft.type_version,
        commitment_root=None if draft is None else draft.commitment_root.hex(),
        payload_hash=None if draft is None else draft.payload_hash.hex(),
        fields=[] if draft is None else list(draft.fields),
        attachments=[] if draft is None else list(draft.attachments),
        problems=[problem(found) for found in row.report.problems],
    )


def agent(found: AgentKey) -> api.AgentView:
    """An agent key."""
    return api.AgentView(
        key_id=found.key_id.hex(),
        scheme=found.scheme,
        public_key=found.public_key.hex(),
        standing=found.standing,
    )
