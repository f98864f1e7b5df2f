"""A row against its type: every value normalised, every problem found, not only the first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Final

import msgspec

from contracts.vocabulary import ATTACHMENTS_PER_TYPE_MAX
from ledger.commitments import ROWS_PER_VALUE_MAX
from ledger.decoders import decode_json
from ledger.errors import LedgerError
from zhenglian.catalogue import AttachmentSpec, CertificateTypeSpec, ColumnSpec, FieldKind, FieldSpec
from zhenglian.field_checks import TEXT_LENGTH_MAX, FieldValue, check_value
from zhenglian.identifiers import IdentityNumberInvalid, OrganizationCodeInvalid
from zhenglian.rows import normalising as rules
from zhenglian.rows.columns import (
    HOLDER,
    IGNORED,
    SUPERSEDES,
    VALID_FROM,
    VALID_UNTIL,
    match_columns,
    plain_name,
    require_columns,
)
from zhenglian.rows.normalising import ValueRefused, tidied
from zhenglian.rows.problems import Note, Problem, problem
from zhenglian.tables.rows import Cell, Row

CHINA: Final = timezone(timedelta(hours=8))
PROBLEMS_PER_ROW_MAX: Final = 64
_HEX_ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """What rows are held against.

    Attributes:
        spec: the type.
        mapping: columns that are named otherwise (`columns.match_columns`).
        holder: account of every row's holder, for a table that does not say; empty if it does.
    """

    spec: CertificateTypeSpec
    mapping: Mapping[str, str] = field(default_factory=dict)
    holder: str = ""
    known: dict[frozenset[str], dict[str, str]] = field(default_factory=dict, compare=False, repr=False)

    def fields_of(self, row: Row) -> Mapping[str, str]:
        """Which field each of a row's columns is. Raises ColumnsInvalid."""
        columns = frozenset({*row.cells, *(column for column, _ in row.problems if column)})
        if columns not in self.known:
            if len(self.known) >= 256:
                self.known.clear()
            self.known[columns] = dict(match_columns(self.spec, sorted(columns), self.mapping).fields)
        return self.known[columns]

    def require(self, columns: tuple[str, ...]) -> None:
        """Raises ColumnsInvalid unless a table of these columns can be deposited."""
        require_columns(self.spec, match_columns(self.spec, columns, self.mapping))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRow:
    """A row as it would go up.

    Attributes:
        number: of the row.
        fields: values by field.
        files: names of files by attachment.
        holder: account in hex; empty where `holder_number` has to be looked up.
        holder_number: identity number or credit code of the holder, from the row's own field; empty if the row names him.
        valid_from_ms, valid_until_ms: Unix time; None and 0 where the row says nothing.
        supersedes: id in hex, or empty.
        problems, notes: what is wrong, and what was changed.
    """

    number: int
    fields: dict[str, FieldValue]
    files: dict[str, str]
    holder: str
    holder_number: str
    valid_from_ms: int | None
    valid_until_ms: int
    supersedes: str
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]


def check_row(wanted: RowRules, row: Row) -> CheckedRow:
    """Normalise a row and find everything that is wrong with it.

    Raises:
        ColumnsInvalid: a column that is no field of the type: a fault of the whole table.
    """
    return _Check(wanted, row).done()


