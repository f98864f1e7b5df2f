"""What a job and its rows are, as they lie in the store."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from zhenglian.rows.problems import Note, Problem


class JobState(StrEnum):
    RECEIVING = "receiving"
    READING = "reading"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED)


class RowState(StrEnum):
    """invalid, issued, refused and existing are ends; a dry run ends with ready."""

    READY = "ready"
    DRAFTED = "drafted"
    SENT = "sent"
    INVALID = "invalid"
    ISSUED = "issued"
    REFUSED = "refused"
    EXISTING = "existing"


class SignedBy(StrEnum):
    AGENT = "agent"
    OFFICER = "officer"


class JobOptions(Struct, frozen=True, kw_only=True):
    """How the job was asked for. `media_type` is empty where rows come one call after another."""

    certificate_type: str
    signed_by: SignedBy
    media_type: str = ""
    mapping: dict[str, str] = {}
    holder: str = ""
    dry_run: bool = False
    rows_total: int = 0


class Fault(Struct, frozen=True, kw_only=True):
    """Why a job failed as a whole."""

    code: str
    zh: str
    en: str


class Job(Struct, frozen=True, kw_only=True):
    """A job.

    Attributes:
        job_id: derived from organisation and idempotency key.
        account, officer, key: whose, by which officer's key, under which idempotency key.
        size_bytes: of the content as announced; 0 if that was not said.
        received_bytes, stored_bytes: of the content that is durable here, and of its file.
        content_tag: keyed hash of the whole content, once it is here.
        seed: 32 bytes from which every row's salts derive.
    """

    job_id: bytes
    account: bytes
    officer: bytes
    key: str
    options: JobOptions
    state: JobState
    created_ms: int
    updated_ms: int
    expires_ms: int
    size_bytes: int
    received_bytes: int
    stored_bytes: int
    content_tag: bytes
    seed: bytes
    fault: Fault | None = None
    working_ms: int = 0
    ended_ms: int = 0


class RowContent(Struct, frozen=True, kw_only=True):
    """What a row puts on the ledger; sealed at rest, destroyed when the row has ended."""

    fields: dict[str, str | int | list[dict[str, str | int]]]
    files: dict[str, str]
    holder: str
    valid_from_ms: int | None
    valid_until_ms: int
    supersedes: str


class RowReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What there is to say of a row; no value of it."""

    problems: Annotated[tuple[Problem, ...], Meta(max_length=64)] = ()
    notes: Annotated[tuple[Note, ...], Meta(max_length=64)] = ()


class RowDraft(Struct, frozen=True, kw_only=True):
    """A sealed row: what its signature is over, and when its ciphertext was put where drafts are kept."""

    type_version: int
    commitment_root: bytes
    payload_hash: bytes
    fields: tuple[str, ...]
    attachments: tuple[str, ...]
    sealed_ms: int = 0


class JobRow(Struct, frozen=True, kw_only=True):
    """A row of a job."""

    number: int
    state: RowState
    certificate_id: bytes
    report: RowReport = RowReport()
    content: RowContent | None = None
    draft: RowDraft | None = None
    transaction_id: bytes = b""
    signed: bytes = b""
    height: int = 0
