"""One deposit on its way: rows sealed by a node, checked and signed here, followed to their end.

Rule: what is signed is computed from the row itself. Everything that is sent may be sent again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from contracts.calls import CertificatesIssue
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LedgerError, LimitExceeded
from zhenglian import exchange
from zhenglian.api import (
    ATTACHMENT_SIZE_BYTES_MAX,
    DEPOSIT_SIZE_BYTES_MAX,
    WAIT_S_MAX,
    AttachmentUpload,
    DepositRequest,
)
from zhenglian.api_deposits import (
    SIGNED_ROWS_PER_CALL_MAX,
    DepositJob,
    DepositReport,
    DepositRow,
    NoteView,
    ProblemView,
    ReportRow,
    RowDraftView,
    RowProblem,
    RowsRequest,
    SignaturesRequest,
    SignedRow,
    UploadRequest,
)
from zhenglian.catalogue import CertificateTypeSpec
from zhenglian.deposits import commitment_of
from zhenglian.errors import ApiError, Mismatch, NotReachable
from zhenglian.exchange import Core, Pause, Plan, Request, Work, decode, get
from zhenglian.plans import transactions
from zhenglian.progress import Progress, Report
from zhenglian.row_ids import certificate_id, job_id, salt_seed
from zhenglian.rows import CheckedRow, Note, Problem
from zhenglian.rows.problems import RULES, problem

PATIENCE_S: Final = 600
_BATCH_BYTES_MAX: Final = DEPOSIT_SIZE_BYTES_MAX // 2
_MEDIA_TYPES: Final[dict[str, Literal["application/pdf", "image/png", "image/jpeg"]]] = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
_PASSING: Final = frozenset((429, 502, 503, 504))
# A certificate that is there under an id which follows from a random key of ours is ours, put there through another node.
GOOD: Final = frozenset(("issued", "ready", "existing"))
_ENDED: Final = frozenset(("done", "failed", "cancelled", "expired"))


class DepositFailed(LedgerError):
    """A deposit ended before its rows were through. Fields: job, code, reason_zh, reason_en."""

    code = "deposit_failed"
    zh = "上链任务 {job} 未完成：{reason_zh}"
    en = "Deposit {job} did not come to its end: {reason_en}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """By what a deposit is known again: kept by whoever wants to go on with it after a crash.

    Attributes:
        key: idempotency key, random.
        salt_seed: 32 bytes in hex; the salts of every row derive from it, so it is as secret as the data.
        node: URL of the node that it was begun at; empty for any.
    """

    key: str
    salt_seed: str
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposited:
    """What became of a table.

    Attributes:
        job: as the node sees it at the end; None after a dry run.
        rows: of the report; every row there was.
        resume: by which to ask again.
    """

    job: DepositJob | None
    rows: tuple[ReportRow, ...]
    resume: Resume

    @property
    def good(self) -> bool:
        """Whether every row is on the ledger (or, after a dry run, could be)."""
        return all(row.state in GOOD for row in self.rows)


def deposit_report(
    core: Core, job: str, *, problems_only: bool = False, base: str | None = None
) -> Plan[list[ReportRow]]:
    """What became of every row."""
    rows: list[ReportRow] = []
    after = 0
    while True:
        path = f"/v1/deposits/{job}/report?after={after}" + ("&problems_only=true" if problems_only else "")
        page = yield from get(core, path, DepositReport, session=True, base=base)
        rows += page.rows
        if page.next is None:
            return rows
        after = page.next


class Upload:
    """One deposit on its way."""

    def __init__(
        self, core: Core, spec: CertificateTypeSpec, resume: Resume, files: Path | None, report: Report
    ) -> None:
        self._core = core
        self._spec = spec
        self._resume = resume
        self._files = files
        self._report = report
        self._base = resume.node

    def run(self, rows: Sequence[CheckedRow]) -> Plan[Deposited]:
        core = self._core
        suite = yield from exchange.suite(core)
        if not self._base:
            self._base = (yield from exchange.exchange(core, Request(method="GET", path="/v1/status"))).base
        job = yield from self._begin(len(rows))
        own = job_id(suite, bytes.fromhex(core.signer().account), self._resume.key).hex()
        if job.job != own or job.salt_seed != self._resume.salt_seed:
            raise Mismatch(what="deposit job", expected=own, actual=job.job)
        done = 0
        self._report(Progress(stage="deposit", done=0, total=len(rows), subject=job.job))
        if job.state not in _ENDED:
            for batch in self._batches(rows):
                yield from self._batch(suite, job, batch)
                done += len(batch)
                self._report(Progress(stage="deposit", done=done, total=len(rows), subject=job.job))
        job = yield from self._until_ended(job)
        reported = yield from deposit_report(core, job.job, base=self._base)
        notes = {row.number: row.notes for row in rows}
        whole = tuple(with_notes(row, notes.get(row.row, ())) for row in reported)
        if job.fault is not None:
            raise DepositFailed(
                job=job.job,
                reason_zh=job.fault.detail_zh,
                reason_en=job.fault.detail_en,
                fault=job.fault.code,
            )
        return Deposited(
            job=job,
            rows=whole,
            resume=Resume(key=self._resume.key, salt_seed=self._resume.salt_seed, node=self._base),
        )

    def _begin(self, rows_total: int) -> Plan[DepositJob]:
        asked = UploadRequest(
            certificate_type=self._spec.code,
            signed_by="officer",
            salt_seed=self._resume.salt_seed,
            rows_total=rows_total,
        )
        return (
            yield from self._ask(
                "POST", "/v1/deposits/uploads", msgspec.json.encode(asked), DepositJob, key=self._resume.key
            )
        )

    def _ask(
        self, method: str, path: str, body: bytes, kind: type[exchange.T], *, key: str = "", wait_s: int = 0
    ) -> Plan[exchange.T]:
        """Ask the deposit's node, waiting for one that is away; everything here may be sent again."""
        deadline_ms = self._core.clock_ms() + PATIENCE_S * 1000
        headers = (("idempotency-key", key),) if key else ()
        request = Request(
            method=method, path=path, body=body, headers=headers, session=True, base=self._base, wait_s=wait_s
        )
        while True:
            try:
                return decode((yield from exchange.exchange(self._core, request)), kind)
            except NotReachable:
                if self._core.clock_ms() >= deadline_ms:
                    raise
            except ApiError as error:
                if error.status not in _PASSING or self._core.clock_ms() >= deadline_ms:
                    raise
            yield Pause(seconds=1.0)

    def _batches(self, rows: Sequence[CheckedRow]) -> Iterable[list[CheckedRow]]:
        batch: list[CheckedRow] = []
        size = 0
        for row in rows:
            weight = len(msgspec.json.encode(row.fields)) + len(row.files) * ATTACHMENT_SIZE_BYTES_MAX // 2
            if batch and (len(batch) == SIGNED_ROWS_PER_CALL_MAX or size + weight > _BATCH_BYTES_MAX):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += weight
        if batch:
            yield batch

    def _batch(self, suite: CryptoSuite, job: DepositJob, batch: Sequence[CheckedRow]) -> Plan[None]:
        asked: list[DepositRow] = []
        for row in batch:
            asked.append((yield from self._row(row)))  # noqa: PERF401  # a comprehension cannot yield
        drafts = yield from self._ask(
            "POST",
            f"/v1/deposits/{job.job}/rows",
            msgspec.json.encode(RowsRequest(rows=asked)),
            list[RowDraftView],
        )
        signed: list[SignedRow] = []
        for row, sent, draft in zip(batch, asked, drafts, strict=True):
            if draft.payload_hash is None:
                continue
            args = self._checked(suite, job, row, sent, draft)
            transaction = yield from transactions.sign(self._core, args)
            signed.append(SignedRow(row=row.number, transaction=transaction.text))
        if signed:
            body = msgspec.json.encode(SignaturesRequest(signed=signed))
            yield from self._ask("POST", f"/v1/deposits/{job.job}/signatures", body, DepositJob)

    def _row(self, row: CheckedRow) -> Plan[DepositRow]:
        problems = [*row.problems]
        attachments: list[AttachmentUpload] = []
        if not problems:
            for name, file in row.files.items():
                upload = yield from self._attachment(name, file)
                if upload is None:
                    problems.append(problem("attachment_missing", "", name))
                else:
                    attachments.append(upload)
        if problems:
            told = [
                RowProblem(code=one.code, column=one.column[:256], field=one.field, fields=dict(one.fields))
                for one in problems
            ]
            return DepositRow(row=row.number, problems=told[:64])
        return DepositRow(row=row.number, holder=row.holder, fields=row.fields, attachments=attachments)

    def _attachment(self, name: str, file: str) -> Plan[AttachmentUpload | None]:
        media_type = _MEDIA_TYPES.get(Path(file).suffix.lower())
        folder = self._files
        # A table comes from somebody else: it names files of this folder and of no other.
        if folder is None or media_type is None or Path(file).name != file:
            return None
        data: list[bytes] = []

        def read() -> None:
            try:
                with (folder / file).open("rb") as opened:
                    data.append(opened.read(ATTACHMENT_SIZE_BYTES_MAX + 1))
            except OSError:
                return

        yield Work(run=read)
        if not data:
            return None
        if len(data[0]) > ATTACHMENT_SIZE_BYTES_MAX:
            raise LimitExceeded(
                limit=f"ATTACHMENT_SIZE_BYTES_MAX of {file}",
                maximum=ATTACHMENT_SIZE_BYTES_MAX,
                actual=len(data[0]),
            )
        return AttachmentUpload(name=name, media_type=media_type, data=base64.b64encode(data[0]).decode())

    def _checked(
        self, suite: CryptoSuite, job: DepositJob, row: CheckedRow, sent: DepositRow, draft: RowDraftView
    ) -> CertificatesIssue:
        """What to sign for a row, computed from the row. Raises Mismatch if the node drafted something else."""
        name = certificate_id(suite, bytes.fromhex(job.job), row.number)
        request = DepositRequest(
            certificate_id=name.hex(),
            certificate_type=self._spec.code,
            holder=row.holder,
            fields=row.fields,
            salt_seed=salt_seed(suite, bytes.fromhex(self._resume.salt_seed), row.number).hex(),
            attachments=sent.attachments,
        )
        root = commitment_of(suite, request).hex()
        names = (sorted(row.fields), sorted(row.files))
        if (draft.certificate_id, draft.commitment_root) != (name.hex(), root) or names != (
            sorted(draft.fields),
            sorted(draft.attachments),
        ):
            raise Mismatch(
                what=f"draft of row {row.number}", expected=root, actual=str(draft.commitment_root)
            )
        return CertificatesIssue(
            certificate_id=name,
            certificate_type=self._spec.code,
            type_version=draft.type_version or 0,
            holder=bytes.fromhex(row.holder),
            commitment_root=bytes.fromhex(root),
            payload_hash=bytes.fromhex(draft.payload_hash or ""),
            fields=tuple(draft.fields),
            attachments=tuple(draft.attachments),
            valid_from_ms=self._core.clock_ms() if row.valid_from_ms is None else row.valid_from_ms,
            valid_until_ms=row.valid_until_ms,
            supersedes=bytes.fromhex(row.supersedes),
        )

    def _until_ended(self, job: DepositJob) -> Plan[DepositJob]:
        deadline_ms = self._core.clock_ms() + PATIENCE_S * 1000
        while job.state not in _ENDED and self._core.clock_ms() < deadline_ms:
            job = yield from self._ask("GET", job.status_url, b"", DepositJob, wait_s=min(5, WAIT_S_MAX))
            counts = job.rows
            open_rows = counts.drafted + counts.sent + counts.ready
            self._report(
                Progress(stage="final", done=counts.total - open_rows, total=counts.total, subject=job.job)
            )
        return job


def told(found: Problem) -> ProblemView:
    zh, zh_do, en, en_do = found.words()
    return ProblemView(
        code=found.code,
        column=found.column,
        field=found.field,
        problem_zh=zh,
        todo_zh=zh_do,
        problem_en=en,
        todo_en=en_do,
    )


def with_notes(row: ReportRow, notes: Sequence[Note]) -> ReportRow:
    known = [
        NoteView(
            rule=one.rule,
            column=one.column,
            field=one.field,
            text_zh=RULES.get(one.rule, (one.rule, one.rule))[0],
            text_en=RULES.get(one.rule, (one.rule, one.rule))[1],
        )
        for one in notes
    ]
    return msgspec.structs.replace(row, notes=[*row.notes, *known])
