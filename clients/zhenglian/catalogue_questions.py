"""What a certificate type declares to be asked and counted: names, parameters, and how they are computed.

Rule: data, as in `catalogue.py`. What the ledger must know of a declaration is a part of its `CertificateType`
(`zhenglian.type_records`); how a value is read (`column`, `covered_by`, a cell's values) is in the type's schema, of
which a version never changes, so that a question has one answer for ever.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from contracts.question_records import (
    BASE_LEAST,
    CELLS_PER_PARTITION_MAX,
    GROUP_MIN_LEAST,
    PARAMETERS_PER_QUESTION_MAX,
    PeriodUnit,
    QuestionKind,
)

VALUES_PER_CELL_MAX: Final = 64

AsciiName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
TermCode = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_.-]*$")]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
OptionalName = Annotated[str, Meta(max_length=64, pattern=r"^([a-z][a-z0-9_]*)?$")]
Parameter = Annotated[str, Meta(min_length=1, max_length=64)]
Values = Annotated[tuple[Label, ...], Meta(max_length=VALUES_PER_CELL_MAX)]
Days = Annotated[int, Meta(ge=0, le=36_600)]


class _Spec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of what declarations are made of."""


class ParameterSpec(_Spec, frozen=True):
    """One parameter that a question may have.

    Attributes:
        value: years, a step, or what is covered.
        covered_by: for `covers`, every entry of the field that has it in it; `value` itself always has.
    """

    value: Parameter
    covered_by: Values = ()


class QuestionSpec(_Spec, frozen=True):
    """A question that may be asked about certificates of a type.

    Attributes:
        name, name_zh: unique in the type, partitions included.
        kind: see `contracts.question_records.QuestionKind`; none is `counted`.
        field: what it reads; none for `valid_on`.
        column, order_by: for `at_least` of a table: the number's column, and the column by which the latest row is found.
        subject: standard term of what is learned, the same in every type that knows it.
        parameters: all there are, for every kind but `valid_on`.
        days_back_max, days_ahead_max: for `valid_on`: how far the day may be from the day of the request.
        repeat_after_days: after so long an organisation may ask the same holder otherwise; 0 for never.
    """

    name: AsciiName
    name_zh: Label
    kind: QuestionKind
    subject: TermCode
    field: OptionalName = ""
    column: OptionalName = ""
    order_by: OptionalName = ""
    parameters: Annotated[tuple[ParameterSpec, ...], Meta(max_length=PARAMETERS_PER_QUESTION_MAX)] = ()
    days_back_max: Days = 0
    days_ahead_max: Days = 0
    repeat_after_days: Days = 0


class CellSpec(_Spec, frozen=True):
    """One cell of a partition: values of a text, or a range of numbers or full years; with none of them, all the rest.

    Attributes:
        name, name_zh: unique in the partition.
        values: texts that fall into it.
        least, below: a range, `least` in it and `below` not; either may be left out.
    """

    name: AsciiName
    name_zh: Label
    values: Values = ()
    least: Annotated[int, Meta(ge=0, le=10**12)] | None = None
    below: Annotated[int, Meta(ge=1, le=10**12)] | None = None


class PartitionSpec(_Spec, frozen=True):
    """A division of a type's certificates by one field, over which they may be counted.

    Attributes:
        name, name_zh: unique in the type, questions included.
        field, subject: as of a question. A date is taken as full years of age.
        cells: the last one takes all the rest.
        period: how often it is counted.
        base, group_min: as in `contracts.question_records.DeclaredPartition`.
    """

    name: AsciiName
    name_zh: Label
    field: AsciiName
    subject: TermCode
    cells: Annotated[tuple[CellSpec, ...], Meta(min_length=2, max_length=CELLS_PER_PARTITION_MAX)]
    period: PeriodUnit
    base: Annotated[int, Meta(ge=BASE_LEAST, le=1000)]
    group_min: Annotated[int, Meta(ge=GROUP_MIN_LEAST, le=1000)]
