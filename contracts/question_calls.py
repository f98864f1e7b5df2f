"""What a transaction can ask for about counts and forms: see `calls.py`, whose `CALLS` names these.

Rule: as there. Questions have no calls of their own: they are asked in a grant and answered by a release.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.args import Args
from contracts.form_records import FormEntries
from contracts.question_records import (
    CELLS_PER_PARTITION_MAX,
    CONTRIBUTIONS_PER_CALL_MAX,
    CellCount,
    Contribution,
    QuestionName,
)
from contracts.vocabulary import Code, TypeCode
from ledger.types import AccountId, Count, Id16, Name, Text


class CountsOpen(Args):
    """Officer of a department or enterprise.

    Begins a count over a declared partition for the present period. Output: count id (16 bytes), derived from the transaction.
    """

    certificate_type: TypeCode
    partition: QuestionName
    performed_by: AccountId


class CountsContribute(Args):
    """The counting organisation's officer, while COLLECTING. Puts certificates in, each by a `query` grant to be counted.

    Takes one use of each grant. A holder is counted once a period by one subject, whoever counts.
    """

    count_id: Id16
    contributions: Annotated[
        tuple[Contribution, ...], Meta(min_length=1, max_length=CONTRIBUTIONS_PER_CALL_MAX)
    ]


class CountsRequest(Args):
    """The counting organisation's officer. No more comes in; COLLECTING → REQUESTED."""

    count_id: Id16


class CountsPublish(Args):
    """Operator named `performed_by`, node key. REQUESTED → PUBLISHED.

    Args:
        cells: every cell of the partition in its order, rounded and suppressed as it demands.
        left_out: how many contributions' grants opened nothing any more.
    """

    count_id: Id16
    cells: Annotated[tuple[CellCount, ...], Meta(min_length=2, max_length=CELLS_PER_PARTITION_MAX)]
    left_out: Count


class CountsFail(Args):
    """The counting organisation's officer while COLLECTING; the operator named `performed_by`, node key, while REQUESTED."""

    count_id: Id16
    reason: Code


class FormsRegister(Args):
    """Department officer. A new form, or the next version of an own one. Output: its version."""

    code: Code
    name_zh: Name
    name_en: Text
    purpose: Code
    dictionary: Count
    entries: FormEntries


QUESTION_CALLS: Final[dict[tuple[str, str], type[Args]]] = {
    ("counts", "open"): CountsOpen,
    ("counts", "contribute"): CountsContribute,
    ("counts", "request"): CountsRequest,
    ("counts", "publish"): CountsPublish,
    ("counts", "fail"): CountsFail,
    ("forms", "register"): FormsRegister,
}
