"""Answers computed from a certificate's values: yes or no to a question, and the cell of a count.

Rule: pure functions of the certificate's own data, its type's schema and the time that the answer speaks of; the same
input has the same answer on every node for ever. A value that cannot be read as the schema says gives no answer, and
is not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final, assert_never

from contracts.question_days import date_of, day_number, day_of, day_start_ms, full_years
from contracts.question_records import Question, QuestionKind
from contracts.records import Certificate
from contracts.vocabulary import STOPPING_STATES
from ledger.commitments import FieldValue
from ledger.errors import VerificationFailed
from zhenglian.catalogue import CertificateTypeSpec
from zhenglian.catalogue_questions import CellSpec, PartitionSpec, QuestionSpec

_SEPARATORS: Final = re.compile(r"[、，,；;/|\s]+")
_DATE_KIND: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def answer(
    spec: CertificateTypeSpec,
    certificate: Certificate,
    question: Question,
    values: Mapping[str, FieldValue],
    as_of_ms: int,
) -> bool:
    """The answer to a question.

    Args:
        spec: the certificate's own version of its type.
        certificate: as the ledger has it now; only what it had at `as_of_ms` counts.
        question: one that the type declares.
        values: of the field that the question reads, if it reads one.
        as_of_ms: block time that the answer speaks of.

    Raises:
        VerificationFailed: the type has no such question, or the value cannot be read.
    """
    declared = next((one for one in spec.questions if one.name == question.name), None)
    if declared is None or declared.kind is not question.kind or declared.field != question.field:
        raise VerificationFailed(reason=f"{spec.code} does not declare the question {question.name}")
    match question.kind:
        case QuestionKind.OLDER_THAN:
            return _age(_text(values, question.field), as_of_ms) >= _number(question.parameter)
        case QuestionKind.VALID_ON:
            return valid_on(certificate, question.parameter, as_of_ms)
        case QuestionKind.COVERS:
            return _covers(declared, question.parameter, _text(values, question.field))
        case QuestionKind.AT_LEAST:
            return _amount(declared, values.get(question.field)) >= _number(question.parameter)
        case QuestionKind.COUNTED:
            raise VerificationFailed(reason="to be counted is no question")
        case _:
            assert_never(question.kind)


def valid_on(certificate: Certificate, day: str, as_of_ms: int) -> bool:
    """Whether a certificate was (or, as far as is known, will be) valid all through a day in China.

    States that began after `as_of_ms` do not count, and those that ended after it count as holding.

    Raises:
        VerificationFailed: not a day.
    """
    number = day_number(day)
    if number is None:
        raise VerificationFailed(reason="the question's day is none")
    start_ms, end_ms = day_start_ms(number), day_start_ms(number + 1)
    if certificate.valid_from_ms >= end_ms or (
        certificate.valid_until_ms != 0 and certificate.valid_until_ms <= start_ms
    ):
        return False
    for entry in certificate.states:
        if entry.state not in STOPPING_STATES or entry.since_ms > as_of_ms:
            continue
        ended_ms = entry.until_ms if 0 < entry.until_ms <= as_of_ms else None
        if entry.since_ms < end_ms and (ended_ms is None or ended_ms > start_ms):
            return False
    return True


def cell_of(partition: PartitionSpec, value: FieldValue | None, as_of_ms: int) -> int:
    """Place of the cell that a value falls into; the last takes whatever no other does, unreadable values too."""
    for place, cell in enumerate(partition.cells[:-1]):
        if _falls(cell, value, as_of_ms):
            return place
    return len(partition.cells) - 1


def _falls(cell: CellSpec, value: FieldValue | None, as_of_ms: int) -> bool:
    if value is None:
        return False
    if cell.values:
        return isinstance(value, str) and value.strip() in cell.values
    try:
        dated = isinstance(value, str) and _DATE_KIND.fullmatch(value) is not None
        number = Decimal(_age(str(value), as_of_ms)) if dated else _number(str(value))
    except VerificationFailed:
        return False
    return (cell.least or 0) <= number and (cell.below is None or number < cell.below)


def _age(text: str, as_of_ms: int) -> int:
    try:
        born = date.fromisoformat(text)
    except ValueError:
        raise VerificationFailed(reason="the value is not a date") from None
    return full_years(born, date_of(day_of(as_of_ms)))


def _covers(declared: QuestionSpec, parameter: str, text: str) -> bool:
    wanted = next((one for one in declared.parameters if one.value == parameter), None)
    if wanted is None:
        raise VerificationFailed(reason="the question's parameter is not declared")
    permitted = set(entries(text)) | {text.strip()}
    return bool(permitted & {wanted.value, *wanted.covered_by})


def entries(text: str) -> list[str]:
    """The entries of a text that lists several: "C1、E", "A2E" of driving classes too."""
    found: list[str] = []
    for part in _SEPARATORS.split(text):
        classes = re.fullmatch(r"(?:[A-Z][0-9]?)+", part)
        found += re.findall(r"[A-Z][0-9]?", part) if classes else [part]
    return [part for part in found if part]


def _amount(declared: QuestionSpec, value: FieldValue | None) -> Decimal:
    if not declared.column:
        return _number(str(value))
    if value is None or isinstance(value, str | int) or not value:
        raise VerificationFailed(reason="the table has no rows")
    latest = max(str(row[declared.order_by]) for row in value)
    rows = [row for row in value if str(row[declared.order_by]) == latest]
    return max(_number(str(row[declared.column])) for row in rows)


def _text(values: Mapping[str, FieldValue], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str):
        raise VerificationFailed(reason=f"the field {name} is not a text")
    return value


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise VerificationFailed(reason="the value is not a number") from None
    if not number.is_finite():
        raise VerificationFailed(reason="the value is not a number")
    return number
