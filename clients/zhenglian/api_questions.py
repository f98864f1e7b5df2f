"""The HTTP API's words about questions, counts, classes of data and forms.

Rule: as in `zhenglian.api`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta

from zhenglian.api import FieldValue, Hex16, Hex32, Request, Response
from zhenglian.api_regions import DisclosedProof

ANSWER_FORMAT: Final = "zhenglian-answer-1"
SOURCES_MAX: Final = 32

TransactionText = Annotated[str, Meta(min_length=1, max_length=256 * 1024)]


class DeclaredQuestionView(Response, frozen=True):
    """A question that a type declares. Durations are in milliseconds; 0 for never."""

    name: str
    name_zh: str
    kind: str
    field: str
    subject: str
    parameters: list[str]
    days_back_max: int
    days_ahead_max: int
    repeat_after_ms: int


class DeclaredPartitionView(Response, frozen=True):
    """A partition that a type declares; each cell with its Chinese name."""

    name: str
    name_zh: str
    field: str
    subject: str
    cells: list[str]
    cells_zh: list[str]
    period: str
    base: int
    group_min: int


class PartClassView(Response, frozen=True):
    """Class of one field or attachment, and what follows from it: who may ask, whether consent is separate, how long
    it may be kept.
    """

    name: str
    name_zh: str
    term: str
    grade: str
    level: int
    sensitivity: str
    askers: list[str]
    purposes: list[str] | None
    consent_separate: bool
    kept_ms_max: int
    mask: str | None


class TypeQuestionsView(Response, frozen=True):
    """What may be asked and counted about certificates of a type, and the classes of its data."""

    code: str
    version: int
    questions: list[DeclaredQuestionView]
    partitions: list[DeclaredPartitionView]
    classes: list[PartClassView]


class AnswerFile(Response, frozen=True):
    """The file of an answer; `padding` gives yes and no files of one size."""

    format: Literal["zhenglian-answer-1"]
    chain_id: Hex32
    certificate_id: Hex16
    certificate_type: str
    certificate_type_name: str
    question: str
    question_kind: str
    parameter: str
    answer: bool
    as_of: datetime
    nonce: Hex16
    padding: Annotated[str, Meta(max_length=16)]
    copy_reference: str


class CellCountView(Response, frozen=True):
    """A cell; `count` is None where it is suppressed."""

    cell: str
    count: int | None


class CountView(Response, frozen=True):
    """A count as the ledger has it; anybody may read it."""

    count_id: Hex16
    organization: Hex16
    performed_by: Hex16
    certificate_type: str
    partition: str
    subject: str
    period: str
    base: int
    group_min: int
    state: str
    contributions: int
    left_out: int
    opened: datetime
    deadline: datetime
    published: datetime | None
    cells: list[CellCountView]
    failure: str


class FormEntryView(Response, frozen=True):
    """One line of a form."""

    name: str
    label_zh: str
    label_en: str
    term: str
    required: bool


class FormView(Response, frozen=True):
    """A form as it is in use."""

    code: str
    version: int
    owner: Hex16
    owner_name: str
    name_zh: str
    name_en: str
    purpose: str
    dictionary: int
    registered: datetime
    entries: list[FormEntryView]


class PrefillRequest(Request, frozen=True):
    """A signed `releases.request` of JSON outputs under the grant for which the form is filled in.

    `display` masks values for the screen; the proofs are left out then, since they would not hold.
    """

    transaction: TransactionText
    display: bool = False


class FilledFrom(Response, frozen=True):
    """Where a value comes from: the certificate, its issuer, of when it is, and what proves it.

    `value` is the value there, so that a conflict can be looked at; `proof` and `salt` prove it under `commitment_root`.
    """

    certificate_id: Hex16
    certificate_type: str
    certificate_type_name: str
    field: str
    value: FieldValue
    issuer: Hex16
    issuer_name: str
    issued: datetime
    as_of: datetime
    commitment_root: Hex32
    salt: Hex16 | None
    proof: DisclosedProof | None


class FilledEntry(Response, frozen=True):
    """One line of a filled form.

    Exactly one of `value` and `reason` is there. `reason` is `not_granted`, `not_requested` (granted, and the release did not ask
    for it), `declined` (asked for and not given), `none_held`, `not_valid`, `answers_only` or `conflicting_sources`.
    """

    name: str
    term: str
    required: bool
    value: FieldValue | None
    reason: str
    sources: Annotated[list[FilledFrom], Meta(max_length=SOURCES_MAX)]


class FilledForm(Response, frozen=True):
    """A form filled in from one release. `complete`: every required line has a value. `unfilled` names those without."""

    code: str
    version: int
    grant_id: Hex16
    release_id: str
    as_of: datetime
    masked: bool
    complete: bool
    unfilled: list[str]
    entries: list[FilledEntry]
