"""Deposits in one call and in bulk, agent keys, and releases in one call: their requests and responses.

Rule: as `zhenglian.api`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from zhenglian.api import (
    AttachmentUpload,
    FieldValue,
    Hex,
    Hex16,
    Hex32,
    Request,
    Response,
    TransactionBase64,
)
from zhenglian.tables.limits import ROWS_MAX, STREAMED_BYTES_MAX

SIGNED_ROWS_PER_CALL_MAX: Final = 64
REPORT_ROWS_MAX: Final = 1_000

TableType = Literal[
    "text/csv",
    "application/json",
    "application/x-ndjson",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
]
Column = Annotated[str, Meta(min_length=1, max_length=256)]
TypeCode = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-z][a-z0-9_]*$")]
RowNumber = Annotated[int, Meta(ge=1, le=10_000_000)]


class UploadRequest(Request, frozen=True):
    """Begins a deposit whose content or rows follow.

    `signed_by` "agent": the node signs by the organisation's agent key, and the content follows in
    `PATCH /v1/deposits/{job}/content`. "officer": rows follow in `POST /v1/deposits/{job}/rows`, are sealed, and come back to be
    signed; then `salt_seed` and `rows_total` are said here.
    """

    certificate_type: TypeCode
    signed_by: Literal["agent", "officer"]
    media_type: TableType | None = None
    size_bytes: Annotated[int, Meta(ge=1, le=STREAMED_BYTES_MAX)] | None = None
    mapping: Annotated[dict[Column, Annotated[str, Meta(max_length=64)]], Meta(max_length=256)] = (
        msgspec.field(default_factory=dict)
    )
    holder: Hex16 | None = None
    dry_run: bool = False
    salt_seed: Hex32 | None = None
    rows_total: Annotated[int, Meta(ge=1, le=ROWS_MAX)] | None = None


class RowCounts(Response, frozen=True):
    """Rows by what became of them. `ready`, `drafted` and `sent` have not ended, but in a dry run, where ready is the end."""

    total: int
    ready: int
    drafted: int
    sent: int
    invalid: int
    issued: int
    refused: int
    existing: int


class JobFault(Response, frozen=True):
    """Why nothing (more) of a job goes up."""

    code: str
    detail_zh: str
    detail_en: str


class DepositJob(Response, frozen=True):
    """A deposit. `received_bytes` is where an upload goes on; `eta_s` is an estimate while rows go up."""

    job: Hex16
    state: str
    certificate_type: str
    signed_by: str
    dry_run: bool
    officer: Hex16
    created: datetime
    expires: datetime
    size_bytes: int | None
    received_bytes: int
    rows: RowCounts
    rows_per_s: float | None
    eta_s: int | None
    fault: JobFault | None
    salt_seed: Hex32 | None
    status_url: str
    report_url: str


class ProblemView(Response, frozen=True):
    """Something wrong in a row: the column as the table names it, the field, what is wrong, what to do."""

    code: str
    column: str
    field: str
    problem_zh: str
    todo_zh: str
    problem_en: str
    todo_en: str


class NoteView(Response, frozen=True):
    """A value that was normalised, and by which rule."""

    rule: str
    column: str
    field: str
    text_zh: str
    text_en: str


class ReportRow(Response, frozen=True):
    """What became of a row. It names no value."""

    row: int
    state: str
    certificate_id: Hex16
    transaction_id: Hex32 | None
    height: int | None
    problems: list[ProblemView]
    notes: list[NoteView]


class DepositReport(Response, frozen=True):
    """A page of a report; `next` is the row after which the following page begins, null at the end."""

    job: Hex16
    state: str
    rows: list[ReportRow]
    next: int | None


class RowProblem(Request, frozen=True):
    """A problem that the officer's client found itself, for the report."""

    code: Annotated[str, Meta(max_length=32)]
    column: Annotated[str, Meta(max_length=256)] = ""
    field: Annotated[str, Meta(max_length=64)] = ""
    fields: Annotated[
        dict[Annotated[str, Meta(max_length=32)], Annotated[str, Meta(max_length=400)] | int],
        Meta(max_length=8),
    ] = msgspec.field(default_factory=dict)


class DepositRow(Request, frozen=True):
    """A row of a deposit that its officer signs: normalised already. With `problems` it is only noted."""

    row: RowNumber
    holder: Hex16 | None = None
    fields: dict[str, FieldValue] = msgspec.field(default_factory=dict)
    attachments: Annotated[list[AttachmentUpload], Meta(max_length=16)] = msgspec.field(default_factory=list)
    problems: Annotated[list[RowProblem], Meta(max_length=64)] = msgspec.field(default_factory=list)


class RowsRequest(Request, frozen=True):
    rows: Annotated[list[DepositRow], Meta(min_length=1, max_length=SIGNED_ROWS_PER_CALL_MAX)]


class RowDraftView(Response, frozen=True):
    """A row's draft, to be signed as `certificates.issue`; `draft` is null where there is nothing (left) to sign."""

    row: int
    state: str
    certificate_id: Hex16
    type_version: int | None
    commitment_root: Hex32 | None
    payload_hash: Hex32 | None
    fields: list[str]
    attachments: list[str]
    problems: list[ProblemView]


class SignedRow(Request, frozen=True):
    row: RowNumber
    transaction: TransactionBase64


class SignaturesRequest(Request, frozen=True):
    signed: Annotated[list[SignedRow], Meta(min_length=1, max_length=SIGNED_ROWS_PER_CALL_MAX)]


class AgentView(Response, frozen=True):
    """An agent key that this node keeps: "offered" until the administrator has added it on the ledger, "active", "ended"."""

    key_id: Hex16
    scheme: str
    public_key: Hex
    standing: str


class ReleaseRequest(Request, frozen=True):
    """Either `transaction`, a signed releases.request; or what is wanted, for the organisation's agent at this node to sign.

    What is wanted: a `grant`, or `purpose` and `holder` of one; a `format`; perhaps one `certificate`, and only some `fields`.
    """

    transaction: TransactionBase64 | None = None
    grant: Hex16 | None = None
    purpose: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    holder: Hex16 | None = None
    certificate: Hex16 | None = None
    format: Literal["json", "csv", "files", "all"] | None = None
    fields: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=64)] = msgspec.field(
        default_factory=list
    )


class AcknowledgeRequest(Request, frozen=True):
    """The hashes of the files that came, in their order, as the release names them."""

    file_hashes: Annotated[list[Hex32], Meta(min_length=1, max_length=32)]
