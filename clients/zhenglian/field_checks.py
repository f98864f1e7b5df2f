"""What a field's value must be, by its kind: the check that client and node make alike before anything is sealed.

Rule: nothing is changed here; a value is right or it is refused, and the field is named.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Final

from ledger.commitments import INTEGER_MAX, ROWS_PER_VALUE_MAX
from ledger.errors import LedgerError, LimitExceeded
from zhenglian.api import FieldValue
from zhenglian.catalogue import CertificateTypeSpec, FieldKind, FieldSpec
from zhenglian.identifiers import check_identity_number, check_organization_code

__all__ = ["TEXT_LENGTH_MAX", "DepositInvalid", "FieldValue", "check_fields", "check_value"]

TEXT_LENGTH_MAX: Final = 4096
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?")
# Controls, format characters (all zero-width ones), lone surrogates, line and paragraph separators. Characters that this
# Python does not know yet, and private ones, pass: rare names are written with them.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class DepositInvalid(LedgerError):
    """A deposit that its type's schema does not allow. Fields: member, reason."""

    code = "deposit_invalid"
    zh = "存证内容有误（{member}）：{reason}"
    en = "Invalid deposit at {member}: {reason}"


def check_fields(spec: CertificateTypeSpec, fields: dict[str, FieldValue]) -> None:
    """Hold every value against the type's schema.

    Raises:
        DepositInvalid: an unknown, missing or ill-typed field, named.
        LimitExceeded: a text or table above its bound.
    """
    known = {field.name: field for field in spec.fields}
    for name in fields:
        if name not in known:
            raise DepositInvalid(member=f"fields.{name}", reason=f"{spec.code} has no such field")
    for field in spec.fields:
        if field.name in fields:
            check_value(field, fields[field.name])
        elif field.required:
            raise DepositInvalid(member=f"fields.{field.name}", reason="required and missing")


def check_value(field: FieldSpec, value: FieldValue) -> None:
    """Hold one value against its field's kind. Raises DepositInvalid, LimitExceeded or an identifier's own error."""
    member = f"fields.{field.name}"
    if field.kind is FieldKind.ROWS:
        _check_rows(field, member, value)
    elif field.kind is FieldKind.INTEGER:
        _check_integer(member, value)
    elif not isinstance(value, str):
        raise DepositInvalid(member=member, reason="text is expected")
    else:
        _check_text(field.kind.value, field.decimals, member, value)


def _check_integer(member: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > INTEGER_MAX:
        raise DepositInvalid(member=member, reason=f"an integer within ±{INTEGER_MAX} is expected")


def _check_text(kind: str, decimals: int, member: str, value: str) -> None:
    if len(value) > TEXT_LENGTH_MAX:
        raise LimitExceeded(limit=f"TEXT_LENGTH_MAX of {member}", maximum=TEXT_LENGTH_MAX, actual=len(value))
    if any(unicodedata.category(character) in _INVISIBLE and character != "\n" for character in value):
        raise DepositInvalid(member=member, reason="control or invisible characters are not allowed")
    if kind == "date" and not _is_date(value):
        raise DepositInvalid(member=member, reason="a day of the calendar, written YYYY-MM-DD, is expected")
    if kind == "decimal":
        places = len(value.partition(".")[2])
        if not _DECIMAL.fullmatch(value) or places != decimals:
            raise DepositInvalid(member=member, reason=f"a decimal with {decimals} places is expected")
    if kind == "identity_number":
        check_identity_number(value)
    if kind == "organization_code":
        check_organization_code(value)


def _is_date(value: str) -> bool:
    try:
        return _DATE.fullmatch(value) is not None and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _check_rows(field: FieldSpec, member: str, value: FieldValue) -> None:
    if not isinstance(value, list):
        raise DepositInvalid(member=member, reason="a list of rows is expected")
    if len(value) > ROWS_PER_VALUE_MAX:
        raise LimitExceeded(
            limit=f"ROWS_PER_VALUE_MAX of {member}", maximum=ROWS_PER_VALUE_MAX, actual=len(value)
        )
    columns = {column.name: column for column in field.columns}
    for number, row in enumerate(value):
        where = f"{member}[{number}]"
        if set(row) != set(columns):
            raise DepositInvalid(
                member=where, reason=f"exactly the columns {', '.join(columns)} are expected"
            )
        for name, cell in row.items():
            column = columns[name]
            if column.kind.value == "integer":
                _check_integer(f"{where}.{name}", cell)
            elif not isinstance(cell, str):
                raise DepositInvalid(member=f"{where}.{name}", reason="text is expected")
            else:
                _check_text(column.kind.value, column.decimals, f"{where}.{name}", cell)