class _Check:
    """One row while it is looked at."""

    def __init__(self, wanted: RowRules, row: Row) -> None:
        self._spec = wanted.spec
        self._row = row
        self._placed = wanted.fields_of(row)
        self._columns = {name: column for column, name in self._placed.items() if name != IGNORED}
        self._holder = wanted.holder
        self.fields: dict[str, FieldValue] = {}
        self.files: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.notes: list[Note] = []

    def done(self) -> CheckedRow:
        for column, code in self._row.problems:
            name = self._placed.get(column, "")
            if name != IGNORED or not column:
                self.problems.append(problem(code, column, name))
        for column, rule in self._row.notes:
            if self._placed.get(column, IGNORED) != IGNORED:
                self.notes.append(Note(rule=rule, column=column, field=self._placed[column]))
        for spec in self._spec.fields:
            self._field(spec)
        for attachment in self._spec.attachments:
            self._file(attachment)
        holder, number = self._whose()
        valid_from_ms, valid_until_ms = self._validity()
        return CheckedRow(
            number=self._row.number,
            fields=self.fields,
            files=self.files,
            holder=holder,
            holder_number=number,
            valid_from_ms=valid_from_ms,
            valid_until_ms=valid_until_ms,
            supersedes=self._id(SUPERSEDES, "supersedes"),
            problems=tuple(self.problems[:PROBLEMS_PER_ROW_MAX]),
            notes=tuple(self.notes[:PROBLEMS_PER_ROW_MAX]),
        )

    def _cell(self, name: str) -> Cell | None:
        column = self._columns.get(name)
        return None if column is None else self._row.cells.get(column)

    def _complain(self, code: str, name: str, **fields: str | int) -> None:
        self.problems.append(problem(code, self._columns.get(name, ""), name, **fields))

    def _note(self, name: str, used: list[str]) -> None:
        self.notes += [Note(rule=rule, column=self._columns.get(name, ""), field=name) for rule in used]

    def _field(self, spec: FieldSpec) -> None:
        cell = self._cell(spec.name)
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            complained = any(found.field == spec.name for found in self.problems)
            if spec.required and not complained:
                self._complain("required", spec.name)
            return
        try:
            value, used = field_value(spec, cell)
        except ValueRefused as refused:
            if refused.code == "date_endless" and not spec.required:
                self._note(spec.name, ["endless"])
                return
            self._complain(refused.code, spec.name, **refused.fields)
            return
        self._note(spec.name, used)
        try:
            check_value(spec, value)
        except LedgerError as error:
            self._complain(*_refusal(spec, value, error))
            return
        self.fields[spec.name] = value

    def _file(self, spec: AttachmentSpec) -> None:
        cell = self._cell(spec.name)
        if cell is None:
            return
        if not isinstance(cell, str) or not cell.strip() or len(cell) > 255:
            self._complain("cell_kind", spec.name)
            return
        self.files[spec.name] = cell.strip()

    def _whose(self) -> tuple[str, str]:
        if HOLDER in self._columns and self._cell(HOLDER) is not None:
            return self._id(HOLDER, "holder"), ""
        if self._holder:
            return self._holder, ""
        kind = FieldKind.IDENTITY_NUMBER if self._spec.holder == "person" else FieldKind.ORGANIZATION_CODE
        own = next((spec.name for spec in self._spec.fields if spec.kind is kind), "")
        number = self.fields.get(own)
        if isinstance(number, str):
            return "", number
        if not any(found.field == own for found in self.problems):
            self._complain("holder_missing", HOLDER)
        return "", ""

    def _id(self, name: str, code: str) -> str:
        cell = self._cell(name)
        if cell is None:
            return ""
        text = str(cell).strip().lower() if isinstance(cell, str | int) else ""
        if not _HEX_ID.fullmatch(text):
            self._complain(code, name)
            return ""
        return text

    def _validity(self) -> tuple[int | None, int]:
        # A document that does not say since when it is valid is so since it was issued.
        begins = self._day(VALID_FROM, "valid_from") or self._written("issue_date")
        ends = self._day(VALID_UNTIL, "valid_until")
        valid_from_ms = None if begins is None else _midnight_ms(begins)
        valid_until_ms = 0 if ends is None else _midnight_ms(ends + timedelta(days=1))
        if ends is not None and begins is not None and ends < begins:
            self._complain("validity", "valid_until" if "valid_until" in self._columns else VALID_UNTIL)
        elif ends is not None:
            self._note("valid_until" if "valid_until" in self._columns else VALID_UNTIL, ["day_end"])
        return valid_from_ms, valid_until_ms

    def _written(self, name: str) -> date | None:
        """The day that a field of the type says."""
        value = self.fields.get(name)
        try:
            found = date.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            return None
        return found if found is not None and found < date.max else None

    def _day(self, name: str, own: str) -> date | None:
        """The day of a reserved column, or of the type's own field of that name."""
        found = self._written(own)
        if found is not None:
            return found
        cell = self._cell(name)
        if cell is None:
            return None
        value = tidied(str(cell))
        try:
            found = date.fromisoformat(rules.date_value(value))
        except ValueRefused as refused:
            if refused.code == "date_endless":
                self._note(name, ["endless"])
            else:
                self._complain(refused.code, name, **refused.fields)
            return None
        self._note(name, value.rules)
        return found if found < date.max else None


