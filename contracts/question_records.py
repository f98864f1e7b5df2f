"""Questions (提问) that a grant allows, what a certificate type declares of them, and what the state keeps of the answers.

Rule: an answer itself, a yes or a no, is never in here. What is here says who asked what about which certificate and as of when, so
that the same question has the same answer for ever, and nobody comes to a value by asking on (`questions.py`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from contracts.vocabulary import Code, TypeCode
from ledger.types import AccountId, Count, Id16, KeyId, ReleaseId, TimeMs, Wire

QUESTIONS_PER_TYPE_MAX: Final = 16
PARAMETERS_PER_QUESTION_MAX: Final = 64
PARTITIONS_PER_TYPE_MAX: Final = 8
CELLS_PER_PARTITION_MAX: Final = 64
CONTRIBUTIONS_PER_CALL_MAX: Final = 24
CONTRIBUTIONS_PER_COUNT_MAX: Final = 4096
GROUP_MIN_LEAST: Final = 10
BASE_LEAST: Final = 5

# A hundred years. Longer is never, which is 0: the end of a line has to be a time that can be written down.
REPEAT_AFTER_MS_MAX: Final = 100 * 365 * 86_400_000

QuestionName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
OptionalField = Annotated[str, Meta(max_length=64, pattern=r"^([a-z][a-z0-9_]*)?$")]
Parameter = Annotated[str, Meta(max_length=64)]


class QuestionKind(StrEnum):
    """What can be asked without the value leaving.

    `older_than`: so many full years old. `valid_on`: the certificate is valid on a day. `covers`: what it permits has this in it.
    `at_least`: a number reaches a step. `counted`: no question about one person; the certificate may go into a count.
    """

    OLDER_THAN = "older_than"
    VALID_ON = "valid_on"
    COVERS = "covers"
    AT_LEAST = "at_least"
    COUNTED = "counted"


class Question(Wire):
    """A question with its parameter, fixed in a grant.

    Attributes:
        certificate_type: of which type's certificates.
        name: of the question, or for `counted` of the partition, as the type declares it.
        kind, field, subject: as declared under that name, so that the grant by itself says what is asked. `field` is empty for
            `valid_on`. `subject` is the standard term of what is learned (`DeclaredQuestion`).
        parameter: years, a day (YYYY-MM-DD), what is covered, or a step; empty for `counted`.
    """

    certificate_type: TypeCode
    name: QuestionName
    kind: QuestionKind
    field: OptionalField
    subject: Code
    parameter: Parameter


class DeclaredQuestion(Wire):
    """What may be asked about certificates of a type.

    Attributes:
        name: unique in the type, partitions included.
        kind, field: what is asked of which field; no field for `valid_on`.
        subject: the standard term of what is learned, the same in every type that knows it, so that nobody asks one type for one
            step and another type for the next.
        parameters: all that there are, in their order; empty for `valid_on`.
        days_back_max, days_ahead_max: for `valid_on` how far from the day of the request the day may be.
        repeat_after_ms: after this time an organisation may ask the same person anew, in another grant and with another parameter;
            0 for never.
    """

    name: QuestionName
    kind: QuestionKind
    field: OptionalField
    subject: Code
    parameters: Annotated[tuple[Parameter, ...], Meta(max_length=PARAMETERS_PER_QUESTION_MAX)] = ()
    days_back_max: Annotated[int, Meta(ge=0, le=36_600)] = 0
    days_ahead_max: Annotated[int, Meta(ge=0, le=36_600)] = 0
    repeat_after_ms: Annotated[int, Meta(ge=0, le=REPEAT_AFTER_MS_MAX)] = 0


class PeriodUnit(StrEnum):
    """Stretches of the calendar in China's time (UTC+8)."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class DeclaredPartition(Wire):
    """A division of a type's certificates into cells by one field; nothing else is ever counted.

    Attributes:
        name: unique in the type, questions included.
        field, subject: as in `DeclaredQuestion`; a holder is counted once a period by each subject.
        cells: names of the cells; which value belongs to which is in the type's schema.
        period: how often there is a count.
        base: counts are rounded to multiples of it.
        group_min: a cell with fewer is suppressed, and with it as many more as hide it.
    """

    name: QuestionName
    field: QuestionName
    subject: Code
    cells: Annotated[tuple[QuestionName, ...], Meta(min_length=2, max_length=CELLS_PER_PARTITION_MAX)]
    period: PeriodUnit
    base: Annotated[int, Meta(ge=BASE_LEAST, le=1000)]
    group_min: Annotated[int, Meta(ge=GROUP_MIN_LEAST, le=1000)]


DeclaredQuestions = Annotated[tuple[DeclaredQuestion, ...], Meta(max_length=QUESTIONS_PER_TYPE_MAX)]
DeclaredPartitions = Annotated[tuple[DeclaredPartition, ...], Meta(max_length=PARTITIONS_PER_TYPE_MAX)]


class Answer(Wire):
    """That a question was answered under a grant for one certificate (a new version of it is another certificate).

    Attributes:
        as_of_ms: block time that the answer speaks of, and will whenever it is asked again.
        release_id: the release that asked first.
    """

    question: Question
    certificate: Id16
    as_of_ms: TimeMs
    release_id: ReleaseId


class QuestionLine(Wire):
    """What one organisation has asked one holder about one subject, whatever the grants and certificates were.

    Attributes:
        kind, parameter: the only ones that it may ask until `open_from_ms`.
        since_ms, open_from_ms: when it first asked, and when it may ask otherwise; 0 for never.
    """

    kind: QuestionKind
    parameter: Parameter
    since_ms: TimeMs
    open_from_ms: TimeMs


class CountState(StrEnum):
    """COLLECTING → REQUESTED → PUBLISHED, or ended as FAILED from either: then nothing was told and everybody may be
    counted again.
    """

    COLLECTING = "collecting"
    REQUESTED = "requested"
    PUBLISHED = "published"
    FAILED = "failed"


class CellCount(Wire):
    """One cell: the rounded number, or that it is suppressed (and the number 0)."""

    cell: QuestionName
    count: Count
    suppressed: bool


class CountRecord(Wire):
    """A count (统计) over a declared partition.

    Attributes:
        count_id: random.
        organization, officer: who counts.
        performed_by: operator whose node does it.
        partition, certificate_type, type_version: the partition as declared then, and by which version.
        period: "2026", "2026-Q3" or "2026-09".
        contributions: how many certificates were put in.
        left_out: how many of them were not counted, because their grant opened nothing any more.
        cells: what was counted, once PUBLISHED; in the order of the partition.
        failure: code, once FAILED.
    """

    count_id: Id16
    organization: AccountId
    officer: KeyId
    performed_by: AccountId
    certificate_type: TypeCode
    type_version: Count
    partition: DeclaredPartition
    period: Annotated[str, Meta(max_length=8)]
    state: CountState
    opened_ms: TimeMs
    deadline_ms: TimeMs
    contributions: Count = 0
    left_out: Count = 0
    requested_ms: TimeMs = 0
    published_ms: TimeMs = 0
    cells: Annotated[tuple[CellCount, ...], Meta(max_length=CELLS_PER_PARTITION_MAX)] = ()
    failure: Annotated[str, Meta(max_length=64)] = ""


class Contribution(Wire):
    """One certificate in a count, and the grant by which it is there: consent to be counted, or a recorded legal basis."""

    certificate: Id16
    grant: Id16


class Counted(Wire):
    """Into which count a holder went, by one subject in one period, and as which contribution; void once that count has FAILED."""

    count_id: Id16
    number: Count