def _midnight_ms(day: date) -> int:
    moment = datetime(day.year, day.month, day.day, tzinfo=CHINA)
    return (moment - datetime.fromtimestamp(0, CHINA)) // timedelta(milliseconds=1)


def _refusal(spec: FieldSpec, value: FieldValue, error: LedgerError) -> tuple[str, str]:
    """A check's refusal as a problem of this table of words."""
    match error:
        case IdentityNumberInvalid():
            return "identity_number", spec.name
        case OrganizationCodeInvalid():
            return "organization_code", spec.name
        case _ if isinstance(value, str) and len(value) > TEXT_LENGTH_MAX:
            return "text_invisible", spec.name
        case _:
            return ("rows" if spec.kind is FieldKind.ROWS else "text_invisible"), spec.name


def field_value(spec: FieldSpec, cell: Cell) -> tuple[FieldValue, list[str]]:
    """A cell as its field's value, and the rules that were used. Raises ValueRefused."""
    if spec.kind is FieldKind.ROWS:
        return _table(spec, cell)
    if isinstance(cell, list):
        raise ValueRefused("cell_kind")
    return _single(spec.kind.value, spec.decimals, cell)


def _single(kind: str, decimals: int, cell: str | int) -> tuple[str | int, list[str]]:
    if isinstance(cell, int) and kind == "integer":
        return cell, []
    value = tidied(str(cell))
    if isinstance(cell, int):
        value.rules.append("number_text")
    made: str | int
    match kind:
        case "date":
            made = rules.date_value(value)
        case "integer":
            made = rules.integer_value(value)
        case "decimal":
            made = rules.decimal_value(value, decimals)
        case "identity_number":
            made = rules.identity_number(value)
        case "organization_code":
            made = rules.organization_code(value)
        case _:
            made = rules.text_value(value)
            if len(made) > TEXT_LENGTH_MAX:
                raise ValueRefused("text_long", maximum=TEXT_LENGTH_MAX)
    return made, value.rules


def _table(spec: FieldSpec, cell: Cell) -> tuple[FieldValue, list[str]]:
    """A table inside a row: a list, or its JSON in one cell."""
    if isinstance(cell, str):
        try:
            cell = decode_json(cell, list[dict[str, str | int]])
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            raise ValueRefused("rows") from None
    if not isinstance(cell, list):
        raise ValueRefused("rows")
    if len(cell) > ROWS_PER_VALUE_MAX:
        raise ValueRefused("rows_many", maximum=ROWS_PER_VALUE_MAX)
    columns = {plain_name(column.name): column for column in spec.columns}
    columns.update(
        {
            plain_name(column.name_zh): column
            for column in spec.columns
            if plain_name(column.name_zh) not in columns
        }
    )
    used: list[str] = []
    table: list[dict[str, str | int]] = []
    for line, item in enumerate(cell, start=1):
        table.append(_table_row(line, item, spec.columns, columns, used))
    return table, list(dict.fromkeys(used))


def _table_row(
    line: int,
    item: dict[str, str | int],
    wanted: tuple[ColumnSpec, ...],
    columns: Mapping[str, ColumnSpec],
    used: list[str],
) -> dict[str, str | int]:
    row: dict[str, str | int] = {}
    for name, cell in item.items():
        column = columns.get(plain_name(name))
        if column is None or column.name in row:
            raise ValueRefused("rows_columns", line=line, column=name[:40])
        row[column.name], rules_used = _single(column.kind.value, column.decimals, cell)
        used += rules_used
    missing = next((column.name_zh for column in wanted if column.name not in row), "")
    if missing:
        raise ValueRefused("rows_columns", line=line, column=missing)
    return row


FILES_PER_ROW_MAX: Final = ATTACHMENTS_PER_TYPE_MAX
